//! Config vars: names, values and the limits on them.

use std::collections::BTreeMap;

/// Total bytes of all keys and values of an app. Source: contract `platform-behaviour.md`, section 6 (recalled).
pub const TOTAL_BYTES_MAX: usize = 64 * 1024;

/// An app's config vars: value by key. Values may hold any bytes that JSON text can.
pub type ConfigVars = BTreeMap<String, String>;

/// Why a set of config vars is refused. The texts are for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// A key that a shell could not name.
    #[error(
        "Config var {0:?} is invalid: a key has letters, digits and underscores and does not start with a digit"
    )]
    Key(String),
    /// A key of the platform's own.
    #[error("Config var {0} is reserved: keys beginning with HEROKU_ are set by the platform")]
    Reserved(String),
    /// A value with a NUL byte, which no environment can hold.
    #[error("Config var {0} is invalid: a value cannot contain a NUL character")]
    Nul(String),
    /// Too much in all.
    #[error("Config vars are too large: {bytes} bytes in all, at most {TOTAL_BYTES_MAX} are allowed")]
    TooLarge {
        /// What it would have come to.
        bytes: usize,
    },
}

/// Applies `changes` (`None` removes) to `current`, or says why not.
///
/// # Errors
/// The first rule that the result would break.
pub fn apply(
    current: &ConfigVars,
    changes: &BTreeMap<String, Option<String>>,
) -> Result<ConfigVars, InvalidConfig> {
    let mut result = current.clone();
    for (key, value) in changes {
        match value {
            None => {
                result.remove(key);
            }
            Some(value) => {
                check(key, value)?;
                result.insert(key.clone(), value.clone());
            }
        }
    }
    let bytes = result.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > TOTAL_BYTES_MAX { Err(InvalidConfig::TooLarge { bytes }) } else { Ok(result) }
}

fn check(key: &str, value: &str) -> Result<(), InvalidConfig> {
    let shaped = !key.is_empty()
        && !key.as_bytes()[0].is_ascii_digit()
        && key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    if !shaped {
        return Err(InvalidConfig::Key(key.to_owned()));
    }
    if key.starts_with("HEROKU_") {
        return Err(InvalidConfig::Reserved(key.to_owned()));
    }
    if value.contains('\0') {
        return Err(InvalidConfig::Nul(key.to_owned()));
    }
    Ok(())
}

/// The description of the release that a change makes: `Set A, B config vars`, `Remove A config vars`.
/// Source: contract `platform-behaviour.md`, section 6 (recalled).
#[must_use]
pub fn describe(changes: &BTreeMap<String, Option<String>>) -> String {
    let names = |set: bool| {
        let names: Vec<_> =
            changes.iter().filter(|(_, v)| v.is_some() == set).map(|(k, _)| k.as_str()).collect();
        names.join(", ")
    };
    match (names(true), names(false)) {
        (set, removed) if removed.is_empty() => format!("Set {set} config vars"),
        (set, removed) if set.is_empty() => format!("Remove {removed} config vars"),
        (set, removed) => format!("Set {set} and remove {removed} config vars"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(pairs: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned))).collect()
    }

    #[test]
    fn a_change_sets_and_removes() {
        let one = apply(&ConfigVars::new(), &change(&[("A", Some("1")), ("B", Some("2"))])).unwrap();
        let two = apply(&one, &change(&[("A", None), ("C", Some(""))])).unwrap();
        assert_eq!(two.keys().collect::<Vec<_>>(), ["B", "C"]);
        assert_eq!(describe(&change(&[("A", None), ("C", Some(""))])), "Set C and remove A config vars");
    }

    #[test]
    fn bad_keys_and_values_are_refused() {
        let none = ConfigVars::new();
        for key in ["", "1A", "A-B", "Ä", "A B"] {
            assert_eq!(apply(&none, &change(&[(key, Some("x"))])), Err(InvalidConfig::Key(key.to_owned())));
        }
        assert!(matches!(apply(&none, &change(&[("HEROKU_X", Some("x"))])), Err(InvalidConfig::Reserved(_))));
        assert!(matches!(apply(&none, &change(&[("A", Some("a\0"))])), Err(InvalidConfig::Nul(_))));
        let large = "x".repeat(TOTAL_BYTES_MAX);
        assert!(matches!(apply(&none, &change(&[("A", Some(&large))])), Err(InvalidConfig::TooLarge { .. })));
    }
}
