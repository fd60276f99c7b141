//! Config vars: names, values and the limits on them.

use std::collections::BTreeMap;

/// Total bytes of all keys and values of an app. Source: `docs/contract/platform-behaviour.md`, section 6 (recalled).
pub const TOTAL_BYTES_MAX: usize = 64 * 1024;

/// An app's config vars: value by key. Values may hold any bytes that JSON text can.
pub type ConfigVars = BTreeMap<String, String>;

/// Why a set of config vars is refused. The texts are for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// A key that no environment can hold.
    #[error("Config var {0:?} is invalid: a key is not empty and has neither = nor control characters")]
    Key(String),
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

/// What an app's first release begins with: `wanted`, which its buildpack asks for, below what is set already. What
/// cannot be a config var is left out, with why.
#[must_use]
pub fn with_defaults(current: &ConfigVars, wanted: &ConfigVars) -> (ConfigVars, Vec<InvalidConfig>) {
    let (mut all, mut refused) = (current.clone(), Vec::new());
    for (key, value) in wanted.iter().filter(|(key, _)| !current.contains_key(*key)) {
        match apply(&all, &BTreeMap::from([(key.clone(), Some(value.clone()))])) {
            Ok(more) => all = more,
            Err(reason) => refused.push(reason),
        }
    }
    (all, refused)
}

/// Whether an environment can hold it. A key may be one that no shell can name (`spring.profiles.active`), and what the
/// platform sets itself wins when a dyno starts.
///
/// # Errors
/// The rule that it breaks.
pub fn check(key: &str, value: &str) -> Result<(), InvalidConfig> {
    if key.is_empty() || key.contains(|c: char| c == '=' || c.is_control()) {
        return Err(InvalidConfig::Key(key.to_owned()));
    }
    if value.contains('\0') {
        return Err(InvalidConfig::Nul(key.to_owned()));
    }
    Ok(())
}

/// How many keys a description names; of more it says how many there are.
const DESCRIBED_MAX: usize = 20;
/// The most bytes of the names in a description.
const DESCRIBED_BYTES_MAX: usize = 1000;

/// The description of the release that a change makes: `Set A, B config vars`, `Remove A config vars`.
/// Source: `docs/contract/platform-behaviour.md`, section 6 (recalled).
#[must_use]
pub fn describe(changes: &BTreeMap<String, Option<String>>) -> String {
    let names = |set: bool| {
        let names: Vec<_> =
            changes.iter().filter(|(_, v)| v.is_some() == set).map(|(k, _)| k.as_str()).collect();
        let joined = names.iter().take(DESCRIBED_MAX).copied().collect::<Vec<_>>().join(", ");
        match names.len() {
            count if joined.len() > DESCRIBED_BYTES_MAX => count.to_string(),
            count if count > DESCRIBED_MAX => format!("{joined} and {} more", count - DESCRIBED_MAX),
            _ => joined,
        }
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
    fn defaults_lie_below_what_is_set() {
        let vars = |pairs: &[(&str, &str)]| -> ConfigVars {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let set = vars(&[("LANG", "de_DE"), ("EMPTY", "")]);
        let wanted =
            vars(&[("LANG", "en_US"), ("EMPTY", "x"), ("RAILS_ENV", "production"), ("=", ""), ("NUL", "\0")]);
        let (all, refused) = with_defaults(&set, &wanted);
        assert_eq!(all, vars(&[("LANG", "de_DE"), ("EMPTY", ""), ("RAILS_ENV", "production")]));
        assert_eq!(refused.len(), 2);
        let large = vars(&[("LARGE", &"x".repeat(TOTAL_BYTES_MAX))]);
        assert!(matches!(with_defaults(&set, &large).1[..], [InvalidConfig::TooLarge { .. }]));
    }

    #[test]
    fn a_description_stays_short() {
        let keys: Vec<String> = (0..10_000).map(|number| format!("V{number:05}")).collect();
        let many: Vec<_> = keys.iter().map(|key| (key.as_str(), Some(""))).collect();
        let text = describe(&change(&many));
        assert!(
            text.starts_with("Set V00000, V00001,") && text.ends_with("V00019 and 9980 more config vars"),
            "{text}"
        );
        assert_eq!(describe(&change(&[(&"K".repeat(60_000), None)])), "Remove 1 config vars");
    }

    #[test]
    fn bad_keys_and_values_are_refused() {
        let none = ConfigVars::new();
        for key in ["1A", "A-B", "Ä", "spring.profiles.active", "HEROKU_API_KEY"] {
            assert!(apply(&none, &change(&[(key, Some("x"))])).is_ok(), "{key}");
        }
        for key in ["", "A=B", "A\0", "A\nB"] {
            assert_eq!(apply(&none, &change(&[(key, Some("x"))])), Err(InvalidConfig::Key(key.to_owned())));
        }
        assert!(matches!(apply(&none, &change(&[("A", Some("a\0"))])), Err(InvalidConfig::Nul(_))));
        let large = "x".repeat(TOTAL_BYTES_MAX);
        assert!(matches!(apply(&none, &change(&[("A", Some(&large))])), Err(InvalidConfig::TooLarge { .. })));
    }
}
