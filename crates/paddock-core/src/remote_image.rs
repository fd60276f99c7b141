//! The name of an image in a registry of others, as Docker's tools read it: `ubuntu:24.04` is Docker Hub's `library/ubuntu`.
//!
//! Source: the grammar of names in the `distribution/reference` package of Docker's tools.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::registry::Reference;

/// What people call Docker Hub, and where it answers.
const HUB_NAMES: [&str; 2] = ["docker.io", "index.docker.io"];
const HUB: &str = "registry-1.docker.io";
/// Where Docker Hub keeps images whose names have one part.
const HUB_OFFICIAL: &str = "library/";
const LATEST: &str = "latest";
/// The longest name of a repository, its host included.
const NAME_BYTES_MAX: usize = 255;

/// An image in a registry of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteImage {
    registry: String,
    repository: String,
    reference: Reference,
}

/// A text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of an image: [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST], all but the tag in lower case"
)]
pub struct InvalidImageName(String);

impl RemoteImage {
    /// The registry: a host, perhaps with a port.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in it: `library/ubuntu`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Which image of the repository.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Where the registry's calls begin: https, but on this machine itself, as Docker's tools have it.
    #[must_use]
    pub fn origin(&self) -> String {
        let host = self.registry.rsplit_once(':').map_or(self.registry.as_str(), |(host, _)| host);
        let is_here = host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
        format!("{}://{}", if is_here { "http" } else { "https" }, self.registry)
    }
}

impl FromStr for RemoteImage {
    type Err = InvalidImageName;

    fn from_str(text: &str) -> Result<Self, InvalidImageName> {
        let invalid = || InvalidImageName(text.chars().take(NAME_BYTES_MAX).collect());
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (registry, rest) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest),
            _ => (HUB_NAMES[0], name),
        };
        let (path, tag) = rest.split_once(':').unwrap_or((rest, LATEST));
        let is_hub = HUB_NAMES.contains(&registry);
        let official = if is_hub && !path.contains('/') { HUB_OFFICIAL } else { "" };
        let shaped =
            name.len() <= NAME_BYTES_MAX && is_authority(registry) && path.split('/').all(is_component);
        let tag = tag.parse().ok().filter(|tag| matches!(tag, Reference::Tag(_)));
        let reference = match digest {
            // A tag beside a digest says nothing.
            Some(digest) => digest.parse().ok().filter(|parsed| matches!(parsed, Reference::Digest(_))),
            None => tag.clone(),
        };
        match (shaped && tag.is_some(), reference) {
            (true, Some(reference)) => Ok(Self {
                registry: if is_hub { HUB.to_owned() } else { registry.to_owned() },
                repository: format!("{official}{path}"),
                reference,
            }),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for RemoteImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Reference::Tag(tag) => write!(f, "{}/{}:{tag}", self.registry, self.repository),
            Reference::Digest(digest) => write!(f, "{}/{}@{digest}", self.registry, self.repository),
        }
    }
}

/// Whether the first part of a name is a host rather than a folder of Docker Hub's.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

fn is_authority(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    !host.is_empty() && host.bytes().all(is_name) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_component(text: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| is_plain(byte) || b"._-".contains(byte))
        && bytes.first().is_some_and(is_plain)
        && bytes.last().is_some_and(is_plain)
        && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_dockers_tools_read_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, whole) in [
            ("ubuntu", "registry-1.docker.io/library/ubuntu:latest"),
            ("docker.io/node:22-slim", "registry-1.docker.io/library/node:22-slim"),
            ("index.docker.io/me/app", "registry-1.docker.io/me/app:latest"),
            ("me/app:v1", "registry-1.docker.io/me/app:v1"),
            ("ghcr.io/a/b/c:1", "ghcr.io/a/b/c:1"),
            ("localhost/x", "localhost/x:latest"),
            ("host:5000/x:1", "host:5000/x:1"),
            ("quay.io/a_b/c--d.e", "quay.io/a_b/c--d.e:latest"),
        ] {
            assert_eq!(text.parse::<RemoteImage>().unwrap().to_string(), whole, "{text}");
        }
        let pinned = format!("gcr.io/x/y:tag@{digest}").parse::<RemoteImage>().unwrap();
        assert_eq!(pinned.to_string(), format!("gcr.io/x/y@{digest}"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            ":",
            "/",
            "Ubuntu",
            "a//b",
            "a/../b",
            "a/.b",
            "-a",
            "a:",
            "a:.b",
            "a@b",
            "a@sha256:1",
            "h.x:0/a",
            "h.x:99999/a",
            "user@h.x/a",
            "https://h.x/a",
            "h.x/a?b",
            "a b",
            "ä",
            "h.x:5/a:sha256:1",
            "[::1]:5/a",
            &"x".repeat(256),
            &format!("a:{}", "t".repeat(129)),
        ] {
            assert!(bad.parse::<RemoteImage>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        let origin = |text: &str| text.parse::<RemoteImage>().unwrap().origin();
        assert_eq!(origin("ubuntu"), "https://registry-1.docker.io");
        assert_eq!(origin("localhost:5000/a"), "http://localhost:5000");
        assert_eq!(origin("127.0.0.1:5000/a"), "http://127.0.0.1:5000");
        assert_eq!(origin("10.0.0.1:5000/a"), "https://10.0.0.1:5000");
        assert_eq!(origin("127.example.com/a"), "https://127.example.com");
    }
}
