//! Manifests and configurations of images, as OCI and Docker have them: what of them is read, and what is refused.
//!
//! A manifest that is stored need not be one that can be run: signatures, charts and lists of other platforms are manifests too.
//! [`Manifest::read`] takes them all; [`Index::choose`], [`ImageManifest::check_image`] and [`ImageParts::new`] say what cannot be run, each by a
//! sentence. Why the shapes are ours: `docs/decisions/0032-own-oci-shapes.md`.

mod config;
mod descriptor;
mod error;
mod index;
mod manifest;

pub use self::config::{ConfigFile, config_json};
pub use self::descriptor::{Descriptor, Platform};
pub use self::error::ImageError;
pub use self::index::Index;
pub use self::manifest::{ImageLayer, ImageManifest, ImageParts, Manifest};

/// Bytes of a manifest, the limit that registries agree on.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// Bytes of a configuration.
pub const CONFIG_BYTES_MAX: usize = 8 << 20;
/// Layers of an image: engines make no more.
pub const LAYERS_MAX: usize = 125;

/// The media types of manifests.
pub mod media_type {
    /// An image, by OCI.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// Images by platform, by OCI.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An image, by Docker.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Images by platform, by Docker.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// The configuration of an image, by OCI.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// The configuration of an image, by Docker.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
}
