//! Reports about databases: `pg:diagnose`.
//!
//! A client sends the address that its app has, with the login in it. Nothing of it is ever dialled: it says which of the databases that
//! the actor may see is meant, and that whoever asks has the login that owns it. It is the platform that looks.

use std::collections::BTreeSet;
use std::time::Duration;

use paddock_addons::postgres::{Cell, Check};
use paddock_core::{AppName, ErrorId, ReportId, UnixMicros};
use paddock_store::Addon;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::postgres::SERVICE;
use super::{Addons, DEFAULT, RESTRICTED};
use crate::kernel::error::chain;
use crate::kernel::secret::sha256;
use crate::{Actor, Error, Result};

/// Source: `docs/contract/data-services.md`, row `pg:diagnose`: available for one month.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Of one database.
const REPORTS_MAX: u32 = 100;
/// What looking at all of a database may take; a client waits for it.
const PATIENCE: Duration = Duration::from_secs(25);
/// How many databases are looked into at a time: a server has few places for the platform.
static AT_A_TIME: Semaphore = Semaphore::const_new(2);
/// Longest name of a config var that a report is called by.
const NAME_CHARS_MAX: usize = 100;

/// A report that somebody wants.
#[derive(Clone)]
pub struct ReportOrder {
    /// What the client calls the app.
    pub app: String,
    /// The config var that names the database.
    pub database: String,
    /// What it says; a secret.
    pub url: String,
}

/// A report about a database.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub id: ReportId,
    pub app: String,
    pub database: String,
    pub created_at: UnixMicros,
    pub checks: Vec<ReportCheck>,
}

/// One check of a report, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportCheck {
    pub name: String,
    pub status: String,
    /// What the values of a row are called, in the order they are shown in.
    pub columns: Vec<String>,
    pub rows: Vec<Vec<ReportValue>>,
    /// Why it was skipped.
    pub reason: Option<String>,
}

/// One value of what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReportValue {
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Addons {
    /// Looks into a database and keeps what is found.
    ///
    /// # Errors
    /// `not_found` for an address that is of no database the actor may see, by a login that it has now; `forbidden` for one by a
    /// login that does not own it; `service_unavailable`.
    pub async fn report_on(&self, actor: &Actor, order: ReportOrder) -> Result<Report> {
        let app: AppName = order.app.parse().map_err(|_| Error::invalid("app is no name of an app."))?;
        let is_name = |text: &str| text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-.:".contains(&c));
        if !is_name(&order.database) || order.database.len() > NAME_CHARS_MAX {
            return Err(Error::invalid("database is no name of a config var."));
        }
        let row = self.by_login(actor, &order.url).await?;
        let checks = self.examine(&row).await?;
        let report = Report {
            // Nothing of it can be guessed: it is what opens the report.
            id: ReportId::from_uuid(Uuid::new_v4()),
            app: app.to_string(),
            database: order.database,
            created_at: self.kernel.now(),
            checks,
        };
        let checks = serde_json::to_string(&report.checks);
        let checks = checks.map_err(|error| Error::internal("write a report", error))?;
        let mut tx = self.kernel.record("keep a report about a database").await?;
        let kept = paddock_store::Report {
            id: report.id,
            addon_id: row.id,
            app_name: report.app.clone(),
            database_name: report.database.clone(),
            checks,
            created_at: report.created_at,
        };
        tx.create_report(&kept, REPORTS_MAX).await?;
        tx.commit_quietly("report.kept").await?;
        Ok(report)
    }

    /// A report, for whoever has its id: they may have been sent it by somebody who works on the app.
    ///
    /// # Errors
    /// `not_found`, also after its time.
    pub async fn report(&self, _: &Actor, identity: &str) -> Result<Report> {
        let missing = || Error::not_found_because("report", "Couldn't find that report.");
        let id: ReportId = identity.parse().map_err(|_| missing())?;
        let row = self.kernel.store.report(id).await?.ok_or_else(missing)?;
        if row.created_at + KEPT_FOR <= self.kernel.now() {
            return Err(missing());
        }
        let checks = serde_json::from_str(&row.checks);
        Ok(Report {
            id,
            app: row.app_name,
            database: row.database_name,
            created_at: row.created_at,
            checks: checks.map_err(|error| Error::internal("read a report", error))?,
        })
    }

    /// What clients ask of a database's machine before a report: whether the actor may see it, and nothing of what is not measured.
    pub async fn check_postgres(&self, actor: &Actor, identity: &str) -> Result<()> {
        self.postgres_row(actor, identity).await.map(drop)
    }

    async fn examine(&self, row: &Addon) -> Result<Vec<ReportCheck>> {
        let ready = self.ready(row).await?;
        let away = |cause: &str| {
            tracing::info!(addon.name = row.name, cause, "could not look into a database");
            let text = format!("{} does not answer in time. Try again in a moment.", row.name);
            Error::new(ErrorId::ServiceUnavailable, text)
        };
        let looked = async {
            let _place = AT_A_TIME.acquire().await;
            self.postgres.diagnose(&ready.access, &ready.resource).await
        };
        match tokio::time::timeout(PATIENCE, looked).await {
            Ok(Ok(checks)) => Ok(checks.into_iter().map(kept).collect()),
            Ok(Err(error)) => Err(away(&chain(&error))),
            Err(_) => Err(away("it takes too long")),
        }
    }

    /// The database that an address is of, if the actor may see it and the login in it is one of those that own it.
    async fn by_login(&self, actor: &Actor, url: &str) -> Result<Addon> {
        let unknown = || {
            Error::not_found_because(
                "add_on",
                "The address is of no database that you may see, or its password is not right any more.",
            )
        };
        let login = LoginUrl::parse(url).ok_or_else(unknown)?;
        let store = &self.kernel.store;
        let billed = store.addons_of(actor.account_id).await?.into_iter().map(|one| one.addon.id);
        let attached = store.attachments_of(actor.account_id).await?;
        let ids: BTreeSet<_> =
            billed.chain(attached.into_iter().map(|one| one.attachment.addon_id)).collect();
        for id in ids {
            let credentials = store.open_credentials_of_addon(id).await?;
            let Some(known) = credentials.iter().find(|one| one.credential.login == login.user) else {
                continue;
            };
            let Some(row) = store.addon(id).await?.filter(|row| row.service == SERVICE) else { continue };
            // Of hashes: how much of it is right cannot be told by the time that comparing takes.
            let is_right = sha256(&known.password) == sha256(login.password);
            if !is_right || self.resource(&row).await?.database != login.database {
                continue;
            }
            return match known.credential.name.as_str() {
                DEFAULT | RESTRICTED => Ok(row),
                name => Err(Error::new(
                    ErrorId::Forbidden,
                    format!(
                        "A report shows all of a database: {name} is a credential for a part of it. Name an attachment of the default credential."
                    ),
                )),
            };
        }
        Err(unknown())
    }
}

/// What an address says of who logs in to what.
struct LoginUrl<'a> {
    user: &'a str,
    password: &'a str,
    database: &'a str,
}

impl<'a> LoginUrl<'a> {
    fn parse(url: &'a str) -> Option<Self> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
        let (login, place) = rest.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        let (_, database) = place.split_once('/')?;
        let database = database.split_once('?').map_or(database, |(database, _)| database);
        Some(Self { user, password, database })
    }
}

fn kept(check: Check) -> ReportCheck {
    let value = |cell| match cell {
        Cell::Text(text) => ReportValue::Text(text),
        Cell::Integer(number) => ReportValue::Integer(number),
        Cell::Number(number) => ReportValue::Number(number),
    };
    ReportCheck {
        name: check.name.to_owned(),
        status: check.verdict.as_str().to_owned(),
        columns: check.columns,
        rows: check.rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect(),
        reason: check.reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_who_logs_in_to_what() {
        let parts = |url| LoginUrl::parse(url).map(|one| (one.user, one.password, one.database));
        let known = Some(("u1", "p2", "d3"));
        assert_eq!(parts("postgres://u1:p2@10.1.2.3:5432/d3"), known);
        assert_eq!(parts("postgresql://u1:p2@10.1.2.3:5432/d3?sslmode=require"), known);
        for none in ["", "postgres://", "postgres://u1@x/d3", "postgres://u1:p2@x", "https://u1:p2@x/d3"] {
            assert_eq!(parts(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_kept_of_a_check_is_read_again() {
        let check = ReportCheck {
            name: "Schema Count".to_owned(),
            status: "yellow".to_owned(),
            columns: vec!["count".to_owned(), "share".to_owned(), "of".to_owned()],
            rows: vec![vec![
                ReportValue::Integer(20),
                ReportValue::Number(0.5),
                ReportValue::Text("20".to_owned()),
            ]],
            reason: None,
        };
        let text = serde_json::to_string(&check).unwrap();
        assert_eq!(serde_json::from_str::<ReportCheck>(&text).unwrap(), check);
    }
}
