//! What is seen of a dyno's container, written over what the store has of it.

use paddock_core::dyno::DynoState;
use paddock_runtime::Observed;
use paddock_store::{App, Dyno};

use crate::Result;
use crate::dynos::Dynos;
use crate::dynos::sight::Sight;
use crate::kernel::change::Change;
use crate::kernel::error::Error;

impl Dynos {
    /// Whether a booting dyno is ready: a web dyno must listen where the router can reach it.
    pub(crate) async fn listens(&self, dyno: &Dyno, observed: &Observed) -> bool {
        let Some(port) = dyno.port else { return true };
        let listening = self.runtime.listening(observed.id).await.unwrap_or_default();
        listening.iter().any(|socket| {
            socket.port() == port && (socket.ip().is_unspecified() || Some(socket.ip()) == observed.address)
        })
    }

    /// Writes down where a dyno is that boots, for what it is to be told by name before it is up.
    pub(crate) async fn note_address(&self, dyno: &Dyno, sight: &Sight) -> Result<()> {
        let address = sight.container(dyno).and_then(|observed| observed.address);
        if address.is_none() || dyno.address == address {
            return Ok(());
        }
        if self.kernel.store.attachments_of_app(dyno.app_id).await?.is_empty() {
            return Ok(());
        }
        let mut tx = self.kernel.observe_app(dyno.app_id, "note the address of a dyno").await?;
        let Some(now) = tx.dyno(dyno.id).await?.filter(|now| now.state == DynoState::Starting) else {
            return Ok(());
        };
        tx.put_dyno(&Dyno { address, ..now }).await?;
        tx.commit_quietly("dyno.address_noted").await
    }

    /// The dyno runs, or listens: it is up.
    pub(crate) async fn mark_dyno_up(&self, app: &App, dyno: &Dyno, sight: &Sight) -> Result<()> {
        let address = sight.container(dyno).and_then(|observed| observed.address);
        let up = |dyno| Dyno { address, ..dyno };
        let Some(tx) = self.put_state(app, dyno, DynoState::Up, up).await? else { return Ok(()) };
        tx.commit_quietly("dyno.up").await?;
        self.kernel
            .log_dyno(app.id, &dyno.name.to_string(), vec!["State changed from starting to up".into()])
            .await;
        Ok(())
    }

    /// Writes what became of a dyno over what the store has of it now: the news of a start may be minutes old. The
    /// transaction is to be committed; `None` when the dyno is gone.
    pub(crate) async fn put_state(
        &self,
        app: &App,
        dyno: &Dyno,
        next: DynoState,
        change: impl FnOnce(Dyno) -> Dyno,
    ) -> Result<Option<Change<'_>>> {
        let mut tx = self.kernel.observe_app(app.id, "change the state of a dyno").await?;
        let Some(now) = tx.dyno(dyno.id).await? else { return Ok(None) };
        if !now.state.may_become(next) {
            let (name, state, next) = (&now.name, now.state.as_str(), next.as_str());
            let refused = format!("{name} is {state}, which {next} cannot follow");
            return Err(Error::internal("change the state of a dyno", refused));
        }
        let changed = Dyno { state: next, state_changed_at: tx.now(), ..change(now) };
        tx.put_dyno(&changed).await?;
        Ok(Some(tx))
    }
}
