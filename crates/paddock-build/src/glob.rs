//! Patterns of paths, as `.dockerignore` and COPY know them: `*`, `?`, classes, `\`, and `**` for any number of folders.

/// What is wrong with a pattern: a sentence without its full stop.
type Result<T> = std::result::Result<T, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Char(char),
    /// One character of a name.
    One,
    /// Any part of a name.
    Run,
    /// Anything.
    Anything,
    /// Any number of folders, none included.
    Folders,
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern of a whole path: names between slashes, none at its beginning or end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

impl Glob {
    /// Reads a pattern, whose `**` reaches over slashes.
    ///
    /// # Errors
    /// When a class has no end, or nothing follows a `\`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    while chars.next_if_eq(&'*').is_some() {}
                    if chars.next_if_eq(&'/').is_some() { Part::Folders } else { Part::Anything }
                }
                '*' => Part::Run,
                '?' => Part::One,
                '[' => class(&mut chars)?,
                '\\' => Part::Char(chars.next().ok_or("nothing follows its last \\")?),
                _ => Part::Char(c),
            });
        }
        Ok(Self(parts))
    }

    /// Whether this is the path. Takes time in proportion to both lengths.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        // For each place whether the parts so far can end there.
        let mut ends = vec![false; path.len() + 1];
        ends[0] = true;
        for part in &self.0 {
            ends = part.ends(&ends, &path);
        }
        ends[path.len()]
    }
}

impl Part {
    fn ends(&self, before: &[bool], path: &[char]) -> Vec<bool> {
        let mut after = vec![false; before.len()];
        let mut reached = false;
        for at in 0..before.len() {
            let last = at.checked_sub(1).map(|last| path[last]);
            let one = |fits: bool| fits && at > 0 && before[at - 1];
            after[at] = match self {
                Self::Char(c) => one(last == Some(*c)),
                Self::One => one(last.is_some_and(|last| last != '/')),
                Self::Class { is_negated, ranges } => one(last.is_some_and(|last| {
                    let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&last));
                    last != '/' && is_in != *is_negated
                })),
                Self::Run => {
                    reached = before[at] || (reached && last != Some('/'));
                    reached
                }
                Self::Anything => {
                    reached |= before[at];
                    reached
                }
                Self::Folders => {
                    let ends_folder = reached && last == Some('/');
                    reached |= before[at];
                    before[at] || ends_folder
                }
            };
        }
        after
    }
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Part> {
    const NO_END: &str = "a [ in it has no ]";
    let is_negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let member = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| match chars.next() {
            Some('\\') => chars.next().ok_or(NO_END),
            other => other.ok_or(NO_END),
        };
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Ok(Part::Class { is_negated, ranges });
        }
        let low = member(chars)?;
        let mut high = low;
        if chars.next_if_eq(&'-').is_some() {
            if chars.peek() == Some(&']') {
                // A dash at the end is one of its characters.
                ranges.push(('-', '-'));
            } else {
                high = member(chars)?;
            }
        }
        ranges.push((low, high));
    }
}

/// Whether a text is a pattern and not a plain path.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        for (pattern, path, expected) in [
            ("a/b", "a/b", true),
            ("a", "a/b", false),
            ("*", "a", true),
            ("*", "a/b", false),
            ("*/b", "a/b", true),
            ("a*c", "abbc", true),
            ("a*c", "a/c", false),
            ("?", "ä", true),
            ("?", "/", false),
            ("**", "a/b/c", true),
            ("**/c", "c", true),
            ("**/c", "a/b/c", true),
            ("**/c", "abc", false),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/x/y/c", true),
            ("a/**/c", "ac", false),
            ("a/**", "a/b", true),
            ("a/**", "a", false),
            ("a**b", "a/x/b", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[\\]]", "]", true),
            ("a[/]b", "a/b", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap().matches(path), expected, "{pattern} on {path}");
        }
        for pattern in ["[a", "[", "[a-", "a\\"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn many_stars_are_no_trap() {
        let path = "a".repeat(4_000);
        assert!(!Glob::parse(&("*a".repeat(500) + "b")).unwrap().matches(&path));
        assert!(!Glob::parse(&("**/".repeat(500) + "b")).unwrap().matches(&path));
    }

    proptest! {
        #[test]
        fn an_escaped_path_matches_itself_alone(path in "[a-z*?\\[\\]/\\\\]{1,20}", other in "[a-z/]{1,20}") {
            let escaped: String = path.chars().flat_map(|c| ['\\', c]).collect();
            let glob = Glob::parse(&escaped).unwrap();
            prop_assert!(glob.matches(&path));
            prop_assert_eq!(glob.matches(&other), path == other);
        }
    }
}
