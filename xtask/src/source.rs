//! Rust source as the checks see it: code without comments and strings, the strings by line, and which lines are tests.

/// A source file taken apart.
pub(crate) struct Source {
    /// The text with comments and the insides of strings blanked; the lines keep their numbers.
    pub(crate) code: Vec<String>,
    /// String literals with the line (from 1) on which they begin.
    pub(crate) strings: Vec<(usize, String)>,
    /// For each line, whether it lies in a `#[cfg(test)]` item.
    pub(crate) in_tests: Vec<bool>,
}

impl Source {
    /// Takes a file's text apart.
    pub(crate) fn parse(text: &str) -> Source {
        let mut lexer =
            Lexer { chars: text.chars().collect(), at: 0, line: 1, code: String::new(), strings: Vec::new() };
        lexer.run();
        let code: Vec<String> = lexer.code.lines().map(str::to_owned).collect();
        let in_tests = test_lines(&code);
        Source { code, strings: lexer.strings, in_tests }
    }

    /// Lines that count towards a file's budget.
    pub(crate) fn lines_without_tests(&self) -> usize {
        self.in_tests.iter().filter(|in_test| !**in_test).count()
    }

    /// Whether line `number` (from 1) lies in a test item.
    pub(crate) fn is_test_line(&self, number: usize) -> bool {
        self.in_tests.get(number.saturating_sub(1)).copied().unwrap_or(false)
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    code: String,
    strings: Vec<(usize, String)>,
}

impl Lexer {
    fn run(&mut self) {
        while let Some(char) = self.peek(0) {
            match char {
                '/' if self.peek(1) == Some('/') => self.skip_line_comment(),
                '/' if self.peek(1) == Some('*') => self.skip_block_comment(),
                '"' => self.quoted_string(),
                'r' | 'b' | 'c' if self.begins_literal() => self.prefixed_string(),
                '\'' => self.char_or_lifetime(),
                _ => self.keep(),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Takes one character into the code.
    fn keep(&mut self) {
        if let Some(char) = self.peek(0) {
            self.code.push(char);
            self.step();
        }
    }

    /// Takes one character and leaves only its line break.
    fn blank(&mut self) {
        if self.peek(0) == Some('\n') {
            self.code.push('\n');
        }
        self.step();
    }

    fn step(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn skip_line_comment(&mut self) {
        while self.peek(0).is_some_and(|char| char != '\n') {
            self.blank();
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while self.peek(0).is_some() {
            if self.peek(0) == Some('/') && self.peek(1) == Some('*') {
                depth += 1;
                self.blank();
            } else if self.peek(0) == Some('*') && self.peek(1) == Some('/') {
                depth -= 1;
                self.blank();
            }
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    /// At `r`, `b` or `c`: whether a string or byte literal begins here and not a name.
    fn begins_literal(&self) -> bool {
        let after_name = self.code.chars().last().is_some_and(|char| char.is_alphanumeric() || char == '_');
        if after_name {
            return false;
        }
        let mut ahead = 1;
        if self.peek(ahead) == Some('r') {
            ahead += 1;
        }
        while self.peek(ahead) == Some('#') {
            ahead += 1;
        }
        self.peek(ahead) == Some('"')
    }

    fn prefixed_string(&mut self) {
        let mut raw = false;
        let mut hashes = 0;
        while let Some(char) = self.peek(0) {
            match char {
                'r' => raw = true,
                '#' => hashes += 1,
                '"' => break,
                _ => {}
            }
            self.step();
        }
        if raw { self.raw_string(hashes) } else { self.quoted_string() }
    }

    fn raw_string(&mut self, hashes: usize) {
        let begins = self.line;
        let mut content = String::new();
        self.keep();
        while let Some(char) = self.peek(0) {
            let ends = char == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            if ends {
                self.keep();
                self.at += hashes;
                break;
            }
            content.push(char);
            self.blank();
        }
        self.strings.push((begins, content));
    }

    fn quoted_string(&mut self) {
        let begins = self.line;
        let mut content = String::new();
        self.keep();
        while let Some(char) = self.peek(0) {
            if char == '"' {
                self.keep();
                break;
            }
            if char == '\\' {
                content.push(char);
                self.blank();
            }
            if let Some(char) = self.peek(0) {
                content.push(char);
            }
            self.blank();
        }
        self.strings.push((begins, content));
    }

    fn char_or_lifetime(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        let plain = self.peek(2) == Some('\'');
        self.keep();
        if !escaped && !plain {
            return;
        }
        if escaped {
            self.blank();
        }
        self.blank();
        while self.peek(0).is_some_and(|char| char != '\'') {
            self.blank();
        }
        self.keep();
    }
}

/// Marks the lines of every item that follows `#[cfg(test)]`, to its closing brace or semicolon.
fn test_lines(code: &[String]) -> Vec<bool> {
    let mut marks = vec![false; code.len()];
    let mut line = 0;
    while line < code.len() {
        if code[line].trim_start().starts_with("#[cfg(test)]") {
            let end = item_end(code, line);
            marks[line..=end].fill(true);
            line = end;
        }
        line += 1;
    }
    marks
}

fn item_end(code: &[String], begins: usize) -> usize {
    let mut depth = 0usize;
    let attribute = "#[cfg(test)]".len();
    for (number, text) in code.iter().enumerate().skip(begins) {
        let skip = if number == begins { text.find("#[cfg(test)]").unwrap_or(0) + attribute } else { 0 };
        for char in text.chars().skip(skip) {
            match char {
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return number;
                    }
                }
                ';' if depth == 0 => return number,
                _ => {}
            }
        }
    }
    code.len() - 1
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn comments_and_strings_are_not_code() {
        let source = Source::parse(
            "let a = \"unsafe // x\"; // unsafe\n/* unsafe\n unsafe */ let b = r#\"un\"safe\"#;\n",
        );
        assert!(source.code.iter().all(|line| !line.contains("unsafe")));
        assert_eq!(source.strings, [(1, "unsafe // x".to_owned()), (3, "un\"safe".to_owned())]);
    }

    #[test]
    fn lifetimes_are_not_characters() {
        let source = Source::parse("fn f<'a>(x: &'a str) -> char { '\"' }\nlet y = \"z\";\n");
        assert_eq!(source.strings, [(2, "z".to_owned())]);
    }

    #[test]
    fn test_items_do_not_count() {
        let source = Source::parse("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { {} }\n}\nfn c() {}\n");
        assert_eq!(source.lines_without_tests(), 2);
        assert!(source.is_test_line(4));
        assert!(!source.is_test_line(6));
    }

    #[test]
    fn a_test_module_in_its_own_file_is_one_item() {
        let source = Source::parse("#[cfg(test)]\nmod tests;\nfn a() {}\n");
        assert_eq!(source.lines_without_tests(), 1);
    }
}
