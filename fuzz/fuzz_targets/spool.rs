//! A spool whose writer was killed or went wrong: whatever its segment holds is read to its end, and a writer that goes
//! on after it is read as well.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use paddock_core::UnixMicros;
use paddock_ipc::spool::{RECORD_BYTES_MAX, Reader, Writer};
use uuid::Uuid;

/// Length and checksum of a record, and the shortest record.
const HEAD: usize = 8;
const FIXED: usize = 34;

fuzz_target!(|bytes: &[u8]| {
    let folder = std::env::temp_dir().join(format!("paddock-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for one spool");
    let (segment, records) = with_checksums(bytes);
    fs::write(folder.join(format!("{:020}.spool", 1)), segment).expect("a disk with room");
    let found = read_all(&folder);
    assert!(found.len() <= records);
    let mut writer = Writer::open(&folder, 1 << 30).expect("whatever is there");
    let seq = writer.append(UnixMicros(1), 2, 3, Uuid::nil(), b"more");
    writer.flush().expect("a disk with room");
    // One of the broken ones may have had a larger number: then this one was read already, as far as a reader knows.
    let last = found.iter().max().copied().unwrap_or(0);
    // Or it counts beyond all numbers from here on.
    assert!(seq <= last || i64::try_from(seq).is_err() || read_all(&folder).last() == Some(&seq));
    fs::remove_dir_all(&folder).expect("it was made above");
});

fn read_all(folder: &std::path::Path) -> Vec<u64> {
    let (mut reader, mut numbers) = (Reader::new(folder, 0), Vec::new());
    loop {
        let batch = reader.next_batch(256).expect("a folder that is there");
        if batch.is_empty() {
            return numbers;
        }
        assert!(batch.iter().all(|record| record.bytes.len() <= RECORD_BYTES_MAX));
        numbers.extend(batch.iter().map(|record| record.seq));
    }
}

/// The same bytes with the checksum that each record should have, which no mutation would find; and how many there are.
fn with_checksums(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut bytes, mut at, mut records) = (bytes.to_vec(), 0, 0);
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let Some(payload) = bytes.get(at + HEAD..at + HEAD + length).filter(|_| length >= FIXED) else {
            break;
        };
        let checksum = crc32fast::hash(payload).to_le_bytes();
        bytes[at + 4..at + HEAD].copy_from_slice(&checksum);
        (at, records) = (at + HEAD + length, records + 1);
    }
    (bytes, records)
}
