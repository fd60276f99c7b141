//! The store of blobs: uploads in pieces, over restarts, and what is swept.

use std::collections::HashSet;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use paddock_core::{BlobDigest, UploadId};
use paddock_images::{BlobError, Blobs};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use uuid::Uuid;

fn digest(bytes: &[u8]) -> BlobDigest {
    BlobDigest::of_sha256(Sha256::digest(bytes).into())
}

fn upload() -> UploadId {
    UploadId::from_uuid(Uuid::new_v4())
}

/// The store and its folder.
fn opened() -> (TempDir, Blobs) {
    let folder = TempDir::new().unwrap();
    let blobs = again(&folder);
    (folder, blobs)
}

/// The same store, in another process.
fn again(folder: &TempDir) -> Blobs {
    Blobs::open(folder.path().join("blobs")).unwrap()
}

fn append(blobs: &Blobs, id: UploadId, offset: u64, bytes: &[u8]) -> u64 {
    let mut appending = blobs.append(id, Some(offset)).unwrap();
    appending.write(bytes).unwrap();
    appending.sync().unwrap()
}

fn stored(blobs: &Blobs, digest: &BlobDigest) -> Option<Vec<u8>> {
    let (mut file, length) = blobs.read(digest).unwrap()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, length);
    Some(bytes)
}

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60)
}

#[test]
fn pieces_become_a_blob_that_only_its_owner_and_converters_read() {
    let (folder, blobs) = opened();
    let (id, whole) = (upload(), digest(b"one two"));
    assert_eq!(blobs.length_of_upload(id).unwrap(), 0);
    assert_eq!(append(&blobs, id, 0, b"one"), 3);
    assert_eq!(append(&blobs, id, 3, b" two"), 7);
    assert_eq!(blobs.length_of_upload(id).unwrap(), 7);
    assert!(stored(&blobs, &whole).is_none(), "nothing is a blob before its end");

    assert_eq!(blobs.store(id, &whole).unwrap(), 7);
    assert_eq!(blobs.store(id, &whole).unwrap(), 7, "as after a crash");
    assert!(matches!(blobs.append(id, Some(7)), Err(BlobError::Complete)), "a blob never changes");
    blobs.remove_upload(id).unwrap();
    blobs.remove_upload(id).unwrap();
    assert_eq!(stored(&blobs, &whole).unwrap(), b"one two");
    assert_eq!(blobs.list().unwrap(), [(whole.clone(), 7)]);
    let root = folder.path().join("blobs");
    let file = std::fs::metadata(root.join(Blobs::place_of(&whole))).unwrap();
    assert_eq!((file.permissions().mode() & 0o777, file.nlink()), (0o444, 1));
    assert_eq!(std::fs::metadata(root).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_is_not_what_was_to_come_is_no_blob() {
    let (_folder, blobs) = opened();
    let (id, wanted) = (upload(), digest(b"right"));
    append(&blobs, id, 0, b"wrong");
    match blobs.store(id, &wanted) {
        Err(BlobError::Digest { found }) => assert_eq!(found, digest(b"wrong")),
        other => panic!("{other:?}"),
    }
    assert!(blobs.list().unwrap().is_empty());
    for offset in [0, 4, 6] {
        assert!(matches!(blobs.append(id, Some(offset)), Err(BlobError::Offset { length: 5 })), "{offset}");
    }
}

#[test]
fn nothing_is_a_blob_too() {
    let (_folder, blobs) = opened();
    let (id, empty) = (upload(), digest(b""));
    assert_eq!(blobs.store(id, &empty).unwrap(), 0);
    assert_eq!(stored(&blobs, &empty).unwrap(), b"");
}

#[test]
fn what_was_written_over_a_restart_or_past_the_hash_is_read_from_the_file() {
    let (folder, blobs) = opened();
    let id = upload();
    append(&blobs, id, 0, b"before ");
    let restarted = again(&folder);
    assert_eq!(restarted.length_of_upload(id).unwrap(), 7);
    assert_eq!(append(&restarted, id, 7, b"after"), 12);
    // As a write leaves it that failed half way.
    let path = folder.path().join("blobs/uploads").join(id.to_string());
    std::fs::File::options().write(true).open(path).unwrap().write_all_at(b" and", 12).unwrap();
    assert_eq!(append(&restarted, id, 16, b" more"), 21);
    assert_eq!(restarted.store(id, &digest(b"before after and more")).unwrap(), 21);
}

#[test]
fn who_comes_back_takes_the_upload_over() {
    let (_folder, blobs) = opened();
    let id = upload();
    let mut broken = blobs.append(id, Some(0)).unwrap();
    broken.write(b"ab").unwrap();
    let mut back = blobs.append(id, None).unwrap();
    assert_eq!(back.length(), 2);
    assert!(matches!(broken.write(b"c"), Err(BlobError::Superseded)));
    back.write(b"cd").unwrap();
    assert_eq!(blobs.store(id, &digest(b"abcd")).unwrap(), 4);
    assert!(matches!(back.write(b"e"), Err(BlobError::Superseded)), "the end ends it");

    let cancelled = upload();
    let mut going_on = blobs.append(cancelled, None).unwrap();
    blobs.remove_upload(cancelled).unwrap();
    assert!(matches!(going_on.write(b"x"), Err(BlobError::Superseded)));
}

#[test]
fn what_nobody_names_is_swept_when_it_is_old() {
    let (_folder, blobs) = opened();
    let store = |bytes: &[u8]| {
        let id = upload();
        append(&blobs, id, 0, bytes);
        blobs.store(id, &digest(bytes)).unwrap();
        blobs.remove_upload(id).unwrap();
        digest(bytes)
    };
    let (named, unnamed) = (store(b"named"), store(b"unnamed"));
    let keep = HashSet::from([named.clone()]);
    let long_ago = SystemTime::now() - Duration::from_secs(600);
    assert_eq!(blobs.sweep(&keep, long_ago).unwrap().files, 0, "its row may be about to come");
    let swept = blobs.sweep(&keep, later()).unwrap();
    assert_eq!((swept.files, swept.bytes), (1, 7));
    assert!(stored(&blobs, &unnamed).is_none() && stored(&blobs, &named).is_some());

    let before = SystemTime::now();
    assert_eq!(store(b"named"), named);
    assert_eq!(blobs.sweep(&HashSet::new(), before).unwrap().files, 0, "what came again is as new");
}

#[test]
fn uploads_without_a_row_are_swept() {
    let (_folder, blobs) = opened();
    let (wanted, left) = (upload(), upload());
    append(&blobs, wanted, 0, b"wanted");
    append(&blobs, left, 0, b"left");
    assert_eq!(blobs.sweep_uploads(&[wanted], SystemTime::UNIX_EPOCH).unwrap().files, 0);
    assert_eq!(blobs.sweep_uploads(&[wanted], later()).unwrap().bytes, 4);
    assert_eq!((blobs.length_of_upload(wanted).unwrap(), blobs.length_of_upload(left).unwrap()), (6, 0));
}

proptest! {
    /// In whatever pieces, and wherever the server is started again.
    #[test]
    fn any_pieces_are_the_whole(pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..2000), any::<bool>()), 0..12)) {
        let (folder, mut blobs) = opened();
        let (id, mut whole) = (upload(), Vec::new());
        for (piece, restarts) in pieces {
            prop_assert_eq!(append(&blobs, id, whole.len() as u64, &piece), (whole.len() + piece.len()) as u64);
            whole.extend(piece);
            if restarts {
                blobs = again(&folder);
            }
        }
        prop_assert_eq!(blobs.store(id, &digest(&whole)).unwrap(), whole.len() as u64);
        prop_assert_eq!(stored(&blobs, &digest(&whole)).unwrap(), whole);
    }
}
