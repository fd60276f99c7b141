//! Add-ons: what apps are attached to. Each is billed to one app and looked after by that app's server.
//!
//! provisioning → provisioned → deprovisioning, and then its row goes. The row is the last to go: it knows what is still to
//! be removed elsewhere.

use std::collections::BTreeMap;

use paddock_core::addon::AddonState;
use paddock_core::config::ConfigVars;
use paddock_core::{AccountId, AddonId, AppId, AppName, DataServerId, ServerId, UnixMicros};

use crate::config::{seal_vars, unseal_vars};
use crate::engine::{self, FromRow, Row, Sealed, reads, row, statements, values, word_columns};
use crate::error::{Result, StoreError};
use crate::{Sealer, Store, Tx};

/// How what an add-on stores stands to its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageState {
    Available,
    /// More than the plan has; it is told, and has its time to change that.
    Over,
    /// More than the plan has for too long: nothing can be added.
    Restricted,
}

impl StorageState {
    pub const ALL: [Self; 3] = [Self::Available, Self::Over, Self::Restricted];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Over => "over",
            Self::Restricted => "restricted",
        }
    }

    /// The state with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

word_columns!(AddonState = AddonState::parse, StorageState = StorageState::parse);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addon {
    pub id: AddonId,
    /// Its name, unique on the platform.
    pub name: String,
    /// The app that it is billed to; `None` when that is gone, and the add-on on its way out.
    pub app_id: Option<AppId>,
    /// The server that looks after it.
    pub server_id: ServerId,
    /// `heroku-postgresql`.
    pub service: String,
    /// Without its service: `essential-0`.
    pub plan: String,
    pub state: AddonState,
    /// Where it runs, once that is known.
    pub data_server_id: Option<DataServerId>,
    /// What it was ordered with.
    pub options: BTreeMap<String, String>,
    /// What its user is told of how it was made.
    pub provision_message: Option<String>,
    pub storage_state: StorageState,
    /// Since when its storage is in that state.
    pub storage_since: UnixMicros,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(Addon { id, name, server_id, service, plan, state, options, storage_state, storage_since, created_at, updated_at }
    optional { app_id, data_server_id, provision_message });

/// An add-on with what a list of add-ons says of it besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAddon {
    pub addon: Addon,
    /// The name of the app that it is billed to.
    pub app_name: Option<AppName>,
}

impl FromRow for ListedAddon {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { addon: Addon::from_row(row)?, app_name: row.optional("app_name")? })
    }
}

/// What a new add-on is made of; fields as in [`Addon`].
#[derive(Debug, Clone)]
pub struct NewAddon {
    pub id: AddonId,
    pub name: String,
    pub app_id: AppId,
    pub service: String,
    pub plan: String,
    pub options: BTreeMap<String, String>,
    /// Its names on a data server (of a database, of a role), made before the first step; stored sealed.
    pub secrets: ConfigVars,
    pub provision_message: Option<String>,
}

/// Add-ons of which this is true, with what a list says of them.
macro_rules! listed {
    ($condition:literal) => {
        concat!(
            "SELECT addons.*, apps.name AS app_name FROM addons LEFT JOIN apps ON apps.id = addons.app_id WHERE ",
            $condition,
            " ORDER BY addons.name"
        )
    };
}

statements! {
    BY_ID = "SELECT * FROM addons WHERE id = $1";
    BY_NAME = "SELECT * FROM addons WHERE name = $1";
    LISTED = listed!("addons.id = $1");
    LISTED_OF_APP = listed!("addons.app_id = $1");
    LISTED_OF_ACCOUNT = listed!("apps.owner_id = $1 \
        OR apps.id IN (SELECT app_id FROM collaborators WHERE account_id = $1)");
    OF_SERVER = "SELECT * FROM addons WHERE server_id = $1 ORDER BY name";
    IN_MOTION = "SELECT * FROM addons WHERE server_id = $1 AND state <> 'provisioned' ORDER BY name";
    ON_DATA_SERVER = "SELECT * FROM addons WHERE data_server_id = $1 ORDER BY name";
    SECRETS = "SELECT secret AS sealed FROM addons WHERE id = $1";
    // On the app's server.
    CREATE = "INSERT INTO addons (id, name, app_id, server_id, service, plan, state, options, secret, provision_message, \
        storage_state, storage_since, created_at, updated_at) \
        SELECT $1, $2, apps.id, apps.server_id, $4, $5, 'provisioning', $6, $7, $8, 'available', $9, $9, $9 \
        FROM apps WHERE apps.id = $3";
    RENAME = "UPDATE addons SET name = $2, updated_at = $3 WHERE id = $1";
    SET_STATE = "UPDATE addons SET state = $2, updated_at = $3 WHERE id = $1";
    SET_PLAN = "UPDATE addons SET plan = $2, updated_at = $3 WHERE id = $1";
    SET_DATA_SERVER = "UPDATE addons SET data_server_id = $2, updated_at = $3 WHERE id = $1";
    SET_SECRETS = "UPDATE addons SET secret = $2, updated_at = $3 WHERE id = $1";
    SET_MESSAGE = "UPDATE addons SET provision_message = $2, updated_at = $3 WHERE id = $1";
    SET_STORAGE = "UPDATE addons SET storage_state = $2, updated_at = $3, \
        storage_since = CASE WHEN storage_state = $2 THEN storage_since ELSE $3 END WHERE id = $1";
    ABANDON = "UPDATE addons SET app_id = NULL, state = 'deprovisioning', updated_at = $2 WHERE app_id = $1";
    DELETE = "DELETE FROM addons WHERE id = $1";
}

/// Where an add-on's names on its data server belong.
pub(crate) fn secret_place(id: AddonId) -> String {
    format!("addon:{id}")
}

reads! {
    addon(id: AddonId) -> one Addon: BY_ID [id];
    addon_by_name(name: &str) -> one Addon: BY_NAME [name];
    /// The add-on with this id, with what a list says of it.
    listed_addon(id: AddonId) -> one ListedAddon: LISTED [id];
    /// The add-ons that are billed to an app, by name.
    addons_of_app(app_id: AppId) -> all ListedAddon: LISTED_OF_APP [app_id];
    /// The add-ons that are billed to the apps that an account owns or collaborates on, by name.
    addons_of(account_id: AccountId) -> all ListedAddon: LISTED_OF_ACCOUNT [account_id];
    /// The add-ons that a data server runs, by name.
    addons_on(data_server_id: DataServerId) -> all Addon: ON_DATA_SERVER [data_server_id];
}

impl Store {
    /// The add-ons that this server looks after, by name; those too whose app is gone.
    pub async fn addons(&self) -> Result<Vec<Addon>> {
        engine::all(&mut *self.reader().await?, OF_SERVER, values![self.server.id]).await
    }

    /// Those of this server that are on their way: not there yet, or not gone yet.
    pub async fn addons_in_motion(&self) -> Result<Vec<Addon>> {
        engine::all(&mut *self.reader().await?, IN_MOTION, values![self.server.id]).await
    }

    /// An add-on's names on its data server.
    ///
    /// # Errors
    /// `Gone`, `Unseal`, or the database could not be read.
    pub async fn addon_secrets(&self, id: AddonId) -> Result<ConfigVars> {
        let row = engine::one(&mut *self.reader().await?, SECRETS, values![id]).await?;
        open(self.sealer(), id, row)
    }
}

impl Tx {
    /// Makes an add-on, which is still to be provisioned, for the server of its app. Within a change of that app.
    ///
    /// # Errors
    /// `AddonNameTaken`, `AppGone`.
    pub async fn create_addon(&mut self, new: &NewAddon) -> Result<Addon> {
        let secret = seal_vars(&self.sealer, &secret_place(new.id), &new.secrets)?;
        let values = values![
            new.id,
            new.name,
            new.app_id,
            new.service,
            new.plan,
            new.options,
            secret,
            new.provision_message,
            self.now
        ];
        if !self.execute_unique(CREATE, values).await? {
            return Err(StoreError::AddonNameTaken(new.name.clone()));
        }
        self.touch(new.app_id);
        self.addon(new.id).await?.ok_or(StoreError::AppGone(new.app_id))
    }

    /// As [`Store::addon_secrets`].
    pub async fn addon_secrets(&mut self, id: AddonId) -> Result<ConfigVars> {
        let row = self.one(SECRETS, values![id]).await?;
        open(&self.sealer, id, row)
    }

    /// Gives an add-on another name.
    ///
    /// # Errors
    /// `AddonNameTaken`.
    pub async fn rename_addon(&mut self, id: AddonId, name: &str) -> Result<()> {
        match self.execute_unique(RENAME, values![id, name, self.now]).await? {
            true => Ok(()),
            false => Err(StoreError::AddonNameTaken(name.to_owned())),
        }
    }

    /// # Errors
    /// `Gone`.
    pub async fn set_addon_state(&mut self, id: AddonId, state: AddonState) -> Result<()> {
        let values = values![id, state, self.now];
        self.change("add-on", id, SET_STATE, values).await
    }

    /// # Errors
    /// `Gone`.
    pub async fn set_addon_plan(&mut self, id: AddonId, plan: &str) -> Result<()> {
        let values = values![id, plan, self.now];
        self.change("add-on", id, SET_PLAN, values).await
    }

    /// Says where an add-on runs; `None` when it has left.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn place_addon(&mut self, id: AddonId, on: Option<DataServerId>) -> Result<()> {
        let values = values![id, on, self.now];
        self.change("add-on", id, SET_DATA_SERVER, values).await
    }

    /// Replaces an add-on's names on its data server.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn set_addon_secrets(&mut self, id: AddonId, secrets: &ConfigVars) -> Result<()> {
        let sealed = seal_vars(&self.sealer, &secret_place(id), secrets)?;
        let values = values![id, sealed, self.now];
        self.change("add-on", id, SET_SECRETS, values).await
    }

    /// # Errors
    /// `Gone`.
    pub async fn set_provision_message(&mut self, id: AddonId, message: Option<&str>) -> Result<()> {
        let values = values![id, message, self.now];
        self.change("add-on", id, SET_MESSAGE, values).await
    }

    /// Notes how what it stores stands to its plan; since when, if that is new.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn set_storage_state(&mut self, id: AddonId, state: StorageState) -> Result<()> {
        let values = values![id, state, self.now];
        self.change("add-on", id, SET_STORAGE, values).await
    }

    /// The add-ons of an app that is about to be deleted are billed to nobody and on their way out. An app that has some
    /// cannot be deleted. How many.
    pub async fn abandon_addons(&mut self, app_id: AppId) -> Result<u64> {
        self.execute(ABANDON, values![app_id, self.now]).await
    }

    /// Deletes the row of an add-on of which nothing is left, with its attachments and logins.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn delete_addon(&mut self, id: AddonId) -> Result<()> {
        self.change("add-on", id, DELETE, values![id]).await
    }
}

fn open(sealer: &Sealer, id: AddonId, row: Option<Sealed>) -> Result<ConfigVars> {
    let sealed = row.and_then(|Sealed(sealed)| sealed);
    let sealed = sealed.ok_or_else(|| StoreError::Gone { noun: "add-on", id: id.to_string() })?;
    unseal_vars(sealer, &secret_place(id), &sealed)
}
