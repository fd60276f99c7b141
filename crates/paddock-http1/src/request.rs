//! The head of a request, read strictly.

use bytes::{BufMut, Bytes, BytesMut};

use crate::body::Body;
use crate::line::{self, Lines, Next};
use crate::{Defect, Fields, Progress};

/// Bytes of a line, without its end.
const LINE_BYTES_MAX: usize = 8192;
const METHOD_BYTES_MAX: usize = 127;
const NAME_BYTES_MAX: usize = 1000;
const FIELDS_MAX: usize = 1000;
/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 1024 * 1024;
/// Empty lines in front of a request: old clients end a body with one that belongs to nothing.
const LEADING_LINES_MAX: usize = 4;

/// The version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Whether a connection goes on after a message.
pub(crate) fn keeps_alive(version: Version, fields: &Fields) -> bool {
    let says = |word: &[u8]| fields.words("connection").any(|said| said.eq_ignore_ascii_case(word));
    match version {
        Version::Http11 => !says(b"close"),
        Version::Http10 => says(b"keep-alive") && !says(b"close"),
    }
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Bytes,
    /// The target, byte for byte.
    pub target: Bytes,
    /// The version.
    pub version: Version,
    /// The header.
    pub fields: Fields,
}

/// The form of a request's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A path, perhaps with a query.
    Origin,
    /// The server as a whole (`OPTIONS *`).
    Asterisk,
    /// Scheme, host and path.
    Absolute {
        /// Host and port.
        authority: Bytes,
        /// Path and query.
        path: Bytes,
    },
    /// Host and port (`CONNECT`).
    Authority,
}

/// A request that is refused, and what is known of it.
#[derive(Debug)]
pub struct Refused {
    /// The first thing that is wrong with it.
    pub defect: Defect,
    /// What was understood, for the log and for finding out whose it is. Not to be carried out.
    pub request: Request,
}

impl Request {
    /// The form of the target.
    ///
    /// # Errors
    /// When the target has none that goes with the method.
    pub fn form(&self) -> Result<Form, Defect> {
        let target = &self.target[..];
        match &self.method[..] {
            b"CONNECT" if !target.contains(&b'/') => Ok(Form::Authority),
            b"CONNECT" => Err(Defect::Target),
            b"OPTIONS" if target == b"*" => Ok(Form::Asterisk),
            _ if target.starts_with(b"/") => Ok(Form::Origin),
            _ => self.absolute().ok_or(Defect::Target),
        }
    }

    fn absolute(&self) -> Option<Form> {
        let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let scheme = self.target.iter().position(|byte| !is_scheme(byte))?;
        let is_absolute = self.target[0].is_ascii_alphabetic() && self.target[scheme..].starts_with(b"://");
        let rest = is_absolute.then(|| self.target.slice(scheme + b"://".len()..))?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let (authority, path) = (rest.slice(..end), rest.slice(end..));
        let path = match path.first() {
            Some(b'/') => path,
            _ => [b"/", &path[..]].concat().into(),
        };
        Some(Form::Absolute { authority, path })
    }

    /// The one host: that of an absolute target, else that of the header.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn host(&self) -> Result<Bytes, Defect> {
        let mut hosts = self.fields.all("host");
        match (hosts.next(), hosts.next(), self.form()) {
            (_, None, Ok(Form::Absolute { authority, .. })) => Ok(authority),
            (Some(host), None, _) => Ok(host.clone()),
            _ => Err(Defect::Host),
        }
    }

    /// What of the bytes after the head is its body.
    ///
    /// # Errors
    /// When that cannot be told for certain.
    pub fn body(&self) -> Result<Body, Defect> {
        let mut lengths = self.fields.all("content-length");
        if self.fields.contains("transfer-encoding") {
            return match lengths.next() {
                None => self.coded(),
                Some(_) => Err(Defect::LengthAndCoding),
            };
        }
        let Some(first) = lengths.next() else { return Ok(Body::Empty) };
        let length = line::number(first).ok_or(Defect::Length)?;
        match lengths.all(|other| line::number(other) == Some(length)) {
            true => Ok(Body::of_length(length)),
            false => Err(Defect::Length),
        }
    }

    fn coded(&self) -> Result<Body, Defect> {
        const KNOWN: [&[u8]; 7] =
            [b"chunked", b"compress", b"deflate", b"gzip", b"identity", b"x-compress", b"x-gzip"];
        let is = |word: &[u8], known: &[u8]| word.eq_ignore_ascii_case(known);
        let name =
            |word: &'_ [u8]| word.split(|byte| *byte == b';').next().unwrap_or(word).trim_ascii().len();
        let words: Vec<&[u8]> = self.fields.words("transfer-encoding").collect();
        if words.iter().any(|word| !KNOWN.iter().any(|known| is(&word[..name(word)], known))) {
            return Err(Defect::UnknownCoding);
        }
        match words[..] {
            [only] if is(only, b"chunked") && self.version == Version::Http11 => Ok(Body::chunked()),
            _ => Err(Defect::Coding),
        }
    }

    /// Whether the client would send another request on the connection.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.version, &self.fields)
    }

    /// Writes the head with its empty line.
    pub fn write(&self, out: &mut BytesMut) {
        let version = match self.version {
            Version::Http10 => " HTTP/1.0\r\n",
            Version::Http11 => " HTTP/1.1\r\n",
        };
        out.reserve(self.method.len() + self.target.len() + version.len() + 1);
        out.put_slice(&self.method);
        out.put_u8(b' ');
        out.put_slice(&self.target);
        out.put_slice(version.as_bytes());
        self.fields.write(out);
        out.put_slice(b"\r\n");
    }
}

/// Reads the head of one request.
///
/// A defect does not end it at once where the rest of the head may still say whose request it is.
#[derive(Debug, Default)]
pub struct RequestReader {
    lines: Lines,
    /// Bytes of the head so far.
    taken: usize,
    /// Empty lines in front of it.
    leading: usize,
    request: Option<Request>,
    defect: Option<Defect>,
}

impl RequestReader {
    /// Whether anything of a head was taken.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.taken > 0
    }

    /// Takes what it can off the front of `buffer`. Once it is done it begins anew.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Progress<Result<Request, Refused>> {
        loop {
            let next = self.lines.next(buffer, LINE_BYTES_MAX, &mut self.taken);
            let is_end = match next {
                Next::More if self.taken <= HEAD_BYTES_MAX => return Progress::More,
                Next::More => {
                    self.overlong();
                    true
                }
                Next::Line(line, is_whole) => self.line(&line, is_whole),
                Next::Overlong => self.overlong(),
            };
            if is_end || self.taken > HEAD_BYTES_MAX {
                return Progress::Done(self.end());
            }
        }
    }

    /// Whether the head ends with this line.
    fn line(&mut self, line: &Bytes, is_whole: bool) -> bool {
        if !is_whole {
            self.found(Defect::LineEnd);
        }
        let Some(request) = &mut self.request else {
            return self.first_line(line);
        };
        if line.is_empty() {
            return true;
        }
        let fields = &mut request.fields;
        let defect = match line::field(line) {
            None => Defect::Header,
            Some(field) if field.name.len() > NAME_BYTES_MAX => Defect::TooLong("header name"),
            Some(_) if fields.len() >= FIELDS_MAX => {
                self.found(Defect::TooLong("number of headers"));
                return true;
            }
            Some(field) => {
                fields.push(field.name, field.value);
                return false;
            }
        };
        self.found(defect);
        false
    }

    fn first_line(&mut self, line: &Bytes) -> bool {
        if line.is_empty() {
            self.leading += 1;
            return self.leading > LEADING_LINES_MAX;
        }
        let (request, defect) = request_line(line);
        self.request = Some(request);
        if let Some(defect) = defect {
            self.found(defect);
        }
        // What names no version is no HTTP, or so old that no header follows.
        let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        !last.starts_with(b"HTTP/")
    }

    /// A line is too long. The others may still say whose request it is.
    fn overlong(&mut self) -> bool {
        let what = if self.request.is_none() { "request line" } else { "header line" };
        self.found(Defect::TooLong(what));
        self.request.get_or_insert_with(nothing);
        false
    }

    fn found(&mut self, defect: Defect) {
        self.defect.get_or_insert(defect);
    }

    fn end(&mut self) -> Result<Request, Refused> {
        let Self { taken, request, defect, .. } = std::mem::take(self);
        let too_long = (taken > HEAD_BYTES_MAX).then_some(Defect::TooLong("head"));
        match (request, defect.or(too_long)) {
            (Some(request), None) => Ok(request),
            (request, defect) => Err(Refused {
                defect: defect.unwrap_or(Defect::RequestLine),
                request: request.unwrap_or_else(nothing),
            }),
        }
    }
}

/// A request of which nothing was understood.
fn nothing() -> Request {
    Request {
        method: Bytes::new(),
        target: Bytes::new(),
        version: Version::Http10,
        fields: Fields::default(),
    }
}

/// What a request line says, and what is wrong with it.
fn request_line(line: &Bytes) -> (Request, Option<Defect>) {
    let first = line.iter().position(|byte| *byte == b' ');
    let last = line.iter().rposition(|byte| *byte == b' ');
    let (Some(first), Some(last)) = (first, last.filter(|last| Some(*last) != first)) else {
        return (Request { target: line.clone(), ..nothing() }, Some(Defect::RequestLine));
    };
    let (method, target) = (line.slice(..first), line.slice(first + 1..last));
    let version = match &line[last + 1..] {
        b"HTTP/1.1" => Some(Version::Http11),
        b"HTTP/1.0" => Some(Version::Http10),
        _ => None,
    };
    let defect = if !line::is_token(&method) || target.is_empty() || target.contains(&b' ') {
        Some(Defect::RequestLine)
    } else if version.is_none() {
        Some(Defect::Version)
    } else if target.iter().any(|byte| byte.is_ascii_control()) {
        Some(Defect::Target)
    } else if method.len() > METHOD_BYTES_MAX {
        Some(Defect::TooLong("method name"))
    } else {
        None
    };
    let version = version.unwrap_or(Version::Http10);
    (Request { method, target, version, fields: Fields::default() }, defect)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The request and what follows it; the bytes come in pieces of `piece`. `None` when it is not complete.
    fn read(bytes: &[u8], piece: usize) -> Option<(Result<Request, Refused>, BytesMut)> {
        let (mut reader, mut buffer) = (RequestReader::default(), BytesMut::new());
        let mut done = None;
        for piece in bytes.chunks(piece) {
            buffer.extend_from_slice(piece);
            if done.is_none()
                && let Progress::Done(read) = reader.take(&mut buffer)
            {
                done = Some(read);
            }
        }
        Some((done?, buffer))
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
                let (refused, _) =
                    read(head.as_bytes(), piece).unwrap_or_else(|| panic!("{shown:?} goes on"));
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
}
