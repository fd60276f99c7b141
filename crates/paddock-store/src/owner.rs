//! Whose rows a transaction is about. Its first statement locks them.

use paddock_core::{AppId, UnixMicros};

/// Whose generation a transaction bumps.
pub(crate) enum Owner {
    App(AppId),
    ObservedApp(AppId),
    Platform,
    Nobody,
}

/// What a transaction is begun for.
pub(crate) struct Purpose {
    pub(crate) owner: Owner,
    pub(crate) now: UnixMicros,
    /// For whoever reads why it failed: `scale an app`.
    pub(crate) doing: &'static str,
}

/// The lock of everything that an app owns.
pub(crate) const BUMP_APP: &str =
    "UPDATE apps SET generation = generation + 1 WHERE id = $1 RETURNING generation AS number";
/// The same lock where nothing new is wanted.
pub(crate) const LOCK_APP: &str =
    "UPDATE apps SET generation = generation WHERE id = $1 RETURNING generation AS number";
/// The lock of everything that no app owns.
pub(crate) const BUMP_PLATFORM: &str =
    "UPDATE platform SET generation = generation + 1 WHERE id = 1 RETURNING generation AS number";
