//! From one release's web dynos to the next one's: who serves while the new ones are not up.

use paddock_core::ReleaseId;
use paddock_core::dyno::{DynoKind, DynoState};
use paddock_store::{DesiredDynoState, Dyno};

/// What a release's web dynos have come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Coming {
    /// One is up, or none is wanted.
    Up,
    Starting,
    /// This one crashed, and may be tried again just now; none is up.
    Crashed(Box<Dyno>),
}

/// Whether a web dyno answers though it is not of this release. Two may have one name then.
pub(crate) fn is_older_and_serves(dyno: &Dyno, current: ReleaseId) -> bool {
    is_web(dyno)
        && dyno.release_id != current
        && dyno.state == DynoState::Up
        && dyno.desired == DesiredDynoState::Running
}

/// Whether a dyno serves in the place of the current release, and could not come back.
pub(crate) fn serves_in_place(dyno: &Dyno, current: Option<ReleaseId>) -> bool {
    current.is_some_and(|current| is_older_and_serves(dyno, current))
}

/// The release whose dynos go on serving, if it is another than this one.
pub(crate) fn serves_on(dynos: &[Dyno], current: ReleaseId) -> Option<i64> {
    let older = dynos.iter().filter(|dyno| is_older_and_serves(dyno, current));
    older.map(|dyno| dyno.release_version).max()
}

/// What is to be known of a dyno that serves on because a newer release did not come up.
pub(crate) fn remark(dyno: &Dyno, dynos: &[Dyno]) -> Option<String> {
    let newest = newest(dynos)?;
    let fails = matches!(coming(dynos, newest.release_id), Coming::Crashed(_));
    let (own, new) = (dyno.release_version, newest.release_version);
    (fails && is_older_and_serves(dyno, newest.release_id))
        .then(|| format!("v{own} serves on: v{new} has not come up"))
}

fn newest(dynos: &[Dyno]) -> Option<&Dyno> {
    dynos.iter().filter(|dyno| is_web(dyno)).max_by_key(|dyno| dyno.release_version)
}

/// What has come of a release, by its web dynos.
pub(crate) fn coming(dynos: &[Dyno], release: ReleaseId) -> Coming {
    let own = || dynos.iter().filter(|dyno| is_web(dyno) && dyno.release_id == release);
    if own().any(|dyno| dyno.state == DynoState::Up) {
        return Coming::Up;
    }
    own()
        .find(|dyno| dyno.state == DynoState::Crashed || dyno.crash_count > 0)
        .map_or(Coming::Starting, |dyno| Coming::Crashed(Box::new(dyno.clone())))
}

pub(crate) fn is_web(dyno: &Dyno) -> bool {
    dyno.kind == DynoKind::Formation && dyno.name.process_type.is_web()
}
