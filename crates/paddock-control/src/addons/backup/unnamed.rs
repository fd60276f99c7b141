//! Dumps in a bucket that no backup names, and since when this data folder knows it. After a server was restored from a backup of
//! its own those are the dumps that were taken since: somebody may want to copy them first. A restore does not bring the list, so
//! all of them have their time from the first look on, however old they are.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use paddock_core::{UnixMicros, durable};
use paddock_files::Beside;

/// The list, in the data folder.
pub(super) const FILE: &str = "unnamed-dumps.json";
/// For how long such a dump stays.
const STAY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// When each of them was first seen to have no name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unnamed(BTreeMap<String, i64>);

/// Dumps in a bucket that no backup names, as the server last saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnnamedDumps {
    /// How many.
    pub count: usize,
    /// None of them is removed before this.
    pub stay_until: UnixMicros,
}

impl UnnamedDumps {
    /// What the server of this data folder has noted, if there are any.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn of(data: &Path) -> io::Result<Option<Self>> {
        let Unnamed(seen) = Unnamed::read(&data.join(FILE))?;
        let first = seen.values().min().map(|at| UnixMicros(*at) + STAY);
        Ok(first.map(|stay_until| Self { count: seen.len(), stay_until }))
    }
}

impl Unnamed {
    /// One that is damaged says nothing: what it named has its time anew.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(text) => Ok(Self(serde_json::from_slice(&text).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(&self.0)?;
        durable!("backup.unnamed_noted", Beside::write(path, text)?.synced()?.replace())
    }

    /// As it is when these have no name now.
    pub(super) fn with<'a>(&self, names: impl Iterator<Item = &'a str>, now: UnixMicros) -> Self {
        // A clock that was ahead gives none of them longer.
        let seen = |name: &str| self.0.get(name).map_or(now.0, |at| now.0.min(*at));
        Self(names.map(|name| (name.to_owned(), seen(name))).collect())
    }

    /// How many of these were not known before.
    pub(super) fn more_than(&self, before: &Self) -> usize {
        self.0.keys().filter(|name| !before.0.contains_key(*name)).count()
    }

    /// Until when an object stays that was put there at this time.
    pub(super) fn stays_until(&self, name: &str, modified: UnixMicros, now: UnixMicros) -> UnixMicros {
        let seen = self.0.get(name).map_or(now, |at| UnixMicros(*at));
        seen.max(modified) + STAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn however_old_a_dump_is_it_stays_for_a_week_after_it_was_first_seen() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join(FILE);
        let (start, names) = (UnixMicros(1_800_000_000_000_000), ["a/old.dump", "b/old.dump"]);
        let read = || Unnamed::read(&file).unwrap();
        assert_eq!((read(), UnnamedDumps::of(data.path()).unwrap()), (Unnamed::default(), None));
        let first = read().with(names.into_iter(), start);
        assert_eq!(first.more_than(&read()), 2);
        first.write(&file).unwrap();

        // What is listed no more is forgotten, what is new has a week from then on.
        let later = start + 3 * DAY;
        let second = read().with(["b/old.dump", "c/old.dump"].into_iter(), later);
        assert_eq!(second.more_than(&read()), 1);
        second.write(&file).unwrap();
        let old = start - 30 * DAY;
        assert_eq!(read().stays_until("b/old.dump", old, later), start + 7 * DAY);
        assert_eq!(read().stays_until("c/old.dump", old, later), start + 10 * DAY);
        assert_eq!(read().stays_until("b/old.dump", later, later), later + 7 * DAY, "put there since");
        let told = UnnamedDumps { count: 2, stay_until: start + 7 * DAY };
        assert_eq!(UnnamedDumps::of(data.path()).unwrap(), Some(told));

        let back = read().with(["c/old.dump"].into_iter(), start - DAY);
        assert_eq!(back.stays_until("c/old.dump", old, start - DAY), start + 6 * DAY, "the clock was ahead");
        std::fs::write(&file, "{\"b/old").unwrap();
        assert_eq!(read().stays_until("b/old.dump", old, later), later + 7 * DAY);
    }
}
