//! The program is replaced by another build while requests are under way; nobody outside notices.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, pause, rounds, wait_until};

const APP: &str = "lasting";

/// Longest that one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that keeps its connection until it is told that it closes.
struct Client {
    host: String,
    port: u16,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    fn new(server: &Server) -> Client {
        Client { host: server.host(APP), port: server.port(), stream: None }
    }

    /// Sends a request and reads the head of its answer; the connection is made when there is none.
    fn begin(&mut self, method: &str, path: &str, headers: &str) -> std::io::Result<Vec<String>> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().unwrap();
        let host = &self.host;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
        stream.get_mut().write_all(request.as_bytes())?;
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => return Ok(head),
                line => head.push(line.to_ascii_lowercase()),
            }
        }
    }

    /// One request with its whole answer; a connection that was said to close is not used again.
    fn request(&mut self, path: &str) -> std::io::Result<u16> {
        let head = self.begin("GET", path, "")?;
        let value = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = value("content-length:").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.stream.as_mut().unwrap().read_exact(&mut body)?;
        if value("connection:") == Some("close") {
            self.stream = None;
        }
        Ok(head[0].split(' ').nth(1).unwrap().parse().unwrap())
    }

    /// Reads lines until this one.
    fn reads(&mut self, wanted: &str) {
        loop {
            let mut line = String::new();
            let read = self.stream.as_mut().unwrap().read_line(&mut line).unwrap();
            assert!(read > 0, "the connection ended before {wanted:?}");
            if line.trim_end() == wanted {
                return;
            }
        }
    }

    /// Says a line into a tunnel and reads it back.
    fn echo(&mut self, line: &str) {
        self.stream.as_mut().unwrap().get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
        self.reads(line);
    }
}

/// Clients that ask for one page after another, each by a path of its own.
struct Traffic {
    over: AtomicBool,
    sent: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Traffic {
    fn run(&self, mut client: Client, keeps_connection: bool) {
        while !self.over.load(Ordering::Relaxed) {
            let path = format!("/traffic-{}", self.sent.fetch_add(1, Ordering::Relaxed));
            match client.request(&path) {
                Ok(200) => {}
                other => {
                    self.failures.lock().unwrap().push(format!("{path}: {other:?}"));
                    client.stream = None;
                }
            }
            if !keeps_connection {
                client.stream = None;
            }
        }
    }

    fn flows(&self, what: &str) {
        let before = self.sent.load(Ordering::Relaxed);
        wait_until(what, Duration::from_secs(60), || {
            (self.sent.load(Ordering::Relaxed) > before + 50).then_some(())
        });
    }
}

/// The processes of this server's routers, oldest first, as its log tells.
fn router_pids(server: &Server) -> Vec<u32> {
    let log = server.log();
    let begins = |line: &&str| line.contains("started the router") || line.contains("takes over");
    let pid = |line: &str| line.split_once("the router (process ")?.1.split_once(')')?.0.parse().ok();
    log.lines().filter(begins).filter_map(pid).collect()
}

fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim().starts_with('Z')))
}

/// A deployed app on a server whose log may speak of routers.
fn deployed() -> (Server, Cli) {
    let mut server = Server::start();
    for words in ["adopt", "interrupted", "router"] {
        server.announce(words);
    }
    let cli = Cli::new(&server);
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers(APP, "/");
    (server, cli)
}

/// Upgrades the server again and again under traffic, with a tunnel that never falls silent.
fn upgrade(server: &mut Server, upgrades: usize, tunnel: &mut Client) -> usize {
    let traffic =
        Traffic { over: AtomicBool::new(false), sent: AtomicUsize::new(0), failures: Mutex::default() };
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (client, traffic) = (Client::new(server), &traffic);
            scope.spawn(move || traffic.run(client, number % 2 == 0));
        }
        scope.spawn(|| {
            while !traffic.over.load(Ordering::Relaxed) {
                tunnel.echo("still there");
                pause(Duration::from_millis(50));
            }
        });
        for round in 0..upgrades {
            traffic.flows(&format!("traffic before upgrade {round}"));
            server.upgrade_program();
            server.restart();
            traffic.flows(&format!("traffic after upgrade {round}"));
        }
        traffic.over.store(true, Ordering::Relaxed);
    });
    let failures = traffic.failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} requests failed: {failures:?}", failures.len());
    traffic.sent.into_inner()
}

#[test]
fn another_build_takes_over_without_a_failed_request() {
    if !may_run("an upgrade under traffic") {
        return;
    }
    let (mut server, cli) = deployed();
    let process = server.get(APP, "/").json()["started"].clone();
    let (mut held, mut tunnel) = (Client::new(&server), Client::new(&server));
    assert_eq!(held.begin("GET", "/held", "").unwrap()[0], "http/1.1 200 ok");
    held.reads("begun");
    let to_echo = "Connection: Upgrade\r\nUpgrade: echo\r\n";
    assert!(tunnel.begin("GET", "/echo", to_echo).unwrap()[0].starts_with("http/1.1 101"));

    let upgrades = rounds("PADDOCK_SOAK_KILLS", 2);
    let sent = upgrade(&mut server, upgrades, &mut tunnel);
    let routers = router_pids(&server);
    assert_eq!(routers.len(), upgrades + 1, "a router of each build: {}", server.log());
    assert!(lives(routers[0]), "the first router still has clients");
    tunnel.echo("after");
    assert_eq!(server.get(APP, "/let-go").status, 200);
    held.reads("ended");
    assert_eq!(server.get(APP, "/").json()["started"], process, "the dyno is the same process");
    assert_eq!(server.dynos(APP).len(), 1);

    drop((held, tunnel));
    wait_until("the replaced routers to end", Duration::from_secs(90), || {
        routers[..upgrades].iter().all(|pid| !lives(*pid)).then_some(())
    });
    wait_until("their spools to be carried over", Duration::from_secs(30), || {
        let spools = std::fs::read_dir(server.data().join("router/spools")).unwrap().count();
        (spools == 1).then_some(())
    });
    each_request_has_one_line(&cli, sent);
}

/// As far as the log goes back, each request has one line, whichever router answered it.
fn each_request_has_one_line(cli: &Cli, sent: usize) {
    let log = cli.heroku(&["logs", "--source", "router", "--num", "1500", "--app", APP]).succeeded().stdout;
    let mut lines: BTreeMap<usize, usize> = BTreeMap::new();
    for line in log.lines() {
        let number = line.split_once("path=\"/traffic-").and_then(|(_, rest)| rest.split_once('"'));
        if let Some(number) = number.and_then(|(number, _)| number.parse().ok()) {
            *lines.entry(number).or_default() += 1;
        }
    }
    let twice: Vec<_> = lines.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "lines came twice: {twice:?}");
    // Lines of requests at the same time may be in any order: the oldest few of the backlog can be incomplete.
    let first = lines.keys().next().copied().unwrap_or(0) + 50;
    let missing: Vec<_> = (first..sent).filter(|number| !lines.contains_key(number)).collect();
    assert!(missing.is_empty(), "lines are missing: {missing:?}");
    assert!(lines.len() > 100, "{log}");
}
