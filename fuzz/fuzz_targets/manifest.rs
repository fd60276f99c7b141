//! A manifest is read or refused by a sentence; what it names can be told, and an image is chosen of an index or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_core::BlobDigest;
use paddock_images::oci::{ConfigFile, ImageParts, Manifest, media_type};

fuzz_target!(|json: &[u8]| {
    let own = BlobDigest::of_sha256([0; 32]);
    for kind in [
        media_type::OCI_MANIFEST,
        media_type::OCI_INDEX,
        media_type::DOCKER_MANIFEST,
        media_type::DOCKER_LIST,
    ] {
        let manifest = match Manifest::read(json, kind) {
            Ok(manifest) => manifest,
            Err(refused) => {
                assert!(!refused.to_string().is_empty());
                continue;
            }
        };
        let _ = (manifest.artifact_type(), manifest.subject(), manifest.annotations());
        match &manifest {
            Manifest::Image(image) => {
                assert_eq!(manifest.blobs().len(), image.layers.len() + 1);
                let config = ConfigFile::read(b"{}").expect("nothing is said");
                if let Ok(parts) = ImageParts::new(image, &own, config) {
                    assert!(parts.layers.is_empty() && image.check_image(&own).is_ok());
                }
            }
            Manifest::Index(index) => {
                if let Ok(chosen) = index.choose(&own) {
                    assert!(manifest.manifests().contains(chosen) && chosen.digest != own);
                }
            }
        }
    }
});
