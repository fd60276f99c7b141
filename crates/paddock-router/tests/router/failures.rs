//! Requests that no dyno answers, or none to its end: each has its code, its page and its one line.

use std::time::Duration;

use paddock_core::code::RouterCode;
use paddock_ipc::routes::Web;
use paddock_router::Limits;

use crate::support::{
    TestApp, TestDyno, TestRouter, app, app_at, closed_port, dyno, in_time, limits, only, read_chunk,
    read_exactly, read_head,
};

/// Short enough to wait for, long enough not to be met by chance.
const SHORT: Duration = Duration::from_millis(150);

/// Asserts the line of a failure: its code, and which of dyno, connect, service and bytes are filled in.
fn assert_line(line: &str, code: RouterCode, filled: [bool; 4]) {
    let sock = code.sock().map(|sock| format!("sock={sock} ")).unwrap_or_default();
    let begin = format!("{sock}at={} code={code} desc=\"{}", code.at().as_str(), code.desc());
    assert!(line.starts_with(&begin), "{line}");
    for (name, filled) in ["dyno", "connect", "service", "bytes"].into_iter().zip(filled) {
        assert_eq!(!line.contains(&format!(" {name}= ")), filled, "{name}: {line}");
    }
    let status = code.status().map(|status| status.to_string()).unwrap_or_default();
    assert!(line.contains(&format!(" status={status} ")), "{line}");
}

const NOTHING: [bool; 4] = [false; 4];
const EVERYTHING: [bool; 4] = [true; 4];
const NOT_CONNECTED: [bool; 4] = [true, true, false, false];

#[tokio::test(flavor = "multi_thread")]
async fn states_without_a_dyno_have_their_codes() {
    let maintenance = |mut app: TestApp| {
        app.route.maintenance = true;
        app
    };
    for (app, code) in [
        (maintenance(app("app", Web::Blank)), RouterCode::H80),
        (app("app", Web::Blank), RouterCode::H81),
        (app("app", Web::None), RouterCode::H14),
        (app("app", Web::Crashed), RouterCode::H10),
    ] {
        let mut router = TestRouter::start().await;
        router.route(&[app]);
        router.get("app.paddock.test").await.assert_page(code);
        assert_line(&router.line().await, code, NOTHING);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_own_pages_are_embedded_by_their_address() {
    let mut router = TestRouter::start().await;
    let mut app = app("own", Web::Crashed);
    app.route.error_page_url = Some("https://pages.example/e?a=1&b=\"2\"".into());
    app.route.maintenance_page_url = Some("javascript:alert(1)".into());
    router.route(std::slice::from_ref(&app));
    let page = router.get("own.paddock.test").await;
    assert_eq!(page.status, 503);
    assert!(
        page.body.contains("<iframe src=\"https://pages.example/e?a=1&amp;b=&quot;2&quot;\""),
        "{}",
        page.body
    );
    app.route.maintenance = true;
    router.route(&[app]);
    let page = router.get("own.paddock.test").await;
    assert!(page.body.contains("H80") && !page.body.contains("javascript"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_a_dyno_that_starts() {
    let mut router = TestRouter::start().await;
    router.route(&[app("boot", Web::Starting)]);
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: boot.paddock.test\r\n\r\n").await;
    // A second table that changes nothing for it: it goes on waiting.
    router.route(&[app("boot", Web::Starting)]);
    router.route(&[app_at("boot", TestDyno::listen().await.say("up"))]);
    assert_eq!(client.response().await.body, "up");

    let mut router = TestRouter::start_with(Limits { dyno_wait: SHORT, ..limits() }).await;
    router.route(&[app("boot", Web::Starting)]);
    router.get("boot.paddock.test").await.assert_page(RouterCode::H20);
    assert_line(&router.line().await, RouterCode::H20, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_request_learns_that_its_app_crashed_or_is_gone() {
    for (next, status) in [(vec![app("boot", Web::Crashed)], 503), (Vec::new(), 404)] {
        let mut router = TestRouter::start().await;
        router.route(&[app("boot", Web::Starting)]);
        let mut client = router.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: boot.paddock.test\r\n\r\n").await;
        // Answered first, so the one before it waits already or will meet the new table: both are right.
        assert_eq!(router.get("none.paddock.test").await.status, 404);
        router.route(&next);
        assert_eq!(client.response().await.status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_refuses_is_left_alone_and_another_is_tried() {
    let mut router = TestRouter::start().await;
    let (bad, good) = (closed_port(), TestDyno::listen().await.say("good"));
    router.route(&[app("mixed", Web::Up { dynos: vec![dyno(1, bad), dyno(2, good)] })]);
    for _ in 0..20 {
        assert_eq!(router.get("mixed.paddock.test").await.body, "good");
    }

    let mut router = TestRouter::start_with(Limits { dyno_wait: SHORT, ..limits() }).await;
    router.route(&[app_at("dead", closed_port())]);
    router.get("dead.paddock.test").await.assert_page(RouterCode::H21);
    assert_line(&router.line().await, RouterCode::H21, NOT_CONNECTED);
    // Now every dyno is in quarantine, for longer than a request waits.
    router.get("dead.paddock.test").await.assert_page(RouterCode::H34);
    let lines = crate::support::texts(&router.records(2).await);
    assert_line(only(&lines, "code=H34"), RouterCode::H34, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_ends() {
    let mut router = TestRouter::start_with(Limits { quarantine: SHORT, ..limits() }).await;
    let address = closed_port();
    router.route(&[app_at("back", address)]);
    router.get("back.paddock.test").await.assert_page(RouterCode::H21);
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: back.paddock.test\r\n\r\n").await;
    let (mut at_dyno, _) = in_time("the second try", listener.accept()).await.unwrap();
    read_head(&mut at_dyno).await;
    crate::support::Client(at_dyno).send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_made_in_time_is_h19() {
    // A full backlog: the kernel drops further attempts, so a connection is neither made nor refused.
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    rustix::net::bind(&socket, &any).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, SHORT) {
        held.push(stream);
        assert!(held.len() < 10, "the backlog does not fill");
    }
    let mut router = TestRouter::start_with(Limits { connect: SHORT, ..limits() }).await;
    router.route(&[app_at("slow", address)]);
    router.get("slow.paddock.test").await.assert_page(RouterCode::H19);
    assert_line(&router.line().await, RouterCode::H19, NOT_CONNECTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_does_not_answer_in_time_is_h12() {
    let mut router = TestRouter::start_with(Limits { first_byte: SHORT, ..limits() }).await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("mute", dyno.address)]);
    let mut client = router.connect().await;
    // The time runs from the last byte of the request.
    client.send("POST / HTTP/1.1\r\nHost: mute.paddock.test\r\nContent-Length: 2\r\n\r\na").await;
    let mut at_dyno = dyno.accept().await;
    read_head(&mut at_dyno.0).await;
    let too_early = tokio::time::timeout(SHORT * 2, client.0.readable()).await;
    assert!(too_early.is_err(), "answered before the request was sent");
    client.send("b").await;
    assert_eq!(read_exactly(&mut at_dyno.0, 2).await, b"ab");
    client.response().await.assert_page(RouterCode::H12);
    let line = router.line().await;
    assert_line(&line, RouterCode::H12, EVERYTHING);
    assert!(line.contains(" bytes=0 "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_closed_without_a_response_is_h13_and_nonsense_is_h17() {
    for (answer, code) in [("", RouterCode::H13), ("nonsense\r\n\r\n", RouterCode::H17)] {
        let mut router = TestRouter::start().await;
        let dyno = TestDyno::listen().await;
        router.route(&[app_at("bad", dyno.address)]);
        let mut client = router.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: bad.paddock.test\r\n\r\n").await;
        drop(dyno.answer(answer).await);
        client.response().await.assert_page(code);
        assert_line(&router.line().await, code, EVERYTHING);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_breaks_off_is_h18_and_one_that_falls_silent_is_h15() {
    for code in [RouterCode::H18, RouterCode::H15] {
        let mut router = TestRouter::start_with(Limits { idle: SHORT, ..limits() }).await;
        let dyno = TestDyno::listen().await;
        router.route(&[app_at("half", dyno.address)]);
        let mut client = router.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: half.paddock.test\r\n\r\n").await;
        let (connection, _) =
            dyno.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
        assert_eq!(client.head().await.status, 200);
        assert_eq!(read_chunk(&mut client.0).await, b"half");
        if code == RouterCode::H18 {
            drop(connection);
        }
        // No last chunk: the client can tell.
        assert_eq!(client.rest().await, b"");
        let line = router.line().await;
        assert_line(&line, code, EVERYTHING);
        assert!(line.contains(" bytes=4 "), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_is_closed() {
    let mut router = TestRouter::start_with(Limits { idle: SHORT, ..limits() }).await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("ws", dyno.address)]);
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: ws.paddock.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    let (mut at_dyno, _) =
        dyno.answer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.rest().await, b"");
    assert_eq!(at_dyno.rest().await, b"");
    assert_line(&router.line().await, RouterCode::H15, EVERYTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_h27() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("gone", dyno.address)]);
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: gone.paddock.test\r\n\r\n").await;
    let mut at_dyno = dyno.accept().await;
    read_head(&mut at_dyno.0).await;
    // One that has only ended its own direction may still wait for the answer.
    client.reset();
    assert_line(&router.line().await, RouterCode::H27, EVERYTHING);
    // The dyno's connection is not kept for others.
    assert_eq!(at_dyno.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_its_body_is_h27() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("gone", dyno.address)]);
    let mut client = router.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: gone.paddock.test\r\nContent-Length: 5\r\n\r\nab").await;
    let mut at_dyno = dyno.accept().await;
    read_head(&mut at_dyno.0).await;
    assert_eq!(read_exactly(&mut at_dyno.0, 2).await, b"ab");
    drop(client);
    assert_line(&router.line().await, RouterCode::H27, EVERYTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_falls_silent_is_h28() {
    let mut router = TestRouter::start_with(Limits { idle: SHORT, ..limits() }).await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("silent", dyno.address)]);
    let mut client = router.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: silent.paddock.test\r\nContent-Length: 5\r\n\r\nab").await;
    let mut at_dyno = dyno.accept().await;
    read_head(&mut at_dyno.0).await;
    assert_eq!(client.rest().await, b"");
    assert_line(&router.line().await, RouterCode::H28, EVERYTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_h28() {
    let mut router = TestRouter::start_with(Limits { idle: SHORT, ..limits() }).await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("stuck", dyno.address)]);
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: stuck.paddock.test\r\n\r\n").await;
    let (mut at_dyno, _) = dyno.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    // More than all buffers on the way hold; the write fails once the router gives up.
    let flood = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while at_dyno.0.write_all(chunk.as_bytes()).await.is_ok() {}
    });
    in_time("the end of the flood", flood).await.unwrap();
    assert_line(&router.line().await, RouterCode::H28, EVERYTHING);
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_in_flight_are_h11() {
    let mut router = TestRouter::start_with(Limits { in_flight_per_dyno: 2, ..limits() }).await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("busy", dyno.address)]);
    // Tunnels wait for no answer, however many there are.
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        let mut client = router.connect().await;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
        client.send(&format!("GET / HTTP/1.1\r\nHost: busy.paddock.test\r\n{upgrade}\r\n\r\n")).await;
        let switched = format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n\r\n");
        let (at_dyno, _) = dyno.answer(&switched).await;
        assert_eq!(client.head().await.status, 101);
        tunnels.push((client, at_dyno));
    }
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = router.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: busy.paddock.test\r\n\r\n").await;
        let mut at_dyno = dyno.accept().await;
        read_head(&mut at_dyno.0).await;
        waiting.push((client, at_dyno));
    }
    router.get("busy.paddock.test").await.assert_page(RouterCode::H11);
    assert_line(&router.line().await, RouterCode::H11, NOTHING);
    for (mut client, mut at_dyno) in waiting {
        at_dyno.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
    }
    router.records(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restrictions_of_http_are_h25_and_h26() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("rule", dyno.address)]);
    let response =
        router.request("GET / HTTP/1.1\r\nHost: rule.paddock.test\r\nExpect: a-miracle\r\n\r\n").await;
    assert_eq!(response.status, 417);
    let line = router.line().await;
    assert_line(&line, RouterCode::H26, NOTHING);
    assert!(line.contains(" cause=\"unsupported expect header value\" method="), "{line}");

    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: rule.paddock.test\r\n\r\n").await;
    let cookie = "x".repeat(8193);
    let answer = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\nContent-Length: 0\r\n\r\n");
    let _connection = dyno.answer(&answer).await;
    client.response().await.assert_page(RouterCode::H25);
    let lines = crate::support::texts(&router.records(2).await);
    only(&lines, "desc=\"HTTP restriction: oversized cookie\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_is_closed() {
    let mut router = TestRouter::start_with(Limits { client_idle: SHORT, ..limits() }).await;
    router.route(&[]);
    let mut silent = router.connect().await;
    assert_eq!(silent.rest().await, b"");
    let mut half = router.connect().await;
    half.send("GET / HTTP/1.1\r\nHost: a").await;
    half.rest().await;
    let mut idle = router.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: nobody.paddock.test\r\n\r\n").await;
    assert_eq!(idle.response().await.status, 404);
    assert_eq!(idle.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_too_many_is_told_and_a_place_that_is_free_again_is_taken() {
    let mut router = TestRouter::start_with(Limits { clients_per_address: 1, ..limits() }).await;
    router.route(&[app_at("one", TestDyno::listen().await.say("one"))]);
    let mut first = router.connect().await;
    first.send("GET / HTTP/1.1\r\nHost: one.paddock.test\r\n\r\n").await;
    assert_eq!(first.response().await.body, "one");
    let mut second = router.connect().await;
    second.send("GET / HTTP/1.1\r\nHost: one.paddock.test\r\n\r\n").await;
    let refused = second.response().await;
    refused.assert_page(RouterCode::H22);
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(second.rest().await, b"");
    let lines = crate::support::texts(&router.records(2).await);
    assert_line(only(&lines, "code=H22"), RouterCode::H22, NOTHING);
    let refused = router.get("localhost").await;
    assert!(refused.status == 503 && refused.body.contains("service_unavailable"), "{}", refused.body);
    drop(first);
    let deadline = tokio::time::Instant::now() + crate::support::DEADLINE;
    while router.get("one.paddock.test").await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the place was not given back");
    }
}
