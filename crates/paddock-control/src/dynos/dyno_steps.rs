//! The steps of a dyno's life, carried out for the formation reconciler. Each may be repeated after a crash.
//!
//! ```text
//! (row) starting ──launch──▶ starting ──listens──▶ up ──asked to end──▶ SIGTERM ──exit──▶ (no row)
//!           │                   │ R10, exit         │ exit
//!           └───────────────────┴──────▶ crashed ◀──┘ ──retry time──▶ (no row; a new dyno of that name is made)
//! ```

use std::sync::PoisonError;

use paddock_core::ContainerId;
use paddock_core::artefact::Artefact;
use paddock_core::code::DynoCode;
use paddock_core::durable;
use paddock_core::dyno::{DYNO_METADATA, DynoKind, DynoName, DynoState};
use paddock_core::plan::formation::StopReason;
use paddock_runtime::{ContainerSpec, ContainerState, Exit, Layer, Network, Observed, RuntimeError, Stdio};
use paddock_store::{App, DesiredDynoState, Dyno, Release, Slug};

use crate::Result;
use crate::dynos::Dynos;
use crate::dynos::launch;
use crate::dynos::sight::Sight;
use crate::kernel::change::Change;
use crate::kernel::error::{Error, chain};
use crate::kernel::label;
use crate::kernel::new_dyno::new_dyno;

impl Dynos {
    /// Makes the row of a formation dyno, which is to be started; `None` where nothing is to run any more.
    pub(crate) async fn create_formation_dyno(&self, app: &App, name: &DynoName) -> Result<Option<Dyno>> {
        self.put_formation_dyno(app, name, None).await
    }

    /// Puts a new dyno in the place of a crashed one. It remembers how often it crashed in a row.
    pub(crate) async fn retry_dyno(&self, app: &App, crashed: &Dyno) -> Result<Option<Dyno>> {
        let made = self.put_formation_dyno(app, &crashed.name, Some(crashed)).await?;
        if made.is_some() {
            let line = "State changed from crashed to starting".to_owned();
            self.kernel.log_dyno(app.id, &crashed.name.to_string(), vec![line]).await;
        }
        Ok(made)
    }

    async fn put_formation_dyno(
        &self,
        app: &App,
        name: &DynoName,
        crashed: Option<&Dyno>,
    ) -> Result<Option<Dyno>> {
        let mut tx = self.kernel.observe_app(app.id, "make a dyno").await?;
        // Slug and command of one release, whatever was committed since the pass read the app.
        let release = tx.current_release(app.id).await?.filter(|release| release.slug_id.is_some());
        let Some(release) = release else { return Ok(None) };
        let Some(row) = tx.formation_of(app.id, &name.process_type).await? else { return Ok(None) };
        let mut dyno = new_dyno(&release, name, DynoKind::Formation, row.command, row.size, tx.now());
        dyno.generation = tx.generation();
        dyno.crash_count = crashed.map_or(0, |crashed| crashed.crash_count);
        dyno.exit_status = crashed.and_then(|crashed| crashed.exit_status);
        if let Some(crashed) = crashed {
            tx.delete_dyno(crashed.id).await?;
        }
        tx.put_dyno(&dyno).await?;
        tx.commit_quietly("dyno.made").await?;
        Ok(Some(dyno))
    }

    /// Starts the container of a dyno that has a row.
    pub(crate) async fn launch_dyno(&self, app: &App, dyno: &Dyno) -> Result<()> {
        let spec = match self.container_spec(app, dyno).await {
            Ok(spec) => spec,
            Err(error) if error.id == paddock_core::ErrorId::NotFound => {
                // Its slug or release is gone: it can never start.
                return self.fail_launch(app, dyno, &error.message).await;
            }
            Err(error) => return Err(error),
        };
        let name = dyno.name.to_string();
        self.kernel
            .log_dyno(app.id, &name, vec![format!("Starting process with command `{}`", dyno.command)])
            .await;
        match durable!("dyno.started", self.runtime.start(spec).await) {
            Ok(()) => {
                self.kernel.wakes.output.wake();
                Ok(())
            }
            Err(RuntimeError::Program { reason, .. }) => self.fail_launch(app, dyno, &reason).await,
            Err(error) => {
                tracing::error!(app.name = %app.name, dyno.name = name, error = chain(&error), "could not start a dyno");
                self.fail_launch(app, dyno, "the platform could not start it, see the server's log").await
            }
        }
    }

    async fn container_spec(&self, app: &App, dyno: &Dyno) -> Result<ContainerSpec> {
        let release = self.kernel.store.release(app.id, dyno.release_id).await?;
        let release = release.ok_or_else(|| Error::not_found("release"))?;
        let slug_id = release.slug_id.ok_or_else(|| Error::not_found("slug"))?;
        let slug = self.kernel.store.slug(slug_id).await?.ok_or_else(|| Error::not_found("slug"))?;
        let artefact = slug.artefact().map_err(|error| Error::internal("read the name of a layer", error))?;
        let env = self.environment(app, dyno, &release, &slug, &artefact).await?;
        let stdio = stdio_of(dyno);
        Ok(ContainerSpec {
            id: dyno.container_id.ok_or_else(|| Error::not_found("dyno"))?,
            labels: label::of_dyno(app.id, &dyno.name, stdio == Stdio::Output),
            hostname: dyno.id.to_string(),
            tenant: app.tenant(),
            layers: Layer::of(&artefact),
            mounts: Vec::new(),
            command: artefact.command(&dyno.command),
            user: artefact.user,
            env,
            working_dir: artefact.working_dir,
            limits: launch::dyno_limits(dyno.size),
            disk: launch::dyno_disk(dyno.size, self.kernel.config.dyno_disk),
            network: Network::Outbound,
            stdio,
            time_limit: None,
            leftover_grace: launch::STOP_GRACE,
        })
    }

    /// Config vars of the release, what `heroku run --env` said, and what the platform says.
    async fn environment(
        &self,
        app: &App,
        dyno: &Dyno,
        release: &Release,
        slug: &Slug,
        artefact: &Artefact,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let config = self.kernel.store.config_vars_of_release(app.id, release.id).await?;
        let extra = self.kernel.store.dyno_env(app.id, dyno.id).await?;
        let mut env = launch::dyno_env(artefact, &config, &dyno.name, dyno.port, &extra);
        let features = self.kernel.store.app_features(app.id).await?;
        if features.iter().any(|feature| feature.name == DYNO_METADATA && feature.enabled) {
            let metadata = launch::dyno_metadata(app, dyno, release, slug, &self.kernel.config.domain);
            env.retain(|(name, _)| metadata.iter().all(|(of_platform, _)| of_platform != name));
            env.extend(metadata);
        }
        Ok(env)
    }

    /// Whether a booting dyno is ready: a web dyno must listen where the router can reach it.
    pub(crate) async fn listens(&self, dyno: &Dyno, observed: &Observed) -> bool {
        let Some(port) = dyno.port else { return true };
        let listening = self.runtime.listening(observed.id).await.unwrap_or_default();
        listening.iter().any(|socket| {
            socket.port() == port && (socket.ip().is_unspecified() || Some(socket.ip()) == observed.address)
        })
    }

    /// The dyno runs, or listens: it is up.
    pub(crate) async fn mark_dyno_up(&self, app: &App, dyno: &Dyno, sight: &Sight) -> Result<()> {
        let address = sight.container(dyno).and_then(|observed| observed.address);
        let up = |dyno| Dyno { address, ..dyno };
        let Some(tx) = self.put_state(app, dyno, DynoState::Up, up).await? else { return Ok(()) };
        tx.commit_quietly("dyno.up").await?;
        self.kernel
            .log_dyno(app.id, &dyno.name.to_string(), vec!["State changed from starting to up".into()])
            .await;
        Ok(())
    }

    /// Writes what became of a dyno over what the store has of it now: the news of a start may be minutes old. The
    /// transaction is to be committed; `None` when the dyno is gone.
    pub(crate) async fn put_state(
        &self,
        app: &App,
        dyno: &Dyno,
        next: DynoState,
        change: impl FnOnce(Dyno) -> Dyno,
    ) -> Result<Option<Change<'_>>> {
        let mut tx = self.kernel.observe_app(app.id, "change the state of a dyno").await?;
        let Some(now) = tx.dyno(dyno.id).await? else { return Ok(None) };
        if !now.state.may_become(next) {
            let (name, state, next) = (&now.name, now.state.as_str(), next.as_str());
            let refused = format!("{name} is {state}, which {next} cannot follow");
            return Err(Error::internal("change the state of a dyno", refused));
        }
        let changed = Dyno { state: next, state_changed_at: tx.now(), ..change(now) };
        tx.put_dyno(&changed).await?;
        Ok(Some(tx))
    }

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
        self.kernel.log_dyno(app.id, &dyno.name.to_string(), lines).await;
        if dyno.kind == DynoKind::Release {
            self.deploy.record_release_exit(app, dyno, status).await?;
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

fn stdio_of(dyno: &Dyno) -> Stdio {
    match (dyno.attach_secret_sha256, dyno.terminal_rows.zip(dyno.terminal_columns)) {
        (None, _) => Stdio::Output,
        (Some(_), Some((rows, columns))) => Stdio::Terminal { rows, columns },
        (Some(_), None) => Stdio::Pipe,
    }
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
