//! Whose rows a transaction is about. Its first statement locks them.

use paddock_core::AppId;

/// Whose generation a transaction bumps.
pub(crate) enum Owner {
    App(AppId),
    ObservedApp(AppId),
    Platform,
    Nobody,
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
