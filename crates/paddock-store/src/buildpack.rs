//! Buildpack installations: which buildpacks an app is built with, in order.

use paddock_core::AppId;

use crate::engine::{self, FromRow, Row, statements, values};
use crate::error::Result;
use crate::{Store, Tx};

struct Url(String);

impl FromRow for Url {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("url").map(Self)
    }
}

statements! {
    OF_APP = "SELECT url FROM buildpack_installations WHERE app_id = $1 ORDER BY ordinal";
    CLEAR = "DELETE FROM buildpack_installations WHERE app_id = $1";
    ADD = "INSERT INTO buildpack_installations (app_id, ordinal, url) VALUES ($1, $2, $3)";
}

fn urls(rows: Vec<Url>) -> Vec<String> {
    rows.into_iter().map(|Url(url)| url).collect()
}

impl Store {
    /// URLs of an app's buildpacks, in order; the ordinal is the index.
    pub async fn buildpacks(&self, app_id: AppId) -> Result<Vec<String>> {
        engine::all(&mut *self.reader().await?, OF_APP, values![app_id]).await.map(urls)
    }
}

impl Tx {
    /// As [`Store::buildpacks`].
    pub async fn buildpacks(&mut self, app_id: AppId) -> Result<Vec<String>> {
        engine::all(self.connection(), OF_APP, values![app_id]).await.map(urls)
    }

    pub async fn replace_buildpacks(&mut self, app_id: AppId, urls: &[String]) -> Result<()> {
        self.execute(CLEAR, values![app_id]).await?;
        for (ordinal, url) in (0_u32..).zip(urls) {
            self.execute(ADD, values![app_id, ordinal, *url]).await?;
        }
        Ok(())
    }
}
