//! What containers reach, with real packets: servers stand in network namespaces made here.
//!
//! `internet` has an address of a range for documentation, which is not private; `private` has one of 192.168/16.
//! Both are reached through the host, as a provider's network would be.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::support::{Fixture, PATIENCE, with};
use paddock_core::ContainerId;
use paddock_runtime::{ExecSpec, Input, Network, Runtime, Stdio};
use tokio::io::AsyncWriteExt;

/// A network namespace with one address, connected to the host by a pair of interfaces.
pub(crate) struct Outside {
    name: String,
    /// Its address, where servers listen.
    pub(crate) address: String,
    /// The host's address towards it.
    pub(crate) host: String,
    server: std::process::Child,
}

static NEXT: AtomicU8 = AtomicU8::new(0);

impl Outside {
    /// `net` is a /24 without its last part. Servers on `ports` answer with the address of whoever asks.
    pub(crate) fn make(net: &str, ports: &[u16]) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pdt{}x{number}", std::process::id());
        let (address, host) = (format!("{net}.2"), format!("{net}.1"));
        let outer = format!("pt{}x{number}", std::process::id() % 100_000);
        ip(&format!("netns add {name}"));
        ip(&format!("link add {outer} type veth peer name eth0 netns {name}"));
        ip(&format!("addr add {host}/24 dev {outer}"));
        ip(&format!("link set {outer} up"));
        ip(&format!("-n {name} addr add {address}/24 dev eth0"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} link set eth0 up"));
        let server = Command::new("ip")
            .args(["netns", "exec", &name, "python3", "-c", SERVER])
            .args(ports.iter().map(u16::to_string))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut outside = Self { name, address, host, server };
        let mut ready = [0];
        outside.server.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        outside
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Answers each connection with the address it came from.
pub(crate) const SERVER: &str = r"
import socket, sys, select
servers = [socket.create_server(('0.0.0.0', int(port))) for port in sys.argv[1:]]
sys.stdout.write('r'); sys.stdout.flush()
while True:
    for server in select.select(servers, [], [])[0]:
        client, peer = server.accept()
        client.sendall(peer[0].encode())
        client.close()
";

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A container that waits to be asked, with a server of its own on port 4000.
async fn neighbour(f: &Fixture) -> (ContainerId, IpAddr) {
    let mut spec = f.spec("");
    spec.command = ["python3", "-c", SERVER, "4000"].map(str::to_owned).to_vec();
    spec.network = Network::Outbound;
    let id = spec.id;
    f.runtime.start(spec).await.unwrap();
    let listening = async {
        while f.runtime.listening(id).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.unwrap();
    (id, crate::support::find(&*f.runtime, id).await.unwrap().address.unwrap())
}

/// Asks from inside a container: what a server answered, or `refused`.
pub(crate) async fn ask(f: &Fixture, id: ContainerId, address: &str, port: u16) -> String {
    let script = format!(
        "import socket\ntry:\n s = socket.create_connection(('{address}', {port}), 1.5)\n print(s.recv(100).decode(), end='')\nexcept OSError:\n print('refused', end='')"
    );
    inside(f, id, &["python3", "-c", &script]).await
}

/// Asks at once for what a container does not reach: some of it is refused, and some packets are lost without a word, so
/// that each question takes its whole time. Those that it reaches all the same.
pub(crate) async fn reached(f: &Fixture, id: ContainerId, places: &[(&str, u16)]) -> String {
    let script = "
import socket, sys, threading
said = []
def ask(place):
    try:
        socket.create_connection(tuple(place.rsplit(':', 1)), 1.5)
        said.append('reached ' + place)
    except OSError:
        said.append('refused ' + place)
threads = [threading.Thread(target=ask, args=[place]) for place in sys.argv[1:]]
for thread in threads: thread.start()
for thread in threads: thread.join()
print('\\n'.join(said))
";
    let places: Vec<_> = places.iter().map(|(address, port)| format!("{address}:{port}")).collect();
    let command: Vec<_> =
        ["python3", "-c", script].into_iter().chain(places.iter().map(String::as_str)).collect();
    let said = inside(f, id, &command).await;
    let (refused, reached): (Vec<_>, Vec<_>) = said.lines().partition(|line| line.starts_with("refused "));
    assert_eq!(refused.len() + reached.len(), places.len(), "{said}");
    reached.join(", ")
}

pub(crate) async fn inside(f: &Fixture, id: ContainerId, command: &[&str]) -> String {
    let spec = ExecSpec {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        env: vec![("PATH".into(), b"/usr/bin:/bin:/usr/sbin:/sbin".to_vec())],
        working_dir: "/".to_owned(),
        stdio: Stdio::Pipe,
    };
    let mut attached = f.runtime.exec(id, spec).await.unwrap();
    attached.input.send(Input::End).await.unwrap();
    let mut all = Vec::new();
    let reading = async {
        while let Some(bytes) = attached.output.recv().await {
            all.extend(bytes);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    String::from_utf8(all).unwrap()
}

/// A server of the host that answers `host`, for as long as the test runs.
pub(crate) fn host_server(address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let bound = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let _ = client.unwrap().write_all(b"host");
        }
    });
    bound
}

/// A name server of the bridge, of sorts: `host` by TCP, the question by UDP. It ends with the test, since the next one in this
/// process may have the same range.
pub(crate) async fn name_server(bridge: IpAddr) {
    let tcp = tokio::net::TcpListener::bind((bridge, 53)).await.unwrap();
    let udp = tokio::net::UdpSocket::bind((bridge, 53)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = tcp.accept().await {
            let _ = client.write_all(b"host").await;
        }
    });
    tokio::spawn(async move {
        let mut question = [0; 64];
        while let Ok((length, from)) = udp.recv_from(&mut question).await {
            let _ = udp.send_to(&question[..length], from).await;
        }
    });
}

#[test]
fn containers_reach_the_outside_and_nothing_else() {
    if !crate::support::may_run() {
        return;
    }
    let router_port = host_server("0.0.0.0:0").port();
    let internet = Outside::make("198.51.100", &[80, 25]);
    let private = Outside::make("192.168.213", &[80]);
    with(
        move |config| config.router_ports = vec![router_port],
        move |f| async move {
            let (one, one_address) = neighbour(&f).await;
            let (_, two_address) = neighbour(&f).await;
            let bridge = f.runtime.bridge_address().to_string();
            let other = host_server("0.0.0.0:0").port();
            name_server(f.runtime.bridge_address()).await;

            // Outside, as if the host had asked.
            assert_eq!(ask(&f, one, &internet.address, 80).await, internet.host);
            // The host's doors: the router on every address of the host, and DNS on the bridge.
            for address in [bridge.as_str(), internet.host.as_str()] {
                assert_eq!(ask(&f, one, address, router_port).await, "host");
            }
            assert_eq!(ask(&f, one, &bridge, 53).await, "host");
            let script = format!(
                "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.settimeout(5)\ns.sendto(b'ping', ('{bridge}', 53))\nprint(s.recv(9).decode(), end='')"
            );
            assert_eq!(inside(&f, one, &["python3", "-c", &script]).await, "ping");

            // From outside nobody gets in.
            let outsider = knock(&internet, one_address);
            let two = two_address.to_string();
            let places = [
                // Everything else of the host, on each of its addresses.
                (bridge.as_str(), other),
                (&internet.host, other),
                (&private.host, other),
                (&internet.host, 53),
                // Mail, private ranges, neighbours.
                (&internet.address, 25),
                (&private.address, 80),
                (&two, 4000),
                ("169.254.169.254", 80),
                // This one it does.
                (&internet.address, 80),
            ];
            assert_eq!(reached(&f, one, &places).await, format!("reached {}:80", internet.address));
            // Itself it reaches, and the host reaches it.
            assert_eq!(ask(&f, one, &one_address.to_string(), 4000).await, one_address.to_string());
            assert_eq!(from_host(one_address, 4000), bridge);
            let knocked = outsider.wait_with_output().unwrap();
            assert_eq!(String::from_utf8(knocked.stdout).unwrap(), "refused");
            // The resolver it is told is the bridge.
            let told = inside(&f, one, &["cat", "/etc/resolv.conf"]).await;
            assert_eq!(told, format!("nameserver {bridge}\n"));
        },
    );
}

pub(crate) fn from_host(address: IpAddr, port: u16) -> String {
    let mut stream = std::net::TcpStream::connect_timeout(&SocketAddr::new(address, port), PATIENCE).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Tries to reach a container from a machine outside that routes the containers' range by this host.
fn knock(outside: &Outside, address: IpAddr) -> std::process::Child {
    ip(&format!("-n {} route add {address}/32 via {}", outside.name, outside.host));
    let script = format!(
        "import socket\ntry:\n socket.create_connection(('{address}', 4000), 1.5)\n print('reached', end='')\nexcept OSError:\n print('refused', end='')"
    );
    Command::new("ip")
        .args(["netns", "exec", &outside.name, "python3", "-c", &script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_listed_private_range_is_reached() {
    if !crate::support::may_run() {
        return;
    }
    let private = Outside::make("192.168.214", &[80]);
    let proxy = Outside::make("192.168.217", &[80, 3128]);
    let second = Outside::make("192.168.215", &[80]);
    with(
        |config| config.allow_egress = ["192.168.214.0/24", "192.168.217.2:3128"].map(str::to_owned).to_vec(),
        move |f| async move {
            let (one, _) = neighbour(&f).await;
            assert_eq!(ask(&f, one, &private.address, 80).await, private.host);
            assert_eq!(ask(&f, one, &second.address, 80).await, "refused");
            // Of one service, its port only.
            assert_eq!(ask(&f, one, &proxy.address, 3128).await, proxy.host);
            assert_eq!(ask(&f, one, &proxy.address, 80).await, "refused");
        },
    );
}

#[test]
fn a_listed_service_of_this_machine_is_reached_by_its_port_alone() {
    if !crate::support::may_run() {
        return;
    }
    let private = Outside::make("192.168.218", &[80]);
    let serving = |address: &str| {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            while let Ok((mut client, peer)) = listener.accept() {
                let _ = client.write_all(peer.ip().to_string().as_bytes());
            }
        });
        port
    };
    let (database, other) = (serving(&private.host), serving(&private.host));
    let service = format!("{}:{database}", private.host);
    let range = "192.168.218.0/24".to_owned();
    with(
        move |config| config.allow_egress = vec![service, range],
        move |f| async move {
            let (one, address) = neighbour(&f).await;
            // By the dyno's own address: a database knows who comes.
            assert_eq!(ask(&f, one, &private.host, database).await, address.to_string());
            // A range is never the machine itself, what is beside it is in it.
            assert_eq!(ask(&f, one, &private.host, other).await, "refused");
            assert_eq!(ask(&f, one, &private.address, 80).await, private.host);
        },
    );
}

#[test]
fn a_borrowed_address_reaches_nothing() {
    if !crate::support::may_run() {
        return;
    }
    let internet = Outside::make("203.0.113", &[80]);
    with(
        |_| {},
        move |f| async move {
            let (one, address) = neighbour(&f).await;
            assert_eq!(ask(&f, one, &internet.address, 80).await, internet.host);
            // As root in its network namespace, which nobody inside is: another address on the same interface.
            let borrowed = IpAddr::from(match address {
                IpAddr::V4(v4) => std::net::Ipv4Addr::from(u32::from(v4) + 7),
                IpAddr::V6(_) => unreachable!(),
            });
            let pid = crate::support::processes().into_iter().find(|(_, line)| {
                line.contains("python3 -c") && line.contains(" 4000 ") && !line.contains("ip netns")
            });
            let pid = pid.unwrap().0.to_string();
            let netns = |arguments: &str| {
                let output = Command::new("nsenter")
                    .args(["-t", &pid, "-n"])
                    .args(arguments.split(' '))
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
            };
            netns(&format!("ip addr add {borrowed}/16 dev eth0"));
            let script = format!(
                "import socket\ntry:\n s = socket.create_connection(('{}', 80), 1.5, source_address=('{borrowed}', 0))\n print(s.recv(100).decode(), end='')\nexcept OSError:\n print('refused', end='')",
                internet.address
            );
            assert_eq!(inside(&f, one, &["python3", "-c", &script]).await, "refused");
            assert_eq!(
                ask(&f, one, &internet.address, 80).await,
                internet.host,
                "its own address still works"
            );
        },
    );
}

#[test]
fn flushed_rules_come_back() {
    if !crate::support::may_run() {
        return;
    }
    let private = Outside::make("192.168.216", &[80]);
    with(
        |_| {},
        move |f| async move {
            let hardware = || {
                std::fs::read_to_string(format!("/sys/class/net/pk{}/address", f.config.instance)).unwrap()
            };
            let before = hardware();
            let (one, _) = neighbour(&f).await;
            assert_eq!(hardware(), before, "neighbours come and go, the gateway stays");
            assert_eq!(ask(&f, one, &private.address, 80).await, "refused");
            for family in ["inet", "bridge"] {
                let table = format!("paddock_{}", f.config.instance);
                let deleted = Command::new("nft").args(["delete", "table", family, &table]).status().unwrap();
                assert!(deleted.success());
            }
            f.runtime.reconcile_network().await.unwrap();
            assert_eq!(ask(&f, one, &private.address, 80).await, "refused");
            f.runtime.reconcile_network().await.unwrap();
            let listed = Command::new("nft")
                .args(["list", "table", "bridge", &format!("paddock_{}", f.config.instance)])
                .output()
                .unwrap();
            let text = String::from_utf8(listed.stdout).unwrap();
            let address = crate::support::find(&*f.runtime, one).await.unwrap().address.unwrap();
            assert!(text.contains(&address.to_string()), "{text}");
            assert_eq!(text.matches("chain prerouting").count(), 1);
        },
    );
}

#[test]
fn without_a_network_there_is_only_lo() {
    with(
        |_| {},
        |f| async move {
            assert_eq!(f.sh("ls /sys/class/net; cat /sys/class/net/lo/flags").await, "lo\n0x9\n");
        },
    );
}

#[test]
fn two_instances_share_a_machine() {
    with(
        |_| {},
        |f| async move {
            let (one, address) = neighbour(&f).await;
            let dir = tempfile::tempdir().unwrap();
            let second =
                paddock_runtime_linux::LinuxRuntime::open(crate::support::config(dir.path())).await.unwrap();
            assert_ne!(second.bridge_address(), f.runtime.bridge_address());
            assert_eq!(second.observe().await.unwrap(), []);
            second.destroy_instance().await.unwrap();
            assert_eq!(from_host(address, 4000), f.runtime.bridge_address().to_string());
            f.runtime.remove(one).await.unwrap();
        },
    );
}

#[test]
fn no_interface_outlives_its_instance_although_its_namespace_is_held() {
    with(
        |_| {},
        |f| async move {
            let mut spec = f.spec("echo ready; exec sleep 1000");
            spec.network = Network::Outbound;
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let state = f.config.run_dir.join(id.to_string()).join("state.json");
            let state: serde_json::Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
            let namespace = format!("/proc/{}/ns/net", state["init"]["pid"]);
            // As a socket does that waits for its peer.
            let held = std::fs::File::open(namespace).unwrap();
            let interfaces = || {
                let names = std::fs::read_dir("/sys/class/net").unwrap().flatten();
                names.filter(|name| name.file_name().to_string_lossy().contains(&f.config.instance)).count()
            };
            assert_eq!(interfaces(), 2, "its own and the bridge");
            f.runtime.destroy_instance().await.unwrap();
            assert_eq!(interfaces(), 0);
            drop(held);
        },
    );
}

#[test]
fn time_to_the_first_line_with_a_network_is_printed() {
    with(
        |_| {},
        |f| async move {
            let mut times = Vec::new();
            for _ in 0..15 {
                let (mut spec, at) = (f.spec("echo hi"), std::time::Instant::now());
                spec.network = Network::Outbound;
                let id = spec.id;
                f.runtime.start(spec).await.unwrap();
                assert!(f.runtime.output(id, 0).await.unwrap().recv().await.is_some());
                times.push(at.elapsed());
                f.runtime.remove(id).await.unwrap();
            }
            times.sort();
            println!("first line after {:?} (median), least {:?}", times[times.len() / 2], times[0]);
        },
    );
}
