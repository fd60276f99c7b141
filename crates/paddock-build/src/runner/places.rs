//! Where things are, as the runner sees them.

use std::path::{Path, PathBuf};

use crate::plan;

/// The paths of one build. In a container they are constants; tests put them elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub plan_file: PathBuf,
    pub source_file: PathBuf,
    /// The cache of earlier builds, read-only.
    pub saved_cache: PathBuf,
    /// Archives of buildpacks that the host has fetched, read-only.
    pub archives: PathBuf,
    /// Where the result is written.
    pub result_folder: PathBuf,
    /// Holds BUILD_DIR and CACHE_DIR, which must be on one file system.
    pub tmp: PathBuf,
    /// Holds ENV_DIR: a file system in memory, because config vars are secrets.
    pub env_parent: PathBuf,
    /// HOME: private to the build.
    pub home: PathBuf,
}

impl Places {
    /// The places in a build container.
    #[must_use]
    pub fn container() -> Self {
        let shared_memory = Path::new("/dev/shm");
        let env_parent = if shared_memory.is_dir() { shared_memory } else { Path::new("/tmp") };
        Self {
            plan_file: plan::PLAN_FILE.into(),
            source_file: plan::SOURCE_FILE.into(),
            saved_cache: plan::SAVED_CACHE.into(),
            archives: plan::ARCHIVES_FOLDER.into(),
            result_folder: plan::RESULT_FOLDER.into(),
            tmp: "/tmp".into(),
            env_parent: env_parent.into(),
            home: "/app".into(),
        }
    }

    /// The same places below a folder.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self {
            plan_file: root.join("plan.json"),
            source_file: root.join("source"),
            saved_cache: root.join("cache"),
            archives: root.join("archives"),
            result_folder: root.join("result"),
            tmp: root.join("tmp"),
            env_parent: root.join("memory"),
            home: root.join("app"),
        }
    }

    /// What is kept between builds.
    #[must_use]
    pub fn kept(&self) -> PathBuf {
        self.tmp.join(plan::KEPT_FOLDER)
    }
}
