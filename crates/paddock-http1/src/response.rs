//! The head of a response.

use bytes::{BufMut, Bytes, BytesMut};

use crate::body::Body;
use crate::line::{self, Lines, Next};
use crate::request::keeps_alive;
use crate::{Fields, Progress, Version};

/// Bytes of the first line.
const STATUS_LINE_BYTES_MAX: usize = 8192;
/// Bytes of a header's value.
const VALUE_BYTES_MAX: usize = 512 * 1024;
const COOKIE_BYTES_MAX: usize = 8192;
const FIELDS_MAX: usize = 1000;
/// Bytes of a head, and of all interim ones in front of it.
const HEAD_BYTES_MAX: usize = 1024 * 1024;
/// Responses such as `100 Continue` in front of one.
const INTERIM_MAX: usize = 32;
const LEADING_LINES_MAX: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub version: Version,
    pub status: u16,
    /// The reason phrase, perhaps empty.
    pub reason: Bytes,
    pub fields: Fields,
}

/// Why an answer is no valid response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadResponse {
    Malformed,
    /// It breaks a limit: this one.
    Restricted(&'static str),
}

impl Response {
    /// A response without a header.
    #[must_use]
    pub fn new(status: u16, reason: &'static str) -> Self {
        let reason = Bytes::from_static(reason.as_bytes());
        Self { version: Version::Http11, status, reason, fields: Fields::default() }
    }

    /// What of the bytes after the head is its body. `to_head` says that HEAD was asked.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn body(&self, to_head: bool) -> Result<Body, BadResponse> {
        if to_head || matches!(self.status, 100..200 | 204 | 304) {
            return Ok(Body::Empty);
        }
        if self.fields.contains("transfer-encoding") {
            let words: Vec<&[u8]> = self.fields.words("transfer-encoding").collect();
            let is_chunked = matches!(words[..], [only] if only.eq_ignore_ascii_case(b"chunked"));
            return match is_chunked && self.version == Version::Http11 {
                true => Ok(Body::chunked()),
                false => Err(BadResponse::Malformed),
            };
        }
        let mut lengths = self.fields.all("content-length").map(|length| line::number(length));
        let Some(first) = lengths.next() else { return Ok(Body::Close) };
        match first {
            Some(length) if lengths.all(|other| other == first) => Ok(Body::of_length(length)),
            _ => Err(BadResponse::Restricted("invalid content length")),
        }
    }

    /// Whether the connection can be used again after this response.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.version, &self.fields)
    }

    /// Writes the head with its empty line, as HTTP/1.1.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_slice(format!("HTTP/1.1 {:03} ", self.status).as_bytes());
        out.put_slice(&self.reason);
        out.put_slice(b"\r\n");
        self.fields.write(out);
        out.put_slice(b"\r\n");
    }
}

/// Reads the head of one response, and passes over interim ones.
#[derive(Debug, Default)]
pub struct ResponseReader {
    lines: Lines,
    taken: usize,
    /// Empty lines in front of it.
    leading: usize,
    /// Interim responses in front of it.
    interim: usize,
    response: Option<Response>,
}

impl ResponseReader {
    /// Whether any byte of a response came.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.taken > 0
    }

    /// Takes what it can off the front of `buffer`.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Progress<Result<Response, BadResponse>> {
        loop {
            if let Some(bad) = self.not_http(buffer) {
                return Progress::Done(Err(bad));
            }
            let max = if self.response.is_none() { STATUS_LINE_BYTES_MAX } else { HEAD_BYTES_MAX };
            let line = match self.lines.next(buffer, max, &mut self.taken) {
                _ if self.taken > HEAD_BYTES_MAX => return Progress::Done(Err(OVERSIZED)),
                Next::More if !self.lines.is_overlong() => return Progress::More,
                Next::More | Next::Overlong if self.response.is_none() => {
                    return Progress::Done(Err(BadResponse::Restricted("oversized status line")));
                }
                Next::More | Next::Overlong => return Progress::Done(Err(OVERSIZED)),
                Next::Line(line, _) => line,
            };
            match self.line(&line) {
                Ok(None) => {}
                Ok(Some(response)) => return Progress::Done(Ok(response)),
                Err(bad) => return Progress::Done(Err(bad)),
            }
        }
    }

    /// What is no HTTP from its first byte on has no lines to wait for.
    fn not_http(&self, buffer: &[u8]) -> Option<BadResponse> {
        let begin = b"HTTP/1.";
        let bytes = &buffer[..buffer.len().min(begin.len())];
        let may_begin = matches!(bytes.first(), Some(b'\r' | b'\n') | None) || begin.starts_with(bytes);
        (self.response.is_none() && !may_begin).then_some(BadResponse::Malformed)
    }

    fn line(&mut self, line: &Bytes) -> Result<Option<Response>, BadResponse> {
        let Some(response) = &mut self.response else {
            if line.is_empty() {
                self.leading += 1;
                return if self.leading > LEADING_LINES_MAX { Err(BadResponse::Malformed) } else { Ok(None) };
            }
            self.response = Some(status_line(line).ok_or(BadResponse::Malformed)?);
            return Ok(None);
        };
        if !line.is_empty() {
            let field = line::field(line).ok_or(BadResponse::Malformed)?;
            if field.name.eq_ignore_ascii_case(b"set-cookie") && field.value.len() > COOKIE_BYTES_MAX {
                return Err(BadResponse::Restricted("oversized cookie"));
            }
            if field.value.len() > VALUE_BYTES_MAX || response.fields.len() >= FIELDS_MAX {
                return Err(OVERSIZED);
            }
            response.fields.push(field.name, field.value);
            return Ok(None);
        }
        let whole = self.response.take().filter(|response| {
            let is_interim = matches!(response.status, 100..200) && response.status != 101;
            self.interim += usize::from(is_interim);
            !is_interim
        });
        if self.interim > INTERIM_MAX { Err(BadResponse::Malformed) } else { Ok(whole) }
    }
}

const OVERSIZED: BadResponse = BadResponse::Restricted("oversized header");

fn status_line(line: &Bytes) -> Option<Response> {
    let version = match line.get(..9)? {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        _ => return None,
    };
    let status = line.get(9..12).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let status = u16::try_from(line::number(status)?).ok().filter(|status| *status >= 100)?;
    let reason = match line.get(12) {
        None => Bytes::new(),
        Some(b' ') => line.slice(13..),
        Some(_) => return None,
    };
    let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    reason.iter().all(is_text).then(|| Response { version, status, reason, fields: Fields::default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pieces;

    fn read(bytes: &[u8], piece: usize) -> Option<(Result<Response, BadResponse>, BytesMut)> {
        let mut reader = ResponseReader::default();
        pieces::read(bytes, piece, |buffer| reader.take(buffer))
    }

    fn read_whole(text: &str) -> Result<Response, BadResponse> {
        read(text.as_bytes(), usize::MAX).expect("a whole head").0
    }

    #[test]
    fn heads_are_read_as_apps_write_them() {
        for (text, status, reason) in [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\nrest", 200, "OK"),
            ("HTTP/1.0 200 OK\nA: b\n\nrest", 200, "OK"),
            ("\r\nHTTP/1.1 299\r\nA: b\r\n\r\nrest", 299, ""),
            ("HTTP/1.1 404 Ni\u{e9}nte da f\u{e1}r\r\nA:b \r\n\r\nrest", 404, "Ni\u{e9}nte da f\u{e1}r"),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 H\r\nL: x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nrest",
                200,
                "OK",
            ),
            ("HTTP/1.1 101 S\r\nA: b\r\n\r\nrest", 101, "S"),
        ] {
            for piece in [1, 2, 7, 1000] {
                let (response, rest) = read(text.as_bytes(), piece).unwrap();
                let response = response.unwrap();
                assert_eq!((response.status, &response.reason[..]), (status, reason.as_bytes()), "{text:?}");
                assert_eq!(response.fields.iter().map(|field| &field.value[..]).collect::<Vec<_>>(), [b"b"]);
                assert_eq!(rest, "rest");
            }
        }
    }

    #[test]
    fn what_is_none_is_told_apart_from_what_is_too_much() {
        let with = |header: String| format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n");
        let malformed = BadResponse::Malformed;
        let restricted = BadResponse::Restricted;
        for (text, bad) in [
            ("nonsense".to_owned(), malformed),
            ("HTTP/2 200\r\n\r\n".to_owned(), malformed),
            ("HTTP/1.1 20 OK\r\n\r\n".to_owned(), malformed),
            ("HTTP/1.1 099 OK\r\n\r\n".to_owned(), malformed),
            ("HTTP/1.1 2000\r\n\r\n".to_owned(), malformed),
            ("HTTP/1.1  200 OK\r\n\r\n".to_owned(), malformed),
            ("\r\n".repeat(5), malformed),
            (with("A b".into()), malformed),
            (with("A: b\r\n folded".into()), malformed),
            (with("A: \x01".into()), malformed),
            (format!("HTTP/1.1 200 {}", "x".repeat(8192)), restricted("oversized status line")),
            (with(format!("Set-Cookie: {}", "x".repeat(8193))), restricted("oversized cookie")),
            (with(format!("A: {}", "x".repeat(512 * 1024 + 1))), restricted("oversized header")),
            (with(format!("A: {}", "x".repeat(1024 * 1024))), restricted("oversized header")),
            (with(["A: b"; 1001].join("\r\n")), restricted("oversized header")),
        ] {
            assert_eq!(read_whole(&text), Err(bad), "{:?}", &text[..text.len().min(60)]);
        }
        assert!(read_whole(&with(format!("Set-Cookie: {}", "x".repeat(8192)))).is_ok());
        assert!(read_whole(&with(["A: b"; 1000].join("\r\n"))).is_ok());
        assert!(read(b"HTTP/1.1 200 OK\r\nA: b\r\n", 9).is_none());
    }

    #[test]
    fn interim_responses_have_an_end() {
        let interim =
            |count: usize| "HTTP/1.1 100 Continue\r\n\r\n".repeat(count) + "HTTP/1.1 200 OK\r\n\r\n";
        assert!(read_whole(&interim(INTERIM_MAX)).is_ok());
        assert_eq!(read_whole(&interim(INTERIM_MAX + 1)), Err(BadResponse::Malformed));
        // Few, and with headers without end.
        let header = format!("HTTP/1.1 103 Early Hints\r\n{}\r\n", "A: bcdefgh\r\n".repeat(900));
        let long = header.repeat(INTERIM_MAX) + &"x".repeat(HEAD_BYTES_MAX);
        assert!(read(long.as_bytes(), 1000).unwrap().0.is_err());
    }

    #[test]
    fn the_end_of_a_body_is_known_or_it_is_refused() {
        let head = |fields: &str| read_whole(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap();
        let kind = |fields: &str| match head(fields).body(false) {
            Ok(Body::Empty) => "empty".to_owned(),
            Ok(Body::Length(length)) => length.to_string(),
            Ok(Body::Chunked(_)) => "chunked".to_owned(),
            Ok(Body::Close) => "close".to_owned(),
            Err(bad) => format!("{bad:?}"),
        };
        let length = "Restricted(\"invalid content length\")";
        for (fields, expected) in [
            ("", "close"),
            ("Content-Length: 0\r\n", "empty"),
            ("Content-Length: 5\r\nContent-Length: 05\r\n", "5"),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", length),
            ("Content-Length: 5, 5\r\n", length),
            ("Content-Length: -5\r\n", length),
            ("Transfer-Encoding: Chunked\r\nContent-Length: 5\r\n", "chunked"),
            ("Transfer-Encoding: gzip, chunked\r\n", "Malformed"),
            ("Transfer-Encoding:\r\n", "Malformed"),
        ] {
            assert_eq!(kind(fields), expected, "{fields:?}");
        }
        assert!(matches!(head("Content-Length: 5\r\n").body(true), Ok(Body::Empty)));
        let unchanged = Response { status: 304, ..head("Content-Length: 5\r\n") };
        assert!(matches!(unchanged.body(false), Ok(Body::Empty)));
        let old = read_whole("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert!(old.body(false).is_err() && !old.keeps_alive());
    }

    #[test]
    fn a_connection_is_kept_as_the_version_and_the_words_say() {
        for (head, keeps) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(read_whole(head).unwrap().keeps_alive(), keeps, "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            text in "(HTTP/1[.]1 (100|200|099)( OK)?\r?\n([a-c :\t]{0,4}\r?\n){0,3}){1,3}[ab]{0,3}",
            piece in 1usize..9,
        ) {
            prop_assert_eq!(format!("{:?}", read(text.as_bytes(), piece)), format!("{:?}", read(text.as_bytes(), 9999)));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, piece in 1usize..20) {
            let _ = read(&[b"HTTP/1.1 200 ".as_slice(), &bytes].concat(), piece);
            let _ = read(&bytes, piece);
        }
    }
}
