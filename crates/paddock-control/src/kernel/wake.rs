//! Wake-ups: content-free hints to look now rather than at the next tick.
//!
//! A wake-up is speed, never truth: whoever waits also polls by a timer, and looks after registering.

use std::time::Duration;

use tokio::sync::watch;

/// One thing that can be woken, by many and heard by many.
#[derive(Debug)]
pub struct Wake(watch::Sender<u64>);

impl Default for Wake {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Wake {
    /// Tells every listener to look.
    pub fn wake(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// How often it was woken, round and round.
    #[must_use]
    pub fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Registers: wake-ups from now on are heard, also those that come before [`Listener::heard`] is called.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

/// A registration with a [`Wake`].
#[derive(Debug, Clone)]
pub struct Listener(watch::Receiver<u64>);

impl Listener {
    /// Hears the timer alone.
    #[must_use]
    pub fn of_nothing() -> Self {
        Wake::default().listen()
    }

    /// Waits for a wake-up since the last call, at most `longest`.
    pub async fn heard(&mut self, longest: Duration) {
        // A closed channel means shutdown: the caller's token ends it; until then only the timer speaks.
        if let Ok(Err(_)) = tokio::time::timeout(longest, self.0.changed()).await {
            tokio::time::sleep(longest).await;
        }
    }
}

/// Every wake-up of the control plane, named for what may have changed.
#[derive(Debug, Default)]
pub struct Wakes {
    /// Formations, releases, dynos: the formation reconciler looks.
    pub dynos: Wake,
    /// The router was not told of something: the route reconciler looks. What it is told of needs no wake-up.
    pub routes: Wake,
    /// Jobs: the runner looks.
    pub jobs: Wake,
    /// Containers that write output: the output collector looks.
    pub output: Wake,
    /// Numbers in memory that are to be on disk: the rate limit reconciler looks.
    pub rate_limits: Wake,
    /// Add-ons, their logins and what runs them: whoever keeps them as they are wanted looks.
    pub addons: Wake,
    /// Things to throw away.
    pub garbage: Wake,
    /// Somebody waits for a build, release or dyno to change in the store.
    pub changes: Wake,
}
