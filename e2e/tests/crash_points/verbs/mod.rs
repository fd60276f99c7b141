//! The verbs that are walked: each is done as a client does it, and its effect is looked at.

pub(crate) mod account;
pub(crate) mod addon;
mod app;
pub(crate) mod buildpack;
mod credential;
pub(crate) mod deploy;
mod dyno;
pub(crate) mod image;
mod report;
mod setting;
mod stack;
mod transfer;

use crate::client::{Client, Told};
use crate::parts::Part;
use crate::walk::Performing;

/// A kind of verb: its name, for the person who reads, and how one is made.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) make: Box<dyn Fn() -> Box<dyn Verb> + Send + Sync>,
}

fn kind<V: Verb + 'static>(name: &'static str, make: impl Fn() -> V + Send + Sync + 'static) -> Kind {
    Kind { name, make: Box::new(move || Box::new(make())) }
}

/// Something a client does.
pub(crate) trait Verb: Sync {
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

/// Those that change what is kept, of apps and of accounts, and then those of dynos and builds; the short ones first.
pub(crate) fn all() -> Vec<Kind> {
    let mut verbs = setting::verbs();
    // What was destroyed is looked after for a day, beside any verb: its points are for the verb that they always
    // come with. The first of all is of what runs.
    verbs.insert(1, app::destroy());
    verbs.push(app::create());
    verbs.extend(account::verbs());
    verbs.extend(addon::verbs());
    verbs.extend(credential::verbs());
    verbs.extend(transfer::verbs());
    verbs.extend(report::verbs());
<<<<<<< HEAD
    verbs.extend(stack::verbs());
=======
    verbs.extend(image::verbs());
>>>>>>> 3e3387ee (The registry's calls have a table; backups hold what clients pushed; a journey of the registry with other clients, and its part of the crash walk)
    verbs.extend(dyno::verbs());
    verbs.extend(deploy::verbs());
    verbs.extend(buildpack::verbs());
    verbs
}

/// `paddockd keys rotate`, while the server runs.
pub(crate) fn keys_rotated() -> Kind {
    kind("keys rotated", || account::RotateKeys)
}

/// A verb as a part of the walk.
pub(crate) fn part(kind: Kind) -> Part {
    Part::new(kind.name, move |_| Performing { verb: (kind.make)(), arguments: &[] })
}

/// A push to a server whose builds have a disk without a limit.
pub(crate) fn part_without_limit() -> Part {
    let kind = deploy::push_without_limit();
    let arguments = &["--build-disk", "none"];
    let part = Part::new(kind.name, move |walk| {
        walk.restart_with(arguments);
        Performing { verb: (kind.make)(), arguments }
    });
    Part { length: usize::MAX, ..part }
}
