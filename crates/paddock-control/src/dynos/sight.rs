//! What one pass sees of the runtime, and of the clients of one-off dynos.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use paddock_core::dyno::DynoState;
use paddock_core::plan::formation::Seen;
use paddock_core::{ContainerId, DynoId, UnixMicros};
use paddock_runtime::{ContainerState, Observed};
use paddock_store::Dyno;

use crate::Result;
use crate::dynos::Dynos;

/// What one pass sees of the runtime, and of the clients of one-off dynos.
pub(crate) struct Sight {
    pub(super) containers: HashMap<ContainerId, Observed>,
    /// Being started or ended by an errand of ours: what is seen of it is half done.
    pub(super) under_way: HashSet<ContainerId>,
    /// Who had a client before that. A client stays until its program's end was seen: so one that is seen running and had
    /// none has lost it.
    pub(super) had_client: HashSet<DynoId>,
}

impl Sight {
    /// What is seen of a dyno's container. Ports are asked for only while a web dyno boots.
    pub(super) async fn of(&self, area: &Dynos, dyno: &Dyno) -> Result<Seen> {
        if dyno.container_id.is_some_and(|container| self.under_way.contains(&container)) {
            return Ok(Seen::UnderWay);
        }
        let Some(observed) = self.container(dyno) else { return Ok(Seen::Absent) };
        Ok(match observed.state {
            ContainerState::Unknown => Seen::Unknown,
            ContainerState::Exited { at, .. } if self.has_more_to_say(area, observed, at) => {
                area.kernel.wakes.output.wake();
                Seen::UnderWay
            }
            ContainerState::Exited { exit, .. } => Seen::Exited { status: exit.status },
            ContainerState::Running if dyno.state != DynoState::Starting => Seen::Running { listening: true },
            ContainerState::Running => Seen::Running { listening: area.listens(dyno, observed).await },
        })
    }

    /// Whether the log still waits for the last output of a container that ended at `at`.
    fn has_more_to_say(&self, area: &Dynos, observed: &Observed, at: UnixMicros) -> bool {
        !area.kernel.drained.contains(observed.id) && area.kernel.now().since(at) < LAST_OUTPUT
    }

    /// The container of a dyno.
    pub(crate) fn container(&self, dyno: &Dyno) -> Option<&Observed> {
        self.containers.get(&dyno.container_id?)
    }
}

/// How long the last output of a program that has ended is waited for before the log says that it has ended. It takes
/// milliseconds; a log that takes nothing must not keep a crashed dyno up.
pub(crate) const LAST_OUTPUT: Duration = Duration::from_secs(5);
