//! The verbs that are walked: each is done as a client does it, and its effect is looked at.

pub(crate) mod account;
mod app;
pub(crate) mod buildpack;
pub(crate) mod deploy;
mod dyno;
mod setting;

use crate::client::{Client, Told};

/// Something a client does.
pub(crate) trait Verb: Sync {
    /// Its name, for the person who reads.
    fn name(&self) -> &'static str;

    /// Makes what round `number` needs, with nothing armed.
    fn prepare(&mut self, _client: &Client, _number: usize) {}

    /// Does it, and says what the client was told. The server may die at any moment.
    fn attempt(&self, client: &Client, number: usize) -> Told;

    /// Does it again after a kill, when the client was not told that it is done.
    fn again(&self, client: &Client, number: usize) -> Told {
        self.attempt(client, number)
    }

    /// Its effect is there. `told` is what the client heard at first; if that was no, it has done it again.
    fn check(&self, client: &Client, number: usize, told: &Told);
}

/// Those that change what is kept, of apps and of accounts; the short ones first.
pub(crate) fn of_what_is_kept() -> Vec<Box<dyn Verb>> {
    let mut verbs = setting::verbs();
    verbs.extend(app::verbs());
    verbs.extend(account::verbs());
    verbs
}

/// Those of dynos and builds.
pub(crate) fn of_what_runs() -> Vec<Box<dyn Verb>> {
    let mut verbs = dyno::verbs();
    verbs.extend(deploy::verbs());
    verbs.extend(buildpack::verbs());
    verbs
}
