//! Manifests: which blobs an image is made of.

use std::collections::BTreeMap;

use paddock_core::BlobDigest;
use serde::Deserialize;

use super::config::ConfigFile;
use super::descriptor::{Descriptor, or_default, shown};
use super::index::Index;
use super::media_type::{DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use super::{CONFIG_BYTES_MAX, ImageError, LAYERS_MAX, MANIFEST_BYTES_MAX};
use crate::convert::Compression;

/// What can be pushed under a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// One image, or something else that is made of blobs.
    Image(ImageManifest),
    /// Images by platform.
    Index(Index),
}

/// A configuration and layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// What it was made about: the image that it signs, say.
    pub subject: Option<Descriptor>,
    /// What it is, if it is no image.
    pub artifact_type: Option<String>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
}

/// Both kinds as they are written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "present")]
    layers: Option<Option<Vec<Descriptor>>>,
    #[serde(default, deserialize_with = "present")]
    manifests: Option<Option<Vec<Descriptor>>>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

/// A key that is there, be it `null`.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Manifest {
    /// Reads a manifest that was sent as `media_type`, which may have parameters.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn read(json: &[u8], media_type: &str) -> Result<Self, ImageError> {
        let sent = media_type.split(';').next().unwrap_or_default().trim();
        let is_index = match sent {
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            OCI_INDEX | DOCKER_LIST => true,
            other => return Err(ImageError::MediaType(shown(other))),
        };
        let malformed = |reason: String| ImageError::Malformed { what: "manifest", reason: shown(&reason) };
        if json.len() > MANIFEST_BYTES_MAX {
            return Err(ImageError::TooLarge { what: "manifest", bytes_max: MANIFEST_BYTES_MAX });
        }
        let file: File = serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        if let Some(named) = file.media_type.filter(|named| named != sent) {
            return Err(ImageError::OtherMediaType { named: shown(&named), sent: sent.to_owned() });
        }
        if file.schema_version != Some(2) {
            return Err(malformed("its schemaVersion is not 2".to_owned()));
        }
        let File { artifact_type, config, layers, manifests, subject, annotations, .. } = file;
        if manifests.is_some() && (layers.is_some() || config.is_some()) {
            return Err(ImageError::Ambiguous);
        }
        Ok(match (is_index, config, manifests) {
            (true, _, Some(manifests)) => {
                let manifests = manifests.unwrap_or_default();
                Self::Index(Index { manifests, subject, artifact_type, annotations })
            }
            (false, Some(config), _) => {
                let layers = layers.flatten().unwrap_or_default();
                Self::Image(ImageManifest { config, layers, subject, artifact_type, annotations })
            }
            (true, ..) => return Err(malformed("missing field `manifests`".to_owned())),
            (false, ..) => return Err(malformed("missing field `config`".to_owned())),
        })
    }

    /// The blobs that it is made of: they have to be there before it is.
    #[must_use]
    pub fn blobs(&self) -> Vec<&Descriptor> {
        match self {
            Self::Image(image) => std::iter::once(&image.config).chain(&image.layers).collect(),
            Self::Index(_) => Vec::new(),
        }
    }

    /// The manifests that it names.
    #[must_use]
    pub fn manifests(&self) -> &[Descriptor] {
        match self {
            Self::Image(_) => &[],
            Self::Index(index) => &index.manifests,
        }
    }

    /// What it was made about. That need not be there.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// What it is, as lists of referrers have it.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        match self {
            Self::Image(image) => Some(
                image
                    .artifact_type
                    .as_deref()
                    .filter(|name| !name.is_empty())
                    .unwrap_or(&image.config.media_type),
            ),
            Self::Index(index) => index.artifact_type.as_deref().filter(|name| !name.is_empty()),
        }
    }

    /// What is said of it.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Image(image) => &image.annotations,
            Self::Index(index) => &index.annotations,
        }
    }
}

impl ImageManifest {
    /// Whether it is an image that could be run, as far as it is known without its configuration; `own` is its digest.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn check_image(&self, own: &BlobDigest) -> Result<(), ImageError> {
        if !matches!(self.config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            return Err(ImageError::NoImage(shown(&self.config.media_type)));
        }
        if std::iter::once(&self.config).chain(&self.layers).any(|named| named.digest == *own) {
            return Err(ImageError::NamesItself);
        }
        if self.config.size > CONFIG_BYTES_MAX as u64 {
            return Err(ImageError::TooLarge { what: "configuration", bytes_max: CONFIG_BYTES_MAX });
        }
        if self.layers.len() > LAYERS_MAX {
            return Err(ImageError::TooManyLayers(self.layers.len()));
        }
        for layer in &self.layers {
            Compression::of_media_type(&layer.media_type)?;
        }
        Ok(())
    }
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLayer {
    /// Its blob.
    pub blob: Descriptor,
    /// How that is compressed.
    pub compression: Compression,
    /// SHA-256 of its tar, which is to be compared with what comes out of it.
    pub diff_id: BlobDigest,
}

/// An image that can be run, or built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageParts {
    /// Its layers, the lowest first.
    pub layers: Vec<ImageLayer>,
    /// Its configuration.
    pub config: ConfigFile,
}

impl ImageParts {
    /// Puts together what manifest and configuration say; `own` is the digest of the manifest.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn new(manifest: &ImageManifest, own: &BlobDigest, config: ConfigFile) -> Result<Self, ImageError> {
        manifest.check_image(own)?;
        config.check_platform()?;
        let (layers, diff_ids) = (&manifest.layers, &config.diff_ids);
        if layers.len() != diff_ids.len() {
            return Err(ImageError::OtherLayers { layers: layers.len(), diff_ids: diff_ids.len() });
        }
        let parts = layers.iter().zip(diff_ids).map(|(blob, diff_id)| {
            let compression = Compression::of_media_type(&blob.media_type)?;
            Ok(ImageLayer { blob: blob.clone(), compression, diff_id: diff_id.clone() })
        });
        let layers = parts.collect::<Result<_, ImageError>>()?;
        Ok(Self { layers, config })
    }
}
