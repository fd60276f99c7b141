//! One build from its source to its slug layer, on the host.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use paddock_core::build_record::BuildRecord;
use paddock_core::buildpack::{BuildpackRef, BuiltinBuildpack};
use paddock_core::durable;
use paddock_core::{LayerDigest, hex};
use paddock_images::{ArchiveError, ArchiveLimits, check_source_archive, compressed_size};
use paddock_runtime::{Exit, RuntimeError, VolumeKind};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::record::Watch;
use super::screen::Screen;
use super::watch::Bounds;
use super::workspace::Workspace;
use super::{
    BuildFailure, BuildOutcome, BuildRequest, Builder, FailureKind, SourceArchive, cache, container, dates,
    disk, record,
};
use crate::output;
use crate::plan::{BuildResult, Purpose, RunnerFailure};

/// The most process types of an app, and the longest of their commands in bytes: what a result may bring into the
/// store. The runner says so before, in words.
const PROCESS_TYPES_MAX: usize = 500;
const COMMAND_BYTES_MAX: usize = 32 * 1024;
/// The longest path of a file in a slug, in bytes, from the app's folder on: the kernel's limit less some room for
/// where the folder lies.
const SLUG_PATH_BYTES_MAX: usize = 4000;
/// How many times the compressed limit of a slug it may have uncompressed, as it lies on the disk.
const UNCOMPRESSED_TIMES: u64 = 4;
/// The longest description of a slug, in characters.
const DESCRIPTION_CHARACTERS_MAX: usize = 500;

impl Builder {
    pub(super) async fn run(
        &self,
        request: &BuildRequest,
        screen: &mut Screen,
        cancel: &CancellationToken,
        record: &mut BuildRecord,
    ) -> Result<BuildOutcome, BuildFailure> {
        let bounds = Bounds::of(request, cancel);
        let mut clock = Watch::start();
        check_upload(request, screen).await?;
        let cache = cache::folder(&self.config.caches, request.app, &request.stack.stack);
        let has_cache = cache.is_dir();
        record::cache(record, has_cache);
        let workspace = self.make_workspace(request).await?;
        let plan = workspace.plan(&self.config, request, Purpose::Slug, has_cache);
        let plan = plan.map_err(|error| platform("could not write the plan of a build", error))?;
        let spec = container::build(&self.config, request, plan, has_cache);
        clock.note(record, "make the build's folders");
        let ended = self.watch(spec, request, screen, bounds).await;
        let told = workspace.result();
        clock.note(record, "run buildpacks");
        if let Ok(told) = &told {
            record::add(record, &told.notes);
        }
        let result = conclude(ended?, told)?;
        if let Ok(tree) = workspace.tree() {
            #[expect(clippy::disallowed_methods, reason = "files are dated by the time of this machine")]
            let dated = disk::blocking(move || dates::settle(&tree, SystemTime::now())).await;
            dated.map_err(|error| platform("could not date the finished tree", error))?;
        }
        clock.note(record, "date the tree");
        // Beside the packing: a large cache takes as long as a large slug.
        let (packed, kept) =
            tokio::join!(self.pack(request, &workspace, screen, bounds), keep(&workspace, result.new_cache));
        clock.note(record, "pack the slug");
        let (layer, size_bytes) = packed?;
        record::layer(record, "slug", &layer, size_bytes);
        let (ready, is_new) = (workspace.kept(), result.new_cache);
        let replaced = match kept {
            Ok(()) if is_new => disk::blocking(move || cache::replace(&ready, &cache)).await,
            kept => kept,
        };
        if let Err(error) = replaced {
            // The slug is good; the next build starts from the cache before.
            tracing::warn!(%error, build.id = %request.build, "could not keep the cache of a build");
        }
        clock.note(record, "keep the cache");
        outcome(result, layer, size_bytes)
    }

    /// Makes the folder of a build and its volume.
    pub(super) async fn make_workspace(&self, request: &BuildRequest) -> Result<Workspace, BuildFailure> {
        let failed = |error| platform("could not make the folders of a build", error);
        let volume = container::volume_id(request.build);
        let workspace = Workspace::of(&self.config, request.build, self.volumes.folder_of(volume));
        let place = workspace.clone();
        disk::blocking(move || place.make_root()).await.map_err(failed)?;
        let kind = VolumeKind::Scratch { limit_bytes: request.disk_bytes };
        let made = durable!("build.disk_made", self.runtime.make_volume(volume, kind).await);
        made.map_err(BuildFailure::platform)?;
        let (place, wanted) = (workspace.clone(), request.clone());
        disk::blocking(move || place.fill(&wanted)).await.map_err(failed)?;
        Ok(workspace)
    }

    /// Packs the tree and takes the layer in.
    pub(super) async fn pack(
        &self,
        request: &BuildRequest,
        workspace: &Workspace,
        screen: &mut Screen,
        bounds: Bounds<'_>,
    ) -> Result<(LayerDigest, u64), BuildFailure> {
        let tree = finished_tree(workspace, screen).await?;
        let root = workspace.packing();
        disk::blocking(move || dates::copy(&tree, &root))
            .await
            .map_err(|error| platform("could not date the root of the slug", error))?;
        screen.text(&format!("\n{}", output::step("Compressing..."))).await;
        let (log, mut said) = mpsc::channel(16);
        let spec = container::pack(&self.config, request, workspace);
        let packing = async move {
            // Dropped at the end, which ends the listening.
            let mut converter = Screen::new(log);
            self.watch(spec, request, &mut converter, bounds).await
        };
        let listening = async {
            let mut last = Bytes::new();
            while let Some(line) = said.recv().await {
                last = line;
            }
            last
        };
        let (exit, last) = tokio::join!(packing, listening);
        let exit = exit?;
        if exit.status != 0 {
            let said = String::from_utf8_lossy(&last).trim().to_owned();
            let problem = format!("the converter ended with {}: {said}", exit.status);
            return Err(BuildFailure::platform(problem));
        }
        self.take_layer(request, workspace, screen).await
    }

    async fn take_layer(
        &self,
        request: &BuildRequest,
        workspace: &Workspace,
        screen: &mut Screen,
    ) -> Result<(LayerDigest, u64), BuildFailure> {
        let file = workspace.slug_file();
        let size_bytes =
            file.symlink_metadata().map_err(|error| platform("could not find the slug", error))?.len();
        let size = match measure(file.clone(), size_bytes, self.config.slug_bytes_max).await? {
            Ok(size) => size,
            Err(problem) => {
                let problem = format!("{problem}\nSee: http://devcenter.heroku.com/articles/slug-size");
                screen.text(&output::problem(&problem)).await;
                return Err(BuildFailure::of(FailureKind::TooLarge));
            }
        };
        let digest = self.layers.add(&file).await.map_err(BuildFailure::platform)?;
        screen.text(&output::detail(&format!("Done: {size}"))).await;
        tracing::debug!(build.id = %request.build, layer = %digest, "a slug was packed");
        Ok((digest, size_bytes))
    }
}

/// What is said of a slug's size, or that it is too large. One that is small enough as it lies there is not compressed
/// to see what it would be.
async fn measure(file: PathBuf, size_bytes: u64, limit: u64) -> Result<Result<String, String>, BuildFailure> {
    let size = output::megabytes(size_bytes);
    if size_bytes <= limit {
        return Ok(Ok(size));
    }
    let most = limit.saturating_mul(UNCOMPRESSED_TIMES);
    if size_bytes > most {
        return Ok(Err(format!(
            "Compiled slug size: {size} uncompressed is too large (max is {}, and {} compressed).",
            output::whole_megabytes(most),
            output::whole_megabytes(limit)
        )));
    }
    let compressed = disk::blocking(move || compressed_size(&file, limit)).await;
    let compressed = compressed.map_err(|error| platform("could not measure the slug", error))?;
    Ok(if compressed > limit {
        Err(format!(
            "Compiled slug size: {} is too large (max is {}).",
            output::megabytes(compressed),
            output::whole_megabytes(limit)
        ))
    } else {
        Ok(format!("{size} ({} compressed)", output::megabytes(compressed)))
    })
}

pub(super) fn platform(doing: &'static str, source: io::Error) -> BuildFailure {
    BuildFailure::platform(RuntimeError::host(doing, source))
}

/// The tree to pack. It is the tenant's, and the converter is not to be trusted with every tree: one of its releases
/// writes behind its buffers when a path is longer than any may be.
async fn finished_tree(workspace: &Workspace, screen: &mut Screen) -> Result<PathBuf, BuildFailure> {
    let tree = workspace.tree();
    let fits = match &tree {
        Ok(tree) => {
            let tree = tree.clone();
            disk::blocking(move || disk::paths_fit(&tree, SLUG_PATH_BYTES_MAX))
                .await
                .map_err(|error| platform("could not look through the finished tree", error))?
        }
        Err(_) => true,
    };
    let problem = match tree {
        Ok(tree) if fits => return Ok(tree),
        Ok(_) => format!(
            "The app has a path of more than {SLUG_PATH_BYTES_MAX} bytes or {} folders, which no slug can hold",
            disk::DEPTH_MAX
        ),
        Err(_) => "The build folder is gone: a buildpack has to leave it in its place".to_owned(),
    };
    screen.text(&output::problem(&problem)).await;
    Err(BuildFailure::of(FailureKind::Compile))
}

/// Takes what a build keeps off its disk.
async fn keep(workspace: &Workspace, is_new: bool) -> io::Result<()> {
    if !is_new {
        return Ok(());
    }
    let (tmp, ready) = (workspace.tmp(), workspace.kept());
    disk::blocking(move || cache::take_out(&tmp, &ready)).await
}

/// An uploaded archive is checked before anything unpacks it.
pub(super) async fn check_upload(request: &BuildRequest, screen: &mut Screen) -> Result<(), BuildFailure> {
    let SourceArchive::Uploaded { checksum } = &request.source.archive else { return Ok(()) };
    let (file, checksum) = (request.source.file.clone(), checksum.clone());
    let checked = tokio::task::spawn_blocking(move || -> Result<Option<String>, ArchiveError> {
        let unreadable = |source| ArchiveError::Unreadable { after: String::new(), source };
        if let Some(checksum) = checksum {
            let mut hash = Sha256::new();
            io::copy(&mut File::open(&file).map_err(unreadable)?, &mut hash).map_err(unreadable)?;
            let found = hex(&hash.finalize());
            let wanted = checksum.rsplit(':').next().unwrap_or_default();
            if !wanted.eq_ignore_ascii_case(&found) {
                return Ok(Some(format!("source archive: its checksum is SHA256:{found}, not {checksum}")));
            }
        }
        check_source_archive(File::open(&file).map_err(unreadable)?, &ArchiveLimits::SOURCE)?;
        Ok(None)
    })
    .await
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let problem = match checked {
        Ok(None) => return Ok(()),
        Ok(Some(problem)) => problem,
        Err(error) => error.to_string(),
    };
    screen.text(&output::problem(&format!("Push rejected, {problem}"))).await;
    Err(BuildFailure::of(FailureKind::Source))
}

/// What the runner's end means.
pub(super) fn conclude(exit: Exit, result: io::Result<BuildResult>) -> Result<BuildResult, BuildFailure> {
    let kind = match &result {
        Ok(result) if exit.status == 0 && result.failure.is_none() => None,
        _ if exit.out_of_memory => Some(FailureKind::OutOfMemory),
        Ok(BuildResult { failure: Some(failure), .. }) => Some(match failure {
            RunnerFailure::Source => FailureKind::Source,
            RunnerFailure::Fetch => FailureKind::Fetch,
            RunnerFailure::Detect => FailureKind::Detection,
            RunnerFailure::Compile | RunnerFailure::Internal => FailureKind::Compile,
            RunnerFailure::Procfile => FailureKind::ProcessTypes,
        }),
        _ => Some(FailureKind::Platform),
    };
    match (kind, result) {
        (None, Ok(result)) => Ok(result),
        (Some(FailureKind::Platform), result) => {
            let problem = format!("the build runner ended with status {}", exit.status);
            Err(match result {
                Err(error) => BuildFailure::platform(RuntimeError::host(problem, error)),
                Ok(_) => BuildFailure::platform(problem),
            })
        }
        (kind, _) => Err(BuildFailure::of(kind.unwrap_or(FailureKind::Platform))),
    }
}

/// The runner's word, checked: it shares its user with the tenant's code.
fn outcome(result: BuildResult, layer: LayerDigest, size_bytes: u64) -> Result<BuildOutcome, BuildFailure> {
    let unusable = || BuildFailure::of(FailureKind::ProcessTypes);
    if result.process_types.len() > PROCESS_TYPES_MAX {
        return Err(unusable());
    }
    let mut process_types = BTreeMap::new();
    for (name, command) in result.process_types {
        if command.len() > COMMAND_BYTES_MAX || command.contains('\0') {
            return Err(unusable());
        }
        process_types.insert(name.parse().map_err(|_| unusable())?, command);
    }
    let description = result.languages.join(", ");
    let description =
        description.chars().filter(|c| !c.is_control()).take(DESCRIPTION_CHARACTERS_MAX).collect();
    // An app with nothing but a Procfile may get a language later: that choice is made anew each time.
    let detected = result.detected.as_deref().and_then(BuiltinBuildpack::from_name);
    let detected = detected.filter(|builtin| *builtin != BuiltinBuildpack::Procfile);
    Ok(BuildOutcome {
        layer,
        size_bytes,
        process_types,
        description,
        buildpacks: result.buildpacks,
        commits: result.commits,
        detected: detected.map(BuildpackRef::builtin),
        addons: result.addons,
        config_vars: result.config_vars,
        record: BuildRecord::default(),
    })
}
