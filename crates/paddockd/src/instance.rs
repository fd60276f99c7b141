//! The instance: one server's own corner of the machine, derived from its data directory.
//!
//! Everything made in the kernel carries the six letters, and every id that is not root's lies in the instance's own
//! range ([`id_range`]), so that two servers on one machine do not meet.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::id_range;

/// Ids per range: one range for each app, the first one for the platform's own unprivileged processes.
const RANGE: u32 = 65_536;
/// Ranges per instance.
const RANGES: u32 = 4_000;
/// The first range that instances use; what lies below belongs to people, services and container tools.
const FIRST_RANGE: u32 = 4_096;
/// An instance's letters and ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Six lower-case letters.
    pub(crate) letters: String,
    /// The number of its range of ids among those of the machine.
    ids: u32,
    first_range: u32,
}

impl Instance {
    /// The instance of a data directory, given as a canonical path.
    #[must_use]
    pub(crate) fn of(data_dir: &Path) -> Self {
        let kept = id_range::kept(data_dir).ok().flatten();
        Self::with_ids(data_dir, kept.unwrap_or_else(|| preferred(data_dir)))
    }

    /// The same for a server that begins to use its ids: nobody else on this machine gets them from now on. Warns where
    /// somebody has them already.
    pub(crate) fn claim(data_dir: &Path) -> io::Result<Self> {
        let claim = id_range::claim(data_dir, preferred(data_dir))?;
        if let Some(other) = claim.shared_with {
            tracing::warn!(
                "the server with the data folder {} has the same user ids as this one: their processes are kept apart by \
                 namespaces alone. Restore a backup of one of them into a new folder, which gets ids of its own",
                other.display()
            );
        }
        Ok(Self::with_ids(data_dir, claim.range))
    }

    /// Has the data directory keep these ids.
    pub(crate) fn keep_ids(&self, data_dir: &Path) -> io::Result<()> {
        id_range::keep(data_dir, self.ids)
    }

    fn with_ids(data_dir: &Path, ids: u32) -> Self {
        let mut hash = fnv1a(data_dir.as_os_str().as_bytes());
        let mut letters = String::new();
        for _ in 0..6 {
            letters.push(char::from(b'a' + u8::try_from(hash % 26).unwrap_or(0)));
            hash /= 26;
        }
        Self { letters, ids, first_range: FIRST_RANGE + ids * RANGES }
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

    #[must_use]
    pub(crate) fn first_app_id(&self) -> u32 {
        self.first_app_range() * RANGE
    }
}

/// The range of ids that a directory's path asks for.
fn preferred(data_dir: &Path) -> u32 {
    let hash = fnv1a(data_dir.as_os_str().as_bytes());
    u32::try_from(hash % u64::from(id_range::RANGES)).unwrap_or(0)
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
        let end_of_all = u64::from(FIRST_RANGE + id_range::RANGES * RANGES) * u64::from(RANGE);
        assert!(end_of_all <= u64::from(u32::MAX));
    }

    #[test]
    fn no_app_has_the_ids_of_the_platform_or_of_another_instance() {
        let one = Instance::with_ids(Path::new("/srv/paddock"), 3);
        let next = Instance::with_ids(Path::new("/srv/paddock2"), 4);
        assert!(one.first_app_id() + one.app_ranges() * RANGE <= next.router_uid());
        for uid in [one.router_uid(), one.git_uid(), one.helper_uid()] {
            assert!(uid < one.first_app_id(), "{uid}");
            assert!(uid >= one.first_range * RANGE, "{uid}");
        }
        assert_eq!(one.first_app_range() + one.app_ranges(), one.first_range + RANGES);
    }
}
