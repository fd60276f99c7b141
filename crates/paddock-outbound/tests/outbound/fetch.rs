//! The client against servers that mean harm, on loopback, which the tests list as an operator would.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use paddock_outbound::{FetchLimits, Network, Outbound, OutboundError, Roots};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const LIMITS: FetchLimits =
    FetchLimits { bytes_max: 1 << 20, time_max: Duration::from_secs(10), idle_max: Duration::from_secs(5) };

/// A server that answers every request on a connection of its own; `answer` gets the request's head.
struct TestServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

type Answer = Arc<dyn Fn(&str) -> String + Send + Sync>;

impl TestServer {
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::serve(Arc::new(answer), None).await
    }

    async fn serve(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let (answer, tls) = (answer.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => respond(stream, answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                respond(stream, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn respond(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let answer = answer(&String::from_utf8(head).unwrap());
    // A client that has enough hangs up.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

fn no_roots() -> Roots {
    let empty = tempfile::NamedTempFile::new().unwrap();
    Roots::of_file(empty.path()).unwrap()
}

fn client(allowed: &[&str]) -> Outbound {
    Outbound::new(allowed.iter().map(|text| text.parse::<Network>().unwrap()).collect(), no_roots())
}

fn on_loopback() -> Outbound {
    client(&["127.0.0.0/8"])
}

async fn read(client: &Outbound, url: &str, limits: FetchLimits) -> Result<Vec<u8>, OutboundError> {
    let mut fetched = client.get(url, limits).await?;
    let mut body = Vec::new();
    while let Some(bytes) = fetched.chunk().await? {
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

#[tokio::test]
async fn a_body_is_fetched_and_only_what_is_needed_is_sent() {
    let server = TestServer::start(|head| {
        assert!(head.starts_with("GET /a?b HTTP/1.1\r\nhost: 127.0.0.1:"), "{head}");
        for never in ["cookie", "referer", "authorization", "proxy"] {
            assert!(!head.contains(never), "{head}");
        }
        ok("hello")
    })
    .await;
    let mut fetched = on_loopback().get(&server.url("/a?b#c"), LIMITS).await.unwrap();
    assert_eq!((fetched.length(), fetched.shown()), (Some(5), &*server.url("/a")));
    assert_eq!(fetched.chunk().await.unwrap().as_deref(), Some(&b"hello"[..]));
    assert_eq!(fetched.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn this_machine_is_refused_by_every_name_it_has() {
    let server = TestServer::start(|_| ok("secret")).await;
    let port = server.address.port();
    let nothing_allowed = client(&[]);
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "127.9.9.9",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[::]",
        "localhost",
    ] {
        let refused = nothing_allowed.get(&format!("http://{host}:{port}/"), LIMITS).await.map(drop);
        assert!(matches!(refused, Err(OutboundError::Refused { .. })), "{host}: {refused:?}");
    }
    for host in
        ["10.0.0.1", "192.168.0.1", "172.16.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]", "224.0.0.1"]
    {
        let refused = on_loopback().get(&format!("http://{host}/latest/meta-data"), LIMITS).await.map(drop);
        assert!(matches!(refused, Err(OutboundError::Refused { .. })), "{host}: {refused:?}");
    }
    assert_eq!(server.asked.load(Ordering::Relaxed), 0, "not even a connection was made");
    let says = nothing_allowed.get(&server.url("/"), LIMITS).await.map(drop).unwrap_err().to_string();
    assert!(
        says.contains("an address of this machine") && says.contains("--allow-egress 127.0.0.1/32"),
        "{says}"
    );
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_address() {
    let secret = TestServer::start(|_| ok("secret")).await;
    let port = secret.address.port();
    for to in [
        format!("http://127.0.0.2:{port}/"),
        format!("http://localhost:{port}/"),
        format!("//127.0.0.2:{port}/"),
        "http://169.254.169.254/latest/meta-data/iam".into(),
        "http://[::1]/".into(),
        "http://0x7f000002/".into(),
    ] {
        let elsewhere = to.clone();
        let server = TestServer::start(move |_| redirect(&elsewhere)).await;
        // The server's own address alone is listed.
        let refused = client(&["127.0.0.1/32"]).get(&server.url("/"), LIMITS).await.map(drop);
        // `localhost` is 127.0.0.1 here, which is listed.
        let expected = to.contains("localhost");
        assert_eq!(refused.is_ok(), expected, "{to}: {refused:?}");
        assert!(expected || matches!(refused, Err(OutboundError::Refused { .. })), "{to}: {refused:?}");
    }
    for to in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://x/",
        "",
        "http://",
        "http://[",
        "http://127.0.0.1:25/",
    ] {
        let server = TestServer::start(move |_| redirect(to)).await;
        let refused = on_loopback().get(&server.url("/"), LIMITS).await.map(drop);
        assert!(refused.is_err(), "{to:?}: {refused:?}");
    }
}

#[tokio::test]
async fn five_redirects_are_followed_and_a_loop_ends() {
    let hops = TestServer::start(|head| {
        let hop: u32 = head[5..].split([' ', '?']).next().unwrap().parse().unwrap();
        if hop == 0 { ok("there") } else { redirect(&format!("/{}", hop - 1)) }
    })
    .await;
    assert_eq!(read(&on_loopback(), &hops.url("/5"), LIMITS).await.unwrap(), b"there");
    let again = read(&on_loopback(), &hops.url("/6"), LIMITS).await;
    assert!(matches!(again, Err(OutboundError::Redirect { .. })), "{again:?}");
    let around = TestServer::start(|_| redirect("/")).await;
    let looped = read(&on_loopback(), &around.url("/"), LIMITS).await;
    assert!(matches!(looped, Err(OutboundError::Redirect { .. })), "{looped:?}");
    assert_eq!(around.asked.load(Ordering::Relaxed), 6);
    let nowhere = TestServer::start(|_| "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".into()).await;
    let lost = read(&on_loopback(), &nowhere.url("/"), LIMITS).await;
    assert!(matches!(lost, Err(OutboundError::Redirect { .. })), "{lost:?}");
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_origin() {
    let other = TestServer::start(|head| {
        assert!(!head.contains("authorization"), "{head}");
        ok("public")
    })
    .await;
    let to = other.url("/public");
    let server = TestServer::start(move |head| {
        assert!(head.contains("authorization: Basic dXNlcjpwYXNz"), "{head}");
        redirect(if head.starts_with("GET /first ") { "/second" } else { &to })
    })
    .await;
    let url = server.url("/first").replace("http://", "http://user:pass@");
    assert_eq!(read(&on_loopback(), &url, LIMITS).await.unwrap(), b"public");
    let status = TestServer::start(|_| "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into()).await;
    let url = status.url("/x?signature=sesame").replace("http://", "http://user:pass@");
    let says = read(&on_loopback(), &url, LIMITS).await.unwrap_err().to_string();
    assert_eq!(says, format!("{} answered with status 403", status.url("/x")));
}

#[tokio::test]
async fn slow_endless_and_broken_bodies_end() {
    let endless = TestServer::start(|_| {
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(40))
    })
    .await;
    let large = read(&on_loopback(), &endless.url("/"), LIMITS).await;
    assert!(matches!(large, Err(OutboundError::TooLarge { .. })), "{large:?}");
    let claims = TestServer::start(|_| "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n".into()).await;
    let large = on_loopback().get(&claims.url("/"), LIMITS).await.map(drop);
    assert!(matches!(large, Err(OutboundError::TooLarge { .. })), "{large:?}");
    for broken in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "",
    ] {
        let server = TestServer::start(|_| broken.to_owned()).await;
        let read = read(&on_loopback(), &server.url("/"), LIMITS).await;
        assert!(matches!(read, Err(OutboundError::Http { .. })), "{broken:?}: {read:?}");
    }
    let headers =
        TestServer::start(|_| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(1 << 20))).await;
    assert!(matches!(read(&on_loopback(), &headers.url("/"), LIMITS).await, Err(OutboundError::Http { .. })));
}

/// A server that sends a head and then one byte at a time, or nothing.
async fn dripping(head: &'static str, every: Option<Duration>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(head.as_bytes()).await;
                match every {
                    // Until the client hangs up.
                    None => drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await),
                    Some(every) => {
                        let mut drips = tokio::time::interval(every);
                        while stream.write_all(b"x").await.is_ok() {
                            drips.tick().await;
                        }
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn silence_and_drips_end_at_their_limits() {
    let limits =
        FetchLimits { idle_max: Duration::from_millis(200), time_max: Duration::from_millis(800), ..LIMITS };
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    for (head, every) in [("", None), (HEAD, None)] {
        let address = dripping(head, every).await;
        let silent = read(&on_loopback(), &format!("http://{address}/"), limits).await;
        assert!(matches!(silent, Err(OutboundError::Idle { .. })), "{silent:?}");
    }
    let began = Instant::now();
    let address = dripping(HEAD, Some(Duration::from_millis(20))).await;
    let slow = read(&on_loopback(), &format!("http://{address}/"), limits).await;
    assert!(matches!(slow, Err(OutboundError::Slow { .. })), "{slow:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    // A head that drips as well: its time is that of silence, however much comes.
    let address = dripping("HTTP/1.1 200 OK\r\nX-", Some(Duration::from_millis(20))).await;
    let slow = read(&on_loopback(), &format!("http://{address}/"), limits).await;
    assert!(matches!(slow, Err(OutboundError::Idle { .. } | OutboundError::Slow { .. })), "{slow:?}");
}

#[tokio::test]
async fn an_https_server_is_checked_against_the_roots() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server =
        TestServer::serve(Arc::new(|_: &str| ok("safe")), Some(TlsAcceptor::from(Arc::new(config)))).await;
    let port = server.address.port();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();
    let roots = Roots::of_file(file.path()).unwrap();
    assert_eq!(roots.count(), 1);
    let trusting = Outbound::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()], roots);
    let body = read(&trusting, &format!("https://localhost:{port}/"), LIMITS).await;
    assert_eq!(body.unwrap(), b"safe");
    for (client, host) in [(&trusting, "127.0.0.1"), (&on_loopback(), "localhost")] {
        let refused = read(client, &format!("https://{host}:{port}/"), LIMITS).await;
        assert!(matches!(refused, Err(OutboundError::Tls { .. })), "{host}: {refused:?}");
    }
    // The system's own list is there and readable.
    if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        assert!(Roots::of_system().unwrap().count() > 10);
    }
}

#[tokio::test]
async fn names_that_lead_nowhere_and_closed_ports_say_so() {
    let missing = on_loopback().get("http://no-such-host.invalid/", LIMITS).await.map(drop);
    assert!(matches!(missing, Err(OutboundError::Resolve { .. })), "{missing:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let closed = on_loopback().get(&format!("http://{address}/"), LIMITS).await.map(drop);
    assert!(matches!(closed, Err(OutboundError::Connect { .. })), "{closed:?}");
}
