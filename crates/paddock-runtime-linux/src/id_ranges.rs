//! The user ids of this machine that tenants have.

use std::io;

use paddock_core::Tenant;

const RANGE: u32 = 65_536;

/// Ranges of 65,536 host ids each: a container's ids 0 to 65,535 are those of its tenant's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRanges {
    /// The number of the range that tenant 0 has: it begins with id 65,536 times that. Not 0, which has the host's own ids.
    pub first: u32,
    /// How many there are. More tenants than that share ranges: they never leave them.
    pub count: u32,
}

impl IdRanges {
    /// The first host id of a tenant.
    #[must_use]
    pub const fn base_of(&self, tenant: Tenant) -> u32 {
        (self.first + tenant.0 % self.count) * RANGE
    }

    /// Refuses malformed ranges.
    pub(crate) fn check(&self) -> io::Result<()> {
        let end = self.first.checked_add(self.count);
        let fits = end.is_some_and(|end| u64::from(end) * u64::from(RANGE) <= 1 << 32);
        if self.first > 0 && self.count > 0 && fits {
            return Ok(());
        }
        let reason = format!("{} ranges of ids from number {} on cannot be tenants'", self.count, self.first);
        Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_have_ranges_one_after_the_other_and_never_others() {
        let ranges = IdRanges { first: 1, count: 3 };
        let bases: Vec<_> = (0..5).map(|number| ranges.base_of(Tenant(number))).collect();
        assert_eq!(bases, [65_536, 131_072, 196_608, 65_536, 131_072]);
        ranges.check().unwrap();
        IdRanges { first: 65_535, count: 1 }.check().unwrap();
        for (first, count) in [(0, 1), (1, 0), (65_535, 2), (u32::MAX, 2)] {
            assert!(IdRanges { first, count }.check().is_err(), "{first} {count}");
        }
    }
}
