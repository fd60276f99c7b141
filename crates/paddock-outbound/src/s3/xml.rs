//! The little XML that answers are read from: elements without attributes that matter, of names that are known.

/// What lies between the first `<name>` and the `</name>` after it.
fn block<'a>(xml: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let mut rest = xml;
    loop {
        let (_, after) = rest.split_once('<')?;
        rest = after;
        let Some(tail) = after.strip_prefix(name) else { continue };
        // `<Key>` or `<Key xmlns="…">`, and not `<KeyCount>` or `<Key/>`.
        let (attributes, content) = tail.split_once('>')?;
        let is_it = attributes.is_empty() || attributes.starts_with(char::is_whitespace);
        if !is_it || attributes.ends_with('/') {
            continue;
        }
        return content.split_once(&format!("</{name}>"));
    }
}

/// The contents of every element of this name.
pub(super) fn blocks<'a>(xml: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (content, after) = block(rest, name)?;
        rest = after;
        Some(content)
    })
}

/// The text of the first element of this name.
pub(super) fn text(xml: &str, name: &str) -> Option<String> {
    block(xml, name).map(|(content, _)| unescaped(content.trim()))
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let known = after.split_once(';').and_then(|(name, tail)| Some((entity(name)?, tail)));
        match known {
            Some((character, tail)) => {
                out.push(character);
                rest = tail;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out + rest
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

/// What may stand in an element.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>kept</Name><KeyCount>2</KeyCount><Prefix/>
        <Contents><Key>a/b&amp;c.dump</Key><LastModified>2026-11-29T18:00:00.000Z</LastModified></Contents>
        <Contents><Key> d&#x2F;e </Key></Contents><IsTruncated>false</IsTruncated></ListBucketResult>"#;

    #[test]
    fn elements_are_read_by_their_whole_names() {
        assert_eq!(text(LIST, "KeyCount").as_deref(), Some("2"));
        assert_eq!(text(LIST, "Key").as_deref(), Some("a/b&c.dump"));
        assert_eq!(text(LIST, "Prefix"), None);
        assert_eq!(text(LIST, "Owner"), None);
        let keys: Vec<_> = blocks(LIST, "Contents").map(|one| text(one, "Key")).collect();
        assert_eq!(keys, [Some("a/b&c.dump".to_owned()), Some("d/e".to_owned())]);
        assert!(
            block(LIST, "ListBucketResult")
                .is_some_and(|(all, rest)| all.contains("kept") && rest.is_empty())
        );
    }

    #[test]
    fn what_is_no_entity_stays() {
        for (written, meant) in
            [("a&b", "a&b"), ("&nope;", "&nope;"), ("&#xD800;", "&#xD800;"), ("&lt;&#65;", "<A")]
        {
            assert_eq!(unescaped(written), meant);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(xml in "(<|>|/|&|;|#|Key|[ -~]){0,40}") {
            let _ = (text(&xml, "Key"), blocks(&xml, "Key").count());
        }

        #[test]
        fn what_is_escaped_is_read_again(word in "[ -~]{0,20}") {
            let xml = format!("<Key>{}</Key>", escaped(&word));
            prop_assert_eq!(text(&xml, "Key").unwrap(), word.trim());
        }
    }
}
