//! Backups of a folder that are named for their time: the newest stay.

use std::io;
use std::path::{Path, PathBuf};

const BEFORE: &str = "paddock-";
const AFTER: &str = ".backup";
/// Of a backup that lacks a database: it counts for no other, and displaces none.
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

/// Removes the oldest backups of a folder until `keep` are left that lack nothing, if the newest `is_whole`, and `keep` that lack
/// something: these take no other's place, and go before that when they are older than all that lack nothing. Nothing else in the
/// folder is touched.
pub(super) fn remove_but(folder: &Path, keep: u32, is_whole: bool) -> io::Result<()> {
    let (mut whole, mut lacking) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        match name.strip_suffix(INCOMPLETE) {
            Some(named) if is_named(named) => lacking.push(name.to_owned()),
            None if is_named(name) => whole.push(name.to_owned()),
            _ => {}
        }
    }
    let kept = usize::try_from(keep).unwrap_or(usize::MAX);
    whole.sort_unstable_by(|a, b| b.cmp(a));
    lacking.sort_unstable_by(|a, b| b.cmp(a));
    let oldest = whole.get(kept.saturating_sub(1));
    let too_old = lacking
        .iter()
        .enumerate()
        .filter(|(at, name)| *at >= kept || oldest.is_some_and(|oldest| *name < oldest));
    let surplus = whole.iter().skip(kept).filter(|_| is_whole);
    for name in surplus.chain(too_old.map(|(_, name)| name)) {
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
        remove_but(folder.path(), 2, true).unwrap();
        remove_but(folder.path(), 7, true).unwrap();
        let there = |file: &str| folder.path().join(file).exists();
        assert_eq!(ours.each_ref().map(|file| there(file)), [false, false, true, true]);
        assert!(others.iter().all(|file| there(file)));
    }
    #[test]
    fn those_that_lack_something_are_kept_beside_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = |second: i64| name(jiff::Timestamp::from_second(1_767_225_599 + second).unwrap());
        let lacking = |second: i64| format!("{}{INCOMPLETE}", at(second));
        let make = |name: String| std::fs::write(folder.path().join(name), "").unwrap();
        let there = || -> Vec<String> {
            let names = std::fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> =
                names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort_unstable();
            names
        };
        [at(0), at(1), lacking(2), lacking(3), lacking(4)].into_iter().for_each(make);
        remove_but(folder.path(), 2, false).unwrap();
        assert_eq!(there(), [at(0), at(1), lacking(3), lacking(4)], "none of them in place of a whole one");
        make(at(5));
        remove_but(folder.path(), 2, true).unwrap();
        assert_eq!(there(), [at(1), lacking(3), lacking(4), at(5)]);
        make(at(6));
        remove_but(folder.path(), 2, true).unwrap();
        assert_eq!(there(), [at(5), at(6)], "they are older than all the others");
    }
}
