//! The instance: one server's own corner of the machine, derived from its data directory.
//!
//! Everything made in the kernel carries the six letters, and every id that is not root's lies in the instance's own
//! ranges, so that two servers on one machine do not meet.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Ids per range: one range for each app, the first one for the platform's own unprivileged processes.
const RANGE: u32 = 65_536;
/// Ranges per instance.
const RANGES: u32 = 4_000;
/// The first range that instances use; what lies below belongs to people, services and container tools.
const FIRST_RANGE: u32 = 4_096;
/// How many instances' ranges fit below the end of 32 bits.
const INSTANCES: u64 = 15;

/// An instance's letters and ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Six lower-case letters.
    pub(crate) letters: String,
    first_range: u32,
}

impl Instance {
    /// The instance of a data directory, given as a canonical path.
    #[must_use]
    pub(crate) fn of(data_dir: &Path) -> Self {
        let mut hash = fnv1a(data_dir.as_os_str().as_bytes());
        let first_range = FIRST_RANGE + u32::try_from(hash % INSTANCES).unwrap_or(0) * RANGES;
        let mut letters = String::new();
        for _ in 0..6 {
            letters.push(char::from(b'a' + u8::try_from(hash % 26).unwrap_or(0)));
            hash /= 26;
        }
        Self { letters, first_range }
    }

    /// The number of the first range that apps have: the platform's own processes share theirs with no app.
    #[must_use]
    pub(crate) fn first_app_range(&self) -> u32 {
        self.first_range + 1
    }

    /// How many ranges apps have, up to the next instance's.
    #[must_use]
    pub(crate) fn app_ranges(&self) -> u32 {
        RANGES - 1
    }

    /// The uid and gid of the router.
    #[must_use]
    pub(crate) fn router_uid(&self) -> u32 {
        self.first_range * RANGE + 1
    }

    /// The uid and gid of git processes.
    #[must_use]
    pub(crate) fn git_uid(&self) -> u32 {
        self.first_range * RANGE + 2
    }

    /// The uid and gid of other helper programs of the host: mkfs.
    #[must_use]
    pub(crate) fn helper_uid(&self) -> u32 {
        self.first_range * RANGE + 3
    }

    /// The first id that apps have.
    #[must_use]
    pub(crate) fn first_app_id(&self) -> u32 {
        self.first_app_range() * RANGE
    }
}

/// FNV-1a, 64 bits: stable across versions, which a hasher of the standard library is not.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_stable_and_inside_32_bits() {
        let one = Instance::of(Path::new("/srv/paddock"));
        assert_eq!(one, Instance::of(Path::new("/srv/paddock")));
        assert_ne!(one.letters, Instance::of(Path::new("/srv/paddock2")).letters);
        assert!(one.letters.bytes().all(|c| c.is_ascii_lowercase()) && one.letters.len() == 6);
        let end_of_all = (FIRST_RANGE + 15 * RANGES) as u64 * u64::from(RANGE);
        assert!(end_of_all <= u64::from(u32::MAX));
    }

    #[test]
    fn no_app_has_the_ids_of_the_platform_or_of_another_instance() {
        let one = Instance::of(Path::new("/srv/paddock"));
        for uid in [one.router_uid(), one.git_uid(), one.helper_uid()] {
            assert!(uid < one.first_app_id(), "{uid}");
            assert!(uid >= one.first_range * RANGE, "{uid}");
        }
        assert_eq!(one.first_app_range() + one.app_ranges(), one.first_range + RANGES);
    }
}
