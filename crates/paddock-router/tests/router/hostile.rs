//! Peers that mean harm: as many as the router has threads, twice over, sending for as long as they are read. A visitor
//! of another app is not to notice them.
//!
//! The visitor's time is compared with what it was right before, in the same run: the best of several rounds, each of
//! them a quiet time and a hostile one, and of more of them where the machine's own noise is in the way. In the quiet time the
//! cores are as busy, but not with the router: what is compared is its fairness, not the machine's. A thread that is held
//! shows in every round, so the best one tells; whatever else the machine has to do spoils some rounds only. The peers run when nobody else wants to, as if they were on machines of their own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::support::{DEADLINE, TestApp, TestRouter, app_at};

const WORKERS: usize = 2;
const PEERS: usize = 2 * WORKERS;
const ROUNDS: usize = 3;
/// Rounds of a machine that has much else to do.
const ROUNDS_MAX: usize = 15;
const QUIET: Duration = Duration::from_millis(300);
const HOSTILE: Duration = Duration::from_millis(400);
const VISIT_EVERY: Duration = Duration::from_millis(4);
/// What the machine itself may add when all its cores are busy.
const NOISE: Duration = Duration::from_millis(15);

/// A router on threads of its own.
struct Scene {
    runtime: Option<Runtime>,
    router: TestRouter,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Not waited for: a thread may be held.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Scene {
    fn new(hostile: &[TestApp]) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
        let mut router = runtime.block_on(TestRouter::start());
        let mut apps = hostile.to_vec();
        apps.push(app_at("neighbour", serve_each(false, answer_each)));
        router.route(&apps);
        Self { runtime: Some(runtime), router }
    }

    /// What a visitor of the neighbour meets while `PEERS` threads do this again and again.
    fn assert_nobody_notices(self, peer: impl Fn(SocketAddr, &AtomicBool) + Send + Sync + 'static) {
        let public = self.router.public;
        let peer = Arc::new(peer);
        let (mut quiet, mut hostile) = (Vec::new(), Vec::new());
        visits(public, QUIET);
        loop {
            quiet.push(p99(beside_others(|| visits(public, QUIET))));
            let over = Arc::new(AtomicBool::new(false));
            let peers = begin(&peer, public, &over);
            let is_over = Over(&over);
            hostile.push(p99(visits(public, HOSTILE)));
            drop(is_over);
            peers.join().unwrap();
            let is_noticed = best(&hostile) >= 2 * best(&quiet).max(NOISE);
            if hostile.len() >= ROUNDS && !is_noticed {
                return;
            }
            assert!(hostile.len() < ROUNDS_MAX, "p99 {hostile:?}, and {quiet:?} without hostile peers");
        }
    }
}

/// The peers, until it is over.
fn begin<P>(peer: &Arc<P>, public: SocketAddr, over: &Arc<AtomicBool>) -> JoinHandle<()>
where
    P: Fn(SocketAddr, &AtomicBool) + Send + Sync + 'static,
{
    let (peer, over) = (peer.clone(), over.clone());
    let (ready, begun) = mpsc::channel();
    let peers = thread::spawn(move || {
        give_way();
        ready.send(()).unwrap();
        thread::scope(|scope| {
            for _ in 0..PEERS {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        peer(public, &over);
                    }
                });
            }
        });
    });
    begun.recv().unwrap();
    peers
}

/// With the machine as busy as the router's threads can make it, and the router at rest.
fn beside_others<T>(work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let _over = Over(&over);
        work()
    })
}

/// Over when this is dropped, by a panic as well.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long each visit took from when it was due, one connection each.
fn visits(public: SocketAddr, time: Duration) -> Vec<Duration> {
    let began = Instant::now();
    let mut taken = Vec::new();
    let mut due = began;
    while due < began + time {
        while let Some(early) = due.checked_duration_since(Instant::now()) {
            thread::park_timeout(early);
        }
        let mut client = connect(public);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: neighbour.paddock.test\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(b"\r\n\r\nhi"), "{}", String::from_utf8_lossy(&answer));
        taken.push(due.elapsed());
        due += VISIT_EVERY;
    }
    taken
}

fn p99(mut taken: Vec<Duration>) -> Duration {
    taken.sort();
    taken[taken.len() * 99 / 100]
}

fn best(times: &[Duration]) -> Duration {
    times.iter().min().copied().unwrap_or_default()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    stream
}

/// This thread, and those that it starts, run when nobody else wants to.
fn give_way() {
    let thread = rustix::thread::gettid().as_raw_pid().to_string();
    let done = Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status().unwrap();
    assert!(done.success());
}

/// A server on threads: `answer` gets each connection.
fn serve_each(is_hostile: bool, answer: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        if is_hostile {
            give_way();
        }
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || answer(stream));
        }
    });
    address
}

/// Reads a head; false at the end of the connection.
fn read_head(stream: &mut impl Read) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

fn answer_each(mut stream: TcpStream) {
    while read_head(&mut stream) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").is_err() {
            return;
        }
    }
}

/// An app that reads and never answers.
fn sink() -> TestApp {
    let address = serve_each(true, |mut stream| {
        let mut buffer = vec![0; 256 * 1024];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    app_at("hostile", address)
}

/// Writes `endless` again and again until nobody takes it any more.
fn pour(stream: &mut TcpStream, endless: &[u8], over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let mut left = endless;
        while !left.is_empty() && !over.load(Ordering::Relaxed) {
            match stream.write(left) {
                Ok(written) => left = &left[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// Clients that send `begin` and then `endless`.
fn clients(begin: &str, endless: &[u8]) {
    send_on(Scene::new(&[sink()]), begin, endless);
}

/// The same to the platform's own host, as a push or an upload.
fn clients_of_the_platform(begin: &str, endless: &[u8]) {
    let scene = Scene::new(&[]);
    let serve = UnixListener::bind(scene.router.folder.path().join("serve.sock")).unwrap();
    thread::spawn(move || {
        for mut stream in serve.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut buffer = vec![0; 256 * 1024];
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
            });
        }
    });
    send_on(scene, begin, endless);
}

fn send_on(scene: Scene, begin: &str, endless: &[u8]) {
    let (begin, endless) = (begin.to_owned(), endless.repeat((64 * 1024usize).div_ceil(endless.len())));
    scene.assert_nobody_notices(move |public, over| {
        let mut stream = connect(public);
        let mut answers = stream.try_clone().unwrap();
        thread::scope(|scope| {
            // Read, so that it is not the kernel that is busy with what nobody reads.
            scope.spawn(move || while answers.read(&mut [0; 16 * 1024]).is_ok_and(|read| read > 0) {});
            if stream.write_all(begin.as_bytes()).is_ok() {
                pour(&mut stream, &endless, over);
            }
            let _ = stream.shutdown(Shutdown::Both);
        });
    });
}

/// Dynos that answer `begin` and then `endless`, and clients that read it.
fn dynos(request: &str, begin: &str, endless: &[u8]) {
    let (begin, endless) = (begin.to_owned(), endless.repeat((64 * 1024usize).div_ceil(endless.len())));
    let dyno = serve_each(true, move |mut stream| {
        if read_head(&mut stream) && stream.write_all(begin.as_bytes()).is_ok() {
            pour(&mut stream, &endless, &AtomicBool::new(false));
        }
    });
    let request = request.to_owned();
    Scene::new(&[app_at("hostile", dyno)]).assert_nobody_notices(move |public, over| {
        let mut stream = connect(public);
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut buffer = vec![0; 256 * 1024];
        while !over.load(Ordering::Relaxed) {
            match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    });
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: hostile.paddock.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const PUSH: &str =
    "POST /app.git/git-receive-pack HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: hostile.paddock.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: hostile.paddock.test\r\n\r\n";
const CHUNKED_ANSWER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn chunk_sizes_of_clients_that_are_endless_zeros() {
    clients(CHUNKED, b"0");
}

#[test]
fn pushes_and_uploads_of_endless_zeros() {
    clients_of_the_platform(PUSH, b"0");
}

#[test]
fn pushes_and_uploads_of_tiny_chunks() {
    clients_of_the_platform(PUSH, b"1\r\nx\r\n");
}

#[test]
fn chunk_sizes_of_clients_with_endless_spaces() {
    clients(&format!("{CHUNKED}5"), b" ");
}

#[test]
fn chunk_extensions_of_clients() {
    clients(CHUNKED, b"1;a=bcdefgh\r\nx\r\n");
}

#[test]
fn trailers_of_clients() {
    clients(&format!("{CHUNKED}0\r\n"), b"A: b\r\n");
}

#[test]
fn empty_lines_of_clients() {
    clients("", b"\r\n");
}

#[test]
fn headers_of_clients() {
    clients("GET / HTTP/1.1\r\nHost: hostile.paddock.test\r\n", b"Connection: a,b,c,d,e,f,g\r\n");
}

#[test]
fn tiny_requests_of_clients() {
    clients("", b"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
}

#[test]
fn tiny_chunks_of_clients() {
    clients(CHUNKED, b"1\r\nx\r\n");
}

#[test]
fn big_chunks_of_clients() {
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    clients(CHUNKED, &chunk);
}

#[test]
fn big_bodies_of_clients() {
    clients("POST / HTTP/1.1\r\nHost: hostile.paddock.test\r\nContent-Length: 9000000000000\r\n\r\n", b"x");
}

#[test]
fn heads_of_dynos_that_are_endlessly_interim() {
    dynos(GET, "", b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn early_hints_of_dynos() {
    dynos(GET, "", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

#[test]
fn empty_lines_of_dynos() {
    dynos(GET, "", b"\r\n");
}

#[test]
fn headers_of_dynos() {
    dynos(GET, "HTTP/1.1 200 OK\r\n", b"Connection: a,b,c,d,e,f,g\r\n");
}

#[test]
fn chunk_sizes_of_dynos_that_are_endless_zeros() {
    dynos(GET, CHUNKED_ANSWER, b"0");
}

#[test]
fn chunk_sizes_of_dynos_with_endless_tabs() {
    dynos(GET, &format!("{CHUNKED_ANSWER}5"), b"\t");
}

#[test]
fn chunk_extensions_of_dynos() {
    dynos(GET, CHUNKED_ANSWER, b"1;a=bcdefgh\r\nx\r\n");
}

#[test]
fn trailers_of_dynos() {
    dynos(GET, &format!("{CHUNKED_ANSWER}0\r\n"), b"A: b\r\n");
}

#[test]
fn tiny_chunks_of_dynos() {
    dynos(GET, CHUNKED_ANSWER, b"1\r\nx\r\n");
}

#[test]
fn big_bodies_of_dynos() {
    dynos(GET, "HTTP/1.1 200 OK\r\nContent-Length: 9000000000000\r\n\r\n", b"x");
}

#[test]
fn bodies_of_dynos_without_an_end() {
    dynos(GET, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x");
}

#[test]
fn tunnels_full_of_what_dynos_say() {
    dynos(
        UPGRADE,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"x",
    );
}
