//! Entity tags and the conditions that name them (RFC 9110, 8.8.3 and 13.1).

/// Whether an `If-None-Match` header names `tag` (with its quotes), by weak comparison. `*` names every one.
#[must_use]
pub fn if_none_match(header: &str, tag: &str) -> bool {
    header.trim() == "*" || tags(header).any(|candidate| opaque(candidate) == opaque(tag))
}

/// Whether an `If-Match` header names `tag` (with its quotes), by strong comparison: a weak tag names nothing.
#[must_use]
pub fn if_match(header: &str, tag: &str) -> bool {
    header.trim() == "*" || (!tag.starts_with("W/") && tags(header).any(|candidate| candidate == tag))
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The tags of a list. A comma inside quotes belongs to the tag.
fn tags(header: &str) -> impl Iterator<Item = &str> {
    let mut rest = header;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return None;
        }
        let quoted_from = opaque(rest);
        let offset = rest.len() - quoted_from.len();
        let end = match quoted_from.strip_prefix('"').and_then(|inside| inside.find('"')) {
            Some(length) => offset + length + 2,
            None => rest.find(',').unwrap_or(rest.len()),
        };
        let (tag, after) = rest.split_at(end);
        rest = after;
        Some(tag.trim_end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weak_and_strong_tags_match_in_lists() {
        for header in ["\"a\"", "W/\"a\"", "*", "\"x\", \"a\"", "\"x,y\" ,W/\"a\"", " \"a\" "] {
            assert!(if_none_match(header, "\"a\""), "{header}");
            assert!(if_none_match(header, "W/\"a\""), "{header}");
        }
        for header in ["", "\"b\"", "a", "\"a", "\"x,\"a\"\"", ","] {
            assert!(!if_none_match(header, "\"a\""), "{header}");
        }
    }

    #[test]
    fn only_strong_tags_allow_a_change() {
        for header in ["\"a\"", "*", "\"x\", \"a\""] {
            assert!(if_match(header, "\"a\""), "{header}");
        }
        for header in ["", "W/\"a\"", "\"b\"", "a"] {
            assert!(!if_match(header, "\"a\""), "{header}");
        }
        assert!(!if_match("W/\"a\"", "W/\"a\""));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in ".*") {
            let _ = if_none_match(&header, "\"a\"");
            let _ = if_match(&header, "\"a\"");
        }
    }
}
