//! The Accept header: which version of the API is asked for.

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What follows `3.`, e.g. `sdk`; `None` for plain `3`.
    pub variant: Option<String>,
}

/// Why an Accept header gets 406.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAcceptable {
    /// No range names our media type.
    #[error("The Accept header must name `application/vnd.heroku+json; version=3`")]
    MediaType,
    /// Our media type without a version.
    #[error("The Accept header must name a version: `application/vnd.heroku+json; version=3`")]
    NoVersion,
    /// A version we do not speak.
    #[error("Only version 3 of the API is served: send `Accept: application/vnd.heroku+json; version=3`")]
    OtherVersion,
}

/// Reads an Accept header. `*/*`, `application/json` and an absent header name no version, and an answer in a
/// version that was not asked for would change under a client's feet: they are not acceptable
/// (`docs/contract/platform-behaviour.md`, section 27).
///
/// # Errors
/// Why no range of it can be served.
pub fn parse(header: Option<&str>) -> Result<Version, NotAcceptable> {
    let mut problem = NotAcceptable::MediaType;
    for range in header.unwrap_or_default().split(',') {
        match version_of(range) {
            Ok(version) => return Ok(version),
            Err(NotAcceptable::MediaType) => {}
            Err(nearer) => problem = nearer,
        }
    }
    Err(problem)
}

fn version_of(range: &str) -> Result<Version, NotAcceptable> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/vnd.heroku+json") {
        return Err(NotAcceptable::MediaType);
    }
    let version = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("version"))
        .map(|(_, value)| value.trim().trim_matches('"'))
        .ok_or(NotAcceptable::NoVersion)?;
    match version.strip_prefix('3') {
        Some("") => Ok(Version { variant: None }),
        Some(rest) => match rest.strip_prefix('.') {
            Some(variant) if !variant.is_empty() => Ok(Version { variant: Some(variant.to_owned()) }),
            _ => Err(NotAcceptable::OtherVersion),
        },
        None => Err(NotAcceptable::OtherVersion),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_3_and_its_variants_are_served() {
        let plain = Ok(Version { variant: None });
        for header in [
            "application/vnd.heroku+json; version=3",
            "application/vnd.heroku+json;version=3",
            "Application/Vnd.Heroku+JSON; Version=\"3\"; q=0.5",
            "text/html, application/vnd.heroku+json; version=3, */*",
        ] {
            assert_eq!(parse(Some(header)), plain, "{header}");
        }
        let sdk = Ok(Version { variant: Some("sdk".into()) });
        assert_eq!(parse(Some("application/vnd.heroku+json; version=3.sdk")), sdk);
    }

    #[test]
    fn what_names_no_version_is_not_acceptable() {
        for header in [None, Some(""), Some("*/*"), Some("application/json"), Some("text/html;q=1")] {
            assert_eq!(parse(header), Err(NotAcceptable::MediaType), "{header:?}");
        }
        let refused = |header: &str| parse(Some(header)).unwrap_err();
        assert_eq!(refused("application/vnd.heroku+json"), NotAcceptable::NoVersion);
        for version in ["2", "4", "30", "3.", ""] {
            let header = format!("application/vnd.heroku+json; version={version}");
            assert_eq!(refused(&header), NotAcceptable::OtherVersion, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in ".*") {
            let _ = parse(Some(&header));
        }
    }
}
