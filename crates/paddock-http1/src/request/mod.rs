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
    Http10,
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Bytes,
    /// The target, byte for byte.
    pub target: Bytes,
    pub version: Version,
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
    Absolute { authority: Bytes, path: Bytes },
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
mod tests;
