//! Ids and times of what is fixed in the program: stacks, sizes, regions, features.

use paddock_core::UnixMicros;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// The one region: this server, under the name that clients ask for by default.
pub const REGION: &str = "us";

/// The id of a thing that is fixed in the program: always the same for a kind and a name.
#[must_use]
pub fn fixed_id(kind: &str, name: &str) -> Uuid {
    let digest = Sha256::digest(format!("paddock:{kind}:{name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// When the things that are fixed in the program were introduced: 2026-11-01.
#[must_use]
pub const fn fixed_since() -> UnixMicros {
    UnixMicros(1_793_491_200_000_000)
}
