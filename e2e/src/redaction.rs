//! Taking ids, times and ports out of what commands say, and nothing else.

/// Replaces the given texts by names, then ids, times and one-off dyno numbers by theirs.
#[must_use]
pub fn redact(text: &str, named: &[(String, &str)]) -> String {
    let mut text = text.replace("\r\n", "\n");
    for (value, name) in named.iter().filter(|(value, _)| !value.is_empty()) {
        text = text.replace(value.as_str(), name);
    }
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        let fresh = at == 0 || !chars[at - 1].is_ascii_alphanumeric();
        let rest = &chars[at..];
        match SHAPES.iter().find_map(|(shape, name)| Some((matches(shape, rest)?, *name))).filter(|_| fresh) {
            Some((length, name)) => {
                out.push_str(name);
                at += length;
            }
            None => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}

/// What is varied by nature. `#` is a digit, `x` a hexadecimal digit, `@` a letter, `+` any more digits,
/// `f` an optional fraction.
const SHAPES: &[(&str, &str)] = &[
    ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "ID"),
    ("####-##-##T##:##:##fZ", "TIME"),
    ("####-##-##T##:##:##f+00:00", "TIME"),
    ("####/##/## ##:##:## +0000 (~ #+s ago)", "TIME (AGO)"),
    ("####/##/## ##:##:## +0000 (~ #+m ago)", "TIME (AGO)"),
    ("####/##/## ##:##:## +0000", "TIME"),
    ("####-##-## ##:## UTC", "TIME"),
    ("@@@ @@@ ## #### ##:##:## GMT+0000 (Coordinated Universal Time)", "TIME"),
    ("(~ #+s ago)", "(AGO)"),
    ("(~ #+m ago)", "(AGO)"),
    ("run.####", "run.N"),
    ("release.####", "release.N"),
];

/// How many characters of `text` a shape takes, if it fits at the beginning.
fn matches(shape: &str, text: &[char]) -> Option<usize> {
    let mut at = 0;
    let mut previous = ' ';
    for expected in shape.chars() {
        let found = text.get(at).copied();
        at += match expected {
            '#' => one_if(found?.is_ascii_digit())?,
            '@' => one_if(found?.is_ascii_alphabetic())?,
            'x' => one_if(found?.is_ascii_hexdigit())?,
            // A plus after `#` means more digits; elsewhere it is itself.
            '+' if previous == '#' => text[at..].iter().take_while(|char| char.is_ascii_digit()).count(),
            'f' => fraction(&text[at..]),
            _ => one_if(found? == expected)?,
        };
        previous = expected;
    }
    Some(at)
}

fn one_if(fits: bool) -> Option<usize> {
    fits.then_some(1)
}

/// The length of `.123456`, or nothing.
fn fraction(text: &[char]) -> usize {
    if text.first() != Some(&'.') {
        return 0;
    }
    1 + text[1..].iter().take_while(|char| char.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn ids_times_and_ports_are_taken_out() {
        let named = [("41234".to_owned(), "PORT")];
        let text = "http://localhost:41234 01234567-89ab-cdef-0123-456789abcdef at 2026-11-20T17:00:00.123456+00:00\n\
                    2026-11-20T17:00:00Z web.1: up 2026/11/20 17:00:01 +0000 (~ 12s ago) run.8031 v12 e2e8 2026-11-29 15:04 UTC \
                    Sun Nov 29 2026 15:04:05 GMT+0000 (Coordinated Universal Time)";
        let expected = "http://localhost:PORT ID at TIME\nTIME web.1: up TIME (AGO) run.N v12 e2e8 TIME TIME";
        assert_eq!(redact(text, &named), expected);
    }

    #[test]
    fn what_only_looks_similar_stays() {
        for text in ["web.1 12s ago", "run.12", "xrun.1234", "2026-11-20", "abcdefab-cdef"] {
            assert_eq!(redact(text, &[]), text);
        }
    }
}
