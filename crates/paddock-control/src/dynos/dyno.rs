//! Dynos: what runs, restarting and stopping it, one-off dynos and attaching to them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use paddock_core::config::{self, ConfigVars};
use paddock_core::dyno::{DynoKind, DynoName, DynoSize, DynoState};
use paddock_core::event::Event;
use paddock_core::{AppId, AppName, AppRef, DynoId, ErrorId, ProcessType, ReleaseId, UnixMicros};
use paddock_runtime::{Attached, Input};
use paddock_store::{App, DesiredDynoState, Dyno as Row, Formation, Release, Slug, Tx};
use tokio::time::Instant;
use uuid::Uuid;

use crate::dynos::Dynos;
use crate::dynos::attached::Client;
use crate::dynos::formation::unknown_size;
use crate::kernel::handover;
use crate::kernel::new_dyno::new_dyno;
use crate::kernel::secret;
use crate::{Actor, Error, Result};

/// Most one-off dynos of an app at a time.
const ONE_OFFS_MAX: usize = 50;
/// The longest life of a one-off dyno, in seconds. Source: `docs/contract/platform-behaviour.md`, section 3.
const TIME_TO_LIVE_MAX: i64 = 86_400;
const COMMAND_BYTES_MAX: usize = 64 * 1024;
const ENV_BYTES_MAX: usize = 64 * 1024;
/// How long a client that attaches waits for its dyno to run.
const ATTACH_TIME_MAX: Duration = Duration::from_secs(60);

/// A dyno, as shown to those who may see its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dyno {
    pub id: DynoId,
    pub app_id: AppId,
    pub app_name: AppName,
    pub name: DynoName,
    pub command: String,
    pub size: DynoSize,
    pub state: DynoState,
    pub release_id: ReleaseId,
    /// The number of that release.
    pub release_version: i64,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynoOrder {
    /// The command line, read by bash in the dyno.
    pub command: String,
    /// Whether a client will attach.
    pub attach: bool,
    /// Variables of this dyno alone, over the config vars.
    pub env: Vec<(String, String)>,
    /// A pipe instead of a terminal.
    pub force_no_tty: bool,
    pub size: Option<String>,
    /// The process type in its name.
    pub process_type: Option<String>,
    /// The longest life in seconds.
    pub time_to_live_seconds: Option<i64>,
}

/// A one-off dyno that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub dyno: Dyno,
    /// What attaches a client, if one will.
    pub attach_secret: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DynoScope {
    /// Every formation dyno.
    All,
    /// One dyno, by name or id; a process type by its name means all of it, as older clients send it.
    Dyno(String),
    /// Every dyno of a process type.
    ProcessType(String),
}

impl Dynos {
    /// The dynos that run or should.
    pub async fn list_dynos(&self, actor: &Actor, app: &AppRef) -> Result<Vec<Dyno>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let rows = self.kernel.store.dynos(app.id).await?;
        Ok(rows.iter().filter(|row| is_shown(row)).map(|row| view(&app, row, &rows)).collect())
    }

    /// One dyno, by name or id.
    pub async fn dyno(&self, actor: &Actor, app: &AppRef, identity: &str) -> Result<Dyno> {
        let dynos = self.list_dynos(actor, app).await?;
        let named = |dyno: &Dyno| dyno.name.to_string() == identity || dyno.id.to_string() == identity;
        dynos.into_iter().rev().find(named).ok_or_else(|| Error::not_found("dyno"))
    }

    /// Restarts formation dynos: they are stopped, and the formation brings new ones. What could not come back is left
    /// alone: dynos of an older release that serve until the current one is up.
    ///
    /// # Errors
    /// `not_found`, also for an unknown dyno or process type.
    pub async fn restart_dynos(&self, actor: &Actor, app: &AppRef, scope: DynoScope) -> Result<()> {
        let text = match &scope {
            DynoScope::All => "Restart all dynos".to_owned(),
            DynoScope::Dyno(name) | DynoScope::ProcessType(name) => format!("Restart {name}"),
        };
        let is_meant = |row: &Row, current| is_meant(row, &scope) && !handover::serves_in_place(row, current);
        self.end_dynos(actor, app, &scope, is_meant, text).await
    }

    /// Stops dynos. A one-off ends; the formation brings back what belongs to it.
    ///
    /// # Errors
    /// `not_found`, also for an unknown dyno or process type.
    pub async fn stop_dynos(&self, actor: &Actor, app: &AppRef, scope: DynoScope) -> Result<()> {
        let text = match &scope {
            DynoScope::All => "Stop all dynos".to_owned(),
            DynoScope::Dyno(name) | DynoScope::ProcessType(name) => format!("Stop {name}"),
        };
        self.end_dynos(actor, app, &scope, |row, _| is_meant(row, &scope), text).await
    }

    async fn end_dynos(
        &self,
        actor: &Actor,
        app: &AppRef,
        scope: &DynoScope,
        is_meant: impl Fn(&Row, Option<ReleaseId>) -> bool,
        text: String,
    ) -> Result<()> {
        let app = self.kernel.visible_app(actor, app).await?;
        let mut tx = self.kernel.change_app(app.id, "stop dynos").await?;
        let rows = tx.dynos(app.id).await?;
        let current = tx.current_release(app.id).await?.map(|release| release.id);
        let meant: Vec<_> = rows.iter().filter(|row| is_shown(row) && is_meant(row, current)).collect();
        if meant.is_empty() {
            self.check_scope(&mut tx, &app, scope).await?;
        }
        for row in meant {
            tx.set_dyno_desired(row.id, DesiredDynoState::Stopped).await?;
        }
        tx.say(app.id, format!("{text} by user {}", actor.email));
        tx.commit("dyno.asked_to_end", Event::DynosStopped { app: app.id, what: text }, actor).await?;
        Ok(())
    }

    /// Nothing was meant: fine where the process type exists and is scaled to nothing, an error for what is unknown.
    async fn check_scope(&self, tx: &mut Tx, app: &App, scope: &DynoScope) -> Result<()> {
        let name = match scope {
            DynoScope::All => return Ok(()),
            DynoScope::Dyno(name) | DynoScope::ProcessType(name) => name,
        };
        let formation = tx.formation(app.id).await?;
        if matches!(scope, DynoScope::Dyno(_)) {
            // Between two lives it has no row, and ends or begins anyway.
            let is_wanted = name.parse::<DynoName>().is_ok_and(|dyno| {
                let of_type = |row: &&Formation| row.process_type == dyno.process_type;
                formation.iter().find(of_type).is_some_and(|row| dyno.index <= row.quantity)
            });
            return if is_wanted { Ok(()) } else { Err(Error::not_found("dyno")) };
        }
        match formation.iter().any(|row| row.process_type.as_str() == name) {
            true => Ok(()),
            false => Err(Error::not_found_because(
                "formation",
                format!("Couldn't find that process type ({name})."),
            )),
        }
    }

    /// Makes a one-off dyno.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for a size, name or variable that is none, or an app that has no build yet.
    pub async fn run_dyno(&self, actor: &Actor, app: &AppRef, order: DynoOrder) -> Result<Started> {
        let app = self.kernel.visible_app(actor, app).await?;
        let checked = check(order)?;
        let mut tx = self.kernel.change_app(app.id, "make a one-off dyno").await?;
        let (release, slug) = what_runs(&mut tx, app.id).await?.ok_or_else(|| {
            Error::invalid("The app has no build yet: there is nothing to run. Deploy it first, e.g. git push heroku main.")
        })?;
        let rows = tx.dynos(app.id).await?;
        let one_offs = rows.iter().filter(|row| row.kind == DynoKind::OneOff && row.state != DynoState::Down);
        if one_offs.count() >= ONE_OFFS_MAX {
            return Err(Error::invalid(format!(
                "The app has {ONE_OFFS_MAX} one-off dynos already: end some first."
            )));
        }
        let name = DynoName { process_type: checked.process_type, index: free_index(&rows) };
        let command = spelt_out(checked.command, &slug.process_types);
        let mut row = new_dyno(&release, &name, DynoKind::OneOff, command, checked.size, tx.now());
        row.port = None;
        row.time_to_live_seconds = checked.time_to_live_seconds;
        let attach_secret = checked.attach.then(secret::random);
        row.attach_secret_sha256 = attach_secret.as_deref().map(secret::sha256);
        (row.terminal_rows, row.terminal_columns) =
            checked.terminal.map_or((None, None), |(r, c)| (Some(r), Some(c)));
        tx.put_dyno(&row).await?;
        tx.set_dyno_env(app.id, row.id, &checked.env).await?;
        tx.say(app.id, format!("Starting process with command `{}` by user {}", row.command, actor.email));
        let event = Event::DynoCreated { app: app.id, dyno: name.to_string(), command: row.command.clone() };
        tx.commit("dyno.one_off_made", event, actor).await?;
        Ok(Started { dyno: view(&app, &row, &[]), attach_secret })
    }

    /// Connects the client that shows this secret to its one-off dyno, once that runs. Another client that comes
    /// later takes over.
    ///
    /// # Errors
    /// `not_found` for a secret that opens nothing, or a dyno that has ended; `service_unavailable` when it does not
    /// start in time.
    pub async fn attach_dyno(&self, attach_secret: &str) -> Result<DynoSession> {
        let sha256 = secret::sha256(attach_secret);
        let deadline = Instant::now() + ATTACH_TIME_MAX;
        let mut changes = self.kernel.wakes.changes.listen();
        let mut client = None;
        while Instant::now() < deadline {
            let row = self.kernel.store.dyno_by_attach_secret(&sha256).await?;
            // One that could not be started is kept, as crashed, for as long as its client is here.
            let is_over = |state| matches!(state, DynoState::Down | DynoState::Crashed);
            let row = row.filter(|row| !is_over(row.state)).ok_or_else(|| match client {
                None => Error::not_found("dyno"),
                Some(_) => Error::new(ErrorId::NotFound, "The dyno could not be started. See: heroku logs"),
            })?;
            if client.is_none() {
                // From now on the dyno starts, and is not forgotten.
                client = Some(self.clients.enter(row.id));
            }
            if let Some(container) = row.container_id {
                // Not started yet is the ordinary case here; what is worse shows in the row.
                if let Ok(attached) = self.runtime.attach(container).await {
                    let has_terminal = row.terminal_rows.is_some();
                    return Ok(DynoSession {
                        attached,
                        dyno: row.name.to_string(),
                        has_terminal,
                        _client: client,
                    });
                }
            }
            changes.heard(Duration::from_millis(10)).await;
        }
        Err(Error::new(ErrorId::ServiceUnavailable, "The dyno did not start in time."))
    }
}

/// The release that is in effect, and its slug, if that has something to run.
async fn what_runs(tx: &mut Tx, app: AppId) -> Result<Option<(Release, Slug)>> {
    let Some(release) = tx.current_release(app).await? else { return Ok(None) };
    let Some(slug) = release.slug_id else { return Ok(None) };
    let slug = tx.slug(slug).await?.filter(Slug::runs_something);
    Ok(slug.map(|slug| (release, slug)))
}

/// A client's connection to a one-off dyno. Dropped while the program runs, it is the end of the client: the dyno is hung
/// up on.
#[derive(Debug)]
pub struct DynoSession {
    attached: Attached,
    dyno: String,
    has_terminal: bool,
    /// Keeps the dyno from being forgotten before its end was read, and from being hung up on.
    _client: Option<Client>,
}

/// The half of a session that takes what the client types.
#[derive(Debug, Clone)]
pub struct DynoInput(tokio::sync::mpsc::Sender<Input>);

impl DynoSession {
    /// The name of the dyno.
    #[must_use]
    pub fn dyno(&self) -> &str {
        &self.dyno
    }

    /// Whether the program has a terminal, which knows area characters; a pipe does not.
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// The half for the client's bytes.
    #[must_use]
    pub fn input(&self) -> DynoInput {
        DynoInput(self.attached.input.clone())
    }

    /// The next bytes of the program; `None` when it has ended and all was read.
    pub async fn next_output(&mut self) -> Option<Bytes> {
        self.attached.output.recv().await
    }
}

impl DynoInput {
    /// Gives bytes to the program. False when it no longer takes any.
    pub async fn write(&self, bytes: Bytes) -> bool {
        self.0.send(Input::Bytes(bytes)).await.is_ok()
    }

    /// Ends the program's input.
    pub async fn end(&self) {
        // A program that has ended already has no input to end.
        let _ = self.0.send(Input::End).await;
    }
}

/// A one-off dyno order whose every part is good.
#[derive(Debug)]
struct CheckedOrder {
    command: String,
    attach: bool,
    env: ConfigVars,
    terminal: Option<(u16, u16)>,
    size: DynoSize,
    process_type: ProcessType,
    time_to_live_seconds: Option<i64>,
}

fn check(order: DynoOrder) -> Result<CheckedOrder> {
    if order.command.trim().is_empty()
        || order.command.contains('\0')
        || order.command.len() > COMMAND_BYTES_MAX
    {
        return Err(Error::invalid("The command is empty, too long, or holds a NUL character."));
    }
    let size = match &order.size {
        None => DynoSize::DEFAULT,
        Some(size) => DynoSize::parse(size).ok_or_else(|| unknown_size(size))?,
    };
    let process_type = order.process_type.as_deref().unwrap_or("run").parse();
    let process_type: ProcessType = process_type.map_err(|error| Error::invalid(format!("{error}.")))?;
    if order.time_to_live_seconds.is_some_and(|seconds| !(1..=TIME_TO_LIVE_MAX).contains(&seconds)) {
        return Err(Error::invalid(format!(
            "time_to_live must be between 1 and {TIME_TO_LIVE_MAX} seconds."
        )));
    }
    let env = checked_env(order.env)?;
    let number =
        |name: &str, default: u16| env.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let terminal =
        (order.attach && !order.force_no_tty).then(|| (number("LINES", 24), number("COLUMNS", 80)));
    Ok(CheckedOrder {
        command: order.command,
        attach: order.attach,
        terminal,
        env,
        size,
        process_type,
        time_to_live_seconds: order.time_to_live_seconds,
    })
}

/// A command whose first word is exactly a process type stands for that one's command, with its arguments after it.
fn spelt_out(command: String, process_types: &BTreeMap<ProcessType, String>) -> String {
    let begun = command.trim_start();
    let (word, arguments) = begun.split_at(begun.find(char::is_whitespace).unwrap_or(begun.len()));
    let of_type = word.parse::<ProcessType>().ok().and_then(|name| process_types.get(&name));
    of_type.map_or_else(|| command.clone(), |stands_for| format!("{stands_for}{arguments}"))
}

fn checked_env(env: Vec<(String, String)>) -> Result<ConfigVars> {
    if let Some((key, _)) = env.iter().find(|(key, value)| config::check(key, value).is_err()) {
        return Err(Error::invalid(format!("Variable {key:?} is invalid: no environment can hold it.")));
    }
    match env.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() {
        0..=ENV_BYTES_MAX => Ok(env.into_iter().collect()),
        bytes => {
            Err(Error::invalid(format!("The variables come to {bytes} bytes: at most {ENV_BYTES_MAX}.")))
        }
    }
}

/// A four-digit number that no dyno of the app has.
fn free_index(rows: &[Row]) -> u32 {
    loop {
        let index = 1000 + u32::try_from(Uuid::new_v4().as_u128() % 9000).unwrap_or(0);
        if rows.iter().all(|row| row.name.index != index) {
            return index;
        }
    }
}

fn is_shown(row: &Row) -> bool {
    row.state != DynoState::Down && row.desired == DesiredDynoState::Running
}

fn is_meant(row: &Row, scope: &DynoScope) -> bool {
    match scope {
        DynoScope::All => row.kind == DynoKind::Formation,
        DynoScope::Dyno(identity) => {
            row.name.to_string() == *identity
                || row.id.to_string() == *identity
                || (row.kind == DynoKind::Formation && row.process_type.as_str() == identity)
        }
        DynoScope::ProcessType(name) => row.process_type.as_str() == name,
    }
}

/// A dyno among all of its app. One that serves on, or listens elsewhere, has that behind its command, as a comment of the
/// shell: clients show no other text.
fn view(app: &App, row: &Row, rows: &[Row]) -> Dyno {
    let own = Some(row.remark.clone()).filter(|remark| !remark.is_empty());
    let remark = handover::remark(row, rows).or(own).map_or_else(String::new, |text| format!("  # {text}"));
    Dyno {
        id: row.id,
        app_id: row.app_id,
        app_name: app.name.clone(),
        name: row.name.clone(),
        command: format!("{}{remark}", row.command),
        size: row.size,
        state: row.state,
        release_id: row.release_id,
        release_version: row.release_version,
        created_at: row.created_at,
        updated_at: row.state_changed_at,
    }
}
