//! References to buildpacks: every form that the API, the CLI, `app.json` and `.buildpacks` use.
//! Source: `docs/contract/buildpacks.md`, section 2.

use std::fmt;

use crate::config::ConfigVars;

/// Where Heroku's registry keeps the archives of named buildpacks; the CLI sends this form for a name.
const REGISTRY: &str = "https://buildpack-registry.s3.amazonaws.com/buildpacks/";
/// The older spelling of the same.
const REGISTRY_OLD: &str = "https://codon-buildpacks.s3.amazonaws.com/buildpacks/";

/// The longest reference that is kept, in bytes.
const LENGTH_MAX: usize = 2_048;

/// A reference to a buildpack, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BuildpackRef {
    text: String,
    location: BuildpackLocation,
}

/// Where a buildpack is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BuildpackLocation {
    /// One that is written in Rust and runs inside our build runner.
    Builtin(BuiltinBuildpack),
    /// A gzipped tar.
    Archive {
        /// Where to get it.
        url: String,
    },
    /// A git repository.
    Git {
        /// What to clone.
        url: String,
        /// Branch, tag or commit; the default branch without one.
        reference: Option<String>,
    },
}

/// The buildpacks that are built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BuiltinBuildpack {
    /// `heroku/ruby`.
    Ruby,
    /// `heroku/nodejs`.
    NodeJs,
    /// `heroku/python`.
    Python,
    /// `heroku/php`.
    Php,
    /// `heroku/go`.
    Go,
    /// `heroku/java`: Maven.
    Java,
    /// `heroku/gradle`.
    Gradle,
    /// `emk/rust`.
    Rust,
    /// `heroku-community/static`: files that this server's own program serves.
    Static,
    /// `heroku/procfile`: an app that needs no compiling.
    Procfile,
}

impl BuiltinBuildpack {
    /// All of them, in the order in which detection tries them.
    pub const DETECTION_ORDER: [Self; 10] = [
        Self::Ruby,
        Self::NodeJs,
        Self::Python,
        Self::Java,
        Self::Gradle,
        Self::Php,
        Self::Go,
        Self::Rust,
        Self::Static,
        Self::Procfile,
    ];

    /// The registry name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ruby => "heroku/ruby",
            Self::NodeJs => "heroku/nodejs",
            Self::Python => "heroku/python",
            Self::Php => "heroku/php",
            Self::Go => "heroku/go",
            Self::Java => "heroku/java",
            Self::Gradle => "heroku/gradle",
            Self::Rust => "emk/rust",
            Self::Static => "heroku-community/static",
            Self::Procfile => "heroku/procfile",
        }
    }

    /// The name that `bin/detect` prints, as in `-----> Python app detected`.
    #[must_use]
    pub const fn language(self) -> &'static str {
        match self {
            Self::Ruby => "Ruby",
            Self::NodeJs => "Node.js",
            Self::Python => "Python",
            Self::Php => "PHP",
            Self::Go => "Go",
            Self::Java => "Java",
            Self::Gradle => "Gradle",
            Self::Rust => "Rust",
            Self::Static => "Static HTML",
            Self::Procfile => "Procfile",
        }
    }

    /// The built-in buildpack with this registry name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::DETECTION_ORDER.into_iter().find(|builtin| builtin.name() == name)
    }
}

/// Which URLs may be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildpackUrls {
    /// `https://` only: what tenants get.
    HttpsOnly,
    /// `http://` and `file://` too: the operator's switch.
    Insecure,
}

/// Why a text is not a buildpack reference. The texts are for the user; none repeats a URL, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBuildpack {
    /// Empty, too long, or with white space or control characters.
    #[error(
        "Buildpack is invalid: it must be a name like heroku/python, or an https URL of a git repository or a .tgz archive"
    )]
    Shape,
    /// A scheme that is not served.
    #[error(
        "Buildpack URL is invalid: only https:// URLs are supported (not http://, git://, ssh://, file:// or git@host:path)"
    )]
    Scheme,
    /// Credentials in the URL.
    #[error("Buildpack URL is invalid: it cannot contain a user name or password")]
    UserInfo,
    /// Something after `#` that cannot be a branch, tag or commit.
    #[error("Buildpack URL is invalid: what follows the # is not a branch, tag or commit")]
    Reference,
}

impl BuildpackRef {
    /// Reads a reference in any of its forms.
    ///
    /// # Errors
    /// When it has none of them, or a scheme that `urls` does not allow.
    pub fn parse(text: &str, urls: BuildpackUrls) -> Result<Self, InvalidBuildpack> {
        let text = text.trim();
        if text.is_empty()
            || text.len() > LENGTH_MAX
            || text.starts_with('-')
            || text.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            return Err(InvalidBuildpack::Shape);
        }
        let location = match registry_name(text) {
            Some(name) => named(name)?,
            None => location(text, urls)?,
        };
        Ok(Self { text: text.to_owned(), location })
    }

    /// A built-in buildpack by its name.
    #[must_use]
    pub fn builtin(builtin: BuiltinBuildpack) -> Self {
        Self { text: builtin.name().to_owned(), location: BuildpackLocation::Builtin(builtin) }
    }

    /// What was given, verbatim: what is stored and sent back.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it is found.
    #[must_use]
    pub fn location(&self) -> &BuildpackLocation {
        &self.location
    }

    /// The same buildpack, of which a built-in one's name means an archive here.
    #[must_use]
    pub fn as_archive(self) -> Self {
        let url = official_url(self.name());
        match self.location {
            BuildpackLocation::Builtin(_) => Self { location: BuildpackLocation::Archive { url }, ..self },
            _ => self,
        }
    }

    /// The name in the registry, if it is one.
    #[must_use]
    pub fn registry_name(&self) -> Option<&str> {
        registry_name(&self.text)
    }

    /// What people call it: the registry name of a registry one, else the URL as given.
    #[must_use]
    pub fn name(&self) -> &str {
        registry_name(&self.text).unwrap_or(&self.text)
    }
}

impl fmt::Display for BuildpackRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The buildpack that the config vars of an app name, in the way from before there were installations.
#[must_use]
pub fn legacy_reference(config: &ConfigVars) -> Option<&str> {
    ["BUILDPACK_URL", "LANGUAGE_PACK_URL"]
        .into_iter()
        .find_map(|name| config.get(name).map(|url| url.trim()).filter(|url| !url.is_empty()))
}

/// Where Heroku keeps the archive of the buildpack with this name.
#[must_use]
pub fn official_url(name: &str) -> String {
    format!("{REGISTRY}{name}.tgz")
}

/// `ns/name` or `ns/name@version` of any of the four spellings of a registry buildpack.
fn registry_name(text: &str) -> Option<&str> {
    let name = text
        .strip_prefix("urn:buildpack:")
        .or_else(|| text.strip_prefix(REGISTRY)?.strip_suffix(".tgz"))
        .or_else(|| text.strip_prefix(REGISTRY_OLD)?.strip_suffix(".tgz"))
        .unwrap_or(text);
    let (namespace, rest) = name.split_once('/')?;
    let (short, version) = rest.split_once('@').map_or((rest, None), |(name, version)| (name, Some(version)));
    let word = |word: &str| {
        !word.is_empty()
            && !word.starts_with(['-', '.'])
            && word.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
    };
    (word(namespace) && word(short) && version.is_none_or(word)).then_some(name)
}

fn named(name: &str) -> Result<BuildpackLocation, InvalidBuildpack> {
    if let Some(builtin) = BuiltinBuildpack::from_name(name) {
        return Ok(BuildpackLocation::Builtin(builtin));
    }
    // `host.example/path` without a scheme looks like a name; a namespace has no dot.
    if name.split_once('/').is_some_and(|(namespace, _)| namespace.contains('.')) {
        return Err(InvalidBuildpack::Shape);
    }
    Ok(BuildpackLocation::Archive { url: official_url(name) })
}

fn location(text: &str, urls: BuildpackUrls) -> Result<BuildpackLocation, InvalidBuildpack> {
    let (url, fragment) = text.split_once('#').map_or((text, None), |(url, fragment)| (url, Some(fragment)));
    let Some((scheme, rest)) = url.split_once("://") else {
        // `git@host:path`, the scp-like form of ssh.
        return Err(if url.contains(':') { InvalidBuildpack::Scheme } else { InvalidBuildpack::Shape });
    };
    match (scheme, urls) {
        ("https", _) | ("http" | "file", BuildpackUrls::Insecure) => {}
        _ => return Err(InvalidBuildpack::Scheme),
    }
    let (authority, path) = rest.split_once('/').ok_or(InvalidBuildpack::Shape)?;
    if authority.contains('@') {
        return Err(InvalidBuildpack::UserInfo);
    }
    let hosted = scheme == "file" || !authority.is_empty();
    let path = path.split('?').next().unwrap_or_default();
    if !hosted || !is_authority(authority) || path.is_empty() {
        return Err(InvalidBuildpack::Shape);
    }
    let url = url.to_owned();
    if path.ends_with(".tgz") || path.ends_with(".tar.gz") {
        return Ok(BuildpackLocation::Archive { url });
    }
    let reference = fragment.filter(|fragment| !fragment.is_empty()).map(checked_reference).transpose()?;
    Ok(BuildpackLocation::Git { url, reference })
}

/// Whether every client finds the same host and port in it. Some read `\` as a slash, end it at a `?`, or decode `%40`.
fn is_authority(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b':' | b'[' | b']');
    !text.starts_with('-') && text.bytes().all(plain)
}

/// The rules of `git check-ref-format` that matter when a name becomes an argument of git.
fn checked_reference(reference: &str) -> Result<String, InvalidBuildpack> {
    let forbidden = |c: char| matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\' | '{');
    if reference.starts_with(['-', '/', '.']) || reference.contains("..") || reference.contains(forbidden) {
        return Err(InvalidBuildpack::Reference);
    }
    Ok(reference.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<BuildpackLocation, InvalidBuildpack> {
        BuildpackRef::parse(text, BuildpackUrls::HttpsOnly).map(|buildpack| buildpack.location)
    }

    fn git(url: &str, reference: Option<&str>) -> Result<BuildpackLocation, InvalidBuildpack> {
        Ok(BuildpackLocation::Git { url: url.into(), reference: reference.map(Into::into) })
    }

    #[test]
    fn every_spelling_of_a_name_is_the_same_buildpack() {
        let python = Ok(BuildpackLocation::Builtin(BuiltinBuildpack::Python));
        for text in [
            "heroku/python",
            "urn:buildpack:heroku/python",
            "https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/python.tgz",
            "https://codon-buildpacks.s3.amazonaws.com/buildpacks/heroku/python.tgz",
        ] {
            assert_eq!(parse(text), python, "{text}");
            let buildpack = BuildpackRef::parse(text, BuildpackUrls::HttpsOnly).unwrap();
            assert_eq!((buildpack.name(), buildpack.as_str()), ("heroku/python", text));
        }
        assert_eq!(
            parse("heroku-community/apt@1.0"),
            Ok(BuildpackLocation::Archive { url: format!("{REGISTRY}heroku-community/apt@1.0.tgz") })
        );
    }

    #[test]
    fn urls_are_archives_or_repositories() {
        let archive = |url: &str| Ok(BuildpackLocation::Archive { url: url.into() });
        assert_eq!(parse("https://h/x.tgz?sig=a"), archive("https://h/x.tgz?sig=a"));
        assert_eq!(parse("https://h/x/y.tar.gz"), archive("https://h/x/y.tar.gz"));
        assert_eq!(parse("https://h/x/y"), git("https://h/x/y", None));
        assert_eq!(parse("https://h/x.git#v1.2/a"), git("https://h/x.git", Some("v1.2/a")));
        assert_eq!(parse("https://h/x#"), git("https://h/x", None));
        assert_eq!(parse("https://[2001:db8::1]:8443/x"), git("https://[2001:db8::1]:8443/x", None));
    }

    #[test]
    fn what_tenants_may_not_name_is_refused() {
        for (text, why) in [
            ("", InvalidBuildpack::Shape),
            ("python", InvalidBuildpack::Shape),
            ("--upload-pack=x", InvalidBuildpack::Shape),
            ("https://h", InvalidBuildpack::Shape),
            ("https:///x", InvalidBuildpack::Shape),
            ("https://?.example/x", InvalidBuildpack::Shape),
            ("https://h?x/y", InvalidBuildpack::Shape),
            (r"https://\/u:p@h/x", InvalidBuildpack::Shape),
            ("https://u%40h/x", InvalidBuildpack::Shape),
            ("https://ｈ/x", InvalidBuildpack::Shape),
            ("github.com/x", InvalidBuildpack::Shape),
            ("a b/c", InvalidBuildpack::Shape),
            ("http://h/x", InvalidBuildpack::Scheme),
            ("file:///x", InvalidBuildpack::Scheme),
            ("ssh://git@h/x", InvalidBuildpack::Scheme),
            ("git://h/x", InvalidBuildpack::Scheme),
            ("ext::sh -c x", InvalidBuildpack::Shape),
            ("ext::sh", InvalidBuildpack::Scheme),
            ("git@h:x.git", InvalidBuildpack::Scheme),
            ("https://u:p@h/x", InvalidBuildpack::UserInfo),
            ("https://h/x#--upload-pack=y", InvalidBuildpack::Reference),
            ("https://h/x#a..b", InvalidBuildpack::Reference),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
        assert!(BuildpackRef::parse("file:///x/y", BuildpackUrls::Insecure).is_ok());
        assert!(BuildpackRef::parse("http://127.0.0.1:1/x.tgz", BuildpackUrls::Insecure).is_ok());
        assert_eq!(BuildpackRef::parse("ssh://h/x", BuildpackUrls::Insecure), Err(InvalidBuildpack::Scheme));
    }

    /// What may stand in an argument of git or curl without becoming something else.
    fn is_harmless(text: &str) -> bool {
        !text.starts_with('-') && !text.chars().any(|c| c.is_whitespace() || c.is_control())
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_https_without_credentials_and_no_option(
            text in "(https|http|git|ssh|file|ext|HTTPS)?(://|::|:|/)?[a-z0-9@:.%\\[\\]-]{0,20}/?[ -~é]{0,20}(\\.tgz|\\.git)?(\\?[ -~]{0,8})?(#[ -~]{0,12})?",
        ) {
            let Ok(buildpack) = BuildpackRef::parse(&text, BuildpackUrls::HttpsOnly) else { return Ok(()) };
            prop_assert_eq!(BuildpackRef::parse(buildpack.as_str(), BuildpackUrls::HttpsOnly), Ok(buildpack.clone()));
            let url = match buildpack.location() {
                BuildpackLocation::Builtin(_) => return Ok(()),
                BuildpackLocation::Archive { url } => url,
                BuildpackLocation::Git { url, reference } => {
                    prop_assert!(reference.as_deref().is_none_or(|name| is_harmless(name) && !name.contains("..")));
                    url
                }
            };
            let rest = url.strip_prefix("https://").expect("only https");
            let (authority, path) = rest.split_once('/').expect("a path");
            prop_assert!(is_harmless(url) && !authority.is_empty() && !authority.contains('@') && !path.is_empty());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = BuildpackRef::parse(&text, BuildpackUrls::Insecure);
        }
    }
}
