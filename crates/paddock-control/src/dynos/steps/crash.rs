//! A dyno that crashed: what is recorded, what its log is told, when it is tried again.

use std::time::Duration;

use paddock_core::code::DynoCode;
use paddock_core::durable;
use paddock_core::dyno::DynoState;
use paddock_core::plan::backoff;
use paddock_core::{ContainerId, UnixMicros};
use paddock_runtime::Observed;
use paddock_store::{App, Dyno};

use crate::Result;
use crate::dynos::Dynos;
use crate::dynos::sight::LAST_OUTPUT;
use crate::dynos::steps::end::exit_lines;
use crate::dynos::steps::observe::boot_hint;
use crate::kernel::error::Error;

impl Dynos {
    pub(crate) async fn fail_launch(&self, app: &App, dyno: &Dyno, reason: &str) -> Result<()> {
        let retry_at = self.record_crash(app, dyno, None).await?;
        let mut lines = vec![
            format!("Error: the process could not be started: {reason}"),
            format!("State changed from {} to crashed", dyno.state.as_str()),
        ];
        lines.extend(retry_at.and_then(|at| next_try(at, self.kernel.now())));
        self.kernel.log_dyno(app.id, &dyno.name.to_string(), lines).await;
        self.tell_who_serves(app, dyno).await
    }

    /// Its program ended though it should run.
    pub(crate) async fn mark_dyno_crashed(
        &self,
        app: &App,
        dyno: &Dyno,
        status: Option<i32>,
        observed: Option<&Observed>,
    ) -> Result<()> {
        let mut lines = exit_lines(observed);
        if let Some(status) = status {
            lines.push(format!("Process exited with status {status}"));
        }
        lines.push(format!("State changed from {} to crashed", dyno.state.as_str()));
        let retry_at = self.record_crash(app, dyno, status).await?;
        lines.extend(retry_at.and_then(|at| next_try(at, self.kernel.now())));
        self.kernel.log_dyno(app.id, &dyno.name.to_string(), lines).await;
        self.tell_who_serves(app, dyno).await
    }

    /// When it is tried again; `None` when it is gone.
    async fn record_crash(&self, app: &App, dyno: &Dyno, status: Option<i32>) -> Result<Option<UnixMicros>> {
        let now = self.kernel.now();
        let mut retry_at = None;
        let crashed = |dyno: Dyno| {
            let ran_for =
                if dyno.state == DynoState::Up { now.since(dyno.state_changed_at) } else { Duration::ZERO };
            let before = u32::try_from(dyno.crash_count).unwrap_or(u32::MAX);
            let in_a_row = backoff::crashes_in_a_row(before, ran_for);
            retry_at = Some(backoff::retry_at(in_a_row, now));
            Dyno { exit_status: status, crash_count: i64::from(in_a_row), retry_at, ..dyno }
        };
        let Some(tx) = self.put_state(app, dyno, DynoState::Crashed, crashed).await? else { return Ok(None) };
        tx.commit_quietly("dyno.crashed").await?;
        Ok(retry_at)
    }

    /// R10: it did not listen in time. Says which ports it did bind, which is the commonest mistake.
    pub(crate) async fn end_boot(&self, app: &App, dyno: &Dyno) -> Result<()> {
        let Some(container) = dyno.container_id else { return Ok(()) };
        let listening = self.runtime.listening(container).await.unwrap_or_default();
        let lines = vec![
            DynoCode::R10.line(),
            boot_hint(dyno.port.unwrap_or(0), &listening),
            "Stopping process with SIGKILL".into(),
        ];
        self.kernel.log_dyno(app.id, &dyno.name.to_string(), lines).await;
        let stopped = durable!("dyno.boot_ended", self.runtime.stop(container, Duration::ZERO).await);
        stopped.map_err(|error| Error::internal("stop a dyno", error))?;
        self.last_output(container).await;
        self.mark_dyno_crashed(app, dyno, Some(137), None).await
    }

    /// Waits until what a program has said before its end is in the log.
    async fn last_output(&self, container: ContainerId) {
        let until = tokio::time::Instant::now() + LAST_OUTPUT;
        let mut woken = self.kernel.wakes.dynos.listen();
        while !self.kernel.drained.contains(container) && tokio::time::Instant::now() < until {
            self.kernel.wakes.output.wake();
            woken.heard(Duration::from_millis(200)).await;
        }
    }
}

/// What the log is told of a try that comes later. The first one is made at once and tells of itself.
fn next_try(at: UnixMicros, now: UnixMicros) -> Option<String> {
    let seconds = at.since(now).as_secs();
    let (count, unit) = match seconds.div_ceil(60) {
        minutes if minutes < 120 => (minutes, "minute"),
        minutes => (minutes.div_ceil(60), "hour"),
    };
    let plural = if count == 1 { "" } else { "s" };
    (seconds > 0).then(|| format!("Next try in {count} {unit}{plural}, or at once by heroku ps:restart"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_that_is_not_made_at_once_is_announced() {
        let said = |seconds| next_try(UnixMicros(0) + Duration::from_secs(seconds), UnixMicros(0));
        assert_eq!(said(0), None);
        assert_eq!(said(600).as_deref(), Some("Next try in 10 minutes, or at once by heroku ps:restart"));
        assert_eq!(said(60).as_deref(), Some("Next try in 1 minute, or at once by heroku ps:restart"));
        assert_eq!(said(24 * 3600).as_deref(), Some("Next try in 24 hours, or at once by heroku ps:restart"));
    }
}
