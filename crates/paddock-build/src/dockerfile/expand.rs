//! Variables, quotes and escapes of a word, as Dockerfiles know them: `$NAME`, `${NAME}`, and forms of the latter with a word
//! for what is set or not, or with a pattern for what is cut off or replaced.

use std::iter::Peekable;
use std::str::Chars;

use super::EXPANDED_BYTES_MAX;
use super::pattern::Pattern;

/// How deep a `${…}` may lie in another.
const DEPTH_MAX: usize = 32;

/// Puts values in the place of variables.
pub(super) struct Expander<'a> {
    /// Makes the next character an ordinary one.
    pub(super) escape: char,
    /// The value of a variable that is set.
    pub(super) value: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// What is wrong with a word: a sentence without its full stop.
type Result<T> = std::result::Result<T, String>;

impl Expander<'_> {
    /// A word with its variables put in and its quotes taken off.
    pub(super) fn word(&self, word: &str) -> Result<String> {
        self.expand(word, true)
    }

    /// A text that follows an instruction: quotes in it are its own.
    pub(super) fn text(&self, text: &str) -> Result<String> {
        self.expand(text, false)
    }

    fn expand(&self, text: &str, quotes: bool) -> Result<String> {
        let mut scan = Scan { expander: self, rest: text.chars().peekable(), quotes, depth: 0 };
        scan.until(None, false)
    }
}

struct Scan<'e, 'a> {
    expander: &'e Expander<'a>,
    rest: Peekable<Chars<'e>>,
    quotes: bool,
    depth: usize,
}

impl Scan<'_, '_> {
    /// Everything up to `end`, which is taken as well; `None` is the end of the text.
    fn until(&mut self, end: Option<char>, keeps_escapes: bool) -> Result<String> {
        let mut out = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                _ if Some(c) == end => return Ok(out),
                '\'' if self.quotes => self.single_quoted(&mut out)?,
                '"' if self.quotes => self.double_quoted(&mut out)?,
                '$' => out.push_str(&self.variable()?),
                _ if c == self.expander.escape => {
                    if keeps_escapes {
                        out.push(c);
                    }
                    out.extend(self.rest.next());
                }
                _ => out.push(c),
            }
            limit(&out)?;
        }
        match end {
            None => Ok(out),
            Some(end) => Err(format!("a ${{…}} in it has no {end}")),
        }
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<()> {
        for c in self.rest.by_ref() {
            if c == '\'' {
                return Ok(());
            }
            out.push(c);
        }
        Err("a ' in it has no second one".to_owned())
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<()> {
        while let Some(c) = self.rest.next() {
            match c {
                '"' => return Ok(()),
                '$' => out.push_str(&self.variable()?),
                // Here it escapes these alone, and is itself before others.
                _ if c == self.expander.escape => {
                    let escape = self.expander.escape;
                    let escaped = self.rest.next_if(|next| matches!(next, '"' | '$') || *next == escape);
                    match (escaped, self.rest.peek()) {
                        (Some(escaped), _) => out.push(escaped),
                        (None, Some(_)) => out.push(c),
                        (None, None) => {}
                    }
                }
                _ => out.push(c),
            }
            limit(out)?;
        }
        Err("a \" in it has no second one".to_owned())
    }

    /// What follows a `$`.
    fn variable(&mut self) -> Result<String> {
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok((self.expander.value)(&name).unwrap_or_default().to_owned());
        }
        if matches!(self.rest.peek(), Some('{' | '}' | ':')) {
            return Err("a ${…} in it names no variable".to_owned());
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} ${{…}} lie in each other"));
        }
        let name = self.name();
        let value = self.braced(&name);
        self.depth -= 1;
        value
    }

    /// What follows the name in `${`.
    fn braced(&mut self, name: &str) -> Result<String> {
        let value = (self.expander.value)(name);
        let unknown = |sign: String| Err(format!("\"{sign}\" is no way to put in a variable"));
        match self.rest.next() {
            None => Err("a ${…} in it has no }".to_owned()),
            Some('}') => Ok(value.unwrap_or_default().to_owned()),
            Some(':') => match self.rest.next() {
                Some(sign @ ('-' | '+' | '?')) => {
                    // Empty is as good as not set.
                    self.alternative(name, value.filter(|value| !value.is_empty()), sign, "empty")
                }
                sign => unknown(format!(":{}", sign.map(String::from).unwrap_or_default())),
            },
            Some(sign @ ('-' | '+' | '?')) => self.alternative(name, value, sign, "unset"),
            Some(sign @ ('#' | '%')) => {
                let is_longest = self.rest.next_if_eq(&sign).is_some();
                let pattern = Pattern::parse(&self.until(Some('}'), true)?)?;
                let value = value.unwrap_or_default();
                Ok(if sign == '#' {
                    pattern.without_start(value, is_longest)?
                } else {
                    pattern.without_end(value, is_longest)?
                })
            }
            Some('/') => {
                let is_every = self.rest.next_if_eq(&'/').is_some();
                let pattern = Pattern::parse(&self.until(Some('/'), true)?)?;
                let by = self.until(Some('}'), true)?;
                pattern.replaced(value.unwrap_or_default(), &by, is_every)
            }
            Some(sign) => unknown(sign.into()),
        }
    }

    fn alternative(&mut self, name: &str, value: Option<&str>, sign: char, what: &str) -> Result<String> {
        let word = self.until(Some('}'), false)?;
        match (sign, value) {
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value.to_owned()),
            (_, None) if word.is_empty() => Err(format!("{name} must not be {what}")),
            (_, None) => Err(format!("{name}: {word}")),
        }
    }

    /// A name; digits, or one of a shell's special signs, are names that nothing has.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.rest.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
                    name.push(digit);
                }
                return name;
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                name.extend(self.rest.next());
                return name;
            }
            _ => {}
        }
        while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }
}

/// Words grow by what is put in, and what is put in may have grown before.
fn limit(out: &str) -> Result<()> {
    if out.len() > EXPANDED_BYTES_MAX {
        return Err(format!("with its variables put in it has more than {} KB", EXPANDED_BYTES_MAX / 1024));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(name: &str) -> Option<&'static str> {
        match name {
            "HOME" => Some("/home"),
            "SHELL" => Some("bash"),
            "FILE" => Some("a.tar.gz"),
            "EMPTY" => Some(""),
            "größe" => Some("10"),
            _ => None,
        }
    }

    fn word(text: &str) -> Result<String> {
        Expander { escape: '\\', value: &value }.word(text)
    }

    #[test]
    fn variables_are_put_in() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$HOME/x", "/home/x"),
            ("${HOME}x", "/homex"),
            ("$NONE|$EMPTY|", "||"),
            ("$größe", "10"),
            ("a$", "a$"),
            ("a$.b$/", "a$.b$/"),
            ("$1a $@ $$ ${1} ${@}", "a    "),
            ("\\$HOME \\${HOME}", "$HOME ${HOME}"),
            ("'$HOME' \"$HOME\"", "$HOME /home"),
            ("\"a\\\"b\\$c\\d\\\\\"", "a\"b$c\\d\\"),
            ("a\\tb\\\\c\\", "atb\\c"),
            ("'a\\b'", "a\\b"),
            ("${NONE:-x}${NONE-x}${EMPTY:-x}${EMPTY-x}", "xxx"),
            ("${HOME:-x}${HOME-x}", "/home/home"),
            ("${NONE:+x}${EMPTY:+x}${EMPTY+x}${HOME:+$SHELL}", "xbash"),
            ("${NONE:-${EMPTY:-a${SHELL}b}}", "abashb"),
            ("${NONE:-\"a }\"}", "a }"),
            ("${HOME?}${EMPTY?x}", "/home"),
            ("${FILE#*.} ${FILE##*.} ${FILE%.*} ${FILE%%.*}", "tar.gz gz a.tar a"),
            ("${FILE/a/x} ${FILE//a/x} ${FILE/.*/}", "x.tar.gz x.txr.gz a"),
            ("${HOME/\\//-}", "-home"),
            ("${NONE#x}${NONE/x/y}", ""),
            ("{$HOME}", "{/home}"),
        ] {
            assert_eq!(word(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_put_in_says_why() {
        for (text, expected) in [
            ("${HOME", "a ${…} in it has no }"),
            ("${HOME:-a", "a ${…} in it has no }"),
            ("${HOME/a", "a ${…} in it has no /"),
            ("${}", "a ${…} in it names no variable"),
            ("${{a}", "a ${…} in it names no variable"),
            ("${HOME:x}", "\":x\" is no way to put in a variable"),
            ("${.}", "\".\" is no way to put in a variable"),
            ("${HOME^^}", "\"^\" is no way to put in a variable"),
            ("${NONE?}", "NONE must not be unset"),
            ("${EMPTY:?}", "EMPTY must not be empty"),
            ("${NONE:?say it}", "NONE: say it"),
            ("'a", "a ' in it has no second one"),
            ("\"a\\\"", "a \" in it has no second one"),
        ] {
            assert_eq!(word(text), Err(expected.to_owned()), "{text}");
        }
        let deep = "${A:-".repeat(DEPTH_MAX + 1) + &"}".repeat(DEPTH_MAX + 1);
        assert_eq!(word(&deep), Err("more than 32 ${…} lie in each other".to_owned()));
    }

    #[test]
    fn a_text_keeps_its_quotes() {
        let text = Expander { escape: '\\', value: &value }.text("\"$HOME\" 'x' \\$HOME it's\n");
        assert_eq!(text.as_deref(), Ok("\"/home\" 'x' $HOME it's\n"));
    }

    #[test]
    fn words_cannot_grow_without_end() {
        let long = "x".repeat(1024);
        let large: &str = &long;
        let value = move |_: &str| Some(large);
        let grown = Expander { escape: '\\', value: &value }.word(&"$A".repeat(100));
        assert_eq!(grown, Err("with its variables put in it has more than 64 KB".to_owned()));
    }

    proptest! {
        #[test]
        fn quoting_a_word_keeps_it(text in "[^'\\x00]{0,40}") {
            prop_assert_eq!(word(&format!("'{text}'")), Ok(text));
        }

        #[test]
        fn no_word_panics(text in "[$\\{\\}:\\-+?#%/\\\\'\"A-C\\* ]{0,60}") {
            let _ = word(&text);
        }
    }
}
