//! What a look at the machine finds.

/// One thing that containers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCheck {
    pub name: &'static str,
    pub ok: bool,
    pub detail: String,
    /// What the operator can do where it is not.
    pub remedy: &'static str,
}
