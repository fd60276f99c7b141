//! Which range of user ids a server has. Fifteen fit on a machine; no two servers of it share one.
//!
//! A data directory keeps its range for ever, since files in it belong to those ids. A new one takes the first that no
//! other directory of this machine has claimed since the machine was started, beginning with one of its own choice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::kept_file::keep_file;

/// How many ranges there are.
pub(crate) const RANGES: u32 = 15;

/// Claims of this machine's servers, gone with a reboot as their processes are.
const CLAIMS: &str = "/run/paddock-id-ranges";
/// In a data directory: its range.
const KEPT: &str = "id-range";

/// A range, and who else has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Its number, below [`RANGES`].
    pub(crate) range: u32,
    /// Another data directory with the same one, which cannot be helped any more.
    pub(crate) shared_with: Option<PathBuf>,
}

/// The range that a data directory keeps, if it does. What cannot be read is an error: files in it belong to some range.
pub(crate) fn kept(data: &Path) -> io::Result<Option<u32>> {
    let file = data.join(KEPT);
    let text = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let range = text.trim().parse().ok().filter(|range| *range < RANGES);
    range.map(Some).ok_or_else(|| {
        let what = format!("{} holds no range of user ids, a number below {RANGES}", file.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

/// Keeps a range in a data directory; on disk when this answers.
pub(crate) fn keep(data: &Path, range: u32) -> io::Result<()> {
    if kept(data)? != Some(range) {
        keep_file(&data.join(KEPT), &format!("{range}\n"))?;
    }
    Ok(())
}

/// Claims a range for a data directory: the one that it has, by the file in it or by its path where it is from before
/// there were such files, else the first free one from `preferred` on.
pub(crate) fn claim(data: &Path, preferred: u32) -> io::Result<Claim> {
    claim_in(Path::new(CLAIMS), data, preferred)
}

fn claim_in(file: &Path, data: &Path, preferred: u32) -> io::Result<Claim> {
    let mut options = File::options();
    let options = options.create(true).truncate(false).write(true).mode(0o600);
    let lock = options.open(file.with_extension("lock"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let text = std::fs::read(file).unwrap_or_default();
    let mut claims: BTreeMap<u32, PathBuf> = serde_json::from_slice(&text).unwrap_or_default();
    let claimed = claims.iter().find(|(_, other)| *other == data).map(|(range, _)| *range);
    claims.retain(|_, other| other != data && other.exists());
    let from_before = data.join("db").exists().then_some(preferred);
    let free = || {
        let mut ranges = (0..RANGES).map(|step| (preferred + step) % RANGES);
        ranges.find(|range| !claims.contains_key(range)).unwrap_or(preferred)
    };
    let range = kept(data)?.or(claimed).or(from_before).unwrap_or_else(free);
    let shared_with = claims.get(&range).cloned();
    claims.entry(range).or_insert_with(|| data.to_owned());
    keep_file(file, &serde_json::to_string(&claims)?)?;
    Ok(Claim { range, shared_with })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn servers_of_one_machine_have_ranges_of_their_own_and_keep_them() {
        let machine = TempDir::new().unwrap();
        let file = machine.path().join("claims");
        let folders: Vec<_> = (0..RANGES).map(|_| TempDir::new().unwrap()).collect();
        let mut ranges: Vec<_> = folders
            .iter()
            .map(|folder| {
                let claim = claim_in(&file, folder.path(), 3).unwrap();
                assert_eq!(claim.shared_with, None);
                keep(folder.path(), claim.range).unwrap();
                claim.range
            })
            .collect();
        assert_eq!(ranges[0], 3);
        let second = claim_in(&file, folders[1].path(), 3).unwrap();
        assert_eq!((second.range, second.shared_with), (ranges[1], None), "again, the same");
        ranges.sort_unstable();
        assert_eq!(ranges, (0..RANGES).collect::<Vec<_>>());

        let late = TempDir::new().unwrap();
        let claim = claim_in(&file, late.path(), 3).unwrap();
        assert_eq!(claim, Claim { range: 3, shared_with: Some(folders[0].path().to_owned()) });
        drop(folders);
        assert_eq!(claim_in(&file, late.path(), 3).unwrap().shared_with, None, "what is gone claims nothing");
    }

    #[test]
    fn a_folder_from_before_stays_with_the_range_of_its_path() {
        let (machine, other, old) =
            (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
        let file = machine.path().join("claims");
        assert_eq!(claim_in(&file, other.path(), 7).unwrap().range, 7);
        std::fs::create_dir(old.path().join("db")).unwrap();
        let claim = claim_in(&file, old.path(), 7).unwrap();
        assert_eq!(claim, Claim { range: 7, shared_with: Some(other.path().to_owned()) });
    }

    #[test]
    fn a_range_that_cannot_be_read_is_not_replaced() {
        let (machine, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        std::fs::write(data.path().join(KEPT), "fifteen\n").unwrap();
        let refused = claim_in(&machine.path().join("claims"), data.path(), 1).unwrap_err().to_string();
        assert!(refused.contains("holds no range") && refused.contains(KEPT), "{refused}");
        assert!(keep(data.path(), 1).is_err());
        assert_eq!(std::fs::read_to_string(data.path().join(KEPT)).unwrap(), "fifteen\n");
    }

    #[test]
    fn a_claim_that_is_not_kept_yet_is_found_again() {
        let (machine, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let file = machine.path().join("claims");
        let first = claim_in(&file, data.path(), 1).unwrap();
        std::fs::create_dir(data.path().join("db")).unwrap();
        assert_eq!(claim_in(&file, data.path(), 9).unwrap(), first, "as after a restore");
    }
}
