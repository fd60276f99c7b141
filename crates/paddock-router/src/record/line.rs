//! The router's log line, the form of which users' tools parse.
//!
//! Source: `docs/contract/platform-behaviour.md`, section 1, "Router log line" (router 2.0 fields). What a client chose
//! is escaped and cut, so that it can neither end its field nor begin another line.

use std::fmt::Write;
use std::time::Duration;

use paddock_core::code::{RouterAt, RouterCode};

/// The most bytes of a field after escaping.
const PATH_BYTES_MAX: usize = 4096;
const HOST_BYTES_MAX: usize = 256;
const FWD_BYTES_MAX: usize = 1024;
const WORD_BYTES_MAX: usize = 200;

/// Everything a line says. What is `None` stays empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) code: Option<RouterCode>,
    /// What a code's description adds after a colon.
    pub(crate) detail: Option<&'a str>,
    pub(crate) cause: Option<&'a str>,
    pub(crate) method: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) request_id: &'a [u8],
    pub(crate) fwd: &'a [u8],
    pub(crate) dyno: Option<&'a str>,
    pub(crate) connect: Option<Duration>,
    pub(crate) service: Option<Duration>,
    pub(crate) status: Option<u16>,
    pub(crate) bytes: Option<u64>,
    /// `tls1.2`, `tls1.3`; `None` for a connection without TLS.
    pub(crate) tls_version: Option<&'a str>,
}

impl Line<'_> {
    /// The line, without a newline.
    pub(crate) fn text(&self) -> String {
        let mut line = String::with_capacity(256 + self.path.len());
        self.write_code(&mut line);
        line.push_str(" method=");
        word(&mut line, self.method);
        line.push_str(" path=");
        quoted(&mut line, self.path, PATH_BYTES_MAX);
        line.push_str(" host=");
        cut_word(&mut line, self.host, HOST_BYTES_MAX);
        line.push_str(" request_id=");
        word(&mut line, self.request_id);
        line.push_str(" fwd=");
        quoted_end(&mut line, self.fwd, FWD_BYTES_MAX);
        line.push_str(" dyno=");
        word(&mut line, self.dyno.unwrap_or_default().as_bytes());
        self.write_numbers(&mut line);
        let (tls, version) = (self.tls_version.is_some(), self.tls_version.unwrap_or("unknown"));
        append(&mut line, format_args!(" protocol=http1.1 tls={tls} tls_version={version}"));
        line
    }

    fn write_code(&self, line: &mut String) {
        let Some(code) = self.code else {
            append(line, format_args!("at={}", RouterAt::Info.as_str()));
            return;
        };
        if let Some(sock) = code.sock() {
            append(line, format_args!("sock={sock} "));
        }
        append(line, format_args!("at={} code={code} desc=\"{}", code.at().as_str(), code.desc()));
        if let Some(detail) = self.detail {
            append(line, format_args!(": {detail}"));
        }
        line.push('"');
        if let Some(cause) = self.cause {
            append(line, format_args!(" cause=\"{cause}\""));
        }
    }

    fn write_numbers(&self, line: &mut String) {
        let milliseconds = |line: &mut String, name, value: Option<Duration>| match value {
            Some(value) => append(line, format_args!(" {name}={}ms", value.as_millis())),
            None => append(line, format_args!(" {name}=")),
        };
        milliseconds(line, "connect", self.connect);
        milliseconds(line, "service", self.service);
        line.push_str(" status=");
        if let Some(status) = self.status {
            append(line, format_args!("{status}"));
        }
        line.push_str(" bytes=");
        if let Some(bytes) = self.bytes {
            append(line, format_args!("{bytes}"));
        }
    }
}

fn append(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("a String takes everything");
}

/// A field between quotes: control bytes, quotes, backslashes and what is not ASCII are escaped.
fn quoted(line: &mut String, bytes: &[u8], max: usize) {
    line.push('"');
    let end = line.len() + max;
    for byte in bytes {
        if line.len() + escaped_bytes(*byte) > end {
            break;
        }
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            b' '..=b'~' => line.push(char::from(*byte)),
            _ => append(line, format_args!("\\x{byte:02x}")),
        }
    }
    line.push('"');
}

/// As [`quoted`], cut at the beginning: of a list of addresses only the last is known to be true.
fn quoted_end(line: &mut String, bytes: &[u8], max: usize) {
    let mut left = max;
    let fits = |byte: &&u8| match left.checked_sub(escaped_bytes(**byte)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let kept = bytes.iter().rev().take_while(fits).count();
    quoted(line, &bytes[bytes.len() - kept..], max);
}

fn escaped_bytes(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' => 2,
        b' '..=b'~' => 1,
        _ => 4,
    }
}

/// A field without quotes: only bytes that cannot end a word stay as they are, the others become `%XX`.
fn word(line: &mut String, bytes: &[u8]) {
    cut_word(line, bytes, WORD_BYTES_MAX);
}

fn cut_word(line: &mut String, bytes: &[u8], max: usize) {
    let end = line.len() + max;
    for byte in bytes {
        let plain = byte.is_ascii_alphanumeric() || b"-._~:+/=[]*!#$&'^`|".contains(byte);
        if line.len() + if plain { 1 } else { 3 } > end {
            break;
        }
        if plain {
            line.push(char::from(*byte));
        } else {
            append(line, format_args!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line<'a>() -> Line<'a> {
        Line {
            code: None,
            detail: None,
            cause: None,
            method: b"GET",
            path: b"/x?y",
            host: b"a.example",
            request_id: b"0123456789abcdefghij",
            fwd: b"10.0.0.1",
            dyno: Some("web.1"),
            connect: Some(Duration::from_millis(1)),
            service: Some(Duration::from_micros(18_900)),
            status: Some(200),
            bytes: Some(13),
            tls_version: None,
        }
    }

    #[test]
    fn a_line_reads_as_published() {
        assert_eq!(
            line().text(),
            "at=info method=GET path=\"/x?y\" host=a.example request_id=0123456789abcdefghij fwd=\"10.0.0.1\" \
             dyno=web.1 connect=1ms service=18ms status=200 bytes=13 protocol=http1.1 tls=false tls_version=unknown"
        );
        let failed = Line {
            code: Some(RouterCode::H12),
            service: Some(Duration::from_secs(30)),
            status: Some(503),
            bytes: Some(0),
            tls_version: Some("tls1.3"),
            ..line()
        };
        assert!(failed.text().starts_with("at=error code=H12 desc=\"Request timeout\" method=GET path="));
        assert!(
            failed
                .text()
                .ends_with("service=30000ms status=503 bytes=0 protocol=http1.1 tls=true tls_version=tls1.3")
        );
        let empty = Line {
            code: Some(RouterCode::H14),
            dyno: None,
            connect: None,
            service: None,
            bytes: None,
            ..line()
        };
        assert!(empty.text().contains(" dyno= connect= service= status=200 bytes= protocol="));
        let gone = Line { code: Some(RouterCode::H18), ..line() };
        assert!(gone.text().starts_with("sock=backend at=error code=H18 "));
    }

    /// The fields of a line as a tool reads them: words, or text between quotes with escapes.
    fn fields(line: &str) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        let mut rest = line;
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = match after.strip_prefix('"') {
                Some(text) => {
                    let mut escaped = false;
                    let end = text.bytes().position(|byte| {
                        let ends = byte == b'"' && !escaped;
                        escaped = byte == b'\\' && !escaped;
                        ends
                    })?;
                    (&text[..end], &text[end + 1..])
                }
                None => after.split_at(after.find(' ').unwrap_or(after.len())),
            };
            fields.push((name.to_owned(), value.to_owned()));
            rest = match after.strip_prefix(' ') {
                Some(rest) => rest,
                None if after.is_empty() => "",
                None => return None,
            };
        }
        Some(fields)
    }

    proptest! {
        #[test]
        fn no_input_breaks_out_of_its_field(
            method in any::<Vec<u8>>(),
            path in any::<Vec<u8>>(),
            host in any::<Vec<u8>>(),
            request_id in any::<Vec<u8>>(),
            fwd in any::<Vec<u8>>(),
            fwd_repeat in 1usize..200,
            repeat in 1usize..200,
        ) {
            let hostile = path.repeat(repeat);
            let fwd = [&fwd.repeat(fwd_repeat)[..], b", 10.1.2.3"].concat();
            let text = Line {
                method: &method, path: &hostile, host: &host, request_id: &request_id, fwd: &fwd, ..line()
            }.text();
            prop_assert!(text.contains(", 10.1.2.3\" dyno="), "the peer is always in it");
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert!(text.len() < 8000);
            let names: Vec<_> = fields(&text).unwrap().into_iter().map(|(name, _)| name).collect();
            prop_assert_eq!(names, [
                "at", "method", "path", "host", "request_id", "fwd", "dyno", "connect", "service", "status",
                "bytes", "protocol", "tls", "tls_version",
            ]);
        }
    }
}
