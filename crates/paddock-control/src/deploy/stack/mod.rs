//! Stacks that the operator adds to this server, and takes away.
//!
//! The operator's command makes mountable layers of what it is given; here they are taken in and tried. A stack that is added
//! again gets a further version: builds take the newest, slugs stay on theirs (`paddock_store::stack`).

use std::fs::File;
use std::time::Duration;

use paddock_core::event::{By, Event};
use paddock_core::stack::{Stack, StackState};
use paddock_core::{LayerDigest, Tenant, UnixMicros, hex};
use paddock_images::users::{Users, users_layer};
use paddock_store::{AddedVersion, NewVersion};
use sha2::{Digest, Sha256};
use tokio::sync::{MutexGuard, RwLockReadGuard};

use crate::deploy::Deploy;
use crate::deploy::stack::trial::{Found, Purpose};
use crate::kernel::stacks::{CNB, StackRow};
use crate::{Error, Result};

mod trial;

/// Most layers of an image: a container has some more.
const LAYERS_MAX: usize = 100;
/// How long an image that was pushed just before is waited for.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// A stack as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownStack {
    pub stack: Stack,
    pub state: StackState,
    /// From then on nothing is built on it.
    pub ends_at: Option<UnixMicros>,
    /// What builds take now; empty for `container`.
    pub version: String,
    /// What that calls itself.
    pub system: String,
    pub added_at: Option<UnixMicros>,
    /// Bytes of its layers.
    pub size_bytes: Option<u64>,
    /// Earlier versions that something still needs.
    pub kept_versions: usize,
    /// How many apps are to be built on it.
    pub apps: usize,
}

/// What dynos, or builds, of a stack are laid upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackImage {
    /// Layers that were added, by the count of those before, the uppermost first.
    Sent(Vec<usize>),
    /// An image of this server's own registry.
    Registered(String),
}

/// What was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    pub version: String,
    /// What it calls itself.
    pub system: String,
    /// Whether this version was there already.
    pub was_there: bool,
}

/// A stack that is being added. Nobody else adds one meanwhile, and no layer goes.
pub struct Addition<'a> {
    deploy: &'a Deploy,
    stack: Stack,
    layers: Vec<LayerDigest>,
    _turn: MutexGuard<'a, ()>,
    _coming: RwLockReadGuard<'a, ()>,
}

impl Deploy {
    /// Begins to add a stack, or a version of one.
    ///
    /// # Errors
    /// `invalid_params` for a name that no stack can have; `conflict` while another is being added.
    pub async fn begin_stack(&self, name: &str) -> Result<Addition<'_>> {
        let stack = Stack::from_name(name).ok_or_else(|| {
            Error::invalid(format!(
                "{name:?} is no name of a stack: it has 1 to 63 lower-case letters, digits and dashes, and begins with no dash."
            ))
        })?;
        if stack.is_rule() || name == CNB {
            return Err(Error::invalid(format!(
                "{name} is a name of the platform's own. Give the stack another."
            )));
        }
        let busy =
            |_| Error::new(paddock_core::ErrorId::Conflict, "Another stack is being added. Wait for it.");
        let _turn = self.adding_stack.try_lock().map_err(busy)?;
        let _coming = self.layers_coming.read().await;
        Ok(Addition { deploy: self, stack, layers: Vec::new(), _turn, _coming })
    }

    /// Every stack of this server, the rules first.
    pub async fn known_stacks(&self) -> Result<Vec<KnownStack>> {
        let versions = self.kernel.store.added_versions().await?;
        let mut known = Vec::new();
        for row in self.kernel.stacks().await? {
            let apps = self.kernel.store.apps_to_be_built_on(&row.stack).await?.len();
            let versions: Vec<_> = versions.iter().filter(|version| version.name == row.stack).collect();
            known.push(self.known(row, &versions, apps));
        }
        Ok(known)
    }

    fn known(&self, row: StackRow, versions: &[&AddedVersion], apps: usize) -> KnownStack {
        let newest = versions.first();
        KnownStack {
            state: row.support.state(),
            ends_at: row.support.ends_at,
            version: match newest {
                Some(newest) => newest.version.clone(),
                None => self.kernel.config.present(&row.stack).version,
            },
            system: newest.map(|newest| newest.system.clone()).unwrap_or_default(),
            added_at: newest.map(|newest| newest.added_at),
            size_bytes: newest.and_then(|newest| u64::try_from(newest.size_bytes).ok()),
            kept_versions: versions.len().saturating_sub(1),
            apps,
            stack: row.stack,
        }
    }

    /// Takes a stack away. What was built on it goes on, and its files stay as long.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` while an app is to be built on it.
    pub async fn remove_stack(&self, name: &str) -> Result<()> {
        let stack = self.added(name).await?;
        let apps = self.kernel.store.apps_to_be_built_on(&stack).await?;
        if !apps.is_empty() {
            return Err(Error::invalid(format!(
                "Apps are to be built on {name}: {}. Choose another stack for them first: heroku stack:set STACK -a APP.",
                apps.join(", ")
            )));
        }
        let mut tx = self.kernel.change_platform("remove a stack").await?;
        tx.remove_stack(&stack).await?;
        tx.commit("stack.row_removed", Event::StackRemoved { stack: name.to_owned() }, By::Operator).await
    }

    /// Says from when on nothing is built on a stack; `None` for never.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn deprecate_stack(&self, name: &str, ends_at: Option<UnixMicros>) -> Result<()> {
        let stack = self.added(name).await?;
        let mut tx = self.kernel.change_platform("deprecate a stack").await?;
        tx.set_end_of_stack(&stack, ends_at).await?;
        tx.commit("stack.deprecated", Event::StackUpdated { stack: name.to_owned() }, By::Operator).await
    }

    async fn added(&self, name: &str) -> Result<Stack> {
        let all = self.kernel.store.added_stacks().await?;
        match all.into_iter().find(|row| row.name.as_str() == name) {
            Some(row) => Ok(row.name),
            None if Stack::from_name(name).is_some_and(|stack| stack.is_rule()) => {
                Err(Error::invalid(format!("{name} is always there.")))
            }
            None => Err(Error::new(
                paddock_core::ErrorId::NotFound,
                format!("No stack {name} was added to this server."),
            )),
        }
    }
}

impl Addition<'_> {
    /// Takes a mountable layer in; its number is the count of those before.
    pub async fn add_layer(&mut self, file: File) -> Result<()> {
        let digest = self.deploy.layers.copy_in(file).await;
        self.layers.push(digest.map_err(|error| Error::internal("take in a layer of a stack", error))?);
        Ok(())
    }

    /// Tries these images and adds the stack of them; dynos and builds have the same one unless there are two.
    ///
    /// # Errors
    /// `invalid_params` with a sentence on what is missing in it.
    pub async fn finish(self, run: &StackImage, build: Option<&StackImage>, is_beta: bool) -> Result<Added> {
        let run = self.layers_of(run).await?;
        let build = match build {
            Some(build) => self.layers_of(build).await?,
            None => run.clone(),
        };
        let tenant = self.tenant().await?;
        let of_builds = self.deploy.try_layers(tenant, &build, Purpose::Builds).await?;
        let of_dynos = match run == build {
            true => of_builds.clone(),
            false => self.deploy.try_layers(tenant, &run, Purpose::Dynos).await?,
        };
        let system = of_dynos.system.clone();
        let run_layers = self.with_users(run, of_dynos).await?;
        let build_layers = self.with_users(build, of_builds).await?;
        let version = version_of(&run_layers, &build_layers);
        let bytes = self.bytes_of(&run_layers, &build_layers).await?;
        let new = NewVersion {
            name: self.stack.clone(),
            version: version.clone(),
            system: system.clone(),
            run_layers,
            build_layers,
            size_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        };
        let mut tx = self.deploy.kernel.change_platform("add a stack").await?;
        let is_new = tx.put_version(&new, is_beta).await?;
        let event = Event::StackAdded { stack: self.stack.as_str().to_owned(), version: version.clone() };
        tx.commit("stack.added", event, By::Operator).await?;
        Ok(Added { version, system, was_there: !is_new })
    }

    /// The layers of an image, the uppermost first.
    async fn layers_of(&self, image: &StackImage) -> Result<Vec<LayerDigest>> {
        let layers = match image {
            StackImage::Sent(numbers) => {
                let layers: Option<Vec<_>> =
                    numbers.iter().map(|number| self.layers.get(*number).cloned()).collect();
                layers
                    .ok_or_else(|| Error::invalid("An image of the stack has a layer that was not sent."))?
            }
            StackImage::Registered(name) => self.registered(name).await?,
        };
        if layers.is_empty() || layers.len() > LAYERS_MAX {
            return Err(Error::invalid(format!("An image of a stack has 1 to {LAYERS_MAX} layers.")));
        }
        Ok(layers)
    }

    async fn registered(&self, name: &str) -> Result<Vec<LayerDigest>> {
        let found = self.deploy.images.image_of_operator(name, PATIENCE).await?;
        let image = found.ok_or_else(|| {
            Error::invalid(format!(
                "{name} is no image of this server's registry, and others are not asked. Fetch it with skopeo copy \
                 docker://{name} oci:FOLDER:TAG and say --oci FOLDER:TAG, or push it to an app here and give that name."
            ))
        })?;
        if image.base.is_some() {
            return Err(Error::invalid(format!(
                "{name} lies on this machine's own /usr: it is no root file system by itself."
            )));
        }
        Ok(image.layers)
    }

    /// Bytes of all its layers, each once.
    async fn bytes_of(&self, run: &[LayerDigest], build: &[LayerDigest]) -> Result<u64> {
        let there = self.deploy.layers.list().await.map_err(|error| Error::internal("list layers", error))?;
        let is_meant = |layer: &LayerDigest| run.contains(layer) || build.contains(layer);
        Ok(there.iter().filter(|(layer, _)| is_meant(layer)).map(|(_, bytes)| bytes).sum())
    }

    async fn tenant(&self) -> Result<Tenant> {
        let mut tx = self.deploy.kernel.change_platform("begin to try a stack").await?;
        let tenant = tx.tenant_of_stacks().await?;
        tx.commit_quietly("stack.tenant_kept").await?;
        Ok(tenant)
    }

    /// The same with a layer that names the user of dynos, where none of these does.
    async fn with_users(&self, layers: Vec<LayerDigest>, found: Found) -> Result<Vec<LayerDigest>> {
        let Some(users) = Users::with_dyno(&found.passwd, &found.group) else { return Ok(layers) };
        let failed = |error| Error::internal("write the users of a stack", error);
        let folder = self.deploy.kernel.config.data_dir.join("layers");
        let file = tokio::task::spawn_blocking(move || users_layer(&users, &folder));
        let file = file.await.map_err(|error| Error::internal("write the users of a stack", error))?;
        let added = self.deploy.layers.copy_in(file.map_err(failed)?).await;
        let added = added.map_err(|error| Error::internal("take in the users of a stack", error))?;
        Ok([vec![added], layers].concat())
    }
}

/// Twelve hex digits of what it is made of.
fn version_of(run: &[LayerDigest], build: &[LayerDigest]) -> String {
    let mut hash = Sha256::new();
    for layers in [run, build] {
        hash.update((layers.len() as u64).to_le_bytes());
        layers.iter().for_each(|layer| hash.update(layer.hex()));
    }
    hex(&hash.finalize()[..6])
}
