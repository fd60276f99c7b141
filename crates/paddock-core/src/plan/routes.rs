//! What there is to route to of an app. Precedence of the answers: `docs/contract/platform-behaviour.md`, section 2, end of the
//! H table.

use crate::dyno::{DynoName, DynoState};
use crate::id::ReleaseId;
use crate::time::UnixMicros;

/// A web dyno of a formation that nobody asked to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSeen {
    /// Its name. Two may have one name, while one release takes over from another.
    pub name: DynoName,
    /// Which release it runs.
    pub release: ReleaseId,
    /// That release's version.
    pub version: i64,
    /// Its state.
    pub state: DynoState,
    /// When it came to be in that state.
    pub state_since: UnixMicros,
    /// When it is tried again after a crash.
    pub retry_at: Option<UnixMicros>,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Web {
    /// Nothing was deployed.
    Blank,
    /// No web dyno is wanted.
    None,
    /// To these, by their places in what was seen.
    Up(Vec<usize>),
    /// Those of the current release crashed.
    Crashed,
    /// None is up yet.
    Starting,
}

/// Where requests go, with a release that has something to run and whether web dynos are wanted.
#[must_use]
pub fn web(release: Option<ReleaseId>, is_wanted: bool, seen: &[WebSeen]) -> Web {
    let Some(release) = release else { return Web::Blank };
    if !is_wanted {
        return Web::None;
    }
    let up: Vec<_> = (0..seen.len()).filter(|place| gets_requests(&seen[*place], seen)).collect();
    if !up.is_empty() {
        return Web::Up(up);
    }
    // What an older release's dynos came to says nothing of this one's, which may not have begun yet.
    let mut current = seen.iter().filter(|dyno| dyno.release == release).peekable();
    let has_crashed = current.peek().is_some() && current.all(waits_after_a_crash);
    if has_crashed { Web::Crashed } else { Web::Starting }
}

/// Requests go to the newest dyno of a name that is up.
fn gets_requests(dyno: &WebSeen, seen: &[WebSeen]) -> bool {
    let is_newer = |other: &WebSeen| {
        other.name == dyno.name && other.state == DynoState::Up && other.version > dyno.version
    };
    dyno.state == DynoState::Up && !seen.iter().any(is_newer)
}

/// Whether it crashed and is not tried again at once, as it is after its first crash and after a reboot of the machine:
/// clients wait for that.
fn waits_after_a_crash(dyno: &WebSeen) -> bool {
    dyno.state == DynoState::Crashed && dyno.retry_at.is_none_or(|at| at > dyno.state_since)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn release(version: i64) -> ReleaseId {
        ReleaseId::from_uuid(Uuid::from_u128(u128::try_from(version).unwrap()))
    }

    fn dyno(name: &str, version: i64, state: DynoState, retry_after: Option<i64>) -> WebSeen {
        WebSeen {
            name: name.parse().unwrap(),
            release: release(version),
            version,
            state,
            state_since: UnixMicros(100),
            retry_at: retry_after.map(|after| UnixMicros(100 + after)),
        }
    }

    #[test]
    fn requests_go_where_the_newest_that_is_up_of_each_name_is() {
        use DynoState::{Crashed, Starting, Up};
        let cases = [
            (vec![], Web::Starting),
            (vec![dyno("web.1", 2, Up, None), dyno("web.2", 2, Up, None)], Web::Up(vec![0, 1])),
            (vec![dyno("web.1", 1, Up, None), dyno("web.1", 2, Starting, None)], Web::Up(vec![0])),
            (vec![dyno("web.1", 1, Up, None), dyno("web.1", 2, Up, None)], Web::Up(vec![1])),
            (vec![dyno("web.1", 1, Up, None), dyno("web.1", 2, Crashed, Some(9))], Web::Up(vec![0])),
            (vec![dyno("web.1", 2, Crashed, Some(9))], Web::Crashed),
            (vec![dyno("web.1", 2, Crashed, None)], Web::Crashed),
            (vec![dyno("web.1", 2, Crashed, Some(0))], Web::Starting),
            (vec![dyno("web.1", 2, Crashed, Some(9)), dyno("web.2", 2, Starting, None)], Web::Starting),
            (vec![dyno("web.1", 1, Crashed, Some(9))], Web::Starting),
        ];
        for (seen, wanted) in cases {
            assert_eq!(web(Some(release(2)), true, &seen), wanted, "{seen:?}");
        }
    }

    #[test]
    fn nothing_deployed_comes_before_nothing_wanted_and_that_before_what_runs() {
        let seen = [dyno("web.1", 2, DynoState::Up, None)];
        assert_eq!(web(None, false, &seen), Web::Blank);
        assert_eq!(web(Some(release(2)), false, &seen), Web::None);
    }
}
