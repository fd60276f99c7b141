//! The runtime port on Linux: folders, shims, and what is shared between containers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::{ContainerId, ServiceId, VolumeId};
use paddock_files::make_private_folder;
use paddock_images::{HostStack, Layers};
use paddock_runtime::{
    Attached, ContainerSpec, ExecSpec, LocalVolumes, Network as Wanted, Observed, Output, Reach, Runtime,
    RuntimeError, Share, Stdio, VolumeKind,
};
use rustix::process::Signal;
use tokio::sync::mpsc;

use crate::cgroup::Cgroups;
use crate::client;
use crate::container::{Changed, Known, observe};
use crate::disk::Templates;
use crate::host_process::Confinement;
use crate::id_ranges::IdRanges;
use crate::images::Images;
use crate::net::{Network, NetworkFiles, Part};
use crate::protocol::{FromShim, Handover, ToShim};
use crate::record::{Folder, SpecRecord};

mod names;
mod remove;
mod sockets;
mod start;
mod unfinished;
mod volumes;

use self::names::check;
use self::volumes::Volumes;

/// How long a shim may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
const MKFS_MEMORY_BYTES: u64 = 256 << 20;
/// Where programs of the host are looked up.
const HOST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the runtime is told at its start.
#[derive(Debug, Clone)]
pub struct LinuxConfig {
    /// Where containers have their folders: `DIR/run/containers`. Mount points of images are beside it.
    pub run_dir: PathBuf,
    /// Where lasting volumes are: `DIR/volumes`, not below `DIR/run`, which may be gone or another machine's.
    pub lasting_volumes: PathBuf,
    /// Where it is written which address a service keeps: `DIR/addresses.json`, not below `DIR/run` for the same reason.
    pub addresses: PathBuf,
    /// The instance's id: six lower-case letters, part of the name of everything that is made in the kernel.
    pub instance: String,
    /// The program that is started as `PROGRAM shim FOLDER` and calls [`crate::shim_main`].
    pub program: PathBuf,
    /// TCP ports of this machine that containers may reach: the router's public ones.
    pub router_ports: Vec<u16>,
    /// What containers may reach although it is private: IPv4 ranges (`10.1.0.0/16`), or one TCP port of one address
    /// (`10.1.2.3:3128`, e.g. a proxy).
    pub allow_egress: Vec<String>,
    /// The user ids of tenants' containers.
    pub id_ranges: IdRanges,
    /// What containers are made of; `None` for a runtime that only ends what runs.
    pub images: Option<LocalImages>,
    /// The folders that containers see parts of, by the names that they are asked for.
    pub shares: BTreeMap<Share, PathBuf>,
    /// User and group of helper programs (mkfs); not 0 and no container's.
    pub helper_uid: u32,
    /// How often a container's disk is looked at for the line that says that it is full.
    pub disk_interval: Duration,
}

/// Where this machine has what [`paddock_runtime::Layer`] names.
#[derive(Debug, Clone)]
pub struct LocalImages {
    /// Layers by content.
    pub layers: Layers,
    /// The base of the `host` stack, and the older ones beside it.
    pub host_stack: HostStack,
}

/// Runs containers on this machine.
#[derive(Debug)]
pub struct LinuxRuntime {
    config: LinuxConfig,
    cgroups: Cgroups,
    images: Images,
    templates: Templates,
    volumes: Volumes,
    network: Network,
    known: Mutex<HashMap<ContainerId, Arc<Known>>>,
    changed: Arc<Changed>,
}

impl LinuxRuntime {
    /// Finds the containers that run already, and makes sure of network and cgroups. Called within a tokio runtime,
    /// by one process at a time for a data directory.
    ///
    /// # Errors
    /// When the host lacks something; [`crate::check_host`] says what.
    pub async fn open(config: LinuxConfig) -> Result<Arc<Self>, RuntimeError> {
        let fail = |doing: &str| {
            let doing = doing.to_owned();
            move |error: io::Error| RuntimeError::host(doing, error)
        };
        let is_instance =
            config.instance.len() == 6 && config.instance.bytes().all(|byte| byte.is_ascii_lowercase());
        if !is_instance {
            let reason = format!("{:?} is not six lower-case letters", config.instance);
            return Err(fail("use the instance's id")(io::Error::new(io::ErrorKind::InvalidInput, reason)));
        }
        config.id_ranges.check().map_err(fail("use the ranges of user ids"))?;
        make_private_folder(&config.run_dir).map_err(fail("make the folder for containers"))?;
        let cgroups = Cgroups::detect(&config.instance).map_err(fail("find the cgroups"))?;
        cgroups.prepare().map_err(fail("make the instance's cgroups"))?;
        if !cgroups.favour_moves() {
            tracing::info!(
                "the kernel does not take favordynmods for cgroups: starting a container takes longer"
            );
        }
        let images = Images::open(config.run_dir.with_file_name("images"))
            .map_err(fail("make the folder for images"))?;
        let templates = Templates::open(config.run_dir.with_file_name("disks"), mkfs(&config), HOST_PATH)
            .map_err(fail("make the folder for disks"))?;
        let volumes = Volumes::open(config.run_dir.with_file_name("volumes"), config.lasting_volumes.clone())
            .map_err(fail("make the folders for volumes"))?;
        remove::finish_removals(&config.run_dir).map_err(fail("finish earlier removals"))?;
        let specs = specs(&config.run_dir).map_err(fail("list containers"))?;
        let places = specs.iter().filter_map(|(id, spec)| Some((*id, spec.network.clone()?))).collect();
        let files = NetworkFiles {
            subnet: config.run_dir.with_file_name("network.json"),
            reach: config.run_dir.with_file_name("reach.json"),
            addresses: config.addresses.clone(),
        };
        let (ports, egress) = (config.router_ports.clone(), config.allow_egress.clone());
        let network = Network::open(&config.instance, files, ports, egress, places)
            .await
            .map_err(fail("set the containers' network up"))?;
        let (known, changed) = (Mutex::default(), Arc::default());
        let runtime = Arc::new(Self { config, cgroups, images, templates, volumes, network, known, changed });
        runtime.forget_unfinished().await?;
        for id in specs.keys().filter(|id| runtime.folder(**id).0.exists()) {
            runtime.known(*id).listen(runtime.folder(*id), Arc::clone(&runtime.changed));
        }
        runtime.collect_images(false).map_err(fail("unmount images"))?;
        Ok(runtime)
    }

    /// The bridge's address: containers find DNS there on port 53.
    #[must_use]
    pub fn bridge_address(&self) -> IpAddr {
        self.network.gateway().into()
    }

    /// The containers' network: an address in it, and the length of its prefix.
    #[must_use]
    pub fn container_network(&self) -> (IpAddr, u8) {
        (self.network.gateway().into(), Network::PREFIX)
    }

    /// Undoes [`Self::open`] for a server that cannot start after all: what was in the kernel before stays.
    ///
    /// # Errors
    /// As [`Self::destroy_instance`].
    pub async fn close_unused(&self) -> Result<(), RuntimeError> {
        if self.network.is_new() { self.destroy_instance().await } else { Ok(()) }
    }

    /// Removes every container and everything this instance has made in the kernel. What is to last stays.
    ///
    /// # Errors
    /// When something cannot be removed; what could be is gone.
    pub async fn destroy_instance(&self) -> Result<(), RuntimeError> {
        for observed in self.observe().await? {
            #[expect(
                clippy::disallowed_methods,
                reason = "the last act of a server, and of one that is called again"
            )]
            self.remove(observed.id).await?;
        }
        let volumes = self.volumes.clone();
        let removed = blocking(move || volumes.remove_scratch()).await;
        removed.map_err(|error| RuntimeError::host("remove the volumes", error))?;
        self.network.destroy().await.map_err(|error| RuntimeError::host("remove the network", error))?;
        self.collect_images(true).map_err(|error| RuntimeError::host("unmount images", error))?;
        let cgroups = self.cgroups.clone();
        let removed = blocking(move || {
            for name in cgroups.names() {
                cgroups.kill(&name);
                cgroups.remove(&name, ANSWER_PATIENCE)?;
            }
            cgroups.remove_parents();
            Ok(())
        });
        removed.await.map_err(|error| RuntimeError::host("remove the instance's cgroups", error))
    }

    fn folder(&self, id: ContainerId) -> Folder {
        Folder(self.config.run_dir.join(id.to_string()))
    }

    fn known(&self, id: ContainerId) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(id).or_insert_with(|| Arc::new(Known::new())))
    }

    /// Unmounts images that nobody needs.
    fn collect_images(&self, all: bool) -> io::Result<()> {
        let specs = specs(&self.config.run_dir)?;
        let used: BTreeSet<_> =
            specs.into_values().flat_map(|spec| spec.layers).map(|layer| layer.folder).collect();
        self.images.collect(&used, all)
    }

    /// The folder of a container that exists.
    fn existing(&self, id: ContainerId) -> Result<Folder, RuntimeError> {
        let folder = self.folder(id);
        if folder.0.exists() { Ok(folder) } else { Err(RuntimeError::NoSuchContainer(id)) }
    }

    /// Asks a container's shim; `None` when it has none.
    async fn ask(&self, id: ContainerId, request: ToShim) -> Result<Option<FromShim>, RuntimeError> {
        let folder = self.existing(id)?;
        let fail =
            move |error: io::Error| RuntimeError::host(format!("ask the shim of container {id}"), error);
        let asked = blocking(move || client::ask(&folder, &request, ANSWER_PATIENCE)).await;
        match asked {
            Err(error) if client::is_nobody(&error) => Ok(None),
            Err(error) => Err(fail(error)),
            Ok(FromShim::HostFailed { reason }) => Err(fail(io::Error::other(reason))),
            Ok(answer) => Ok(Some(answer)),
        }
    }

    /// Connects to a program through its shim.
    async fn connect(&self, id: ContainerId, request: ToShim) -> Result<Attached, RuntimeError> {
        let folder = self.existing(id)?;
        let fail = move |error: io::Error| RuntimeError::host(format!("connect to container {id}"), error);
        let (socket, answer) =
            blocking(move || client::open(&folder, &request, ANSWER_PATIENCE)).await.map_err(fail)?;
        started(answer, fail)?;
        client::attached(socket).map_err(fail)
    }
}

#[async_trait]
impl Runtime for LinuxRuntime {
    async fn start(&self, spec: ContainerSpec) -> Result<(), RuntimeError> {
        let id = spec.id;
        let fail = move |error: io::Error| RuntimeError::host(format!("start container {id}"), error);
        check(&spec).map_err(fail)?;
        let (known, folder) = (self.known(id), self.folder(id));
        let _changing = known.changing.lock().await;
        if folder.0.exists() {
            return Ok(());
        }
        let part = match spec.network {
            Wanted::None => None,
            Wanted::Outbound => Some(Part::Outbound),
            Wanted::Dyno => Some(Part::Dyno(spec.tenant)),
            Wanted::Service(service) => Some(Part::Service(service)),
        };
        let place = match part {
            Some(part) => Some(self.network.place(id, part).await.map_err(fail)?),
            None => None,
        };
        let begun = async {
            let record = self.spec_record(&spec, &folder, place.clone()).await?;
            self.write_folder(&record, &spec.mounts, &folder)?;
            let admitted = async {
                match &place {
                    Some(place) => self.network.admit(place).await,
                    None => Ok(()),
                }
            };
            self.start_shim(&folder, Handover { env: spec.env }, admitted).await
        };
        let result = begun.await.map_err(fail).and_then(|answer| started(answer, fail));
        match result {
            Ok(()) => {
                known.listen(folder, Arc::clone(&self.changed));
                self.changed.notify();
                Ok(())
            }
            Err(error) => {
                self.forget(id, &folder).await?;
                Err(error)
            }
        }
    }

    async fn observe(&self) -> Result<Vec<Observed>, RuntimeError> {
        let run_dir = self.config.run_dir.clone();
        let observed = blocking(move || {
            let folders = folders(&run_dir)?;
            // One that is removed meanwhile is left out.
            let observed = folders.into_iter().map(|(id, folder)| (observe(id, &folder), folder));
            Ok(observed.filter(|(_, folder)| folder.0.exists()).map(|(observed, _)| observed).collect())
        });
        observed.await.map_err(|error| RuntimeError::host("list containers", error))
    }

    async fn changed(&self) {
        self.changed.wait().await;
    }

    async fn stop(&self, id: ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match self.ask(id, ToShim::Stop { grace_ms }).await {
            Err(RuntimeError::NoSuchContainer(_)) => Ok(()),
            Ok(None) => {
                // Nobody is left to wait for the grace, and pid 1 died with the shim.
                self.cgroups.kill(&id.to_string());
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    async fn hang_up(&self, id: ContainerId) -> Result<(), RuntimeError> {
        match self.ask(id, ToShim::HangUp).await {
            // Without a shim there is no program either.
            Err(RuntimeError::NoSuchContainer(_)) | Ok(_) => Ok(()),
            Err(error) => {
                tracing::debug!(container = %id, %error, "a shim of an earlier build: its processes are told without it");
                self.cgroups.signal(&id.to_string(), Signal::HUP);
                Ok(())
            }
        }
    }

    async fn remove(&self, id: ContainerId) -> Result<(), RuntimeError> {
        let (known, folder) = (self.known(id), self.folder(id));
        let _changing = known.changing.lock().await;
        self.forget(id, &folder).await
    }

    async fn output(&self, id: ContainerId, after: u64) -> Result<mpsc::Receiver<Output>, RuntimeError> {
        let (folder, known) = (self.existing(id)?, self.known(id));
        known.listen(folder.clone(), Arc::clone(&self.changed));
        Ok(crate::output::follow(folder, known, after))
    }

    async fn ack(&self, id: ContainerId, seq: u64) -> Result<(), RuntimeError> {
        self.ask(id, ToShim::Ack { seq }).await.map(|_| ())
    }

    async fn attach(&self, id: ContainerId) -> Result<Attached, RuntimeError> {
        self.connect(id, ToShim::Attach).await
    }

    async fn exec(&self, id: ContainerId, spec: ExecSpec) -> Result<Attached, RuntimeError> {
        let ExecSpec { command, env, working_dir, stdio } = spec;
        // Its output goes to the client in any case: nobody spools it.
        let stdio = if stdio == Stdio::Output { Stdio::Pipe } else { stdio };
        self.connect(id, ToShim::Exec { command, env, working_dir, stdio: stdio.into() }).await
    }

    async fn listening(&self, id: ContainerId) -> Result<Vec<SocketAddr>, RuntimeError> {
        let folder = self.existing(id)?;
        blocking(move || sockets::listening(&folder))
            .await
            .map_err(|error| RuntimeError::host(format!("read the sockets of container {id}"), error))
    }

    async fn make_volume(&self, id: VolumeId, kind: VolumeKind) -> Result<(), RuntimeError> {
        let volumes = self.volumes.clone();
        let made = match kind {
            VolumeKind::Scratch { limit_bytes } => {
                let template = match limit_bytes {
                    Some(bytes) => Some(self.templates.of(bytes).await),
                    None => None,
                };
                blocking(move || volumes.make(id, template.transpose()?.as_deref())).await
            }
            VolumeKind::Lasting { limit_bytes } => {
                if limit_bytes.is_some() {
                    say_that_lasting_volumes_are_not_limited();
                }
                blocking(move || volumes.make_lasting(id)).await
            }
        };
        made.map_err(|error| RuntimeError::host(format!("make volume {id}"), error))
    }

    async fn volume_is_full(&self, id: VolumeId) -> Result<bool, RuntimeError> {
        let found = self.volumes.is_full(id);
        found.map_err(|error| RuntimeError::host(format!("look at volume {id}"), error))
    }

    async fn remove_volume(&self, id: VolumeId) -> Result<(), RuntimeError> {
        let volumes = self.volumes.clone();
        let removed = blocking(move || volumes.remove(id)).await;
        removed.map_err(|error| RuntimeError::host(format!("remove volume {id}"), error))
    }

    fn platform_address(&self) -> IpAddr {
        self.bridge_address()
    }

    async fn address_of(&self, service: ServiceId) -> Result<IpAddr, RuntimeError> {
        let address = self.network.address_of(service).await;
        let failed = |error| RuntimeError::host(format!("give service {service} its address"), error);
        address.map(IpAddr::from).map_err(failed)
    }

    async fn release_address(&self, service: ServiceId) -> Result<(), RuntimeError> {
        let released = self.network.release_address(service).await;
        released
            .map_err(|error| RuntimeError::host(format!("take the address of service {service} back"), error))
    }

    async fn set_reach(&self, reach: BTreeSet<Reach>) -> Result<(), RuntimeError> {
        let set = self.network.set_reach(reach).await;
        set.map_err(|error| RuntimeError::host("say who may reach which service", error))
    }

    async fn reconcile_network(&self) -> Result<(), RuntimeError> {
        self.network.reconcile().await.map_err(|error| RuntimeError::host("restore the network", error))
    }
}

impl LocalVolumes for LinuxRuntime {
    fn folder_of(&self, id: VolumeId) -> PathBuf {
        self.volumes.folder_of(id)
    }
}

fn say_that_lasting_volumes_are_not_limited() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "lasting volumes take as much of the disk as there is: their limits are not held by this runtime"
        );
    });
}

/// How mkfs is held in.
fn mkfs(config: &LinuxConfig) -> Confinement {
    Confinement {
        program: config.program.clone(),
        instance: config.instance.clone(),
        uid: config.helper_uid,
        group: "mkfs".to_owned(),
        memory_bytes: MKFS_MEMORY_BYTES,
        pids: 16,
    }
}

/// Runs file and socket work where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A shim's answer to a start as the port says it.
fn started(answer: FromShim, fail: impl Fn(io::Error) -> RuntimeError) -> Result<(), RuntimeError> {
    match answer {
        FromShim::Done => Ok(()),
        FromShim::ProgramFailed { program, reason } => Err(RuntimeError::Program { program, reason }),
        FromShim::HostFailed { reason } => Err(fail(io::Error::other(reason))),
        FromShim::Wake { .. } => Err(fail(io::Error::other("the shim answered out of turn"))),
    }
}

fn folders(run_dir: &Path) -> io::Result<Vec<(ContainerId, Folder)>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(run_dir)? {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        folders.extend(id.map(|id| (id, Folder(entry.path()))));
    }
    Ok(folders)
}

fn specs(run_dir: &Path) -> io::Result<BTreeMap<ContainerId, SpecRecord>> {
    let folders = folders(run_dir)?;
    Ok(folders.into_iter().filter_map(|(id, folder)| Some((id, folder.spec().ok()?))).collect())
}
