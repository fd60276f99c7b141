//! Patterns of a `${NAME#PATTERN}`: `*` for any run, `?` for one character.

/// How much may be compared for one replacement: characters of the value, squared, times those of the pattern.
const COMPARISONS_MAX: usize = 50_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Char(char),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

type Result<T> = std::result::Result<T, String>;

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '?' | '\\' | '}' | '/')) => Part::Char(escaped),
                    other => {
                        let other = other.map(String::from).unwrap_or_default();
                        return Err(format!("\\{other} stands for nothing in a pattern"));
                    }
                },
                _ => Part::Char(c),
            });
        }
        Ok(Self(parts))
    }

    /// The value without its shortest or longest beginning that matches.
    pub(super) fn without_start(&self, value: &str, longest: bool) -> Result<String> {
        let chars: Vec<char> = value.chars().collect();
        self.affordable(chars.len())?;
        let cut = self.end(&chars, longest).unwrap_or(0);
        Ok(chars[cut..].iter().collect())
    }

    /// The value without its shortest or longest end that matches.
    pub(super) fn without_end(&self, value: &str, longest: bool) -> Result<String> {
        let chars: Vec<char> = value.chars().rev().collect();
        self.affordable(chars.len())?;
        let cut = Self(self.0.iter().rev().copied().collect()).end(&chars, longest).unwrap_or(0);
        Ok(chars[cut..].iter().rev().collect())
    }

    /// The value with `by` in the place of the first or of every longest match.
    pub(super) fn replaced(&self, value: &str, by: &str, every: bool) -> Result<String> {
        let chars: Vec<char> = value.chars().collect();
        self.affordable(chars.len())?;
        let mut out = String::new();
        let mut at = 0;
        while at < chars.len() {
            match self.end(&chars[at..], true).filter(|length| *length > 0) {
                Some(length) => {
                    out.push_str(by);
                    at += length;
                    if !every {
                        break;
                    }
                }
                None => {
                    out.push(chars[at]);
                    at += 1;
                }
            }
        }
        out.extend(&chars[at..]);
        if out.len() > super::EXPANDED_BYTES_MAX {
            return Err("what it is replaced by makes it too long".to_owned());
        }
        Ok(out)
    }

    fn affordable(&self, characters: usize) -> Result<()> {
        let comparisons = characters.saturating_mul(characters).saturating_mul(self.0.len().max(1));
        if comparisons > COMPARISONS_MAX {
            return Err("a value is too long for a pattern".to_owned());
        }
        Ok(())
    }

    /// Where the shortest or longest match ends that begins with the first character.
    fn end(&self, chars: &[char], longest: bool) -> Option<usize> {
        // For each place whether the parts so far can end there.
        let mut ends = vec![false; chars.len() + 1];
        ends[0] = true;
        for part in &self.0 {
            let mut next = vec![false; chars.len() + 1];
            let mut reached = false;
            for at in 0..=chars.len() {
                reached |= ends[at];
                next[at] = match part {
                    Part::Any => reached,
                    Part::One => at > 0 && ends[at - 1],
                    Part::Char(c) => at > 0 && ends[at - 1] && chars[at - 1] == *c,
                };
            }
            ends = next;
        }
        if longest { ends.iter().rposition(|end| *end) } else { ends.iter().position(|end| *end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_shortest_or_the_longest() {
        let start = |pattern: &str, value: &str, longest| {
            Pattern::parse(pattern).unwrap().without_start(value, longest).unwrap()
        };
        assert_eq!(start("*/", "a/b/c", false), "b/c");
        assert_eq!(start("*/", "a/b/c", true), "c");
        assert_eq!(start("b", "a/b/c", true), "a/b/c");
        assert_eq!(start("?", "äb", false), "b");
        assert_eq!(start("\\*", "*b", false), "b");
        assert_eq!(start("", "b", true), "b");
        let end = |pattern: &str, value: &str, longest| {
            Pattern::parse(pattern).unwrap().without_end(value, longest).unwrap()
        };
        assert_eq!(end(".*", "a.b.c", false), "a.b");
        assert_eq!(end(".*", "a.b.c", true), "a");
        assert_eq!(end("b?", "abc", false), "a");
        let replaced = |pattern: &str, value: &str, every| {
            Pattern::parse(pattern).unwrap().replaced(value, "-", every).unwrap()
        };
        assert_eq!(replaced("b*d", "abcdbd", false), "a-");
        assert_eq!(replaced("?", "abc", true), "---");
        assert_eq!(replaced("x", "abc", true), "abc");
        assert_eq!(replaced("*", "", true), "");
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let pattern = Pattern::parse(&"*a".repeat(10)).unwrap();
        assert!(pattern.without_start(&"a".repeat(30_000), true).is_err());
        assert_eq!(pattern.replaced(&"a".repeat(1_000), "", true).as_deref(), Ok(""));
        assert!(Pattern::parse("a\\b").is_err() && Pattern::parse("a\\").is_err());
    }
}
