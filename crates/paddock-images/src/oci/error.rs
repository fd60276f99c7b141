//! Why an image is not taken.

use crate::convert::UnknownMediaType;

/// Why a manifest is not stored, or an image not run: a sentence for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is longer than any that engines write.
    #[error("the {what} has more than {bytes_max} bytes")]
    TooLarge {
        /// What: a manifest, a configuration.
        what: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// It is not JSON, or not of this shape.
    #[error("the {what} cannot be read: {reason}")]
    Malformed {
        /// What: a manifest, a configuration.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// It is a manifest of another kind, or of none.
    #[error(
        "manifests of the media type {0:?} are not taken: push the image with an engine that writes OCI or Docker schema 2"
    )]
    MediaType(String),
    /// What it says of itself is not what it was sent as.
    #[error("the manifest says that its media type is {named:?}, and was sent as {sent:?}")]
    OtherMediaType {
        /// What it says.
        named: String,
        /// What the sender said.
        sent: String,
    },
    /// Two readers would see two manifests.
    #[error("the manifest has both layers and manifests")]
    Ambiguous,
    /// An index without a manifest.
    #[error("the index names no image: build the image for linux/amd64")]
    EmptyIndex,
    /// No image of an index is for this machine.
    #[error("the image is for {0}, and has to be for linux/amd64: build it with --platform linux/amd64")]
    Platforms(String),
    /// An index names another.
    #[error("the index names another index in the place of an image")]
    NestedIndex,
    /// A manifest names itself.
    #[error("the manifest names itself")]
    NamesItself,
    /// A manifest that is stored beside images: a signature, a chart.
    #[error("{0:?} is no image that could be run")]
    NoImage(String),
    /// There are too many layers.
    #[error("the image has {0} layers: at most 125 can be run")]
    TooManyLayers(usize),
    /// There is nothing to run.
    #[error("the image has no layers, so there is nothing to run")]
    NoLayers,
    /// Manifest and configuration contradict each other.
    #[error("the image has {layers} layers, and its configuration speaks of {diff_ids}")]
    OtherLayers {
        /// Layers of the manifest.
        layers: usize,
        /// Layers of the configuration.
        diff_ids: usize,
    },
    /// A layer that cannot be used.
    #[error(transparent)]
    Layer(#[from] UnknownMediaType),
}
