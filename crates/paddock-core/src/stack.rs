//! Stacks: what a slug is laid upon.

use std::borrow::Cow;
use std::fmt;

/// The stack of an app: its name, which some row or rule stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stack(Cow<'static, str>);

/// The longest name of a stack, in characters.
const NAME_MAX: usize = 63;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_label() {
        assert_eq!(Stack::from_name("host"), Some(Stack::HOST));
        assert_eq!(Stack::from_name("heroku-24").unwrap().as_str(), "heroku-24");
        for bad in ["", "-x", "Host", "a b", "a/b", "a.b", &"x".repeat(64)] {
            assert_eq!(Stack::from_name(bad), None, "{bad}");
        }
    }
}
