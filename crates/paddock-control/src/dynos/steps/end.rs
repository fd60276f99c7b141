//! A dyno's end: it is taken off the routes, told to end, and forgotten when its last words are in the log.

use std::sync::PoisonError;

use paddock_core::code::DynoCode;
use paddock_core::durable;
use paddock_core::dyno::{DynoKind, DynoState};
use paddock_core::plan::formation::StopReason;
use paddock_core::{ContainerId, UnixMicros};
use paddock_runtime::{ContainerState, Exit, Observed};
use paddock_store::{App, DesiredDynoState, Dyno};

use crate::Result;
use crate::dynos::Dynos;
use crate::dynos::launch;
use crate::dynos::sight::Sight;
use crate::kernel::error::Error;

impl Dynos {
    /// Whether this process has sent SIGTERM to the container.
    pub(crate) fn is_stopping(&self, container: ContainerId) -> bool {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner).contains(&container)
    }

    /// Sends SIGTERM to every process of a container; SIGKILL follows after the grace.
    pub(crate) async fn stop_container(&self, container: ContainerId) -> Result<()> {
        let stopped = durable!("dyno.told_to_end", self.runtime.stop(container, launch::STOP_GRACE).await);
        stopped.map_err(|error| Error::internal("stop a dyno", error))?;
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner).insert(container);
        Ok(())
    }

    /// Forgets a container that has ended and whose output is in the log.
    pub(crate) async fn remove_container(&self, container: ContainerId) -> Result<()> {
        let removed = durable!("dyno.container_removed", self.runtime.remove(container).await);
        removed.map_err(|error| Error::internal("remove a container", error))?;
        self.kernel.drained.forget(container);
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner).remove(&container);
        Ok(())
    }

    /// Takes a dyno off the routes and tells its log, before SIGTERM is sent.
    pub(crate) async fn announce_stop(&self, app: &App, dyno: &Dyno, reason: StopReason) -> Result<()> {
        if dyno.desired != DesiredDynoState::Stopped {
            let mut tx = self.kernel.observe_app(app.id, "mark a dyno to end").await?;
            tx.set_dyno_desired(dyno.id, DesiredDynoState::Stopped).await?;
            tx.commit_quietly("dyno.marked_to_end").await?;
        } else {
            // A server before this one may have been ended before the router heard of it.
            self.kernel.routes.publish(app.id).await;
        }
        let mut lines = match reason {
            // Its successor is up already and has said so.
            StopReason::NewRelease => Vec::new(),
            StopReason::ScaledDown => vec![format!("State changed from {} to down", dyno.state.as_str())],
            StopReason::Requested if dyno.kind == DynoKind::Formation => {
                vec![
                    "Restarting".to_owned(),
                    format!("State changed from {} to starting", dyno.state.as_str()),
                ]
            }
            StopReason::Requested => Vec::new(),
        };
        lines.push("Stopping all processes with SIGTERM".into());
        self.kernel.log_dyno(app.id, &dyno.name.to_string(), lines).await;
        Ok(())
    }

    /// A dyno that was to end has ended, or a crashed one makes room: for its successor, if its name is still wanted.
    pub(crate) async fn forget_dyno(
        &self,
        app: &App,
        dyno: &Dyno,
        is_wanted: bool,
        sight: &Sight,
    ) -> Result<()> {
        let observed = sight.container(dyno);
        let lines = if dyno.state == DynoState::Crashed {
            let next = if is_wanted { "starting" } else { "down" };
            vec![format!("State changed from crashed to {next}")]
        } else {
            let exit = exit_of(observed).map(|exit| format!("Process exited with status {}", exit.status));
            exit_lines(observed).into_iter().chain(exit).collect()
        };
        self.kernel.log_dyno(app.id, &dyno.name.to_string(), lines).await;
        self.tell_that_none_serves(app, dyno).await?;
        self.delete_dyno_row(app, dyno).await
    }

    /// A one-off dyno has ended. Waits for its output to be in the log first; false while it is not.
    pub(crate) async fn finish_one_off(
        &self,
        app: &App,
        dyno: &Dyno,
        status: Option<i32>,
        sight: &Sight,
    ) -> Result<bool> {
        let observed = sight.container(dyno);
        if observed.is_some_and(|observed| !self.kernel.drained.contains(observed.id)) {
            self.kernel.wakes.output.wake();
            return Ok(false);
        }
        let mut lines = exit_lines(observed);
        if let Some(status) = status {
            lines.push(format!("Process exited with status {status}"));
        }
        lines.push(format!("State changed from {} to complete", dyno.state.as_str()));
        let is_cut_off = is_cut_off(dyno, observed, self.kernel.now());
        if dyno.kind == DynoKind::Release && is_cut_off {
            let minutes = launch::life_of(dyno).as_secs() / 60;
            lines.push(match dyno.desired {
                DesiredDynoState::Stopped => {
                    "The release command was stopped, so the release fails".to_owned()
                }
                DesiredDynoState::Running => {
                    format!("The release command did not end within {minutes} minutes, so the release fails")
                }
            });
        }
        self.kernel.log_dyno(app.id, &dyno.name.to_string(), lines).await;
        if dyno.kind == DynoKind::Release {
            // A program that is asked to end may call that a success, and has not done its work.
            self.deploy.record_release_exit(app, dyno, status.filter(|_| !is_cut_off)).await?;
        }
        self.delete_dyno_row(app, dyno).await.map(|()| true)
    }

    async fn delete_dyno_row(&self, app: &App, dyno: &Dyno) -> Result<()> {
        let mut tx = self.kernel.observe_app(app.id, "forget a dyno").await?;
        tx.delete_dyno(dyno.id).await?;
        tx.commit_quietly("dyno.forgotten").await?;
        if let Some(container) = dyno.container_id {
            self.stopping.lock().unwrap_or_else(PoisonError::into_inner).remove(&container);
        }
        Ok(())
    }
}

/// Whether it was ended, by request or when its time was up, and did not end by itself.
fn is_cut_off(dyno: &Dyno, observed: Option<&Observed>, now: UnixMicros) -> bool {
    let ended_at = match observed.map(|observed| observed.state) {
        Some(ContainerState::Exited { at, .. }) => at,
        _ => now,
    };
    dyno.desired == DesiredDynoState::Stopped || ended_at >= dyno.created_at + launch::life_of(dyno)
}

fn exit_of(observed: Option<&Observed>) -> Option<Exit> {
    match observed?.state {
        ContainerState::Exited { exit, .. } => Some(exit),
        ContainerState::Unknown | ContainerState::Running => None,
    }
}

/// What the manner of an end gives the platform to say, before the status.
pub(crate) fn exit_lines(observed: Option<&Observed>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(exit) = exit_of(observed) {
        if exit.out_of_memory {
            lines.push(DynoCode::R15.line());
            lines.push("Stopping process with SIGKILL".into());
        }
        if exit.killed_after_grace {
            lines.push(DynoCode::R12.line());
            lines.push("Stopping remaining processes with SIGKILL".into());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_their_codes_once_and_in_the_words_of_the_platform() {
        let said = |out_of_memory, killed_after_grace| {
            let exit = Exit { status: 137, out_of_memory, killed_after_grace };
            exit_lines(Some(&Observed {
                id: paddock_core::ContainerId::from_uuid(uuid::Uuid::nil()),
                labels: std::collections::BTreeMap::new(),
                state: ContainerState::Exited { exit, at: paddock_core::UnixMicros(0) },
                started_at: paddock_core::UnixMicros(0),
                address: None,
            }))
        };
        assert_eq!(
            said(true, false),
            ["Error R15 (Memory quota vastly exceeded)", "Stopping process with SIGKILL"]
        );
        assert!(said(false, true)[0].starts_with("Error R12 (Exit timeout) -> "));
        assert!(said(false, false).is_empty());
    }
}
