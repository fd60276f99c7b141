//! Apps: their names, their generation, and what of a deleted one is still to be removed.

use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, AppName, ReleaseId, ServerId, Tenant, UnixMicros};

use crate::engine::{self, FromRow, Row, reads, row, statements, values};
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    /// Its name, unique on the platform.
    pub name: AppName,
    pub owner_id: AccountId,
    /// What its current release is laid upon.
    pub stack: Stack,
    /// What its next build is laid upon.
    pub build_stack: Stack,
    /// Whether requests get the maintenance page.
    pub maintenance: bool,
    /// Counts the changes of what is wanted of it.
    pub generation: i64,
    /// Number of its range of 65,536 user ids; from 0, never given twice.
    pub id_range: u32,
    /// Version of the release that will be made next.
    pub next_version: i64,
    /// The release whose dynos should run.
    pub current_release_id: Option<ReleaseId>,
    /// Size of its git repository in bytes, when last measured.
    pub repo_bytes: Option<i64>,
    /// Size of its current slug in bytes.
    pub slug_bytes: Option<i64>,
    /// The server that has its slugs and runs its dynos.
    pub server_id: Option<ServerId>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
    /// When its current release became current.
    pub released_at: Option<UnixMicros>,
}

impl App {
    /// The tenant its containers work for.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        Tenant(self.id_range)
    }
}

row!(App { id, name, owner_id, stack, build_stack, maintenance, generation, id_range, next_version, created_at, updated_at }
    optional { current_release_id, repo_bytes, slug_bytes, server_id, released_at });

/// An app with what a list of apps says of it besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedApp {
    pub app: App,
    pub owner_email: String,
    /// What the last buildpack of its current slug called it.
    pub buildpack_description: Option<String>,
}

impl FromRow for ListedApp {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            app: App::from_row(row)?,
            owner_email: row.get("owner_email")?,
            buildpack_description: row.optional("buildpack_description")?,
        })
    }
}

/// What a new app is made of.
#[derive(Debug, Clone)]
pub struct NewApp {
    pub id: AppId,
    pub name: AppName,
    pub owner_id: AccountId,
    /// What its builds are laid upon.
    pub stack: Stack,
}

/// An app that is deleted while files of it may still be on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedApp {
    /// The id it had.
    pub app_id: AppId,
    /// The name it had; another app may have it by now.
    pub name: AppName,
    /// Its range of user ids.
    pub id_range: u32,
    pub deleted_at: UnixMicros,
}

row!(DeletedApp { app_id, name, id_range, deleted_at } optional {});

/// Apps of which this is true, with what a list says of them.
macro_rules! listed {
    ($condition:literal) => {
        concat!(
            "SELECT apps.*, accounts.email AS owner_email, slugs.buildpack_description FROM apps \
             JOIN accounts ON accounts.id = apps.owner_id \
             LEFT JOIN releases ON releases.id = apps.current_release_id AND releases.app_id = apps.id \
             LEFT JOIN slugs ON slugs.id = releases.slug_id WHERE ",
            $condition
        )
    };
}

statements! {
    BY_ID = "SELECT * FROM apps WHERE id = $1";
    BY_NAME = "SELECT * FROM apps WHERE name = $1";
    LISTED = listed!("apps.id = $1");
    LISTED_OF_ACCOUNT = listed!("apps.owner_id = $1 \
        OR apps.id IN (SELECT app_id FROM collaborators WHERE account_id = $1) ORDER BY apps.name");
    OF_SERVER = "SELECT * FROM apps WHERE server_id = $1 ORDER BY name";
    OWNED_BY = "SELECT * FROM apps WHERE owner_id = $1 ORDER BY name";
    CREATE = "INSERT INTO apps (id, name, owner_id, stack, build_stack, maintenance, generation, id_range, \
        next_version, server_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $4, 0, 1, $5, 1, $6, $7, $7)";
    RENAME = "UPDATE apps SET name = $2, updated_at = $3 WHERE id = $1";
    SET_MAINTENANCE = "UPDATE apps SET maintenance = $2, updated_at = $3 WHERE id = $1";
    SET_STACK = "UPDATE apps SET stack = $2 WHERE id = $1";
    SET_BUILD_STACK = "UPDATE apps SET build_stack = $2, updated_at = $3 WHERE id = $1";
    SET_REPO_BYTES = "UPDATE apps SET repo_bytes = $2 WHERE id = $1";
    REMEMBER_DELETED = "INSERT INTO deleted_apps (app_id, name, id_range, server_id, deleted_at) \
        SELECT id, name, id_range, server_id, $2 FROM apps WHERE id = $1";
    DELETE = "DELETE FROM apps WHERE id = $1";
    DELETED = "SELECT * FROM deleted_apps WHERE server_id = $1 ORDER BY deleted_at, app_id";
    FORGET_DELETED = "DELETE FROM deleted_apps WHERE app_id = $1";
}

reads! {
    app(id: AppId) -> one App: BY_ID [id];
    app_by_name(name: &str) -> one App: BY_NAME [name];
    /// The app with this id, with what a list says of it.
    listed_app(id: AppId) -> one ListedApp: LISTED [id];
    /// The apps that an account owns or collaborates on, by name.
    apps_of(account_id: AccountId) -> all ListedApp: LISTED_OF_ACCOUNT [account_id];
    /// The apps that an account owns, by name.
    apps_owned_by(account_id: AccountId) -> all App: OWNED_BY [account_id];
}

impl Store {
    /// The apps of this server, by name.
    pub async fn apps(&self) -> Result<Vec<App>> {
        engine::all(&mut *self.reader().await?, OF_SERVER, values![self.server.id]).await
    }

    /// Deleted apps of this server whose files are still to be removed, longest deleted first.
    pub async fn deleted_apps(&self) -> Result<Vec<DeletedApp>> {
        engine::all(&mut *self.reader().await?, DELETED, values![self.server.id]).await
    }
}

impl Tx {
    /// Makes an app, at generation 1, with a range of ids that no app ever had. Within [`crate::Store::begin_platform`].
    ///
    /// # Errors
    /// `NameTaken`.
    pub async fn create_app(&mut self, new: &NewApp) -> Result<App> {
        let id_range = self.next_id_range().await?;
        let values = values![new.id, new.name, new.owner_id, new.stack, id_range, self.server_id, self.now];
        if !self.execute_unique(CREATE, values).await? {
            return Err(StoreError::NameTaken(new.name.clone()));
        }
        self.touch(new.id);
        self.app(new.id).await?.ok_or(StoreError::AppGone(new.id))
    }

    /// Gives an app another name.
    ///
    /// # Errors
    /// `NameTaken`.
    pub async fn rename_app(&mut self, id: AppId, name: &AppName) -> Result<()> {
        match self.execute_unique(RENAME, values![id, *name, self.now]).await? {
            true => Ok(()),
            false => Err(StoreError::NameTaken(name.clone())),
        }
    }

    /// Switches the maintenance page on or off.
    ///
    /// # Errors
    /// `Gone` when there is no such app.
    pub async fn set_maintenance(&mut self, id: AppId, maintenance: bool) -> Result<()> {
        let values = values![id, maintenance, self.now];
        self.change("app", id, SET_MAINTENANCE, values).await
    }

    /// Changes what its next build is laid upon.
    ///
    /// # Errors
    /// `Gone` when there is no such app.
    pub async fn set_build_stack(&mut self, id: AppId, stack: &Stack) -> Result<()> {
        let values = values![id, *stack, self.now];
        self.change("app", id, SET_BUILD_STACK, values).await
    }

    /// Notes what its current release is laid upon.
    ///
    /// # Errors
    /// `Gone` when there is no such app.
    pub async fn set_stack(&mut self, id: AppId, stack: &Stack) -> Result<()> {
        self.change("app", id, SET_STACK, values![id, *stack]).await
    }

    /// Notes the measured size of the git repository.
    ///
    /// # Errors
    /// `Gone` when there is no such app.
    pub async fn set_repo_bytes(&mut self, id: AppId, bytes: i64) -> Result<()> {
        self.change("app", id, SET_REPO_BYTES, values![id, bytes]).await
    }

    /// Deletes an app and all it owns. Its id and range are remembered until [`Tx::forget_deleted_app`]; slugs that
    /// releases of other apps use stay.
    ///
    /// # Errors
    /// `Gone` when there is no such app.
    pub async fn delete_app(&mut self, id: AppId) -> Result<()> {
        let values = values![id, self.now];
        self.change("app", id, REMEMBER_DELETED, values).await?;
        self.execute(DELETE, values![id]).await?;
        self.purge_orphan_slugs().await.map(drop)
    }

    /// Notes that nothing of a deleted app is left on disk.
    pub async fn forget_deleted_app(&mut self, id: AppId) -> Result<()> {
        self.execute(FORGET_DELETED, values![id]).await.map(drop)
    }
}
