//! `system.properties`, as Heroku's buildpacks read it: line by line, and of a value what a version may have.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::runner::screen;
use crate::source::text;

/// The file's name.
const FILE: &str = "system.properties";
/// How much of a file of the app's is looked at for one line of it, in bytes.
const HEAD_BYTES: u64 = 1024 * 1024;

/// What `system.properties` says of a key.
pub(in super::super) fn system_property(app: &Path, key: &str) -> Option<String> {
    value(&head(&app.join(FILE))?, key)
}

/// Says so when not all of the file is read.
pub(super) fn warn_of_length(app: &Path) {
    if fs::metadata(app.join(FILE)).is_ok_and(|metadata| metadata.len() > HEAD_BYTES) {
        screen::warning(&format!("{FILE} is longer than 1 MiB: only its beginning is read."));
    }
}

/// The beginning of a text file; nothing when there is none that can be read.
pub(in super::super) fn head(path: &Path) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(HEAD_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().ok().map(|bytes| text::decode(&bytes))
}

/// Of several lines the last counts, as in Java itself.
fn value(text: &str, key: &str) -> Option<String> {
    let of_line = |line: &str| {
        let rest = line.trim_start().strip_prefix(key)?;
        let value = rest.trim_start_matches([' ', '\t']);
        let value = match value.strip_prefix(['=', ':']) {
            Some(value) => value.trim_start_matches([' ', '\t']),
            None if value.len() < rest.len() => value,
            None => return None,
        };
        let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || "._-+".contains(c)));
        Some(value[..end.unwrap_or(value.len())].to_owned())
    };
    text.lines().filter_map(of_line).next_back().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::value;

    #[test]
    fn a_value_is_found_however_it_is_written() {
        for (text, found) in [
            ("java.runtime.version=17", Some("17")),
            ("java.runtime.version = 1.8\r\nmaven.version=3\r\n", Some("1.8")),
            ("java.runtime.version 11 # a comment", Some("11")),
            ("java.runtime.version:zulu-21.0.2", Some("zulu-21.0.2")),
            ("\tjava.runtime.version\t=\t17.0.5+8;", Some("17.0.5+8")),
            ("java.runtime.version=11\njava.runtime.version=17", Some("17")),
            ("#java.runtime.version=11", None),
            ("java.runtime.versions=11", None),
            ("java_runtime_version=11", None),
            ("java.runtime.version=", None),
            ("java.runtime.version", None),
            ("java.runtime.version=$(id)", None),
            ("", None),
        ] {
            assert_eq!(value(text, "java.runtime.version").as_deref(), found, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_value_has_only_what_versions_have(text in "(java\\.runtime\\.version)?[ =:]{0,3}\\PC{0,30}") {
            let found = value(&text, "java.runtime.version").unwrap_or_default();
            prop_assert!(found.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-+".contains(&c)), "{found:?}");
        }
    }
}
