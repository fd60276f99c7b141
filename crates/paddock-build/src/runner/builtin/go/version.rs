//! Versions of Go, as its releases are named.

use std::fmt;

/// From this on the first release of a series has a patch number of its own.
const FIRST_WITH_ZERO: u64 = 21;

/// `go1.25` for the newest of a series, `go1.25.3` for that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GoVersion {
    pub(super) minor: u64,
    pub(super) patch: Option<u64>,
}

impl GoVersion {
    /// Reads it with or without `go` before it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut parts = text.strip_prefix("go").unwrap_or(text).strip_prefix("1.")?.split('.');
        let number =
            |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let minor = number(parts.next()?)?;
        let patch = match parts.next() {
            None => None,
            Some(patch) => Some(number(patch)?),
        };
        parts.next().is_none().then_some(Self { minor, patch })
    }

    /// For comparing: a series is as good as its first release.
    pub(super) fn order(self) -> (u64, u64) {
        (self.minor, self.patch.unwrap_or(0))
    }

    /// Whether a release is the one that this asks for.
    pub(super) fn is_met_by(self, release: Self) -> bool {
        self.minor == release.minor && self.patch.is_none_or(|patch| Some(patch) == release.patch)
    }

    /// The release that builds what asks for this, of those that can be had: the newest of the series from it on, else the
    /// newest of the next series.
    pub(super) fn next_of(self, releases: &[Self]) -> Option<Self> {
        let later = releases.iter().copied().filter(|release| release.order() >= self.order());
        let series = later.clone().map(|release| release.minor).min()?;
        later.filter(|release| release.minor == series).max_by_key(|release| release.order())
    }

    /// The one that is least far from it.
    pub(super) fn nearest_of(self, releases: &[Self]) -> Option<Self> {
        let distance = |release: &&Self| {
            let (minor, patch) = release.order();
            (minor.abs_diff(self.minor), patch.abs_diff(self.patch.unwrap_or(u64::MAX)))
        };
        releases.iter().min_by_key(distance).copied()
    }
}

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            None => write!(f, "go1.{}", self.minor),
            Some(0) if self.minor < FIRST_WITH_ZERO => write!(f, "go1.{}", self.minor),
            Some(patch) => write!(f, "go1.{}.{patch}", self.minor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_the_next_best_is_found() {
        for (text, expected) in [
            ("1.25", Some("go1.25")),
            ("go1.25.3", Some("go1.25.3")),
            (" go1.20.0 ", Some("go1.20")),
            ("go1.21.0", Some("go1.21.0")),
            ("1", None),
            ("go2.1", None),
            ("1.25rc1", None),
            ("1.+5", None),
            ("1.2.3.4", None),
            ("devel-abc", None),
        ] {
            let read = GoVersion::parse(text).map(|version| version.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        let of = |text: &str| GoVersion::parse(text).unwrap();
        let releases = ["1.21.13", "1.22.10", "1.24.3", "1.24.11", "1.25.5"].map(of);
        for (wanted, next, nearest) in [
            ("1.13", Some("go1.21.13"), "go1.21.13"),
            ("1.24.0", Some("go1.24.11"), "go1.24.3"),
            ("1.24.12", Some("go1.25.5"), "go1.24.11"),
            ("1.23", Some("go1.24.11"), "go1.24.11"),
            ("1.26", None, "go1.25.5"),
        ] {
            let text = |version: GoVersion| version.to_string();
            assert_eq!(of(wanted).next_of(&releases).map(text).as_deref(), next, "{wanted}");
            assert_eq!(of(wanted).nearest_of(&releases).map(text).as_deref(), Some(nearest), "{wanted}");
        }
        assert!(of("1.25").is_met_by(of("1.25.5")) && !of("1.25.4").is_met_by(of("1.25.5")));
    }
}
