//! What a buildpack's name means on a stack, and what ran for it: decision 35.

use std::fmt;
use std::str::FromStr;

use crate::buildpack::{BuildpackLocation, BuildpackRef, BuiltinBuildpack, official_url};
use crate::stack::Stack;

/// Hexadecimal digits of a SHA-256.
const DIGEST_DIGITS: usize = 64;
/// Hexadecimal digits of a commit.
const COMMIT_DIGITS: usize = 40;
/// How many of them people are shown.
const SHOWN_DIGITS: usize = 12;

/// What a reference means on a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Our own.
    Builtin(BuiltinBuildpack),
    /// Heroku's, if it is within reach: in the mirror, or at its address. Else our own of the same name.
    Official {
        /// Where Heroku keeps it; `None` for a name that only we have.
        url: Option<String>,
        /// Our own.
        otherwise: BuiltinBuildpack,
    },
    /// An archive.
    Archive {
        /// Where it is.
        url: String,
    },
    /// A git repository.
    Git {
        /// What to clone.
        url: String,
        /// Branch, tag or commit.
        reference: Option<String>,
    },
}

/// The one rule: the name of a built-in buildpack is ours on every stack that Heroku's buildpacks do not know, and Heroku's, if it
/// is within reach, on those that they do (`heroku-NN`). Everything else means what it says.
#[must_use]
pub fn meaning(buildpack: &BuildpackRef, stack: &Stack) -> Meaning {
    match buildpack.location().clone() {
        BuildpackLocation::Builtin(builtin) if is_known_to_official_buildpacks(stack) => {
            let is_official = builtin != BuiltinBuildpack::Procfile;
            Meaning::Official { url: is_official.then(|| official_url(builtin.name())), otherwise: builtin }
        }
        BuildpackLocation::Builtin(builtin) => Meaning::Builtin(builtin),
        BuildpackLocation::Archive { url } => Meaning::Archive { url },
        BuildpackLocation::Git { url, reference } => Meaning::Git { url, reference },
    }
}

/// Whether Heroku's own buildpacks have programs for it: they look at `STACK`, and know names of this form alone.
#[must_use]
pub fn is_known_to_official_buildpacks(stack: &Stack) -> bool {
    let number = stack.as_str().strip_prefix("heroku-");
    number.is_some_and(|number| number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What ran for a reference. Its text is what is stored: `builtin`, `sha256:…` or `commit:…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ran {
    /// Our own.
    Builtin,
    /// An archive, by the SHA-256 of its bytes in hexadecimal.
    Archive(String),
    /// A commit of a git repository.
    Commit(String),
}

/// A text that says of nothing that it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not builtin, sha256: and 64 hexadecimal digits, or commit: and 40")]
pub struct InvalidRan;

impl Ran {
    /// What people are told.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Builtin => "the one that is built into this server".to_owned(),
            Self::Archive(digest) => format!("the archive sha256:{}", &digest[..SHOWN_DIGITS]),
            Self::Commit(commit) => format!("the commit {}", &commit[..SHOWN_DIGITS]),
        }
    }

    /// What its next push says where another one ran before.
    #[must_use]
    pub fn change(&self, name: &str, before: Option<&Self>) -> Option<String> {
        let before = before.filter(|before| *before != self)?;
        Some(format!("{name} is no longer {} but {}", before.shown(), self.shown()))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("builtin"),
            Self::Archive(digest) => write!(f, "sha256:{digest}"),
            Self::Commit(commit) => write!(f, "commit:{commit}"),
        }
    }
}

impl FromStr for Ran {
    type Err = InvalidRan;

    fn from_str(text: &str) -> Result<Self, InvalidRan> {
        let digits = |text: &str, count: usize| {
            let fits = text.len() == count
                && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
            fits.then(|| text.to_owned()).ok_or(InvalidRan)
        };
        match text.split_once(':') {
            None if text == "builtin" => Ok(Self::Builtin),
            Some(("sha256", digest)) => digits(digest, DIGEST_DIGITS).map(Self::Archive),
            Some(("commit", commit)) => digits(commit, COMMIT_DIGITS).map(Self::Commit),
            _ => Err(InvalidRan),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buildpack::BuildpackUrls;

    fn means(text: &str, stack: &str) -> Meaning {
        let buildpack = BuildpackRef::parse(text, BuildpackUrls::HttpsOnly).unwrap();
        meaning(&buildpack, &Stack::from_name(stack).unwrap())
    }

    #[test]
    fn the_name_of_a_built_in_one_is_ours_but_on_stacks_of_herokus_name() {
        let ours = Meaning::Builtin(BuiltinBuildpack::Python);
        let official = Meaning::Official {
            url: Some("https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/python.tgz".to_owned()),
            otherwise: BuiltinBuildpack::Python,
        };
        for name in ["heroku/python", "urn:buildpack:heroku/python", &official_url("heroku/python")] {
            for stack in ["host", "mine", "heroku", "heroku-next", "heroku-240", "heroku-2x"] {
                assert_eq!(means(name, stack), ours, "{name} on {stack}");
            }
            for stack in ["heroku-22", "heroku-24", "heroku-26", "heroku-99"] {
                assert_eq!(means(name, stack), official, "{name} on {stack}");
            }
        }
        let procfile = Meaning::Official { url: None, otherwise: BuiltinBuildpack::Procfile };
        assert_eq!(means("heroku/procfile", "heroku-24"), procfile, "Heroku has no classic one of this name");
    }

    #[test]
    fn what_is_no_name_of_ours_means_the_same_everywhere() {
        for stack in ["host", "heroku-24"] {
            let url = official_url("heroku-community/apt");
            assert_eq!(means("heroku-community/apt", stack), Meaning::Archive { url });
            let url = "https://h/x.tgz".to_owned();
            assert_eq!(means("https://h/x.tgz", stack), Meaning::Archive { url });
            let reference = Some("v1".to_owned());
            assert_eq!(
                means("https://h/x#v1", stack),
                Meaning::Git { url: "https://h/x".to_owned(), reference }
            );
        }
    }

    #[test]
    fn a_change_says_from_what_to_what_and_no_change_nothing() {
        let (one, other) = (Ran::Archive("a".repeat(64)), Ran::Commit("b".repeat(40)));
        assert_eq!(one.change("x", None), None);
        assert_eq!(one.change("x", Some(&one)), None);
        assert_eq!(
            one.change("heroku/python", Some(&Ran::Builtin)).unwrap(),
            "heroku/python is no longer the one that is built into this server but the archive sha256:aaaaaaaaaaaa"
        );
        assert_eq!(
            other.change("x", Some(&one)).unwrap(),
            "x is no longer the archive sha256:aaaaaaaaaaaa but the commit bbbbbbbbbbbb"
        );
    }

    #[test]
    fn what_ran_is_read_back_and_nothing_else_is() {
        for ran in [Ran::Builtin, Ran::Archive("0a".repeat(32)), Ran::Commit("f9".repeat(20))] {
            assert_eq!(ran.to_string().parse(), Ok(ran));
        }
        for text in ["", "builtin:", "sha256:", "commit:abc", &format!("sha256:{}", "é".repeat(32))] {
            assert_eq!(text.parse::<Ran>(), Err(InvalidRan), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(builtin|sha256|commit)?:?[0-9a-fA-Fé]{0,66}") {
            if let Ok(ran) = text.parse::<Ran>() {
                prop_assert_eq!(ran.to_string(), text);
                prop_assert!(!ran.shown().is_empty());
            }
        }
    }
}
