//! Config vars: whose they are, their names, values and the limits on them.

use std::collections::BTreeMap;

/// Total bytes of all keys and values of an app. Source: `docs/contract/platform-behaviour.md`, section 6 (recalled).
pub const TOTAL_BYTES_MAX: usize = 64 * 1024;

/// An app's config vars: value by key. Values may hold any bytes that JSON text can.
pub type ConfigVars = BTreeMap<String, String>;

/// An app's config vars by whose they are. Where both have a name the attachments' value is the one that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedConfig {
    /// What was set by hand, or by a buildpack for the first release.
    pub user: ConfigVars,
    /// What the app's attachments say; only they change it.
    pub attached: ConfigVars,
}

/// Why a set of config vars is refused. The texts are for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// A key that no environment can hold.
    #[error("Config var {0:?} is invalid: a key is not empty and has neither = nor control characters")]
    Key(String),
    /// A value with a NUL byte, which no environment can hold.
    #[error("Config var {0} is invalid: a value cannot contain a NUL character")]
    Nul(String),
    /// Variables of attachments, which are not the user's to set or remove.
    #[error("Cannot overwrite attachment values {}", .0.join(", "))]
    Attached(Vec<String>),
    /// Too much in all.
    #[error("Config vars are too large: {bytes} bytes in all, at most {TOTAL_BYTES_MAX} are allowed")]
    TooLarge {
        /// What it would have come to.
        bytes: usize,
    },
}

impl OwnedConfig {
    /// The config vars of an app without attachments.
    #[must_use]
    pub fn of_user(user: ConfigVars) -> Self {
        Self { user, attached: ConfigVars::new() }
    }

    /// What dynos, builds and people see.
    #[must_use]
    pub fn merged(self) -> ConfigVars {
        let mut all = self.user;
        all.extend(self.attached);
        all
    }

    /// The value that counts.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&String> {
        self.attached.get(key).or_else(|| self.user.get(key))
    }

    /// What of `changes` (`None` removes) changes anything. The value that a variable has, and its removal where it is not,
    /// do not.
    #[must_use]
    pub fn effective(
        &self,
        mut changes: BTreeMap<String, Option<String>>,
    ) -> BTreeMap<String, Option<String>> {
        changes.retain(|key, value| self.get(key) != value.as_ref());
        changes
    }

    /// The user's variables after `changes` (`None` removes), or why not.
    ///
    /// # Errors
    /// The first rule that the result would break.
    pub fn apply(&self, changes: &BTreeMap<String, Option<String>>) -> Result<ConfigVars, InvalidConfig> {
        let attached: Vec<_> =
            changes.keys().filter(|key| self.attached.contains_key(*key)).cloned().collect();
        if !attached.is_empty() {
            return Err(InvalidConfig::Attached(attached));
        }
        let mut user = self.user.clone();
        for (key, value) in changes {
            match value {
                None => {
                    user.remove(key);
                }
                Some(value) => {
                    check(key, value)?;
                    user.insert(key.clone(), value.clone());
                }
            }
        }
        let bytes = user.iter().chain(&self.attached).map(|(key, value)| key.len() + value.len()).sum();
        if bytes > TOTAL_BYTES_MAX { Err(InvalidConfig::TooLarge { bytes }) } else { Ok(user) }
    }

    /// What an app's first release begins with: `wanted`, which its buildpack asks for, below what is set or attached
    /// already. What cannot be a config var is left out, with why. The user's variables then.
    #[must_use]
    pub fn with_defaults(&self, wanted: &ConfigVars) -> (ConfigVars, Vec<InvalidConfig>) {
        let (mut all, mut refused) = (self.clone(), Vec::new());
        for (key, value) in wanted.iter().filter(|(key, _)| self.get(key).is_none()) {
            match all.apply(&BTreeMap::from([(key.clone(), Some(value.clone()))])) {
                Ok(more) => all.user = more,
                Err(reason) => refused.push(reason),
            }
        }
        (all.user, refused)
    }

    /// With the user's variables of an earlier time: of those that have an attachment's name by now nothing comes back.
    #[must_use]
    pub fn with_user_of_then(self, mut then: ConfigVars) -> Self {
        then.retain(|key, _| !self.attached.contains_key(key));
        Self { user: then, attached: self.attached }
    }
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

    fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn owned(user: &[(&str, &str)], attached: &[(&str, &str)]) -> OwnedConfig {
        OwnedConfig { user: vars(user), attached: vars(attached) }
    }

    #[test]
    fn a_change_sets_and_removes() {
        let one = OwnedConfig::default().apply(&change(&[("A", Some("1")), ("B", Some("2"))])).unwrap();
        let two = OwnedConfig::of_user(one).apply(&change(&[("A", None), ("C", Some(""))])).unwrap();
        assert_eq!(two.keys().collect::<Vec<_>>(), ["B", "C"]);
        assert_eq!(describe(&change(&[("A", None), ("C", Some(""))])), "Set C and remove A config vars");
    }

    #[test]
    fn defaults_lie_below_what_is_set() {
        let set = owned(&[("LANG", "de_DE"), ("EMPTY", "")], &[("DATABASE_URL", "postgres://one")]);
        let wanted = vars(&[
            ("LANG", "en_US"),
            ("EMPTY", "x"),
            ("RAILS_ENV", "production"),
            ("DATABASE_URL", "postgres://localhost"),
            ("=", ""),
            ("NUL", "\0"),
        ]);
        let (all, refused) = set.with_defaults(&wanted);
        assert_eq!(all, vars(&[("LANG", "de_DE"), ("EMPTY", ""), ("RAILS_ENV", "production")]));
        assert_eq!(refused.len(), 2);
        let large = vars(&[("LARGE", &"x".repeat(TOTAL_BYTES_MAX))]);
        assert!(matches!(set.with_defaults(&large).1[..], [InvalidConfig::TooLarge { .. }]));
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
        let none = OwnedConfig::default();
        for key in ["1A", "A-B", "Ä", "spring.profiles.active", "HEROKU_API_KEY"] {
            assert!(none.apply(&change(&[(key, Some("x"))])).is_ok(), "{key}");
        }
        for key in ["", "A=B", "A\0", "A\nB"] {
            assert_eq!(none.apply(&change(&[(key, Some("x"))])), Err(InvalidConfig::Key(key.to_owned())));
        }
        assert!(matches!(none.apply(&change(&[("A", Some("a\0"))])), Err(InvalidConfig::Nul(_))));
        let large = "x".repeat(TOTAL_BYTES_MAX);
        assert!(matches!(none.apply(&change(&[("A", Some(&large))])), Err(InvalidConfig::TooLarge { .. })));
    }
    #[test]
    fn what_an_attachment_says_is_not_the_users_to_change() {
        let config = owned(
            &[("A", "1"), ("DATABASE_URL", "mine")],
            &[("DATABASE_URL", "postgres://one"), ("REDIS_URL", "rediss://two")],
        );
        let refused = config.apply(&change(&[
            ("A", Some("2")),
            ("DATABASE_URL", Some("postgres://two")),
            ("REDIS_URL", None),
        ]));
        let refused = refused.unwrap_err();
        assert_eq!(refused.to_string(), "Cannot overwrite attachment values DATABASE_URL, REDIS_URL");
        assert_eq!(
            config.effective(change(&[("DATABASE_URL", Some("postgres://one")), ("A", None), ("B", None)])),
            change(&[("A", None)]),
            "the value that it has is no change"
        );
        let large = "x".repeat(TOTAL_BYTES_MAX - 40);
        assert!(matches!(config.apply(&change(&[("A", Some(&large))])), Err(InvalidConfig::TooLarge { .. })));
        assert!(OwnedConfig::default().apply(&change(&[("A", Some(&large))])).is_ok());
    }

    #[test]
    fn an_attachments_value_counts_and_nothing_of_then_hides_below_it() {
        let now = owned(&[("A", "2")], &[("DATABASE_URL", "postgres://new")]);
        let then = vars(&[("A", "1"), ("DATABASE_URL", "postgres://old")]);
        let back = now.with_user_of_then(then);
        assert_eq!(back, owned(&[("A", "1")], &[("DATABASE_URL", "postgres://new")]));
        assert_eq!(back.merged(), vars(&[("A", "1"), ("DATABASE_URL", "postgres://new")]));
        let both = owned(&[("DATABASE_URL", "mine")], &[("DATABASE_URL", "theirs")]);
        assert_eq!(both.get("DATABASE_URL").unwrap(), "theirs");
        assert_eq!(both.merged(), vars(&[("DATABASE_URL", "theirs")]));
    }
}
