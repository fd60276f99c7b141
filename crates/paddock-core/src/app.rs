//! Apps: their names and the names they may not take.

use std::fmt;
use std::str::FromStr;

use crate::id::AppId;

/// First labels of platform hosts and of pages we may serve; an app named so would shadow them.
/// Source: design, section 7, "Names".
const RESERVED: [&str; 13] = [
    "api",
    "git",
    "data",
    "registry",
    "dashboard",
    "www",
    "id",
    "status",
    "exec",
    "metrics",
    "addons",
    "localhost",
    "paddock",
];

/// The name of an app: `^[a-z][a-z0-9-]{1,28}[a-z0-9]$`, not reserved.
/// Source: `docs/contract/platform-behaviour.md`, section 25, and the published schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppName(String);

/// Why a text is not an app name. The texts are for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAppName {
    /// Shorter than 3 or longer than 30 characters.
    #[error("Name is invalid: it must have between 3 and 30 characters")]
    Length,
    /// A character or position that a host name label does not allow.
    #[error(
        "Name is invalid: it must start with a letter, end with a letter or digit and can only contain lowercase letters, numbers, and dashes"
    )]
    Characters,
    /// A name that the platform keeps for itself.
    #[error("Name is reserved by the platform")]
    Reserved,
}

/// An app as a client names it. An id is no name: it is too long for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppRef {
    /// By its id.
    Id(AppId),
    /// By its name, or by what can be none.
    Name(String),
}

impl From<String> for AppRef {
    fn from(text: String) -> Self {
        text.parse().map_or_else(|_| Self::Name(text), Self::Id)
    }
}

impl AppName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppName {
    type Err = InvalidAppName;

    fn from_str(text: &str) -> Result<Self, InvalidAppName> {
        if !(3..=30).contains(&text.chars().count()) {
            return Err(InvalidAppName::Length);
        }
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let bytes = text.as_bytes();
        let shaped = bytes.iter().copied().all(allowed)
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last() != Some(&b'-');
        if !shaped {
            return Err(InvalidAppName::Characters);
        }
        if RESERVED.contains(&text) {
            return Err(InvalidAppName::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const ADJECTIVES: [&str; 32] = [
    "calm", "brave", "quiet", "amber", "rapid", "gentle", "silver", "mossy", "hidden", "polar", "sunny",
    "dusty", "crisp", "early", "fresh", "golden", "humble", "icy", "jolly", "keen", "lunar", "mellow",
    "noble", "olive", "proud", "rustic", "shady", "tidal", "upland", "vivid", "warm", "young",
];
const NOUNS: [&str; 32] = [
    "meadow", "river", "stable", "harbor", "canyon", "forest", "island", "prairie", "summit", "valley",
    "orchard", "lagoon", "glacier", "thicket", "brook", "ridge", "dune", "grove", "hollow", "marsh",
    "plateau", "quarry", "shore", "spring", "steppe", "trail", "tundra", "willow", "acorn", "badger",
    "falcon", "heron",
];

/// A readable name for an app that was created without one: `calm-meadow-01234`.
#[must_use]
pub fn generated_name(entropy: u64) -> AppName {
    let adjective = ADJECTIVES[(entropy % 32) as usize];
    let noun = NOUNS[((entropy >> 5) % 32) as usize];
    AppName(format!("{adjective}-{noun}-{:05}", (entropy >> 10) % 100_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_named_by_its_id_or_by_anything_else() {
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(AppRef::from(id.to_owned()), AppRef::Id(id.parse().unwrap()));
        for name in ["my-app", "", &id.replace('-', ""), "01234567-89ab-cdef-0123-456789abcdeg"] {
            assert_eq!(AppRef::from(name.to_owned()), AppRef::Name(name.to_owned()));
        }
    }

    #[test]
    fn names_follow_the_published_pattern() {
        for good in ["abc", "my-app", "a0b", "a--b", &"a".repeat(30)] {
            assert!(good.parse::<AppName>().is_ok(), "{good}");
        }
        for (bad, why) in [
            ("ab", InvalidAppName::Length),
            (&"a".repeat(31), InvalidAppName::Length),
            ("1abc", InvalidAppName::Characters),
            ("Abc", InvalidAppName::Characters),
            ("abc-", InvalidAppName::Characters),
            ("a_c", InvalidAppName::Characters),
            ("äöü", InvalidAppName::Characters),
            ("a.b", InvalidAppName::Characters),
            ("api", InvalidAppName::Reserved),
            ("registry", InvalidAppName::Reserved),
        ] {
            assert_eq!(bad.parse::<AppName>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_generated_name_is_a_name() {
        for entropy in [0, 1, 31, 1 << 40, u64::MAX] {
            let name = generated_name(entropy);
            assert_eq!(name.as_str().parse(), Ok(name));
        }
    }
}
