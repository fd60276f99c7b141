//! The name that a client asks for.

use std::borrow::Cow;

/// The host of a `Host` value: lower case, no port. `None` when it is not one.
pub(crate) fn host_name(value: &str) -> Option<Cow<'_, str>> {
    let (name, port) = match value.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            match rest.strip_prefix(':') {
                None if !rest.is_empty() => return None,
                port => (name, port),
            }
        }
        None => match value.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (value, None),
        },
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    let shaped = (1..=253).contains(&name.len()) && name.bytes().all(allowed);
    if !shaped || port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    Some(match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_value_is_a_name_and_perhaps_a_port() {
        for (value, expected) in [
            ("Example.COM:80", Some("example.com")),
            ("a.b", Some("a.b")),
            ("a.b:", Some("a.b")),
            ("[::1]:5000", Some("::1")),
            ("[::1]", Some("::1")),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a\"b", None),
            ("a:b", None),
            ("user@a", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[a.b]@c.d", None),
            ("[a.b]", None),
        ] {
            assert_eq!(host_name(value).as_deref(), expected, "{value}");
        }
    }
}
