//! Messages at the edge of what HTTP is: what passes passes byte for byte, and what does not is told whose fault it is.

use paddock_core::code::RouterCode;
use paddock_ipc::routes::Web;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Client, TestDyno, TestRouter, app, app_at, eventually, in_time, only, read_chunk, read_chunks, read_head,
    texts,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const GET: &str = "GET / HTTP/1.1\r\nHost: app.paddock.test\r\n\r\n";

/// A router with one dyno of `app.paddock.test`, and a client of it.
async fn scene() -> (TestRouter, TestDyno, Client) {
    let mut router = TestRouter::start().await;
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("app", dyno.address)]);
    let client = router.connect().await;
    (router, dyno, client)
}

/// The first line of what a dyno gets, as bytes.
async fn first_line(client: &mut Client) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(in_time("a request line", client.0.read_u8()).await.unwrap());
    }
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_arrives_with_the_bytes_it_was_sent_with() {
    let (router, dyno, _) = scene().await;
    let targets: [&[u8]; 14] = [
        b"/find?q=a<b>c",
        b"/<x>",
        b"/`id`",
        b"/?list=[\"a\",\"b\"]",
        b"/?q=\"quoted\"",
        b"/na\xefve",
        b"/\xff\xfe?\x80",
        "/caf\u{e9}/\u{1f9a9}".as_bytes(),
        b"/100%",
        b"/%zz?%",
        b"/page#part",
        b"//double//slash/../up",
        b"/{}|\\^~'",
        b"/?",
    ];
    for target in targets {
        let mut client = router.connect().await;
        client.send([b"GET ", target, b" HTTP/1.1\r\nHost: app.paddock.test\r\n\r\n"].concat()).await;
        let mut at_dyno = dyno.accept().await;
        assert_eq!(first_line(&mut at_dyno).await, [b"GET ", target, b" HTTP/1.1\r\n"].concat());
        at_dyno.send(OK).await;
        assert_eq!(client.response().await.status, 200);
    }
    let lines = texts(&router.records(targets.len()).await);
    assert!(lines.iter().all(|line| line.contains(" status=200 bytes=2 ")), "{lines:#?}");
    only(&lines, " path=\"/na\\xefve\" ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_target_of_any_scheme_is_its_path() {
    let (_router, dyno, mut client) = scene().await;
    client.send("GET ws://app.paddock.test?a=<b> HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
    let (_at_dyno, head) = dyno.answer(OK).await;
    assert!(head.starts_with("GET /?a=<b> HTTP/1.1\r\nHost: app.paddock.test\r\n"), "{head}");
    assert_eq!(client.response().await.status, 200);
}

/// Requests that are refused: all but the last empty line, the status, the cause and a word of the reason.
const REFUSED: [(&str, u16, &str, &str); 31] = [
    ("GET /a b HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "request line"),
    ("GET  / HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "request line"),
    ("GET /\tb HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "target"),
    ("GET /\0 HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "target"),
    ("GET * HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "target"),
    ("POST * HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "target"),
    ("GET app.paddock.test:80 HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "target"),
    ("GET app.paddock.test HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "target"),
    ("GET ?a HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "target"),
    ("CONNECT /a HTTP/1.1\r\nHost: H\r\n", 400, "bad request line", "target"),
    ("GET / HTTP/1.2\r\nHost: H\r\n", 400, "bad request line", "HTTP/1.1"),
    ("GET / HTTP/2.0\r\nHost: H\r\n", 400, "bad request line", "HTTP/1.1"),
    ("GET / HTTP/1.1\nHost: H\r\n", 400, "bad header", "CR and LF"),
    ("GET / HTTP/1.1\r\nHost: H\nA: b\r\n", 400, "bad header", "CR and LF"),
    ("GET / HTTP/1.1\r\nHost: H\r\nA : b\r\n", 400, "bad header", "malformed"),
    ("GET / HTTP/1.1\r\nHost: H\r\nA: b\r\n c\r\n", 400, "bad header", "malformed"),
    ("GET / HTTP/1.1\r\nHost: H\r\nA: b\rC: d\r\n", 400, "bad header", "malformed"),
    ("GET / HTTP/1.1\r\nHost: H\r\nA: b\0\r\n", 400, "bad header", "malformed"),
    ("GET / HTTP/1.1\r\nHost: H\r\nno colon\r\n", 400, "bad header", "malformed"),
    ("POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 1, 1\r\n", 400, "bad header", "Content-Length"),
    ("POST / HTTP/1.1\r\nHost: H\r\nContent-Length: +1\r\n", 400, "bad header", "Content-Length"),
    ("POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 1\r\nContent-Length: 2\r\n", 400, "bad header", "Length"),
    (
        "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        400,
        "bad header",
        "both",
    ),
    (
        "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        400,
        "bad header",
        "both",
    ),
    (
        "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: gzip, chunked\r\n",
        400,
        "bad header",
        "chunked alone",
    ),
    ("POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: identity\r\n", 400, "bad header", "chunked alone"),
    (
        "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked, chunked\r\n",
        400,
        "bad header",
        "chunked alone",
    ),
    ("POST / HTTP/1.0\r\nHost: H\r\nTransfer-Encoding: chunked\r\n", 400, "bad header", "chunked alone"),
    ("POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding:\r\n", 400, "bad header", "chunked alone"),
    ("POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: xchunked\r\n", 501, "bad header", "not known"),
    ("POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: zstd, chunked\r\n", 501, "bad header", "not known"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_is_answered_logged_and_the_last_of_its_connection() {
    for (head, status, cause, reason) in REFUSED {
        let (router, dyno, mut client) = scene().await;
        // What follows would be a request of its own to whoever ends the first one here.
        let request = head.replace("Host: H", "Host: app.paddock.test") + "\r\n" + "0\r\n\r\n" + GET;
        client.send(request).await;
        let response = client.response().await;
        assert_eq!(response.status, status, "{head:?}");
        assert_eq!(response.header("connection"), Some("close"), "{head:?}");
        assert!(response.body.contains(reason), "{head:?}: {}", response.body);
        assert_eq!(client.rest().await, b"", "{head:?}");
        let line = router.line().await;
        let begin = "at=error code=H26 desc=\"Request Error: ";
        assert!(line.starts_with(begin), "{head:?}: {line}");
        let words = response.body.trim_end().trim_end_matches('.');
        assert!(line.contains(&format!(": {words}\" cause=\"{cause}\" method=")), "{head:?}: {line}");
        assert!(line.contains(&format!(" dyno= connect= service= status={status} bytes= ")), "{line}");
        drop(dyno);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_of_nobody_is_told_all_the_same() {
    let (_router, _dyno, _) = scene().await;
    for request in
        ["GET / HTTP/1.1\r\n\r\n", "GET /\r\n", "\r\n\r\n\r\n\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n"]
    {
        let response = _router.request(request).await;
        assert_eq!(response.status, 400, "{request:?}");
        assert!(response.body.len() > 10, "{request:?}: {}", response.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_is_none_is_the_clients_fault_and_nothing_after_it_is_a_request() {
    let bodies = [
        "zz\r\n",
        "-1\r\n",
        "0x1\r\na\r\n",
        "1\na\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "00000000000000001\r\na\r\n",
        "ffffffffffffffffff\r\n",
        "1;a\0\r\na\r\n",
        "0\r\nno trailer\r\n",
        "0\r\nA: b\n\r\n",
    ];
    for body in bodies {
        // With the head, and after the dyno has it.
        for is_late in [false, true] {
            let (router, dyno, mut client) = scene().await;
            let head = "POST / HTTP/1.1\r\nHost: app.paddock.test\r\nTransfer-Encoding: chunked\r\n\r\n";
            let bad = format!("{body}0\r\n\r\n{GET}");
            let mut at_dyno = None;
            if is_late {
                client.send(format!("{head}2\r\nok\r\n")).await;
                let mut dyno = dyno.accept().await;
                read_head(&mut dyno.0).await;
                assert_eq!(read_chunk(&mut dyno.0).await, b"ok");
                client.send(bad).await;
                at_dyno = Some(dyno);
            } else {
                client.send(format!("{head}{bad}")).await;
            }
            let response = client.response().await;
            assert_eq!(response.status, 400, "{body:?}");
            assert!(response.body.contains("malformed"), "{body:?}: {}", response.body);
            assert_eq!(client.rest().await, b"", "{body:?}");
            let line = router.line().await;
            assert!(
                line.contains(" code=H26 ") && line.contains(" cause=\"bad chunk\" "),
                "{body:?}: {line}"
            );
            assert!(line.contains(" status=400 "), "{body:?}: {line}");
            if let Some(mut dyno) = at_dyno {
                // It is not told that the body has ended: no last chunk.
                assert_eq!(dyno.rest().await, b"", "{body:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_a_dyno_that_are_none_are_h17() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    // Before anything was said to the client it is told.
    let (router, dyno, mut client) = scene().await;
    client.send(GET).await;
    let _at_dyno = dyno.answer(&format!("{head}zz\r\n")).await;
    client.response().await.assert_page(RouterCode::H17);
    assert!(router.line().await.starts_with("at=error code=H17 "));

    let (router, dyno, mut client) = scene().await;
    client.send(GET).await;
    let (mut at_dyno, _) = dyno.answer(&format!("{head}3\r\none\r\n")).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(read_chunk(&mut client.0).await, b"one");
    at_dyno.send("-3\r\ntwo\r\n").await;
    assert_eq!(client.rest().await, b"", "no last chunk");
    let line = router.line().await;
    assert!(line.starts_with("at=error code=H17 ") && line.contains(" bytes=3 "), "{line}");

    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/3 200 OK\r\n\r\n",
    ] {
        let (router, dyno, mut client) = scene().await;
        client.send(GET).await;
        let _at_dyno = dyno.answer(answer).await;
        client.response().await.assert_page(RouterCode::H17);
        assert!(router.line().await.starts_with("at=error code=H17 "), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_the_last_chunk_of_a_dyno_is_passed_on_and_its_connection_kept() {
    let (router, dyno, mut client) = scene().await;
    let answer = "HTTP/1.1 200 OK\r\nTrailer: Server-Timing, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nbody\n\r\n0\r\nServer-Timing: db;dur=5\r\nX-Sum: 1\r\nContent-Length: 9\r\nHost: x\r\n\r\n";
    client.send(GET).await;
    let (mut at_dyno, _) = dyno.answer(answer).await;
    for again in [true, false] {
        let head = client.head().await;
        assert_eq!((head.status, head.header("trailer")), (200, Some("Server-Timing, X-Sum")));
        assert_eq!(read_chunk(&mut client.0).await, b"body\n");
        // What would say something of the message comes too late for that, and is left out.
        let end = "0\r\nServer-Timing: db;dur=5\r\nX-Sum: 1\r\n\r\n";
        assert_eq!(client.read(end.len()).await, end);
        if again {
            client.send(GET).await;
            read_head(&mut at_dyno.0).await;
            at_dyno.send(answer).await;
        }
    }
    let lines = texts(&router.records(2).await);
    for line in &lines {
        assert!(line.starts_with("at=info ") && line.contains(" status=200 bytes=5 "), "{line}");
    }
    assert!(lines[1].contains(" connect=0ms "), "{}", lines[1]);

    // An old client has no place for them.
    let mut old = router.connect().await;
    old.send("GET / HTTP/1.0\r\nHost: app.paddock.test\r\n\r\n").await;
    read_head(&mut at_dyno.0).await;
    at_dyno.send(answer).await;
    assert_eq!(old.head().await.status, 200);
    assert_eq!(old.rest().await, b"body\n");
    assert!(router.records(3).await.iter().all(|record| record.bytes.starts_with(b"at=info ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_said_everything_is_answered() {
    let body = "POST / HTTP/1.1\r\nHost: app.paddock.test\r\nContent-Length: 4\r\n\r\nbody";
    let old = "GET / HTTP/1.0\r\nHost: app.paddock.test\r\n\r\n";
    let chunked =
        "POST / HTTP/1.1\r\nHost: app.paddock.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    for request in [GET, body, old, chunked] {
        let (router, dyno, mut client) = scene().await;
        client.send(request).await;
        client.0.shutdown().await.unwrap();
        let mut at_dyno = dyno.accept().await;
        read_head(&mut at_dyno.0).await;
        at_dyno.send(OK).await;
        let response = client.response().await;
        assert_eq!((response.status, response.body.as_str()), (200, "hi"), "{request:?}");
        assert_eq!(client.rest().await, b"", "then it is closed");
        let line = router.line().await;
        assert!(line.starts_with("at=info ") && line.contains(" status=200 bytes=2 "), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_and_then_the_end_are_all_answered() {
    let (router, dyno, mut client) = scene().await;
    let address = dyno.say("hi");
    assert!(address.ip().is_loopback());
    client.send(GET.repeat(3)).await;
    client.0.shutdown().await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.response().await.body, "hi");
    }
    assert_eq!(client.rest().await, b"");
    router.records(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_said_everything_waits_for_a_dyno_and_for_a_stream() {
    let mut router = TestRouter::start().await;
    router.route(&[app("app", Web::Starting)]);
    let mut client = router.connect().await;
    client.send(GET).await;
    client.0.shutdown().await.unwrap();
    // Answered first: the one before it waits already, or it meets the new table.
    assert_eq!(router.get("none.paddock.test").await.status, 404);
    let dyno = TestDyno::listen().await;
    router.route(&[app_at("app", dyno.address)]);
    let (mut at_dyno, _) =
        dyno.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(read_chunk(&mut client.0).await, b"one");
    at_dyno.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(read_chunks(&mut client.0).await, b"two");
    assert!(router.line().await.contains(" status=200 bytes=6 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_more_is_gone() {
    let (router, dyno, mut client) = scene().await;
    client.send(GET).await;
    let (mut at_dyno, _) = dyno.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    // Closed, not reset: it shows once something is written.
    drop(client);
    let mut is_closed = false;
    let writing = tokio::spawn(async move { while at_dyno.0.write_all(b"1\r\nx\r\n").await.is_ok() {} });
    eventually("the end of the connection to the dyno", || {
        is_closed = writing.is_finished();
        is_closed
    })
    .await;
    assert!(router.line().await.starts_with("sock=client at=warning code=H27 "));
}
