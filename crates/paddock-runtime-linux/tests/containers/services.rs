//! Services and who reaches them, with real packets.

use std::collections::BTreeSet;
use std::process::Command;

use paddock_core::{ContainerId, ServiceId, Tenant};
use paddock_runtime::{ExecSpec, Input, Network, Reach, Runtime, Stdio};
use paddock_runtime_linux::LinuxRuntime;

use crate::network::{Outside, SERVER, ask, from_host, host_server, inside, name_server, reached};
use crate::support::{Fixture, PATIENCE, with};

/// The port of services that is attached to; they listen on the next one, too.
const PORT: u16 = 5432;
const ATTACHED: Tenant = Tenant(1);
const STRANGER: Tenant = Tenant(2);

fn new_service() -> ServiceId {
    ServiceId::from_uuid(uuid::Uuid::now_v7())
}

fn reach(tenant: Tenant, service: ServiceId) -> Reach {
    Reach { tenant, service, port: PORT }
}

/// A container that answers each connection with the address it came from, on these ports.
async fn serve(
    f: &Fixture,
    runtime: &LinuxRuntime,
    tenant: Tenant,
    network: Network,
) -> (ContainerId, String) {
    let ports: &[&str] = if matches!(network, Network::Service(_)) { &["5432", "5433"] } else { &["4000"] };
    let mut spec = f.spec("");
    spec.command = [&["python3", "-c", SERVER], ports].concat().into_iter().map(str::to_owned).collect();
    (spec.tenant, spec.network) = (tenant, network);
    let id = spec.id;
    runtime.start(spec).await.unwrap();
    let listening = async {
        while runtime.listening(id).await.unwrap().len() < ports.len() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, listening).await.unwrap();
    let address = crate::support::find(runtime, id).await.unwrap().address.unwrap();
    (id, address.to_string())
}

/// What a container knows of who is beside it: addresses, and hardware addresses where there was an answer.
async fn neighbours(f: &Fixture, id: ContainerId) -> Vec<(String, String)> {
    let table = inside(f, id, &["cat", "/proc/net/arp"]).await;
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.map(|row| (row[0].to_owned(), row[3].to_owned())).collect()
}

#[test]
fn a_service_is_reached_by_dynos_that_may_on_the_port_that_they_may() {
    with(
        |_| {},
        |f| async move {
            let service = new_service();
            let address = f.runtime.address_of(service).await.unwrap().to_string();
            f.runtime.set_reach(BTreeSet::from([reach(ATTACHED, service)])).await.unwrap();
            serve(&f, &f.runtime, Tenant(0), Network::Service(service)).await;
            let (dyno, dyno_address) = serve(&f, &f.runtime, ATTACHED, Network::Dyno).await;
            let (build, _) = serve(&f, &f.runtime, ATTACHED, Network::Outbound).await;
            let (stranger, _) = serve(&f, &f.runtime, STRANGER, Network::Dyno).await;

            // By the dyno's own address.
            assert_eq!(ask(&f, dyno, &address, PORT).await, dyno_address);
            let places = [(address.as_str(), PORT + 1), (address.as_str(), 22)];
            assert_eq!(reached(&f, dyno, &places).await, "", "by another port");
            for (who, what) in [(build, "a build of the tenant"), (stranger, "a dyno of another")] {
                assert_eq!(reached(&f, who, &[(&address, PORT)]).await, "", "{what}");
                // Nor is it told that there is somebody.
                let silent = (address.clone(), "00:00:00:00:00:00".to_owned());
                assert!(neighbours(&f, who).await.contains(&silent), "{what}");
            }
            let answered = neighbours(&f, dyno).await;
            assert!(answered.iter().any(|(who, hardware)| *who == address && hardware.starts_with("02:00:")));
            // From the host: whoever may on any port, as to a dyno.
            let bridge = f.runtime.bridge_address().to_string();
            assert_eq!(from_host(address.parse().unwrap(), PORT), bridge);

            f.runtime.set_reach(BTreeSet::from([reach(STRANGER, service)])).await.unwrap();
            assert_eq!(reached(&f, dyno, &[(&address, PORT)]).await, "", "no longer attached");
            assert_ne!(ask(&f, stranger, &address, PORT).await, "refused");
        },
    );
}

/// Sends a question to a name server; what came back, or `refused`.
const ASK_BY_UDP: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1.5)
try:
    s.connect((sys.argv[1], 53))
    s.send(b'ping')
    print(s.recv(9).decode(), end='')
except OSError:
    print('refused', end='')
";

/// Connects from the port that answers of a service come from.
const ASK_FROM_ITS_PORT: &str = "
import socket, sys
s = socket.socket()
s.settimeout(1.5)
s.bind(('0.0.0.0', int(sys.argv[1])))
try:
    s.connect((sys.argv[2], int(sys.argv[3])))
    print('reached', end='')
except OSError:
    print('refused', end='')
";

#[test]
fn a_service_opens_no_connection() {
    if !crate::support::may_run() {
        return;
    }
    let router_port = host_server("0.0.0.0:0").port();
    let internet = Outside::make("198.51.101", &[80]);
    let listed = format!("{}:80", internet.address);
    with(
        move |config| {
            config.router_ports = vec![router_port];
            config.allow_egress = vec![listed];
        },
        move |f| async move {
            let (service, beside) = (new_service(), new_service());
            // Port 4001 is nobody's, so that the service can connect from it.
            let from = 4001;
            let reach = [reach(ATTACHED, service), Reach { tenant: ATTACHED, service, port: from }];
            f.runtime.set_reach(BTreeSet::from(reach)).await.unwrap();
            let (id, address) = serve(&f, &f.runtime, Tenant(0), Network::Service(service)).await;
            let (_, other) = serve(&f, &f.runtime, Tenant(0), Network::Service(beside)).await;
            let (dyno, dyno_address) = serve(&f, &f.runtime, ATTACHED, Network::Dyno).await;
            // They know each other by now.
            assert_eq!(ask(&f, dyno, &address, PORT).await, dyno_address);

            let bridge = f.runtime.bridge_address().to_string();
            let host = host_server("0.0.0.0:0").port();
            name_server(f.runtime.bridge_address()).await;
            let places = [
                (bridge.as_str(), host),
                (&bridge, router_port),
                (&bridge, 53),
                (&internet.host, router_port),
                (&internet.address, 80),
                (&dyno_address, 4000),
                (&other, PORT),
            ];
            assert_eq!(reached(&f, id, &places).await, "");
            assert_eq!(inside(&f, id, &["python3", "-c", ASK_BY_UDP, &bridge]).await, "refused");
            let from = from.to_string();
            let script = ["python3", "-c", ASK_FROM_ITS_PORT, &from, &dyno_address, "4000"];
            assert_eq!(inside(&f, id, &script).await, "refused", "from a port that the dyno may reach");

            // All of that is there for a dyno.
            assert_eq!(ask(&f, dyno, &bridge, router_port).await, "host");
            assert_eq!(ask(&f, dyno, &internet.address, 80).await, internet.host);
            assert_eq!(inside(&f, dyno, &["python3", "-c", ASK_BY_UDP, &bridge]).await, "ping");
        },
    );
}

/// Connects once and then again and again, until its input ends; how often it was not answered, or only after a packet had
/// been lost, and how often at all.
const CONNECT_OFTEN: &str = "
import select, socket, struct, sys
lost = made = 0
while not made or not select.select([sys.stdin], [], [], 0)[0]:
    made += 1
    try:
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
        again = struct.unpack_from('I', s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]
        lost += again > 0 or not s.recv(100)
    except OSError:
        lost += 1
    if made == 1: print('ready', flush=True)
print(lost, 'of', made, end='')
";

#[test]
fn who_stays_attached_notices_nothing_of_others() {
    with(
        |_| {},
        |f| async move {
            let services = [new_service(), new_service()];
            let stays = reach(ATTACHED, services[0]);
            f.runtime.set_reach(BTreeSet::from([stays])).await.unwrap();
            let (_, address) = serve(&f, &f.runtime, Tenant(0), Network::Service(services[0])).await;
            f.runtime.address_of(services[1]).await.unwrap();
            let (dyno, _) = serve(&f, &f.runtime, ATTACHED, Network::Dyno).await;
            serve(&f, &f.runtime, STRANGER, Network::Dyno).await;
            let connecting = ExecSpec {
                command: ["python3", "-c", CONNECT_OFTEN, &address, "5432"].map(str::to_owned).to_vec(),
                env: vec![("PATH".into(), b"/usr/bin:/bin".to_vec())],
                working_dir: "/".to_owned(),
                stdio: Stdio::Pipe,
            };
            let mut connecting = f.runtime.exec(dyno, connecting).await.unwrap();
            let mut said = connecting.output.recv().await.unwrap().to_vec();
            for number in 0..30 {
                let others = [reach(ATTACHED, services[1]), reach(STRANGER, services[number % 2])];
                let others = others.into_iter().take(1 + number % 2);
                f.runtime.set_reach(others.chain([stays]).collect()).await.unwrap();
                if number % 5 == 0 {
                    f.runtime.reconcile_network().await.unwrap();
                }
            }
            connecting.input.send(Input::End).await.unwrap();
            let rest = async {
                while let Some(bytes) = connecting.output.recv().await {
                    said.extend(bytes);
                }
            };
            tokio::time::timeout(PATIENCE, rest).await.unwrap();
            let said = String::from_utf8(said).unwrap();
            assert!(said.starts_with("ready\n0 of "), "{said}");
        },
    );
}

#[test]
fn the_next_container_of_a_service_is_found_where_the_last_one_was() {
    with(
        |_| {},
        |f| async move {
            let service = new_service();
            f.runtime.set_reach(BTreeSet::from([reach(ATTACHED, service)])).await.unwrap();
            let (dyno, _) = serve(&f, &f.runtime, ATTACHED, Network::Dyno).await;
            let mut seen = BTreeSet::new();
            let mut held = Vec::new();
            for _ in 0..2 {
                let (id, address) = serve(&f, &f.runtime, Tenant(0), Network::Service(service)).await;
                // At once, although the dyno still knows the one before.
                assert_ne!(ask(&f, dyno, &address, PORT).await, "refused");
                seen.insert(address);
                // A socket that waits for its peer's last word holds its namespace, as this does.
                let state = f.config.run_dir.join(id.to_string()).join("state.json");
                let state: serde_json::Value =
                    serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
                held.push(std::fs::File::open(format!("/proc/{}/ns/net", state["init"]["pid"])).unwrap());
                f.runtime.remove(id).await.unwrap();
            }
            assert_eq!(seen.len(), 1, "{seen:?}");
        },
    );
}

#[test]
fn a_server_that_starts_again_cuts_nobody_off() {
    with(
        |_| {},
        |f| async move {
            let (service, other) = (new_service(), new_service());
            let address = f.runtime.address_of(service).await.unwrap();
            f.runtime.address_of(other).await.unwrap();
            f.runtime.set_reach(BTreeSet::from([reach(ATTACHED, service)])).await.unwrap();
            let (id, _) = serve(&f, &f.runtime, Tenant(0), Network::Service(service)).await;
            let (dyno, _) = serve(&f, &f.runtime, ATTACHED, Network::Dyno).await;
            let place = address.to_string();

            // Rules that are gone as after a flush: they are what they were without anybody saying so again.
            for family in ["inet", "bridge"] {
                let table = format!("paddock_{}", f.config.instance);
                assert!(
                    Command::new("nft").args(["delete", "table", family, &table]).status().unwrap().success()
                );
            }
            let anew = LinuxRuntime::open(f.config.clone()).await.unwrap();
            assert_eq!(anew.address_of(service).await.unwrap(), address);
            assert_ne!(ask(&f, dyno, &place, PORT).await, "refused");
            let (later, _) = serve(&f, &anew, ATTACHED, Network::Dyno).await;
            assert_ne!(
                ask(&f, later, &place, PORT).await,
                "refused",
                "one that is started before it is said again"
            );
            let (stranger, _) = serve(&f, &anew, STRANGER, Network::Dyno).await;
            assert_eq!(ask(&f, stranger, &place, PORT).await, "refused");

            // As when the machine starts: nothing in the kernel, and nothing of what goes with the containers.
            anew.remove(id).await.unwrap();
            anew.destroy_instance().await.unwrap();
            std::fs::remove_dir_all(f.config.run_dir.parent().unwrap()).unwrap();
            let third = LinuxRuntime::open(f.config.clone()).await.unwrap();
            assert_eq!(third.address_of(service).await.unwrap(), address);
            assert_ne!(third.address_of(new_service()).await.unwrap(), address);
            third.destroy_instance().await.unwrap();
        },
    );
}

#[test]
fn a_program_finds_whom_it_may_reach_from_its_first_packet() {
    with(
        |_| {},
        |f| async move {
            let service = new_service();
            f.runtime.set_reach(BTreeSet::from([reach(ATTACHED, service)])).await.unwrap();
            let (_, address) = serve(&f, &f.runtime, Tenant(0), Network::Service(service)).await;
            for _ in 0..5 {
                let mut spec = f.spec("");
                spec.command = ["python3", "-c", CONNECT_OFTEN, &address, "5432"].map(str::to_owned).to_vec();
                (spec.tenant, spec.network) = (ATTACHED, Network::Dyno);
                let (exit, text) = f.run(spec).await;
                assert_eq!((exit.status, text.trim_end()), (0, "ready\n0 of 1"));
            }
        },
    );
}
