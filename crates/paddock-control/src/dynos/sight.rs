//! What one pass sees of the runtime, and of the clients of one-off dynos.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use paddock_core::dyno::DynoState;
use paddock_core::plan::formation::Seen;
use paddock_core::{AppId, ContainerId, DynoId, UnixMicros};
use paddock_runtime::{ContainerState, Observed};
use paddock_store::Dyno;

use crate::Result;
use crate::dynos::Dynos;
use crate::kernel::label;

/// What one pass sees of the runtime, and of the clients of one-off dynos.
pub(crate) struct Sight {
    pub(super) containers: HashMap<ContainerId, Observed>,
    /// Those of dynos, by app.
    pub(super) dynos: HashMap<AppId, Vec<ContainerId>>,
    /// Being started or ended by an errand of ours: what is seen of it is half done.
    pub(super) under_way: HashSet<ContainerId>,
    /// Who had a client before that. A client stays until its program's end was seen: so one that is seen running and had
    /// none has lost it.
    pub(super) had_client: HashSet<DynoId>,
}

impl Sight {
    pub(super) fn new(
        observed: Vec<Observed>,
        under_way: HashSet<ContainerId>,
        had_client: HashSet<DynoId>,
    ) -> Self {
        let mut dynos: HashMap<AppId, Vec<ContainerId>> = HashMap::new();
        for container in observed.iter().filter_map(label::dyno_of) {
            dynos.entry(container.app).or_default().push(container.id);
        }
        let containers = observed.into_iter().map(|seen| (seen.id, seen)).collect();
        Self { containers, dynos, under_way, had_client }
    }

    /// The containers of an app's dynos.
    pub(super) fn containers_of(&self, app: AppId) -> impl Iterator<Item = &Observed> {
        self.dynos.get(&app).into_iter().flatten().filter_map(|id| self.containers.get(id))
    }

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

    pub(crate) fn container(&self, dyno: &Dyno) -> Option<&Observed> {
        self.containers.get(&dyno.container_id?)
    }
}

/// How long the last output of a program that has ended is waited for before the log says that it has ended. It takes
/// milliseconds; a log that takes nothing must not keep a crashed dyno up.
pub(crate) const LAST_OUTPUT: Duration = Duration::from_secs(5);
