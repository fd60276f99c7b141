//! The host's side of a build: folders, containers, the slug layer, the cache.
//!
//! Nothing here reads a tenant's bytes but the size of the tree, the runner's result (bounded, its names checked) and
//! the archive check of `paddock-images`. A tenant's path is only walked without following links.

mod cache;
mod container;
mod copy;
mod dates;
mod disk;
pub mod image;
mod libraries;
mod record;
mod run;
mod screen;
mod upload;
mod watch;
mod workspace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use paddock_core::build_record::BuildRecord;
use paddock_core::buildpack::{BuildpackRef, BuildpackUrls};
use paddock_core::config::ConfigVars;
use paddock_core::durable;
use paddock_core::stack::{StackBase, StackVersion};
use paddock_core::{AppId, BuildId, LayerDigest, ProcessType, Tenant};
use paddock_images::LayerStore;
use paddock_runtime::{Limits, LocalVolumes, Runtime, Share};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::git::Submodule;
use crate::plan::PreparedBuildpack;

pub(crate) use copy::copy_content;
pub use libraries::ProgramLibraries;
pub use upload::SlugLayer;

/// Takes the output of a build as it comes: bytes in order, lines cut anywhere. When it is full the build waits.
pub type BuildLog = mpsc::Sender<Bytes>;

/// What of the server's files builds' containers are shown.
const BUILDS: Share = Share("builds");
const CACHES: Share = Share("caches");
const BUILDPACKS: Share = Share("buildpacks");
const ARCHIVES: Share = Share("buildpack-archives");
const LIBRARIES: Share = Share("program-libraries");

/// What all builds of this server share.
#[derive(Debug, Clone)]
pub struct BuilderConfig {
    /// `DIR/builds`: a folder for each build while it runs.
    pub folder: PathBuf,
    /// `DIR/caches`: what builds of an app leave for the next.
    pub caches: PathBuf,
    /// Archives of buildpacks, each under its SHA-256: what [`BuildRequest::prepared`] names.
    pub archives: PathBuf,
    /// Variables for every build: proxies, certificate bundles, registries. Never secrets: buildpacks print some.
    pub site_env: BTreeMap<String, String>,
    /// Which buildpack URLs are allowed.
    pub buildpack_urls: BuildpackUrls,
    /// A host folder that is visible to builds, read-only and at the same path, for `file://` URLs.
    pub buildpack_folder: Option<PathBuf>,
    /// The `host` stack as it is now: what unpacks and packs lies on it, whatever the build lies on.
    pub host_stack: StackVersion,
    /// What our program is linked with; `None` for one that brings everything.
    pub libraries: Option<ProgramLibraries>,
    /// The largest slug in bytes, compressed as Heroku counts; uncompressed it may be four times as large.
    pub slug_bytes_max: u64,
}

impl BuilderConfig {
    /// The folders that containers of builds see parts of, by the names that the runtime is asked for: it is to be opened
    /// with them.
    #[must_use]
    pub fn shares(&self) -> BTreeMap<Share, PathBuf> {
        let always =
            [(BUILDS, self.folder.clone()), (CACHES, self.caches.clone()), (ARCHIVES, self.archives.clone())];
        let buildpacks = self.buildpack_folder.clone().map(|folder| (BUILDPACKS, folder));
        let libraries = self.libraries.as_ref().map(|libraries| (LIBRARIES, libraries.folder.clone()));
        always.into_iter().chain(buildpacks).chain(libraries).collect()
    }
}

/// Runs builds. Containers do the work that is the tenant's; before and between them the server works on the files of
/// their volume itself.
pub struct Builder {
    config: BuilderConfig,
    runtime: Arc<dyn Runtime>,
    volumes: Arc<dyn LocalVolumes>,
    layers: Arc<dyn LayerStore>,
}

#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Its id; containers and folders are named after it.
    pub build: BuildId,
    pub app: AppId,
    /// The tenant its containers work for: the app.
    pub tenant: Tenant,
    pub source: Source,
    /// The app's buildpacks in order; none to detect.
    pub buildpacks: Vec<BuildpackRef>,
    /// What is known of buildpacks that may run, by their references.
    pub prepared: BTreeMap<String, PreparedBuildpack>,
    pub config_vars: ConfigVars,
    /// What the slug will be laid upon.
    pub stack: StackVersion,
    /// What the build itself runs on: the same, or more than it (compilers).
    pub base: StackBase,
    /// The id of the request that caused the build.
    pub request_id: String,
    /// Limits of the build's cgroup; the CPU weight is below that of dynos.
    pub limits: Limits,
    /// Bytes that it may write to its disk, its slug and what it keeps for the next build included; `None` for no limit.
    pub disk_bytes: Option<u64>,
    /// The longest time for the whole build (15 minutes on Heroku).
    pub time_limit: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The archive, a file on the host. One from git is moved away by the build, an uploaded one is left alone.
    pub file: PathBuf,
    pub archive: SourceArchive,
    /// Commit or version, for `SOURCE_VERSION`; may be empty.
    pub version: String,
}

/// What kind of archive a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceArchive {
    /// From [`crate::git::Repositories::archive`].
    Git {
        /// From [`crate::git::Repositories::submodules`].
        submodules: Vec<Submodule>,
    },
    /// A gzipped tar that somebody uploaded.
    Uploaded {
        /// `SHA256:` and hexadecimal digits, checked when given.
        checksum: Option<String>,
    },
}

/// What a successful build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOutcome {
    /// The slug's layer, which is in the store.
    pub layer: LayerDigest,
    pub size_bytes: u64,
    /// Command by process type.
    pub process_types: BTreeMap<ProcessType, String>,
    /// For the slug's `buildpack_provided_description`, e.g. `Python`.
    pub description: String,
    /// Names of the buildpacks that ran, as people call them.
    pub buildpacks: Vec<String>,
    /// The commits of those that are repositories, by their references: the runner's word.
    pub commits: BTreeMap<String, String>,
    /// The buildpack that detection chose; it is kept for the app's later builds.
    pub detected: Option<BuildpackRef>,
    /// Add-on plans that the last buildpack with a release asks for; for the app's first release only.
    pub addons: Vec<String>,
    /// Config vars that the last buildpack with a release asks for; for the first release only, never over a set one.
    pub config_vars: BTreeMap<String, String>,
    /// What it used and did.
    pub record: BuildRecord,
}

/// Why a build failed. The user has been told in the log, up to and with ` !     Push failed`.
#[derive(Debug, thiserror::Error)]
#[error("build failed: {kind}")]
pub struct BuildFailure {
    pub kind: FailureKind,
    /// The cause, where it is the platform's fault.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// What is known of what it used and did.
    pub record: Box<BuildRecord>,
}

/// Kinds of failed builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FailureKind {
    /// The source is not usable: bad archive, checksum, submodule.
    #[error("source")]
    Source,
    /// A buildpack could not be fetched.
    #[error("buildpack fetch")]
    Fetch,
    /// No buildpack wants the app.
    #[error("detection")]
    Detection,
    #[error("compile")]
    Compile,
    /// The Procfile or what the build left cannot be used.
    #[error("process types")]
    ProcessTypes,
    /// There is nothing that says how images are made, or a `heroku.yml` that cannot be used.
    #[error("heroku.yml")]
    Manifest,
    /// A Dockerfile cannot be used.
    #[error("Dockerfile")]
    Dockerfile,
    /// An image that a Dockerfile begins from cannot be had.
    #[error("base image")]
    BaseImage,
    /// A step of a Dockerfile failed.
    #[error("step")]
    Step,
    /// The slug is too large.
    #[error("slug size")]
    TooLarge,
    /// Its disk is full.
    #[error("disk")]
    OutOfDisk,
    /// It used more memory than it may.
    #[error("memory")]
    OutOfMemory,
    /// It took too long.
    #[error("time limit")]
    TimedOut,
    /// Somebody cancelled it.
    #[error("canceled")]
    Canceled,
    /// Something of the platform failed; see the source.
    #[error("platform")]
    Platform,
}

impl BuildFailure {
    fn of(kind: FailureKind) -> Self {
        Self { kind, source: None, record: Box::default() }
    }

    fn platform(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind: FailureKind::Platform, source: Some(source.into()), record: Box::default() }
    }
}

impl Builder {
    /// A builder on this runtime, which was opened with the configuration's shares; slugs are kept in `layers`.
    #[must_use]
    pub fn new<R: Runtime + LocalVolumes + 'static>(
        config: BuilderConfig,
        runtime: Arc<R>,
        layers: Arc<dyn LayerStore>,
    ) -> Self {
        Self { config, runtime: Arc::clone(&runtime) as Arc<dyn Runtime>, volumes: runtime, layers }
    }

    /// Whether builds are given a proxy: what it fetches for them, the server may not be able to fetch by itself.
    #[must_use]
    pub fn has_proxy(&self) -> bool {
        let proxies = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
        proxies.iter().any(|name| self.config.site_env.contains_key(*name))
    }

    /// Builds. Everything the user is to see goes to `log`, from `-----> Building on the … stack` to `Done: 23.8M`,
    /// or to ` !     Push failed`. Dropping the future leaves the container and its folders to [`Self::abandon`].
    ///
    /// # Errors
    /// When the build failed, was cancelled, or the platform could not run it.
    pub async fn build(
        &self,
        request: BuildRequest,
        log: BuildLog,
        cancel: CancellationToken,
    ) -> Result<BuildOutcome, BuildFailure> {
        let mut screen = screen::Screen::new(log);
        let mut record = BuildRecord::default();
        let result = self.run(&request, &mut screen, &cancel, &mut record).await;
        if let Err(failure) = &result {
            screen.end(failure, &request).await;
        }
        let result = record::kept(result, record, |outcome| &mut outcome.record);
        if let Err(error) = self.abandon(request.build).await {
            tracing::warn!(error = error.as_ref() as &dyn std::error::Error, build.id = %request.build, "could not clean up after a build");
        }
        result
    }

    /// Removes what an interrupted build left: containers, its disk and folders. After a crash, for every build that was
    /// running; succeeds when nothing is left. Files are put aside at once and deleted in the background: a release
    /// does not wait for thousands of them.
    ///
    /// # Errors
    /// When the runtime fails or a folder cannot be put aside.
    pub async fn abandon(&self, build: BuildId) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        for id in [container::build_id(build), container::pack_id(build)] {
            durable!("build.container_cleared", self.runtime.remove(id).await)?;
        }
        // Before the folder that it is found by.
        let volume = container::volume_id(build);
        durable!("build.disk_removed", self.runtime.remove_volume(volume).await)?;
        Ok(disk::discard(&self.config.folder, &build.to_string())?)
    }

    /// The names of the operator's variables for every build.
    pub fn site_variables(&self) -> impl Iterator<Item = &str> {
        self.config.site_env.keys().map(String::as_str)
    }

    /// Builds that have files here, running or left by a crash; what an earlier process was deleting is deleted.
    pub async fn with_files(&self) -> std::io::Result<Vec<BuildId>> {
        let folder = self.config.folder.clone();
        disk::blocking(move || {
            disk::remove_discarded(&folder)?;
            disk::ids_in(&folder)
        })
        .await
    }

    /// Empties the build cache of an app (`builds:cache:purge`, destroyed app, changed stack).
    pub async fn purge_cache(&self, app: AppId) -> std::io::Result<()> {
        let caches = self.config.caches.clone();
        disk::blocking(move || cache::purge(&caches, app)).await
    }

    /// Evicts build caches, those of the longest unbuilt apps first, until all together have `bytes_max` at most.
    /// Returns how many bytes went.
    pub async fn evict_caches(&self, bytes_max: u64) -> std::io::Result<u64> {
        let caches = self.config.caches.clone();
        disk::blocking(move || cache::evict(&caches, bytes_max)).await
    }
}
