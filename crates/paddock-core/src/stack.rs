//! Stacks: what a slug is laid upon.

/// The stack of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stack {
    /// The host's own `/usr`, read-only, with a generated minimal `/etc`. Design, section 4.
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
