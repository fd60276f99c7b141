//! Which blobs are layers, and how they are compressed.

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not by its media type. Old engines said so of layers that they had compressed: those are known by their first bytes.
    None,
    /// By gzip, in one member or many.
    Gzip,
    /// By Zstandard, in one frame or many.
    Zstd,
}

/// A media type is no layer's, or none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownMediaType {
    /// A layer that is not in the registry, but at an address.
    #[error(
        "layers of the media type {0:?} are not in the image: it has to be built or pushed with all of its layers"
    )]
    Foreign(String),
    /// Anything else.
    #[error(
        "layers of the media type {0:?} cannot be used: they have to be tar archives, plain or compressed by gzip or zstd"
    )]
    Other(String),
}

impl Compression {
    /// What a manifest says of a layer by its media type.
    ///
    /// # Errors
    /// [`UnknownMediaType`].
    pub fn of_media_type(media_type: &str) -> Result<Self, UnknownMediaType> {
        const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
        const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
        // Names are compared as RFC 6838 has them.
        let name = media_type.to_ascii_lowercase();
        if let Some(suffix) = name.strip_prefix(OCI) {
            match suffix {
                "" => return Ok(Self::None),
                "+gzip" => return Ok(Self::Gzip),
                "+zstd" => return Ok(Self::Zstd),
                _ => {}
            }
        }
        match name.strip_prefix(DOCKER) {
            Some("") => return Ok(Self::None),
            Some(".gzip") => return Ok(Self::Gzip),
            // As some engines pushed them to registries of before.
            Some(".zstd") => return Ok(Self::Zstd),
            _ => {}
        }
        let shown: String = media_type.chars().take(100).collect();
        let is_foreign = name.contains("nondistributable") || name.contains("foreign");
        Err(if is_foreign { UnknownMediaType::Foreign(shown) } else { UnknownMediaType::Other(shown) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_known_by_their_media_type() {
        let oci = "application/vnd.oci.image.layer.v1.tar";
        let docker = "application/vnd.docker.image.rootfs.diff.tar";
        for (media_type, wanted) in [
            (oci.to_owned(), Compression::None),
            (format!("{oci}+gzip"), Compression::Gzip),
            (format!("{oci}+zstd"), Compression::Zstd),
            (docker.to_owned(), Compression::None),
            (format!("{docker}.gzip"), Compression::Gzip),
            (format!("{}.GZIP", docker.to_uppercase()), Compression::Gzip),
        ] {
            assert_eq!(Compression::of_media_type(&media_type), Ok(wanted), "{media_type}");
        }
        for foreign in [
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        ] {
            let refused = Compression::of_media_type(foreign);
            assert!(matches!(refused, Err(UnknownMediaType::Foreign(_))), "{refused:?}");
        }
        for other in [
            "",
            "application/octet-stream",
            &format!("{oci}+xz"),
            &format!("{oci}+gzip+encrypted"),
            &format!("{docker}+gzip"),
        ] {
            let refused = Compression::of_media_type(other);
            assert!(matches!(refused, Err(UnknownMediaType::Other(_))), "{refused:?}");
        }
    }
}
