//! What a look at the machine finds.

/// One thing that containers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCheck {
    /// What it is.
    pub name: &'static str,
    /// Whether it is there.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What the operator can do where it is not.
    pub remedy: &'static str,
}
