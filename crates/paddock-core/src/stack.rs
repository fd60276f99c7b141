//! Stacks: what a slug is laid upon.

use std::borrow::Cow;
use std::fmt;

use crate::{LayerDigest, UnixMicros};

/// The stack of an app: its name, which some row or rule stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stack(Cow<'static, str>);

/// The longest name of a stack, in characters.
const NAME_MAX: usize = 63;

/// Heroku's stacks, by the names that people's files and tools carry. A server that has one of them not builds on another.
const OF_HEROKU: [&str; 8] =
    ["cedar", "cedar-14", "heroku-16", "heroku-18", "heroku-20", "heroku-22", "heroku-24", "heroku-26"];

impl Stack {
    /// The host's own `/usr`, read-only, with a generated minimal `/etc`.
    pub const HOST: Self = Self(Cow::Borrowed("host"));
    /// Apps of images: nothing is laid upon it.
    pub const CONTAINER: Self = Self(Cow::Borrowed("container"));
    /// The default stack on a machine that has pulled no image.
    pub const DEFAULT: Self = Self::HOST;

    /// The name users see.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stack with this name, whether there is one or not: 1 to 63 of `a` to `z`, digits and `-`, the first of them no `-`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits =
            !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with('-') && name.bytes().all(known);
        fits.then(|| Self(Cow::Owned(name.to_owned())))
    }

    /// Whether it is no row of anybody's: what it is made of is a rule of the platform.
    #[must_use]
    pub fn is_rule(&self) -> bool {
        *self == Self::HOST || self.is_container()
    }

    /// Whether Heroku has, or had, a stack of this name.
    #[must_use]
    pub fn is_of_heroku(&self) -> bool {
        OF_HEROKU.contains(&self.as_str())
    }

    /// Whether its apps run images.
    #[must_use]
    pub fn is_container(&self) -> bool {
        *self == Self::CONTAINER
    }
}

/// A stack as it was at one time: releases stay on the version that they were built for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackVersion {
    /// Which stack.
    pub stack: Stack,
    /// Its version, a text that whoever makes the stack chose: letters, digits, `-`, `.`, `_`.
    pub version: String,
}

impl fmt::Display for StackVersion {
    /// `NAME-VERSION`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stack.as_str(), self.version)
    }
}

/// What is to be expected of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackState {
    /// It may change, or go.
    Beta,
    /// It is for everybody.
    Public,
    /// There is a day from which on nothing is built on it.
    Deprecated,
}

impl StackState {
    /// The word that clients know.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Beta => "beta",
            Self::Public => "public",
            Self::Deprecated => "deprecated",
        }
    }
}

/// For how long a stack is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StackSupport {
    /// Whether it is on trial.
    pub is_beta: bool,
    /// From then on nothing is built on it. What runs goes on.
    pub ends_at: Option<UnixMicros>,
}

impl StackSupport {
    /// What is to be expected.
    #[must_use]
    pub const fn state(self) -> StackState {
        match self {
            Self { ends_at: Some(_), .. } => StackState::Deprecated,
            Self { is_beta: true, .. } => StackState::Beta,
            Self { .. } => StackState::Public,
        }
    }

    /// Whether nothing is built on it any more.
    #[must_use]
    pub fn has_ended(self, now: UnixMicros) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }
}

/// What the files of an app are laid upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackBase {
    /// The `host` stack of this version, which whatever runs containers knows by itself.
    Host(StackVersion),
    /// A root file system of these layers, the uppermost first.
    Layers(Vec<LayerDigest>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_with_an_end_is_deprecated_and_ends_then() {
        let (beta, end) = (StackSupport { is_beta: true, ends_at: None }, UnixMicros(5));
        assert_eq!(StackSupport::default().state().as_str(), "public");
        assert_eq!((beta.state(), beta.has_ended(UnixMicros(i64::MAX))), (StackState::Beta, false));
        let ending = StackSupport { ends_at: Some(end), ..beta };
        assert_eq!(ending.state(), StackState::Deprecated);
        assert_eq!([4, 5].map(|now| ending.has_ended(UnixMicros(now))), [false, true]);
    }

    #[test]
    fn what_heroku_has_is_known_by_name() {
        for name in ["cedar", "cedar-14", "heroku-26"] {
            assert!(Stack::from_name(name).unwrap().is_of_heroku(), "{name}");
        }
        for name in ["cedar-10", "heroku-10", "host", "container", "cnb"] {
            assert!(!Stack::from_name(name).unwrap().is_of_heroku(), "{name}");
        }
    }

    #[test]
    fn a_name_is_one_label() {
        assert_eq!(Stack::from_name("host"), Some(Stack::HOST));
        assert_eq!(Stack::from_name("heroku-24").unwrap().as_str(), "heroku-24");
        for bad in ["", "-x", "Host", "a b", "a/b", "a.b", &"x".repeat(64)] {
            assert_eq!(Stack::from_name(bad), None, "{bad}");
        }
    }
}
