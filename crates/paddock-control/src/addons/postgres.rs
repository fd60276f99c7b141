//! What only a Postgres add-on has: what `pg:info` tells, and what is done to one database at once.

use std::net::SocketAddr;
use std::time::Duration;

use paddock_addons::postgres::{Sample, size_text};
use paddock_addons::{Placement, Plan, Resource, ServerAccess, StepError};
use paddock_core::addon::AddonState;
use paddock_core::event::Event;
use paddock_core::{AddonId, ErrorId, UnixMicros};
use paddock_store::{Addon, CredentialState, DataServer, DataServerState};

use super::checked::refused;
use super::{Addons, DEFAULT, RESTRICTED, server};
use crate::kernel::error::chain;
use crate::{Actor, Error, Result};

/// A database that does not answer within this is shown without its numbers.
const SAMPLE_PATIENCE: Duration = Duration::from_secs(5);
/// How long something may take that a client waits for.
const PATIENCE: Duration = Duration::from_secs(120);
pub(super) const SERVICE: &str = "heroku-postgresql";

/// Of one that was set aside after a restore of the server.
pub(super) const CLOSED: &str = "The database could not be filled from the server's backup, and is closed. \
    Put a backup of your own back (heroku pg:backups:restore), or empty it (heroku pg:reset).";

/// A database, as its owner sees it.
#[derive(Debug, Clone)]
pub struct Database {
    pub id: AddonId,
    pub name: String,
    pub plan: &'static str,
    pub address: Option<SocketAddr>,
    pub database: String,
    pub user: String,
    /// The address that the default credential has; a secret.
    pub url: Option<String>,
    pub created_at: UnixMicros,
    /// What it holds, if it answers.
    pub bytes: Option<u64>,
    /// Rows to be printed, in this order.
    pub rows: Vec<(&'static str, Vec<String>)>,
    pub waiting: bool,
}

/// How far a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitStatus {
    pub waiting: bool,
    /// It does not come about by itself.
    pub error: bool,
    pub message: &'static str,
}

/// A credential, with who logs in by it.
#[derive(Debug, Clone)]
pub struct PostgresCredential {
    pub id: String,
    pub name: String,
    pub state: &'static str,
    pub database: String,
    pub address: Option<SocketAddr>,
    pub logins: Vec<PostgresLogin>,
}

/// A user and a password.
#[derive(Clone)]
pub struct PostgresLogin {
    pub user: String,
    pub password: String,
    pub state: &'static str,
}

impl std::fmt::Debug for PostgresLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A database that answers.
pub(super) struct Ready {
    pub(super) row: Addon,
    pub(super) access: ServerAccess,
    pub(super) resource: Resource,
}

impl Addons {
    /// A database, by the name or id of its add-on.
    pub async fn postgres(&self, actor: &Actor, identity: &str) -> Result<Database> {
        let row = self.postgres_row(actor, identity).await?;
        if row.state == AddonState::Provisioning {
            return Err(Error::not_found_because(
                "add_on",
                format!("{} is not yet provisioned. Run heroku addons:wait to wait until it is.", row.name),
            ));
        }
        let resource = self.resource(&row).await?;
        let server = self.server_row(&row).await?;
        let address = server.as_ref().and_then(server::address_of);
        let sample = match self.ready(&row).await {
            Ok(ready) => self.sample(&ready).await,
            Err(_) => None,
        };
        let login = resource.credential.logins.last();
        let may_have_url = self.manages(actor, &row).await? || self.has(actor, row.id, None).await?;
        let url = match (address, login.filter(|_| may_have_url)) {
            (Some(address), Some(login)) => {
                let config = self.service_of(&row)?.config(address, &resource, login);
                config.get("URL").map(|url| url.reveal().to_owned())
            }
            _ => None,
        };
        Ok(Database {
            id: row.id,
            plan: resource.plan.name,
            address,
            database: resource.database.clone(),
            user: login.map(|login| login.user.clone()).unwrap_or_default(),
            url,
            created_at: row.created_at,
            bytes: sample.as_ref().map(|sample| sample.used.storage_bytes),
            rows: rows(
                &row,
                resource.plan,
                self.status(&row, server.as_ref(), sample.is_some()),
                sample.as_ref(),
            ),
            waiting: row.state != AddonState::Provisioned,
            name: row.name,
        })
    }

    /// How far a database is.
    pub async fn postgres_wait_status(&self, actor: &Actor, identity: &str) -> Result<WaitStatus> {
        let row = self.postgres_row(actor, identity).await?;
        let server = self.server_row(&row).await?;
        let answers = server.is_some_and(|server| server.state == paddock_store::DataServerState::Available);
        let status = |waiting, message| WaitStatus { waiting, error: false, message };
        Ok(match (row.state, answers) {
            (AddonState::Provisioned, _) if self.dumps_to_fill.is_being_filled(row.id) => {
                status(true, "being filled from a backup")
            }
            (AddonState::Provisioned, _) if self.dumps_to_fill.has_failed(row.id) => {
                WaitStatus { error: true, ..status(false, CLOSED) }
            }
            (AddonState::Provisioned, true) => status(false, "available"),
            (AddonState::Provisioned, false) => status(true, "starting again"),
            (AddonState::Provisioning, _) => status(true, "preparing"),
            _ => status(false, "deprovisioned"),
        })
    }

    /// Empties a database: what it had is gone. What is to be there again are the extensions of these names.
    pub async fn reset_postgres(&self, actor: &Actor, identity: &str, extensions: &[String]) -> Result<()> {
        let ready = self.ready_of(actor, identity).await?;
        self.postgres.check_extensions(extensions).map_err(refused)?;
        // Known before it is done: what a kill cuts off here, the reconciler ends.
        self.note(&ready.row, "reset", actor).await?;
        let step = self.empty(&ready, extensions);
        self.done("reset the database", paddock_core::durable!("postgres.reset", in_time(step).await))?;
        self.put_right(&ready.row).await
    }

    /// Ends every connection to a database.
    pub async fn end_postgres_connections(&self, actor: &Actor, identity: &str) -> Result<()> {
        let ready = self.ready_of(actor, identity).await?;
        let step = self.postgres.end_sessions(&ready.access, &ready.resource);
        self.done("end the connections", in_time(step).await)?;
        self.note(&ready.row, "killall", actor).await
    }

    /// Forgets what was counted of a database.
    pub async fn reset_postgres_statistics(&self, actor: &Actor, identity: &str) -> Result<()> {
        let ready = self.ready_of(actor, identity).await?;
        let step = self.postgres.reset_statistics(&ready.access, &ready.resource);
        self.done("reset the statistics", in_time(step).await)
    }

    /// The credentials of a database, the default one first. Who read them is written down.
    pub async fn postgres_credentials(
        &self,
        actor: &Actor,
        identity: &str,
    ) -> Result<Vec<PostgresCredential>> {
        let row = self.managed_postgres_row(actor, identity).await?;
        let address = self.server_row(&row).await?.as_ref().and_then(server::address_of);
        let database = self.resource(&row).await?.database;
        let mut found: Vec<PostgresCredential> = Vec::new();
        for open in self.kernel.store.open_credentials_of_addon(row.id).await? {
            let one = open.credential;
            if one.name == RESTRICTED {
                continue;
            }
            let login = PostgresLogin { user: one.login, password: open.password, state: one.state.as_str() };
            match found.iter_mut().find(|known| known.name == one.name) {
                Some(known) => known.logins.push(login),
                None => found.push(PostgresCredential {
                    id: one.id.to_string(),
                    state: state_of(one.state),
                    name: one.name,
                    database: database.clone(),
                    address,
                    logins: vec![login],
                }),
            }
        }
        found.sort_by_key(|one| one.name != DEFAULT);
        self.note(&row, "read the credentials", actor).await?;
        Ok(found)
    }

    /// One credential by its name.
    pub async fn postgres_credential(
        &self,
        actor: &Actor,
        identity: &str,
        name: &str,
    ) -> Result<PostgresCredential> {
        let all = self.postgres_credentials(actor, identity).await?;
        let found = all.into_iter().find(|one| one.name == name);
        found.ok_or_else(|| {
            Error::not_found_because(
                "credential",
                format!("Couldn't find that credential: there is none called {name:?}."),
            )
        })
    }

    /// What an add-on uses, as far as it can be seen now.
    pub(super) async fn used(&self, row: &Addon) -> Result<paddock_addons::Used> {
        let ready = self.ready(row).await?;
        Ok(self.sample(&ready).await.map(|sample| sample.used).unwrap_or_default())
    }

    pub(super) async fn managed_postgres_row(&self, actor: &Actor, identity: &str) -> Result<Addon> {
        let row = self.managed_addon_row(actor, None, identity).await?;
        is_postgres(row)
    }

    pub(super) async fn postgres_row(&self, actor: &Actor, identity: &str) -> Result<Addon> {
        let row = self.addon_row(actor, None, identity).await?;
        is_postgres(row)
    }

    async fn server_row(&self, row: &Addon) -> Result<Option<DataServer>> {
        match row.data_server_id {
            Some(id) => Ok(self.kernel.store.data_server(id).await?),
            None => Ok(None),
        }
    }

    async fn ready_of(&self, actor: &Actor, identity: &str) -> Result<Ready> {
        let row = self.managed_postgres_row(actor, identity).await?;
        self.ready(&row).await
    }

    /// A database that its users may use.
    pub(super) async fn ready(&self, row: &Addon) -> Result<Ready> {
        if self.dumps_to_fill.is_being_filled(row.id) {
            let text = format!(
                "{} is being filled from the server's backup. Run heroku pg:wait to wait until it is.",
                row.name
            );
            return Err(Error::new(ErrorId::ServiceUnavailable, text));
        }
        self.reached(row).await
    }

    pub(super) async fn reached(&self, row: &Addon) -> Result<Ready> {
        let away = || {
            let text = format!("{} does not answer yet. Run heroku pg:wait to wait until it does.", row.name);
            Error::new(ErrorId::ServiceUnavailable, text)
        };
        if row.state != AddonState::Provisioned {
            return Err(away());
        }
        let server = self.server_row(row).await?.ok_or_else(away)?;
        let password = self.kernel.store.data_server_password(server.id).await?;
        let access = self.access(&server, &password).map_err(|_| away())?;
        Ok(Ready { row: row.clone(), access, resource: self.resource(row).await? })
    }

    fn status(&self, row: &Addon, server: Option<&DataServer>, answers: bool) -> &'static str {
        if self.dumps_to_fill.is_being_filled(row.id) {
            return "Unavailable: it is being filled from the server's backup";
        }
        if self.dumps_to_fill.has_failed(row.id) {
            return "Unavailable: it could not be filled from the server's backup";
        }
        match (server.map(|server| server.state), answers) {
            (_, true) => super::storage::planned(row).as_str(),
            (Some(DataServerState::Crashed), false) => "Unavailable: it ended and is started again",
            (_, false) => "Unavailable: it does not answer",
        }
    }

    async fn sample(&self, ready: &Ready) -> Option<Sample> {
        let looked = self.postgres.sample(&ready.access, &ready.resource);
        match tokio::time::timeout(SAMPLE_PATIENCE, looked).await {
            Ok(Ok(sample)) => Some(sample),
            Ok(Err(error)) => {
                tracing::info!(
                    addon.name = ready.row.name,
                    error = chain(&error),
                    "a database does not answer"
                );
                None
            }
            Err(_) => None,
        }
    }

    /// A step that failed while somebody waited for it: they may try again.
    pub(super) fn done(&self, what: &str, result: std::result::Result<(), StepError>) -> Result<()> {
        result.map_err(|error| {
            tracing::warn!(error = chain(&error), "could not {what}");
            Error::new(
                ErrorId::ServiceUnavailable,
                format!("Could not {what}: the database does not answer. Try again in a moment."),
            )
        })
    }

    /// Writes down what was done to a database, or read of it, and by whom.
    async fn note(&self, row: &Addon, what: &str, actor: &Actor) -> Result<()> {
        let Some(app) = row.app_id else { return Ok(()) };
        let tx = self.kernel.record("write down what was done to a database").await?;
        let event = Event::DatabaseTouched { app, addon: row.id, what: what.to_owned() };
        tx.commit("addon.noted", event, actor).await
    }
}

fn is_postgres(row: Addon) -> Result<Addon> {
    match row.service == SERVICE {
        true => Ok(row),
        false => Err(Error::not_found_because(
            "add_on",
            format!("Couldn't find that database: {} is no Postgres database.", row.name),
        )),
    }
}

async fn in_time<F>(step: F) -> std::result::Result<(), StepError>
where
    F: Future<Output = std::result::Result<(), StepError>>,
{
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(result) => result,
        Err(_) => Err(StepError::new("wait for a database", "it takes too long")),
    }
}

/// In the store's word `default` has what Heroku calls active.
const fn state_of(state: CredentialState) -> &'static str {
    match state {
        CredentialState::Enabling => "provisioning",
        CredentialState::Active => "active",
        CredentialState::Revoking => "revoking",
    }
}

/// What `pg:info` prints, in Heroku's order.
fn rows(row: &Addon, plan: &Plan, status: &str, sample: Option<&Sample>) -> Vec<(&'static str, Vec<String>)> {
    let one = |text: String| vec![text];
    let shared = plan.placement == Placement::Shared;
    let mut rows = vec![("Plan", one(plan.human_name.to_owned())), ("Status", one(status.to_owned()))];
    if let Some(sample) = sample {
        rows.push(("Connections", one(format!("{}/{}", sample.connections, plan.connections))));
        rows.push(("PG Version", one(sample.version.clone())));
    }
    rows.push(("Created", one(minute(row.created_at))));
    if let Some(sample) = sample {
        let (held, room) = (sample.used.storage_bytes, plan.storage_bytes);
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let percent = held as f64 * 100.0 / room as f64;
        rows.push(("Data Size", one(format!("{} / {} ({percent:.2}%)", size_text(held), size_text(room)))));
        rows.push((
            "Tables",
            one(match plan.tables {
                Some(most) => format!("{}/{most}", sample.used.tables),
                None => sample.used.tables.to_string(),
            }),
        ));
    }
    let unsupported = if shared { "Unsupported" } else { "Not built on this server yet" };
    rows.push(("Fork/Follow", one(unsupported.to_owned())));
    rows.push(("Rollback", one(unsupported.to_owned())));
    rows.push(("Continuous Protection", one("Off".to_owned())));
    rows.push(("Region", one(crate::REGION.to_owned())));
    rows
}

/// `2026-11-29 15:04 UTC`.
fn minute(at: UnixMicros) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
