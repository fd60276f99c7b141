//! Stacks that the operator added to this server, and their versions. What `host` and `container` are is a rule and no row.
//!
//! A version is named by builds and slugs that are laid upon it (`stack`, `stack_version`) and stays as long as one of them
//! needs it, whatever becomes of the stack.

use paddock_core::stack::{Stack, StackBase, StackSupport, StackVersion};
use paddock_core::{LayerDigest, Tenant, UnixMicros};

use crate::engine::{self, Word, row, statements, values};
use crate::error::{Result, StoreError};
use crate::{Store, Tx};

/// The key of the setting that says who containers work for in which a stack is tried.
const TENANT: &str = "tenant_of_stacks";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedStack {
    pub name: Stack,
    /// Whether it is on trial.
    pub is_beta: bool,
    /// From then on nothing is built on it.
    pub ends_at: Option<UnixMicros>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

impl AddedStack {
    /// For how long it is looked after.
    #[must_use]
    pub fn support(&self) -> StackSupport {
        StackSupport { is_beta: self.is_beta, ends_at: self.ends_at }
    }
}

row!(AddedStack { name, is_beta, created_at, updated_at } optional { ends_at });

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedVersion {
    pub name: Stack,
    pub version: String,
    /// What it calls itself, such as `Debian GNU/Linux 12 (bookworm)`; may be empty.
    pub system: String,
    /// What dynos are laid upon, the uppermost first.
    pub run_layers: Vec<LayerDigest>,
    /// What builds are laid upon, the uppermost first.
    pub build_layers: Vec<LayerDigest>,
    /// Bytes of all its layers.
    pub size_bytes: i64,
    /// When it was added last.
    pub added_at: UnixMicros,
}

row!(AddedVersion { name, version, system, run_layers, build_layers, size_bytes, added_at } optional {});

/// What a new version is made of; fields as in [`AddedVersion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    pub name: Stack,
    pub version: String,
    pub system: String,
    pub run_layers: Vec<LayerDigest>,
    pub build_layers: Vec<LayerDigest>,
    pub size_bytes: i64,
}

statements! {
    STACKS = "SELECT * FROM stacks WHERE server_id = $1 ORDER BY name";
    STACK = "SELECT * FROM stacks WHERE server_id = $1 AND name = $2";
    VERSIONS = "SELECT * FROM stack_versions WHERE server_id = $1 ORDER BY name, added_at DESC, version";
    VERSION = "SELECT * FROM stack_versions WHERE server_id = $1 AND name = $2 AND version = $3";
    NEWEST = "SELECT * FROM stack_versions WHERE server_id = $1 AND name = $2 ORDER BY added_at DESC, version LIMIT 1";
    /// One that is there stays as it is, but for the word that it is a beta.
    PUT_STACK = "INSERT INTO stacks (server_id, name, is_beta, created_at, updated_at) VALUES ($1, $2, $3, $4, $4) \
        ON CONFLICT (server_id, name) DO UPDATE SET is_beta = excluded.is_beta, updated_at = excluded.updated_at";
    /// One that is there already becomes the newest.
    PUT_VERSION = "INSERT INTO stack_versions (server_id, name, version, system, run_layers, build_layers, \
        size_bytes, added_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
        ON CONFLICT (server_id, name, version) DO UPDATE SET added_at = excluded.added_at";
    SET_END = "UPDATE stacks SET ends_at = $3, updated_at = $4 WHERE server_id = $1 AND name = $2";
    REMOVE = "DELETE FROM stacks WHERE server_id = $1 AND name = $2";
    APPS_TO_BE_BUILT = "SELECT name AS word FROM apps WHERE server_id = $1 AND build_stack = $2 ORDER BY name";
    /// Who begins a build has read a version before its row names that: what others took the place of has some time left.
    FORGET_VERSIONS = "DELETE FROM stack_versions WHERE server_id = $1 \
        AND NOT EXISTS (SELECT 1 FROM slugs WHERE slugs.stack = stack_versions.name \
            AND slugs.stack_version = stack_versions.version) \
        AND NOT EXISTS (SELECT 1 FROM builds WHERE builds.stack = stack_versions.name \
            AND builds.stack_version = stack_versions.version AND builds.status = 'pending') \
        AND (NOT EXISTS (SELECT 1 FROM stacks WHERE stacks.server_id = stack_versions.server_id \
                AND stacks.name = stack_versions.name) \
            OR EXISTS (SELECT 1 FROM stack_versions AS newer WHERE newer.server_id = stack_versions.server_id \
                AND newer.name = stack_versions.name AND newer.added_at > stack_versions.added_at \
                AND newer.added_at < $2))";
    TENANT_OF_STACKS = "SELECT value AS word FROM settings WHERE key = $1";
    KEEP_TENANT = "INSERT INTO settings (key, value) VALUES ($1, $2)";
}

impl Store {
    /// The stacks of this server, by name.
    pub async fn added_stacks(&self) -> Result<Vec<AddedStack>> {
        engine::all(&mut *self.reader().await?, STACKS, values![self.server.id]).await
    }

    /// Their versions and those of stacks that are gone, by name, the newest first.
    pub async fn added_versions(&self) -> Result<Vec<AddedVersion>> {
        engine::all(&mut *self.reader().await?, VERSIONS, values![self.server.id]).await
    }

    /// What dynos are laid upon that run something of this version of a stack.
    ///
    /// # Errors
    /// `Gone` when there is no such version.
    pub async fn base_of_dynos(&self, stack: &Stack, version: &str) -> Result<StackBase> {
        self.base_of(stack, version, |found| found.run_layers).await
    }

    /// What a build is laid upon for this version of a stack.
    ///
    /// # Errors
    /// `Gone` when there is no such version.
    pub async fn base_of_builds(&self, stack: &Stack, version: &str) -> Result<StackBase> {
        self.base_of(stack, version, |found| found.build_layers).await
    }

    async fn base_of(
        &self,
        stack: &Stack,
        version: &str,
        layers: impl FnOnce(AddedVersion) -> Vec<LayerDigest>,
    ) -> Result<StackBase> {
        if stack.is_rule() {
            return Ok(StackBase::Host(StackVersion { stack: stack.clone(), version: version.to_owned() }));
        }
        let values = values![self.server.id, *stack, version];
        let found = engine::one(&mut *self.reader().await?, VERSION, values).await?;
        let gone =
            || StoreError::Gone { noun: "stack", id: format!("{}, version {version}", stack.as_str()) };
        Ok(StackBase::Layers(layers(found.ok_or_else(gone)?)))
    }

    /// The apps of this server that are to be built on a stack.
    pub async fn apps_to_be_built_on(&self, stack: &Stack) -> Result<Vec<String>> {
        let values = values![self.server.id, *stack];
        let names = engine::all(&mut *self.reader().await?, APPS_TO_BE_BUILT, values).await?;
        Ok(names.into_iter().map(|Word(name)| name).collect())
    }
}

impl Tx {
    /// A stack of this server.
    pub async fn added_stack(&mut self, name: &Stack) -> Result<Option<AddedStack>> {
        let values = values![self.server_id, *name];
        self.one(STACK, values).await
    }

    /// The version of a stack that was added last.
    pub async fn newest_version(&mut self, name: &Stack) -> Result<Option<AddedVersion>> {
        let values = values![self.server_id, *name];
        self.one(NEWEST, values).await
    }

    /// Adds a version of a stack, the newest from now on, and the stack where there is none of the name. Whether there was
    /// no such version.
    pub async fn put_version(&mut self, new: &NewVersion, is_beta: bool) -> Result<bool> {
        let values = values![self.server_id, new.name, is_beta, self.now];
        self.execute(PUT_STACK, values).await?;
        let there: Option<AddedVersion> =
            self.one(VERSION, values![self.server_id, new.name, new.version]).await?;
        let values = values![
            self.server_id,
            new.name,
            new.version,
            new.system,
            new.run_layers,
            new.build_layers,
            new.size_bytes,
            self.now
        ];
        self.execute(PUT_VERSION, values).await?;
        Ok(there.is_none())
    }

    /// Says when nothing is built on a stack any more; `None` for never.
    ///
    /// # Errors
    /// `Gone` when there is no such stack.
    pub async fn set_end_of_stack(&mut self, name: &Stack, ends_at: Option<UnixMicros>) -> Result<()> {
        let values = values![self.server_id, *name, ends_at, self.now];
        self.change("stack", name.as_str(), SET_END, values).await
    }

    /// Removes a stack. Its versions stay as long as something needs them.
    ///
    /// # Errors
    /// `Gone` when there is no such stack.
    pub async fn remove_stack(&mut self, name: &Stack) -> Result<()> {
        let values = values![self.server_id, *name];
        self.change("stack", name.as_str(), REMOVE, values).await
    }

    /// Forgets the versions that nothing needs: of stacks that are gone, and those that one took the place of before
    /// `before`. How many.
    pub async fn forget_versions(&mut self, before: UnixMicros) -> Result<u64> {
        let values = values![self.server_id, before];
        self.execute(FORGET_VERSIONS, values).await
    }

    /// Whom containers work for in which a stack is tried: nobody else. Within [`crate::Store::begin_platform`].
    pub async fn tenant_of_stacks(&mut self) -> Result<Tenant> {
        if let Some(Word(number)) = self.one(TENANT_OF_STACKS, values![TENANT]).await? {
            return number.parse().map(Tenant).map_err(|_| StoreError::UnknownValue { column: "value" });
        }
        let number = self.next_id_range().await?;
        self.execute(KEEP_TENANT, values![TENANT, number.to_string()]).await?;
        Ok(Tenant(number))
    }
}
