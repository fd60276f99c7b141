//! Images made from nothing, as folders in the layout of the Open Container Initiative.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// `sha256:` and the digits.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// A tar of plain files by name and content, as text where the content is.
///
/// # Panics
/// When a name is too long for a plain header.
#[must_use]
pub fn tar_of(files: &[(&str, &str)]) -> String {
    let mut tar = String::new();
    for (name, content) in files {
        assert!(name.len() < 100, "{name}");
        let field = |text: String, length: usize| format!("{text:\0<length$}");
        let octal = |number: usize, length: usize| format!("{number:0>width$o}\0", width = length - 1);
        let begin = field((*name).to_owned(), 100) + &octal(0o755, 8) + &octal(0, 8) + &octal(0, 8);
        let begin = begin + &octal(content.len(), 12) + &octal(0, 12);
        let end = field("0".to_owned(), 101) + "ustar\x0000" + &"\0".repeat(247);
        let sum: usize = begin.bytes().chain(end.bytes()).map(usize::from).sum::<usize>() + 8 * 32;
        tar.push_str(&format!("{begin}{sum:06o}\0 {end}{content}"));
        tar.push_str(&"\0".repeat(content.len().next_multiple_of(512) - content.len()));
    }
    tar + &"\0".repeat(1024)
}

/// A configuration of an image with these layers.
#[must_use]
pub fn config_of(architecture: &str, command: &[&str], layers: &[&str]) -> String {
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest_of(layer.as_bytes())).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Cmd": command },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    config.to_string()
}

/// How a manifest names something.
#[must_use]
pub fn descriptor(kind: &str, content: &str) -> Value {
    json!({ "mediaType": kind, "digest": digest_of(content.as_bytes()), "size": content.len() })
}

/// A manifest of an image with these layers.
#[must_use]
pub fn manifest_of(config: &str, layers: &[&str]) -> String {
    let layers: Vec<_> = layers.iter().map(|layer| descriptor(OCI_LAYER, layer)).collect();
    let config = descriptor(OCI_CONFIG, config);
    json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers }).to_string()
}

/// A folder of images.
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
    tagged: Vec<Value>,
}

impl Layout {
    /// An empty one.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
        Self { folder: folder.to_owned(), tagged: Vec::new() }
    }

    /// `oci:FOLDER:TAG`, as clients name an image in it.
    #[must_use]
    pub fn name(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.folder.display())
    }

    fn put(&self, content: &str) {
        let digest = digest_of(content.as_bytes());
        fs::write(self.folder.join("blobs").join(digest.replace(':', "/")), content).unwrap();
    }

    /// Makes an image; how it is named in an index.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn image(&mut self, tag: &str, architecture: &str, layers: &[&str]) -> Value {
        let config = config_of(architecture, &["/serve"], layers);
        let manifest = manifest_of(&config, layers);
        for content in layers.iter().copied().chain([config.as_str(), &manifest]) {
            self.put(content);
        }
        let mut child = descriptor(OCI_MANIFEST, &manifest);
        child["platform"] = json!({ "os": "linux", "architecture": architecture });
        self.tag(tag, child.clone());
        child
    }

    /// Makes an index of images.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn index(&mut self, tag: &str, children: &[Value]) {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children }).to_string();
        self.put(&index);
        self.tag(tag, descriptor(OCI_INDEX, &index));
    }

    fn tag(&mut self, tag: &str, mut named: Value) {
        named["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        self.tagged.push(named);
        let index = json!({ "schemaVersion": 2, "manifests": self.tagged });
        fs::write(self.folder.join("index.json"), index.to_string()).unwrap();
    }
}
