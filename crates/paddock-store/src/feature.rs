//! Features that were switched on or off for an app or an account. One never switched has no row.

use paddock_core::{AccountId, AppId, UnixMicros};

use crate::Tx;
use crate::engine::{reads, row, statements, values};
use crate::error::Result;

/// A feature as switched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Whether it is on.
    pub enabled: bool,
    /// When it was switched.
    pub updated_at: UnixMicros,
}

row!(Feature { name, enabled, updated_at } optional {});

statements! {
    OF_APP = "SELECT name, enabled, updated_at FROM app_features WHERE app_id = $1 ORDER BY name";
    OF_ACCOUNT = "SELECT name, enabled, updated_at FROM account_features WHERE account_id = $1 ORDER BY name";
    SET_FOR_APP = "INSERT INTO app_features (app_id, name, enabled, updated_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (app_id, name) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at";
    SET_FOR_ACCOUNT = "INSERT INTO account_features (account_id, name, enabled, updated_at) \
        VALUES ($1, $2, $3, $4) ON CONFLICT (account_id, name) \
        DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at";
}

reads! {
    /// The features switched for an app, by name.
    app_features(app_id: AppId) -> all Feature: OF_APP [app_id];
    /// The features switched for an account, by name.
    account_features(account_id: AccountId) -> all Feature: OF_ACCOUNT [account_id];
}

impl Tx {
    /// Switches a feature of an app.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn set_app_feature(&mut self, app_id: AppId, name: &str, enabled: bool) -> Result<()> {
        let values = values![app_id, name, enabled, self.now];
        self.execute(SET_FOR_APP, values).await.map(drop)
    }

    /// Switches a feature of an account.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn set_account_feature(
        &mut self,
        account_id: AccountId,
        name: &str,
        enabled: bool,
    ) -> Result<()> {
        let values = values![account_id, name, enabled, self.now];
        self.execute(SET_FOR_ACCOUNT, values).await.map(drop)
    }
}
