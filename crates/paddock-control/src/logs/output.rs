//! Keeps the output of dynos flowing into the apps' logs, each line once and in order.
//!
//! A line is acknowledged to its spool only after the log plane has it on disk; what comes again after a crash is
//! dropped there by its number.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use paddock_core::log::{LogLine, Source};
use paddock_core::{ContainerId, durable};
use paddock_runtime::{Output, Stream};
use paddock_telemetry::{OutputError, SpooledOutputWriter};
use tokio::task::JoinHandle;

use crate::Result;
use crate::kernel::error::{Error, chain};
use crate::kernel::gather::gather;
use crate::kernel::label;
use crate::kernel::label::DynoContainer;
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::wake::{Wake, Wakes};
use crate::logs::Logs;

/// Keeps a collector at every container whose output belongs into a log.
pub(crate) struct OutputReconciler {
    logs: Arc<Logs>,
    collectors: HashMap<ContainerId, JoinHandle<()>>,
}

impl OutputReconciler {
    #[must_use]
    pub(crate) fn new(logs: Arc<Logs>) -> Self {
        Self { logs, collectors: HashMap::new() }
    }
}

#[async_trait]
impl Reconciler for OutputReconciler {
    const NAME: &'static str = "output";
    const INTERVAL: Duration = Duration::from_secs(2);

    fn wake(wakes: &Wakes) -> Option<&Wake> {
        Some(&wakes.output)
    }

    async fn pass(&mut self) -> Result<PassReport> {
        self.collectors.retain(|_, collector| !collector.is_finished());
        let observed = self.logs.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        let mut report = PassReport::default();
        for container in observed.iter().filter_map(label::dyno_of) {
            if self.collectors.contains_key(&container.id) || self.logs.kernel.drained.contains(container.id)
            {
                continue;
            }
            if !container.logged {
                self.logs.kernel.drained.insert(container.id);
                continue;
            }
            let (id, logs) = (container.id, self.logs.clone());
            #[expect(clippy::disallowed_methods, reason = "it is in the list of those that end with this")]
            let collector = tokio::spawn(async move {
                if let Err(error) = collect(&logs, &container).await {
                    // The next pass begins again after the last durable line.
                    tracing::warn!(
                        dyno.name = container.name,
                        error = chain(&error),
                        "output stopped, will go on"
                    );
                }
            });
            self.collectors.insert(id, collector);
            report.done += 1;
        }
        Ok(report)
    }
}

impl Drop for OutputReconciler {
    fn drop(&mut self) {
        for collector in self.collectors.values() {
            collector.abort();
        }
    }
}

/// Carries one container's output into its app's log until both have ended.
async fn collect(logs: &Logs, container: &DynoContainer) -> Result<()> {
    let spool = container.id.uuid();
    let after = logs.kernel.logs.last_seq(container.app, spool).await;
    let after = after.map_err(|error| Error::internal("find the last line of a dyno", error))?;
    let mut release_output = release_output(logs, container)?;
    // From the earlier of the two on: each leaves out what it has.
    let after = release_output.as_ref().map_or(after, |output| after.min(output.last_seq()));
    let mut output = match logs.runtime.output(container.id, after).await {
        Ok(output) => output,
        // Removed in the meantime: nothing more can come.
        Err(paddock_runtime::RuntimeError::NoSuchContainer(_)) => return Ok(()),
        Err(error) => return Err(Error::internal("read a dyno's output", error)),
    };
    while let Some(batch) = gather(&mut output).await {
        if let Some(writer) = &mut release_output {
            let appended = writer.append(&texts_of(&batch)).await;
            appended.map_err(|error| Error::internal("keep the output of a release phase", error))?;
        }
        let last = batch.last().map_or(0, |output| output.seq);
        let oldest = batch.first().map(|output| output.at);
        let lines = batch.into_iter().map(|output| (output.seq, line_of(&container.name, output))).collect();
        let appended = logs.kernel.logs.append_from(container.app, spool, lines).await;
        appended.map_err(|error| Error::internal("write a dyno's output to its log", error))?;
        logs.kernel.numbers.log_lag("dynos", oldest);
        let acked = durable!("output.acknowledged", logs.runtime.ack(container.id, last).await);
        acked.map_err(|error| Error::internal("acknowledge a dyno's output", error))?;
    }
    logs.kernel.drained.insert(container.id);
    logs.kernel.wakes.dynos.wake();
    Ok(())
}

/// A release dyno's output is also the release's `output_stream_url`. Its container has the release's own id.
fn release_output(logs: &Logs, container: &DynoContainer) -> Result<Option<SpooledOutputWriter>> {
    if !container.name.starts_with("release.") {
        return Ok(None);
    }
    match logs.outputs.spooled_writer(container.id.uuid()) {
        Ok(writer) => Ok(Some(writer)),
        Err(OutputError::Finished(_)) => Ok(None),
        Err(error) => Err(Error::internal("keep the output of a release phase", error)),
    }
}

fn texts_of(batch: &[Output]) -> Vec<(u64, Bytes)> {
    let text = |output: &Output| match output.ends_line {
        true => [&output.bytes[..], b"\n"].concat().into(),
        false => output.bytes.clone(),
    };
    batch.iter().map(|output| (output.seq, text(output))).collect()
}

fn line_of(dyno: &str, output: Output) -> LogLine {
    let source = if output.stream == Stream::Notice { Source::Heroku } else { Source::App };
    let text = String::from_utf8_lossy(&output.bytes).into_owned();
    LogLine { at: output.at, source, process: dyno.to_owned(), text }
}
