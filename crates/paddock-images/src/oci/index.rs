//! Indexes: the same image for several platforms.

use std::collections::{BTreeMap, BTreeSet};

use paddock_core::BlobDigest;

use super::ImageError;
use super::descriptor::Descriptor;
use super::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

/// Images by platform, and what else was put beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The manifests, the first that fits being the one that is run.
    pub manifests: Vec<Descriptor>,
    /// What it was made about.
    pub subject: Option<Descriptor>,
    /// What it is, if it is no image.
    pub artifact_type: Option<String>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The manifest of the image for linux/amd64; `own` is the digest of the index.
    ///
    /// # Errors
    /// [`ImageError::EmptyIndex`], [`ImageError::Platforms`], [`ImageError::NestedIndex`], [`ImageError::NamesItself`],
    /// [`ImageError::NoImage`].
    pub fn choose(&self, own: &BlobDigest) -> Result<&Descriptor, ImageError> {
        let images: Vec<&Descriptor> = self.manifests.iter().filter(|named| !is_attestation(named)).collect();
        if images.is_empty() {
            return Err(ImageError::EmptyIndex);
        }
        if images.iter().any(|named| named.digest == *own) {
            return Err(ImageError::NamesItself);
        }
        // One whose platform its own configuration alone knows is taken if none says that it is ours.
        let says_ours =
            |named: &&&Descriptor| named.platform.as_ref().is_some_and(super::descriptor::Platform::is_ours);
        let chosen =
            images.iter().find(says_ours).or_else(|| images.iter().find(|named| named.platform.is_none()));
        let Some(chosen) = chosen else { return Err(ImageError::Platforms(platforms(&images))) };
        match chosen.media_type.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => Ok(chosen),
            OCI_INDEX | DOCKER_LIST => Err(ImageError::NestedIndex),
            other => Err(ImageError::NoImage(super::descriptor::shown(other))),
        }
    }
}

/// What builders say of how an image was built, which lies beside it as a platform of its own.
fn is_attestation(named: &Descriptor) -> bool {
    let is_unknown =
        |platform: &super::Platform| platform.os == "unknown" && platform.architecture == "unknown";
    named.annotations.contains_key("vnd.docker.reference.type")
        || named.platform.as_ref().is_some_and(is_unknown)
}

fn platforms(images: &[&Descriptor]) -> String {
    const SHOWN: usize = 8;
    let all: BTreeSet<String> =
        images.iter().filter_map(|named| Some(named.platform.as_ref()?.shown())).collect();
    let mut shown: Vec<String> = all.iter().take(SHOWN).cloned().collect();
    if all.len() > SHOWN {
        shown.push("others".to_owned());
    }
    shown.join(", ")
}
