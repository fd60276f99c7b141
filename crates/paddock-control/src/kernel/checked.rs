//! What clients say of a source or a slug, looked at before it is kept.

use paddock_core::buildpack::BuildpackRef;

use crate::{ControlConfig, Error, Result};

/// Most bytes of a text that a client may choose.
const TEXT_BYTES_MAX: usize = 1024;

/// A checksum in the one form that we keep: `SHA256:` and lower-case digits.
pub(crate) fn checksum(text: &str) -> Result<String> {
    let digits = text.strip_prefix("SHA256:").or_else(|| text.strip_prefix("sha256:"));
    match digits.filter(|digits| digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    {
        Some(digits) => Ok(format!("SHA256:{}", digits.to_ascii_lowercase())),
        None => Err(Error::invalid("A checksum is SHA256: and 64 hexadecimal digits.")),
    }
}

/// A short text: it becomes a description, and a variable of every program of a build.
pub(crate) fn text(name: &'static str, text: Option<String>) -> Result<Option<String>> {
    match &text {
        Some(text) if text.len() > TEXT_BYTES_MAX => {
            Err(Error::invalid(format!("{name} is too long: at most {TEXT_BYTES_MAX} bytes.")))
        }
        Some(text) if text.contains('\0') => {
            Err(Error::invalid(format!("{name} has a NUL character, which cannot be kept.")))
        }
        _ => Ok(text),
    }
}

/// A buildpack from a tenant's text, by the operator's rules.
pub(crate) fn parse_buildpack(text: &str, config: &ControlConfig) -> Result<BuildpackRef> {
    BuildpackRef::parse(text, config.buildpack_urls).map_err(|error| Error::invalid(format!("{error}.")))
}

/// What people call the buildpack that is kept as this text.
pub(crate) fn buildpack_name(url: &str, config: &ControlConfig) -> String {
    parse_buildpack(url, config).map_or_else(|_| url.to_owned(), |buildpack| buildpack.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_checksums_are_taken() {
        let digits = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        assert_eq!(digits.len(), 64);
        let read = checksum(&format!("sha256:{digits}")).unwrap();
        assert_eq!(read, format!("SHA256:{}", digits.to_ascii_lowercase()));
        for bad in
            ["", "SHA256:", digits, "SHA256:0123", &format!("MD5:{digits}"), &format!("SHA256:{digits}0")]
        {
            assert!(checksum(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_are_short() {
        assert_eq!(text("commit", Some("v1 \u{fc}".into())).unwrap().as_deref(), Some("v1 \u{fc}"));
        assert!(text("commit", Some("x".repeat(1024))).is_ok());
        for bad in ["x".repeat(1025), "a\0b".into()] {
            assert!(text("commit", Some(bad)).is_err());
        }
    }
}
