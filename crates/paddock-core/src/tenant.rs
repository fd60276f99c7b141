//! Who a container works for.

/// The number of an app, or of whoever else has containers, files and users of its own. No other ever gets the same one,
/// also when this one is gone: what it left may still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(pub u32);
