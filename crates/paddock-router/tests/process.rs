//! The process `paddockd router`: what it gives up, that it outlives who started it, and what a kill leaves.
//!
//! Without a harness: called with the argument `router` this program is the router.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::unwrap_used, reason = "a test, though it has no test functions")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::chown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use paddock_ipc::frame;
use paddock_ipc::routes::{
    AppChange, AppRoute, FromRouter, Listener, ListenerKind, RouteTable, ToRouter, Web,
};
use paddock_router::{RouterStart, RunAs};

const TESTS: [(&str, fn()); 2] = [
    ("a_router_gives_up_every_privilege_and_outlives_its_starter", gives_up_every_privilege),
    ("routes_that_were_acknowledged_are_there_after_a_kill", keeps_what_it_acknowledged),
];
const DEADLINE: Duration = Duration::from_secs(20);
/// Any id that is not root's.
const RUN_AS: RunAs = RunAs { uid: 64_123, gid: 64_124 };

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the test's own harness")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "router") {
        return paddock_router::main();
    }
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let unprivileged = std::env::var("PADDOCK_TESTS_UNPRIVILEGED").is_ok_and(|value| value == "1");
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    let names_any = TESTS.iter().any(|(name, _)| named(name));
    for (name, test) in TESTS.iter().filter(|(name, _)| named(name) || !names_any) {
        if rustix::process::geteuid().is_root() {
            test();
            println!("test {name} ... ok");
        } else if unprivileged {
            println!("test {name} ... not run: needs root");
        } else {
            eprintln!("{name} needs root, to see the router become another user");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Kills the router at the end of the test, also when the test fails.
struct Router(Child);

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A place for routers, and their control socket.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(RUN_AS.uid), Some(RUN_AS.gid)).unwrap();
    let own = folder.path().join("router");
    std::fs::create_dir(&own).unwrap();
    chown(&own, Some(RUN_AS.uid), Some(RUN_AS.gid)).unwrap();
    let control_path = folder.path().join("router.sock");
    (folder, control_path)
}

fn gives_up_every_privilege() {
    let (folder, control_path) = place();
    let own = folder.path().join("router");
    let (mut router, public, starter) = start(folder.path(), &control_path);
    let pid = router.0.id();

    let mut control = connect(&control_path);
    let answer = ask(&mut control, &ToRouter::Hello { version: 1, instance: "abcdef".into() });
    assert!(matches!(&answer, FromRouter::Hello { pid: said, .. } if *said == pid), "{answer:?}");
    let answer = ask(&mut control, &ToRouter::Routes(Box::new(empty_table())));
    assert_eq!(answer, FromRouter::Done { generation: 1 });
    assert_privileges(pid);
    assert_eq!(get(public), 404);

    // Whoever started it is gone, with every connection to it.
    drop((control, starter));
    assert_eq!(get(public), 404);
    let log = own.join("router.log");
    wait_for_text(&log, "the router is up");

    let id = rustix::process::Pid::from_child(&router.0);
    std::fs::create_dir(own.join("tls")).unwrap();
    std::fs::write(own.join("tls/cert.pem"), "nonsense").unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
    wait_for_text(&log, "could not use a certificate");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(wait(&mut router.0).success());
}

/// How many routers are killed, each while it takes change after change.
const KILLS: u64 = 12;

fn keeps_what_it_acknowledged() {
    let (folder, control_path) = place();
    let mut acknowledged = 0;
    for round in 0..=KILLS {
        let (mut router, _, _starter) = start(folder.path(), &control_path);
        let mut control = connect(&control_path);
        let hello = ToRouter::Hello { version: paddock_ipc::VERSION, instance: "abcdef".into() };
        let FromRouter::Hello { generation: found, .. } = ask(&mut control, &hello) else {
            panic!("no hello")
        };
        // The one that was on its way may have been taken.
        assert!((acknowledged..=acknowledged + 1).contains(&found), "{found} after {acknowledged}");
        if round == KILLS {
            return;
        }
        if round % 4 == 0 {
            let whole = RouteTable { generation: found + 1, ..empty_table() };
            assert_eq!(ask(&mut control, &ToRouter::Routes(Box::new(whole))), done(found + 1));
        } else {
            assert_eq!(ask(&mut control, &change(found)), done(found + 1));
        }
        let last = AtomicU64::new(found + 1);
        std::thread::scope(|scope| {
            scope.spawn(|| send_until_it_ends(&control, &last));
            let until = Instant::now() + DEADLINE;
            while last.load(Ordering::SeqCst) < found + 10 + round * 17 {
                assert!(Instant::now() < until, "the router takes no changes");
                std::thread::yield_now();
            }
            router.0.kill().unwrap();
            wait(&mut router.0);
        });
        acknowledged = last.into_inner();
        std::fs::remove_file(&control_path).unwrap();
    }
}

fn done(generation: u64) -> FromRouter {
    FromRouter::Done { generation }
}

/// A change of one of ten apps, so long that the journal soon becomes a table.
fn change(after: u64) -> ToRouter {
    let route = AppRoute {
        name: "one".into(),
        hosts: vec![format!("{after}.test")],
        maintenance: false,
        web: Web::Blank,
        error_page_url: Some("x".repeat(16 * 1024)),
        maintenance_page_url: None,
        data: Default::default(),
    };
    let id = format!("app-{}", after % 10);
    ToRouter::App(Box::new(AppChange { after, generation: after + 1, id, route: Some(route) }))
}

fn send_until_it_ends(control: &UnixStream, last: &AtomicU64) {
    loop {
        let after = last.load(Ordering::SeqCst);
        if frame::send(control.as_fd(), &change(after), &[]).is_err() {
            return;
        }
        match frame::receive::<FromRouter>(control.as_fd()) {
            Ok(Some((answer, _))) => assert_eq!(answer, done(after + 1)),
            Ok(None) | Err(_) => return,
        }
        last.store(after + 1, Ordering::SeqCst);
    }
}

fn start(folder: &Path, control_path: &Path) -> (Router, SocketAddr, UnixStream) {
    let public = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = public.local_addr().unwrap();
    let control = UnixListener::bind(control_path).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .arg("router")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = RouterStart {
        folder: folder.join("router"),
        serve_socket: folder.join("serve.sock"),
        rendezvous_socket: folder.join("rendezvous.sock"),
        instance: "abcdef".into(),
        program: "test".into(),
        spool: uuid::Uuid::now_v7().to_string(),
        run_as: Some(RUN_AS),
        workers: 0,
        listeners: vec![Listener { kind: ListenerKind::Public, address }],
    };
    start.send(ours.as_fd(), control.as_fd(), &[public.as_fd()]).unwrap();
    (Router(child), address, ours)
}

fn empty_table() -> RouteTable {
    RouteTable {
        generation: 1,
        domain: "paddock.test".into(),
        resolvers: Vec::new(),
        hosts: Default::default(),
        apps: Default::default(),
        proxy_form: None,
        trusted_proxies: Vec::new(),
    }
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn ask(control: &mut UnixStream, message: &ToRouter) -> FromRouter {
    frame::send(control.as_fd(), message, &[]).unwrap();
    frame::receive(control.as_fd()).unwrap().unwrap().0
}

/// Every thread: ids, groups, capabilities, no_new_privs; and a session of its own.
fn assert_privileges(pid: u32) {
    let threads: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().collect();
    assert!(threads.len() > 2, "the runtime's threads are not there yet");
    for thread in threads {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
            line.split_once(':').unwrap().1.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(field("Uid"), vec![RUN_AS.uid.to_string(); 4]);
        assert_eq!(field("Gid"), vec![RUN_AS.gid.to_string(); 4]);
        assert!(field("Groups").is_empty());
        for capabilities in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(capabilities), ["0000000000000000"], "{capabilities}");
        }
        assert_eq!(field("NoNewPrivs"), ["1"]);
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, pid.to_string());
}

/// The status of a GET for a host that nobody has.
fn get(public: SocketAddr) -> u16 {
    let mut stream = TcpStream::connect(public).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Waits until a file has this text in it.
fn wait_for_text(path: &Path, text: &str) {
    let until = Instant::now() + DEADLINE;
    while !std::fs::read_to_string(path).unwrap().contains(text) {
        assert!(Instant::now() < until, "no {text:?} in {}", path.display());
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits for the end of the process.
fn wait(child: &mut Child) -> std::process::ExitStatus {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < until, "the router did not end");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
