//! What the store has of an app, as a pass reads it: of one app, or of a page of them, by the same statements.

use std::collections::HashMap;

use paddock_core::plan::formation::Desired;
use paddock_store::{App, AppSpan, Dyno, Release};

use crate::Result;
use crate::dynos::Dynos;
use crate::kernel::reconcile::by_app;

/// What the store has of one app.
pub(super) struct AppRows {
    pub(super) app: App,
    pub(super) dynos: Vec<Dyno>,
    pub(super) desired: Desired,
    /// Its releases whose release phase waits or runs, oldest first.
    pub(super) pending: Vec<Release>,
}

impl Dynos {
    /// The rows of apps that were read before, and come by id: what was committed since is news to the next pass, since the
    /// generation is that of before.
    pub(super) async fn rows_of(&self, apps: Vec<App>) -> Result<Vec<AppRows>> {
        let Some(span) = AppSpan::of_page(&apps) else { return Ok(Vec::new()) };
        let (trial, store) = (self.kernel.config.dyno_trial, &self.kernel.store);
        let mut dynos = by_app(store.dynos_within(span).await?, |dyno| dyno.app_id);
        let mut formations = by_app(store.formations_within(span).await?, |row| row.app_id);
        // A release without a slug has nothing to run.
        let releases = store.current_releases_within(span).await?.into_iter();
        let releases = releases.filter(|release| release.slug_id.is_some());
        let releases: HashMap<_, _> = releases.map(|release| (release.app_id, release.id)).collect();
        let mut pending = by_app(store.pending_releases_within(span).await?, |release| release.app_id);
        let rows = apps.into_iter().map(|app| {
            let formation = formations.remove(&app.id).unwrap_or_default();
            let quantities = formation.into_iter().map(|row| (row.process_type, row.quantity)).collect();
            let desired = Desired { release: releases.get(&app.id).copied(), quantities, trial };
            let dynos = dynos.remove(&app.id).unwrap_or_default();
            AppRows { dynos, desired, pending: pending.remove(&app.id).unwrap_or_default(), app }
        });
        Ok(rows.collect())
    }
}
