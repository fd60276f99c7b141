//! Path patterns of `static.json`: `*` for anything but a slash, `**` for anything.
//!
//! No regular expressions: the time of a match is bounded by the lengths of pattern and path.

/// The longest pattern, in bytes.
const LENGTH_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `*`.
    Within,
    /// `**`.
    Across,
}

/// A pattern that a whole path has or has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Token>);

impl Glob {
    /// Reads a pattern; `None` when it is too long.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > LENGTH_MAX {
            return None;
        }
        let mut tokens = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            rest = after;
            if *first != b'*' {
                tokens.push(Token::Byte(*first));
            } else if let [b'*', after @ ..] = rest {
                rest = after;
                tokens.push(Token::Across);
            } else {
                tokens.push(Token::Within);
            }
        }
        Some(Self(tokens))
    }

    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        let literal = self.0.iter().map_while(|token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        });
        if !literal.clone().eq(path.iter().copied().take(literal.count())) {
            return false;
        }
        // `reached[n]`: the first n tokens can stand for what was read.
        let mut reached = vec![false; self.0.len() + 1];
        reached[0] = true;
        self.skip_stars(&mut reached);
        for byte in path {
            let mut next = vec![false; reached.len()];
            for (n, token) in self.0.iter().enumerate().filter(|(n, _)| reached[*n]) {
                match token {
                    Token::Byte(wanted) => next[n + 1] |= wanted == byte,
                    Token::Within => next[n] |= *byte != b'/',
                    Token::Across => next[n] = true,
                }
            }
            self.skip_stars(&mut next);
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }

    /// A star may stand for nothing.
    fn skip_stars(&self, reached: &mut [bool]) {
        for (n, token) in self.0.iter().enumerate() {
            if reached[n] && !matches!(token, Token::Byte(_)) {
                reached[n + 1] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn one_star_stays_in_a_folder_and_two_do_not() {
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/**", "/", true),
            ("/**", "/a/b", true),
            ("/*.html", "/foo.html", true),
            ("/*.html", "/a/foo.html", false),
            ("/route/**", "/route/foo/bar", true),
            ("/route/**", "/route", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/b/c", false),
            ("**.js", "/a/b.js", true),
            ("/a.b", "/axb", false),
            ("/assets/**/x*", "/assets/1/2/xyz", true),
            ("", "/", false),
            ("/(a+)+", "/(a+)+", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
        assert_eq!(Glob::parse(&"*".repeat(257)), None);
    }

    #[test]
    fn a_pattern_of_many_stars_costs_no_more_than_its_length() {
        let begun = Instant::now();
        assert!(!matches(&format!("/{}b", "*a**".repeat(50)), &format!("/{}", "a".repeat(4096))));
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn no_input_panics_and_a_path_matches_itself(text in "[/a-c*.]{0,40}", path in "\\PC{0,60}") {
            let _ = matches(&text, &path);
            let plain = text.replace('*', "");
            prop_assert!(matches(&plain, &plain));
            prop_assert!(matches("**", &path));
        }
    }
}
