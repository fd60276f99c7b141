//! Config vars, sealed as one map: the current ones of an app and the snapshot of each release.

use std::collections::HashMap;

use paddock_core::config::ConfigVars;
use paddock_core::{AppId, ReleaseId};

use crate::engine::{self, Sealed, row, statements, values};
use crate::error::{Result, StoreError};
use crate::seal::Sealer;
use crate::{AppSpan, Store, Tx};

statements! {
    CURRENT = "SELECT sealed FROM config WHERE app_id = $1";
    CURRENT_WITHIN = "SELECT config.app_id, config.sealed FROM config JOIN apps ON apps.id = config.app_id \
        WHERE apps.server_id = $1 AND apps.id >= $2 AND apps.id <= $3";
    OF_RELEASE = "SELECT config AS sealed FROM releases WHERE app_id = $1 AND id = $2";
    SET = "INSERT INTO config (app_id, sealed, updated_at) VALUES ($1, $2, $3) \
        ON CONFLICT (app_id) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at";
}

/// The config vars of one app among those of all.
struct SealedOfApp {
    app_id: AppId,
    sealed: Vec<u8>,
}

row!(SealedOfApp { app_id, sealed } optional {});

pub(crate) fn current_place(app_id: AppId) -> String {
    format!("config:{app_id}:current")
}

/// Where the snapshot of a release belongs.
pub(crate) fn release_place(app_id: AppId, release_id: ReleaseId) -> String {
    format!("config:{app_id}:{release_id}")
}

/// Seals a map of variables for a place.
pub(crate) fn seal_vars(sealer: &Sealer, place: &str, vars: &ConfigVars) -> Result<Vec<u8>> {
    let map = vars.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    sealer.seal(place, serde_json::Value::Object(map).to_string().as_bytes())
}

/// The map of variables that was sealed for a place.
pub(crate) fn unseal_vars(sealer: &Sealer, place: &str, sealed: &[u8]) -> Result<ConfigVars> {
    let clear = sealer.unseal(place, sealed)?;
    serde_json::from_slice(&clear).map_err(|_| StoreError::Unseal { place: place.to_owned() })
}

impl Store {
    /// The current config vars of an app; none when none were ever set.
    ///
    /// # Errors
    /// `Unseal`, or the database could not be read.
    pub async fn config_vars(&self, app_id: AppId) -> Result<ConfigVars> {
        let row = engine::one(&mut *self.reader().await?, CURRENT, values![app_id]).await?;
        open(self.sealer(), &current_place(app_id), row).map(Option::unwrap_or_default)
    }

    /// The current config vars of every app of a span that ever set some.
    ///
    /// # Errors
    /// `Unseal`, or the database could not be read.
    pub async fn config_vars_within(&self, span: AppSpan) -> Result<HashMap<AppId, ConfigVars>> {
        let rows = self.within(span, CURRENT_WITHIN).await?;
        let vars = rows.into_iter().map(|SealedOfApp { app_id, sealed }| {
            Ok((app_id, unseal_vars(self.sealer(), &current_place(app_id), &sealed)?))
        });
        vars.collect()
    }

    /// The config vars that a release was made with.
    ///
    /// # Errors
    /// `Gone` when the app has no such release, `Unseal`, or the database could not be read.
    pub async fn config_vars_of_release(&self, app_id: AppId, release_id: ReleaseId) -> Result<ConfigVars> {
        let row = engine::one(&mut *self.reader().await?, OF_RELEASE, values![app_id, release_id]).await?;
        open(self.sealer(), &release_place(app_id, release_id), row)?.ok_or_else(|| gone(release_id))
    }
}

impl Tx {
    /// As [`Store::config_vars`].
    pub async fn config_vars(&mut self, app_id: AppId) -> Result<ConfigVars> {
        let row = self.one(CURRENT, values![app_id]).await?;
        open(&self.sealer, &current_place(app_id), row).map(Option::unwrap_or_default)
    }

    /// As [`Store::config_vars_of_release`].
    pub async fn config_vars_of_release(
        &mut self,
        app_id: AppId,
        release_id: ReleaseId,
    ) -> Result<ConfigVars> {
        let row = self.one(OF_RELEASE, values![app_id, release_id]).await?;
        open(&self.sealer, &release_place(app_id, release_id), row)?.ok_or_else(|| gone(release_id))
    }

    /// Replaces the current config vars of an app. The release that goes with it is the caller's to make.
    pub async fn set_config(&mut self, app_id: AppId, vars: &ConfigVars) -> Result<()> {
        let sealed = seal_vars(&self.sealer, &current_place(app_id), vars)?;
        let values = values![app_id, sealed, self.now];
        self.execute(SET, values).await.map(drop)
    }
}

fn open(sealer: &Sealer, place: &str, row: Option<Sealed>) -> Result<Option<ConfigVars>> {
    let sealed = row.and_then(|Sealed(sealed)| sealed);
    sealed.map(|sealed| unseal_vars(sealer, place, &sealed)).transpose()
}

fn gone(release_id: ReleaseId) -> StoreError {
    StoreError::Gone { noun: "release", id: release_id.to_string() }
}
