//! The containers' network: one bridge per instance, one address per container, and rules about what it may reach.
//!
//! Everything carries the instance's name and can be made again at any time: [`Network::reconcile`] restores what
//! somebody else took away. Containers of other instances and other users of the machine's firewall are not touched.

mod rules;
mod subnet;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use paddock_core::ContainerId;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use self::subnet::Subnet;
use crate::record::NetworkRecord;
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
    /// One change of the rules at a time: a whole set would take back a single element that was added meanwhile.
    changing: tokio::sync::Mutex<()>,
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
        file: PathBuf,
        router_ports: Vec<u16>,
        allow_egress: Vec<String>,
        places: BTreeMap<ContainerId, NetworkRecord>,
    ) -> io::Result<Self> {
        rules::check_egress(&allow_egress)?;
        let bridge = format!("pk{instance}");
        let name = bridge.clone();
        let (subnet, is_new) = tokio::task::spawn_blocking(move || Subnet::claim(&file, &name))
            .await
            .map_err(io::Error::other)??;
        let network = Self {
            instance: instance.to_owned(),
            bridge,
            subnet,
            is_new,
            router_ports,
            allow_egress,
            places: Mutex::new(Places { by_id: places, last: 1 }),
            changing: tokio::sync::Mutex::new(()),
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
    pub(crate) fn place(&self, id: ContainerId) -> io::Result<NetworkRecord> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<_> = places.by_id.values().map(|place| place.address).collect();
        let last = places.last;
        let free =
            (last + 1..Subnet::HOSTS).chain(2..=last).find(|host| !taken.contains(&self.subnet.host(*host)));
        let host =
            free.ok_or_else(|| io::Error::other("every address of the containers' network is taken"))?;
        places.last = host;
        let text = id.uuid().simple().to_string();
        let place = NetworkRecord {
            address: self.subnet.host(host),
            netmask: Subnet::NETMASK,
            gateway: self.subnet.gateway(),
            bridge: self.bridge.clone(),
            // Fifteen bytes are the most that the kernel takes; the end of an id is its random part.
            interface: interface_prefix(&self.instance) + &text[text.len() - 8..],
        };
        places.by_id.insert(id, place.clone());
        Ok(place)
    }

    /// Lets a container's packets pass that come from its interface with its address.
    pub(crate) async fn admit(&self, place: &NetworkRecord) -> io::Result<()> {
        let _changing = self.changing.lock().await;
        feed("nft", &["-f", "-"], &rules::admit(&self.instance, place)).await
    }

    /// Takes a container's place back.
    pub(crate) async fn release(&self, id: ContainerId) {
        let place = self.places.lock().unwrap_or_else(PoisonError::into_inner).by_id.remove(&id);
        if let Some(place) = place {
            let _changing = self.changing.lock().await;
            // Absent where somebody flushed the rules.
            let _ = feed("nft", &["-f", "-"], &rules::dismiss(&self.instance, &place)).await;
        }
    }

    /// Brings bridge, forwarding and rules to what they must be.
    pub(crate) async fn reconcile(&self) -> io::Result<()> {
        let _changing = self.changing.lock().await;
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
        let text = {
            let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            let rules = rules::Rules {
                instance: &self.instance,
                bridge,
                gateway,
                subnet: self.subnet.to_string(),
                router_ports: &self.router_ports,
                allow_egress: &self.allow_egress,
            };
            rules.text(places.by_id.values())
        };
        feed("nft", &["-f", "-"], &text).await
    }

    /// Removes bridge, interfaces and rules.
    pub(crate) async fn destroy(&self) -> io::Result<()> {
        let _changing = self.changing.lock().await;
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
