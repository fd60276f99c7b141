//! Backups of a folder that are named for their time: the newest stay.

use std::io;
use std::path::{Path, PathBuf};

const BEFORE: &str = "paddock-";
const AFTER: &str = ".backup";
/// Of a backup that lacks a database: it counts for none, and displaces none.
const INCOMPLETE: &str = ".incomplete";

/// The name of a backup of this time. They sort as their times do.
pub(super) fn name(at: jiff::Timestamp) -> String {
    format!("{BEFORE}{}{AFTER}", at.strftime("%Y%m%dT%H%M%SZ"))
}

/// Where a backup goes that lacks something.
pub(super) fn incomplete(to: &Path) -> PathBuf {
    let mut name = to.to_owned().into_os_string();
    name.push(INCOMPLETE);
    PathBuf::from(name)
}

/// Removes those of a folder that lack something, but the newest, which is the one that is `kept`.
pub(super) fn remove_incomplete_but(folder: &Path, kept: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_one = name.to_str().and_then(|name| name.strip_suffix(INCOMPLETE)).is_some_and(is_named);
        if is_one && entry.path() != kept {
            #[expect(
                clippy::disallowed_methods,
                reason = "a file of the operator's, outside the data folder"
            )]
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a file is a backup that we named.
fn is_named(name: &str) -> bool {
    let time = name.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(AFTER));
    time.is_some_and(|time| {
        let form = |(place, byte): (usize, u8)| match place {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        };
        time.len() == 16 && time.bytes().enumerate().all(form)
    })
}

/// Removes the oldest backups of a folder until `keep` are left. Nothing else in it is touched.
pub(super) fn remove_but(folder: &Path, keep: u32) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        names.extend(name.to_str().filter(|name| is_named(name)).map(str::to_owned));
    }
    names.sort_unstable();
    let kept = usize::try_from(keep).unwrap_or(usize::MAX);
    for name in names.iter().rev().skip(kept) {
        #[expect(clippy::disallowed_methods, reason = "a file of the operator's, outside the data folder")]
        std::fs::remove_file(folder.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_what_is_not_ours_too() {
        let folder = tempfile::tempdir().unwrap();
        let at = |second: i64| name(jiff::Timestamp::from_second(1_767_225_599 + second).unwrap());
        let others = [
            "paddock-20260101T000000Z.backup.part",
            "paddock-old.backup",
            "notes",
            "paddock-20260101x000000Z.backup",
        ];
        let ours = [at(0), at(1), at(2), at(3)];
        for file in ours.iter().map(String::as_str).chain(others) {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        assert_eq!(at(1), "paddock-20260101T000000Z.backup");
        remove_but(folder.path(), 2).unwrap();
        remove_but(folder.path(), 7).unwrap();
        let there = |file: &str| folder.path().join(file).exists();
        assert_eq!(ours.each_ref().map(|file| there(file)), [false, false, true, true]);
        assert!(others.iter().all(|file| there(file)));
    }
}
