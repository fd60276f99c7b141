//! Words of an instruction: keyword, flags, pairs, lists in JSON.

/// A `--name` or `--name=value` before an instruction's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// The first word and the rest.
pub(super) fn first(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

/// The flags at the beginning, quotes taken off, and what follows them. `--` alone ends them.
pub(super) fn flags(text: &str, escape: char) -> (Vec<Flag>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (word, after) = unquoted_word(rest, escape);
        rest = after.trim_start();
        let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else { break };
        flags.push(match flag.split_once('=') {
            Some((name, value)) => Flag { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Flag { name: flag.to_owned(), value: None },
        });
    }
    (flags, rest)
}

fn unquoted_word(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            Some(end) if c == end => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if c.is_whitespace() => return (word, &text[at..]),
            _ if c == escape => word.extend(chars.next().map(|(_, next)| next)),
            _ => word.push(c),
        }
    }
    (word, "")
}

/// Words between spaces with their quotes and escapes: what is in quotes is one word.
pub(super) fn quoted(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(end) if c == end => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // At the end it escapes nothing and is left out.
            let Some(next) = chars.next() else { break };
            word.push(c);
            word.push(next);
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// What stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    /// A list of strings.
    Words(Vec<String>),
    /// A list with something else in it.
    NotOnlyStrings,
    /// Something that is no list, and so a text for a shell.
    None,
}

pub(super) fn json(text: &str) -> Json {
    if !text.starts_with('[') {
        return Json::None;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Json::None };
    let words = values.into_iter().map(|value| match value {
        serde_json::Value::String(word) => Some(word),
        _ => None,
    });
    words.collect::<Option<_>>().map_or(Json::NotOnlyStrings, Json::Words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_before_the_words() {
        let flag = |name: &str, value: Option<&str>| Flag { name: name.into(), value: value.map(Into::into) };
        assert_eq!(
            flags("--from=a --chown='x y':z --link  a --b c", '\\'),
            (vec![flag("from", Some("a")), flag("chown", Some("x y:z")), flag("link", None)], "a --b c")
        );
        assert_eq!(flags("-- --a b", '\\'), (vec![], "--a b"));
        assert_eq!(flags("a", '\\'), (vec![], "a"));
        assert_eq!(
            flags("--mount=type=cache,target=/a\\ b x", '\\').0[0].value.as_deref(),
            Some("type=cache,target=/a b")
        );
        assert_eq!(flags("--", '\\'), (vec![], ""));
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(quoted("a=\"b c\" d='e \\' f\\ g", '\\'), ["a=\"b c\"", "d='e \\'", "f\\ g"]);
        assert_eq!(quoted("a=\"b\\\" c\" d\\", '\\'), ["a=\"b\\\" c\"", "d"]);
        assert_eq!(quoted("  ", '\\'), [""; 0]);
    }

    #[test]
    fn brackets_are_json_or_a_text_for_a_shell() {
        assert_eq!(json("[\"a\", \"b \\u00e4\"] "), Json::Words(vec!["a".into(), "b ä".into()]));
        assert_eq!(json("[]"), Json::Words(vec![]));
        assert_eq!(json("[\"a\", 1]"), Json::NotOnlyStrings);
        for text in ["['a']", "[ -f x ] && y", "[\"a\"", "[\"a\"] b", "a"] {
            assert_eq!(json(text), Json::None, "{text}");
        }
    }
}
