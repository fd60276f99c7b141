//! The routes on disk: the last whole table, and beside it a journal of the changes since.
//!
//! Whoever is killed leaves the old table or the new one, and a journal whose last line may be cut: that change was not
//! acknowledged. Not synced: after a power cut the dynos are gone as well, and `serve` sends a table before anything
//! answers.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use paddock_files::Beside;
use paddock_ipc::routes::{AppChange, RouteTable};

const TABLE: &str = "routes.json";
const JOURNAL: &str = "routes.journal";
/// A journal that is shorter never becomes a table, however small that is.
const JOURNAL_BYTES_MIN: u64 = 256 * 1024;

/// What is on disk, and how much of it is good.
pub(crate) struct Kept {
    table: PathBuf,
    journal: PathBuf,
    /// Opened with the first change: a router that only begins leaves the folder to the one that it replaces.
    appended_to: Option<File>,
    journal_bytes: u64,
    table_bytes: u64,
}

impl Kept {
    /// What an earlier router left in `folder`; no table where there was none, or none that can be read.
    pub(crate) fn open(folder: &Path) -> (Self, Option<RouteTable>) {
        let (table, journal) = (folder.join(TABLE), folder.join(JOURNAL));
        let mut kept = Self { table, journal, appended_to: None, journal_bytes: 0, table_bytes: 0 };
        match kept.read() {
            Ok(table) => (kept, table),
            Err(error) => {
                let path = kept.table.display().to_string();
                tracing::error!(path, %error, "the kept routes cannot be read: waiting for serve");
                (kept, None)
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.table
    }

    /// Keeps a whole table. Blocks on the disk.
    #[expect(clippy::disallowed_methods, reason = "files of a process of its own")]
    pub(crate) fn put(&mut self, table: &RouteTable) -> io::Result<()> {
        let json = serde_json::to_vec(table)?;
        Beside::write(&self.table, &json)?.replace()?;
        self.table_bytes = json.len() as u64;
        // What is in a journal that stays led to an older table, and is passed over.
        self.appended_to = None;
        match std::fs::remove_file(&self.journal) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "could not remove the journal of routes");
            }
            Ok(()) | Err(_) => self.journal_bytes = 0,
        }
        Ok(())
    }

    /// Keeps a change of what was kept last. Blocks on the disk.
    pub(crate) fn append(&mut self, change: &AppChange) -> io::Result<()> {
        let line = line(change)?;
        let file = match &mut self.appended_to {
            Some(file) => file,
            none => none.insert(OpenOptions::new().append(true).create(true).open(&self.journal)?),
        };
        // Half a line that a full disk or a kill left would hide what comes after it.
        if file.metadata()?.len() != self.journal_bytes {
            #[expect(clippy::disallowed_methods, reason = "a file of a process of its own")]
            file.set_len(self.journal_bytes)?;
        }
        file.write_all(&line)?;
        self.journal_bytes += line.len() as u64;
        Ok(())
    }

    /// Whether the journal is longer than the table that would take its place.
    pub(crate) fn is_outgrown(&self) -> bool {
        self.journal_bytes > self.table_bytes.max(JOURNAL_BYTES_MIN)
    }

    /// Makes one table of the last one and the journal. Blocks on the disk.
    pub(crate) fn compact(&mut self) -> io::Result<()> {
        match self.read()? {
            Some(table) => self.put(&table),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn read(&mut self) -> io::Result<Option<RouteTable>> {
        let Some(json) = read_if_there(&self.table)? else { return Ok(None) };
        let mut table = serde_json::from_slice::<RouteTable>(&json)?.with_hosts_of_apps();
        let journal = read_if_there(&self.journal)?.unwrap_or_default();
        let good = replay(&mut table, &journal);
        if good < journal.len() {
            let cut = journal.len() - good;
            tracing::warn!(
                bytes = cut,
                generation = table.generation,
                "the end of the journal of routes is none"
            );
        }
        (self.table_bytes, self.journal_bytes) = (json.len() as u64, good as u64);
        Ok(Some(table))
    }
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A change as a line: the check sum of its JSON, and that.
fn line(change: &AppChange) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(change)?;
    let mut line = Vec::with_capacity(json.len() + 10);
    write!(line, "{:08x} ", crc32fast::hash(&json))?;
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

fn parse(line: &[u8]) -> Option<AppChange> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let is_whole = sum == format!("{:08x} ", crc32fast::hash(json)).as_bytes();
    is_whole.then(|| serde_json::from_slice(json).ok())?
}

/// Carries out what a journal says, up to the first line that is none or follows nothing. How many bytes that were.
fn replay(table: &mut RouteTable, journal: &[u8]) -> usize {
    let mut good = 0;
    for line in journal.split_inclusive(|byte| *byte == b'\n') {
        let Some(change) = parse(line) else { break };
        // A line of before the table: the journal was not removed when that was written.
        let is_older = change.generation <= table.generation;
        if !is_older && !table.change(change) {
            break;
        }
        good += line.len();
    }
    good
}

#[cfg(test)]
mod tests;
