//! Which layers are let go that are only kept to be used again: the longest unused first, until a quota is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::digest::LayerDigest;
use crate::time::UnixMicros;

/// What was used so recently stays: a build that goes on may be about to use it once more.
pub const SPARED: Duration = Duration::from_secs(2 * 60 * 60);

/// A layer that nothing needs, but that may save work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reusable {
    /// Which.
    pub layer: LayerDigest,
    /// Its bytes.
    pub size_bytes: u64,
    /// When it was last used.
    pub used_at: UnixMicros,
}

/// Those that are let go, the longest unused first. A layer may be kept for several reasons: its last use counts.
#[must_use]
pub fn beyond(reusable: &[Reusable], quota_bytes: u64, now: UnixMicros) -> Vec<LayerDigest> {
    let mut last_use: BTreeMap<&LayerDigest, &Reusable> = BTreeMap::new();
    for one in reusable {
        let known = last_use.entry(&one.layer).or_insert(one);
        if known.used_at < one.used_at {
            *known = one;
        }
    }
    let mut oldest_first: Vec<_> = last_use.into_values().collect();
    oldest_first.sort_by_key(|one| (one.used_at, &one.layer));
    let mut held: u64 = oldest_first.iter().fold(0, |sum, one| sum.saturating_add(one.size_bytes));
    let mut gone = Vec::new();
    for one in oldest_first {
        if held <= quota_bytes || now.since(one.used_at) < SPARED {
            break;
        }
        held -= one.size_bytes;
        gone.push(one.layer.clone());
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1_000_000;

    fn reusable(byte: u8, size_bytes: u64, day: i64) -> Reusable {
        Reusable { layer: LayerDigest::of_sha256([byte; 32]), size_bytes, used_at: UnixMicros(day * DAY) }
    }

    fn gone(reusable: &[Reusable], quota: u64) -> Vec<u8> {
        let digits = |layer: LayerDigest| u8::from_str_radix(&layer.hex()[..2], 16).unwrap();
        beyond(reusable, quota, UnixMicros(10 * DAY)).into_iter().map(digits).collect()
    }

    #[test]
    fn the_longest_unused_go_until_the_quota_is_kept() {
        let all = [reusable(1, 5, 3), reusable(2, 5, 1), reusable(3, 5, 2)];
        assert_eq!(gone(&all, 15), [0; 0]);
        assert_eq!(gone(&all, 14), [2]);
        assert_eq!(gone(&all, 5), [2, 3]);
        assert_eq!(gone(&all, 0), [2, 3, 1]);
    }

    #[test]
    fn what_is_kept_twice_counts_once_by_its_last_use_and_what_was_just_used_stays() {
        let all = [reusable(1, 5, 1), reusable(1, 5, 9), reusable(2, 5, 5)];
        assert_eq!(gone(&all, 5), [2]);
        assert_eq!(gone(&[reusable(1, 5, 10)], 0), [0; 0]);
    }
}
