//! The output of builds and release phases: one text each, followed while it grows.
//!
//! `ID.txt` is the text; `ID.end` says that it is finished; `ID.seq` says, for one that comes from a spool, which record
//! the text has come to. A follower looks for the mark before it reads up to the
//! end of the text, so it never takes an early end for the last one.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use paddock_core::durable;
use paddock_files::{Beside, beside};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// Most bytes of one output; a build that prints without end does not fill the disk.
pub const OUTPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const TOO_LONG: &[u8] = b"\n !     Output is too long: the rest of it is left out.\n";
const CHUNK_BYTES: u64 = 64 * 1024;
/// The wake-up is speed; the timer is truth, also for text that another process writes.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What went wrong with an output.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Nothing has been written under this id.
    #[error("no output {0}")]
    NotStarted(Uuid),
    /// It was finished before; nothing can be added.
    #[error("output {0} is finished")]
    Finished(Uuid),
    #[error("could not {doing} output {id}")]
    Disk {
        doing: &'static str,
        id: Uuid,
        #[source]
        source: io::Error,
    },
}

/// An output as the folder shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputSeen {
    pub id: Uuid,
    pub is_finished: bool,
    /// How long ago this process began it or went on with it; `None` where another did, or it has ended.
    pub begun_for: Option<Duration>,
}

/// The outputs in one folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OutputLogs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// Wakes followers in this process; entries without followers and writer are swept when another is made.
    growing: Mutex<HashMap<Uuid, watch::Sender<()>>>,
    /// What was begun here and has not ended. The dates of the files do not tell: the kernel dates them by the last tick of
    /// its clock, which may be before this process, and the clock may be set back.
    begun: Mutex<HashMap<Uuid, Instant>>,
}

impl OutputLogs {
    /// Uses `folder`, made if missing.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { shared: Arc::new(Shared { folder, growing: Mutex::default(), begun: Mutex::default() }) })
    }

    /// Every output.
    pub async fn list(&self) -> Result<Vec<OutputSeen>, OutputError> {
        let shared = self.shared.clone();
        blocking("list", Uuid::nil(), move || {
            let mut seen: BTreeMap<Uuid, OutputSeen> = BTreeMap::new();
            for entry in std::fs::read_dir(&shared.folder)? {
                let entry = entry?;
                let name = entry.file_name();
                let stem = name.to_str().and_then(|name| name.split('.').next());
                let Some(id) = stem.and_then(|stem| stem.parse::<Uuid>().ok()) else { continue };
                let one = seen.entry(id).or_insert(OutputSeen { id, is_finished: false, begun_for: None });
                one.is_finished |= Path::new(&name).extension().is_some_and(|kind| kind == "end");
            }
            // After the listing: an output is begun before its file is there.
            let begun = shared.begun();
            for one in seen.values_mut() {
                one.begun_for = begun.get(&one.id).map(Instant::elapsed);
            }
            drop(begun);
            Ok(seen.into_values().collect())
        })
        .await
    }

    /// Starts an output, or goes on with one that was not finished. One writer at a time.
    ///
    /// # Errors
    /// [`OutputError::Finished`], [`OutputError::Disk`].
    pub fn writer(&self, id: Uuid) -> Result<OutputWriter, OutputError> {
        if self.shared.is_finished(id) {
            return Err(OutputError::Finished(id));
        }
        let failed = |source| OutputError::Disk { doing: "open", id, source };
        self.shared.begun().insert(id, Instant::now());
        let opened = self.shared.open_text(id).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|source| {
            self.shared.begun().remove(&id);
            failed(source)
        })?;
        Ok(OutputWriter { shared: self.shared.clone(), id, file: Arc::new(file), bytes })
    }

    /// Starts an output whose pieces come from a spool, or goes on with it. What a killed process wrote and did not note
    /// is cut off: it comes again from the spool.
    ///
    /// # Errors
    /// [`OutputError::Finished`], [`OutputError::Disk`].
    pub fn spooled_writer(&self, id: Uuid) -> Result<SpooledOutputWriter, OutputError> {
        let failed = |source| OutputError::Disk { doing: "open", id, source };
        let mut writer = self.writer(id)?;
        let noted = self.shared.position(id).map_err(failed)?;
        if writer.bytes > noted.bytes {
            durable!("release_output.tail_cut", writer.file.set_len(noted.bytes)).map_err(failed)?;
            writer.bytes = noted.bytes;
        }
        Ok(SpooledOutputWriter { writer, last_seq: noted.seq })
    }

    /// Finishes an output whose writer is gone. Finishing a finished one succeeds.
    ///
    /// # Errors
    /// [`OutputError::Disk`].
    pub async fn abandon(&self, id: Uuid) -> Result<(), OutputError> {
        let shared = self.shared.clone();
        blocking("finish", id, move || {
            shared.open_text(id)?.sync_all()?;
            shared.finish(id)
        })
        .await
    }

    /// Follows an output from its first byte until it is finished.
    ///
    /// # Errors
    /// [`OutputError::NotStarted`], [`OutputError::Disk`].
    pub fn follow(&self, id: Uuid) -> Result<Follow, OutputError> {
        // Registered before the first look, so nothing is waited for in vain.
        let wake = self.shared.wake(id).subscribe();
        match File::open(self.shared.text_path(id)) {
            Ok(_) => Ok(Follow { shared: self.shared.clone(), id, offset: 0, wake }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OutputError::NotStarted(id)),
            Err(source) => Err(OutputError::Disk { doing: "open", id, source }),
        }
    }

    /// Deletes an output; its followers end. Deleting what is gone succeeds.
    ///
    /// # Errors
    /// [`OutputError::Disk`].
    pub async fn delete(&self, id: Uuid) -> Result<(), OutputError> {
        let shared = self.shared.clone();
        blocking("delete", id, move || {
            remove(&shared.text_path(id))?;
            remove(&shared.end_path(id))?;
            remove(&shared.position_path(id))?;
            remove(&beside(&shared.position_path(id)))?;
            shared.begun().remove(&id);
            shared.wake(id).send_replace(());
            Ok(())
        })
        .await
    }
}

#[derive(Debug)]
pub struct OutputWriter {
    shared: Arc<Shared>,
    id: Uuid,
    file: Arc<File>,
    bytes: u64,
}

impl OutputWriter {
    /// Adds bytes; followers see them at once. Beyond [`OUTPUT_BYTES_MAX`] a notice is added and the rest left out.
    ///
    /// # Errors
    /// [`OutputError::Disk`].
    pub async fn append(&mut self, bytes: impl Into<Bytes>) -> Result<(), OutputError> {
        let mut bytes: Bytes = bytes.into();
        let room = OUTPUT_BYTES_MAX.saturating_sub(self.bytes);
        if bytes.is_empty() || self.bytes > OUTPUT_BYTES_MAX {
            return Ok(());
        }
        if bytes.len() as u64 > room {
            bytes = [&bytes[..usize::try_from(room).unwrap_or(0)], TOO_LONG].concat().into();
        }
        let (file, shared, id) = (self.file.clone(), self.shared.clone(), self.id);
        self.bytes += bytes.len() as u64;
        blocking("write", id, move || {
            (&*file).write_all(&bytes)?;
            shared.wake(id).send_replace(());
            Ok(())
        })
        .await
    }

    /// Ends the output; returns once all of it is on disk.
    ///
    /// # Errors
    /// [`OutputError::Disk`].
    pub async fn finish(self) -> Result<(), OutputError> {
        let Self { shared, id, file, .. } = self;
        blocking("finish", id, move || {
            file.sync_all()?;
            shared.finish(id)
        })
        .await
    }
}

/// Adds the records of a spool to one output, each once.
#[derive(Debug)]
pub struct SpooledOutputWriter {
    writer: OutputWriter,
    last_seq: u64,
}

impl SpooledOutputWriter {
    /// The record that the output has come to; 0 when it has none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Adds records, which ascend; those that it has are left out.
    ///
    /// # Errors
    /// [`OutputError::Disk`].
    pub async fn append(&mut self, records: &[(u64, Bytes)]) -> Result<(), OutputError> {
        let new = records.iter().filter(|(seq, _)| *seq > self.last_seq);
        let (mut text, mut last_seq) = (Vec::new(), self.last_seq);
        for (seq, bytes) in new {
            text.extend_from_slice(bytes);
            last_seq = *seq;
        }
        if last_seq == self.last_seq {
            return Ok(());
        }
        self.writer.append(text).await?;
        let (shared, id) = (self.writer.shared.clone(), self.writer.id);
        let position = Position { seq: last_seq, bytes: self.writer.bytes };
        blocking("note the position of", id, move || shared.note(id, position)).await?;
        self.last_seq = last_seq;
        Ok(())
    }
}

/// How far an output has come: a record of its spool, and the length of its text then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Position {
    seq: u64,
    bytes: u64,
}

#[derive(Debug)]
pub struct Follow {
    shared: Arc<Shared>,
    id: Uuid,
    offset: u64,
    wake: watch::Receiver<()>,
}

impl Follow {
    /// The next bytes; `None` at the end of a finished or deleted output. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`OutputError::Disk`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, OutputError> {
        loop {
            self.wake.borrow_and_update();
            let (shared, id, offset) = (self.shared.clone(), self.id, self.offset);
            let (is_over, bytes) = blocking("read", id, move || shared.look(id, offset)).await?;
            if !bytes.is_empty() {
                self.offset += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            if is_over {
                return Ok(None);
            }
            // Elapsed is as good as woken: look again.
            let _ = tokio::time::timeout(LOOK_AGAIN, self.wake.changed()).await;
        }
    }
}

impl Shared {
    fn text_path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.txt"))
    }

    fn end_path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.end"))
    }

    fn position_path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.seq"))
    }

    /// The text, begun if it is not there.
    fn open_text(&self, id: Uuid) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.text_path(id))
    }

    fn is_finished(&self, id: Uuid) -> bool {
        self.end_path(id).exists()
    }

    fn position(&self, id: Uuid) -> io::Result<Position> {
        let text = match std::fs::read_to_string(self.position_path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Position::default()),
            text => text?,
        };
        let noted =
            text.split_once(' ').and_then(|(seq, bytes)| Some((seq.parse().ok()?, bytes.parse().ok()?)));
        let (seq, bytes) = noted.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Position { seq, bytes })
    }

    /// Replaced whole: what the text has beyond the old one is cut off after a kill.
    fn note(&self, id: Uuid, Position { seq, bytes }: Position) -> io::Result<()> {
        let path = self.position_path(id);
        let file = Beside::write(&path, format!("{seq} {bytes}"))?;
        durable!("release_output.noted", file.replace())
    }

    fn finish(&self, id: Uuid) -> io::Result<()> {
        durable!("build_output.ended", File::create(self.end_path(id)))?.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        self.begun().remove(&id);
        self.wake(id).send_replace(());
        Ok(())
    }

    fn wake(&self, id: Uuid) -> watch::Sender<()> {
        let mut growing = self.growing();
        if let Some(sender) = growing.get(&id) {
            return sender.clone();
        }
        growing.retain(|_, sender| sender.receiver_count() > 0);
        growing.entry(id).or_insert_with(|| watch::Sender::new(())).clone()
    }

    fn growing(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<Uuid, Instant>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there will be no more than what is there now, and the bytes from `offset` on.
    fn look(&self, id: Uuid, offset: u64) -> io::Result<(bool, Bytes)> {
        let is_finished = self.is_finished(id);
        let mut file = match File::open(self.text_path(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((true, Bytes::new())),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(CHUNK_BYTES).read_to_end(&mut bytes)?;
        Ok((is_finished, bytes.into()))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match durable!("build_output.removed", std::fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    doing: &'static str,
    id: Uuid,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, OutputError> {
    let outcome = spawn_blocking(work).await.map_err(io::Error::other);
    outcome.and_then(|outcome| outcome).map_err(|source| OutputError::Disk { doing, id, source })
}
