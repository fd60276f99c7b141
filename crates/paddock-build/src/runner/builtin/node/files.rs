//! Files of the app that are read whole, each with a limit.

use std::fs;
use std::io;
use std::path::Path;

use crate::source::text;

const MEGABYTE: u64 = 1024 * 1024;
pub(super) const PACKAGE_BYTES_MAX: u64 = 8 * MEGABYTE;
pub(super) const LOCK_BYTES_MAX: u64 = 128 * MEGABYTE;
pub(super) const SETTINGS_BYTES_MAX: u64 = MEGABYTE;

/// Reads a regular file of at most so many bytes.
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.len() > bytes_max {
        return Err(io::Error::other(format!("it is larger than {} MB", bytes_max / MEGABYTE)));
    }
    fs::read(path)
}

/// The bytes of a file of settings; none when it is not there or cannot be read.
pub(super) fn settings(folder: &Path, name: &str) -> Vec<u8> {
    read(&folder.join(name), SETTINGS_BYTES_MAX).unwrap_or_default()
}

/// The plain value of a key at the top of a YAML file such as `.yarnrc.yml`.
pub(super) fn yaml_value(bytes: &[u8], key: &str) -> Option<String> {
    let text = text::decode(bytes);
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim_end().trim_matches(['"', '\'']) == key && !name.starts_with(' ')).then_some(value)
    })?;
    let value = value.trim();
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next()?,
        '#' => return None,
        _ => value.split(" #").next()?.trim_end(),
    };
    (!value.is_empty() && !matches!(value, "null" | "~")).then(|| value.to_owned())
}

/// Whether a key at the top of a YAML file has a value, on its own line or below.
pub(super) fn has_yaml_key(bytes: &[u8], key: &str) -> bool {
    let text = text::decode(bytes);
    text.lines().any(|line| {
        let name = line.split_once(':').map(|(name, _)| name.trim_end().trim_matches(['"', '\'']));
        name == Some(key) && !line.starts_with(' ')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_yaml() {
        let yaml = b"# yarn\nnodeLinker: \"node-modules\" # why\nyarnPath: .yarn/releases/yarn-3.2.2.cjs\n'x': 'y z'\nempty:\nnpmScopes:\n  yarnPath: no\n";
        assert_eq!(yaml_value(yaml, "nodeLinker").as_deref(), Some("node-modules"));
        assert_eq!(yaml_value(yaml, "yarnPath").as_deref(), Some(".yarn/releases/yarn-3.2.2.cjs"));
        assert_eq!(yaml_value(yaml, "x").as_deref(), Some("y z"));
        for missing in ["empty", "npmScopes", "none", "  yarnPath"] {
            assert_eq!(yaml_value(yaml, missing), None, "{missing}");
        }
        assert_eq!(yaml_value(b"a: \"", "a"), None);
        assert!(
            has_yaml_key(b"packages:\n  - a\n", "packages") && !has_yaml_key(b"a:\n packages:\n", "packages")
        );
    }
}
