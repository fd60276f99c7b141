//! Keeps the disk free of what nobody can reach any more: files of destroyed apps, old releases, layers that no slug
//! names, log lines and rows past their time.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use paddock_core::build::BuildStatus;
use paddock_core::release::{KEPT_FOR, RELEASES_KEPT, ReleaseStatus};
use paddock_core::{AppId, BuildId, ReleaseId, durable};
use paddock_images::LayerDigest;
use paddock_store::DeletedApp;
use paddock_telemetry::OutputSeen;

use crate::kernel::error::{Error, chain};
use crate::kernel::label;
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::request_outcome::REMEMBERED_FOR;
use crate::{Control, Result};

/// Layers that no slug was seen to name are spared for this long: one is added before the row that names it, which takes
/// seconds.
const LAYER_AGE: Duration = Duration::from_secs(10 * 60);
/// The same for those that a slug named, whose app or release is gone: a build may have added the same again just now.
const RELEASED_LAYER_AGE: Duration = Duration::from_secs(2 * 60);
/// How long a destroyed app is remembered. Until then what comes late is removed as well: lines that the router still
/// had, the repository of a push that was under way.
const DESTROYED: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is looked after often.
const LATE: Duration = Duration::from_secs(60);
/// All build caches together; the oldest go first. Source: contract `buildpacks.md`, section 12.
const CACHE_BYTES_MAX: u64 = 20 * 1024 * 1024 * 1024;
/// Failures that no limit looks back at any more.
const LOGIN_FAILURES: Duration = Duration::from_secs(24 * 60 * 60);
/// Files of sources are of no use after this long: a build takes minutes, an upload hours.
const SOURCE_FILES: Duration = Duration::from_secs(24 * 60 * 60);
/// Outputs that nothing was added to for this long belong to nobody unless a row says so.
const QUIET: Duration = Duration::from_secs(10 * 60);
/// Rows that only tell of the past are kept this long.
const HISTORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Removes what nobody can reach any more.
pub struct GarbageReconciler {
    control: Arc<Control>,
    /// What was written before belongs to a process that is gone: one server uses a data directory.
    begun_at: SystemTime,
    /// The layers that slugs named in any pass, as long as they are there.
    layers_seen_named: HashSet<LayerDigest>,
}

impl GarbageReconciler {
    /// For this control plane.
    #[must_use]
    pub fn new(control: Arc<Control>) -> Self {
        Self { control, begun_at: SystemTime::now(), layers_seen_named: HashSet::new() }
    }

    /// Removes the files of a destroyed app, again and again until nothing can come late any more. False while containers
    /// of it (`running`) have still to end.
    async fn remove_app(&self, app: &DeletedApp, running: &HashSet<AppId>) -> Result<bool> {
        let control = &self.control;
        if running.contains(&app.app_id) {
            // Its dynos and builds end first; the formation reconciler and the sweep below see to that.
            control.wakes.dynos.wake();
            return Ok(false);
        }
        let removed = control.repositories.delete(app.app_id).await;
        removed.map_err(|error| Error::internal("remove a destroyed app's repository", error))?;
        let purged = control.builder.purge_cache(app.app_id).await;
        purged.map_err(|error| Error::internal("remove a destroyed app's build cache", error))?;
        let deleted = control.logs.delete_app(app.app_id).await;
        deleted.map_err(|error| Error::internal("remove a destroyed app's log", error))?;
        if control.now().since(app.deleted_at) > DESTROYED {
            let mut tx = control.store.begin_platform(control.now()).await?;
            tx.forget_deleted_app(app.app_id).await?;
            durable!("app.forgotten", tx.commit().await)?;
            tracing::info!(app.name = %app.name, "the destroyed app {} is forgotten", app.name);
        }
        Ok(true)
    }

    /// Apps that have containers.
    async fn running_apps(&self) -> Result<HashSet<AppId>> {
        let observed = self.control.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        Ok(observed.iter().filter_map(label::app_of).collect())
    }

    async fn purge_rows(&self) -> Result<()> {
        let now = self.control.now();
        let mut tx = self.control.store.begin_platform(now).await?;
        tx.purge_orphan_slugs().await?;
        tx.purge_jobs(now - HISTORY).await?;
        tx.purge_events(now - HISTORY).await?;
        tx.purge_log_sessions(now).await?;
        tx.purge_login_failures(now - LOGIN_FAILURES).await?;
        tx.purge_authorizations(now - HISTORY).await?;
        tx.purge_request_outcomes(now - REMEMBERED_FOR).await?;
        durable!("garbage.rows_purged", tx.commit().await)?;
        Ok(())
    }

    /// Releases that nobody goes back to any more, and slugs that nothing runs: their layers can go then. How many
    /// releases, and how many apps whose turn failed.
    async fn expire_releases(&self) -> Result<PassReport> {
        let (store, now) = (&self.control.store, self.control.now());
        let mut report = PassReport::default();
        for app in store.apps_with_expirable_releases(RELEASES_KEPT, now - KEPT_FOR).await? {
            match self.expire_releases_of(app).await {
                Ok(expired) => report.done += usize::try_from(expired).unwrap_or(usize::MAX),
                Err(error) => {
                    report.failed += 1;
                    tracing::warn!(app.id = %app, error = chain(&error), "could not expire releases, will be tried again");
                }
            }
        }
        Ok(report)
    }

    async fn expire_releases_of(&self, app: AppId) -> Result<u64> {
        let now = self.control.now();
        // Its lock: a rollback that has begun keeps what it goes back to.
        let mut tx = self.control.store.begin_observation(app, now).await?;
        let expired = tx.expire_releases(app, RELEASES_KEPT, now - KEPT_FOR).await?;
        durable!("release.expired", tx.commit().await)?;
        Ok(expired)
    }

    /// Sources whose time is over, and what is left of uploads that never ended.
    async fn remove_sources(&self) -> Result<()> {
        let now = self.control.now();
        for source in self.control.store.expired_sources(now).await? {
            let _ = durable!(
                "source.removed",
                tokio::fs::remove_file(self.control.source_blob_path(source.id)).await
            );
            let mut tx = self.control.store.begin_record(now).await?;
            tx.delete_source(source.id).await?;
            durable!("source.forgotten", tx.commit().await)?;
        }
        let folder = self.control.config.data_dir.join("sources");
        let removed = tokio::task::spawn_blocking(move || remove_old_files(&folder, SOURCE_FILES)).await;
        let removed = removed.map_err(|error| Error::internal("remove old sources", error))?;
        removed.map_err(|error| Error::internal("remove old sources", error))
    }

    /// What builds left that a crash, or the end of their app, kept from cleaning up: containers, folders, outputs
    /// that nobody will finish and outputs of builds and releases that are gone.
    async fn sweep_builds(&self) -> Result<()> {
        let control = &self.control;
        let observed =
            control.runtime.observe().await.map_err(|error| Error::internal("list containers", error))?;
        let outputs = control.outputs.list().await;
        let outputs = outputs.map_err(|error| Error::internal("list outputs", error))?;
        let files = control.builder.with_files().await;
        let files = files.map_err(|error| Error::internal("list the folders of builds", error))?;
        // Rows after containers: whatever begins meanwhile has its row first.
        let builds = control.store.build_statuses().await?;
        let releases = control.store.release_statuses().await?;
        let is_running = |build| builds.get(&build) == Some(&BuildStatus::Pending);
        for build in observed.iter().filter_map(label::build_of).chain(files) {
            if !is_running(build) && !control.conversions.is_running(build) {
                crate::deploy::job::clean_up(control, build).await?;
            }
        }
        for output in outputs {
            let (build, release) = (BuildId::from_uuid(output.id), ReleaseId::from_uuid(output.id));
            if is_running(build) || releases.get(&release) == Some(&ReleaseStatus::Pending) {
                continue;
            }
            let has_owner = builds.contains_key(&build) || releases.contains_key(&release);
            self.sweep_output(output, has_owner).await?;
        }
        Ok(())
    }

    /// An output that no build and no release writes to any more: it ends, and goes with what it belongs to.
    async fn sweep_output(&self, output: OutputSeen, has_owner: bool) -> Result<()> {
        let control = &self.control;
        // An output is begun before the row that it belongs to: one that this process may have begun just now is spared.
        let quiet_for = SystemTime::now().duration_since(output.written_at).unwrap_or_default();
        let is_young = quiet_for < QUIET && output.written_at >= self.begun_at;
        if !has_owner && !output.is_finished && is_young {
            return Ok(());
        }
        if !output.is_finished {
            let ended = control.outputs.abandon(output.id).await;
            ended.map_err(|error| Error::internal("end an output that nobody writes", error))?;
        }
        if !has_owner {
            let deleted = control.outputs.delete(output.id).await;
            deleted.map_err(|error| Error::internal("delete an output", error))?;
        }
        Ok(())
    }

    async fn evict_caches(&self) -> Result<()> {
        let evicted = self.control.builder.evict_caches(CACHE_BYTES_MAX).await;
        evicted.map(|_| ()).map_err(|error| Error::internal("evict build caches", error))
    }

    /// Old lines; and the logs of apps that nobody remembers, which lines brought back that came very late.
    async fn retire_logs(&self) -> Result<()> {
        let (store, logs) = (&self.control.store, &self.control.logs);
        let found = logs.apps().await.map_err(|error| Error::internal("list logs", error))?;
        // Rows after folders: an app has its row before its first line.
        let mut known: HashSet<AppId> = store.apps().await?.into_iter().map(|app| app.id).collect();
        known.extend(store.deleted_apps().await?.into_iter().map(|app| app.app_id));
        for app in found.into_iter().filter(|app| !known.contains(app)) {
            let deleted = logs.delete_app(app).await;
            deleted.map_err(|error| Error::internal("remove the log of an app that is gone", error))?;
        }
        let retained = self.control.logs.retain(self.control.now()).await;
        retained.map_err(|error| Error::internal("retire old log lines", error))
    }

    /// Layers that no slug names: those of destroyed apps and expired releases soon, those that may be about to be named
    /// later.
    async fn collect_layers(&mut self) -> Result<u64> {
        let named = self.control.store.slug_layers().await?;
        let named: HashSet<LayerDigest> = named.iter().filter_map(|digest| digest.parse().ok()).collect();
        self.layers_seen_named.extend(named.iter().cloned());
        let released: HashSet<_> = self.layers_seen_named.difference(&named).cloned().collect();
        let layers = self.control.layers.clone();
        let collected = tokio::task::spawn_blocking(move || {
            let age = |age| SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
            let there = layers.list()?.into_iter().map(|(digest, _)| digest);
            let unreleased: HashSet<_> = there.filter(|digest| !released.contains(digest)).collect();
            let soon = layers.collect(&unreleased, age(RELEASED_LAYER_AGE))?;
            let late = layers.collect(&named, age(LAYER_AGE))?;
            let there: HashSet<_> = layers.list()?.into_iter().map(|(digest, _)| digest).collect();
            Ok::<_, paddock_images::LayerError>((soon.layers + late.layers, there))
        });
        let collected = collected.await.map_err(|error| Error::internal("collect layers", error))?;
        let (count, there) = collected.map_err(|error| Error::internal("collect layers", error))?;
        self.layers_seen_named.retain(|digest| there.contains(digest));
        Ok(count)
    }
}

/// Removes files that were last written longer ago than `age`.
fn remove_old_files(folder: &Path, age: Duration) -> io::Result<()> {
    let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|written| written < before) {
            durable!("source.old_file_removed", std::fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

#[async_trait]
impl Reconciler for GarbageReconciler {
    const NAME: &'static str = "garbage";
    const INTERVAL: Duration = Duration::from_secs(60);

    async fn pass(&mut self) -> Result<PassReport> {
        let mut report = PassReport::default();
        // A backup needs all of it to stay; it will still be there a pass later.
        let control = self.control.clone();
        let Ok(_turn) = control.garbage.try_lock() else { return Ok(report) };
        // Rows before containers: none of an app that is deleted can begin any more.
        let deleted = self.control.store.deleted_apps().await?;
        let running = self.running_apps().await?;
        for app in deleted {
            match self.remove_app(&app, &running).await {
                // What comes late mostly comes at once.
                Ok(true) if self.control.now().since(app.deleted_at) < LATE => {
                    report.again_in = Some(Duration::from_secs(5));
                }
                Ok(true) => {}
                Ok(false) => report.again_in = Some(Duration::from_secs(1)),
                Err(error) => {
                    report.failed += 1;
                    tracing::warn!(app.name = %app.name, error = chain(&error), "could not remove a destroyed app");
                }
            }
        }
        // One that fails does not keep the others from their turn.
        let results = [
            self.purge_rows().await,
            self.expire_releases().await.map(|expired| {
                (report.done, report.failed) = (report.done + expired.done, report.failed + expired.failed);
            }),
            self.remove_sources().await,
            self.sweep_builds().await,
            self.collect_layers().await.map(|layers| report.done += usize::try_from(layers).unwrap_or(0)),
            self.evict_caches().await,
            self.retire_logs().await,
        ];
        for error in results.into_iter().filter_map(Result::err) {
            report.failed += 1;
            tracing::warn!(error = chain(&error), "could not clean up, will be tried again");
        }
        Ok(report)
    }
}
