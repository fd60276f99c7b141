//! Keeps the output of dynos and the router's lines flowing into the apps' logs, each line once and in order.
//!
//! A line is acknowledged to its spool only after the log plane has it on disk; what comes again after a crash is
//! dropped there by its number. Design, section 6, "log line".

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::log::{LogLine, Source};
use paddock_core::{AppId, ContainerId};
use paddock_ipc::spool::{Reader, Record};
use paddock_runtime::{Output, Stream};
use paddock_telemetry::{OutputError, OutputWriter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{PassReport, Reconciler};
use crate::error::{Error, chain};
use crate::label::{self, DynoContainer};
use crate::router_link::RouterLink;
use crate::{Control, Result};

/// Most lines that are made durable together.
const BATCH: usize = 1000;
/// How long a batch may wait to become larger: an fsync costs more.
const GATHER: Duration = Duration::from_millis(3);
/// How often the router's spool is looked at; nothing wakes us for it.
const ROUTER_LOOK: Duration = Duration::from_millis(100);
/// Bytes of the router's spool that are read at once.
const ROUTER_BATCH_BYTES: usize = 256 * 1024;
/// The log plane's name for the router's spool.
const ROUTER_SPOOL: Uuid = Uuid::from_u128(0x7061_6464_6f63_6b00_0000_726f_7574_6572);

/// Containers whose output is in the log to its end: they can be removed.
#[derive(Debug, Default)]
pub(crate) struct Drained(Mutex<HashSet<ContainerId>>);

impl Drained {
    pub(crate) fn insert(&self, id: ContainerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    pub(crate) fn contains(&self, id: ContainerId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    pub(crate) fn forget(&self, id: ContainerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Keeps a collector at every container whose output belongs into a log.
pub struct OutputReconciler {
    control: Arc<Control>,
    collectors: HashMap<ContainerId, JoinHandle<()>>,
}

impl OutputReconciler {
    /// For this control plane.
    #[must_use]
    pub fn new(control: Arc<Control>) -> Self {
        Self { control, collectors: HashMap::new() }
    }
}

#[async_trait]
impl Reconciler for OutputReconciler {
    const NAME: &'static str = "output";
    const INTERVAL: Duration = Duration::from_secs(2);

    async fn pass(&mut self) -> Result<PassReport> {
        self.collectors.retain(|_, collector| !collector.is_finished());
        let observed = self.control.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        let mut report = PassReport::default();
        for container in observed.iter().filter_map(label::dyno_of) {
            if self.collectors.contains_key(&container.id) || self.control.drained.contains(container.id) {
                continue;
            }
            if !container.logged {
                self.control.drained.insert(container.id);
                continue;
            }
            let (id, control) = (container.id, self.control.clone());
            let collector = tokio::spawn(async move {
                if let Err(error) = collect(&control, &container).await {
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
async fn collect(control: &Control, container: &DynoContainer) -> Result<()> {
    let spool = container.id.uuid();
    let after = control.logs.last_seq(container.app, spool).await;
    let after = after.map_err(|error| Error::internal("find the last line of a dyno", error))?;
    let mut output = match control.runtime.output(container.id, after).await {
        Ok(output) => output,
        // Removed in the meantime: nothing more can come.
        Err(paddock_runtime::RuntimeError::NoSuchContainer(_)) => return Ok(()),
        Err(error) => return Err(Error::internal("read a dyno's output", error)),
    };
    let mut release_output = release_output(control, container)?;
    while let Some(batch) = gather(&mut output).await {
        if let Some(writer) = &mut release_output {
            let appended = writer.append(text_of(&batch)).await;
            appended.map_err(|error| Error::internal("keep the output of a release phase", error))?;
        }
        let last = batch.last().map_or(0, |output| output.seq);
        let lines = batch.into_iter().map(|output| (output.seq, line_of(&container.name, output))).collect();
        let appended = control.logs.append_from(container.app, spool, lines).await;
        appended.map_err(|error| Error::internal("write a dyno's output to its log", error))?;
        let acked = control.runtime.ack(container.id, last).await;
        acked.map_err(|error| Error::internal("acknowledge a dyno's output", error))?;
    }
    control.drained.insert(container.id);
    control.wakes.dynos.wake();
    Ok(())
}

/// A release dyno's output is also the release's `output_stream_url`. Its container has the release's own id.
fn release_output(control: &Control, container: &DynoContainer) -> Result<Option<OutputWriter>> {
    if !container.name.starts_with("release.") {
        return Ok(None);
    }
    match control.outputs.writer(container.id.uuid()) {
        Ok(writer) => Ok(Some(writer)),
        Err(OutputError::Finished(_)) => Ok(None),
        Err(error) => Err(Error::internal("keep the output of a release phase", error)),
    }
}

fn text_of(batch: &[Output]) -> Vec<u8> {
    let mut text = Vec::new();
    for output in batch {
        text.extend_from_slice(&output.bytes);
        if output.ends_line {
            text.push(b'\n');
        }
    }
    text
}

/// The next lines, as many as come within a moment; `None` at the end.
async fn gather(output: &mut mpsc::Receiver<Output>) -> Option<Vec<Output>> {
    let mut batch = Vec::new();
    if output.recv_many(&mut batch, BATCH).await == 0 {
        return None;
    }
    let until = tokio::time::Instant::now() + GATHER;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match tokio::time::timeout_at(until, output.recv_many(&mut batch, room)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
    Some(batch)
}

fn line_of(dyno: &str, output: Output) -> LogLine {
    let source = if output.stream == Stream::Notice { Source::Heroku } else { Source::App };
    let text = String::from_utf8_lossy(&output.bytes).into_owned();
    LogLine { at: output.at, source, process: dyno.to_owned(), text }
}

/// Carries the router's lines into the apps' logs.
pub struct RouterLines {
    control: Arc<Control>,
    link: Arc<RouterLink>,
    reader: Option<Reader>,
    spool: PathBuf,
}

impl RouterLines {
    /// From the router's spool folder; `link` takes the acknowledgements.
    #[must_use]
    pub fn new(control: Arc<Control>, link: Arc<RouterLink>, spool: PathBuf) -> Self {
        Self { control, link, reader: None, spool }
    }

    async fn read(&mut self) -> Result<Vec<Record>> {
        let mut reader = self.reader.take().unwrap_or_else(|| Reader::new(&self.spool, 0));
        let read = tokio::task::spawn_blocking(move || {
            let records = reader.next_batch(ROUTER_BATCH_BYTES);
            (reader, records)
        });
        let (reader, records) =
            read.await.map_err(|error| Error::internal("read the router's spool", error))?;
        let records = records.map_err(|error| Error::internal("read the router's spool", error))?;
        self.reader = Some(reader);
        Ok(records)
    }
}

#[async_trait]
impl Reconciler for RouterLines {
    const NAME: &'static str = "router lines";
    const INTERVAL: Duration = ROUTER_LOOK;

    async fn pass(&mut self) -> Result<PassReport> {
        let records = self.read().await?;
        let Some(last) = records.last().map(|record| record.seq) else { return Ok(PassReport::default()) };
        let mut by_app: HashMap<AppId, Vec<(u64, LogLine)>> = HashMap::new();
        for record in records {
            let text = String::from_utf8_lossy(&record.bytes).into_owned();
            let line = LogLine { at: record.at, source: Source::Heroku, process: "router".into(), text };
            by_app.entry(AppId::from_uuid(record.key)).or_default().push((record.seq, line));
        }
        let mut report = PassReport { again_in: Some(Duration::ZERO), ..PassReport::default() };
        for (app, lines) in by_app {
            report.done += lines.len();
            if let Err(error) = self.control.logs.append_from(app, ROUTER_SPOOL, lines).await {
                // One app's log that cannot be written does not hold back the others' lines.
                report.failed += 1;
                tracing::error!(app.id = %app, error = chain(&error), "router lines of an app are lost");
            }
        }
        if let Err(error) = self.link.ack(last).await {
            tracing::debug!(error = chain(&error), "could not acknowledge router lines; the next ones will");
        }
        Ok(report)
    }
}
