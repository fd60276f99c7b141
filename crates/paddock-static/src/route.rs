//! What a path of a request leads to. Order: the documentation of Heroku's static buildpack, *Route Ordering*.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::site::{CONFIGURATION, Site};

/// The longest path: no file has a longer one.
const PATH_BYTES_MAX: usize = 4096;
/// The one hidden folder that is meant to be seen, by the standard that gives it its name.
const WELL_KNOWN: &[u8] = b".well-known";
/// Files at the app's root that are for the platform, not for visitors.
const OF_THE_PLATFORM: [&str; 3] = [CONFIGURATION, "Procfile", "bin/boot"];
/// What is written out in a path of an address.
const IN_PATHS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path of a request, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// From `/` on; without empty, `.` and `..` parts.
    pub(crate) path: Vec<u8>,
}

/// What is sent for a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    File(PathBuf),
    Redirect { status: StatusCode, location: HeaderValue },
    NotFound,
}

impl Asked {
    /// Reads the path of a request; `None` for one that cannot be that of a file.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let decoded = percent_decode_str(text).collect::<Vec<u8>>();
        if !decoded.starts_with(b"/") || decoded.len() > PATH_BYTES_MAX || decoded.contains(&0) {
            return None;
        }
        let mut path = Vec::with_capacity(decoded.len());
        for part in decoded.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
            if part == b".." {
                return None;
            }
            path.push(b'/');
            path.extend_from_slice(part);
        }
        if path.is_empty() || decoded.ends_with(b"/") || decoded.ends_with(b"/.") {
            path.push(b'/');
        }
        Some(Self { path })
    }

    fn wants_folder(&self) -> bool {
        self.path.ends_with(b"/")
    }

    fn relative(&self) -> &[u8] {
        let path = self.path.strip_prefix(b"/").unwrap_or_default();
        path.strip_suffix(b"/").unwrap_or(path)
    }
}

/// Finds what is sent.
pub(crate) fn find(site: &Site, asked: &Asked) -> Outcome {
    if let Some(outcome) = file_of(site, asked) {
        return outcome;
    }
    // One that is asked for by its name is there or not, where names go without it.
    if site.clean_urls && asked.path.ends_with(b".html") {
        return Outcome::NotFound;
    }
    if let Some(redirect) = site.redirects.iter().find(|redirect| redirect.path.as_bytes() == asked.path) {
        return Outcome::Redirect { status: redirect.status, location: redirect.location.clone() };
    }
    let route = site.routes.iter().find(|(pattern, _)| pattern.matches(&asked.path));
    let file = route.and_then(|(_, target)| named(site, target));
    file.map_or(Outcome::NotFound, Outcome::File)
}

/// A file that the site's description names, such as a page of errors.
pub(crate) fn named(site: &Site, name: &str) -> Option<PathBuf> {
    visible_file(site, name.trim_start_matches('/').as_bytes())
}

fn file_of(site: &Site, asked: &Asked) -> Option<Outcome> {
    let relative = asked.relative();
    if !asked.wants_folder() {
        let clean = site.clean_urls.then(|| visible_file(site, &[relative, b".html"].concat())).flatten();
        if let Some(file) = clean.or_else(|| visible_file(site, relative)) {
            return Some(Outcome::File(file));
        }
    }
    let index =
        if relative.is_empty() { b"index.html".to_vec() } else { [relative, b"/index.html"].concat() };
    let index = visible_file(site, &index)?;
    if asked.wants_folder() {
        return Some(Outcome::File(index));
    }
    let location = format!("/{}/", percent_encode(relative, IN_PATHS));
    let location = HeaderValue::from_str(&location).ok()?;
    Some(Outcome::Redirect { status: StatusCode::MOVED_PERMANENTLY, location })
}

/// A file of the site, wherever links lead within it; nothing hidden, nothing outside.
fn visible_file(site: &Site, relative: &[u8]) -> Option<PathBuf> {
    if is_hidden(relative) {
        return None;
    }
    let path = fs::canonicalize(site.root.join(OsStr::from_bytes(relative))).ok()?;
    let inside = path.strip_prefix(&site.root).ok()?;
    if is_hidden(inside.as_os_str().as_bytes()) || (site.root_name == "." && is_of_the_platform(inside)) {
        return None;
    }
    path.is_file().then_some(path)
}

fn is_hidden(relative: &[u8]) -> bool {
    let mut parts = relative.split(|byte| *byte == b'/');
    let first = parts.next().unwrap_or_default();
    (first.starts_with(b".") && first != WELL_KNOWN) || parts.any(|part| part.starts_with(b"."))
}

fn is_of_the_platform(inside: &Path) -> bool {
    OF_THE_PLATFORM.iter().any(|name| inside == Path::new(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::site;

    fn app(json: &str, files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIGURATION), json).unwrap();
        for name in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    /// What a path leads to, in a word.
    fn ask(app: &Path, path: &str) -> String {
        let site = site::read(app, |_| None).unwrap();
        match Asked::parse(path).map_or(Outcome::NotFound, |asked| find(&site, &asked)) {
            Outcome::File(file) => file.strip_prefix(&site.root).unwrap().display().to_string(),
            Outcome::Redirect { status, location } => {
                format!("{} {}", status.as_u16(), location.to_str().unwrap())
            }
            Outcome::NotFound => "404".to_owned(),
        }
    }

    #[test]
    fn files_folders_and_clean_addresses() {
        let files = [
            "index.html",
            "foo.html",
            "foo/bar.html",
            "docs/index.html",
            "a b/index.html",
            "x.txt",
            "bare/x",
        ];
        let plain = app("{}", &files);
        for (path, expected) in [
            ("/", "index.html"),
            ("//", "index.html"),
            ("/index.html", "index.html"),
            ("/./docs//", "docs/index.html"),
            ("/docs", "301 /docs/"),
            ("//docs", "301 /docs/"),
            ("/a%20b", "301 /a%20b/"),
            ("/x.txt", "x.txt"),
            ("/x.txt/", "404"),
            ("/%78.txt", "x.txt"),
            ("/foo", "404"),
            ("/bare", "404"),
            ("/bare/", "404"),
            ("/none", "404"),
        ] {
            assert_eq!(ask(plain.path(), path), expected, "{path}");
        }
        let clean = app(r#"{"clean_urls": true}"#, &files);
        assert_eq!(ask(clean.path(), "/foo"), "foo.html");
        assert_eq!(ask(clean.path(), "/foo/bar"), "foo/bar.html");
        assert_eq!(ask(clean.path(), "/foo.html"), "foo.html");
        assert_eq!(ask(clean.path(), "/docs"), "301 /docs/");
    }

    #[test]
    fn redirects_come_before_routes_and_files_before_both() {
        let json = r#"{"routes": {"/*.html": "index.html", "/route/**": "/route.html", "/gone": "none.html", "/up": "../secret"},
            "redirects": {"/old/gone": {"url": "/", "status": 302}, "/route/moved": {"url": "/there"}, "/index.html": {"url": "/x"}}}"#;
        let app = app(json, &["index.html", "route.html"]);
        for (path, expected) in [
            ("/foo.html", "index.html"),
            ("/route/a/b", "route.html"),
            ("/route/moved", "301 /there"),
            ("/old/gone", "302 /"),
            ("/index.html", "index.html"),
            ("/gone", "404"),
            ("/up", "404"),
            ("/other", "404"),
        ] {
            assert_eq!(ask(app.path(), path), expected, "{path}");
        }
        let spa =
            self::app(r#"{"clean_urls": true, "routes": {"/**": "index.html"}}"#, &["index.html", "a.js"]);
        for (path, expected) in [
            ("/", "index.html"),
            ("/users/3", "index.html"),
            ("/a.js", "a.js"),
            ("/b.html", "404"),
            ("/.git/x", "index.html"),
        ] {
            assert_eq!(ask(spa.path(), path), expected, "{path}");
        }
    }

    #[test]
    fn nothing_hidden_and_nothing_outside_is_served() {
        let app = app(
            "{}",
            &[
                "a/x",
                ".env",
                ".git/config",
                "a/.htpasswd",
                ".well-known/assetlinks.json",
                "Procfile",
                "bin/boot",
                "bin/tool",
            ],
        );
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, app.path().join(name)).unwrap();
        link(outside.path(), "out");
        link(&outside.path().join("secret"), "secret");
        link(Path::new("/etc/passwd"), "passwd");
        link(Path::new(".env"), "env");
        link(Path::new("a"), "inner");
        link(Path::new("circle"), "circle");
        for path in [
            "/out/secret",
            "/secret",
            "/passwd",
            "/env",
            "/circle",
            "/.env",
            "/.git/config",
            "/a/.htpasswd",
            "/%2eenv",
            "/..",
            "/../etc/passwd",
            "/a/../.env",
            "/a/%2e%2e/x",
            "/..%2f..%2fetc/passwd",
            "/a/x%00",
            "/static.json",
            "/Procfile",
            "/bin/boot",
            "/a/..%5c",
            "/%",
            "*",
        ] {
            assert_eq!(ask(app.path(), path), "404", "{path}");
        }
        assert_eq!(ask(app.path(), "/inner/x"), "a/x");
        assert_eq!(ask(app.path(), "/bin/tool"), "bin/tool");
        assert_eq!(ask(app.path(), "/.well-known/assetlinks.json"), ".well-known/assetlinks.json");
    }

    proptest! {
        #[test]
        fn no_path_panics_or_leaves(text in "(/|\\.\\.|%2[ef]|%00|[a-z.]|\\PC){0,20}") {
            let app = app("{}", &["root/x", "outside"]);
            let site = site::read(&app.path().join("root"), |_| None).unwrap();
            if let Some(Outcome::File(file)) = Asked::parse(&format!("/{text}")).map(|asked| find(&site, &asked)) {
                prop_assert!(file.starts_with(&site.root));
            }
        }
    }
}
