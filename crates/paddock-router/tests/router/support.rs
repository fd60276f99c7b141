//! A router of one's own with a folder of its own, toy dynos, and a client that sees every byte.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use paddock_core::code::RouterCode;
use paddock_ipc::frame;
use paddock_ipc::routes::{
    AppChange, AppRoute, DynoRoute, FromRouter, Listener, ListenerKind, RouteTable, ToRouter, Web,
};
use paddock_ipc::spool::{Reader, Record};
use paddock_router::{Limits, RouterConfig};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) const DOMAIN: &str = "paddock.test";
pub(crate) const INSTANCE: &str = "abcdef";
/// Nothing in these tests takes longer than this unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A running router.
pub(crate) struct TestRouter {
    pub(crate) folder: TempDir,
    pub(crate) public: SocketAddr,
    pub(crate) config: RouterConfig,
    pub(crate) control: Control,
    running: JoinHandle<()>,
    pub(crate) generation: u64,
}

/// Sockets for a router, as `serve` would make them.
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<(Listener, OwnedFd)>,
    pub(crate) control: OwnedFd,
}

/// The limits of the contract, so that a test shortens only the one it is about.
pub(crate) fn limits() -> Limits {
    Limits::heroku()
}

pub(crate) fn public_listener() -> (Listener, OwnedFd) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (Listener { kind: ListenerKind::Public, address }, socket.into())
}

impl TestRouter {
    /// With the contract's limits.
    pub(crate) async fn start() -> Self {
        Self::start_with(limits()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = UnixListener::bind(folder.path().join("router.sock")).unwrap();
        let sockets = Sockets { listeners: vec![public_listener()], control: control.into() };
        Self::start_in(folder, limits, sockets).await
    }

    /// In a folder that may be an earlier router's.
    pub(crate) async fn start_in(folder: TempDir, limits: Limits, sockets: Sockets) -> Self {
        let config = RouterConfig {
            folder: folder.path().join("router"),
            serve_socket: folder.path().join("serve.sock"),
            rendezvous_socket: folder.path().join("rendezvous.sock"),
            instance: INSTANCE.into(),
            program: "test".into(),
            spool: Uuid::now_v7(),
            limits,
        };
        let public = sockets.listeners[0].0.address;
        let running = paddock_router::run(config.clone(), sockets.listeners, sockets.control);
        let running = tokio::spawn(async move { running.await.unwrap() });
        let control = Control::connect(folder.path().join("router.sock"));
        let mut router = Self { folder, public, config, control, running, generation: 0 };
        let (hello, _) = router.control.hello(INSTANCE);
        let FromRouter::Hello { generation, .. } = hello else { panic!("{hello:?}") };
        router.generation = generation;
        router
    }

    /// Sends the table of these apps.
    pub(crate) fn route(&mut self, apps: &[TestApp]) {
        self.route_table(table(0, apps));
    }

    /// Sends a table with the next generation.
    pub(crate) fn route_table(&mut self, mut table: RouteTable) {
        self.generation += 1;
        table.generation = self.generation;
        let answer = self.control.ask(&ToRouter::Routes(Box::new(table)));
        assert_eq!(answer, FromRouter::Done { generation: self.generation });
    }

    /// Sends what one app became, as a change of what was sent last.
    pub(crate) fn route_app(&mut self, app: &TestApp) {
        let (after, route) = (self.generation, AppRoute { hosts: app.hosts.clone(), ..app.route.clone() });
        self.generation += 1;
        let answer = self.control.ask(&change(after, self.generation, app.name, Some(route)));
        assert_eq!(answer, FromRouter::Done { generation: self.generation });
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.public).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn request(&self, request: &str) -> Response {
        let mut client = self.connect().await;
        client.send(request).await;
        client.response().await
    }

    /// A GET of `/` on a connection of its own.
    pub(crate) async fn get(&self, host: &str) -> Response {
        self.request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    /// Waits until there are this many records, and for none more.
    pub(crate) async fn records(&self, count: usize) -> Vec<Record> {
        let mut reader = Reader::new(&self.spool(), 0);
        let mut records = Vec::new();
        eventually(&format!("{count} records"), || {
            records.extend(reader.next_batch(1024 * 1024).unwrap());
            records.len() >= count
        })
        .await;
        assert_eq!(records.len(), count, "{:?}", texts(&records));
        records
    }

    /// The folder of its records.
    pub(crate) fn spool(&self) -> PathBuf {
        self.config.folder.join("spools").join(self.config.spool.to_string())
    }

    /// The one line there is.
    pub(crate) async fn line(&self) -> String {
        texts(&self.records(1).await).remove(0)
    }

    /// Stops it and waits for its end; every record is in the spool then.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.control.ask(&ToRouter::Stop);
        self.ended().await
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> TempDir {
        in_time("the router's end", self.running).await.unwrap();
        self.folder
    }
}

/// The one line with this in it: those of several connections come in any order.
pub(crate) fn only<'a>(lines: &'a [String], part: &str) -> &'a str {
    let found: Vec<_> = lines.iter().filter(|line| line.contains(part)).collect();
    assert_eq!(found.len(), 1, "{part}: {lines:#?}");
    found[0]
}

pub(crate) fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.bytes.clone()).unwrap()).collect()
}

/// Waits for a state, looking again and again.
pub(crate) async fn eventually(what: &str, mut state: impl FnMut() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    in_time(what, async {
        loop {
            look.tick().await;
            if state() {
                return;
            }
        }
    })
    .await;
}

pub(crate) async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// An app in a table.
#[derive(Clone)]
pub(crate) struct TestApp {
    name: &'static str,
    pub(crate) route: AppRoute,
    hosts: Vec<String>,
}

/// An app at `NAME.paddock.test`.
pub(crate) fn app(name: &'static str, web: Web) -> TestApp {
    let route = AppRoute {
        name: name.into(),
        hosts: Vec::new(),
        maintenance: false,
        web,
        error_page_url: None,
        maintenance_page_url: None,
        data: Default::default(),
    };
    TestApp { name, route, hosts: vec![format!("{name}.{DOMAIN}")] }
}

/// An app with one dyno, `web.1`.
pub(crate) fn app_at(name: &'static str, address: SocketAddr) -> TestApp {
    app(name, Web::Up { dynos: vec![dyno(1, address)] })
}

pub(crate) fn dyno(number: u32, address: SocketAddr) -> DynoRoute {
    DynoRoute { name: format!("web.{number}"), id: format!("dyno-{number}-{address}"), address }
}

pub(crate) fn app_id(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    let length = name.len().min(16);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    Uuid::from_bytes(bytes)
}

impl TestApp {
    pub(crate) fn also_at(mut self, host: &str) -> Self {
        self.hosts.push(host.to_owned());
        self
    }
}

pub(crate) fn table(generation: u64, apps: &[TestApp]) -> RouteTable {
    let mut hosts = BTreeMap::new();
    for app in apps {
        hosts.extend(app.hosts.iter().map(|host| (host.clone(), app_id(app.name).to_string())));
    }
    RouteTable {
        generation,
        domain: DOMAIN.into(),
        resolvers: Vec::new(),
        hosts,
        apps: apps.iter().map(|app| (app_id(app.name).to_string(), app.route.clone())).collect(),
        proxy_form: None,
        trusted_proxies: Vec::new(),
    }
}

pub(crate) fn change(after: u64, generation: u64, name: &str, route: Option<AppRoute>) -> ToRouter {
    ToRouter::App(Box::new(AppChange { after, generation, id: app_id(name).to_string(), route }))
}

/// The small part of `serve` that talks to a router.
pub(crate) struct Control(pub(crate) UnixStream);

impl Control {
    pub(crate) fn connect(path: PathBuf) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(stream)
    }

    pub(crate) fn hello(&mut self, instance: &str) -> (FromRouter, Vec<OwnedFd>) {
        let hello = ToRouter::Hello { version: paddock_ipc::VERSION, instance: instance.into() };
        frame::send(self.0.as_fd(), &hello, &[]).unwrap();
        frame::receive(self.0.as_fd()).unwrap().unwrap()
    }

    pub(crate) fn ask(&mut self, message: &ToRouter) -> FromRouter {
        frame::send(self.0.as_fd(), message, &[]).unwrap();
        let (answer, descriptors) = frame::receive(self.0.as_fd()).unwrap().unwrap();
        assert!(descriptors.is_empty());
        answer
    }
}

/// A client that writes requests by hand.
pub(crate) struct Client<S = TcpStream>(pub(crate) S);

impl Client {
    /// Goes away so that the other side learns of it at once.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
    }
}

impl<S: AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time("sending", self.0.write_all(bytes.as_ref())).await.unwrap();
        in_time("sending", self.0.flush()).await.unwrap();
    }

    /// The next response, its body read by length, chunks or end.
    pub(crate) async fn response(&mut self) -> Response {
        let head = self.head().await;
        let body = match (head.header("content-length"), head.header("transfer-encoding")) {
            (Some(length), _) => read_exactly(&mut self.0, length.parse().unwrap()).await,
            (None, Some(_)) => read_chunks(&mut self.0).await,
            (None, None) if matches!(head.status, 101 | 204 | 304) => Vec::new(),
            (None, None) => self.rest().await,
        };
        Response { body: String::from_utf8(body).unwrap(), ..head }
    }

    /// The next response's head.
    pub(crate) async fn head(&mut self) -> Response {
        Response::parse(&read_head(&mut self.0).await)
    }

    pub(crate) async fn read(&mut self, length: usize) -> String {
        String::from_utf8(read_exactly(&mut self.0, length).await).unwrap()
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        in_time("the end of the connection", self.0.read_to_end(&mut rest)).await.unwrap();
        rest
    }
}

/// A response, or the head of one.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The whole head, for its exact bytes.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    fn parse(head: &str) -> Self {
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("not a response: {head:?}")),
            head: head.to_owned(),
            body: String::new(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The page of a code of the router's own.
    pub(crate) fn assert_page(&self, code: RouterCode) {
        assert_eq!(Some(self.status), code.status(), "{code}");
        assert_eq!(self.header("server"), Some("Paddock"), "{code}");
        assert!(self.body.contains(code.as_str()), "{code}: {}", self.body);
    }
}

/// The first value of a header in a head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let line = head
        .lines()
        .skip(1)
        .find(|line| line.split_once(':').is_some_and(|(this, _)| this.eq_ignore_ascii_case(name)))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// Reads to the end of a head; leaves what follows it unread.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    in_time("a head", async {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
            }
        }
    })
    .await;
    String::from_utf8(head).unwrap()
}

pub(crate) async fn read_exactly<S: AsyncRead + Unpin>(stream: &mut S, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    in_time("bytes", stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// Reads one chunk; empty at the end.
pub(crate) async fn read_chunk<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(in_time("a chunk", stream.read_u8()).await.unwrap());
    }
    let length = usize::from_str_radix(String::from_utf8(line).unwrap().trim(), 16).unwrap();
    let mut chunk = read_exactly(stream, length + 2).await;
    chunk.truncate(length);
    chunk
}

pub(crate) async fn read_chunks<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let chunk = read_chunk(stream).await;
        if chunk.is_empty() {
            return body;
        }
        body.extend(chunk);
    }
}

/// A toy dyno: a listening socket of which the test accepts connections by hand.
pub(crate) struct TestDyno {
    listener: tokio::net::TcpListener,
    pub(crate) address: SocketAddr,
}

impl TestDyno {
    pub(crate) async fn listen() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub(crate) async fn accept(&self) -> Client {
        Client(in_time("a connection to the dyno", self.listener.accept()).await.unwrap().0)
    }

    /// Accepts a connection, reads the head of a request and answers it.
    pub(crate) async fn answer(&self, response: &str) -> (Client, String) {
        let mut connection = self.accept().await;
        let head = read_head(&mut connection.0).await;
        connection.send(response).await;
        (connection, head)
    }

    /// Answers each request of each connection with its own name, for as long as the test runs.
    pub(crate) fn say(self, word: &'static str) -> SocketAddr {
        let address = self.address;
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = self.listener.accept().await else { return };
                tokio::spawn(async move {
                    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{word}", word.len());
                    let mut seen = Vec::new();
                    while let Ok(byte) = stream.read_u8().await {
                        seen.push(byte);
                        if seen.ends_with(b"\r\n\r\n") && stream.write_all(response.as_bytes()).await.is_err()
                        {
                            return;
                        }
                    }
                });
            }
        });
        address
    }
}

/// A local port on which nobody listens, and no other test as long as this one runs.
pub(crate) fn closed_port() -> SocketAddr {
    let port = std::mem::ManuallyDrop::new(paddock_testkit::port::Port::take());
    (std::net::Ipv4Addr::LOCALHOST, port.number()).into()
}
