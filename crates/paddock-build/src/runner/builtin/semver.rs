//! Version ranges as `engines` of a `package.json` has them. Source: npm's own grammar of ranges.
//!
//! Pre-releases are not matched, as npm does without being told: what a range asks for is a released version.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u64, pub(super) u64, pub(super) u64);

impl Version {
    /// Reads `20.1.2` or `v20.1.2`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match Partial::parse(text)? {
            Partial { major: Some(major), minor: Some(minor), patch: Some(patch) } => {
                Some(Self(major, minor, patch))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A version with parts left open: `20`, `20.x`, `*`.
#[derive(Debug, Clone, Copy)]
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', '=']).unwrap_or(text);
        // What follows a `-` or `+` names a pre-release or a build.
        let text = text.split(['-', '+']).next()?;
        let mut parts = text.split('.');
        let mut next = || match parts.next() {
            None | Some("" | "x" | "X" | "*") => Some(None),
            Some(number) => number.parse().ok().map(Some),
        };
        let partial = Self { major: next()?, minor: next()?, patch: next()? };
        parts.next().is_none().then_some(partial)
    }

    /// The first version that it may mean.
    fn floor(self) -> Version {
        Version(self.major.unwrap_or(0), self.minor.unwrap_or(0), self.patch.unwrap_or(0))
    }

    /// The first version behind all that it may mean; `None` when it may mean any.
    fn ceiling(self) -> Option<Version> {
        match (self.major?, self.minor, self.patch) {
            (major, None, _) => Some(Version(major + 1, 0, 0)),
            (major, Some(minor), None) => Some(Version(major, minor + 1, 0)),
            (major, Some(minor), Some(patch)) => Some(Version(major, minor, patch + 1)),
        }
    }

    /// The end of `^`: the first part that is not zero stays.
    fn caret(self) -> Option<Version> {
        match (self.major?, self.minor, self.patch) {
            (0, Some(0), Some(patch)) => Some(Version(0, 0, patch + 1)),
            (0, Some(minor), _) => Some(Version(0, minor + 1, 0)),
            (major, _, _) => Some(Version(major + 1, 0, 0)),
        }
    }

    /// The end of `~`: the minor part stays, if there is one.
    fn tilde(self) -> Option<Version> {
        Self { patch: None, ..self }.ceiling()
    }
}

/// A range in npm's own words: Heroku's resolver takes two more, `latest` for any version and `~=` for `~`.
pub(super) fn range_of_npm(range: &str) -> String {
    let range = range.trim();
    if range == "latest" {
        return "*".to_owned();
    }
    range.strip_prefix("~=").map_or_else(|| range.to_owned(), |version| format!("~{}", version.trim()))
}

/// Whether a version is in a range; `None` when the range cannot be read.
pub(super) fn satisfies(version: Version, range: &str) -> Option<bool> {
    let range = range_of_npm(range);
    let mut found = false;
    for set in range.split("||") {
        found |= in_set(version, set.trim())?;
    }
    Some(found)
}

fn in_set(version: Version, set: &str) -> Option<bool> {
    if let Some((from, to)) = set.split_once(" - ") {
        let (from, to) = (Partial::parse(from.trim())?, Partial::parse(to.trim())?);
        return Some(version >= from.floor() && to.ceiling().is_none_or(|end| version < end));
    }
    // `>= 20` is one comparator, with a space in it.
    let mut joined = String::new();
    for word in set.split_whitespace() {
        joined.push_str(word);
        if !word.ends_with(['>', '<', '=', '^', '~']) {
            joined.push(' ');
        }
    }
    let mut all = true;
    for comparator in joined.split_whitespace() {
        all &= compares(version, comparator)?;
    }
    Some(all)
}

fn compares(version: Version, comparator: &str) -> Option<bool> {
    let start =
        comparator.find(|c: char| !matches!(c, '>' | '<' | '=' | '^' | '~')).unwrap_or(comparator.len());
    let (operator, text) = comparator.split_at(start);
    let wanted = Partial::parse(text)?;
    let from_floor = version >= wanted.floor();
    let before = |end: Option<Version>| end.is_none_or(|end| version < end);
    Some(match operator {
        "" | "=" => from_floor && before(wanted.ceiling()),
        ">=" => from_floor,
        ">" => !before(wanted.ceiling()),
        "<" => !from_floor,
        "<=" => before(wanted.ceiling()),
        "^" => from_floor && before(wanted.caret()),
        "~" | "~>" => from_floor && before(wanted.tilde()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_npm_says() {
        for (version, range, expected) in [
            ("20.20.2", "", true),
            ("20.20.2", "*", true),
            ("20.20.2", "20", true),
            ("20.20.2", "20.x", true),
            ("20.20.2", "v20.20.2", true),
            ("20.20.2", "20.1", false),
            ("20.20.2", ">=18", true),
            ("20.20.2", ">= 18 < 20", false),
            ("20.20.2", ">20", false),
            ("20.20.2", ">20.19", true),
            ("20.20.2", "<=20", true),
            ("20.20.2", "^20.3.1", true),
            ("20.20.2", "^18.0.0 || ^20.0.0 || >=22", true),
            ("20.20.2", "18.x || 22.x", false),
            ("20.20.2", "~20.20.0", true),
            ("20.20.2", "~20.19", false),
            ("20.20.2", "18 - 20", true),
            ("20.20.2", "18.0.0 - 20.20.1", false),
            ("0.2.5", "^0.2.3", true),
            ("0.3.0", "^0.2.3", false),
            ("0.0.4", "^0.0.3", false),
            ("20.20.2", "latest", true),
            ("20.20.2", " latest ", true),
            ("20.20.2", "~=20.20", true),
            ("20.20.2", "~= 20.20.1", true),
            ("20.20.2", "~=20.9", false),
            ("20.9.7", "~=20.9", true),
        ] {
            let version = Version::parse(version).unwrap();
            assert_eq!(satisfies(version, range), Some(expected), "{version} in {range:?}");
        }
        for bad in
            ["20.a", "1.2.3.4", ">=lts/*", "=>20", "stable", "lts/*", "20.%", "latest || 20", "20 ~=20.9"]
        {
            assert_eq!(satisfies(Version(20, 0, 0), bad), None, "{bad}");
        }
        assert_eq!(Version::parse("20"), None);
    }
}
