//! Features that were switched on or off for an app. One never switched has no row; no feature of accounts is built.

use paddock_core::{AppId, UnixMicros};

use crate::Tx;
use crate::engine::{reads, row, statements, values};
use crate::error::Result;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    pub name: String,
    pub enabled: bool,
    pub updated_at: UnixMicros,
}

row!(Feature { name, enabled, updated_at } optional {});

statements! {
    OF_APP = "SELECT name, enabled, updated_at FROM app_features WHERE app_id = $1 ORDER BY name";
    SET_FOR_APP = "INSERT INTO app_features (app_id, name, enabled, updated_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (app_id, name) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at";
}

reads! {
    /// The features switched for an app, by name.
    app_features(app_id: AppId) -> all Feature: OF_APP [app_id];
}

impl Tx {
    /// Switches a feature of an app.
    pub async fn set_app_feature(&mut self, app_id: AppId, name: &str, enabled: bool) -> Result<()> {
        let values = values![app_id, name, enabled, self.now];
        self.execute(SET_FOR_APP, values).await.map(drop)
    }
}
