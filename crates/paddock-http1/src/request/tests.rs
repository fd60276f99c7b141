use proptest::prelude::*;

use super::*;
use crate::pieces;

fn read(bytes: &[u8], piece: usize) -> Option<(Result<Request, Refused>, BytesMut)> {
    let mut reader = RequestReader::default();
    pieces::read(bytes, piece, |buffer| reader.take(buffer))
}

fn read_whole(bytes: impl AsRef<[u8]>) -> Result<Request, Refused> {
    read(bytes.as_ref(), usize::MAX).expect("a whole head").0
}

fn get(fields: &str) -> Request {
    read_whole(format!("GET / HTTP/1.1\r\n{fields}\r\n")).unwrap()
}

#[test]
fn a_target_is_bytes() {
    for target in [
        &b"/"[..],
        b"/a?q=<b>",
        b"/a`b",
        b"/?ids=[\"x\",\"y\"]",
        b"/caf\xe9",
        b"/\xff\xfe",
        b"/%",
        b"/%zz",
        b"//a//../b",
        b"/a#b",
        b"/{}|\\^'",
        "/\u{1f980}".as_bytes(),
        b"http://a.test/x?<y>",
    ] {
        let head = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\nrest"].concat();
        for piece in [1, 3, 1000] {
            let (request, rest) = read(&head, piece).unwrap();
            let request = request.unwrap();
            assert_eq!((&request.target[..], &rest[..]), (target, &b"rest"[..]));
            assert!(request.form().is_ok(), "{request:?}");
        }
    }
}

#[test]
fn a_form_goes_with_its_method() {
    let form = |method: &str, target: &str| {
        let request = read_whole(format!("{method} {target} HTTP/1.1\r\n\r\n")).unwrap();
        request.form()
    };
    let absolute = |authority: &'static str, path: &'static str| {
        Ok(Form::Absolute { authority: authority.into(), path: path.into() })
    };
    assert_eq!(form("GET", "/*"), Ok(Form::Origin));
    assert_eq!(form("OPTIONS", "*"), Ok(Form::Asterisk));
    assert_eq!(form("CONNECT", "a:443"), Ok(Form::Authority));
    assert_eq!(form("GET", "http://a:5/b?c"), absolute("a:5", "/b?c"));
    assert_eq!(form("GET", "HTTPS://a"), absolute("a", "/"));
    assert_eq!(form("GET", "http://a?b=/c"), absolute("a", "/?b=/c"));
    assert_eq!(form("GET", "ws://a/b"), absolute("a", "/b"));
    for (method, target) in [
        ("GET", "*"),
        ("GET", "a:443"),
        ("GET", "a"),
        ("GET", "mailto:a"),
        ("GET", "://a/"),
        ("GET", "1http://a/"),
        ("GET", "ht_tp://a/"),
        ("GET", "?a"),
        ("POST", "*"),
        ("CONNECT", "/"),
    ] {
        assert_eq!(form(method, target), Err(Defect::Target), "{method} {target}");
    }
}

#[test]
fn the_first_thing_that_is_wrong_is_told_and_whose_request_it_is() {
    let long = "x".repeat(8192);
    for (head, defect, host) in [
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Defect::RequestLine, true),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Defect::RequestLine, true),
        ("GET /\tb HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Defect::Target, true),
        ("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Defect::Target, true),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Defect::RequestLine, true),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Defect::RequestLine, true),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(), Defect::Version, true),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), Defect::Version, true),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(), Defect::LineEnd, true),
        ("GET / HTTP/1.1\r\nHost: a\n\n".to_owned(), Defect::LineEnd, true),
        ("GET / HTTP/1.1\r\nA : b\r\nHost: a\r\n\r\n".to_owned(), Defect::Header, true),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\nHost: a\r\n\r\n".to_owned(), Defect::Header, true),
        ("GET / HTTP/1.1\r\nA: b\0\r\nHost: a\r\n\r\n".to_owned(), Defect::Header, true),
        ("GET / HTTP/1.1\r\nA: b\rHost: c\r\nHost: a\r\n\r\n".to_owned(), Defect::Header, true),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), Defect::TooLong("request line"), true),
        (format!("GET / HTTP/1.1\r\nA: {long}\r\nHost: a\r\n\r\n"), Defect::TooLong("header line"), true),
        (
            format!("GET / HTTP/1.1\r\n{}: b\r\nHost: a\r\n\r\n", &long[..1001]),
            Defect::TooLong("header name"),
            true,
        ),
        (format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", &long[..128]), Defect::TooLong("method name"), true),
        // Nothing is waited for where nothing may come.
        ("GET /\r\n".to_owned(), Defect::RequestLine, false),
        ("nonsense\r\n".to_owned(), Defect::RequestLine, false),
        ("\r\n".repeat(5), Defect::RequestLine, false),
        ("x".repeat(HEAD_BYTES_MAX + 1), Defect::TooLong("request line"), false),
    ] {
        for piece in [1, 8191, usize::MAX] {
            let shown = &head[..head.len().min(50)];
            let (refused, _) = read(head.as_bytes(), piece).unwrap_or_else(|| panic!("{shown:?} goes on"));
            let refused = refused.expect_err(shown);
            assert_eq!(refused.defect, defect, "{shown:?} by {piece}");
            assert_eq!(refused.request.fields.contains("host"), host, "{shown:?} by {piece}");
        }
    }
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(1000));
    assert_eq!(read_whole(many).unwrap_err().defect, Defect::TooLong("number of headers"));
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "A: b\r\n".repeat(HEAD_BYTES_MAX / 6));
    assert!(read_whole(endless).is_err());
    assert!(read_whole("\r\n\r\nGET / HTTP/1.1\r\n\r\n").is_ok(), "what an old client sent too much");
}

#[test]
fn there_is_one_host() {
    let host = |head: &str| read_whole(format!("{head}\r\n")).unwrap().host();
    assert_eq!(host("GET / HTTP/1.1\r\nhost: a:5\r\n"), Ok("a:5".into()));
    assert_eq!(host("GET http://b/ HTTP/1.1\r\nHost: a\r\n"), Ok("b".into()));
    for head in ["GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n"] {
        assert_eq!(host(head), Err(Defect::Host), "{head:?}");
    }
}

#[test]
fn the_end_of_a_body_is_certain_or_it_is_refused() {
    let kind = |fields: &str| match get(fields).body() {
        Ok(Body::Empty) => "empty".to_owned(),
        Ok(Body::Length(length)) => length.to_string(),
        Ok(Body::Chunked(_)) => "chunked".to_owned(),
        Ok(Body::Close) => panic!("no request ends with its connection"),
        Err(defect) => format!("{defect:?} {}", defect.status()),
    };
    for (fields, expected) in [
        ("", "empty"),
        ("Content-Length: 0\r\n", "empty"),
        ("Content-Length: 5\r\ncontent-length: 5\r\n", "5"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "Length 400"),
        ("Content-Length: 5, 5\r\n", "Length 400"),
        ("Content-Length: +5\r\n", "Length 400"),
        ("Content-Length:\r\n", "Length 400"),
        ("Transfer-Encoding: chunked\r\n", "chunked"),
        ("transfer-encoding: CHUNKED\r\n", "chunked"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "LengthAndCoding 400"),
        ("Transfer-Encoding: gzip, chunked\r\n", "Coding 400"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Coding 400"),
        ("Transfer-Encoding: chunked, identity\r\n", "Coding 400"),
        ("Transfer-Encoding: identity\r\n", "Coding 400"),
        ("Transfer-Encoding: chunked;a=b\r\n", "Coding 400"),
        ("Transfer-Encoding:\r\n", "Coding 400"),
        ("Transfer-Encoding: xchunked\r\n", "UnknownCoding 501"),
        ("Transfer-Encoding: br;q=1, chunked\r\n", "UnknownCoding 501"),
        ("Transfer-Encoding: \u{b}chunked\r\n", ""),
    ] {
        if fields.contains('\u{b}') {
            assert!(read_whole(format!("GET / HTTP/1.1\r\n{fields}\r\n")).is_err());
        } else {
            assert_eq!(kind(fields), expected, "{fields:?}");
        }
    }
    let old = read_whole("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    assert_eq!(old.body().err(), Some(Defect::Coding));
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        head in "[\r\n]{0,3}(GET|G T|) ?[/*a-c]{0,3} HTTP/1[.][012]\r?\n([a-cH :\t]{0,4}\r?\n){0,4}[ab]{0,3}",
        piece in 1usize..9,
    ) {
        prop_assert_eq!(format!("{:?}", read(head.as_bytes(), piece)), format!("{:?}", read(head.as_bytes(), 9999)));
    }

    #[test]
    fn what_is_taken_is_read_the_same_way_again(
        method in "[A-Z-]{1,9}", target in "/[!-~\u{80}-\u{ff}]{0,20}", name in "[A-Za-z_-]{1,9}", value in "[ -~]{0,20}",
    ) {
        let head = format!("{method} {target} HTTP/1.1\r\n{name}:{value}\r\n\r\n");
        let request = read_whole(head).unwrap();
        prop_assert_eq!(&request.target[..], target.as_bytes());
        let mut written = BytesMut::new();
        request.write(&mut written);
        prop_assert_eq!(read_whole(&written).unwrap(), request);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, piece in 1usize..20) {
        if let Some((Ok(request), _)) = read(&[b"GET ".as_slice(), &bytes, b"\r\n\r\n"].concat(), piece) {
            let _ = (request.form(), request.host(), request.body());
        }
        let _ = read(&bytes, piece);
    }
}
