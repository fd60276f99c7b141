//! The folders of one build on the host: `DIR/builds/BUILD/`, and the build's disk, which has a hard limit.
//!
//! ```text
//! plan.json  source      read-only in the container, readable for the build's user
//! cache/                 what it keeps for the next build, before that takes the place of the cache
//! disk: a volume, or without a limit `disk/` here
//!   tmp/                 /tmp: build_XXXXXXXX (BUILD_DIR), codon/tmp/cache (CACHE_DIR), buildpacks
//!   result/              /build/result: what the runner reports
//!   packing/app/         where the converter sees the tree
//!   slug/                the converter's output
//!   KIND-root/           what else a container writes: /app (HOME, private to the build), /var/tmp
//! ```
//! What is on the disk is the tenant's: it may hold links to anywhere, so it is only opened with links refused, and
//! only once the build's processes are gone.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use paddock_core::BuildId;
use paddock_core::durable;
use rustix::fs::OFlags;

use super::disk::remove_tree;
use super::{BuildRequest, BuilderConfig, SourceArchive};
use crate::plan::{self, ArchiveKind, BuildPlan, BuildResult};

/// The user that builds run as, inside the container.
const BUILD_USER: u32 = 1000;
/// The longest result that is read, in bytes.
const RESULT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The folders of one build.
#[derive(Debug, Clone)]
pub(super) struct Workspace {
    root: PathBuf,
    /// The root of its disk.
    pub(super) disk: PathBuf,
    build_name: String,
    owner: u32,
}

impl Workspace {
    pub(super) fn of(config: &BuilderConfig, request: &BuildRequest) -> Self {
        let root = config.folder.join(request.build.to_string());
        Self {
            disk: root.join("disk"),
            root,
            build_name: build_name(request.build),
            owner: request.id_base + BUILD_USER,
        }
    }

    /// Makes its folder anew, with one for a disk without a limit. There is none with a limit yet: whatever a kill leaves
    /// of that is found by this folder.
    pub(super) fn make_root(&self) -> io::Result<()> {
        remove_tree(&self.root)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.disk)
    }

    /// Fills it, and makes the folders on its disk.
    pub(super) fn fill(
        &self,
        config: &BuilderConfig,
        request: &BuildRequest,
        has_cache: bool,
    ) -> io::Result<()> {
        for name in ["tmp", "result", "packing", "packing/app", "slug"] {
            self.make_folder(&self.disk.join(name))?;
        }
        self.write(&self.plan_file(), &serde_json::to_vec(&self.plan(config, request, has_cache))?)?;
        let source = self.source_file();
        match request.source.archive {
            SourceArchive::Git { .. } => {
                let moved = durable!("build.source_moved", fs::rename(&request.source.file, &source));
                moved.or_else(|_| fs::copy(&request.source.file, &source).map(drop))?;
            }
            SourceArchive::Uploaded { .. } => fs::copy(&request.source.file, &source).map(drop)?,
        }
        self.give(&source, 0o400)
    }

    fn plan(&self, config: &BuilderConfig, request: &BuildRequest, has_cache: bool) -> BuildPlan {
        let (archive, submodules) = match &request.source.archive {
            SourceArchive::Git { submodules } => (ArchiveKind::GitTar, submodules.clone()),
            SourceArchive::Uploaded { .. } => (ArchiveKind::Uploaded, Vec::new()),
        };
        BuildPlan {
            stack: request.stack.as_str().to_owned(),
            stack_version: request.stack_version.clone(),
            source_version: request.source.version.clone(),
            request_id: request.request_id.clone(),
            build_name: self.build_name.clone(),
            archive,
            submodules,
            buildpacks: request.buildpacks.iter().map(|buildpack| buildpack.as_str().to_owned()).collect(),
            insecure_buildpack_urls: config.buildpack_urls
                == paddock_core::buildpack::BuildpackUrls::Insecure,
            has_cache,
            site_env: config.site_env.clone(),
        }
    }

    /// Makes a folder that belongs to the build's user.
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o755).create(path)?;
        self.give(path, 0o755)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write(path, bytes)?;
        self.give(path, 0o400)
    }

    fn give(&self, path: &Path, mode: u32) -> io::Result<()> {
        chown(path, Some(self.owner), Some(self.owner))?;
        fs::set_permissions(path, PermissionsExt::from_mode(mode))
    }

    pub(super) fn plan_file(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    pub(super) fn source_file(&self) -> PathBuf {
        self.root.join("source")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.disk.join("tmp")
    }

    /// The folder that becomes the root of the slug's layer.
    pub(super) fn packing(&self) -> PathBuf {
        self.disk.join("packing")
    }

    /// Where what is kept for the next build waits, on the file system of the caches.
    pub(super) fn kept(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Where the tree lies for the container.
    pub(super) fn tree_inside(&self) -> String {
        format!("/tmp/build_{}", self.build_name)
    }

    /// The finished tree, if it is a folder and not a link that the build has put there.
    pub(super) fn tree(&self) -> io::Result<PathBuf> {
        let tree = self.tmp().join(format!("build_{}", self.build_name));
        if tree.symlink_metadata()?.is_dir() {
            return Ok(tree);
        }
        Err(io::Error::new(io::ErrorKind::NotADirectory, "the build folder is no folder"))
    }

    /// What the runner reported.
    pub(super) fn result(&self) -> io::Result<BuildResult> {
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(self.disk.join("result").join(plan::RESULT_NAME))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the build's result is no file"));
        }
        let mut json = Vec::new();
        file.take(RESULT_BYTES_MAX).read_to_end(&mut json)?;
        Ok(serde_json::from_slice(&json)?)
    }

    /// Where the converter writes the slug layer.
    pub(super) fn slug_file(&self) -> PathBuf {
        self.disk.join("slug").join("slug.erofs")
    }
}

/// Eight hexadecimal digits for the name of BUILD_DIR: the random end of the build's id.
fn build_name(build: BuildId) -> String {
    let id = build.uuid().simple().to_string();
    id[id.len() - 8..].to_owned()
}
