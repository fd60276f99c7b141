//! Rust source as the checks see it: tokens with their lines, and which of them are tests.

use std::ops::Range;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What a token is; of a literal the contents are kept where it is a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Sign,
    Text,
    Literal,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Its number in the file.
    pub(crate) at: usize,
    /// Whether it lies in an item below `#[cfg(test)]`.
    pub(crate) in_test: bool,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text && matches!(self.kind, Kind::Word | Kind::Sign)
    }

    pub(crate) fn word(&self) -> Option<&str> {
        (self.kind == Kind::Word).then_some(self.text.as_str())
    }
}

/// A source file taken apart. Comments are gone; so are those that became `#[doc]`.
pub(crate) struct Source {
    pub(crate) tokens: Vec<Token>,
    lines: usize,
    test_lines: usize,
}

impl Source {
    /// Takes a file's text apart.
    pub(crate) fn parse(text: &str) -> Result<Source, String> {
        let stream: TokenStream = text.parse().map_err(|error| format!("is not Rust: {error}"))?;
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        tokens.iter_mut().enumerate().for_each(|(at, token)| token.at = at);
        let mut test_lines = 0;
        for range in test_items(&tokens) {
            test_lines += tokens[range.end - 1].line + 1 - tokens[range.start].line;
            tokens[range].iter_mut().for_each(|token| token.in_test = true);
        }
        Ok(Source { tokens, lines: text.lines().count(), test_lines })
    }

    /// Lines that count towards a file's budget.
    pub(crate) fn lines_without_tests(&self) -> usize {
        self.lines - self.test_lines
    }

    /// The positions at which these tokens stand one after the other.
    pub(crate) fn find<'a>(&'a self, pattern: &'a [&str]) -> impl Iterator<Item = &'a [Token]> {
        let found = move |window: &&[Token]| window.iter().zip(pattern).all(|(token, text)| token.is(text));
        self.tokens.windows(pattern.len()).filter(found)
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        let mut push =
            |kind, text: String, line| tokens.push(Token { kind, text, line, at: 0, in_test: false });
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(Kind::Sign, open.to_owned(), line);
                flatten(group.stream(), tokens);
                let end = group.span_close().end().line;
                tokens.push(Token {
                    kind: Kind::Sign,
                    text: close.to_owned(),
                    line: end,
                    at: 0,
                    in_test: false,
                });
            }
            TokenTree::Ident(ident) => push(Kind::Word, ident.to_string(), line),
            // The two halves of `::` are one sign.
            TokenTree::Punct(punct) => {
                let joins = punct.as_char() == ':'
                    && matches!(trees.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                if joins {
                    trees.next();
                }
                push(Kind::Sign, if joins { "::".to_owned() } else { punct.as_char().to_string() }, line);
            }
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                match text.find('"').filter(|_| !text.starts_with('\'')) {
                    Some(begin) => {
                        let end = text.rfind('"').unwrap_or(begin);
                        push(Kind::Text, text[(begin + 1).min(end)..end].to_owned(), line);
                    }
                    None => push(Kind::Literal, text, line),
                }
            }
        }
    }
}

/// Every item that follows `#[cfg(test)]`, to its closing brace or semicolon.
fn test_items(tokens: &[Token]) -> Vec<Range<usize>> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut items: Vec<Range<usize>> = Vec::new();
    for start in 0..tokens.len().saturating_sub(attribute.len()) {
        let begins = attribute.iter().zip(&tokens[start..]).all(|(text, token)| token.is(text));
        if begins && items.last().is_none_or(|last| last.end <= start) {
            items.push(start..item_end(tokens, start + attribute.len()));
        }
    }
    items
}

/// One past the end of the item that begins at `from`.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(from).filter(|(_, token)| token.kind == Kind::Sign) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::{Kind, Source};

    fn parse(text: &str) -> Source {
        Source::parse(text).unwrap()
    }

    fn strings(source: &Source) -> Vec<(usize, &str)> {
        let strings = source.tokens.iter().filter(|token| token.kind == Kind::Text);
        strings.map(|token| (token.line, token.text.as_str())).collect()
    }

    #[test]
    fn comments_and_strings_are_not_words() {
        let source = parse(
            "let a = \"unsafe // x\"; // unsafe\n/* unsafe\n unsafe */ let b = r#\"un\"safe\"#;\nlet c = '\"';",
        );
        assert!(source.find(&["unsafe"]).next().is_none());
        assert_eq!(strings(&source), [(1, "unsafe // x"), (3, "un\"safe")]);
    }

    #[test]
    fn paths_are_found_with_their_lines() {
        let source = parse("fn a() {\n    std::thread::sleep(b)\n}");
        let lines: Vec<usize> =
            source.find(&["thread", "::", "sleep", "("]).map(|found| found[0].line).collect();
        assert_eq!(lines, [2]);
    }

    #[test]
    fn test_items_do_not_count() {
        let source = parse("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { {} }\n}\nfn c() {}\n");
        assert_eq!(source.lines_without_tests(), 2);
        assert!(source.find(&["fn", "b"]).all(|found| found[0].in_test));
        assert!(source.find(&["fn", "c"]).all(|found| !found[0].in_test));
        assert_eq!(parse("#[cfg(test)]\nmod tests;\nfn a() {}\n").lines_without_tests(), 1);
    }
}
