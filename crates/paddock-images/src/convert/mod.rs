//! Conversion to mountable layers: of what tenants bring, and of what a step of a build has written.
//!
//! Nothing is unpacked: a tar is read once, from the beginning to the end, and written as EROFS as it comes. What a layer may not have
//! (devices, programs that run as their owner, attributes) is left out and counted; what it cannot mean is refused with a sentence.

mod command;
mod decode;
mod error;
mod layer;
mod media_type;
mod report;
mod slug;
mod tar;
mod tree;
mod warnings;
mod zstd;

use std::fs::File;
use std::io::Read;

use paddock_core::BlobDigest;

pub use self::command::{ConvertedFiles, convert_main, convert_tar_arguments, convert_tree_arguments};
pub use self::error::{ConvertError, Refused};
use self::layer::LayerBuilder;
pub use self::media_type::{Compression, UnknownMediaType};
pub use self::report::{ConversionReport, TarReport};
#[cfg(test)]
pub(crate) use self::slug::{CONVERTED_AT, LAYER_UUID};
pub use self::slug::{SLUG_ID, mkfs_erofs_command};
use self::tar::TarReader;
pub use self::tree::{ConvertedTree, LeftOut, convert_tree};
pub use self::warnings::Warnings;

/// Bytes of a path, as the kernel takes one.
const PATH_MAX: usize = 4096;
/// The largest id that a container has.
pub const ID_MAX: u32 = 65_535;

/// Bounds of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerLimits {
    /// Files, folders and links, those that are replaced by later ones among them.
    pub entries: u64,
    /// Bytes of the tar, and of all files with their holes.
    pub bytes: u64,
    /// Bytes of names, which are kept in memory.
    pub name_bytes: u64,
    /// Components of one path.
    pub depth: usize,
}

impl LayerLimits {
    /// For layers of images.
    pub const IMAGE: Self = Self { entries: 200_000, bytes: 8 << 30, name_bytes: 64 << 20, depth: 256 };
}

/// What became of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertedLayer {
    /// Bytes of the mountable file.
    pub layer_bytes: u64,
    /// SHA-256 of the tar, which images know the layer by.
    pub diff_id: BlobDigest,
    /// Bytes of the tar.
    pub tar_bytes: u64,
    /// SHA-256 of what was read, compressed as it was.
    pub blob: BlobDigest,
    /// Bytes of what was read.
    pub blob_bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// What was left out.
    pub warnings: Warnings,
}

/// Converts a layer of an image to a mountable file in `output`, which is empty. `input` is read to its end.
///
/// # Errors
/// [`ConvertError`]: the first thing that is wrong with it. What `output` has then is of no use.
pub fn convert_tar(
    input: impl Read + Send,
    compression: Compression,
    output: File,
    limits: &LayerLimits,
) -> Result<ConvertedLayer, ConvertError> {
    let (converted, blob) = decode::decoded(input, compression, |tar| {
        let mut tar = TarReader::new(tar.limited(limits.bytes));
        let layer = LayerBuilder::new(output, *limits).and_then(|mut layer| {
            layer.take(&mut tar)?;
            layer.finish()
        });
        let tar = tar.into_input();
        if tar.is_over_limit() {
            return Err(ConvertError::TooLarge(limits.bytes));
        }
        Ok((layer?, tar.digest()))
    })?;
    let (layer, tar) = converted;
    let tar = tar.unwrap_or_else(|| blob.clone());
    Ok(ConvertedLayer {
        layer_bytes: layer.bytes,
        diff_id: tar.digest,
        tar_bytes: tar.bytes,
        blob: blob.digest,
        blob_bytes: blob.bytes,
        entries: layer.entries,
        warnings: layer.warnings,
    })
}
