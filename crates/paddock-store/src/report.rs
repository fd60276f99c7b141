//! Reports about databases.

use paddock_core::{AddonId, ReportId, UnixMicros};

use crate::engine::{self, FromRow, Row, statements, values};
use crate::error::Result;
use crate::{Store, Tx};

/// A report about a database.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// Random: who has it may read the report.
    pub id: ReportId,
    pub addon_id: AddonId,
    /// What whoever asked for it calls the app.
    pub app_name: String,
    /// The config var that they named the database by.
    pub database_name: String,
    /// What was found, as whoever wrote it reads it again. Stored sealed: texts of statements are in it.
    pub checks: String,
    pub created_at: UnixMicros,
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report").field("addon_id", &self.addon_id).finish_non_exhaustive()
    }
}

struct SealedReport {
    id: ReportId,
    addon_id: AddonId,
    app_name: String,
    database_name: String,
    checks: Vec<u8>,
    created_at: UnixMicros,
}

impl FromRow for SealedReport {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            addon_id: row.get("addon_id")?,
            app_name: row.get("app_name")?,
            database_name: row.get("database_name")?,
            checks: row.get("checks")?,
            created_at: row.get("created_at")?,
        })
    }
}

statements! {
    BY_ID = "SELECT * FROM reports WHERE id = $1";
    CREATE = "INSERT INTO reports (id, addon_id, app_name, database_name, checks, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    KEEP_NEWEST = "DELETE FROM reports WHERE addon_id = $1 AND id NOT IN \
        (SELECT id FROM reports WHERE addon_id = $1 ORDER BY created_at DESC, id LIMIT $2)";
    PURGE = "DELETE FROM reports WHERE created_at < $1";
}

/// Where what a report says belongs.
pub(crate) fn checks_place(id: ReportId) -> String {
    format!("report:{id}")
}

impl Store {
    /// A report, by its id.
    ///
    /// # Errors
    /// `Unseal`, or the database could not be read.
    pub async fn report(&self, id: ReportId) -> Result<Option<Report>> {
        let found: Option<SealedReport> = engine::one(&mut *self.reader().await?, BY_ID, values![id]).await?;
        let Some(row) = found else { return Ok(None) };
        let checks = self.sealer().unseal_text(&checks_place(row.id), &row.checks)?;
        Ok(Some(Report {
            id: row.id,
            addon_id: row.addon_id,
            app_name: row.app_name,
            database_name: row.database_name,
            checks,
            created_at: row.created_at,
        }))
    }
}

impl Tx {
    /// Keeps a report; of its database's others only the newest, so that there are `most` at most.
    pub async fn create_report(&mut self, report: &Report, most: u32) -> Result<()> {
        let sealed = self.sealer.seal_text(&checks_place(report.id), &report.checks)?;
        let values = values![
            report.id,
            report.addon_id,
            report.app_name,
            report.database_name,
            sealed,
            report.created_at
        ];
        self.execute(CREATE, values).await?;
        self.execute(KEEP_NEWEST, values![report.addon_id, most]).await.map(drop)
    }

    /// Deletes reports that were made before a time. How many.
    pub async fn purge_reports(&mut self, before: UnixMicros) -> Result<u64> {
        self.execute(PURGE, values![before]).await
    }
}
