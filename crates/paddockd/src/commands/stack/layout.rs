//! OCI layouts: images as folders of files, as skopeo and buildah write them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use paddock_core::BlobDigest;
use paddock_images::oci::media_type::OCI_INDEX;
use paddock_images::oci::{
    CONFIG_BYTES_MAX, ConfigFile, Descriptor, ImageLayer, ImageManifest, ImageParts, Index,
    MANIFEST_BYTES_MAX, Manifest,
};
use sha2::{Digest, Sha256};

use crate::start_error::StartError;

/// The annotation of an index that has a tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// An image of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LayoutImage {
    folder: PathBuf,
    tag: Option<String>,
}

impl LayoutImage {
    /// Reads `LAYOUT` or `LAYOUT:TAG`.
    pub(super) fn named(text: &str) -> Result<Self, StartError> {
        let is_layout = |folder: &str| Path::new(folder).join("index.json").is_file();
        let (folder, tag) = match text.rsplit_once(':') {
            Some((folder, tag)) if !is_layout(text) => (folder, Some(tag.to_owned())),
            _ => (text, None),
        };
        if !is_layout(folder) {
            return Err(format!(
                "{folder} is no OCI layout: it has no index.json. Make one with: skopeo copy docker://IMAGE oci:FOLDER:TAG"
            )
            .into());
        }
        Ok(Self { folder: folder.into(), tag })
    }

    /// Its layers, the lowest first.
    pub(super) fn layers(&self) -> Result<Vec<ImageLayer>, StartError> {
        let index = read_all(&self.folder.join("index.json"), MANIFEST_BYTES_MAX)?;
        let own = digest_of(&index);
        let Manifest::Index(index) = self.refused(Manifest::read(&index, OCI_INDEX))? else {
            return Err(format!("{}: index.json is no index", self.folder.display()).into());
        };
        let (manifest, own) = self.manifest(self.chosen(&index, &own)?)?;
        let config = self.blob_bytes(&manifest.config, CONFIG_BYTES_MAX)?;
        let config = self.refused(ConfigFile::read(&config))?;
        let parts = self.refused(ImageParts::new(&manifest, &own, config))?;
        Ok(parts.layers)
    }

    /// The file of a layer.
    pub(super) fn blob(&self, digest: &BlobDigest) -> Result<File, StartError> {
        let path = self.path_of(digest);
        Ok(File::open(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?)
    }

    /// What the tag names; without one, what there is one of.
    fn chosen<'a>(&self, index: &'a Index, own: &BlobDigest) -> Result<&'a Descriptor, StartError> {
        let tag_of = |named: &Descriptor| named.annotations.get(TAG).cloned();
        if let Some(tag) = &self.tag {
            let is_it = |named: &&Descriptor| {
                let name = tag_of(named).unwrap_or_default();
                name == *tag || name.rsplit_once(':').is_some_and(|(_, end)| end == tag)
            };
            let found = index.manifests.iter().find(is_it);
            return found.ok_or_else(|| {
                format!("{} has no image {tag}{}", self.folder.display(), tags(index)).into()
            });
        }
        match index.manifests.as_slice() {
            [only] => Ok(only),
            _ if index.manifests.iter().any(|named| tag_of(named).is_some()) => {
                let folder = self.folder.display();
                Err(format!("{folder} has several images: say {folder}:TAG{}", tags(index)).into())
            }
            // Of one image for several platforms.
            _ => self.refused(index.choose(own)),
        }
    }

    /// The manifest that is meant, and its digest.
    fn manifest(&self, named: &Descriptor) -> Result<(ImageManifest, BlobDigest), StartError> {
        let json = self.blob_bytes(named, MANIFEST_BYTES_MAX)?;
        let index = match self.refused(Manifest::read(&json, &named.media_type))? {
            Manifest::Image(manifest) => return Ok((manifest, named.digest.clone())),
            Manifest::Index(index) => index,
        };
        let chosen = self.refused(index.choose(&named.digest))?;
        let json = self.blob_bytes(chosen, MANIFEST_BYTES_MAX)?;
        match self.refused(Manifest::read(&json, &chosen.media_type))? {
            Manifest::Image(manifest) => Ok((manifest, chosen.digest.clone())),
            Manifest::Index(_) => {
                Err(format!("{}: the index names another index", self.folder.display()).into())
            }
        }
    }

    /// The bytes of a small blob, which are what its name says.
    fn blob_bytes(&self, named: &Descriptor, bytes_max: usize) -> Result<Vec<u8>, StartError> {
        let path = self.path_of(&named.digest);
        let bytes = read_all(&path, bytes_max)?;
        match digest_of(&bytes) == named.digest {
            true => Ok(bytes),
            false => Err(format!("{} is not what its name says", path.display()).into()),
        }
    }

    fn path_of(&self, digest: &BlobDigest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }

    fn refused<T, E: std::fmt::Display>(&self, read: Result<T, E>) -> Result<T, StartError> {
        read.map_err(|error| format!("{}: {error}", self.folder.display()).into())
    }
}

/// The tags of an index, for the end of a sentence.
fn tags(index: &Index) -> String {
    let tags: Vec<_> =
        index.manifests.iter().filter_map(|named| named.annotations.get(TAG)).cloned().collect();
    if tags.is_empty() { String::new() } else { format!(" (there are: {})", tags.join(", ")) }
}

fn digest_of(bytes: &[u8]) -> BlobDigest {
    BlobDigest::of_sha256(Sha256::digest(bytes).into())
}

fn read_all(path: &Path, bytes_max: usize) -> Result<Vec<u8>, StartError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if bytes.len() > bytes_max {
        return Err(format!("{} has more than {bytes_max} bytes", path.display()).into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    /// A layout with what tests put into it.
    struct Layout(TempDir);

    impl Layout {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
            Self(folder)
        }

        fn blob(&self, bytes: &[u8], media_type: &str) -> Value {
            let digest = digest_of(bytes);
            std::fs::write(self.0.path().join("blobs/sha256").join(digest.hex()), bytes).unwrap();
            json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
        }

        /// An image of one layer, whose manifest it answers.
        fn image(&self, tar: &[u8], architecture: &str) -> Value {
            let layer = self.blob(tar, "application/vnd.oci.image.layer.v1.tar");
            let config = json!({ "architecture": architecture, "os": "linux",
                "rootfs": { "type": "layers", "diff_ids": [digest_of(tar).to_string()] } });
            let config = self.blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
            let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
            self.blob(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json")
        }

        fn index(&self, manifests: &[Value]) {
            let index = json!({ "schemaVersion": 2, "manifests": manifests });
            std::fs::write(self.0.path().join("index.json"), index.to_string()).unwrap();
        }

        fn layers(&self, tag: &str) -> Result<Vec<ImageLayer>, StartError> {
            LayoutImage::named(&format!("{}{tag}", self.0.path().display()))?.layers()
        }

        fn refused(&self, tag: &str) -> String {
            self.layers(tag).unwrap_err().to_string()
        }
    }

    fn tagged(mut manifest: Value, tag: &str) -> Value {
        manifest["annotations"] = json!({ TAG: tag });
        manifest
    }

    #[test]
    fn an_image_is_found_by_its_tag_or_alone() {
        let layout = Layout::new();
        assert!(layout.refused("").contains("is no OCI layout"));
        let (one, two) = (layout.image(b"one", "amd64"), layout.image(b"two", "amd64"));
        layout.index(std::slice::from_ref(&one));
        assert_eq!(layout.layers("").unwrap()[0].diff_id, digest_of(b"one"));
        layout.index(&[tagged(one, "first"), tagged(two, "docker.io/library/x:second")]);
        assert_eq!(layout.layers(":second").unwrap()[0].diff_id, digest_of(b"two"));
        assert!(layout.refused("").contains("several images"), "{}", layout.refused(""));
        assert!(layout.refused(":third").ends_with("(there are: first, docker.io/library/x:second)"));
    }

    #[test]
    fn of_several_platforms_this_one_is_taken_and_a_lie_is_refused() {
        let layout = Layout::new();
        let of = |name: &str| {
            let mut manifest = layout.image(name.as_bytes(), name);
            manifest["platform"] = json!({ "architecture": name, "os": "linux" });
            manifest
        };
        layout.index(&[of("arm64"), of("amd64")]);
        assert_eq!(layout.layers("").unwrap()[0].diff_id, digest_of(b"amd64"));
        let inner = json!({ "schemaVersion": 2, "manifests": [of("arm64"), of("amd64")] });
        layout.index(&[tagged(layout.blob(inner.to_string().as_bytes(), OCI_INDEX), "x")]);
        assert_eq!(layout.layers(":x").unwrap()[0].diff_id, digest_of(b"amd64"));
        layout.index(&[of("arm64")]);
        assert!(layout.refused("").contains("linux/arm64"), "{}", layout.refused(""));
        let mut lie = layout.image(b"one", "amd64");
        lie["digest"] = json!(digest_of(b"one").to_string());
        layout.index(&[lie.clone()]);
        assert!(layout.refused("").contains("cannot be read"), "{}", layout.refused(""));
        let name = lie["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        std::fs::write(layout.0.path().join("blobs/sha256").join(name), "other").unwrap();
        assert!(layout.refused("").contains("is not what its name says"));
    }
}
