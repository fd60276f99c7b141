//! What to do with a one-off dyno: it runs once, is never restarted, and is forgotten when it has ended.

use crate::dyno::DynoState;
use crate::plan::formation::Seen;
use crate::time::UnixMicros;

/// A one-off dyno as the store and the runtime know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneOffSeen {
    /// Its state in the store.
    pub state: DynoState,
    /// Whether somebody asked for it to end.
    pub ending: bool,
    /// What the runtime says of its container.
    pub seen: Seen,
    /// When it must end (its time to live), if it must.
    pub ends_at: Option<UnixMicros>,
    /// Whether it is for a client that attaches, and no client was connected to this server yet.
    pub client_is_gone: bool,
}

/// The one thing to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start its container.
    Launch,
    /// It runs.
    MarkUp,
    /// Send SIGTERM, and SIGKILL after the grace.
    Stop,
    /// Its program ended (`None`: nobody knows how): say so and forget it.
    Finish {
        /// Exit status.
        status: Option<i32>,
    },
}

/// Plans the next step.
#[must_use]
pub fn plan(dyno: &OneOffSeen, now: UnixMicros) -> Option<Step> {
    let over = dyno.ending || dyno.ends_at.is_some_and(|at| at <= now);
    match (dyno.state, dyno.seen) {
        (_, Seen::UnderWay) => None,
        (_, Seen::Exited { status }) => Some(Step::Finish { status: Some(status) }),
        // A container that was surely started and is not there any more, or that nobody watches over.
        (_, Seen::Unknown)
        | (DynoState::Up | DynoState::Down | DynoState::Crashed | DynoState::Idle, Seen::Absent) => {
            Some(Step::Finish { status: None })
        }
        (DynoState::Starting, Seen::Absent) if over => Some(Step::Finish { status: None }),
        (DynoState::Starting, Seen::Absent) => Some(Step::Launch),
        // A client comes before its dyno is started: the connection went with a server that was killed.
        (_, Seen::Running { .. }) if over || dyno.client_is_gone => Some(Step::Stop),
        (DynoState::Starting, Seen::Running { .. }) => Some(Step::MarkUp),
        (_, Seen::Running { .. }) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dyno(state: DynoState, seen: Seen) -> OneOffSeen {
        OneOffSeen { state, ending: false, seen, ends_at: None, client_is_gone: false }
    }

    #[test]
    fn it_is_launched_once_and_finished_once() {
        let running = Seen::Running { listening: false };
        let cases = [
            (DynoState::Starting, Seen::Absent, Some(Step::Launch)),
            (DynoState::Starting, running, Some(Step::MarkUp)),
            (DynoState::Up, running, None),
            (DynoState::Up, Seen::Exited { status: 7 }, Some(Step::Finish { status: Some(7) })),
            (DynoState::Up, Seen::Absent, Some(Step::Finish { status: None })),
            (DynoState::Starting, Seen::Unknown, Some(Step::Finish { status: None })),
            (DynoState::Starting, Seen::UnderWay, None),
            (DynoState::Up, Seen::UnderWay, None),
        ];
        for (state, seen, step) in cases {
            assert_eq!(plan(&dyno(state, seen), UnixMicros(0)), step, "{state:?} {seen:?}");
        }
    }

    #[test]
    fn it_ends_with_its_client() {
        for state in [DynoState::Starting, DynoState::Up] {
            let mut dyno = dyno(state, Seen::Running { listening: false });
            dyno.client_is_gone = true;
            assert_eq!(plan(&dyno, UnixMicros(0)), Some(Step::Stop));
            dyno.seen = Seen::Absent;
            assert_ne!(plan(&dyno, UnixMicros(0)), Some(Step::Stop), "there is nothing to stop");
        }
    }

    #[test]
    fn its_time_to_live_ends_it() {
        let mut dyno = dyno(DynoState::Up, Seen::Running { listening: false });
        dyno.ends_at = Some(UnixMicros(10));
        assert_eq!(plan(&dyno, UnixMicros(9)), None);
        assert_eq!(plan(&dyno, UnixMicros(10)), Some(Step::Stop));
    }
}
