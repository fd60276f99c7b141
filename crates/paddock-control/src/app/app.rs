//! Apps: made, renamed, maintained, destroyed.

use paddock_core::app::generated_name;
use paddock_core::event::Event;
use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, AppName, AppRef, CollaboratorId, DomainId, UnixMicros};
use paddock_store::{App as Row, CollaboratorRole, DomainKind, ListedApp, NewApp, NewDomain, Tx};
use uuid::Uuid;

use crate::app::Apps;
use crate::app::feature;
use crate::deploy::release_steps::{ReleaseDraft, add_release};
use crate::kernel::access::Permission;
use crate::kernel::actor::is_self;
use crate::kernel::change::Change;
use crate::kernel::stacks::NamedStack;
use crate::{Actor, Error, REGION, Result, fixed_id};

/// How many made-up names are tried before giving up.
const NAME_ATTEMPTS: usize = 8;

/// An app, as shown to those who may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    pub name: AppName,
    pub owner_id: AccountId,
    pub owner_email: String,
    /// What its current release is laid upon.
    pub stack: Stack,
    /// What its next build is laid upon.
    pub build_stack: Stack,
    /// Whether requests get the maintenance page.
    pub maintenance: bool,
    /// What the last buildpack called it.
    pub buildpack_description: Option<String>,
    pub repo_bytes: Option<u64>,
    pub slug_bytes: Option<u64>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
    /// When its current release became current.
    pub released_at: Option<UnixMicros>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppOrder {
    /// Its name; made up when `None`.
    pub name: Option<String>,
    /// Name or id of its stack.
    pub stack: Option<String>,
    /// Name or id of its region.
    pub region: Option<String>,
    pub features: Vec<String>,
}

/// A wanted change of an app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppChange {
    pub name: Option<String>,
    pub maintenance: Option<bool>,
    /// The stack of the next build.
    pub build_stack: Option<String>,
}

impl Apps {
    /// Makes an app with its first two releases.
    ///
    /// # Errors
    /// `invalid_params` for a name that is taken, reserved or malformed, an unknown stack, region or feature.
    pub async fn create_app(&self, actor: &Actor, order: AppOrder) -> Result<App> {
        let stack = match order.stack {
            Some(name) => self.kernel.named_stack(&name).await?,
            None => NamedStack::usual(),
        };
        check_region(order.region.as_deref())?;
        for name in &order.features {
            feature::of_apps(name)?;
        }
        let wanted = order.name.map(|name| parse_name(&name)).transpose()?;
        let row = self.insert_app(actor, wanted, &stack, &order.features).await?;
        Ok(view(row))
    }

    async fn insert_app(
        &self,
        actor: &Actor,
        wanted: Option<AppName>,
        stack: &NamedStack,
        features: &[String],
    ) -> Result<ListedApp> {
        let mut attempts = if wanted.is_some() { 1 } else { NAME_ATTEMPTS };
        loop {
            let entropy = Uuid::new_v4().as_u64_pair().1;
            let name = wanted.clone().unwrap_or_else(|| generated_name(entropy));
            attempts -= 1;
            match self.insert_app_named(actor, name, stack, features).await {
                Err(error) if attempts > 0 && error.id == paddock_core::ErrorId::InvalidParams => {}
                result => return result,
            }
        }
    }

    async fn insert_app_named(
        &self,
        actor: &Actor,
        name: AppName,
        stack: &NamedStack,
        features: &[String],
    ) -> Result<ListedApp> {
        let id = AppId::from_uuid(Uuid::now_v7());
        let new = NewApp { id, name, owner_id: actor.account_id, stack: stack.stack.clone() };
        let mut tx = self.kernel.change_platform("make an app").await?;
        let row = tx.create_app(&new).await?;
        let domain = NewDomain {
            id: DomainId::from_uuid(Uuid::now_v7()),
            app_id: row.id,
            hostname: self.default_hostname(&row.name),
            kind: DomainKind::Heroku,
            cname: None,
            status: "none".to_owned(),
        };
        tx.create_domain(&domain).await?;
        let collaboration = CollaboratorId::from_uuid(Uuid::now_v7());
        let owner = CollaboratorRole::Owner;
        tx.create_collaborator(collaboration, row.id, actor.account_id, owner).await?;
        for feature in features {
            tx.set_app_feature(row.id, feature, true).await?;
        }
        for description in ["Initial release", "Enable Logplex"] {
            let draft = ReleaseDraft {
                description: description.to_owned(),
                account_id: actor.account_id,
                slug_id: None,
                rollback_of: None,
            };
            add_release(&mut tx, row.id, draft).await?;
        }
        let made = tx.listed_app(row.id).await?;
        for text in ["Initial release", "Release v1 created", "Enable Logplex", "Release v2 created"] {
            tx.say(row.id, format!("{text} by user {}", actor.email));
        }
        if let Some(notice) = &stack.notice {
            tx.say(row.id, notice);
        }
        tx.commit("app.made", Event::AppCreated { app: row.id, name: row.name }, actor).await?;
        made.ok_or_else(|| Error::not_found("app"))
    }

    /// An app by id or name.
    pub async fn app(&self, actor: &Actor, app: &AppRef) -> Result<App> {
        let row = self.kernel.visible_app(actor, app).await?;
        self.listed(row.id).await
    }

    /// The apps that the actor owns or works on.
    pub async fn list_apps(&self, actor: &Actor) -> Result<Vec<App>> {
        let rows = self.kernel.store.apps_of(actor.account_id).await?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// The same for an account by id, address or `~`; only one's own is visible.
    pub async fn list_apps_of_user(&self, actor: &Actor, user: &str) -> Result<Vec<App>> {
        match is_self(actor, user) {
            true => self.list_apps(actor).await,
            false => Err(Error::not_found("account")),
        }
    }

    /// Renames an app, switches maintenance mode, chooses the stack of the next build.
    ///
    /// # Errors
    /// `not_found`; `forbidden` to rename as a collaborator; `invalid_params`.
    pub async fn update_app(&self, actor: &Actor, app: &AppRef, change: AppChange) -> Result<App> {
        let permission = if change.name.is_some() { Permission::Manage } else { Permission::Operate };
        let row = self.kernel.permitted_app(actor, app, permission).await?;
        let name = change.name.map(|name| parse_name(&name)).transpose()?.filter(|name| *name != row.name);
        let stack = match change.build_stack {
            // Also of one on which nothing is built any more.
            Some(name) if name == row.build_stack.as_str() => None,
            Some(name) => Some(self.kernel.named_stack(&name).await?),
            None => None,
        };
        let mut tx = self.kernel.change_app(row.id, "change an app").await?;
        if let Some(name) = &name {
            self.rename(&mut tx, &row, name).await?;
        }
        if let Some(maintenance) = change.maintenance {
            tx.set_maintenance(row.id, maintenance).await?;
        }
        if let Some(stack) = stack {
            choose_stack(&mut tx, &row, stack).await?;
        }
        let changed = tx.listed_app(row.id).await?.ok_or_else(|| Error::not_found("app"))?;
        if changed.app.maintenance != row.maintenance {
            let what = if changed.app.maintenance { "on" } else { "off" };
            tx.say(row.id, format!("Maintenance mode turned {what} by user {}", actor.email));
        }
        tx.commit("app.changed", Event::AppUpdated { app: row.id, name: changed.app.name.clone() }, actor)
            .await?;
        Ok(view(changed))
    }

    /// The old host stops answering at once.
    async fn rename(&self, tx: &mut Tx, row: &Row, name: &AppName) -> Result<()> {
        tx.rename_app(row.id, name).await?;
        let domains = tx.domains(row.id).await?;
        for domain in domains.into_iter().filter(|domain| domain.kind == DomainKind::Heroku) {
            tx.set_domain_hostname(domain.id, &self.default_hostname(name)).await?;
        }
        Ok(())
    }

    /// Destroys an app and all it has. Its dynos and files go soon after.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for a collaborator.
    pub async fn destroy_app(&self, actor: &Actor, app: &AppRef) -> Result<App> {
        let row = self.kernel.permitted_app(actor, app, Permission::Manage).await?;
        let shown = self.listed(row.id).await?;
        if let Some(build) = self.kernel.store.running_build(row.id).await? {
            self.deploy.cancels.cancel(build.id);
        }
        // The platform's lock, since add-ons of other apps may be concerned.
        let mut tx = self.kernel.change_platform("destroy an app").await?;
        tx.also_for_app(row.id).await?;
        self.addons.end_of_app(&mut tx, row.id, actor.account_id).await?;
        tx.delete_app(row.id).await?;
        tx.commit("app.destroyed", Event::AppDestroyed { app: row.id, name: row.name.clone() }, actor)
            .await?;
        Ok(shown)
    }

    /// `NAME.DOMAIN`.
    fn default_hostname(&self, name: &AppName) -> String {
        format!("{name}.{}", self.kernel.config.domain).to_ascii_lowercase()
    }

    async fn listed(&self, id: AppId) -> Result<App> {
        let found = self.kernel.store.listed_app(id).await?;
        found.map(view).ok_or_else(|| Error::not_found("app"))
    }
}

/// The next build that succeeds moves the app to the stack; one that was never deployed is there at once.
/// Source: `docs/contract/platform-behaviour.md`, section 10.
async fn choose_stack(tx: &mut Change<'_>, row: &Row, chosen: NamedStack) -> Result<()> {
    let NamedStack { stack, notice } = chosen;
    tx.set_build_stack(row.id, &stack).await?;
    let current = tx.current_release(row.id).await?;
    if current.is_none_or(|release| release.slug_id.is_none()) {
        tx.set_stack(row.id, &stack).await?;
    }
    if let Some(notice) = notice {
        tx.say(row.id, notice);
    }
    Ok(())
}

fn view(listed: ListedApp) -> App {
    let bytes = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    let ListedApp { app: row, owner_email, buildpack_description } = listed;
    App {
        id: row.id,
        owner_id: row.owner_id,
        owner_email,
        stack: row.stack,
        build_stack: row.build_stack,
        maintenance: row.maintenance,
        buildpack_description,
        repo_bytes: bytes(row.repo_bytes),
        slug_bytes: bytes(row.slug_bytes),
        created_at: row.created_at,
        updated_at: row.updated_at,
        released_at: row.released_at,
        name: row.name,
    }
}

fn parse_name(name: &str) -> Result<AppName> {
    name.parse().map_err(|error: paddock_core::app::InvalidAppName| Error::invalid(format!("{error}.")))
}

fn check_region(region: Option<&str>) -> Result<()> {
    match region {
        None | Some(REGION) => Ok(()),
        Some(other) if other == fixed_id("region", REGION).to_string() => Ok(()),
        Some(other) => {
            Err(Error::invalid(format!("Region {other} is not available: the only one is {REGION}.")))
        }
    }
}
