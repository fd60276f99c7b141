//! What a restore of the server has left of databases: a dump of each. The database is made anew, filled, and then its apps are let
//! in; so it is filled once, however often that is cut off.
//!
//! ```text
//! databases/ID.dump ──filled──▶ ID.filled ──opened, its apps told──▶ (removed)
//!        └──given up──▶ ID.failed ──emptied, or something else put in──▶ ID.replaced ──opened──▶ (removed)
//! ```
//! As long as there is `ID.dump` or `ID.failed`, the database is closed to its logins: nobody writes what a backup would not have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use paddock_addons::postgres::{DUMP, LIST, Mode, RIGHTS, owned_by};
use paddock_addons::{Credential, StepError};
use paddock_core::addon::AddonState;
use paddock_core::{AddonId, TransferId, durable};
use paddock_files::sync_folder_of;
use paddock_store::Addon;
use tokio::task::JoinSet;

use super::super::Addons;
use super::super::attached::Told;
use super::super::postgres::Ready;
use super::super::tries::Tries;
use super::dump::At;
use super::fill::{GIVEN, weigh};
use super::run::{Outcome, Trouble};
use super::store::{blocking, open_plain, readable_file};
use crate::Result;
use crate::kernel::dump_databases::{SET_ASIDE, TO_FILL};
use crate::kernel::error::{Error, chain};
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::wake::{Wake, Wakes};

/// How many databases are filled at a time.
const AT_A_TIME: usize = 2;
/// How soon one is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A dump that cannot be put back so often is set aside.
const ATTEMPTS_MAX: u32 = 3;
/// The process under which an app is told.
const PROCESS: &str = "heroku-postgres";

/// How far a database is that a restore of the server has left a dump of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    ToFill,
    Filled,
    Failed,
    Replaced,
}

impl Stage {
    const ALL: [Self; 4] = [Self::ToFill, Self::Filled, Self::Failed, Self::Replaced];

    const fn ending(self) -> &'static str {
        match self {
            Self::ToFill => TO_FILL,
            Self::Filled => "filled",
            Self::Failed => SET_ASIDE,
            Self::Replaced => "replaced",
        }
    }
}

/// The folder of these dumps. What is so is what lies there.
pub(crate) struct DumpsToFill(PathBuf);

impl DumpsToFill {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn path(&self, addon: AddonId, stage: Stage) -> PathBuf {
        self.0.join(format!("{addon}.{}", stage.ending()))
    }

    fn is_at(&self, addon: AddonId, stage: Stage) -> bool {
        self.path(addon, stage).exists()
    }

    /// Whether its apps are to wait for it.
    pub(in crate::addons) fn is_being_filled(&self, addon: AddonId) -> bool {
        self.is_at(addon, Stage::ToFill) || self.is_at(addon, Stage::Filled)
    }

    /// Whether it could not be filled, and nobody has put anything else in yet.
    pub(in crate::addons) fn has_failed(&self, addon: AddonId) -> bool {
        self.is_at(addon, Stage::Failed)
    }

    /// Whether nobody is to be let in.
    pub(in crate::addons) fn is_closed(&self, addon: AddonId) -> bool {
        self.is_at(addon, Stage::ToFill) || self.is_at(addon, Stage::Failed)
    }

    /// Those whose apps are to wait.
    pub(in crate::addons) fn being_filled(&self) -> BTreeSet<AddonId> {
        let all = self.list().unwrap_or_default().into_iter();
        all.filter(|(_, stage)| *stage != Stage::Failed).map(|(id, _)| id).collect()
    }

    fn list(&self) -> io::Result<Vec<(AddonId, Stage)>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let Some((id, ending)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            let stage = Stage::ALL.into_iter().find(|stage| stage.ending() == ending);
            found.extend(id.parse().ok().zip(stage));
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        Ok(found)
    }

    /// A dump that no database has taken in yet, and how many bytes it has.
    pub(super) fn open(&self, addon: AddonId) -> io::Result<Option<(File, u64)>> {
        for stage in [Stage::ToFill, Stage::Failed] {
            match open_plain(&self.path(addon, stage)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => {
                    let file = opened?;
                    let bytes = file.metadata()?.len();
                    return Ok(Some((file, bytes)));
                }
            }
        }
        Ok(None)
    }

    fn filled(&self, addon: AddonId) -> io::Result<()> {
        let (from, to) = (self.path(addon, Stage::ToFill), self.path(addon, Stage::Filled));
        durable!("database.filled", std::fs::rename(from, &to))?;
        sync_folder_of(&to)
    }

    fn set_aside(&self, addon: AddonId) -> io::Result<()> {
        let (from, to) = (self.path(addon, Stage::ToFill), self.path(addon, Stage::Failed));
        durable!("database.dump_set_aside", std::fs::rename(from, &to))?;
        sync_folder_of(&to)
    }

    fn replaced(&self, addon: AddonId) -> io::Result<()> {
        let (from, to) = (self.path(addon, Stage::Failed), self.path(addon, Stage::Replaced));
        durable!("database.dump_replaced", std::fs::rename(from, &to))?;
        sync_folder_of(&to)
    }

    fn forget(&self, addon: AddonId) -> io::Result<()> {
        for path in Stage::ALL.map(|stage| self.path(addon, stage)).iter().filter(|path| path.exists()) {
            match durable!("database.dump_removed", std::fs::remove_file(path)) {
                // Somebody else was there first.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
            sync_folder_of(path)?;
        }
        Ok(())
    }
}

/// Fills databases of which there are dumps.
pub(crate) struct FillReconciler {
    addons: Arc<Addons>,
    going_on: JoinSet<Outcome<()>>,
    /// What each of them fills.
    busy: HashMap<tokio::task::Id, AddonId>,
    /// How often each dump could not be put back since the server was started.
    attempts: BTreeMap<AddonId, u32>,
    tries: Tries<AddonId>,
}

impl FillReconciler {
    #[must_use]
    pub(crate) fn new(addons: Arc<Addons>) -> Self {
        let (going_on, busy, attempts, tries) = Default::default();
        Self { addons, going_on, busy, attempts, tries }
    }
}

#[async_trait]
impl Reconciler for FillReconciler {
    const NAME: &'static str = "database_fills";
    const INTERVAL: Duration = Duration::from_secs(30);

    fn wake(wakes: &Wakes) -> Option<&Wake> {
        Some(&wakes.addons)
    }

    async fn pass(&mut self) -> Result<PassReport> {
        let mut report = PassReport::default();
        while let Some(ended) = self.going_on.try_join_next_with_id() {
            let (task, outcome) = match ended {
                Ok(ended) => ended,
                Err(error) => (error.id(), Err(Trouble::host("fill a database", error))),
            };
            let Some(addon) = self.busy.remove(&task) else { continue };
            match outcome {
                Ok(()) => {
                    report.done += 1;
                    self.tries.succeeded(&addon);
                    self.attempts.remove(&addon);
                }
                Err(trouble) => {
                    report.failed += 1;
                    self.failed(addon, trouble).await?;
                }
            }
        }
        let dumps = self.addons.dumps_to_fill.list();
        let dumps = dumps.map_err(|error| Error::internal("look for dumps of databases", error))?;
        self.tries.keep(|addon| dumps.iter().any(|(of, _)| of == addon));
        if dumps.is_empty() {
            return Ok(report);
        }
        let now = self.addons.kernel.now();
        let rows = self.addons.kernel.store.addons().await?;
        let mut rows: HashMap<AddonId, Addon> = rows.into_iter().map(|row| (row.id, row)).collect();
        for (addon, stage) in dumps {
            if self.busy.values().any(|busy| *busy == addon) {
                continue;
            }
            let Some(row) = rows.remove(&addon) else {
                // It was destroyed meanwhile.
                self.addons.clear_work(work_of(addon)).await?;
                self.addons.forget_dump(addon).await?;
                continue;
            };
            if stage == Stage::Failed || self.busy.len() >= AT_A_TIME {
                continue;
            }
            if let Some(wait) = self.tries.wait(&addon, now) {
                report.again_in = Some(report.again_in.map_or(wait, |soonest| soonest.min(wait)));
            } else if row.state == AddonState::Provisioned && self.addons.answers(&row) {
                self.begin(row, stage);
            }
        }
        // One that goes on wakes us at its end.
        Ok(report)
    }

    async fn end(&mut self) {
        // Cut off where it is: the next start begins anew.
        self.going_on.shutdown().await;
    }
}

impl FillReconciler {
    fn begin(&mut self, row: Addon, stage: Stage) {
        self.tries.begin(&row.id, self.addons.kernel.now());
        let (addon, addons) = (row.id, self.addons.clone());
        let delay = self.attempts.contains_key(&addon);
        let task = self.going_on.spawn(async move {
            if delay {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            let outcome = addons.fill_from_dump(&row, stage).await;
            addons.kernel.wakes.addons.wake();
            outcome
        });
        self.busy.insert(task.id(), addon);
    }

    async fn failed(&mut self, addon: AddonId, trouble: Trouble) -> Result<()> {
        let attempts = self.attempts.entry(addon).or_default();
        let why = match trouble {
            Trouble::Canceled => return Ok(()),
            Trouble::Host(error) => {
                let reason = chain(&error);
                match self.tries.failed(&addon, &reason, self.addons.kernel.now()).1 {
                    true => {
                        tracing::warn!(addon.id = %addon, error = reason, "could not fill a database, will be tried again");
                    }
                    false => {
                        tracing::debug!(addon.id = %addon, error = reason, "could not fill a database again");
                    }
                }
                return Ok(());
            }
            Trouble::Told(why) => why,
        };
        *attempts += 1;
        tracing::error!(addon.id = %addon, attempts = *attempts, why, "a database could not be filled from its dump");
        if *attempts >= ATTEMPTS_MAX {
            self.attempts.remove(&addon);
            self.addons.give_up_dump(addon, &why).await?;
        }
        Ok(())
    }
}

fn work_of(addon: AddonId) -> TransferId {
    // No transfer has the id of an add-on.
    TransferId::from_uuid(addon.uuid())
}

impl Addons {
    /// Whether the data server of an add-on has answered since this server was started.
    fn answers(&self, row: &Addon) -> bool {
        let answering = self.answering.lock().unwrap_or_else(PoisonError::into_inner);
        row.data_server_id.is_some_and(|server| answering.contains(&server))
    }

    async fn forget_dump(&self, addon: AddonId) -> Result<()> {
        self.with_dumps(move |dumps| dumps.forget(addon), "remove the dump of a database").await
    }

    /// Empties a database of a user's. One that is closed stays so: what comes of it is told by [`Self::put_right`].
    pub(in crate::addons) async fn empty(
        &self,
        ready: &Ready,
        extensions: &[String],
    ) -> std::result::Result<(), StepError> {
        let Ready { row, access, resource } = ready;
        if !self.dumps_to_fill.has_failed(row.id) {
            return self.postgres.reset(access, resource, extensions).await;
        }
        let others = self.further_credentials(row.id).await;
        let others = others.map_err(|error| StepError::new("read the credentials of a database", error))?;
        self.postgres.empty_to_fill(access, resource, &others, extensions).await
    }

    /// What a database has now is what its user wants: one that was closed is opened. Written down first, so that a backup has
    /// whatever is written then; what a kill cuts off, the reconciler ends.
    pub(in crate::addons) async fn put_right(&self, row: &Addon) -> Result<()> {
        if !self.dumps_to_fill.has_failed(row.id) {
            return Ok(());
        }
        let id = row.id;
        self.with_dumps(move |dumps| dumps.replaced(id), "note that a database is not its dump's").await?;
        self.open_filled(row).await?;
        self.forget_dump(row.id).await
    }

    async fn with_dumps(
        &self,
        step: impl FnOnce(&DumpsToFill) -> io::Result<()> + Send + 'static,
        doing: &'static str,
    ) -> Result<()> {
        let dumps = DumpsToFill(self.dumps_to_fill.0.clone());
        blocking(move || step(&dumps)).await.map_err(|error| Error::internal(doing, error))
    }

    /// Told first: a kill between leaves it to be tried again, and told again.
    async fn give_up_dump(&self, addon: AddonId, why: &str) -> Result<()> {
        if let Some(row) = self.kernel.store.addon(addon).await? {
            let text = |name: &str| {
                format!(
                    "{name} could not be filled from the server's backup, and is closed: {why} Put a backup of your own \
                     back (heroku pg:backups:restore), or empty it (heroku pg:reset). The operator has the dump."
                )
            };
            self.tell_of_fill(&row, text).await?;
        }
        self.with_dumps(move |dumps| dumps.set_aside(addon), "set a dump aside").await
    }

    async fn fill_from_dump(&self, row: &Addon, stage: Stage) -> Outcome<()> {
        if stage == Stage::ToFill {
            let work = work_of(row.id);
            self.clear_work(work).await?;
            let filled = self.fill_closed(work, row).await;
            self.clear_work(work).await?;
            filled?;
            let id = row.id;
            self.with_dumps(move |dumps| dumps.filled(id), "note that a database is filled").await?;
        }
        self.open_filled(row).await?;
        self.forget_dump(row.id).await?;
        if stage != Stage::Replaced {
            self.tell_of_fill(row, |name| format!("{name} was filled from the server's backup.")).await?;
        }
        Ok(())
    }

    /// Fills a database that nobody gets into.
    async fn fill_closed(&self, work: TransferId, row: &Addon) -> Outcome<()> {
        let ready = self.reached(row).await?;
        let at = self.at_ready(row.id.uuid(), ready, Mode::Writes).await?;
        self.make_work(work).await?;
        self.make_given(work).await?;
        let given = self.file_of(work, GIVEN, DUMP);
        let (from, to) = (self.dumps_to_fill.path(row.id, Stage::ToFill), given.clone());
        let shown = blocking(move || show(&from, &to)).await;
        shown.map_err(|error| Trouble::host("read the dump of a database", error))?;
        self.look_into(work, at.tenant, &given).await?;
        tracing::info!(addon.name = row.name, "a database is filled from the server's backup");
        let Ready { access, resource, .. } = &at.ready;
        let others = self.further_credentials(row.id).await?;
        let step = self.postgres.empty_to_fill(access, resource, &others, &[]);
        let emptied = durable!("database.emptied_to_fill", step.await);
        emptied.map_err(|error| Trouble::host("make a database anew", error))?;
        self.admit(&at, Mode::Writes).await?;
        let filled = self.put_all_back(work, &at, &others).await;
        if filled.is_err() {
            self.clear_work(work).await?;
        }
        self.dismiss(&at).await;
        filled
    }

    /// First what there is, then whose it is, then who else may do what with it: of that nothing is a reason to have no
    /// database.
    async fn put_all_back(&self, work: TransferId, at: &At, others: &[Credential]) -> Outcome<()> {
        let Ready { access, resource, .. } = &at.ready;
        let ended = self.put_back(work, at, self.postgres.restore(access, resource, &at.login)).await?;
        weigh(&ended).map_err(Trouble::Told)?;
        let (list, rights) = (self.file_of(work, GIVEN, LIST), self.file_of(work, GIVEN, RIGHTS));
        let lists = blocking(move || Ok((std::fs::read_to_string(list)?, std::fs::metadata(rights)?.len())));
        let (list, rights) = lists.await.map_err(|error| Trouble::host("read the list of a dump", error))?;
        for other in others {
            let entries = owned_by(&list, &other.role);
            let given = self.postgres.give_to(access, resource, other, &entries).await;
            let refused = given.map_err(|error| Trouble::host("give a credential what it owned", error))?;
            if let Some(error) = refused.first() {
                tracing::warn!(
                    addon.name = at.row.name,
                    role = other.role,
                    refused = refused.len(),
                    error = chain(error),
                    "not everything in a database could be given to whom it belonged"
                );
            }
        }
        if rights == 0 {
            return Ok(());
        }
        let rights = self.postgres.restore_rights(access, resource, &at.login);
        let ended = self.put_back(work, at, rights).await?;
        if !ended.is_well() {
            tracing::warn!(
                addon.name = at.row.name,
                said = ended.last_words(),
                "not every right in a database could be given again"
            );
        }
        Ok(())
    }

    /// Lets the apps of a database in: each is released anew, for its dynos may have tried in vain meanwhile.
    async fn open_filled(&self, row: &Addon) -> Result<()> {
        // As it is now: of another plan, say.
        let Some(row) = self.kernel.store.addon(row.id).await? else { return Ok(()) };
        let ready = self.reached(&row).await?;
        self.bring_to_its_plan(&ready.access, &row).await?;
        self.mend_addresses(row.id, Told::Reached).await
    }

    /// A line in the log of every app that has it attached, which knows it by a name of its own.
    async fn tell_of_fill(&self, row: &Addon, text: impl Fn(&str) -> String + Send) -> Result<()> {
        for listed in self.kernel.store.attachments_of_addon(row.id).await? {
            let attachment = listed.attachment;
            self.kernel.log_addon(attachment.app_id, PROCESS, text(&attachment.name)).await;
        }
        Ok(())
    }
}

/// Makes a dump a file of a volume that a container may be shown: the same one where that can be.
fn show(from: &Path, to: &Path) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "within a volume, which is made anew after a kill")]
    let linked = std::fs::hard_link(from, to);
    if linked.is_ok() {
        // Nobody else gets into the folder where it lies.
        return std::fs::set_permissions(to, PermissionsExt::from_mode(0o644));
    }
    io::copy(&mut open_plain(from)?, &mut readable_file(to)?).map(drop)
}
