//! A site as `static.json` describes it, checked whole: what is wrong is said when the app is built, not when it is asked.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::glob::Glob;
use crate::ordered::Ordered;

/// The file that describes a site.
pub const CONFIGURATION: &str = "static.json";
/// What is served when the file does not say.
pub const DEFAULT_ROOT: &str = "public_html";
/// Where an app is at run time: some write their root so.
const HOME: &str = "/app";
/// The largest `static.json`, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;
/// The most routes, redirects or headers.
const RULES_MAX: usize = 1000;
/// Headers that say how an answer is sent, which is not for a file to say.
const OF_THE_CONNECTION: [HeaderName; 7] =
    [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, TRANSFER_ENCODING, UPGRADE];
/// What Heroku's buildpack reads besides, which has no meaning here.
const WITHOUT_MEANING: [&str; 5] =
    ["basic_auth_htpasswd_path", "debug", "logging", "resolver", "worker_connections"];

/// A site.
#[derive(Debug)]
pub struct Site {
    /// The folder that is served, without links.
    pub(crate) root: PathBuf,
    /// The same as it is said, below the app: `.` for the app itself.
    pub root_name: String,
    /// Keys of the file that say nothing here.
    pub ignored: Vec<String>,
    pub(crate) charset: String,
    pub(crate) clean_urls: bool,
    pub(crate) https_only: bool,
    pub(crate) canonical_host: Option<String>,
    pub(crate) error_page: Option<String>,
    pub(crate) routes: Vec<(Glob, String)>,
    pub(crate) redirects: Vec<Redirect>,
    pub(crate) headers: Vec<(Glob, Vec<(HeaderName, HeaderValue)>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) path: String,
    pub(crate) status: StatusCode,
    pub(crate) location: HeaderValue,
}

#[derive(Debug, Default, Deserialize)]
struct File {
    root: Option<String>,
    encoding: Option<String>,
    canonical_host: Option<Value>,
    error_page: Option<Value>,
    clean_urls: Option<bool>,
    https_only: Option<bool>,
    basic_auth: Option<Value>,
    proxies: Option<Value>,
    routes: Option<Ordered<String>>,
    redirects: Option<Ordered<FileRedirect>>,
    headers: Option<Ordered<Ordered<Value>>>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct FileRedirect {
    url: String,
    status: Option<u16>,
}

impl Site {
    /// Whether it has a first page.
    #[must_use]
    pub fn has_index(&self) -> bool {
        self.root.join("index.html").is_file()
    }
}

/// Reads the site in an app's folder; `variable` says what a config var has.
///
/// # Errors
/// A sentence for the app's owner.
pub fn read(app: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Site, String> {
    let file = read_file(app)?;
    if file.proxies.as_ref().is_some_and(|proxies| !is_nothing(proxies)) {
        return Err(format!(
            "{CONFIGURATION} has proxies, which this server does not serve: let the page ask the other app by its own\n\
             address (CORS), or run a proxy of your own from a Procfile."
        ));
    }
    let asks = file.basic_auth.as_ref().is_some_and(|value| !is_nothing(value));
    if asks || variable("BASIC_AUTH_USERNAME").is_some() {
        return Err(format!(
            "Basic authentication (basic_auth in {CONFIGURATION}, or BASIC_AUTH_USERNAME) is not served here, and without it\n\
             the site would be open to all: take it away, or serve the site with a program of your own from a Procfile."
        ));
    }
    let (root, root_name) = root_of(app, file.root.as_deref())?;
    let word = |value: Option<Value>, name: &str| match value {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::String(text)) => Ok(Some(interpolated(&text, &variable))),
        Some(_) => Err(format!("{name} in {CONFIGURATION} is no text.")),
    };
    let charset = file.encoding.unwrap_or_else(|| "UTF-8".to_owned());
    if charset.is_empty() || !charset.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.:".contains(&c)) {
        return Err(format!("encoding in {CONFIGURATION} is no name of one: {charset:?}"));
    }
    let ignored = file.others.into_keys().filter(|name| !WITHOUT_MEANING.contains(&name.as_str()));
    let site = Site {
        root,
        root_name,
        ignored: ignored.collect(),
        charset,
        clean_urls: file.clean_urls.unwrap_or(false),
        https_only: file.https_only.unwrap_or(false),
        canonical_host: word(file.canonical_host, "canonical_host")?,
        error_page: word(file.error_page, "error_page")?,
        routes: routes(file.routes.unwrap_or_default().0)?,
        redirects: redirects(file.redirects.unwrap_or_default().0, &variable)?,
        headers: headers(file.headers.unwrap_or_default().0)?,
    };
    if let Some(host) = site.canonical_host.as_ref().filter(|host| !is_host(host)) {
        return Err(format!("canonical_host in {CONFIGURATION} is no name of a host: {host:?}"));
    }
    Ok(site)
}

fn read_file(app: &Path) -> Result<File, String> {
    let path = app.join(CONFIGURATION);
    let Ok(file) = fs::File::open(&path) else { return Ok(File::default()) };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{CONFIGURATION} cannot be read: {error}"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("{CONFIGURATION} is larger than 1 MB."));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if text.trim_ascii().is_empty() {
        return Ok(File::default());
    }
    serde_json::from_slice(text).map_err(|error| format!("{CONFIGURATION} cannot be used: {error}"))
}

/// What says no.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(entries) => entries.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    }
}

fn root_of(app: &Path, said: Option<&str>) -> Result<(PathBuf, String), String> {
    let default = || if app.join(DEFAULT_ROOT).is_dir() { DEFAULT_ROOT } else { "." };
    let text = said.map_or_else(default, str::trim);
    let below =
        text.strip_prefix(HOME).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(text);
    let below = if below.len() < text.len() { below.trim_start_matches('/') } else { below };
    let parts: Option<PathBuf> = Path::new(below)
        .components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| matches!(part, Component::Normal(_)).then(|| part.as_os_str()))
        .collect();
    let outside = || format!("root in {CONFIGURATION} leads out of the app: {text:?}");
    let parts = parts.ok_or_else(outside)?;
    let name = if parts.as_os_str().is_empty() { ".".to_owned() } else { parts.display().to_string() };
    let missing = |_| {
        format!(
            "root in {CONFIGURATION} is {name:?}, and there is no such folder. If an earlier buildpack is to make it,\n\
             put that one before: heroku buildpacks:add --index 1 heroku/nodejs"
        )
    };
    let home = fs::canonicalize(app).map_err(missing)?;
    let root = fs::canonicalize(app.join(&parts)).map_err(missing)?;
    if !root.starts_with(&home) {
        return Err(outside());
    }
    if !root.is_dir() {
        return Err(format!("root in {CONFIGURATION} is {name:?}, which is no folder."));
    }
    Ok((root, name))
}

fn glob(pattern: &str) -> Result<Glob, String> {
    Glob::parse(pattern).ok_or_else(|| format!("A path in {CONFIGURATION} is longer than 256 bytes."))
}

fn few<T>(rules: Vec<T>, name: &str) -> Result<Vec<T>, String> {
    if rules.len() > RULES_MAX {
        return Err(format!("{CONFIGURATION} has more than {RULES_MAX} {name}."));
    }
    Ok(rules)
}

fn routes(said: Vec<(String, String)>) -> Result<Vec<(Glob, String)>, String> {
    few(said, "routes")?.into_iter().map(|(pattern, target)| Ok((glob(&pattern)?, target))).collect()
}

fn redirects(
    said: Vec<(String, FileRedirect)>,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Vec<Redirect>, String> {
    let redirect = |(path, said): (String, FileRedirect)| {
        let status = said.status.unwrap_or(301);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Err(format!(
                "The redirect of {path:?} in {CONFIGURATION} has status {status}: it may be 301, 302, 303, 307 or 308."
            ));
        }
        let url = interpolated(&said.url, variable);
        let location = HeaderValue::from_str(&url).map_err(|_| {
            format!("The redirect of {path:?} in {CONFIGURATION} has a url that cannot be sent: {url:?}")
        })?;
        let status = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
        Ok(Redirect { path, status, location })
    };
    few(said, "redirects")?.into_iter().map(redirect).collect()
}

type Headers = Vec<(Glob, Vec<(HeaderName, HeaderValue)>)>;

fn headers(said: Vec<(String, Ordered<Value>)>) -> Result<Headers, String> {
    let header = |(name, value): (String, Value)| {
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let named =
            HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !OF_THE_CONNECTION.contains(name));
        let named = named.ok_or_else(|| format!("The header {name:?} in {CONFIGURATION} cannot be set."))?;
        let value = HeaderValue::from_str(&value).map_err(|_| {
            format!("The value of the header {name} in {CONFIGURATION} cannot be sent: {value:?}")
        })?;
        Ok((named, value))
    };
    few(said, "headers")?
        .into_iter()
        .map(|(pattern, values)| {
            let values = few(values.0, "headers")?.into_iter().map(header).collect::<Result<_, String>>()?;
            Ok((glob(&pattern)?, values))
        })
        .collect()
}

/// `${NAME}` becomes the variable's value; that of one that is not set stays.
fn interpolated(text: &str, variable: &impl Fn(&str) -> Option<String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        result += before;
        let name = after[2..].split('}').next().unwrap_or_default();
        let is_name =
            name.len() + 2 < after.len() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        match is_name.then(|| variable(name)).flatten() {
            Some(value) => {
                result += &value;
                rest = &after[name.len() + 3..];
            }
            None => {
                result += "${";
                rest = &after[2..];
            }
        }
    }
    result + rest
}

/// Whether it can stand in an address.
pub(crate) fn is_host(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= 260 && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(json: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dist")).unwrap();
        fs::write(folder.path().join(CONFIGURATION), json).unwrap();
        folder
    }

    fn read_json(json: &str) -> Result<Site, String> {
        read(app(json).path(), |name| (name == "HOST").then(|| "www.example.com".to_owned()))
    }

    #[test]
    fn a_root_is_a_folder_of_the_app() {
        let name = |json: &str| read_json(json).map(|site| site.root_name);
        for (json, root) in [
            ("", "."),
            ("{}", "."),
            (r#"{"root": "dist/"}"#, "dist"),
            (r#"{"root": "./dist"}"#, "dist"),
            (r#"{"root": "/app/dist/"}"#, "dist"),
            (r#"{"root": "./"}"#, "."),
            (r#"{"root": "/app"}"#, "."),
        ] {
            assert_eq!(name(json).as_deref(), Ok(root), "{json}");
        }
        for json in [
            r#"{"root": "../x"}"#,
            r#"{"root": "/etc"}"#,
            r#"{"root": "dist/../.."}"#,
            r#"{"root": "/appx"}"#,
        ] {
            assert!(name(json).unwrap_err().contains("leads out of the app"), "{json}");
        }
        assert!(name(r#"{"root": "build"}"#).unwrap_err().contains("there is no such folder"));
        let folder = app(r#"{"root": "out"}"#);
        std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
        assert!(read(folder.path(), |_| None).unwrap_err().contains("leads out of the app"));
        fs::create_dir(folder.path().join(DEFAULT_ROOT)).unwrap();
        fs::write(folder.path().join(CONFIGURATION), "{}").unwrap();
        assert_eq!(read(folder.path(), |_| None).unwrap().root_name, DEFAULT_ROOT);
    }

    #[test]
    fn what_cannot_be_served_is_refused_by_a_sentence() {
        for (json, said) in [
            ("[]", "cannot be used"),
            ("{\"root\": 3}", "cannot be used"),
            (r#"{"proxies": {"/api/": {"origin": "https://x"}}}"#, "has proxies"),
            (r#"{"basic_auth": true}"#, "Basic authentication"),
            (r#"{"headers": {"/": {"X-A": "b\r\nSet-Cookie: c=d"}}}"#, "cannot be sent"),
            (r#"{"headers": {"/": {"X\nA": "b"}}}"#, "cannot be set"),
            (r#"{"headers": {"/": {"content-length": "4"}}}"#, "cannot be set"),
            (r#"{"redirects": {"/a": {"url": "/b\nx"}}}"#, "cannot be sent"),
            (r#"{"redirects": {"/a": {"url": "/b", "status": 200}}}"#, "has status 200"),
            (r#"{"canonical_host": "a/b"}"#, "no name of a host"),
            (r#"{"canonical_host": 3}"#, "is no text"),
            (r#"{"encoding": "a; b"}"#, "no name of one"),
        ] {
            let problem = read_json(json).unwrap_err();
            assert!(problem.contains(said), "{json}: {problem}");
        }
        let long = format!(r#"{{"routes": {{"/{}": "a"}}}}"#, "*".repeat(300));
        assert!(read_json(&long).unwrap_err().contains("longer than 256"));
        let open = |name: &str| (name == "BASIC_AUTH_USERNAME").then(|| "me".to_owned());
        assert!(read(app("{}").path(), open).unwrap_err().contains("Basic authentication"));
        let nothing = r#"{"proxies": {}, "basic_auth": false, "canonical_host": false, "error_page": null}"#;
        assert!(read_json(nothing).is_ok());
    }

    #[test]
    fn variables_are_put_in() {
        let site = read_json(
            r#"{"canonical_host": "${HOST}", "redirects": {"/a": {"url": "https://${HOST}/${NONE}/${a b}/${"}}, "logging": {}, "odd": 1}"#,
        )
        .unwrap();
        assert_eq!(site.canonical_host.as_deref(), Some("www.example.com"));
        assert_eq!(site.redirects[0].location, "https://www.example.com/${NONE}/${a b}/${");
        assert_eq!(site.redirects[0].status, 301);
        assert_eq!(site.ignored, ["odd"]);
    }

    #[test]
    fn rules_keep_their_order() {
        let site = read_json(r#"{"routes": {"/z": "1", "/a": "2", "/m": "3"}}"#).unwrap();
        let targets: Vec<_> = site.routes.iter().map(|(_, target)| target.as_str()).collect();
        assert_eq!(targets, ["1", "2", "3"]);
    }
}
