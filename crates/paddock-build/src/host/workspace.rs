//! The folders of one build on the host: `DIR/builds/BUILD/`, and the build's disk, a volume with a hard limit.
//!
//! ```text
//! source                 read-only in the container
//! cache/                 what it keeps for the next build, before that takes the place of the cache
//! the volume:
//!   tmp/                 /tmp: build_XXXXXXXX (BUILD_DIR), codon/tmp/cache (CACHE_DIR), buildpacks
//!   result/              /build/result: what the runner reports
//!   packing/app/         where the converter sees the tree
//!   slug/                the converter's output
//!   KIND-root/           what else a container writes: /app (HOME, private to the build), /var/tmp
//! ```
//!
//! `tmp`, `result` and `slug` are made with the containers that write there, and are their user's.
//! What is on the disk is the tenant's: it may hold links to anywhere, so it is only opened with links refused, and
//! only once the build's processes are gone.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use paddock_core::BuildId;
use paddock_core::durable;
use paddock_images::tree::remove_tree;
use rustix::fs::OFlags;

use super::{BuildRequest, BuilderConfig, SourceArchive};
use crate::plan::{self, ArchiveKind, BuildPlan, BuildResult, Purpose};

/// Folders of its volume.
pub(super) const TMP: &str = "tmp";
pub(super) const RESULT: &str = "result";
pub(super) const PACKING: &str = "packing";
pub(super) const SLUG: &str = "slug";
const SOURCE: &str = "source";
/// The longest result that is read, in bytes.
const RESULT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The folders of one build.
#[derive(Debug, Clone)]
pub(super) struct Workspace {
    root: PathBuf,
    /// The root of its volume.
    disk: PathBuf,
    build_name: String,
}

impl Workspace {
    pub(super) fn of(config: &BuilderConfig, build: BuildId, disk: PathBuf) -> Self {
        Self { root: config.folder.join(build.to_string()), disk, build_name: build_name(build) }
    }

    /// Makes its folder anew. There is no volume yet: whatever a kill leaves of that is found by this folder.
    pub(super) fn make_root(&self) -> io::Result<()> {
        remove_tree(&self.root)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root)
    }

    /// Puts the source in it, and on its volume what the converter mounts the tree upon.
    pub(super) fn fill(&self, request: &BuildRequest) -> io::Result<()> {
        for folder in [self.packing(), self.packing().join("app")] {
            fs::create_dir(&folder)?;
            fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
        }
        let source = self.root.join(SOURCE);
        match request.source.archive {
            SourceArchive::Git { .. } => {
                let moved = durable!("build.source_moved", fs::rename(&request.source.file, &source));
                #[expect(
                    clippy::disallowed_methods,
                    reason = "in the folder of a build, which a crash fails or begins anew"
                )]
                moved.or_else(|_| fs::copy(&request.source.file, &source).map(drop))?;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "in the folder of a build, which a crash fails or begins anew"
            )]
            SourceArchive::Uploaded { .. } => fs::copy(&request.source.file, &source).map(drop)?,
        }
        fs::set_permissions(&source, PermissionsExt::from_mode(0o444))
    }

    /// What the runner is told.
    pub(super) fn plan(
        &self,
        config: &BuilderConfig,
        request: &BuildRequest,
        purpose: Purpose,
        has_cache: bool,
    ) -> io::Result<String> {
        let (archive, submodules) = match &request.source.archive {
            SourceArchive::Git { submodules } => (ArchiveKind::GitTar, submodules.clone()),
            SourceArchive::Uploaded { .. } => (ArchiveKind::Uploaded, Vec::new()),
        };
        let plan = BuildPlan {
            purpose,
            stack: request.stack.stack.as_str().to_owned(),
            stack_version: request.stack.version.clone(),
            source_version: request.source.version.clone(),
            request_id: request.request_id.clone(),
            build_name: self.build_name.clone(),
            archive,
            submodules,
            buildpacks: request.buildpacks.iter().map(|buildpack| buildpack.as_str().to_owned()).collect(),
            prepared: request.prepared.clone(),
            insecure_buildpack_urls: config.buildpack_urls
                == paddock_core::buildpack::BuildpackUrls::Insecure,
            has_cache,
            site_env: config.site_env.clone(),
        };
        Ok(serde_json::to_string(&plan)?)
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.disk.join(TMP)
    }

    /// The folder that becomes the root of the slug's layer.
    pub(super) fn packing(&self) -> PathBuf {
        self.disk.join(PACKING)
    }

    /// Where what is kept for the next build waits, on the file system of the caches.
    pub(super) fn kept(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Where the tree lies for the container.
    pub(super) fn tree_inside(&self) -> String {
        format!("/tmp/build_{}", self.build_name)
    }

    /// Where it lies on the volume.
    pub(super) fn tree_place(&self) -> String {
        format!("{TMP}/build_{}", self.build_name)
    }

    /// The finished tree, if it is a folder and not a link that the build has put there.
    pub(super) fn tree(&self) -> io::Result<PathBuf> {
        let tree = self.disk.join(self.tree_place());
        if tree.symlink_metadata()?.is_dir() {
            return Ok(tree);
        }
        Err(io::Error::new(io::ErrorKind::NotADirectory, "the build folder is no folder"))
    }

    pub(super) fn result(&self) -> io::Result<BuildResult> {
        self.read(RESULT, plan::RESULT_NAME)
    }

    /// What a container has written to a folder of the volume: the tenant's word.
    pub(super) fn read<T: serde::de::DeserializeOwned>(&self, folder: &str, name: &str) -> io::Result<T> {
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(self.disk.join(folder).join(name))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the result of a container is no file"));
        }
        let mut json = Vec::new();
        file.take(RESULT_BYTES_MAX).read_to_end(&mut json)?;
        Ok(serde_json::from_slice(&json)?)
    }

    /// A folder of the volume.
    pub(super) fn on_disk(&self, folder: &str) -> PathBuf {
        self.disk.join(folder)
    }

    /// Where the converter writes the slug layer.
    pub(super) fn slug_file(&self) -> PathBuf {
        self.disk.join(SLUG).join("slug.erofs")
    }
}

/// Where the source of a build is in the share of builds.
pub(super) fn source_place(build: BuildId) -> String {
    format!("{build}/{SOURCE}")
}

/// Eight hexadecimal digits for the name of BUILD_DIR: the random end of the build's id.
fn build_name(build: BuildId) -> String {
    let id = build.uuid().simple().to_string();
    id[id.len() - 8..].to_owned()
}
