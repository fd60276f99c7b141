//! What is known of apps.

pub(crate) mod host;
pub(crate) mod table;
