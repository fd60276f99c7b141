//! The converter's program, called as containers call it.

use std::path::Path;
use std::process::ExitCode;

use paddock_images::convert::{
    ConversionReport, ConvertedFiles, LayerLimits, LeftOut, Warnings, convert_main, convert_tar_arguments,
    convert_tree_arguments,
};
use tempfile::TempDir;

use crate::archives::{Archive, gzip};
use crate::mounted::digest;

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn ended(code: ExitCode, wanted: u8) {
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(wanted)));
}

fn files<'a>(out: &'a Path, report: &'a Path) -> ConvertedFiles<'a> {
    ConvertedFiles { out, report, limits: LayerLimits { entries: 3, ..LayerLimits::IMAGE } }
}

#[test]
fn a_tar_is_converted_and_reported() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let tar = Archive::default().file("a", "b").member(b'6', b"fifo", b"").end();
    let blob = gzip(&tar);
    std::fs::write(at("blob"), &blob).unwrap();
    // Left by a run that was ended.
    std::fs::write(at("out"), vec![1; 100_000]).unwrap();
    let (out, report) = (at("out"), at("report"));
    ended(convert_main(convert_tar_arguments(&at("blob"), GZIP, &files(&out, &report))), 0);
    let read = ConversionReport::read(&report).unwrap();
    assert_eq!((read.layer_bytes, read.entries), (out.metadata().unwrap().len(), 1));
    assert_eq!(read.warnings, Warnings { fifos: 1, ..Warnings::default() });
    let of_tar = read.tar.unwrap();
    assert_eq!(of_tar.diff_id, paddock_core::BlobDigest::of_sha256(digest(&mut &tar[..]).1));
    assert_eq!(of_tar.blob, paddock_core::BlobDigest::of_sha256(digest(&mut &blob[..]).1));
    assert_eq!((of_tar.bytes, of_tar.blob_bytes), (tar.len() as u64, blob.len() as u64));
}

#[test]
fn a_tree_is_converted_and_reported() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("tree/dev")).unwrap();
    std::fs::create_dir_all(at("tree/etc")).unwrap();
    std::fs::write(at("tree/etc/hosts"), "").unwrap();
    let left_out = LeftOut { always: vec!["/dev".into()], if_empty: vec!["/etc/hosts".into()] };
    let (out, report) = (at("out"), at("report"));
    ended(convert_main(convert_tree_arguments(&at("tree"), &left_out, &files(&out, &report))), 0);
    let read = ConversionReport::read(&report).unwrap();
    assert_eq!((read.layer_bytes, read.entries, read.tar), (out.metadata().unwrap().len(), 1, None));
}

#[test]
fn what_is_refused_and_what_fails_are_told_apart_and_leave_no_report() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let tar = (0..4).fold(Archive::default(), |archive, n| archive.file(&n.to_string(), "")).end();
    std::fs::write(at("blob"), gzip(&tar)).unwrap();
    std::os::unix::fs::symlink("blob", at("link")).unwrap();
    let (out, report, nowhere) = (at("out"), at("report"), at("none/out"));
    let files = files(&out, &report);
    ended(convert_main(convert_tar_arguments(&at("blob"), GZIP, &files)), 1);
    ended(convert_main(convert_tar_arguments(&at("blob"), "text/plain", &files)), 1);
    ended(convert_main(convert_tar_arguments(&at("link"), GZIP, &files)), 2);
    ended(convert_main(convert_tar_arguments(&at("missing"), GZIP, &files)), 2);
    ended(convert_main(convert_tar_arguments(folder.path(), GZIP, &files)), 2);
    ended(
        convert_main(convert_tar_arguments(&at("blob"), GZIP, &ConvertedFiles { out: &nowhere, ..files })),
        2,
    );
    for words in
        ["", "--tar", "--tar a --out b --report c", "--tar a --tree b --out c --report d", "--what ever"]
    {
        ended(convert_main(words.split(' ').filter(|word| !word.is_empty()).map(Into::into)), 2);
    }
    assert!(!report.exists());
    assert!(ConversionReport::read(&at("blob")).is_err());
}
