//! Config vars, sealed as two maps, the user's and the attachments': the current ones of an app and the snapshot of each
//! release.

use std::collections::HashMap;

use paddock_core::config::{ConfigVars, OwnedConfig};
use paddock_core::{AppId, ReleaseId};

use crate::engine::{self, row, statements, values};
use crate::error::{Result, StoreError};
use crate::seal::Sealer;
use crate::{AppSpan, Store, Tx};

statements! {
    CURRENT = "SELECT sealed AS by_user, attached FROM config WHERE app_id = $1";
    CURRENT_WITHIN = "SELECT config.app_id, config.sealed AS by_user, config.attached FROM config \
        JOIN apps ON apps.id = config.app_id WHERE apps.server_id = $1 AND apps.id >= $2 AND apps.id <= $3";
    OF_RELEASE = "SELECT config AS by_user, attached FROM releases WHERE app_id = $1 AND id = $2";
    SET = "INSERT INTO config (app_id, sealed, updated_at) VALUES ($1, $2, $3) \
        ON CONFLICT (app_id) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at";
    /// The user's are empty where there was nothing.
    SET_ATTACHED = "INSERT INTO config (app_id, sealed, attached, updated_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (app_id) DO UPDATE SET attached = excluded.attached, updated_at = excluded.updated_at";
    PENDING = "SELECT id FROM releases WHERE app_id = $1 AND status = 'pending'";
    SET_ATTACHED_OF_RELEASE = "UPDATE releases SET attached = $2, updated_at = $3 WHERE id = $1";
}

/// Both maps, sealed. One that is empty may have no bytes.
struct SealedConfig {
    by_user: Vec<u8>,
    attached: Option<Vec<u8>>,
}

row!(SealedConfig { by_user } optional { attached });

/// The config vars of one app among those of all.
struct SealedOfApp {
    app_id: AppId,
    by_user: Vec<u8>,
    attached: Option<Vec<u8>>,
}

row!(SealedOfApp { app_id, by_user } optional { attached });

struct ReleaseRow {
    id: ReleaseId,
}

row!(ReleaseRow { id } optional {});

/// Whose map it is: each is sealed for places of its own.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    User,
    Attachments,
}

impl Whose {
    fn place(self, of: String) -> String {
        match self {
            Self::User => of,
            Self::Attachments => format!("{of}:attached"),
        }
    }
}

/// Where an app's current map belongs.
pub(crate) fn current_place(whose: Whose, app_id: AppId) -> String {
    whose.place(format!("config:{app_id}:current"))
}

/// Where the snapshot of a release belongs.
pub(crate) fn release_place(whose: Whose, app_id: AppId, release_id: ReleaseId) -> String {
    whose.place(format!("config:{app_id}:{release_id}"))
}

/// Seals a map of variables for a place.
pub(crate) fn seal_vars(sealer: &Sealer, place: &str, vars: &ConfigVars) -> Result<Vec<u8>> {
    let map = vars.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    sealer.seal(place, serde_json::Value::Object(map).to_string().as_bytes())
}

/// The same of attachments' variables, which most apps have none of.
pub(crate) fn seal_attached(sealer: &Sealer, place: &str, vars: &ConfigVars) -> Result<Option<Vec<u8>>> {
    if vars.is_empty() { Ok(None) } else { seal_vars(sealer, place, vars).map(Some) }
}

/// The map of variables that was sealed for a place.
pub(crate) fn unseal_vars(sealer: &Sealer, place: &str, sealed: &[u8]) -> Result<ConfigVars> {
    let clear = sealer.unseal(place, sealed)?;
    serde_json::from_slice(&clear).map_err(|_| StoreError::Unseal { place: place.to_owned() })
}

impl SealedConfig {
    fn open(&self, sealer: &Sealer, place: impl Fn(Whose) -> String) -> Result<OwnedConfig> {
        let attached = self.attached.as_deref();
        let attached = attached.map(|sealed| unseal_vars(sealer, &place(Whose::Attachments), sealed));
        Ok(OwnedConfig {
            user: unseal_vars(sealer, &place(Whose::User), &self.by_user)?,
            attached: attached.transpose()?.unwrap_or_default(),
        })
    }
}

fn open_current(sealer: &Sealer, app_id: AppId, row: Option<SealedConfig>) -> Result<OwnedConfig> {
    let opened = row.map(|row| row.open(sealer, |whose| current_place(whose, app_id)));
    opened.transpose().map(Option::unwrap_or_default)
}

fn open_of_release(
    sealer: &Sealer,
    app_id: AppId,
    release_id: ReleaseId,
    row: Option<SealedConfig>,
) -> Result<OwnedConfig> {
    let row = row.ok_or_else(|| StoreError::Gone { noun: "release", id: release_id.to_string() })?;
    row.open(sealer, |whose| release_place(whose, app_id, release_id))
}

impl Store {
    /// The current config vars of an app, whoever they are of; none when none were ever set.
    ///
    /// # Errors
    /// `Unseal`, or the database could not be read.
    pub async fn config_vars(&self, app_id: AppId) -> Result<ConfigVars> {
        let row = engine::one(&mut *self.reader().await?, CURRENT, values![app_id]).await?;
        open_current(self.sealer(), app_id, row).map(OwnedConfig::merged)
    }

    /// The current config vars of every app of a span that ever had some, whoever they are of.
    ///
    /// # Errors
    /// `Unseal`, or the database could not be read.
    pub async fn config_vars_within(&self, span: AppSpan) -> Result<HashMap<AppId, ConfigVars>> {
        let rows = self.within(span, CURRENT_WITHIN).await?;
        let vars = rows.into_iter().map(|SealedOfApp { app_id, by_user, attached }| {
            let row = Some(SealedConfig { by_user, attached });
            Ok((app_id, open_current(self.sealer(), app_id, row)?.merged()))
        });
        vars.collect()
    }

    /// The config vars that a release runs with, whoever they are of.
    ///
    /// # Errors
    /// `Gone` when the app has no such release, `Unseal`, or the database could not be read.
    pub async fn config_vars_of_release(&self, app_id: AppId, release_id: ReleaseId) -> Result<ConfigVars> {
        let row = engine::one(&mut *self.reader().await?, OF_RELEASE, values![app_id, release_id]).await?;
        open_of_release(self.sealer(), app_id, release_id, row).map(OwnedConfig::merged)
    }
}

impl Tx {
    /// The current config vars of an app by whose they are.
    pub async fn owned_config(&mut self, app_id: AppId) -> Result<OwnedConfig> {
        let row = self.one(CURRENT, values![app_id]).await?;
        open_current(&self.sealer, app_id, row)
    }

    /// The config vars that a release runs with, by whose they are.
    ///
    /// # Errors
    /// `Gone` when the app has no such release.
    pub async fn owned_config_of_release(
        &mut self,
        app_id: AppId,
        release_id: ReleaseId,
    ) -> Result<OwnedConfig> {
        let row = self.one(OF_RELEASE, values![app_id, release_id]).await?;
        open_of_release(&self.sealer, app_id, release_id, row)
    }

    /// Replaces the user's current config vars of an app. The release that goes with it is the caller's to make.
    pub async fn set_config(&mut self, app_id: AppId, vars: &ConfigVars) -> Result<()> {
        let sealed = seal_vars(&self.sealer, &current_place(Whose::User, app_id), vars)?;
        let values = values![app_id, sealed, self.now];
        self.execute(SET, values).await.map(drop)
    }

    /// Replaces the attachments' current config vars of an app, and those of its releases that wait for their release
    /// phase: none becomes current with an address that is none any more. The release that goes with it is the caller's
    /// to make.
    pub async fn set_attached(&mut self, app_id: AppId, vars: &ConfigVars) -> Result<()> {
        let nothing = seal_vars(&self.sealer, &current_place(Whose::User, app_id), &ConfigVars::new())?;
        let place = current_place(Whose::Attachments, app_id);
        let sealed = seal_attached(&self.sealer, &place, vars)?;
        let values = values![app_id, nothing, sealed, self.now];
        self.execute(SET_ATTACHED, values).await?;
        let doing = self.doing();
        let pending: Vec<ReleaseRow> = engine::all(self.connection(), PENDING, values![app_id])
            .await
            .map_err(|error| error.during(doing))?;
        for ReleaseRow { id } in pending {
            let place = release_place(Whose::Attachments, app_id, id);
            let sealed = seal_attached(&self.sealer, &place, vars)?;
            let values = values![id, sealed, self.now];
            self.execute(SET_ATTACHED_OF_RELEASE, values).await?;
        }
        Ok(())
    }
}
