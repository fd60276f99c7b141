//! The containers' network: one bridge per instance, one address per container, and rules about what it may reach.
//!
//! Everything carries the instance's name and can be made again at any time: [`Network::reconcile`] restores what
//! somebody else took away. Containers of other instances and other users of the machine's firewall are not touched.

mod addresses;
mod reach;
mod rules;
mod subnet;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use paddock_core::{ContainerId, ServiceId, Tenant};
use paddock_runtime::Reach;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use self::addresses::Addresses;
use self::reach::{Pair, Said};
use self::subnet::Subnet;
use crate::record::{NetworkRecord, PartRecord};
use crate::tool::tool;

/// The network of one instance.
#[derive(Debug)]
pub(crate) struct Network {
    instance: String,
    bridge: String,
    subnet: Subnet,
    is_new: bool,
    router_ports: Vec<u16>,
    allow_egress: Vec<String>,
    places: Mutex<Places>,
    addresses: Addresses,
    said: Said,
    /// Held while a service's container is given its address, or the address is taken back.
    giving: tokio::sync::Mutex<()>,
    /// The pairs that the kernel has, as far as that is known. One change of the rules at a time: a whole set would take back a
    /// single element that was added meanwhile.
    kernel: tokio::sync::Mutex<Option<BTreeSet<Pair>>>,
}

/// Where the network keeps what it must know again.
#[derive(Debug)]
pub(crate) struct NetworkFiles {
    /// The subnet, for as long as there are containers.
    pub(crate) subnet: PathBuf,
    /// Who may reach whom, as long.
    pub(crate) reach: PathBuf,
    /// The addresses of services, for as long as these have them.
    pub(crate) addresses: PathBuf,
}

/// What a container is to be on the bridge.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Outbound,
    Dyno(Tenant),
    Service(ServiceId),
}

impl From<Part> for PartRecord {
    fn from(part: Part) -> Self {
        match part {
            Part::Outbound => Self::Outbound,
            Part::Dyno(tenant) => Self::Dyno { tenant: tenant.0 },
            Part::Service(service) => Self::Service { service: service.to_string() },
        }
    }
}

/// Who has which address.
#[derive(Debug, Default)]
struct Places {
    by_id: BTreeMap<ContainerId, NetworkRecord>,
    /// Where the search for a free address goes on: one that was just left is not given away at once.
    last: u32,
}

impl Network {
    /// Finds or chooses the subnet and makes bridge and rules. `places` are those of containers that exist.
    pub(crate) async fn open(
        instance: &str,
        files: NetworkFiles,
        router_ports: Vec<u16>,
        allow_egress: Vec<String>,
        places: BTreeMap<ContainerId, NetworkRecord>,
    ) -> io::Result<Self> {
        rules::check_egress(&allow_egress)?;
        let bridge = format!("pk{instance}");
        let name = bridge.clone();
        let NetworkFiles { subnet, reach, addresses } = files;
        let said = Said::open(reach)?;
        let addresses = Addresses::open(addresses)?;
        let promised = addresses.subnet();
        let (subnet, is_new) = blocking(move || Subnet::claim(&subnet, &name, promised)).await?;
        addresses.move_to(subnet)?;
        let network = Self {
            instance: instance.to_owned(),
            bridge,
            subnet,
            is_new,
            router_ports,
            allow_egress,
            places: Mutex::new(Places { by_id: places, last: 1 }),
            addresses,
            said,
            giving: tokio::sync::Mutex::default(),
            kernel: tokio::sync::Mutex::default(),
        };
        network.reconcile().await?;
        Ok(network)
    }

    /// Length of the network's prefix.
    pub(crate) const PREFIX: u8 = Subnet::PREFIX;

    /// Whether there was nothing of this network before.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// The bridge's address: gateway and resolver of containers.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.subnet.gateway()
    }

    /// Finds a place for a container.
    pub(crate) async fn place(&self, id: ContainerId, part: Part) -> io::Result<NetworkRecord> {
        match part {
            Part::Outbound | Part::Dyno(_) => {
                let mut places = self.places();
                let address = places.next_free(self.subnet)?;
                Ok(self.settle(&mut places, id, address, part))
            }
            Part::Service(service) => {
                let _giving = self.giving.lock().await;
                self.refuse_held(service)?;
                let address = self.give(service).await?;
                Ok(self.settle(&mut self.places(), id, address, part))
            }
        }
    }

    fn settle(&self, places: &mut Places, id: ContainerId, address: Ipv4Addr, part: Part) -> NetworkRecord {
        let text = id.uuid().simple().to_string();
        let place = NetworkRecord {
            address,
            netmask: Subnet::NETMASK,
            gateway: self.subnet.gateway(),
            bridge: self.bridge.clone(),
            // Fifteen bytes are the most that the kernel takes; the end of an id is its random part.
            interface: interface_prefix(&self.instance) + &text[text.len() - 8..],
            part: part.into(),
        };
        places.by_id.insert(id, place.clone());
        place
    }

    /// The address of a service, given now if it has none.
    pub(crate) async fn address_of(&self, service: ServiceId) -> io::Result<Ipv4Addr> {
        let address = self.give(service).await?;
        let mut kernel = self.kernel.lock().await;
        self.bring(&mut kernel, String::new()).await?;
        Ok(address)
    }

    /// Takes the address of a service back.
    pub(crate) async fn release_address(&self, service: ServiceId) -> io::Result<()> {
        let _giving = self.giving.lock().await;
        self.refuse_held(service)?;
        let addresses = self.addresses.clone();
        blocking(move || addresses.take_back(service)).await?;
        let mut kernel = self.kernel.lock().await;
        self.bring(&mut kernel, String::new()).await
    }

    /// Says who may reach whom.
    pub(crate) async fn set_reach(&self, reach: BTreeSet<Reach>) -> io::Result<()> {
        let mut kernel = self.kernel.lock().await;
        self.said.replace(reach)?;
        self.bring(&mut kernel, String::new()).await
    }

    async fn give(&self, service: ServiceId) -> io::Result<Ipv4Addr> {
        let (addresses, subnet) = (self.addresses.clone(), self.subnet);
        let taken: Vec<_> = self.places().by_id.values().map(|place| place.address).collect();
        blocking(move || addresses.give(service, subnet, &taken)).await
    }

    /// Fails where a container has the address of a service.
    fn refuse_held(&self, service: ServiceId) -> io::Result<()> {
        let part = Part::Service(service).into();
        let places = self.places();
        match places.by_id.iter().find(|(_, place)| place.part == part) {
            None => Ok(()),
            Some((other, _)) => {
                let reason = format!("container {other} has the address of service {service}");
                Err(io::Error::new(io::ErrorKind::AddrInUse, reason))
            }
        }
    }

    /// Lets a container's packets pass that come from its interface with its address, and those between it and whom it may
    /// reach.
    pub(crate) async fn admit(&self, place: &NetworkRecord) -> io::Result<()> {
        let mut kernel = self.kernel.lock().await;
        self.bring(&mut kernel, rules::admit(&self.instance, place)).await
    }

    /// Takes a container's place back.
    pub(crate) async fn release(&self, id: ContainerId) -> io::Result<()> {
        let place = self.places().by_id.get(&id).cloned();
        let Some(place) = place else { return Ok(()) };
        if place.hardware().is_some() {
            // A socket may hold its namespace, and so its interface, after all processes have ended: the next container of the
            // service has the same address.
            self.remove_interface(&place.interface).await?;
        }
        self.places().by_id.remove(&id);
        let mut kernel = self.kernel.lock().await;
        if let Err(error) = self.bring(&mut kernel, rules::dismiss(&self.instance, &place)).await {
            tracing::warn!(container = %id, %error, "the rules of a removed container stay until they are written anew");
        }
        Ok(())
    }

    async fn remove_interface(&self, name: &str) -> io::Result<()> {
        let is_there = || Path::new("/sys/class/net").join(name).exists();
        if !is_there() {
            return Ok(());
        }
        let removed = feed("ip", &["-batch", "-"], &format!("link del {name}\n")).await;
        // It may have gone by itself meanwhile, which is no failure.
        if is_there() { removed } else { Ok(()) }
    }

    /// Carries orders out and brings the kernel's pairs to what they must be, in one transaction. Where that fails, because
    /// somebody else took something away, everything is written anew.
    async fn bring(&self, kernel: &mut Option<BTreeSet<Pair>>, orders: String) -> io::Result<()> {
        let wanted = self.pairs();
        // Not known from here on until it is done.
        if let Some(before) = kernel.take() {
            let orders = orders + &rules::change(&self.instance, &before, &wanted);
            if orders.is_empty() || feed("nft", &["-f", "-"], &orders).await.is_ok() {
                *kernel = Some(wanted);
                return Ok(());
            }
        }
        self.write_rules(kernel).await
    }

    async fn write_rules(&self, kernel: &mut Option<BTreeSet<Pair>>) -> io::Result<()> {
        let wanted = self.pairs();
        let text = {
            let rules = rules::Rules {
                instance: &self.instance,
                bridge: &self.bridge,
                gateway: self.gateway(),
                subnet: self.subnet.to_string(),
                services: self.subnet.services(),
                router_ports: &self.router_ports,
                allow_egress: &self.allow_egress,
            };
            rules.text(self.places().by_id.values(), &wanted)
        };
        *kernel = None;
        feed("nft", &["-f", "-"], &text).await?;
        *kernel = Some(wanted);
        Ok(())
    }

    /// The pairs that the kernel must have.
    fn pairs(&self) -> BTreeSet<Pair> {
        let services = self.addresses.all();
        self.said.pairs(self.places().by_id.values(), &services)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings bridge, forwarding and rules to what they must be.
    pub(crate) async fn reconcile(&self) -> io::Result<()> {
        let mut kernel = self.kernel.lock().await;
        forward_packets()?;
        let (bridge, gateway) = (&self.bridge, self.gateway());
        let mut script = String::new();
        if !Path::new("/sys/class/net").join(bridge).exists() {
            script += &format!("link add {bridge} type bridge\n");
        }
        // A fixed hardware address: a bridge without one takes a port's, and containers that hold the old one in
        // their caches would lose their way whenever a neighbour comes or goes.
        let hardware = hardware_address(&self.instance);
        script += &format!(
            "link set {bridge} address {hardware}\naddr replace {gateway}/{} dev {bridge}\nlink set {bridge} up\n",
            Subnet::PREFIX
        );
        feed("ip", &["-batch", "-"], &script).await?;
        // Nobody speaks IPv6 there; an address of the host would only be one more thing to refuse.
        #[expect(clippy::disallowed_methods, reason = "a switch of the kernel")]
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6"), "1");
        self.write_rules(&mut kernel).await
    }

    /// Removes bridge, interfaces and rules.
    pub(crate) async fn destroy(&self) -> io::Result<()> {
        let mut kernel = self.kernel.lock().await;
        *kernel = None;
        feed("nft", &["-f", "-"], &rules::none(&self.instance)).await?;
        if Path::new("/sys/class/net").join(&self.bridge).exists() {
            feed("ip", &["-batch", "-"], &format!("link del {}\n", self.bridge)).await?;
        }
        // A socket that waits for its peer's last word holds its namespace, and so the interface, for minutes after the
        // processes have ended.
        let left: String = self.interfaces()?.iter().map(|name| format!("link del {name}\n")).collect();
        if !left.is_empty() {
            // Most go by themselves meanwhile, which is no failure.
            let _ = feed("ip", &["-force", "-batch", "-"], &left).await;
        }
        Ok(())
    }

    /// The host's ends of containers' interfaces.
    fn interfaces(&self) -> io::Result<Vec<String>> {
        let ours = interface_prefix(&self.instance);
        let mut names = Vec::new();
        for entry in std::fs::read_dir("/sys/class/net")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(Some(name).filter(|name| name.starts_with(&ours)));
        }
        Ok(names)
    }
}

impl Places {
    /// An address that no container has.
    fn next_free(&mut self, subnet: Subnet) -> io::Result<Ipv4Addr> {
        let taken: Vec<_> = self.by_id.values().map(|place| place.address).collect();
        let last = self.last;
        let free =
            (last + 1..Subnet::HOSTS).chain(2..=last).find(|host| !taken.contains(&subnet.host(*host)));
        self.last =
            free.ok_or_else(|| io::Error::other("every address of the containers' network is taken"))?;
        Ok(subnet.host(self.last))
    }
}

/// Runs file work and short programs where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn interface_prefix(instance: &str) -> String {
    format!("v{instance}")
}

/// An address of the locally administered kind.
fn hardware_address(instance: &str) -> String {
    let letters = instance.bytes().skip(1).map(|letter| format!(":{letter:02x}")).collect::<String>();
    format!("02{letters}")
}

/// The machine forwards packets only if told to.
fn forward_packets() -> io::Result<()> {
    let switch = "/proc/sys/net/ipv4/ip_forward";
    if std::fs::read_to_string(switch)?.trim() != "1" {
        #[expect(clippy::disallowed_methods, reason = "a switch of the kernel")]
        std::fs::write(switch, "1")?;
        tracing::info!("switched on net.ipv4.ip_forward: containers reach the outside through this machine");
    }
    Ok(())
}

/// Runs a program that reads its orders from standard input.
async fn feed(program: &str, arguments: &[&str], orders: &str) -> io::Result<()> {
    let mut child = Command::from(tool(program))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("run {program}: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that has failed already says why on its standard error.
        let _ = input.write_all(orders.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
