//! Requests that are answered by a dyno.

use paddock_ipc::routes::Web;

use crate::support::{
    Client, DOMAIN, TestDyno, TestRouter, app, app_at, app_id, dyno, eventually, header, only, read_chunk,
    read_chunks, read_exactly, read_head, texts,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_finds_its_app() {
    let mut router = TestRouter::start().await;
    let one = app_at("one", TestDyno::listen().await.say("one")).also_at("www.example.com");
    let two = app_at("two", TestDyno::listen().await.say("two")).also_at("*.example.com");
    router.route(&[one, two]);
    for (host, word) in [
        ("one.paddock.test", "one"),
        ("TWO.Paddock.Test:8080", "two"),
        ("www.example.com", "one"),
        ("other.example.com", "two"),
    ] {
        let response = router.get(host).await;
        assert_eq!((response.status, response.body.as_str()), (200, word), "{host}");
    }
    let nobody = router.get("three.paddock.test").await;
    assert_eq!(nobody.status, 404);
    assert_eq!(nobody.header("server"), Some("Paddock"));
    assert!(nobody.body.contains("There&#39;s nothing here, yet"), "{}", nobody.body);

    let records = router.records(4).await;
    assert!(records.iter().all(|record| record.tag == paddock_router::TAG_REQUEST));
    let lines = texts(&records);
    let line = only(&lines, " host=one.paddock.test ");
    assert!(records.iter().any(|record| record.bytes == line.as_bytes() && record.key == app_id("one")));
    assert!(line.starts_with("at=info method=GET path=\"/\" host=one.paddock.test request_id="), "{line}");
    assert!(line.contains(" fwd=\"127.0.0.1\" dyno=web.1 connect="), "{line}");
    assert!(line.ends_with(" status=200 bytes=3 protocol=http1.1 tls=false tls_version=unknown"), "{line}");
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dyno_gets_requests_and_one_that_left_the_table_gets_none() {
    let mut router = TestRouter::start().await;
    let (first, second) = (TestDyno::listen().await.say("1"), TestDyno::listen().await.say("2"));
    router.route(&[app("many", Web::Up { dynos: vec![dyno(1, first), dyno(2, second)] })]);
    let mut seen = String::new();
    while !(seen.contains('1') && seen.contains('2')) {
        seen += &router.get("many.paddock.test").await.body;
        assert!(seen.len() < 100, "{seen}");
    }
    router.route(&[app("many", Web::Up { dynos: vec![dyno(2, second)] })]);
    for _ in 0..20 {
        assert_eq!(router.get("many.paddock.test").await.body, "2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_at_once() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("stream", dyno.address)]);
    let mut client = router.connect().await;
    client.send("POST /s HTTP/1.1\r\nHost: stream.paddock.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("3\r\none\r\n").await;

    let mut at_dyno = dyno.accept().await;
    let head = read_head(&mut at_dyno.0).await;
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(read_chunk(&mut at_dyno.0).await, b"one");
    at_dyno.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nuno\r\n").await;

    // The answer begins before the request has ended.
    assert_eq!(client.head().await.status, 200);
    assert_eq!(read_chunk(&mut client.0).await, b"uno");
    client.send("3\r\ntwo\r\n").await;
    assert_eq!(read_chunk(&mut at_dyno.0).await, b"two");
    client.send("0\r\n\r\n").await;
    assert_eq!(read_chunk(&mut at_dyno.0).await, b"");
    at_dyno.send("3\r\ndos\r\n0\r\n\r\n").await;
    assert_eq!(read_chunks(&mut client.0).await, b"dos");
    let line = router.line().await;
    assert!(line.contains("method=POST path=\"/s\"") && line.contains("status=200 bytes=6 "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_arrive_whole() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("large", dyno.address)]);
    let length = 5 * 1024 * 1024;
    let sent: Vec<u8> = (0..length).map(|n: usize| b'a' + (n / 1021 % 26) as u8).collect();
    let upload = sent.clone();
    let mut client = router.connect().await;
    let uploading = tokio::spawn(async move {
        client
            .send(format!("PUT / HTTP/1.1\r\nHost: large.paddock.test\r\nContent-Length: {length}\r\n\r\n"))
            .await;
        client.send(upload).await;
        client.response().await
    });
    let mut at_dyno = dyno.accept().await;
    let head = read_head(&mut at_dyno.0).await;
    assert_eq!(header(&head, "content-length"), Some(length.to_string().as_str()));
    assert!(read_exactly(&mut at_dyno.0, length).await == sent);
    at_dyno.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
    at_dyno.send(&sent).await;
    let response = uploading.await.unwrap();
    assert!(response.body.into_bytes() == sent);
    assert!(router.line().await.contains(&format!("bytes={length} ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dyno_learns_of_the_client_and_nothing_of_the_connection() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("head", dyno.address)]);
    let mut client = router.connect().await;
    client
        .send(
            "GET /p?q=1 HTTP/1.1\r\nHost: HEAD.paddock.test:99\r\nX-Forwarded-For: 9.9.9.9\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Request-Id: 0123456789abcdefghij\r\n\
             X-Request-Start: t=1\r\nVia: 1.0 other\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\n\
             TE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nX-Custom-CASE: kept\r\n\r\n",
        )
        .await;
    let (_connection, head) = dyno
        .answer("HTTP/1.1 203 Other Words\r\nContent-Length: 2\r\nX-From-App: 1\r\nKeep-Alive: 1\r\nConnection: keep-alive\r\n\r\nhi")
        .await;
    assert!(head.starts_with("GET /p?q=1 HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("host", "HEAD.paddock.test:99"),
        ("x-forwarded-for", "9.9.9.9, 127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", router.public.port().to_string().as_str()),
        ("x-request-id", "0123456789abcdefghij"),
    ] {
        assert_eq!(header(&head, name), Some(value), "{head}");
    }
    for name in ["connection", "te", "keep-alive", "proxy-authorization", "x-private", "content-length"] {
        assert_eq!(header(&head, name), None, "{head}");
    }
    let start: u64 = header(&head, "x-request-start").unwrap().parse().unwrap();
    assert!(start > 1_700_000_000_000);
    assert!(head.contains("X-Custom-CASE: kept\r\n"), "{head}");
    assert!(head.to_lowercase().contains("via: 1.0 other\r\n"), "{head}");
    assert!(head.to_lowercase().contains("via: 1.1 paddock-router\r\n"), "{head}");

    let response = client.response().await;
    assert!(response.head.starts_with("HTTP/1.1 203 Other Words\r\n"), "{}", response.head);
    assert_eq!(response.header("via"), Some("1.1 paddock-router"));
    assert!(response.head.contains("X-From-App: 1\r\n"), "{}", response.head);
    assert_eq!((response.header("keep-alive"), response.header("connection")), (None, None));
    let line = router.line().await;
    assert!(
        line.contains(
            "path=\"/p?q=1\" host=HEAD.paddock.test:99 request_id=0123456789abcdefghij fwd=\"9.9.9.9, 127.0.0.1\""
        ),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_that_is_none_is_replaced() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("id", dyno.address)]);
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: id.paddock.test\r\nX-Request-Id: too short\r\n\r\n").await;
    let (_connection, head) = dyno.answer(OK).await;
    let id = header(&head, "x-request-id").unwrap().to_owned();
    assert_eq!(id.len(), 36);
    assert_eq!(client.response().await.status, 200);
    assert!(router.line().await.contains(&format!("request_id={id} ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_have_none() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("head", dyno.address)]);
    let mut client = router.connect().await;
    for (method, answer, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", Some("12")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", None),
    ] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: head.paddock.test\r\n\r\n")).await;
        let connection = dyno.answer(answer).await;
        let head = client.head().await;
        assert_eq!(head.header("content-length"), length, "{method} {answer:?}: {}", head.head);
        // The connection is free for the next request; the dyno's is closed so that the next one is accepted.
        drop(connection);
    }
    client.send("GET /last HTTP/1.1\r\nHost: head.paddock.test\r\n\r\n").await;
    let _connection = dyno.answer(OK).await;
    assert_eq!(client.response().await.body, "hi");
    let lines = texts(&router.records(5).await);
    assert!(lines[..4].iter().all(|line| line.contains(" bytes=0 ")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_a_dyno_is_used_again_and_replaced_when_it_was_closed() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("keep", dyno.address)]);
    let get = "GET / HTTP/1.1\r\nHost: keep.paddock.test\r\n\r\n";
    let mut client = router.connect().await;
    client.send(get).await;
    let (mut connection, _) = dyno.answer(OK).await;
    assert_eq!(client.response().await.body, "hi");

    client.send(get).await;
    read_head(&mut connection.0).await;
    connection.send(OK).await;
    assert_eq!(client.response().await.body, "hi");

    // The dyno reads the third request and closes without a byte: a GET may be sent again.
    client.send(get).await;
    read_head(&mut connection.0).await;
    drop(connection);
    let (mut connection, _) = dyno.answer(OK).await;
    assert_eq!(client.response().await.body, "hi");

    // A POST with a body may not.
    client.send("POST / HTTP/1.1\r\nHost: keep.paddock.test\r\nContent-Length: 2\r\n\r\nab").await;
    read_head(&mut connection.0).await;
    drop(connection);
    client.response().await.assert_page(paddock_core::code::RouterCode::H13);
    let lines = texts(&router.records(4).await);
    assert!(lines[1].contains("connect=0ms"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_100_continue_is_answered_by_the_router() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("expect", dyno.address)]);
    let mut client = router.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: expect.paddock.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status, 100);
    client.send("body").await;
    let mut at_dyno = dyno.accept().await;
    let head = read_head(&mut at_dyno.0).await;
    assert_eq!(header(&head, "expect"), None);
    assert_eq!(read_exactly(&mut at_dyno.0, 4).await, b"body");
    at_dyno.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    at_dyno.send(OK).await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused() {
    let mut router = TestRouter::start().await;
    router.route(&[app_at("one", TestDyno::listen().await.say("one"))]);
    let line_of =
        |length: usize| format!("GET /{} HTTP/1.1\r\nHost: one.{DOMAIN}\r\n\r\n", "x".repeat(length));
    let many =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: one.{DOMAIN}\r\n{}\r\n", "A: b\r\n".repeat(count));
    let header = |length: usize| {
        format!("GET / HTTP/1.1\r\nHost: one.{DOMAIN}\r\nX-Long: {}\r\n\r\n", "x".repeat(length))
    };
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (line_of(8000), 200),
        (line_of(8192), 400),
        (many(999), 200),
        (many(1000), 400),
        (header(8100), 200),
        (header(8192), 400),
        (format!("CONNECT one.{DOMAIN}:443 HTTP/1.1\r\nHost: one.{DOMAIN}\r\n\r\n"), 404),
    ] {
        let response = router.request(&request).await;
        assert_eq!(response.status, status, "{}", &request[..request.len().min(60)]);
    }
    let mut ssh: Client = router.connect().await;
    ssh.send("SSH-2.0-OpenSSH_9\r\n").await;
    assert_eq!(ssh.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_target_names_the_host() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("abs", dyno.address)]);
    let mut client = router.connect().await;
    client.send("GET http://abs.paddock.test/x HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
    let (_connection, head) = dyno.answer(OK).await;
    assert!(head.starts_with("GET /x HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some("abs.paddock.test"));
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_gets_a_body_that_ends_with_the_connection() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("old", dyno.address)]);
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.0\r\nHost: old.paddock.test\r\n\r\n").await;
    let (_connection, head) =
        dyno.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    let response = client.response().await;
    assert_eq!((response.body.as_str(), response.header("transfer-encoding")), ("abc", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_becomes_a_tunnel() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("ws", dyno.address)]);
    let mut client = router.connect().await;
    client
        .send(
            "GET /ws HTTP/1.1\r\nHost: ws.paddock.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: abc\r\n\r\n",
        )
        .await;
    let (mut at_dyno, head) = dyno
        .answer("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
        .await;
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    assert_eq!(header(&head, "connection"), Some("upgrade"));
    assert_eq!(header(&head, "sec-websocket-key"), Some("abc"));
    let response = client.head().await;
    assert_eq!(response.status, 101);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(client.read(5).await, "first");
    client.send("ping").await;
    assert_eq!(at_dyno.read(4).await, "ping");
    at_dyno.send("pong").await;
    assert_eq!(client.read(4).await, "pong");
    drop(at_dyno);
    assert_eq!(client.rest().await, b"");
    drop(client);
    let line = router.line().await;
    assert!(line.starts_with("at=info ") && line.contains(" status=101 bytes=9 "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_leads_a_dyno_into_another_version_of_http() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("ws", dyno.address)]);
    let mut client = router.connect().await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: ws.paddock.test\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
        )
        .await;
    let (_at_dyno, head) = dyno.answer("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!((header(&head, "upgrade"), header(&head, "http2-settings")), (None, None), "{head}");
    assert_eq!(client.head().await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_goes_on_when_its_dyno_leaves_the_table() {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("drain", dyno.address)]);
    let mut client = router.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: drain.paddock.test\r\n\r\n").await;
    let mut at_dyno = dyno.accept().await;
    read_head(&mut at_dyno.0).await;
    router.route(&[app_at("drain", TestDyno::listen().await.say("new"))]);
    assert_eq!(router.get("drain.paddock.test").await.body, "new");
    at_dyno.send(OK).await;
    assert_eq!(client.response().await.body, "hi");
    // Its connection is not kept: the dyno sees the end.
    let mut closed = false;
    let rest = tokio::spawn(async move { at_dyno.rest().await });
    eventually("the connection's end", || {
        closed = rest.is_finished();
        closed
    })
    .await;
}
