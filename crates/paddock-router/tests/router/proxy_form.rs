//! `CONNECT`: who may, for which names, and what is inside.

use paddock_ipc::routes::{Network, ProxyForm};
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::platform::{TestServe, begin_tls, write_certificate};
use crate::support::{Client, TestDyno, TestRouter, app_at, header, in_time, read_head, table};

const API: &str = "api.paddock.herokudev.com";

fn form(containers: &str) -> Option<ProxyForm> {
    let containers = Network { address: containers.parse().unwrap(), prefix: 16 };
    Some(ProxyForm { beyond_loopback: false, containers, certificates: "1".into() })
}

/// A router with the proxy form set up, and its certificate.
async fn start() -> (TestRouter, CertificateDer<'static>) {
    let mut router = TestRouter::start().await;
    let names = [API, "git.paddock.herokudev.com", "particleboard.heroku.com"];
    let certificate = write_certificate(&router.config.folder.join("proxy-form"), "", &names);
    let app = app_at("one", TestDyno::listen().await.say("one"));
    let mut routes = table(0, &[app]);
    routes.proxy_form = form("10.7.0.1");
    router.route_table(routes);
    (router, certificate)
}

async fn connect(router: &TestRouter, target: &str) -> (u16, String, Client) {
    let mut client = router.connect().await;
    client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
    let head = client.head().await;
    let body = match head.header("content-length") {
        Some(length) => client.read(length.parse().unwrap()).await,
        None => String::new(),
    };
    (head.status, body, client)
}

async fn tunnel(
    router: &TestRouter,
    certificate: &CertificateDer<'static>,
    name: &'static str,
) -> Client<TlsStream<TcpStream>> {
    let (status, body, client) = connect(router, &format!("{name}:443")).await;
    assert_eq!((status, body.as_str()), (200, ""));
    begin_tls(client.0, certificate, name).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_list_end_in_our_tls_and_lead_to_the_platform() {
    let (router, certificate) = start().await;
    let serve = TestServe::listen(&router.config.serve_socket);
    for name in [API, "git.paddock.herokudev.com", "particleboard.heroku.com"] {
        let mut client = tunnel(&router, &certificate, name).await;
        // More than one request in a tunnel.
        for path in ["/account", "/apps"] {
            client
                .send(format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nAuthorization: Bearer t\r\n\r\n"))
                .await;
            let (mut at_serve, proxied) = serve.accept().await;
            assert_eq!(proxied.tls.as_deref(), Some("TLSv1.3"));
            let head = read_head(&mut at_serve.0).await;
            assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");
            assert_eq!(
                (header(&head, "host"), header(&head, "authorization")),
                (Some(name), Some("Bearer t"))
            );
            at_serve.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme").await;
            assert_eq!(client.response().await.body, "me");
        }
    }
    router.records(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_inside_is_a_tunnel_in_the_tunnel_and_its_end_is_passed_on() {
    let (router, certificate) = start().await;
    let serve = TestServe::listen(&router.config.serve_socket);
    let mut client = tunnel(&router, &certificate, API).await;
    client
        .send(format!("GET /x HTTP/1.1\r\nHost: {API}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"))
        .await;
    let (mut at_serve, _) = serve.accept().await;
    read_head(&mut at_serve.0).await;
    at_serve.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n").await;
    assert_eq!(client.head().await.status, 101);
    client.send("up").await;
    assert_eq!(at_serve.read(2).await, "up");
    // The end of one direction leaves the other open.
    in_time("closing", client.0.shutdown()).await.unwrap();
    assert_eq!(at_serve.rest().await, b"");
    at_serve.send("down").await;
    drop(at_serve);
    assert_eq!(client.rest().await, b"down");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_refused_with_a_sentence() {
    let (mut router, certificate) = start().await;
    for target in
        ["www.heroku.com:443", "api.heroku.com:443", "192.0.2.1:443", "localhost:22", "one.paddock.test:80"]
    {
        let (status, body, _) = connect(&router, target).await;
        assert_eq!(status, 403, "{target}");
        assert!(body.contains("is no host of this platform"), "{body}");
    }
    let mut client = tunnel(&router, &certificate, API).await;
    client.send("GET / HTTP/1.1\r\nHost: one.paddock.test\r\n\r\n").await;
    assert_eq!(client.response().await.status, 421, "a tunnel leads to no app");
    client.send(format!("CONNECT {API}:443 HTTP/1.1\r\nHost: {API}:443\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 400, "nor to another tunnel");
    // By the name alone, without a tunnel, nobody comes to the platform.
    assert_eq!(router.get(API).await.status, 404);

    let mut routes = table(0, &[]);
    routes.proxy_form = form("127.0.0.1");
    router.route_table(routes);
    let (status, body, _) = connect(&router, &format!("{API}:443")).await;
    assert_eq!((status, body.trim()), (403, "The proxy form is not for dynos and builds."));
    router.route(&[]);
    let (status, body, _) = connect(&router, &format!("{API}:443")).await;
    assert!(status == 404 && body.contains("paddockd env --proxy"), "{status} {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_in_a_tunnel_ends_it() {
    let (router, _) = start().await;
    let (status, _, mut client) = connect(&router, &format!("{API}:443")).await;
    assert_eq!(status, 200);
    client.send(format!("GET /account HTTP/1.1\r\nHost: {API}\r\n\r\n")).await;
    // At most an alert comes back, never an answer.
    assert!(client.rest().await.len() < 16);
}
