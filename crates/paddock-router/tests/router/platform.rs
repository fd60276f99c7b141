//! Requests to the platform, rendezvous connections and TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use paddock_router::Limits;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{
    Client, TestDyno, TestRouter, app_at, header, in_time, limits, read_chunk, read_exactly, read_head,
};

const SHORT: Duration = Duration::from_millis(150);

/// A toy `serve` that accepts by hand.
pub(crate) struct TestServe(UnixListener);

/// What the PROXY header in front of a connection said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proxied {
    from: [u8; 4],
    port: u16,
    pub(crate) tls: Option<String>,
}

impl TestServe {
    pub(crate) fn listen(path: &Path) -> Self {
        Self(UnixListener::bind(path).unwrap())
    }

    pub(crate) async fn accept(&self) -> (Client<UnixStream>, Proxied) {
        let (mut stream, _) = in_time("a connection to serve", self.0.accept()).await.unwrap();
        let head = read_exactly(&mut stream, 16).await;
        assert_eq!(&head[..12], b"\r\n\r\n\0\r\nQUIT\n");
        assert_eq!(&head[12..14], [0x21, 0x11]);
        let rest = read_exactly(&mut stream, usize::from(u16::from_be_bytes([head[14], head[15]]))).await;
        let tls = rest.get(12..).filter(|tlv| !tlv.is_empty()).map(|tlv| {
            assert_eq!((tlv[0], tlv[3], tlv[8]), (0x20, 1, 0x21));
            String::from_utf8(tlv[11..].to_vec()).unwrap()
        });
        let proxied = Proxied {
            from: rest[..4].try_into().unwrap(),
            port: u16::from_be_bytes([rest[8], rest[9]]),
            tls,
        };
        (Client(stream), proxied)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_hosts_go_to_serve_with_the_clients_address() {
    let mut router = TestRouter::start().await;
    router.route(&[]);
    let serve = TestServe::listen(&router.config.serve_socket);
    for host in ["paddock.test", "api.paddock.test:5000", "git.paddock.test", "localhost:5000", "127.0.0.1"] {
        let mut client = router.connect().await;
        let port = client.0.local_addr().unwrap().port();
        client
            .send(format!(
                "POST /apps HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 9.9.9.9\r\nAuthorization: Bearer t\r\n\
                 Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
            ))
            .await;
        let (mut at_serve, proxied) = serve.accept().await;
        assert_eq!(proxied, Proxied { from: [127, 0, 0, 1], port, tls: None });
        let head = read_head(&mut at_serve.0).await;
        assert_eq!(header(&head, "host"), Some(host));
        assert_eq!(header(&head, "authorization"), Some("Bearer t"));
        assert_eq!(read_chunk(&mut at_serve.0).await, b"ab");
        // Streamed: the answer begins while the request goes on.
        at_serve.send("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nuno\r\n").await;
        assert_eq!(client.head().await.status, 201);
        assert_eq!(read_chunk(&mut client.0).await, b"uno");
        client.send("0\r\n\r\n").await;
        assert_eq!(read_chunk(&mut at_serve.0).await, b"");
        at_serve.send("0\r\n\r\n").await;
        assert_eq!(read_chunk(&mut client.0).await, b"");
    }
    // No line for any of them.
    router.records(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_request_waits_until_serve_is_back() {
    let router = TestRouter::start().await;
    let mut client = router.connect().await;
    client.send("GET /account HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let too_early = tokio::time::timeout(SHORT, client.0.readable()).await;
    assert!(too_early.is_err(), "answered while serve was away");
    // A socket left behind by a killed serve is no serve.
    drop(UnixListener::bind(&router.config.serve_socket).unwrap());
    std::fs::remove_file(&router.config.serve_socket).unwrap();
    let serve = TestServe::listen(&router.config.serve_socket);
    let (mut at_serve, _) = serve.accept().await;
    read_head(&mut at_serve.0).await;
    at_serve.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme").await;
    assert_eq!(client.response().await.body, "me");

    // A request that was sent is not sent again.
    client.send("POST /apps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    let (mut at_serve, _) = serve.accept().await;
    read_head(&mut at_serve.0).await;
    drop(at_serve);
    let response = client.response().await;
    assert_eq!(response.status, 503);
    assert!(response.body.contains("\"id\":\"service_unavailable\""), "{}", response.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_malformed_is_the_clients_fault() {
    let router = TestRouter::start().await;
    let serve = TestServe::listen(&router.config.serve_socket);
    for rest in ["zz\r\n{}\r\n", "ffffffffffffffffff\r\n{}", "-1\r\n{}", "2\r\n{}XX"] {
        let mut client = router.connect().await;
        let head = "POST /apps HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{rest}")).await;
        // The head may have reached it or not: the body is known to be bad at once.
        let _at_serve = serve.accept().await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{rest:?}: {answer}");
        assert!(answer.contains("\r\n\r\n{\"id\":\"bad_request\",\"message\":\""), "{rest:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_too_slowly_ends_its_connection_and_no_other() {
    let router = TestRouter::start_with(Limits { client_idle: SHORT, ..limits() }).await;
    let serve = TestServe::listen(&router.config.serve_socket);
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut client = router.connect().await;
        client.send("GET /account HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
        slow.push(client);
    }
    let mut quick = router.connect().await;
    quick.send("GET /account HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let (mut at_serve, _) = serve.accept().await;
    read_head(&mut at_serve.0).await;
    at_serve.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme").await;
    assert_eq!(quick.response().await.body, "me");
    for mut client in slow {
        let rest = client.rest().await;
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_serve_stays_away_the_answer_is_an_api_error() {
    let router = TestRouter::start_with(Limits { serve_wait: SHORT, ..limits() }).await;
    for host in ["localhost", "app.paddock.test"] {
        let response = router.get(host).await;
        assert_eq!(response.status, 503, "{host}");
        assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
        assert!(response.body.contains("\"id\":\"service_unavailable\",\"message\":\""), "{}", response.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_serve_breaks_off_end_well_and_other_bodies_do_not() {
    let router = TestRouter::start().await;
    let serve = TestServe::listen(&router.config.serve_socket);
    for (kind, ends_well) in [("text/event-stream; charset=utf-8", true), ("text/plain", false)] {
        let mut client = router.connect().await;
        client.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let (mut at_serve, _) = serve.accept().await;
        read_head(&mut at_serve.0).await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
        at_serve.send(format!("{head}4\r\nid:1\r\n")).await;
        assert_eq!(client.head().await.status, 200);
        assert_eq!(read_chunk(&mut client.0).await, b"id:1");
        drop(at_serve);
        if ends_well {
            assert_eq!(read_chunk(&mut client.0).await, b"");
        } else {
            assert_eq!(client.rest().await, b"", "a body that was broken off has no last chunk");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_upgrade_becomes_a_tunnel() {
    let router = TestRouter::start().await;
    let serve = TestServe::listen(&router.config.serve_socket);
    let mut client = router.connect().await;
    client.send("GET /exec HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").await;
    let (mut at_serve, _) = serve.accept().await;
    assert_eq!(header(&read_head(&mut at_serve.0).await, "upgrade"), Some("tcp"));
    at_serve
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\nhello")
        .await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.read(5).await, "hello");
    client.send("bye").await;
    assert_eq!(at_serve.read(3).await, "bye");
}

/// Writes a new certificate for `names` where the router looks for it, and returns it. `prefix` is empty for the one
/// of every name without its own.
pub(crate) fn write_certificate(folder: &Path, prefix: &str, names: &[&str]) -> CertificateDer<'static> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(format!("{prefix}key.pem")), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join(format!("{prefix}cert.pem")), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

async fn connect_tls(
    router: &TestRouter,
    trusted: &CertificateDer<'static>,
    name: &'static str,
) -> std::io::Result<Client<TlsStream<TcpStream>>> {
    begin_tls(router.connect().await.0, trusted, name).await
}

/// TLS on a stream, with a client that trusts one certificate.
pub(crate) async fn begin_tls(
    stream: TcpStream,
    trusted: &CertificateDer<'static>,
    name: &'static str,
) -> std::io::Result<Client<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connecting =
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream);
    in_time("a handshake", connecting).await.map(Client)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_ends_at_the_router_and_certificates_are_read_again() {
    let mut router = TestRouter::start().await;
    let tls = router.config.folder.join("tls");
    let dyno = TestDyno::listen().await;
    let platform = write_certificate(&tls, "", &["localhost", "secure.paddock.test"]);
    // Before a table makes the router look again there is no certificate.
    assert!(connect_tls(&router, &platform, "localhost").await.is_err());
    router.route(&[app_at("secure", dyno.address)]);

    let mut client = connect_tls(&router, &platform, "secure.paddock.test").await.unwrap();
    assert_eq!(client.0.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    client.send("GET / HTTP/1.1\r\nHost: secure.paddock.test\r\n\r\n").await;
    let (_connection, head) = dyno.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(client.response().await.body, "hi");
    let line = router.line().await;
    assert!(line.ends_with(" protocol=http1.1 tls=true tls_version=tls1.3"), "{line}");

    let serve = TestServe::listen(&router.config.serve_socket);
    let mut client = connect_tls(&router, &platform, "localhost").await.unwrap();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(serve.accept().await.1.tls.as_deref(), Some("TLSv1.3"));

    // A further certificate for one name, and a new one for the rest.
    let own = write_certificate(&tls, "www.example.com.", &["www.example.com"]);
    let renewed = write_certificate(&tls, "", &["localhost"]);
    router.route(&[]);
    assert!(connect_tls(&router, &own, "www.example.com").await.is_ok());
    assert!(connect_tls(&router, &renewed, "localhost").await.is_ok());
    assert!(connect_tls(&router, &platform, "localhost").await.is_err());
    // A client that knows us by an address names no host: the address it came to has a certificate of its own.
    assert!(connect_tls(&router, &renewed, "127.0.0.1").await.is_err());
    let at_address = write_certificate(&tls, "127.0.0.1.", &["127.0.0.1"]);
    router.route(&[]);
    assert!(connect_tls(&router, &at_address, "127.0.0.1").await.is_ok());
    assert!(connect_tls(&router, &renewed, "localhost").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_inside_tls_is_a_rendezvous() {
    let mut router = TestRouter::start().await;
    let platform = write_certificate(&router.config.folder.join("tls"), "", &["localhost"]);
    router.route(&[]);
    let rendezvous = TestServe::listen(&router.config.rendezvous_socket);
    let mut client = connect_tls(&router, &platform, "localhost").await.unwrap();
    client.send("tok?x=1\r\n").await;
    let (mut at_serve, proxied) = rendezvous.accept().await;
    assert_eq!((proxied.from, proxied.tls.as_deref()), ([127, 0, 0, 1], Some("TLSv1.3")));
    assert_eq!(at_serve.read(9).await, "tok?x=1\r\n");
    at_serve.send("rendezvous\r\n").await;
    assert_eq!(client.read(12).await, "rendezvous\r\n");
    client.send("ls\n").await;
    assert_eq!(at_serve.read(3).await, "ls\n");

    // The client's end reaches serve, which may go on talking.
    in_time("closing", tokio::io::AsyncWriteExt::shutdown(&mut client.0)).await.unwrap();
    assert_eq!(at_serve.rest().await, b"");
    at_serve.send("file\n").await;
    drop(at_serve);
    let mut rest = String::new();
    in_time("the rest", client.0.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "file\n");
}
