//! What database servers say: of a server that is one add-on's own, into the logs of the apps that have it attached, each line
//! once and in order. What a shared one says may be about anybody, and is nobody's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_addons::postgres;
use paddock_core::log::{LogLine, Source};
use paddock_core::{ContainerId, DataServerId, durable};
use paddock_runtime::{Output, RuntimeError};
use paddock_telemetry::LogError;
use tokio::task::JoinHandle;

use super::Addons;
use crate::Result;
use crate::kernel::error::{Error, chain};
use crate::kernel::gather::gather;
use crate::kernel::label;
use crate::kernel::reconcile::{PassReport, Reconciler};

/// Keeps a collector at every container of a data server.
pub(crate) struct DatabaseLogReconciler {
    addons: Arc<Addons>,
    collectors: HashMap<ContainerId, JoinHandle<()>>,
}

impl DatabaseLogReconciler {
    #[must_use]
    pub(crate) fn new(addons: Arc<Addons>) -> Self {
        Self { addons, collectors: HashMap::new() }
    }
}

#[async_trait]
impl Reconciler for DatabaseLogReconciler {
    const NAME: &'static str = "database_logs";
    const INTERVAL: Duration = Duration::from_secs(5);

    async fn pass(&mut self) -> Result<PassReport> {
        self.collectors.retain(|_, collector| !collector.is_finished());
        if self.addons.kernel.store.data_servers().await?.is_empty() {
            return Ok(PassReport::default());
        }
        let observed = self.addons.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        let mut report = PassReport::default();
        for one in &observed {
            let Some(server) = label::data_server_of(one) else { continue };
            if self.collectors.contains_key(&one.id) {
                continue;
            }
            let (id, addons) = (one.id, self.addons.clone());
            #[expect(clippy::disallowed_methods, reason = "it is in the list of those that end with this")]
            let collector = tokio::spawn(async move {
                if let Err(error) = collect(&addons, server, id).await {
                    // The next pass begins again after the last durable line.
                    tracing::info!(data_server.id = %server, error = chain(&error), "the log of a data server stopped, will go on");
                }
            });
            self.collectors.insert(id, collector);
            report.done += 1;
        }
        Ok(report)
    }
}

impl Drop for DatabaseLogReconciler {
    fn drop(&mut self) {
        for collector in self.collectors.values() {
            collector.abort();
        }
    }
}

async fn collect(addons: &Addons, server: DataServerId, container: ContainerId) -> Result<()> {
    let mut output = match addons.runtime.output(container, 0).await {
        Ok(output) => output,
        // Removed in the meantime: nothing more can come.
        Err(RuntimeError::NoSuchContainer(_)) => return Ok(()),
        Err(error) => return Err(Error::internal("read the output of a data server", error)),
    };
    let mut process = None;
    while let Some(batch) = gather(&mut output).await {
        let last = batch.last().map_or(0, |output| output.seq);
        for (app, name) in addons.hearers(server).await? {
            let mut process = process;
            let lines =
                batch.iter().map(|output| (output.seq, line_of(&name, &mut process, output))).collect();
            let appended = addons.kernel.logs.append_from(app, container.uuid(), lines).await;
            match appended {
                // An app that was destroyed meanwhile has no log: nobody reads it.
                Ok(_) | Err(LogError::Deleted(_)) => {}
                Err(error) => return Err(Error::internal("write what a data server says to a log", error)),
            }
        }
        for output in &batch {
            process = postgres::LogLine::parse(&String::from_utf8_lossy(&output.bytes)).process.or(process);
        }
        let acked = durable!("data_server.output_acknowledged", addons.runtime.ack(container, last).await);
        acked.map_err(|error| Error::internal("acknowledge the output of a data server", error))?;
    }
    Ok(())
}

impl Addons {
    /// The apps that hear what a server says, and what they call it.
    async fn hearers(&self, server: DataServerId) -> Result<Vec<(paddock_core::AppId, String)>> {
        let store = &self.kernel.store;
        let is_own = store.data_server(server).await?.is_some_and(|row| !row.shared);
        let mut hearers = Vec::new();
        if is_own {
            for addon in store.addons_on(server).await? {
                let attached = store.attachments_of_addon(addon.id).await?;
                hearers.extend(attached.into_iter().map(|one| (one.attachment.app_id, one.attachment.name)));
            }
        }
        // An app that has it under several names hears it once.
        hearers.sort();
        hearers.dedup_by_key(|(app, _)| *app);
        Ok(hearers)
    }
}

/// `app[postgres.41]: [DATABASE] [5-1] LOG:  …`; a line that goes on with another is of the same process.
fn line_of(name: &str, process: &mut Option<u32>, output: &Output) -> LogLine {
    let text = String::from_utf8_lossy(&output.bytes);
    let said = postgres::LogLine::parse(&text);
    *process = said.process.or(*process);
    LogLine {
        at: output.at,
        source: Source::App,
        process: process.map_or_else(|| "postgres".to_owned(), |pid| format!("postgres.{pid}")),
        text: format!("[{name}] {}", said.text),
    }
}
