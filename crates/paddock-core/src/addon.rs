//! Add-ons: their names and states, and the names under which apps have them.
//!
//! Source: `docs/contract/data-services.md`, section 2.3, and `docs/contract/platform-behaviour.md`, section 18.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a further attachment of a database is called, in this order.
pub const COLOURS: [&str; 32] = [
    "AMBER", "AQUA", "BLACK", "BLUE", "BRONZE", "BROWN", "CHARCOAL", "COBALT", "COPPER", "CRIMSON", "CYAN",
    "GOLD", "GRAY", "GREEN", "IVORY", "JADE", "MAROON", "MAUVE", "NAVY", "OLIVE", "ONYX", "ORANGE", "PINK",
    "PUCE", "PURPLE", "RED", "ROSE", "SILVER", "TEAL", "VIOLET", "WHITE", "YELLOW",
];

/// The middle of a name that nobody chose.
const ADJECTIVES: [&str; 32] = [
    "acute",
    "adjacent",
    "amorphous",
    "angular",
    "animated",
    "clean",
    "closed",
    "colorful",
    "concave",
    "contoured",
    "convex",
    "corrugated",
    "crystalline",
    "cubed",
    "cubic",
    "curly",
    "curved",
    "cylindrical",
    "deep",
    "defined",
    "dimensional",
    "elliptical",
    "encircled",
    "flat",
    "flexible",
    "fluffy",
    "horizontal",
    "infinite",
    "opaque",
    "parallel",
    "rigid",
    "shaped",
];

/// Longest name of an attachment: with what is added, it names an environment variable.
const ATTACHMENT_NAME_MAX: usize = 128;

/// The name of an attachment, in capitals: `DATABASE`, `HEROKU_POSTGRESQL_AMBER`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttachmentName(String);

/// Why a text is not the name of an attachment. The texts are for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttachmentName {
    /// Empty, or longer than a name may be.
    #[error("Attachment name is invalid: it must have between 1 and 128 characters")]
    Length,
    /// A character or position that the name of a config var does not allow.
    #[error(
        "Attachment name is invalid: it must start with an uppercase letter and can only contain uppercase letters, numbers, and underscores"
    )]
    Characters,
}

impl AttachmentName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The config var of this attachment that ends in `suffix`: `DATABASE_URL` for `URL`.
    #[must_use]
    pub fn config_var(&self, suffix: &str) -> String {
        format!("{}_{suffix}", self.0)
    }

    /// What an attachment is called that nobody named: `first` (`DATABASE`), else `prefix` (`HEROKU_POSTGRESQL`) and the first
    /// colour that is free, else the same with a number.
    #[must_use]
    pub fn default_for(first: &str, prefix: &str, taken: impl Fn(&str) -> bool) -> Self {
        let colours = |round: u32| {
            COLOURS.iter().map(move |colour| match round {
                1 => format!("{prefix}_{colour}"),
                _ => format!("{prefix}_{colour}{round}"),
            })
        };
        std::iter::once(first.to_owned())
            .chain((1..=u32::MAX).flat_map(colours))
            .find(|name| !taken(name))
            .map_or_else(|| Self(first.to_owned()), Self)
    }
}

impl fmt::Display for AttachmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AttachmentName {
    type Err = InvalidAttachmentName;

    fn from_str(text: &str) -> Result<Self, InvalidAttachmentName> {
        if text.is_empty() || text.len() > ATTACHMENT_NAME_MAX {
            return Err(InvalidAttachmentName::Length);
        }
        let allowed = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
        let shaped = text.bytes().all(allowed) && text.bytes().next().is_some_and(|c| c.is_ascii_uppercase());
        if shaped { Ok(Self(text.to_owned())) } else { Err(InvalidAttachmentName::Characters) }
    }
}

/// The name of an add-on, one of all of them: `postgresql-curly-12345`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddonName(String);

/// Why a text is not the name of an add-on. The texts are for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddonName {
    /// Shorter than 3 or longer than 63 characters.
    #[error("Name is invalid: it must have between 3 and 63 characters")]
    Length,
    /// A character or position that a host name label does not allow.
    #[error(
        "Name is invalid: it must start with a letter, end with a letter or digit and can only contain lowercase letters, numbers, and dashes"
    )]
    Characters,
}

impl AddonName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that nobody chose: `kind` (`postgresql`), an adjective and five digits, of 2.9 million. `random` picks one.
    #[must_use]
    pub fn generated(kind: &str, random: u64) -> Self {
        let count = ADJECTIVES.len() as u64;
        let adjective = usize::try_from(random % count).ok().and_then(|at| ADJECTIVES.get(at));
        let number = 10_000 + (random / count) % 90_000;
        Self(format!("{kind}-{}-{number}", adjective.copied().unwrap_or("clean")))
    }
}

impl fmt::Display for AddonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AddonName {
    type Err = InvalidAddonName;

    fn from_str(text: &str) -> Result<Self, InvalidAddonName> {
        if !(3..=63).contains(&text.len()) {
            return Err(InvalidAddonName::Length);
        }
        let allowed = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-';
        let bytes = text.as_bytes();
        let shaped = bytes.iter().all(allowed)
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last() != Some(&b'-');
        if shaped { Ok(Self(text.to_owned())) } else { Err(InvalidAddonName::Characters) }
    }
}

/// What cannot be made for so long is given up. Source: `docs/contract/data-services.md`, section 3.3.
pub const PROVISIONING_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// Where an add-on is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddonState {
    /// It is being made.
    Provisioning,
    /// It can be used.
    Provisioned,
    /// It is being taken down.
    Deprovisioning,
    /// It is gone, or could not be made: then it is being taken down as well.
    Deprovisioned,
}

impl AddonState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 4] =
        [Self::Provisioning, Self::Provisioned, Self::Deprovisioning, Self::Deprovisioned];

    /// The state as Heroku prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Provisioned => "provisioned",
            Self::Deprovisioning => "deprovisioning",
            Self::Deprovisioned => "deprovisioned",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether what there is of it is to be removed.
    #[must_use]
    pub const fn is_going(self) -> bool {
        matches!(self, Self::Deprovisioning | Self::Deprovisioned)
    }

    /// Whether a state may follow this one. Nothing comes back, and what could not be made is taken down like the rest.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Provisioning, Self::Provisioned | Self::Deprovisioning | Self::Deprovisioned)
                | (Self::Provisioned, Self::Deprovisioning)
                | (Self::Deprovisioning, Self::Deprovisioned)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn attachments_have_names_of_config_vars() {
        for name in ["DATABASE", "HEROKU_POSTGRESQL_AMBER2", "A"] {
            assert_eq!(name.parse::<AttachmentName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for name in ["database", "1DATABASE", "_DATABASE", "DATA-BASE", "DATA BASE", "DÄTA", "DATABASE\n"] {
            assert_eq!(name.parse::<AttachmentName>(), Err(InvalidAttachmentName::Characters), "{name:?}");
        }
        for name in [String::new(), "A".repeat(129)] {
            assert_eq!(name.parse::<AttachmentName>(), Err(InvalidAttachmentName::Length));
        }
        assert_eq!("DATABASE".parse::<AttachmentName>().unwrap().config_var("URL"), "DATABASE_URL");
    }

    #[test]
    fn an_attachment_that_nobody_named_has_the_first_name_then_a_colour_then_a_number() {
        let mut taken = BTreeSet::new();
        let mut given = Vec::new();
        for _ in 0..34 {
            let name =
                AttachmentName::default_for("DATABASE", "HEROKU_POSTGRESQL", |name| taken.contains(name));
            assert!(name.as_str().parse::<AttachmentName>().is_ok());
            taken.insert(name.to_string());
            given.push(name.to_string());
        }
        assert_eq!(given[..3], ["DATABASE", "HEROKU_POSTGRESQL_AMBER", "HEROKU_POSTGRESQL_AQUA"]);
        assert_eq!(given[32..], ["HEROKU_POSTGRESQL_YELLOW", "HEROKU_POSTGRESQL_AMBER2"]);
    }

    #[test]
    fn a_name_that_nobody_chose_is_a_name() {
        assert_eq!(AddonName::generated("postgresql", 0).as_str(), "postgresql-acute-10000");
        for random in [1, 15, u64::MAX, 0x1234_5678_9abc_def0] {
            let name = AddonName::generated("postgresql", random);
            assert_eq!(name.as_str().parse(), Ok(name.clone()));
            let number = name.as_str().rsplit('-').next().unwrap();
            assert!(number.len() == 5 && !number.starts_with('0'), "{name}");
        }
    }

    #[test]
    fn addons_have_names_of_hosts() {
        assert!("my-database-1".parse::<AddonName>().is_ok());
        for name in ["My-db", "1db", "db-", "d_b", "d b", "dätabase"] {
            assert_eq!(name.parse::<AddonName>(), Err(InvalidAddonName::Characters), "{name:?}");
        }
        assert_eq!("ab".parse::<AddonName>(), Err(InvalidAddonName::Length));
    }

    #[test]
    fn an_addon_goes_one_way() {
        for state in AddonState::ALL {
            assert_eq!(AddonState::parse(state.as_str()), Some(state));
            assert!(!state.may_become(state) && !state.may_become(AddonState::Provisioning));
            assert!(!AddonState::Deprovisioned.may_become(state));
        }
        assert!(AddonState::Provisioning.may_become(AddonState::Deprovisioning));
        assert!(AddonState::Provisioning.may_become(AddonState::Deprovisioned), "it is given up");
        assert!(!AddonState::Provisioned.may_become(AddonState::Deprovisioned));
    }
}
