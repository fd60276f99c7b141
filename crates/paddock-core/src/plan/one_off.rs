//! What to do with a one-off dyno: it runs once, is never restarted, and is forgotten when it has ended.
//!
//! One that was made for a client is hung up on when that is gone. A program that does not care goes on, as on Heroku: the
//! log says so, once, and it lives until somebody stops it or its time is over.

use std::time::Duration;

use crate::dyno::DynoState;
use crate::plan::formation::Seen;
use crate::time::UnixMicros;

/// Between two SIGHUPs, and before R16. Source: `docs/contract/platform-behaviour.md`, section 2.
pub const HANG_UP_INTERVAL: Duration = Duration::from_secs(5);
/// So many SIGHUPs without an end, and the next word is R16. Heroku names no number.
const HANG_UPS: u32 = 3;

/// How long a dyno that was made for a client waits for it (R13 then).
pub const CLIENT_TIME_MAX: Duration = Duration::from_secs(60);

/// Who a dyno is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Nobody attaches to it.
    Nobody,
    /// Somebody who has not come yet, or has left.
    Away,
    /// Somebody who is there.
    There,
}

/// A one-off dyno as the store and the runtime know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneOffSeen {
    /// Its state in the store.
    pub state: DynoState,
    /// Whether somebody asked for it to end.
    pub ending: bool,
    /// What the runtime says of its container.
    pub seen: Seen,
    /// When it was made.
    pub made_at: UnixMicros,
    /// Who it is for.
    pub client: Client,
    /// When it must end (its time to live), if it must.
    pub ends_at: Option<UnixMicros>,
    /// Whether it is for a client that attaches, and none has been there since the pass began.
    pub client_is_gone: bool,
    /// How often it was hung up on, R16 included.
    pub hang_ups: u32,
    /// When last.
    pub hung_up_at: Option<UnixMicros>,
}

/// The one thing to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start its container.
    Launch,
    /// Its client has not come in time: say so (R13) and forget it.
    GiveUp,
    /// It runs.
    MarkUp,
    /// Send SIGTERM, and SIGKILL after the grace.
    Stop,
    /// Its client is gone: send SIGHUP.
    HangUp,
    /// It does not care: say so (R16), and leave it alone.
    TellDetached,
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
        // It is kept until the client has read the end of it.
        (_, Seen::Exited { .. } | Seen::Unknown) if is_kept(dyno) => None,
        (DynoState::Starting, Seen::Absent) if over && is_kept(dyno) => None,
        (DynoState::Up | DynoState::Down | DynoState::Crashed | DynoState::Idle, Seen::Absent)
            if is_kept(dyno) =>
        {
            None
        }
        (_, Seen::Exited { status }) => Some(Step::Finish { status: Some(status) }),
        // A container that was surely started and is not there any more, or that nobody watches over.
        (_, Seen::Unknown)
        | (DynoState::Up | DynoState::Down | DynoState::Crashed | DynoState::Idle, Seen::Absent) => {
            Some(Step::Finish { status: None })
        }
        (DynoState::Starting, Seen::Absent) if over => Some(Step::Finish { status: None }),
        // It starts when its client has come.
        (DynoState::Starting, Seen::Absent) if dyno.client == Client::Away => {
            (now >= dyno.made_at + CLIENT_TIME_MAX).then_some(Step::GiveUp)
        }
        (DynoState::Starting, Seen::Absent) => Some(Step::Launch),
        (_, Seen::Running { .. }) if over => Some(Step::Stop),
        (DynoState::Starting, Seen::Running { .. }) => Some(Step::MarkUp),
        // A client comes before its dyno is started: this one has left, or went with a server that was killed.
        (_, Seen::Running { .. }) if dyno.client_is_gone => {
            let is_due = next_hang_up_at(dyno).is_some_and(|at| at <= now);
            is_due.then_some(if dyno.hang_ups < HANG_UPS { Step::HangUp } else { Step::TellDetached })
        }
        (_, Seen::Running { .. }) => None,
    }
}

/// Whether its client is there to read the end, which nobody asked for.
fn is_kept(dyno: &OneOffSeen) -> bool {
    dyno.client == Client::There && !dyno.ending
}

/// When a running dyno whose client is gone hears of that (again); `None` when everything was said.
#[must_use]
pub fn next_hang_up_at(dyno: &OneOffSeen) -> Option<UnixMicros> {
    let is_told = !dyno.client_is_gone || dyno.hang_ups > HANG_UPS;
    (!is_told).then(|| dyno.hung_up_at.map_or(UnixMicros(0), |at| at + HANG_UP_INTERVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dyno(state: DynoState, seen: Seen) -> OneOffSeen {
        OneOffSeen {
            state,
            ending: false,
            seen,
            made_at: UnixMicros(0),
            client: Client::Nobody,
            ends_at: None,
            client_is_gone: false,
            hang_ups: 0,
            hung_up_at: None,
        }
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

    /// Every step of a dyno whose client is gone, with the second in which it comes.
    fn steps(dyno: &mut OneOffSeen) -> Vec<(i64, Step)> {
        let mut steps = Vec::new();
        for second in 0..60 {
            let now = UnixMicros(second * 1_000_000);
            while let Some(step) = plan(dyno, now) {
                steps.push((second, step));
                match step {
                    Step::MarkUp => dyno.state = DynoState::Up,
                    Step::HangUp | Step::TellDetached => {
                        (dyno.hang_ups, dyno.hung_up_at) = (dyno.hang_ups + 1, Some(now));
                    }
                    Step::Launch | Step::GiveUp | Step::Stop | Step::Finish { .. } => return steps,
                }
            }
        }
        steps
    }

    #[test]
    fn a_program_that_ignores_the_end_of_its_client_is_told_thrice_and_r16_comes_once() {
        let mut dyno = dyno(DynoState::Starting, Seen::Running { listening: false });
        assert_eq!(steps(&mut dyno), [(0, Step::MarkUp)], "its client is there");
        dyno.client_is_gone = true;
        let wanted = [(0, Step::HangUp), (5, Step::HangUp), (10, Step::HangUp), (15, Step::TellDetached)];
        assert_eq!(steps(&mut dyno), wanted);
        assert_eq!(next_hang_up_at(&dyno), None);
        dyno.ending = true;
        assert_eq!(plan(&dyno, UnixMicros(0)), Some(Step::Stop), "it can still be stopped");
    }

    #[test]
    fn what_has_ended_is_not_hung_up_on() {
        let mut dyno = dyno(DynoState::Up, Seen::Exited { status: 129 });
        dyno.client_is_gone = true;
        assert_eq!(plan(&dyno, UnixMicros(0)), Some(Step::Finish { status: Some(129) }));
        (dyno.state, dyno.seen) = (DynoState::Starting, Seen::Absent);
        assert_eq!(plan(&dyno, UnixMicros(0)), Some(Step::Launch));
    }

    #[test]
    fn it_waits_for_its_client_for_a_minute_and_ends_when_that_has_read_its_end() {
        let (minute, exited) = (CLIENT_TIME_MAX, Seen::Exited { status: 3 });
        let (finish, lost) = (Step::Finish { status: Some(3) }, Step::Finish { status: None });
        let (before, after) = (UnixMicros(0) + minute - Duration::from_micros(1), UnixMicros(0) + minute);
        let cases = [
            (Client::Nobody, DynoState::Starting, Seen::Absent, false, before, Some(Step::Launch)),
            (Client::There, DynoState::Starting, Seen::Absent, false, after, Some(Step::Launch)),
            (Client::Away, DynoState::Starting, Seen::Absent, false, before, None),
            (Client::Away, DynoState::Starting, Seen::Absent, false, after, Some(Step::GiveUp)),
            (Client::Away, DynoState::Starting, Seen::Absent, true, before, Some(lost)),
            (Client::Away, DynoState::Up, exited, false, before, Some(finish)),
            (Client::There, DynoState::Up, exited, false, before, None),
            (Client::There, DynoState::Up, Seen::Unknown, false, before, None),
            (Client::There, DynoState::Up, Seen::Absent, false, before, None),
            (Client::There, DynoState::Up, exited, true, before, Some(finish)),
            (Client::There, DynoState::Starting, Seen::Absent, true, before, Some(lost)),
        ];
        for (client, state, seen, ending, now, step) in cases {
            let dyno = OneOffSeen { client, ending, ..dyno(state, seen) };
            assert_eq!(plan(&dyno, now), step, "{client:?} {state:?} {seen:?} ending: {ending}");
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
