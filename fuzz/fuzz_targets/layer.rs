//! A layer of an image is converted or refused by a sentence, within its limits. The first byte says how it is compressed; with 3 each
//! record of the tar gets the checksum that it would have as a header, so that what is behind checksums is come to.
#![no_main]

use std::fs::File;

use libfuzzer_sys::fuzz_target;
use paddock_images::convert::{Compression, LayerLimits, convert_tar};
use rustix::fs::{MemfdFlags, memfd_create};

const LIMITS: LayerLimits = LayerLimits { entries: 500, bytes: 1 << 20, name_bytes: 50_000, depth: 20 };

fuzz_target!(|input: &[u8]| {
    let Some((kind, blob)) = input.split_first() else { return };
    let mut blob = blob.to_vec();
    let compression = match kind % 4 {
        1 => Compression::Gzip,
        2 => Compression::Zstd,
        0 => Compression::None,
        _ => {
            blob.as_chunks_mut::<512>().0.iter_mut().filter(|record| record[..] != [0; 512]).for_each(sum);
            Compression::None
        }
    };
    let output = File::from(memfd_create("layer", MemfdFlags::CLOEXEC).expect("memory is to be had"));
    let written = output.try_clone().expect("descriptors are to be had");
    match convert_tar(&blob[..], compression, output, &LIMITS) {
        Ok(layer) => {
            assert_eq!(layer.blob_bytes, blob.len() as u64);
            assert!(layer.tar_bytes <= LIMITS.bytes && layer.entries <= LIMITS.entries);
            let bytes = written.metadata().expect("it is open").len();
            assert!(bytes == layer.layer_bytes && bytes % 4096 == 0);
            // Content, an inode and a name for each entry, and blocks begun.
            assert!(bytes <= LIMITS.bytes + 500 * (4096 + 64) + 50_000 + 32 * 4096);
        }
        Err(refused) => assert!(refused.is_refusal() && !refused.to_string().is_empty()),
    }
});

fn sum(record: &mut [u8; 512]) {
    record[148..156].fill(b' ');
    let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
    record[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
