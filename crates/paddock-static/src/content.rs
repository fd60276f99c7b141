//! Which form of a file a client gets: as it is, compressed beforehand, or compressed now.

use std::path::{Path, PathBuf};

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, RANGE};

/// Smaller ones would hardly get smaller.
const COMPRESSED_BYTES_MIN: u64 = 512;

/// The form of a file that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// A file beside it that is compressed, and how.
    Beside(PathBuf, &'static str),
    Gzip,
}

/// Chooses it. Parts are always of the file as it is.
pub(crate) fn choose(headers: &HeaderMap, file: &Path, length: u64, is_text: bool) -> Form {
    if headers.contains_key(RANGE) {
        return Form::Plain;
    }
    for (name, ending) in [("br", ".br"), ("gzip", ".gz")] {
        let mut beside = file.as_os_str().to_owned();
        beside.push(ending);
        let beside = PathBuf::from(beside);
        // A link could lead anywhere.
        if accepts(headers, name) && beside.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Form::Beside(beside, name);
        }
    }
    if is_text && length >= COMPRESSED_BYTES_MIN && accepts(headers, "gzip") {
        return Form::Gzip;
    }
    Form::Plain
}

fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let said = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut other = false;
    for one in said.flat_map(|value| value.split(',')) {
        let (name, quality) = one.split_once(';').unwrap_or((one, ""));
        let quality = quality.trim().trim_start_matches(['q', 'Q']).trim_start().strip_prefix('=');
        let wanted =
            quality.is_none_or(|quality| quality.trim().parse::<f32>().is_ok_and(|quality| quality > 0.0));
        match name.trim() {
            name if name.eq_ignore_ascii_case(encoding) => return wanted,
            "*" => other = wanted,
            _ => {}
        }
    }
    other
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_is_one_that_the_client_takes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.js", "a.js.br", "a.js.gz", "b.js", "c.js", "secret"] {
            std::fs::write(path(name), name).unwrap();
        }
        std::os::unix::fs::symlink(path("secret"), path("c.js.gz")).unwrap();
        let form = |name: &str, accepted: &'static str, length| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            choose(&headers, &path(name), length, true)
        };
        assert_eq!(form("a.js", "gzip, deflate, br", 4), Form::Beside(path("a.js.br"), "br"));
        assert_eq!(form("a.js", "gzip, br;q=0", 4), Form::Beside(path("a.js.gz"), "gzip"));
        assert_eq!(form("a.js", "identity", 4000), Form::Plain);
        assert_eq!(form("b.js", "GZIP;q=0.5", 4000), Form::Gzip);
        assert_eq!(form("b.js", "*", 4000), Form::Gzip);
        assert_eq!(form("b.js", "gzip;q=0, *", 4000), Form::Plain);
        assert_eq!(form("b.js", "gzip", 100), Form::Plain);
        assert_eq!(form("c.js", "gzip", 4000), Form::Gzip, "a link is not followed");
        let ranged = HeaderMap::from_iter([
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
            (RANGE, HeaderValue::from_static("bytes=0-1")),
        ]);
        assert_eq!(choose(&ranged, &path("a.js"), 4000, true), Form::Plain);
    }
}
