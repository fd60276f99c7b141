//! What deploying leaves behind: old releases and sources, containers, folders and outputs of builds that ended badly, layers
//! that no slug names, caches beyond their limit.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use paddock_core::plan::reuse;
use paddock_core::release::{KEPT_FOR, RELEASES_KEPT};
use paddock_core::{AppId, LayerDigest, UnixMicros, durable};
use paddock_telemetry::OutputSeen;
use uuid::Uuid;

use crate::Result;
use crate::deploy::{Deploy, job};
use crate::kernel::clock::machine_time;
use crate::kernel::config::BUILD_CACHE_BYTES_MAX;
use crate::kernel::error::{Error, chain};
use crate::kernel::label;
use crate::kernel::sweep::Sweep;

/// How long layers are spared that no slug was seen to name: one is added before the row that names it, which takes
/// seconds.
const LAYER_AGE: Duration = Duration::from_secs(10 * 60);
/// The same for those that a slug named, whose app or release is gone: a build may have added the same again just now.
const RELEASED_LAYER_AGE: Duration = Duration::from_secs(2 * 60);
/// Files of sources are of no use after this long: a build takes minutes, an upload hours.
const SOURCE_FILES: Duration = Duration::from_secs(24 * 60 * 60);
/// How long outputs are spared that no row names: one is begun before its row.
const OUTPUT_AGE: Duration = Duration::from_secs(10 * 60);

/// Most outputs of one pass that ended: their builds and releases are looked up one by one.
const OUTPUTS: usize = 64;
/// How long it is known that a step of a Dockerfile wrote nothing, once no build comes to it any more.
const EMPTY_STEPS: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long archives of buildpacks are kept that no app pins.
const ARCHIVES: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Between two searches for what expires a month later: releases, steps.
const EXPIRY: Duration = Duration::from_secs(60 * 60);

/// Sweeps after deploying.
pub(crate) struct DeploySweep {
    deploy: Arc<Deploy>,
    /// The layers that slugs named in any pass, as long as they are there.
    layers_seen_named: HashSet<LayerDigest>,
    /// How far the outputs that ended were gone through.
    outputs_after: Uuid,
    /// When releases were last looked through for those that expire.
    expired_at: Option<UnixMicros>,
    /// The same for steps that wrote nothing.
    steps_forgotten_at: Option<UnixMicros>,
}

impl DeploySweep {
    pub(crate) fn new(deploy: Arc<Deploy>) -> Self {
        Self {
            deploy,
            layers_seen_named: HashSet::new(),
            outputs_after: Uuid::nil(),
            expired_at: None,
            steps_forgotten_at: None,
        }
    }

    /// Releases that nobody goes back to any more, and slugs that nothing runs: their layers can go then. How many
    /// releases; an app whose turn failed is tried again.
    async fn expire_releases(&mut self) -> Result<u64> {
        let (store, now) = (&self.deploy.kernel.store, self.deploy.kernel.now());
        if self.expired_at.is_some_and(|at| at + EXPIRY > now && at <= now) {
            return Ok(0);
        }
        let (mut expired, mut is_complete) = (0, true);
        for app in store.apps_with_expirable_releases(RELEASES_KEPT, now - KEPT_FOR).await? {
            match self.expire_releases_of(app).await {
                Ok(count) => expired += count,
                Err(error) => {
                    is_complete = false;
                    tracing::warn!(app.id = %app, error = chain(&error), "could not expire releases, will be tried again");
                }
            }
        }
        if is_complete {
            self.expired_at = Some(now);
        }
        Ok(expired)
    }

    async fn expire_releases_of(&self, app: AppId) -> Result<u64> {
        let now = self.deploy.kernel.now();
        // Its lock: a rollback that has begun keeps what it goes back to.
        let mut tx = self.deploy.kernel.observe_app(app, "expire releases").await?;
        let expired = tx.expire_releases(app, RELEASES_KEPT, now - KEPT_FOR).await?;
        tx.commit_quietly("release.expired").await?;
        Ok(expired)
    }

    /// Sources whose time is over, and what is left of uploads that never ended.
    async fn remove_sources(&self) -> Result<()> {
        let now = self.deploy.kernel.now();
        for source in self.deploy.kernel.store.expired_sources(now).await? {
            let _ = durable!(
                "source.removed",
                tokio::fs::remove_file(self.deploy.source_blob_path(source.id)).await
            );
            let mut tx = self.deploy.kernel.record("forget a source").await?;
            tx.delete_source(source.id).await?;
            tx.commit_quietly("source.forgotten").await?;
        }
        let folder = self.deploy.kernel.config.data_dir.join("sources");
        let removed = tokio::task::spawn_blocking(move || remove_old_files(&folder, SOURCE_FILES)).await;
        let removed = removed.map_err(|error| Error::internal("remove old sources", error))?;
        removed.map_err(|error| Error::internal("remove old sources", error))
    }

    /// What builds left that a crash, or the end of their app, kept from cleaning up: containers, folders, outputs
    /// that nobody will finish and outputs of builds and releases that are gone.
    async fn sweep_builds(&mut self) -> Result<()> {
        let deploy = self.deploy.clone();
        let deploy = &deploy;
        let observed =
            deploy.runtime.observe().await.map_err(|error| Error::internal("list containers", error))?;
        let outputs = deploy.outputs.list().await;
        let outputs = outputs.map_err(|error| Error::internal("list outputs", error))?;
        let files = deploy.builder.with_files().await;
        let files = files.map_err(|error| Error::internal("list the folders of builds", error))?;
        // Rows after containers: whatever begins meanwhile has its row first.
        let store = &deploy.kernel.store;
        for build in observed.iter().filter_map(label::build_of).chain(files) {
            let is_running = store.is_pending(build.uuid()).await? == Some(true);
            if !is_running && !deploy.running_containers.is_running(build) {
                job::clean_up(deploy, build).await?;
            }
        }
        let (finished, unfinished): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|output| output.is_finished);
        for output in unfinished.into_iter().chain(self.some_of(finished)) {
            let is_pending = store.is_pending(output.id).await?;
            if is_pending != Some(true) {
                self.sweep_output(output, is_pending.is_some()).await?;
            }
        }
        Ok(())
    }

    /// Outputs that ended, those after the ones of the last pass; they come by id.
    fn some_of(&mut self, outputs: Vec<OutputSeen>) -> Vec<OutputSeen> {
        let after = self.outputs_after;
        let mut some: Vec<_> =
            outputs.iter().filter(|output| output.id > after).take(OUTPUTS).copied().collect();
        self.outputs_after = some.last().map_or(Uuid::nil(), |output| output.id);
        if some.len() < OUTPUTS {
            some.extend(outputs.iter().filter(|output| output.id <= after).take(OUTPUTS - some.len()));
            self.outputs_after = some.last().map_or(Uuid::nil(), |output| output.id);
        }
        some
    }

    /// An output that no build and no release writes to any more: it ends, and goes with what it belongs to.
    async fn sweep_output(&self, output: OutputSeen, has_owner: bool) -> Result<()> {
        let deploy = &self.deploy;
        // What no writer of this process began belongs to one that is gone: one server uses a data directory.
        let is_young = output.begun_for.is_some_and(|age| age < OUTPUT_AGE);
        if !has_owner && !output.is_finished && is_young {
            return Ok(());
        }
        if !output.is_finished {
            let ended = deploy.outputs.abandon(output.id).await;
            ended.map_err(|error| Error::internal("end an output that nobody writes", error))?;
        }
        if !has_owner {
            let deleted = deploy.outputs.delete(output.id).await;
            deleted.map_err(|error| Error::internal("delete an output", error))?;
        }
        Ok(())
    }

    /// Archives of buildpacks that no app pins and no name has, when nobody has used them for long. How many.
    async fn sweep_mirror(&mut self) -> Result<u64> {
        let kernel = &self.deploy.kernel;
        let mut kept: HashSet<String> = kernel.store.pinned_archives().await?.into_iter().collect();
        let imported = kernel.store.buildpack_archives().await?.into_iter().filter(|one| one.number > 0);
        kept.extend(imported.map(|one| one.digest));
        let gone = self.deploy.mirror.sweep(ARCHIVES, move |digest| kept.contains(digest)).await?;
        for digest in &gone {
            let mut tx = kernel.record("forget where a buildpack was").await?;
            tx.forget_fetched_archive(digest).await?;
            tx.commit_quietly("buildpack.forgotten").await?;
        }
        Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
    }

    async fn evict_caches(&self) -> Result<()> {
        let evicted = self.deploy.builder.evict_caches(BUILD_CACHE_BYTES_MAX).await;
        evicted.map(|_| ()).map_err(|error| Error::internal("evict build caches", error))
    }

    /// Layers that are kept to be used again are let go beyond their quota, the longest unused first. How many.
    async fn forget_reusable(&self) -> Result<u64> {
        let Deploy { kernel, .. } = &*self.deploy;
        let needed = kernel.store.needed_layers().await?;
        let mut reusable = kernel.store.reusable_layers().await?;
        reusable.retain(|one| !needed.contains(&one.layer.to_string()));
        let now = kernel.now();
        let beyond = reuse::beyond(&reusable, kernel.config.layer_cache_bytes, now);
        for layer in &beyond {
            let mut tx = kernel.record("forget a layer").await?;
            // One that was used meanwhile stays.
            tx.forget_reusable(layer, now - reuse::SPARED).await?;
            tx.commit_quietly("layer.forgotten").await?;
        }
        Ok(u64::try_from(beyond.len()).unwrap_or(u64::MAX))
    }

    /// Steps that wrote nothing have no layer to go with. How many.
    async fn forget_empty_steps(&mut self) -> Result<u64> {
        let kernel = &self.deploy.kernel;
        let now = kernel.now();
        if self.steps_forgotten_at.is_some_and(|at| at + EXPIRY > now && at <= now) {
            return Ok(0);
        }
        let mut tx = kernel.record("forget steps that wrote nothing").await?;
        let forgotten = tx.forget_empty_build_steps(now - EMPTY_STEPS).await?;
        tx.commit_quietly("build.empty_steps_forgotten").await?;
        self.steps_forgotten_at = Some(now);
        Ok(forgotten)
    }

    /// Removes the layers that no slug names: those of destroyed apps and expired releases soon, those that may be about to
    /// be named later.
    async fn collect_layers(&mut self) -> Result<u64> {
        // Those of a stack have no row yet; they will be looked at a pass later.
        let Ok(_turn) = self.deploy.layers_coming.try_write() else { return Ok(0) };
        let failed = |error| Error::internal("collect layers", error);
        let named = self.deploy.kernel.store.kept_layers().await?;
        let mut named: HashSet<LayerDigest> = named.iter().filter_map(|digest| digest.parse().ok()).collect();
        named.extend(self.deploy.layers_in_use.all());
        self.layers_seen_named.extend(named.iter().cloned());
        let released: HashSet<_> = self.layers_seen_named.difference(&named).cloned().collect();
        let layers = &self.deploy.layers;
        let age = |age| machine_time().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let there = layers.list().await.map_err(failed)?.into_iter().map(|(digest, _)| digest);
        let unreleased = there.filter(|digest| !released.contains(digest)).collect();
        let soon = layers.collect(unreleased, age(RELEASED_LAYER_AGE)).await.map_err(failed)?;
        let late = layers.collect(named, age(LAYER_AGE)).await.map_err(failed)?;
        let there = layers.list().await.map_err(failed)?;
        let there: HashSet<_> = there.into_iter().map(|(digest, _)| digest).collect();
        self.layers_seen_named.retain(|digest| there.contains(digest));
        Ok(soon.layers + late.layers)
    }
}

#[async_trait]
impl Sweep for DeploySweep {
    async fn remove_app(&mut self, app: AppId) -> Result<()> {
        let removed = self.deploy.repositories.delete(app).await;
        removed.map_err(|error| Error::internal("remove a destroyed app's repository", error))?;
        let purged = self.deploy.builder.purge_cache(app).await;
        purged.map_err(|error| Error::internal("remove a destroyed app's build cache", error))
    }

    async fn sweep(&mut self) -> Vec<Result<u64>> {
        vec![
            self.expire_releases().await,
            self.remove_sources().await.map(|()| 0),
            self.sweep_builds().await.map(|()| 0),
            self.forget_reusable().await,
            self.forget_empty_steps().await,
            self.collect_layers().await,
            self.evict_caches().await.map(|()| 0),
            self.sweep_mirror().await,
        ]
    }
}

/// Removes files that were last written longer ago than `age`.
fn remove_old_files(folder: &Path, age: Duration) -> io::Result<()> {
    let before = machine_time().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|written| written < before) {
            durable!("source.old_file_removed", std::fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}
