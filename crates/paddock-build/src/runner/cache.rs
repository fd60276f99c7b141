//! The app's cache, copied only when something is going to write to it.
//!
//! What an earlier build left is mounted read-only. Classic buildpacks get a copy, because they change files in
//! place; built-in ones read the saved files as they are, and a build that finds everything in them copies nothing.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use super::places::Places;
use super::screen;
use super::session::{self, Session};
use super::stop::Stop;
use crate::source::remove_any;

/// The name of CACHE_DIR in what is kept.
const CACHE_DIR: &str = "cache";

/// The cache of one build.
#[derive(Debug)]
pub(super) struct Cache {
    saved: Option<PathBuf>,
    kept: PathBuf,
    opened: OnceCell<()>,
}

impl Cache {
    pub(super) fn new(places: &Places, has_saved: bool) -> Self {
        let saved = has_saved.then(|| places.saved_cache.clone());
        Self { saved, kept: places.kept(), opened: OnceCell::new() }
    }

    /// Everything that is kept, writable: from the first call on it is a copy of what was saved, which takes its
    /// place if the build succeeds. A saved cache that is purged or evicted meanwhile is as good as none.
    pub(super) fn open(&self, session: &Session) -> Result<&Path, Stop> {
        if self.opened.set(()).is_ok() {
            if let Some(saved) = &self.saved
                && session::copy_folder(session, saved, &self.kept).is_err()
            {
                screen::warning("The build cache could not be restored; building without it.");
                remove_any(&self.kept).map_err(Stop::io("could not remove the half restored cache"))?;
            }
            fs::create_dir_all(self.cache_dir()).map_err(Stop::io("could not make the cache folder"))?;
        }
        Ok(&self.kept)
    }

    /// Where CACHE_DIR is or will be.
    pub(super) fn cache_dir(&self) -> PathBuf {
        self.kept.join(CACHE_DIR)
    }

    /// A file or folder of CACHE_DIR for reading, if it is there: in the copy or, before there is one, as saved.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        let kept = if self.is_opened() { Some(&self.kept) } else { self.saved.as_ref() };
        kept.map(|kept| kept.join(CACHE_DIR).join(name)).filter(|path| path.exists())
    }

    /// Whether there is a copy that may differ from what was saved.
    pub(super) fn is_opened(&self) -> bool {
        self.opened.get().is_some()
    }
}
