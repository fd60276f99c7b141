//! Stacks: what a slug is laid upon.

use std::fmt;

/// The stack of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stack {
    /// The host's own `/usr`, read-only, with a generated minimal `/etc`.
    Host,
}

impl Stack {
    /// The default stack on a machine that has pulled no image.
    pub const DEFAULT: Self = Self::Host;

    /// The name users see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
        }
    }

    /// The stack with this name, if we have it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        (name == "host").then_some(Self::Host)
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
