//! Which apps have a database that does not answer just now: after a reboot theirs comes up together with them, and a dyno that
//! finds none would crash, and wait for minutes before it is tried again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use paddock_core::AppId;
use tokio::sync::Notify;

/// Told by whoever looks after data servers, asked by whoever starts dynos.
pub(crate) struct DataReady {
    /// Nothing is known before the first look.
    away: Mutex<Option<BTreeSet<AppId>>>,
    changed: Notify,
}

impl Default for DataReady {
    /// Where nobody looks, nobody waits.
    fn default() -> Self {
        Self { away: Mutex::new(Some(BTreeSet::new())), changed: Notify::new() }
    }
}

impl DataReady {
    /// Somebody is about to look: until then nothing is known.
    pub(crate) fn expect(&self) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// These apps, and no others, have a database that does not answer.
    pub(crate) fn tell(&self, away: BTreeSet<AppId>) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(away);
        self.changed.notify_waiters();
    }

    /// Waits until the databases of an app answer, at most so long: it may do something without them.
    pub(crate) async fn wait(&self, app: AppId, at_most: Duration) {
        let ready = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // Registered before it is looked at: nothing is missed between.
                changed.as_mut().enable();
                if self.is_ready(app) {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(at_most, ready).await;
    }

    fn is_ready(&self, app: AppId) -> bool {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.as_ref().is_some_and(|away| !away.contains(&app))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_dyno_waits_for_its_own_database_alone() {
        let (one, other) = (AppId::from_uuid(Uuid::from_u128(1)), AppId::from_uuid(Uuid::from_u128(2)));
        let ready = Arc::new(DataReady::default());
        ready.expect();
        let waiting = tokio::spawn({
            let ready = ready.clone();
            async move { ready.wait(one, Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "nothing is known yet");
        ready.tell(BTreeSet::from([one]));
        ready.wait(other, Duration::from_secs(60)).await;
        assert!(!waiting.is_finished(), "its own is away");
        ready.tell(BTreeSet::new());
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn it_does_not_wait_for_ever() {
        let ready = DataReady::default();
        ready.expect();
        ready.wait(AppId::from_uuid(Uuid::from_u128(1)), Duration::from_millis(1)).await;
    }
}
