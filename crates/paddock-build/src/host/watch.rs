//! A container of a build, from its start to its end.

use std::time::Duration;

use paddock_core::{ContainerId, durable};
use paddock_runtime::{ContainerSpec, ContainerState, Exit, Output};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::screen::Screen;
use super::{BuildFailure, BuildRequest, Builder, FailureKind, container};

/// Between SIGTERM and SIGKILL of a build that is stopped. Source: `docs/contract/buildpacks.md`, section 12.
const GRACE: Duration = Duration::from_secs(10);
/// How long a stopped build may take to be gone.
const END_TIME: Duration = Duration::from_secs(30);
/// How often a build's disk is looked at: one that is full ends the build, before a tool that fails for that tidies up and
/// nobody knows why.
const DISK_INTERVAL: Duration = Duration::from_secs(1);
/// After how many pieces of output the runtime may forget them.
const ACK_INTERVAL: u64 = 256;

/// Until when a build may go on.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) until: Instant,
    pub(super) cancel: &'a CancellationToken,
}

impl<'a> Bounds<'a> {
    /// Those of a build that begins now.
    pub(super) fn of(request: &BuildRequest, cancel: &'a CancellationToken) -> Self {
        Self { until: Instant::now() + request.time_limit, cancel }
    }

    /// The time that is left.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

impl Builder {
    /// Runs a container to its end, with its output on the screen.
    pub(super) async fn watch(
        &self,
        spec: ContainerSpec,
        request: &BuildRequest,
        screen: &mut Screen,
        bounds: Bounds<'_>,
    ) -> Result<Exit, BuildFailure> {
        let id = spec.id;
        durable!("build.container_started", self.runtime.start(spec).await)
            .map_err(BuildFailure::platform)?;
        let mut output = self.runtime.output(id, 0).await.map_err(BuildFailure::platform)?;
        let stopped = {
            let reading = self.read(id, &mut output, screen);
            tokio::select! {
                () = reading => None,
                () = bounds.cancel.cancelled() => Some(FailureKind::Canceled),
                () = tokio::time::sleep_until(bounds.until) => Some(FailureKind::TimedOut),
                () = self.disk_fills(request) => Some(FailureKind::OutOfDisk),
            }
        };
        if let Some(kind) = stopped {
            durable!("build.told_to_end", self.runtime.stop(id, GRACE).await)
                .map_err(BuildFailure::platform)?;
            // Its last words are still shown.
            let _ = tokio::time::timeout(GRACE + END_TIME, self.read(id, &mut output, screen)).await;
            return Err(BuildFailure::of(kind));
        }
        let exit = self.exit(id).await?;
        // The process namespace is gone with this, and only then is what the build wrote touched.
        durable!("build.container_removed", self.runtime.remove(id).await).map_err(BuildFailure::platform)?;
        if exit.status != 0 && self.disk_is_full(request).await {
            return Err(BuildFailure::of(FailureKind::OutOfDisk));
        }
        Ok(exit)
    }

    /// Ends when the build's disk is full.
    async fn disk_fills(&self, request: &BuildRequest) {
        loop {
            tokio::time::sleep(DISK_INTERVAL).await;
            if self.disk_is_full(request).await {
                return;
            }
        }
    }

    pub(super) async fn disk_is_full(&self, request: &BuildRequest) -> bool {
        let looked = self.runtime.volume_is_full(container::volume_id(request.build)).await;
        looked.unwrap_or_else(|error| {
            tracing::warn!(build.id = %request.build, error = &error as &dyn std::error::Error, "could not look at the disk of a build");
            false
        })
    }

    async fn read(&self, id: ContainerId, output: &mut mpsc::Receiver<Output>, screen: &mut Screen) {
        while let Some(piece) = output.recv().await {
            let seq = piece.seq;
            screen.piece(piece).await;
            if seq.is_multiple_of(ACK_INTERVAL)
                && let Err(error) = durable!("build.output_acknowledged", self.runtime.ack(id, seq).await)
            {
                tracing::debug!(%error, "could not acknowledge the output of a build");
            }
        }
    }

    /// Waits for the end of a container whose output has ended.
    async fn exit(&self, id: ContainerId) -> Result<Exit, BuildFailure> {
        let deadline = Instant::now() + END_TIME;
        loop {
            let all = self.runtime.observe().await.map_err(BuildFailure::platform)?;
            match all.iter().find(|observed| observed.id == id).map(|observed| observed.state) {
                Some(ContainerState::Exited { exit, .. }) => return Ok(exit),
                Some(ContainerState::Running) if Instant::now() < deadline => {}
                _ => return Err(BuildFailure::platform("what watched over the build is gone")),
            }
            // The change may have come before we listened: look again soon.
            let _ = tokio::time::timeout(Duration::from_millis(50), self.runtime.changed()).await;
        }
    }
}
