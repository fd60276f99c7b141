//! What the store has of an app, as a pass reads it: of one app, or of a page of them, by the same statements.

use std::collections::HashMap;

use paddock_core::plan::formation::Desired;
use paddock_core::{AppId, ErrorId};
use paddock_store::{App, AppSpan, Dyno, Release};

use crate::Result;
use crate::dynos::Dynos;
use crate::kernel::error::chain;
use crate::kernel::reconcile::by_app;

/// What the store has of one app.
pub(super) struct AppRows {
    pub(super) app: App,
    pub(super) dynos: Vec<Dyno>,
    pub(super) desired: Desired,
    /// Its releases whose release phase waits or runs, oldest first.
    pub(super) pending: Vec<Release>,
}

/// What a pass found of the apps that it looks at.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<AppRows>,
    /// Apps that are not there any more.
    pub(super) gone: Vec<AppId>,
    /// Apps of which something cannot be read.
    pub(super) unreadable: Vec<AppId>,
}

impl Dynos {
    /// Reads what is of the apps of a page. One that cannot be read is nobody's trouble but its own.
    pub(super) async fn find_page(&self, apps: Vec<App>, found: &mut Found) -> Result<()> {
        match self.rows_of(apps.clone()).await {
            Ok(rows) => found.rows.extend(rows),
            Err(error) if error.id == ErrorId::ServiceUnavailable => return Err(error),
            Err(_) => {
                for app in apps {
                    self.find_one(app.id, found).await?;
                }
            }
        }
        Ok(())
    }

    /// Reads what is of one app.
    pub(super) async fn find_one(&self, app: AppId, found: &mut Found) -> Result<()> {
        let rows = async {
            let there = self.kernel.store.apps_within(AppSpan::of_one(app)).await?;
            self.rows_of(there).await
        };
        match rows.await {
            Ok(rows) if rows.is_empty() => found.gone.push(app),
            Ok(rows) => found.rows.extend(rows),
            Err(error) if error.id == ErrorId::ServiceUnavailable => return Err(error),
            Err(error) => {
                tracing::error!(app.id = %app, error = chain(&error), "an app cannot be looked after, will be tried again");
                found.unreadable.push(app);
            }
        }
        Ok(())
    }

    /// The rows of apps that were read before, and come by id. What was committed since touched its app, which the next pass
    /// looks at then.
    async fn rows_of(&self, apps: Vec<App>) -> Result<Vec<AppRows>> {
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
