//! Who may see and do what: the first line of every use case. What one may not see is not found.

use std::ops::Deref;

use paddock_core::{AccountId, AppId, AppRef, ErrorId};
use paddock_store::{App, Store, StoreError};

use crate::kernel::Kernel;
use crate::{Actor, Error, Result};

/// Whether this account may still operate the app: for what goes on after it was asked for. One that was disabled may not.
pub(crate) async fn may_operate(
    store: &Store,
    account: AccountId,
    app: AppId,
) -> std::result::Result<bool, StoreError> {
    let may_get_in = store.account(account).await?.is_some_and(|account| account.is_enabled());
    match store.app(app).await? {
        Some(app) if may_get_in => Ok(most_permitted(store, account, &app).await?.is_some()),
        _ => Ok(false),
    }
}

/// The most that an account may do with an app; nothing for a stranger.
async fn most_permitted(
    store: &Store,
    account: AccountId,
    app: &App,
) -> std::result::Result<Option<Permission>, StoreError> {
    if app.owner_id == account {
        return Ok(Some(Permission::Manage));
    }
    let collaboration = store.collaborator(app.id, account).await?;
    Ok(collaboration.map(|_| Permission::Operate))
}

/// What somebody wants to do with an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Look at it, deploy to it, configure and operate it: owner and collaborators.
    Operate,
    /// Rename or destroy it: the owner alone.
    Manage,
}

/// Something of which it was found that whoever asks may do what they ask for: nothing but the check makes one.
#[derive(Debug, Clone)]
pub(crate) struct Permitted<T>(T);

impl<T> Deref for Permitted<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl Kernel {
    /// The app that is meant, if the actor may do that with it.
    pub(crate) async fn permitted_app(
        &self,
        actor: &Actor,
        app: &AppRef,
        permission: Permission,
    ) -> Result<Permitted<App>> {
        let app = self.app_of(app).await?.ok_or_else(|| Error::not_found("app"))?;
        self.permitted(actor.account_id, app, permission).await
    }

    /// Which app is meant, to tell requests apart by: it says nothing of who may see that app.
    pub async fn app_meant(&self, app: &AppRef) -> Option<AppId> {
        self.app_of(app).await.ok().flatten().map(|app| app.id)
    }

    async fn app_of(&self, app: &AppRef) -> std::result::Result<Option<App>, StoreError> {
        match app {
            AppRef::Id(id) => self.store.app(*id).await,
            AppRef::Name(name) => self.store.app_by_name(name).await,
        }
    }

    /// The app with this name, if that account may see and operate it: for jobs, which know who began them.
    pub(crate) async fn app_visible_to(&self, account: AccountId, name: &str) -> Result<Permitted<App>> {
        let found = self.store.app_by_name(name).await?;
        let app = found.ok_or_else(|| Error::not_found("app"))?;
        self.permitted(account, app, Permission::Operate).await
    }

    async fn permitted(
        &self,
        account: AccountId,
        app: App,
        permission: Permission,
    ) -> Result<Permitted<App>> {
        let most = most_permitted(&self.store, account, &app).await;
        match (most?, permission) {
            (None, _) => Err(Error::not_found("app")),
            (Some(Permission::Operate), Permission::Manage) => {
                Err(Error::new(ErrorId::Forbidden, "Only the owner of the app may do that."))
            }
            (Some(_), _) => self.here(app),
        }
    }

    /// An app that other servers of this database have is known here, and nothing can be done with it: its slugs, its
    /// repository, its dynos and its log are with them.
    fn here(&self, app: App) -> Result<Permitted<App>> {
        if app.server_id == Some(self.store.server_id()) {
            return Ok(Permitted(app));
        }
        let server = app.server_id.map_or_else(String::new, |id| format!(" ({id})"));
        Err(Error::new(
            ErrorId::Conflict,
            format!(
                "App {} is on another server of this platform{server}. Send the request there.",
                app.name
            ),
        ))
    }

    /// The app that is meant, if the actor may see and operate it.
    pub(crate) async fn visible_app(&self, actor: &Actor, app: &AppRef) -> Result<Permitted<App>> {
        self.permitted_app(actor, app, Permission::Operate).await
    }
}
