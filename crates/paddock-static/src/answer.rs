//! The answer to a request.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST,
    LAST_MODIFIED, LOCATION, VARY,
};
use http::request::Parts;
use http::response::Builder;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use jiff::Timestamp;

use crate::body::{FileBody, Reader};
use crate::conditions::{self, Part, Validators};
use crate::content::{self, Form};
use crate::etags::Etags;
use crate::route::{self, Asked, Outcome};
use crate::site::{Site, is_host};
use crate::types;

/// A site and what is known of its files.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) site: Site,
    pub(crate) etags: Etags,
}

impl Server {
    /// Answers. Files are opened here: it may take the time of a disk.
    pub(crate) fn answer(&self, request: &Parts) -> Response<FileBody> {
        let asked = Asked::parse(request.uri.path());
        let mut answer = self.redirect(request).unwrap_or_else(|| self.content(request, asked.as_ref()));
        if let Some(asked) = &asked {
            self.add_headers(asked, answer.headers_mut());
        }
        if request.method == Method::HEAD {
            *answer.body_mut() = FileBody::Ended;
        }
        answer
    }

    /// To another scheme or host, before anything else.
    fn redirect(&self, request: &Parts) -> Option<Response<FileBody>> {
        let header = |name: &str| request.headers.get(name)?.to_str().ok();
        let (scheme, host) = (header("x-forwarded-proto").unwrap_or("http"), host(request));
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        if self.site.https_only && scheme != "https" {
            let host = host.filter(|host| is_host(host))?;
            return Some(moved(&format!("https://{host}{path}")));
        }
        let canonical = self.site.canonical_host.as_deref()?;
        if host.is_some_and(|host| host.eq_ignore_ascii_case(canonical)) {
            return None;
        }
        let scheme = if scheme == "https" { "https" } else { "http" };
        Some(moved(&format!("{scheme}://{canonical}{path}")))
    }

    fn content(&self, request: &Parts, asked: Option<&Asked>) -> Response<FileBody> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return plain(
                Response::builder().status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, "GET, HEAD"),
            );
        }
        match asked.map_or(Outcome::NotFound, |asked| route::find(&self.site, asked)) {
            Outcome::File(file) => match self.send(&file, &request.headers, StatusCode::OK) {
                Ok(answer) => answer,
                Err(_) => self.error(StatusCode::INTERNAL_SERVER_ERROR),
            },
            Outcome::Redirect { status, location } => {
                plain(Response::builder().status(status).header(LOCATION, location))
            }
            Outcome::NotFound => self.error(StatusCode::NOT_FOUND),
        }
    }

    /// The site's own page of errors, or a line.
    fn error(&self, status: StatusCode) -> Response<FileBody> {
        let page = self.site.error_page.as_deref().and_then(|name| route::named(&self.site, name));
        let sent = page.and_then(|page| self.send(&page, &HeaderMap::new(), status).ok());
        sent.unwrap_or_else(|| plain(Response::builder().status(status)))
    }

    fn send(&self, path: &Path, headers: &HeaderMap, status: StatusCode) -> io::Result<Response<FileBody>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let media_type = types::of_name(&name);
        let is_text = types::is_text(media_type);
        let (mut file, mut metadata) = open(path)?;
        let form = content::choose(headers, path, metadata.len(), is_text);
        if let Form::Beside(beside, _) = &form {
            (file, metadata) = open(beside)?;
        }
        let etag = self.etags.of(&mut file, &metadata)?;
        let etag = if form == Form::Gzip { format!("W/{etag}") } else { etag };
        let validators = Validators { etag, modified: modified(&metadata) };
        let mut answer = Response::builder().header(ETAG, &validators.etag);
        if let Some(modified) = validators.modified {
            answer = answer.header(LAST_MODIFIED, conditions::date(modified));
        }
        if is_text || matches!(form, Form::Beside(..)) {
            answer = answer.header(VARY, "Accept-Encoding");
        }
        if status == StatusCode::OK && conditions::is_known(headers, &validators) {
            return finish(answer.status(StatusCode::NOT_MODIFIED), FileBody::Ended);
        }
        answer = answer.header(CONTENT_TYPE, types::with_charset(media_type, &self.site.charset));
        let length = metadata.len();
        let encoding = match &form {
            Form::Gzip => {
                let answer = answer.status(status).header(CONTENT_ENCODING, "gzip");
                return finish(answer, FileBody::file(Reader::gzip(file, length)));
            }
            Form::Beside(_, encoding) => Some(*encoding),
            Form::Plain => None,
        };
        if let Some(encoding) = encoding {
            answer = answer.header(CONTENT_ENCODING, encoding);
        }
        let (status, first, sent) = match conditions::part(headers, &validators, length) {
            _ if status != StatusCode::OK => (status, 0, length),
            Part::Whole => (status, 0, length),
            Part::Bytes(first, last) => {
                answer = answer.header(CONTENT_RANGE, format!("bytes {first}-{last}/{length}"));
                (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
            }
            Part::None => {
                let answer = Response::builder().header(CONTENT_RANGE, format!("bytes */{length}"));
                return Ok(plain(answer.status(StatusCode::RANGE_NOT_SATISFIABLE)));
            }
        };
        let answer = answer.status(status).header(ACCEPT_RANGES, "bytes").header(CONTENT_LENGTH, sent);
        finish(answer, FileBody::file(Reader::plain(file, first, sent)?))
    }

    /// The last definition that fits counts, and no other.
    fn add_headers(&self, asked: &Asked, headers: &mut HeaderMap) {
        let found = self.site.headers.iter().rfind(|(pattern, _)| pattern.matches(&asked.path));
        for (name, value) in found.into_iter().flat_map(|(_, values)| values) {
            headers.insert(name, value.clone());
        }
    }
}

/// Without its port.
fn host(request: &Parts) -> Option<&str> {
    let host = request.uri.host().or_else(|| request.headers.get(HOST)?.to_str().ok())?;
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => Some(name),
        _ => Some(host),
    }
}

fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("no file"));
    }
    Ok((file, metadata))
}

fn modified(metadata: &Metadata) -> Option<Timestamp> {
    Timestamp::try_from(metadata.modified().ok()?).ok().filter(|time| time.as_second() > 0)
}

fn finish(answer: Builder, body: FileBody) -> io::Result<Response<FileBody>> {
    answer.body(body).map_err(io::Error::other)
}

fn moved(location: &str) -> Response<FileBody> {
    match HeaderValue::from_str(location) {
        Ok(location) => {
            plain(Response::builder().status(StatusCode::MOVED_PERMANENTLY).header(LOCATION, location))
        }
        Err(_) => plain(Response::builder().status(StatusCode::BAD_REQUEST)),
    }
}

/// An answer that says no more than its status.
fn plain(answer: Builder) -> Response<FileBody> {
    let mut answer = answer.body(FileBody::Ended).unwrap_or_else(|_| Response::new(FileBody::Ended));
    let text = format!("{}\n", answer.status());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *answer.body_mut() = FileBody::text(text);
    answer
}
