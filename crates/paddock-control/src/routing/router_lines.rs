//! Keeps the router's lines flowing into the apps' logs, each once and in order.
//!
//! Each router has a spool of its own, which holds the lines of every app, and forgets by number. A number is
//! acknowledged only when every line up to it is on disk: one app's log that cannot be written keeps its lines in the
//! spool and holds back no other app's. What comes again after a crash is dropped in the log plane by its number. The
//! spool of a router that has ended goes when all of it is on disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use paddock_core::log::{LogLine, Source};
use paddock_core::{AppId, durable};
use paddock_ipc::spool::{self, Reader, Record};
use paddock_telemetry::{LogError, LogPlane};
use uuid::Uuid;

use crate::Result;
use crate::kernel::error::{Error, chain};
use crate::kernel::numbers::Numbers;
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::wake::{Wake, Wakes};
use crate::routing::Routing;
use crate::routing::router_link::RouterLink;

/// How often the spools are looked at from outside; nothing wakes us for them.
const LOOK: Duration = Duration::from_millis(100);
/// How often everything is looked into, whatever the look from outside says.
const LOOK_INTO: Duration = Duration::from_secs(2);
/// Bytes of the spool that are read at once.
const BATCH_BYTES: usize = 256 * 1024;
/// How soon a log that could not be written is tried again, and how seldom after many times: the spool is read again
/// for it.
const AGAIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// The log plane's name for the spool of a router of version 1, which had no name: the folder `spool`. That folder
/// stays; nobody can tell whether its router has ended.
const UNNAMED: Uuid = Uuid::from_u128(0x7061_6464_6f63_6b00_0000_726f_7574_6572);

/// Carries the routers' lines into the apps' logs.
pub(crate) struct RouterLines {
    routing: Arc<Routing>,
    link: Arc<RouterLink>,
    folder: PathBuf,
    spools: Vec<Carrier>,
    looked: Option<Looked>,
}

/// The last look into the spools, and what the folder of them was then.
struct Looked {
    at: Instant,
    folder_changed_at: Option<SystemTime>,
}

impl RouterLines {
    /// From the spools in the routers' folder; `link` takes the acknowledgements.
    #[must_use]
    pub(crate) fn new(routing: Arc<Routing>, link: Arc<RouterLink>, folder: PathBuf) -> Self {
        Self { routing, link, folder, spools: Vec::new(), looked: None }
    }

    /// Whether there may be something to do, which mostly there is not. In any case everything is looked at now and then.
    fn is_called_for(&self) -> bool {
        let Some(looked) = &self.looked else { return true };
        looked.at.elapsed() >= LOOK_INTO
            || spool::changed_at(&self.folder.join("spools")) != looked.folder_changed_at
            || self.spools.iter().any(|spool| spool.is_due() || spool.may_have_more())
            // A replaced router ends some time, and its spool goes then.
            || self.spools.iter().filter(|spool| spool.name.is_some()).count() > 1
    }

    /// Looks for spools; those that no router writes any more.
    async fn find_spools(&mut self) -> Result<HashSet<Uuid>> {
        let (unnamed, folder) = (self.folder.join("spool"), self.folder.join("spools"));
        if self.spools.is_empty() {
            self.spools.push(Carrier::new(None, unnamed));
        }
        let found = tokio::task::spawn_blocking(move || spool::find(&folder)).await;
        let found = found.map_err(|error| Error::internal("look for the routers' spools", error))?;
        let found = found.map_err(|error| Error::internal("look for the routers' spools", error))?;
        let mut ended = HashSet::new();
        for one in found {
            if !one.is_held {
                ended.insert(one.name);
            }
            if self.spools.iter().all(|known| known.name != Some(one.name)) {
                self.spools.push(Carrier::new(Some(one.name), one.folder));
            }
        }
        Ok(ended)
    }

    /// Of the apps whose log could not be written, those that are there. A destroyed one has no log any more: its lines are
    /// nobody's.
    async fn existing_apps(&self) -> Result<HashSet<AppId>> {
        let due = self.spools.iter().filter(|spool| spool.is_due());
        let mut existing: HashSet<AppId> = due.flat_map(|spool| spool.owing.keys().copied()).collect();
        for app in existing.clone() {
            if self.routing.kernel.store.app(app).await?.is_none() {
                existing.remove(&app);
            }
        }
        Ok(existing)
    }

    async fn acknowledge(&mut self) {
        for spool in &mut self.spools {
            let durable = spool.durable_up_to();
            if durable > spool.acknowledged {
                let acknowledged =
                    durable!("router_lines.acknowledged", self.link.ack(spool.name, durable).await);
                match acknowledged {
                    Ok(()) => spool.acknowledged = durable,
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "router lines are acknowledged later");
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Reconciler for RouterLines {
    const NAME: &'static str = "router lines";
    const INTERVAL: Duration = LOOK;

    fn wake(wakes: &Wakes) -> Option<&Wake> {
        Some(&wakes.output)
    }

    async fn pass(&mut self) -> Result<PassReport> {
        if !self.is_called_for() {
            return Ok(PassReport::default());
        }
        let folder_changed_at = spool::changed_at(&self.folder.join("spools"));
        self.looked = Some(Looked { at: Instant::now(), folder_changed_at });
        // Before the reading: what is found ended now writes nothing that would come after it.
        let ended = self.find_spools().await?;
        let existing = match self.spools.iter().any(Carrier::is_due) {
            true => Some(self.existing_apps().await?),
            false => None,
        };
        let mut report = PassReport::default();
        let mut over = HashSet::new();
        for spool in &mut self.spools {
            let carried = spool.carry(&self.routing.kernel.logs, &self.routing.kernel.numbers).await?;
            report.done += carried.done;
            report.failed += carried.failed;
            report.again_in = report.again_in.or(carried.again_in);
            if let Some(existing) = existing.as_ref().filter(|_| spool.is_due()) {
                spool.owing.retain(|app, _| existing.contains(app));
                report.done += spool.carry_owed(&self.routing.kernel.logs).await?;
            }
            let is_empty = carried == PassReport::default() && spool.owing.is_empty();
            if let Some(name) = spool.name.filter(|name| is_empty && ended.contains(name)) {
                remove(spool.folder.clone()).await?;
                over.insert(name);
            }
        }
        self.spools.retain(|spool| spool.name.is_none_or(|name| !over.contains(&name)));
        if ended.iter().any(|name| !over.contains(name)) {
            // It goes once a reading finds nothing in it any more, which no look from outside tells.
            self.looked = None;
            report.again_in = report.again_in.or(Some(LOOK));
        }
        self.acknowledge().await;
        Ok(report)
    }
}

async fn remove(folder: PathBuf) -> Result<()> {
    let removed = tokio::task::spawn_blocking(move || {
        durable!("router_lines.spool_removed", std::fs::remove_dir_all(folder))
    })
    .await;
    removed
        .map_err(|error| Error::internal("remove the spool of a router that has ended", error))?
        .map_err(|error| Error::internal("remove the spool of a router that has ended", error))
}

/// Carries one spool into the logs of the apps whose lines are in it.
struct Carrier {
    /// None for that of version 1.
    name: Option<Uuid>,
    folder: PathBuf,
    reader: Option<Reader>,
    /// The last record that was read.
    read_up_to: u64,
    acknowledged: u64,
    /// Apps whose log could not be written, each with its first record that is not there yet. Later ones wait with it:
    /// the log plane would take an earlier number for a repeat.
    owing: BTreeMap<AppId, u64>,
    again_at: Instant,
    again_in: Duration,
}

impl Carrier {
    fn new(name: Option<Uuid>, folder: PathBuf) -> Self {
        Self {
            name,
            reader: Some(Reader::new(&folder, 0)),
            folder,
            read_up_to: 0,
            acknowledged: 0,
            owing: BTreeMap::new(),
            again_at: Instant::now(),
            again_in: *AGAIN.start(),
        }
    }

    /// The log plane's name for it.
    fn id(&self) -> Uuid {
        self.name.unwrap_or(UNNAMED)
    }

    /// Every record up to this one is in its log.
    fn durable_up_to(&self) -> u64 {
        self.owing.values().min().map_or(self.read_up_to, |first| first - 1)
    }

    /// Whether its router may have written something that was not read.
    fn may_have_more(&self) -> bool {
        self.reader.as_ref().is_none_or(Reader::may_have_more)
    }

    /// Whether something is owed and it is time to try again.
    fn is_due(&self) -> bool {
        !self.owing.is_empty() && Instant::now() >= self.again_at
    }

    /// Carries the next records, but for those of apps that are owed earlier ones.
    async fn carry(&mut self, logs: &LogPlane, numbers: &Numbers) -> Result<PassReport> {
        let reader = self.reader.take().unwrap_or_else(|| Reader::new(&self.folder, self.read_up_to));
        let (reader, records) = next_batch(reader).await?;
        self.reader = Some(reader);
        let Some(last) = records.last().map(|record| record.seq) else { return Ok(PassReport::default()) };
        let mut report = PassReport { again_in: Some(Duration::ZERO), ..PassReport::default() };
        let oldest = records.first().map(|record| record.at);
        for (app, lines) in by_app(records) {
            lines.iter().for_each(|(_, line)| numbers.request(&line.text));
            if self.owing.contains_key(&app) {
                continue;
            }
            let (first, count) = (lines.first().map_or(last, |(seq, _)| *seq), lines.len());
            match append(logs, app, self.id(), lines).await {
                Ok(()) => report.done += count,
                Err(error) => {
                    report.failed += count;
                    tracing::error!(app.id = %app, error = chain(&error), "router lines of an app wait: its log cannot be written");
                    if self.owing.is_empty() {
                        (self.again_at, self.again_in) = (Instant::now() + *AGAIN.start(), *AGAIN.start());
                    }
                    self.owing.insert(app, first);
                }
            }
        }
        self.read_up_to = last;
        numbers.log_lag("router", oldest);
        Ok(report)
    }

    /// Reads the spool again from the first owed record, for the apps that are owed something; how many were carried.
    async fn carry_owed(&mut self, logs: &LogPlane) -> Result<usize> {
        let mut carried = 0;
        let mut still_failing = HashSet::new();
        let mut reader = Reader::new(&self.folder, self.durable_up_to());
        let mut read_up_to = 0;
        while read_up_to < self.read_up_to {
            let (next, records) = next_batch(reader).await?;
            reader = next;
            let Some(last) = records.last() else { break };
            read_up_to = last.seq;
            let owed = |record: &Record| {
                let first = self.owing.get(&AppId::from_uuid(record.key));
                first.is_some_and(|first| (*first..=self.read_up_to).contains(&record.seq))
            };
            for (app, lines) in by_app(records.into_iter().filter(owed).collect()) {
                if still_failing.contains(&app) {
                    continue;
                }
                let (last, count) = (lines.last().map_or(0, |(seq, _)| *seq), lines.len());
                if append(logs, app, self.id(), lines).await.is_ok() {
                    carried += count;
                    self.owing.insert(app, last + 1);
                } else {
                    still_failing.insert(app);
                }
            }
        }
        self.owing.retain(|app, _| still_failing.contains(app));
        self.again_in = (self.again_in * 2).min(*AGAIN.end());
        self.again_at = Instant::now() + self.again_in;
        Ok(carried)
    }
}

async fn next_batch(mut reader: Reader) -> Result<(Reader, Vec<Record>)> {
    let read = tokio::task::spawn_blocking(move || {
        let records = reader.next_batch(BATCH_BYTES);
        (reader, records)
    });
    let (reader, records) = read.await.map_err(|error| Error::internal("read the router's spool", error))?;
    let records = records.map_err(|error| Error::internal("read the router's spool", error))?;
    Ok((reader, records))
}

/// Lines by the app they belong to, each in order. A record without an app is the router's own: it says that it lost
/// records of apps it does not know any more.
fn by_app(records: Vec<Record>) -> HashMap<AppId, Vec<(u64, LogLine)>> {
    let mut by_app: HashMap<AppId, Vec<(u64, LogLine)>> = HashMap::new();
    for record in records {
        let text = String::from_utf8_lossy(&record.bytes).into_owned();
        if record.key.is_nil() {
            tracing::warn!("the router's spool was full: {text}");
            continue;
        }
        let line = LogLine { at: record.at, source: Source::Heroku, process: "router".into(), text };
        by_app.entry(AppId::from_uuid(record.key)).or_default().push((record.seq, line));
    }
    by_app
}

/// Adds lines to an app's log. An app that is being destroyed takes none, and that is no failure.
async fn append(
    logs: &LogPlane,
    app: AppId,
    spool: Uuid,
    lines: Vec<(u64, LogLine)>,
) -> std::result::Result<(), LogError> {
    match logs.append_from(app, spool, lines).await {
        Ok(_) | Err(LogError::Deleted(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use paddock_core::UnixMicros;
    use paddock_core::log::LogFilter;
    use paddock_ipc::spool::Writer;
    use paddock_telemetry::Retention;

    use super::*;

    fn plane(folder: PathBuf) -> LogPlane {
        let retention = Retention { lines_min: 1500, age_min: Duration::from_secs(60), bytes_max: 1 << 24 };
        LogPlane::open(folder, retention).unwrap()
    }

    async fn texts(logs: &LogPlane, app: AppId) -> Vec<String> {
        let backlog = logs.read(app, LogFilter::default(), 100).await.unwrap();
        backlog.lines.into_iter().map(|(_, line)| line.text).collect()
    }

    fn write(spool: &mut Writer, app: AppId, text: &str) -> u64 {
        let seq = spool.append(UnixMicros(1), 0, 0, app.uuid(), text.as_bytes());
        spool.flush().unwrap();
        seq
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_written_gets_its_lines_later_and_holds_back_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let logs = plane(folder.path().join("logs"));
        let (well, ill) = (AppId::from_uuid(Uuid::from_u128(1)), AppId::from_uuid(Uuid::from_u128(2)));
        // Where its folder should be is a file.
        let in_the_way = folder.path().join("logs").join(ill.to_string());
        std::fs::write(&in_the_way, "").unwrap();
        let path = folder.path().join("spool");
        let mut spool = Writer::open(&path, 1 << 20).unwrap();
        let mut carrier = Carrier::new(None, path.clone());

        write(&mut spool, well, "well 1");
        let first_owed = write(&mut spool, ill, "ill 1");
        write(&mut spool, well, "well 2");
        let report = carrier.carry(&logs, &Numbers::default()).await.unwrap();
        assert_eq!((report.done, report.failed), (2, 1));
        write(&mut spool, ill, "ill 2");
        let last = write(&mut spool, well, "well 3");
        carrier.carry(&logs, &Numbers::default()).await.unwrap();
        assert_eq!(texts(&logs, well).await, ["well 1", "well 2", "well 3"]);
        assert_eq!(carrier.durable_up_to(), first_owed - 1, "what is not written is not acknowledged");

        assert_eq!(carrier.carry_owed(&logs).await.unwrap(), 0);
        assert_eq!(carrier.durable_up_to(), first_owed - 1);

        std::fs::remove_file(&in_the_way).unwrap();
        assert_eq!(carrier.carry_owed(&logs).await.unwrap(), 2);
        assert_eq!(texts(&logs, ill).await, ["ill 1", "ill 2"]);
        assert_eq!(carrier.durable_up_to(), last);

        // A control plane that starts again before anything was acknowledged reads everything again.
        let mut again = Carrier::new(None, path);
        again.carry(&logs, &Numbers::default()).await.unwrap();
        assert_eq!(texts(&logs, ill).await, ["ill 1", "ill 2"]);
        assert_eq!(texts(&logs, well).await, ["well 1", "well 2", "well 3"]);
        assert_eq!(again.durable_up_to(), last);
    }

    #[tokio::test]
    async fn a_destroyed_apps_lines_are_done() {
        let folder = tempfile::tempdir().unwrap();
        let logs = plane(folder.path().join("logs"));
        let app = AppId::from_uuid(Uuid::from_u128(3));
        let mut spool = Writer::open(&folder.path().join("spool"), 1 << 20).unwrap();
        let mut carrier = Carrier::new(None, folder.path().join("spool"));
        let tail = logs.tail(app, LogFilter::default(), Default::default()).await.unwrap();
        logs.delete_app(app).await.unwrap();
        let last = write(&mut spool, app, "too late");
        carrier.carry(&logs, &Numbers::default()).await.unwrap();
        drop(tail);
        assert_eq!(carrier.durable_up_to(), last);
    }
}
