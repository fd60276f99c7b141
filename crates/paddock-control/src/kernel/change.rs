//! One way to change something: a transaction that knows what it is for, who does it, and whom to tell.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use paddock_core::event::{By, Event};
use paddock_core::{AppId, fail_point};
use paddock_store::{Concerns, Tx};

use crate::Result;
use crate::kernel::Kernel;

/// A change under way. Dropped without a commit it leaves nothing.
pub(crate) struct Change<'a> {
    kernel: &'a Kernel,
    tx: Tx,
    said: BTreeMap<AppId, Vec<String>>,
}

impl Kernel {
    /// Begins a change of what is wanted of an app; whoever waits for the app's generation hears of it.
    pub(crate) async fn change_app(&self, app: AppId, doing: &'static str) -> Result<Change<'_>> {
        Ok(self.change(self.store.begin_for_app(app, self.now(), doing).await?))
    }

    /// Begins a change that belongs to the platform: a new app, an account.
    pub(crate) async fn change_platform(&self, doing: &'static str) -> Result<Change<'_>> {
        Ok(self.change(self.store.begin_platform(self.now(), doing).await?))
    }

    /// Begins to write down what was observed of an app: nothing new is wanted of it.
    pub(crate) async fn observe_app(&self, app: AppId, doing: &'static str) -> Result<Change<'_>> {
        Ok(self.change(self.store.begin_observation(app, self.now(), doing).await?))
    }

    /// Begins to write rows that depend on no others.
    pub(crate) async fn record(&self, doing: &'static str) -> Result<Change<'_>> {
        Ok(self.change(self.store.begin_record(self.now(), doing).await?))
    }

    fn change(&self, tx: Tx) -> Change<'_> {
        Change { kernel: self, tx, said: BTreeMap::new() }
    }
}

impl Change<'_> {
    /// Has the platform say this in the app's log once it is so: `app[api]: Scaled to web@2:Basic by user a@b.c`.
    pub(crate) fn say(&mut self, app: AppId, text: impl Into<String>) {
        self.said.entry(app).or_default().push(text.into());
    }

    /// Commits under the name of the durable step, with what happened and who did it. When this answers it is on disk,
    /// the log says so, whom it concerns is awake, and a router that is there knows where requests go now; to one that is
    /// away the route reconciler tells it.
    pub(crate) async fn commit(mut self, step: &'static str, event: Event, by: impl Into<By>) -> Result<()> {
        self.tx.event(&event, by.into()).await?;
        self.commit_quietly(step).await
    }

    /// The same for what is nobody's deed: what was observed, what a job came to, what is cleared away.
    pub(crate) async fn commit_quietly(self, step: &'static str) -> Result<()> {
        let Self { kernel, tx, said } = self;
        let (concerns, apps) = (tx.concerns(), tx.apps().clone());
        #[expect(clippy::disallowed_methods, reason = "it is named by the caller")]
        fail_point::step(step, tx.commit()).await?;
        kernel.wake(concerns);
        for (app, texts) in said {
            kernel.log_api_lines(app, texts).await;
        }
        if concerns.include(Concerns::ROUTES) {
            for app in apps {
                kernel.routes.publish(app).await;
            }
        }
        Ok(())
    }
}

impl Kernel {
    /// Wakes everybody a change concerns.
    fn wake(&self, concerns: Concerns) {
        let wakes = &self.wakes;
        for (concern, wake) in [
            (Concerns::DYNOS, &wakes.dynos),
            (Concerns::JOBS, &wakes.jobs),
            (Concerns::GARBAGE, &wakes.garbage),
            (Concerns::CHANGES, &wakes.changes),
            (Concerns::ADDONS, &wakes.addons),
        ] {
            if concerns.include(concern) {
                wake.wake();
            }
        }
    }
}

impl Deref for Change<'_> {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.tx
    }
}
