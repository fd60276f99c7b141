//! The container registry's own words: names of repositories and tags, kinds of manifests, codes of errors.
//!
//! Sources: the distribution specification of the Open Container Initiative, and Docker's of its Registry HTTP API V2;
//! `docs/contract/platform-behaviour.md`, section 12.

use std::fmt;
use std::str::FromStr;

use crate::digest::BlobDigest;

/// A repository of an app: what follows the app's name, which is a process type. `web` of `registry.DOMAIN/APP/web`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(String);

/// A text names no repository of an app.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a repository is APP/TYPE, and {0:?} is no process type in lower-case letters, digits, '-' and '_'")]
pub struct InvalidRepository(String);

impl Repository {
    /// Its name without the app's.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Repository {
    type Err = InvalidRepository;

    /// Clients join letters and digits by single separators only: `a_b`, `a__b`, `a-b`, `a--b`.
    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let shaped = (1..=128).contains(&bytes.len())
            && bytes.iter().all(|byte| is_plain(*byte) || b"-_".contains(byte))
            && bytes.first().is_some_and(|byte| is_plain(*byte))
            && bytes.last().is_some_and(|byte| is_plain(*byte))
            && !["___", "-_", "_-"].iter().any(|run| text.contains(run));
        if shaped { Ok(Self(text.to_owned())) } else { Err(InvalidRepository(text.to_owned())) }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag of a repository: `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// A text is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no tag: 1 to 128 letters, digits, '_', '.' and '-', the first of them no '.' and no '-'")]
pub struct InvalidTag(String);

impl Tag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = text.as_bytes();
        let shaped = (1..=128).contains(&bytes.len())
            && bytes.iter().all(|byte| is_word(*byte) || b".-".contains(byte))
            && bytes.first().is_some_and(|byte| is_word(*byte));
        if shaped { Ok(Self(text.to_owned())) } else { Err(InvalidTag(text.to_owned())) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a client names a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Whatever the tag names.
    Tag(Tag),
    /// That one.
    Digest(BlobDigest),
}

impl FromStr for Reference {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        match text.parse() {
            Ok(digest) => Ok(Self::Digest(digest)),
            Err(_) => text.parse().map(Self::Tag),
        }
    }
}

/// A kind of manifest that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// An image, by Docker.
    DockerManifest,
    /// Images for several platforms, by Docker.
    DockerList,
    /// An image.
    OciManifest,
    /// Images for several platforms.
    OciIndex,
}

impl MediaType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::DockerManifest, Self::DockerList, Self::OciManifest, Self::OciIndex];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it names images rather than being one.
    #[must_use]
    pub const fn is_index(self) -> bool {
        matches!(self, Self::DockerList | Self::OciIndex)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal $status:literal;)*) => {
        /// What is wrong, as the registry's clients are told: a word and the status that goes with it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RegistryCode {
            $($(#[$doc])* $name,)*
        }

        impl RegistryCode {
            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The status of the answer.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The repository has no such blob.
    BlobUnknown = "BLOB_UNKNOWN" 404;
    /// The upload cannot go on like that.
    BlobUploadInvalid = "BLOB_UPLOAD_INVALID" 400;
    /// There is no such upload.
    BlobUploadUnknown = "BLOB_UPLOAD_UNKNOWN" 404;
    /// What came is not what the digest names, or it is no digest.
    DigestInvalid = "DIGEST_INVALID" 400;
    /// The manifest names something that the repository does not have.
    ManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN" 400;
    /// It is no manifest that is taken here.
    ManifestInvalid = "MANIFEST_INVALID" 400;
    /// The repository has no such manifest.
    ManifestUnknown = "MANIFEST_UNKNOWN" 404;
    /// It is more than is taken.
    ManifestTooLarge = "SIZE_INVALID" 413;
    /// It is no name of a repository.
    NameInvalid = "NAME_INVALID" 400;
    /// There is no such repository.
    NameUnknown = "NAME_UNKNOWN" 404;
    /// It is no number of things to name.
    PaginationInvalid = "PAGINATION_NUMBER_INVALID" 400;
    /// A part of an upload does not begin where the one before ended.
    RangeInvalid = "RANGE_INVALID" 416;
    /// The body is not as long as was said.
    SizeInvalid = "SIZE_INVALID" 400;
    /// Nobody knows who asks.
    Unauthorized = "UNAUTHORIZED" 401;
    /// Whoever asks may not.
    Denied = "DENIED" 403;
    /// It is not done here.
    Unsupported = "UNSUPPORTED" 405;
    /// Whoever asks has asked too often.
    TooManyRequests = "TOOMANYREQUESTS" 429;
    /// A failure of ours.
    Unknown = "UNKNOWN" 500;
    /// A failure of ours that may be over in a moment.
    Unavailable = "UNAVAILABLE" 503;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_a_process_type_that_clients_can_write() {
        for good in ["web", "a", "0", "a-b", "a--b", "a_b", "a__b", "web2", &"x".repeat(128)] {
            assert_eq!(good.parse::<Repository>().unwrap().as_str(), good);
        }
        for bad in ["", "Web", "-a", "a-", "_a", "a_", "a___b", "a-_b", "a.b", "a/b", "ä", &"x".repeat(129)]
        {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reference_is_a_digest_or_else_a_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(digest.parse(), Ok(Reference::Digest(digest.parse().unwrap())));
        for good in ["latest", "_x", "v1.2-rc3", "A", "sha256", &"x".repeat(128)] {
            assert_eq!(good.parse(), Ok(Reference::Tag(good.parse().unwrap())), "{good}");
        }
        for bad in ["", ".x", "-x", "a b", "a/b", "sha256:abc", &"x".repeat(129)] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_kind_of_manifest_is_read_as_it_is_written() {
        for kind in MediaType::ALL {
            assert_eq!(MediaType::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(MediaType::parse("application/json"), None);
    }
}
