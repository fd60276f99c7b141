//! The answer to a request.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST,
    LAST_MODIFIED, LOCATION, VARY,
};
use http::request::Parts;
use http::response::Builder;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::Semaphore;

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
    /// Places for files that are compressed at once; a file that gets none goes as it is.
    pub(crate) compressing: Arc<Semaphore>,
}

/// How many files are compressed at once: each takes memory for as long as its client takes to read it.
const COMPRESSED_MAX: usize = 8;

impl Server {
    pub(crate) fn new(site: Site) -> Self {
        Self { site, etags: Etags::default(), compressing: Arc::new(Semaphore::new(COMPRESSED_MAX)) }
    }

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
        let mut form = content::choose(headers, path, metadata.len(), is_text);
        let place =
            if form == Form::Gzip { Arc::clone(&self.compressing).try_acquire_owned().ok() } else { None };
        if form == Form::Gzip && place.is_none() {
            form = Form::Plain;
        }
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
        if let Some(place) = place {
            let answer = answer.status(status).header(CONTENT_ENCODING, "gzip");
            return finish(answer, FileBody::file(Reader::gzip(file, length, place)));
        }
        if let Form::Beside(_, encoding) = form {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http::Request;
    use http_body_util::BodyExt;

    use super::*;
    use crate::site;

    /// A server for the files, and the folder that they are in.
    fn server(json: &str, files: &[(&str, &str)]) -> (Server, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("static.json"), json).unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let site = site::read(folder.path(), |_| None).unwrap();
        (Server::new(site), folder)
    }

    /// Status, the headers, and the body's bytes.
    fn ask(server: &Server, line: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri).header("host", "site.example:80");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (answer, body) = server.answer(&parts).into_parts();
        let body = runtime.block_on(body.collect()).unwrap().to_bytes().to_vec();
        (answer.status.as_u16(), answer.headers, body)
    }

    fn text(headers: &HeaderMap, name: &str) -> String {
        headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
    }

    #[test]
    fn a_file_is_sent_whole_in_part_compressed_or_not_at_all() {
        let long = "a line that is said again and again\n".repeat(8000);
        let (server, _folder) = server(
            "{}",
            &[
                ("a.txt", "0123456789"),
                ("long.css", &long),
                ("x.js", "plain"),
                ("x.js.br", "smaller"),
                ("e.txt", ""),
            ],
        );
        let (status, headers, body) = ask(&server, "GET /a.txt?x=1", &[]);
        assert_eq!((status, body.as_slice()), (200, &b"0123456789"[..]));
        assert_eq!(text(&headers, "content-length"), "10");
        assert_eq!(text(&headers, "content-type"), "text/plain; charset=UTF-8");
        let etag = text(&headers, "etag");
        let (status, headers, body) = ask(&server, "GET /a.txt", &[("if-none-match", &etag)]);
        assert_eq!((status, body.len(), text(&headers, "etag")), (304, 0, etag.clone()));
        let (status, headers, body) = ask(&server, "HEAD /a.txt", &[]);
        assert_eq!((status, body.len(), text(&headers, "content-length")), (200, 0, "10".to_owned()));
        let (status, headers, body) =
            ask(&server, "GET /a.txt", &[("range", "bytes=2-4"), ("if-range", &etag)]);
        assert_eq!((status, body.as_slice()), (206, &b"234"[..]));
        assert_eq!(text(&headers, "content-range"), "bytes 2-4/10");
        let (status, headers, _) = ask(&server, "GET /a.txt", &[("range", "bytes=20-")]);
        assert_eq!((status, text(&headers, "content-range")), (416, "bytes */10".to_owned()));
        assert_eq!(ask(&server, "GET /e.txt", &[]).2.len(), 0);

        let (status, headers, body) = ask(&server, "GET /long.css", &[("accept-encoding", "gzip")]);
        assert_eq!((status, text(&headers, "content-encoding")), (200, "gzip".to_owned()));
        assert_eq!(text(&headers, "vary"), "Accept-Encoding");
        assert!(text(&headers, "etag").starts_with("W/\"") && body.len() < long.len() / 10);
        let mut unpacked = String::new();
        GzDecoder::new(body.as_slice()).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == long);
        assert!(ask(&server, "GET /long.css", &[]).2 == long.as_bytes());
        let (_, headers, body) = ask(&server, "GET /x.js", &[("accept-encoding", "br")]);
        assert_eq!((text(&headers, "content-encoding"), body.as_slice()), ("br".to_owned(), &b"smaller"[..]));
        assert_eq!(text(&headers, "content-type"), "text/javascript; charset=UTF-8");
    }

    #[test]
    fn two_releases_with_a_page_of_one_date_and_length_have_two_tags() {
        let (server, folder) = server("{}", &[("index.html", "one")]);
        let tag = || text(&ask(&server, "GET /", &[]).1, "etag");
        let first = tag();
        let date = fs::metadata(folder.path().join("index.html")).unwrap().modified().unwrap();
        fs::write(folder.path().join("next"), "two").unwrap();
        fs::File::open(folder.path().join("next")).unwrap().set_modified(date).unwrap();
        fs::rename(folder.path().join("next"), folder.path().join("index.html")).unwrap();
        assert_ne!(tag(), first);
    }

    #[test]
    fn schemes_hosts_headers_and_pages_of_errors_are_as_the_site_says() {
        let json = r#"{"https_only": true, "error_page": "e.html", "headers": {"/**": {"X-A": "all", "X-B": 1}, "/a.txt": {"X-A": "one"}}}"#;
        let (server, _folder) = self::server(json, &[("a.txt", "x"), ("e.html", "sorry")]);
        let https = ("x-forwarded-proto", "https");
        let (status, headers, _) = ask(&server, "GET /a.txt?b=c", &[]);
        assert_eq!((status, text(&headers, "location")), (301, "https://site.example/a.txt?b=c".to_owned()));
        let (status, headers, _) = ask(&server, "GET /a.txt", &[https]);
        assert_eq!(
            (status, text(&headers, "x-a"), text(&headers, "x-b")),
            (200, "one".to_owned(), String::new())
        );
        let (status, headers, body) = ask(&server, "GET /none", &[https]);
        assert_eq!((status, text(&headers, "x-a"), body.as_slice()), (404, "all".to_owned(), &b"sorry"[..]));
        assert_eq!(text(&headers, "x-b"), "1");
        let (status, headers, _) = ask(&server, "POST /a.txt", &[https]);
        assert_eq!((status, text(&headers, "allow")), (405, "GET, HEAD".to_owned()));

        let (server, _folder) =
            self::server(r#"{"canonical_host": "www.example.com"}"#, &[("index.html", "x")]);
        let (status, headers, _) = ask(&server, "GET /?q", &[https]);
        assert_eq!((status, text(&headers, "location")), (301, "https://www.example.com/?q".to_owned()));
        let (status, _, body) = ask(&server, "GET http://WWW.example.com/", &[]);
        assert_eq!((status, body.as_slice()), (200, &b"x"[..]));
    }
}
