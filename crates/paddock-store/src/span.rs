//! Parts of a server's apps: one app, or a page of them by id. What belongs to the apps of a part is read by one statement for
//! each noun, however many they are.

use paddock_core::AppId;

use crate::Store;
use crate::app::App;
use crate::engine::{self, FromRow, statements, values};
use crate::error::Result;

/// The apps of a server from one id to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppSpan {
    first: AppId,
    last: AppId,
}

impl AppSpan {
    /// This app alone.
    #[must_use]
    pub fn of_one(app: AppId) -> Self {
        Self { first: app, last: app }
    }

    /// From the first to the last of a page; `None` for an empty one.
    #[must_use]
    pub fn of_page(page: &[App]) -> Option<Self> {
        Some(Self { first: page.first()?.id, last: page.last()?.id })
    }

    /// From the first to the last of ids in their order; `None` where there are none.
    #[must_use]
    pub fn of_ids(ids: &[AppId]) -> Option<Self> {
        Some(Self { first: *ids.first()?, last: *ids.last()? })
    }
}

statements! {
    PAGE = "SELECT * FROM apps WHERE server_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    WITHIN = "SELECT * FROM apps WHERE server_id = $1 AND id >= $2 AND id <= $3 ORDER BY id";
}

impl Store {
    /// The apps of this server that come after one, by id; from the first on for `None`. At most `max`.
    pub async fn apps_after(&self, after: Option<AppId>, max: u32) -> Result<Vec<App>> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        engine::all(&mut *self.reader().await?, PAGE, values![self.server.id, after, max]).await
    }

    pub async fn apps_within(&self, span: AppSpan) -> Result<Vec<App>> {
        self.within(span, WITHIN).await
    }

    /// Every row of a statement that takes a server and a span of its apps.
    pub(crate) async fn within<T: FromRow>(&self, span: AppSpan, sql: &'static str) -> Result<Vec<T>> {
        let values = values![self.server.id, span.first, span.last];
        engine::all(&mut *self.reader().await?, sql, values).await
    }
}
