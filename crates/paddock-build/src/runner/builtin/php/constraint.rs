//! Version constraints as Composer's files have them: `^8.1 || ~7.4.3`. Source: Composer's article on versions.
//!
//! Stability (`@dev`, `-beta1`) is not weighed: the stack's PHP is a released one.

use super::super::semver::Version;

/// Whether a version meets a constraint; `None` when the constraint cannot be read, which Composer then judges.
pub(super) fn satisfies(version: Version, constraint: &str) -> Option<bool> {
    let mut found = false;
    for set in constraint.replace("||", "|").split('|') {
        found |= in_set(version, set.trim())?;
    }
    Some(found)
}

fn in_set(version: Version, set: &str) -> Option<bool> {
    if let Some((from, to)) = set.split_once(" - ") {
        let (from, to) = (Partial::parse(from)?, Partial::parse(to)?);
        // What is left open at the end may be any.
        let below = if to.length < 3 { version < to.after(to.length)? } else { version <= to.floor };
        return Some(version >= from.floor && below);
    }
    let mut all = true;
    for comparator in comparators(set) {
        all &= compares(version, &comparator)?;
    }
    Some(all)
}

/// The parts of a set, each with its operator before it: `>= 8.1, <9` has two.
fn comparators(set: &str) -> Vec<String> {
    let mut joined = String::new();
    for word in set.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
        joined.push_str(word);
        if !word.ends_with(['>', '<', '=', '^', '~', '!']) {
            joined.push(' ');
        }
    }
    joined.split_whitespace().map(str::to_owned).collect()
}

fn compares(version: Version, comparator: &str) -> Option<bool> {
    let start =
        comparator.find(|c| !matches!(c, '>' | '<' | '=' | '^' | '~' | '!')).unwrap_or(comparator.len());
    let (operator, text) = comparator.split_at(start);
    let wanted = Partial::parse(text)?;
    let equal = || Some(if wanted.is_open { wanted.includes(version)? } else { version == wanted.floor });
    match operator {
        "" | "=" | "==" => equal(),
        "!=" | "<>" => equal().map(|is_equal| !is_equal),
        ">" => Some(version > wanted.floor),
        ">=" => Some(version >= wanted.floor),
        "<" => Some(version < wanted.floor),
        "<=" => Some(version <= wanted.floor),
        "^" => Some(version >= wanted.floor && version < wanted.caret()?),
        // `~8.1` allows 8.9 and `~8.1.2` does not: the last part that is named may rise.
        "~" => {
            Some(version >= wanted.floor && version < wanted.after(wanted.length.saturating_sub(1).max(1))?)
        }
        _ => None,
    }
}

/// A version with parts left open: `8`, `8.1.*`, `*`.
#[derive(Debug, Clone, Copy)]
struct Partial {
    floor: Version,
    /// How many parts are named.
    length: usize,
    /// It ends in a star.
    is_open: bool,
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let text = text.split(['-', '+', '@']).next()?;
        let mut numbers = Vec::new();
        let mut is_open = false;
        for part in text.split('.') {
            match part {
                "*" | "x" | "X" => is_open = true,
                _ if is_open => return None,
                number => numbers.push(number.parse().ok()?),
            }
        }
        let number = |index: usize| numbers.get(index).copied().unwrap_or(0);
        let floor = Version(number(0), number(1), number(2));
        // Composer knows a fourth part, which no version of PHP has.
        (numbers.len() <= 4).then_some(Self { floor, length: numbers.len().min(3), is_open })
    }

    fn includes(self, version: Version) -> Option<bool> {
        Some(self.length == 0 || (version >= self.floor && version < self.after(self.length)?))
    }

    /// The first version in which one of the first so many parts is greater; `None` when a number is too great.
    fn after(self, parts: usize) -> Option<Version> {
        let Version(major, minor, patch) = self.floor;
        Some(match parts {
            0 | 1 => Version(major.checked_add(1)?, 0, 0),
            2 => Version(major, minor.checked_add(1)?, 0),
            _ => Version(major, minor, patch.checked_add(1)?),
        })
    }

    fn caret(self) -> Option<Version> {
        let Version(major, minor, _) = self.floor;
        match (major, minor) {
            (0, 0) if self.length > 2 => self.after(3),
            (0, _) if self.length > 1 => self.after(2),
            _ => self.after(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn constraints_mean_what_composer_says() {
        for (version, constraint, expected) in [
            ("8.2.36", "*", true),
            ("8.2.36", "^8.1", true),
            ("8.2.36", "^8.3", false),
            ("8.2.36", "^7.4 || ^8.0", true),
            ("8.2.36", "^7.4|^8.0", true),
            ("8.2.36", "~8.1", true),
            ("8.2.36", "~8.1.0", false),
            ("8.2.36", "~8", true),
            ("9.0.0", "~8.1", false),
            ("8.2.36", "8.2.*", true),
            ("8.2.36", "8.1.*", false),
            ("8.2.36", "8.2", false),
            ("8.2.36", "8.2.36", true),
            ("8.2.36", "==8.2.36", true),
            ("8.2.36", ">=8.1 <8.3", true),
            ("8.2.36", ">= 8.1, < 8.2", false),
            ("8.2.36", ">=7.2.5", true),
            ("8.2.36", "!=8.2.*", false),
            ("8.2.36", "<>8.2.35", true),
            ("8.2.36", "8.0 - 8.2", true),
            ("8.2.36", "8.0 - 8.2.35", false),
            ("8.2.36", ">=8.0@dev", true),
            ("8.2.36", "^8.2.0-beta1", true),
            ("8.2.36", "v8.2.36", true),
            ("0.3.4", "^0.3", true),
            ("0.4.0", "^0.3", false),
        ] {
            assert_eq!(
                satisfies(Version::parse(version).unwrap(), constraint),
                Some(expected),
                "{version} in {constraint:?}"
            );
        }
        for unreadable in
            ["eight", ">>8", "8.*.1", "^8.x.2", "dev-main", "8.1.2.3.4", "8.99999999999999999999"]
        {
            assert_eq!(satisfies(Version(8, 2, 36), unreadable), None, "{unreadable}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.*x^~<>=!|, -]{0,40}|\\PC{0,40}") {
            let _ = satisfies(Version(8, 2, 0), &text);
        }
    }
}
