//! Layers of images made mountable. Those that are mounted need root; GNU tar and zstd write some of them.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use paddock_core::BlobDigest;
use paddock_images::convert::{
    Compression, ConvertError, ConvertedLayer, LayerLimits, Warnings, convert_tar,
};
use proptest::prelude::*;
use tempfile::{NamedTempFile, TempDir};

use crate::archives::{Archive, gzip};
use crate::mounted::{Content, Mounted, Seen, check, digest, paths, seen};

const LIMITS: LayerLimits = LayerLimits { entries: 1000, bytes: 64 << 20, name_bytes: 100_000, depth: 30 };

fn converted(blob: &[u8], compression: Compression) -> Result<(NamedTempFile, ConvertedLayer), ConvertError> {
    let output = NamedTempFile::new().unwrap();
    let converted = convert_tar(blob, compression, output.reopen().unwrap(), &LIMITS)?;
    assert_eq!(output.as_file().metadata().unwrap().len(), converted.layer_bytes);
    Ok((output, converted))
}

fn layer(archive: Archive) -> (NamedTempFile, ConvertedLayer) {
    converted(&archive.end(), Compression::None).unwrap()
}

fn mounted(archive: Archive) -> BTreeMap<PathBuf, Seen> {
    let (file, _) = layer(archive);
    check(file.path());
    seen(Mounted::new(file.path()).path())
}

/// The sentence that an archive is refused with.
fn refused(archive: Archive) -> String {
    sentence(&archive.end(), Compression::None)
}

fn sentence(blob: &[u8], compression: Compression) -> String {
    let refused = converted(blob, compression).map(|(_, converted)| converted).unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
    refused.to_string()
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A tree with what archives find hard to say.
fn make_tree(root: &Path) {
    let long = "long".repeat(60);
    std::fs::create_dir_all(root.join(&long).join(&long)).unwrap();
    std::fs::write(root.join(&long).join(&long).join("file"), "deep").unwrap();
    std::fs::hard_link(root.join(&long).join(&long).join("file"), root.join("another name")).unwrap();
    symlink(format!("{long}/{long}/nowhere"), root.join("far")).unwrap();
    std::fs::write(root.join("ünïcode and\nlines"), "").unwrap();
    std::fs::write(root.join("program"), vec![1; 70_000]).unwrap();
    std::fs::set_permissions(root.join("program"), Permissions::from_mode(0o1711)).unwrap();
    std::os::unix::fs::chown(root.join("program"), Some(1000), Some(65_535)).unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    for at in [8192, 1 << 20, 3 << 20] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[5; 5000], at).unwrap();
    }
    std::fs::File::create(root.join("only a hole")).unwrap().set_len(100_000).unwrap();
    let many = std::fs::File::create(root.join("many holes")).unwrap();
    for at in 0..40 {
        std::os::unix::fs::FileExt::write_all_at(&many, b"x", at * 20_000).unwrap();
    }
    let dates = "find . -exec touch --no-dereference --date=@1600000000 {} +; touch --date=@-86400 program";
    run("sh", &["-c", dates], root);
}

#[test]
fn what_tar_packs_in_any_format_is_what_is_mounted() {
    if !crate::root::may_run("what_tar_packs_in_any_format_is_what_is_mounted") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    make_tree(&tree);
    let wanted = seen(&tree);
    for (format, further) in [
        ("gnu", ""),
        ("gnu", "--sparse"),
        ("oldgnu", "--sparse"),
        ("posix", ""),
        ("posix", "--sparse --sparse-version=0.0"),
        ("posix", "--sparse --sparse-version=0.1"),
        ("posix", "--sparse --sparse-version=1.0"),
    ] {
        let mut arguments = vec!["--create", "--file=out.tar", "--directory=tree", "--format", format];
        arguments.extend(further.split(' ').filter(|option| !option.is_empty()));
        arguments.push(".");
        run("tar", &arguments, folder.path());
        let tar = std::fs::read(folder.path().join("out.tar")).unwrap();
        let (file, converted) = converted(&tar, Compression::None).unwrap();
        assert_eq!(converted.warnings, Warnings::default());
        check(file.path());
        let got = seen(Mounted::new(file.path()).path());
        for (path, wanted) in &wanted {
            assert_eq!(got.get(path), Some(wanted), "{format} {further}: {path:?}");
        }
        assert_eq!(got.len(), wanted.len());
    }
    // These have no room for names as long.
    std::fs::remove_dir_all(tree.join("long".repeat(60))).unwrap();
    std::fs::remove_file(tree.join("far")).unwrap();
    std::fs::set_permissions(tree.join("program"), Permissions::from_mode(0o700)).unwrap();
    run("sh", &["-c", "touch --date=@1600000000 program ."], &tree);
    for format in ["v7", "ustar"] {
        run(
            "tar",
            &["--create", "--file=out.tar", "--directory=tree", "--format", format, "."],
            folder.path(),
        );
        let tar = std::fs::read(folder.path().join("out.tar")).unwrap();
        let (file, _) = converted(&tar, Compression::None).unwrap();
        assert_eq!(seen(Mounted::new(file.path()).path()), seen(&tree), "{format}");
    }
}

#[test]
fn a_layer_is_the_same_however_it_is_compressed() {
    let folder = TempDir::new().unwrap();
    let noise: String = (0..300_000_u64).map(|n| (b' ' + (n * n % 89) as u8) as char).collect();
    let tar = Archive::default().file("a", &noise).folder("d").file("d/b", "content").end();
    std::fs::write(folder.path().join("t"), &tar).unwrap();
    run("zstd", &["-q", "--check", "t", "-o", "t.zst"], folder.path());
    let zstd = std::fs::read(folder.path().join("t.zst")).unwrap();
    let passed_over = [&[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"toc"].concat();
    let (one, other) = tar.split_at(1000);
    std::fs::write(folder.path().join("one"), one).unwrap();
    std::fs::write(folder.path().join("other"), other).unwrap();
    run("zstd", &["-q", "one", "other"], folder.path());
    let frames = ["one.zst", "other.zst"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    let frames = [&passed_over[..], &frames[0], &passed_over, &frames[1], &passed_over].concat();
    let (plain, wanted) = converted(&tar, Compression::None).unwrap();
    let plain = std::fs::read(plain.path()).unwrap();
    for (compression, blob) in [
        (Compression::Gzip, gzip(&tar)),
        (Compression::Gzip, [gzip(one), gzip(other)].concat()),
        (Compression::Zstd, zstd.clone()),
        (Compression::Zstd, frames),
        // Engines have called compressed layers plain.
        (Compression::None, gzip(&tar)),
        (Compression::None, zstd),
    ] {
        let (file, got) = converted(&blob, compression).unwrap();
        let (blob_bytes, sha256) = digest(&mut &blob[..]);
        let blob = BlobDigest::of_sha256(sha256);
        assert_eq!(got, ConvertedLayer { blob, blob_bytes, ..wanted.clone() });
        assert!(std::fs::read(file.path()).unwrap() == plain);
    }
    let (tar_bytes, sha256) = digest(&mut &tar[..]);
    assert_eq!((wanted.tar_bytes, wanted.diff_id), (tar_bytes, BlobDigest::of_sha256(sha256)));
    assert_eq!(
        (wanted.blob_bytes, wanted.blob.clone(), wanted.entries),
        (tar_bytes, BlobDigest::of_sha256(sha256), 3)
    );
}

#[test]
fn what_is_cut_off_or_damaged_or_goes_on_after_its_end_is_refused() {
    let tar = Archive::default().file("a", &"x".repeat(3000)).file("b", "").end();
    let zipped = gzip(&tar);
    for length in (0..tar.len() - 1024 + 511).step_by(100) {
        sentence(&tar[..length], Compression::None);
    }
    for length in 0..zipped.len() {
        sentence(&zipped[..length], Compression::Gzip);
    }
    assert_eq!(
        sentence(&tar[..tar.len() - 1024], Compression::None),
        "layer: it could not be read after \"b\": it is cut off"
    );
    assert_eq!(
        sentence(&[&tar[..], b"\0more"].concat(), Compression::None),
        "layer: it could not be read after \"b\": there is more after its end"
    );
    assert_eq!(
        sentence(&[&zipped[..], b"more than a header"].concat(), Compression::Gzip),
        "layer: it cannot be decompressed: invalid gzip header"
    );
    assert_eq!(
        sentence(&tar, Compression::Gzip),
        "layer: it cannot be decompressed: it is not compressed by gzip, as its media type says"
    );
    let mut damaged = tar.clone();
    damaged[3584 + 1] ^= 1;
    assert_eq!(
        sentence(&damaged, Compression::None),
        "layer: it could not be read after \"a\": a header has a wrong checksum"
    );
    let mut damaged = zipped;
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    assert!(sentence(&damaged, Compression::Gzip).starts_with("layer: it cannot be decompressed: "));
    assert!(sentence(b"", Compression::None).starts_with("layer: it is no whole tar archive"));
    assert!(sentence(b"", Compression::Gzip).starts_with("layer: it cannot be decompressed"));
    assert!(sentence(&tar, Compression::Zstd).starts_with("layer: it cannot be decompressed"));
}

#[test]
fn a_checksum_of_zstd_is_looked_at() {
    let folder = TempDir::new().unwrap();
    let tar = Archive::default().file("a", "content").end();
    std::fs::write(folder.path().join("t"), &tar).unwrap();
    run("zstd", &["-q", "--check", "t", "-o", "t.zst"], folder.path());
    let mut blob = std::fs::read(folder.path().join("t.zst")).unwrap();
    *blob.last_mut().unwrap() ^= 1;
    assert_eq!(sentence(&blob, Compression::Zstd), "layer: it cannot be decompressed: a checksum is wrong");
    for length in 0..blob.len() {
        sentence(&blob[..length], Compression::Zstd);
    }
}

#[test]
fn later_members_win_and_names_may_be_written_in_any_way() {
    if !crate::root::may_run("later_members_win_and_names_may_be_written_in_any_way") {
        return;
    }
    let archive = Archive::default()
        .changed(b'5', b"./", b"", |header| header.set_mode(0o711))
        .file("/absolute", "1")
        .file("././a//b/./c", "implicit")
        .folder("a")
        .file("a/x", "old")
        .file("a/x", "newer")
        .file("folder", "first a file")
        .folder("folder")
        .file("folder/in", "")
        .folder("file")
        .file("file/in", "")
        .file("file", "last a file")
        .link("of old", "a/x")
        .symlink("a/x", "now a link")
        .link("link of link", "./a/x")
        .member(0, b"old folder/", b"")
        .member(0, b"old file", b"v7")
        .member(b'7', b"contiguous", b"7");
    let seen = mounted(archive);
    let content = |text: &str| {
        let (size, sha256) = digest(&mut text.as_bytes());
        Content::File { size, sha256 }
    };
    let wanted = [
        ("", Content::Folder),
        ("a", Content::Folder),
        ("a/b", Content::Folder),
        ("a/b/c", content("implicit")),
        ("a/x", Content::Symlink("now a link".into())),
        ("absolute", content("1")),
        ("contiguous", content("7")),
        ("file", content("last a file")),
        ("folder", Content::Folder),
        ("folder/in", content("")),
        ("link of link", Content::Symlink("now a link".into())),
        ("of old", content("newer")),
        ("old file", content("v7")),
        ("old folder", Content::Folder),
    ];
    let got: Vec<_> =
        seen.iter().map(|(path, seen)| (path.to_str().unwrap(), seen.content.clone())).collect();
    assert_eq!(got, wanted);
    let at = |path: &str| &seen[Path::new(path)];
    assert_eq!(at("").permissions, 0o711);
    assert_eq!((at("a").permissions, at("a").modified), (0o750, (1_700_000_000, 0)));
    assert_eq!((at("a/b").permissions, at("a/b").owner, at("a/b").modified), (0o755, (0, 0), (0, 0)));
    assert_eq!((at("a/x").links, at("of old").links), (2, 1));
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_of_their_own_layer_that_comes_later() {
    if !crate::root::may_run("whiteouts_hide_what_is_below_and_nothing_of_their_own_layer_that_comes_later") {
        return;
    }
    let lower = Archive::default()
        .file("d/1", "")
        .file("d/2", "")
        .file("e/1", "")
        .file("f/1", "")
        .file("g/1", "")
        .file("h", "")
        .file("i/1", "")
        .file("j/1", "")
        .file("top", "");
    let upper = Archive::default()
        .file("d/.wh.1", "content is nothing to a whiteout")
        .file("e/before", "")
        .file("e/.wh..wh..opq", "")
        .file("e/after", "")
        .file(".wh.f", "")
        .file(".wh.g", "")
        .folder("g")
        .file("g/new", "")
        .file(".wh.h", "")
        .file("h", "again")
        .file(".wh.i", "")
        .file("i/2", "")
        .file("j/2", "")
        .file(".wh.j", "")
        .file(".wh..wh.plnk", "")
        .folder(".wh..wh.orph/");
    let (lower, _) = layer(lower);
    let (upper, converted) = layer(upper);
    assert_eq!(converted.warnings, Warnings { marks: 2, ..Warnings::default() });
    let (lower, upper) = (Mounted::new(lower.path()), Mounted::new(upper.path()));
    let whiteouts: Vec<_> =
        seen(upper.path()).into_iter().filter(|(_, seen)| seen.content == Content::Whiteout).collect();
    assert_eq!(
        whiteouts.iter().map(|(path, _)| path.to_str().unwrap()).collect::<Vec<_>>(),
        ["d/1", "f", "j"]
    );
    for options in ["", "userxattr,"] {
        let merged = Mounted::overlay(&[&upper, &lower], options);
        let wanted = ["", "d", "d/2", "e", "e/after", "e/before", "g", "g/new", "h", "i", "i/2", "top"];
        assert_eq!(paths(merged.path()), wanted.map(PathBuf::from), "{options}");
    }
}

#[test]
fn what_no_container_gets_is_left_out_and_counted() {
    if !crate::root::may_run("what_no_container_gets_is_left_out_and_counted") {
        return;
    }
    let archive = Archive::default()
        .member(b'3', b"dev/char", b"")
        .member(b'4', b"dev/block", b"")
        .member(b'6', b"fifo", b"")
        .changed(b'0', b"suid", b"", |header| header.set_mode(0o4755))
        .changed(b'0', b"sgid", b"", |header| header.set_mode(0o2711))
        .changed(b'5', b"both", b"", |header| header.set_mode(0o7777))
        .pax(&[
            ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\n\0"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("LIBARCHIVE.xattr.user.mine", b"eQ"),
            ("comment", b"is nothing"),
        ])
        .folder("attributes")
        .changed(b'0', b"uid", b"", |header| header.set_uid(65_536))
        .changed(b'0', b"gid", b"", |header| header.as_mut_bytes()[116..124].fill(0xff))
        .pax(&[("uid", b"4294967296"), ("gid", b"7")])
        .file("pax", "")
        .changed(b'0', b"last id", b"", |header| header.set_uid(65_535));
    let (file, converted) = layer(archive);
    let wanted = Warnings { devices: 2, fifos: 1, setuid: 3, attributes: 4, ids: 3, marks: 0 };
    assert_eq!(converted.warnings, wanted);
    assert_eq!(wanted.sentences().len(), 5);
    let seen = seen(Mounted::new(file.path()).path());
    let at = |path: &str| &seen[Path::new(path)];
    assert_eq!(
        [at("suid").permissions, at("sgid").permissions, at("both").permissions],
        [0o755, 0o711, 0o1777]
    );
    assert_eq!(
        [at("uid").owner, at("gid").owner, at("pax").owner, at("last id").owner],
        [(0, 0), (0, 0), (0, 7), (65_535, 0)]
    );
    assert!(!at("attributes").is_opaque);
    assert!(!seen.contains_key(Path::new("fifo")) && !seen.contains_key(Path::new("dev/char")));
}

/// Each archive is refused by a sentence that ends like this.
fn all_refused<const N: usize>(archives: [(Archive, &str); N]) {
    for (archive, wanted) in archives {
        let sentence = refused(archive);
        assert!(sentence.starts_with("layer: ") && sentence.ends_with(wanted), "{sentence}\n{wanted}");
    }
}

fn new() -> Archive {
    Archive::default()
}

#[test]
fn a_path_that_no_layer_has_is_refused_by_a_sentence_that_names_it() {
    let long = "n".repeat(256);
    let longer = format!("a/{}", "n/".repeat(2048));
    let below = r#"layer: "a/b/c" lies below "a", which is no folder in this layer"#;
    all_refused([
        (new().file("../x", ""), r#"layer: "../x" has a path with "..""#),
        (new().folder("a/../b"), r#"layer: "a/../b" has a path with "..""#),
        (new().pax(&[("path", b"a\0b")]).file("x", ""), r#"layer: "a\0b" has no proper path"#),
        (new().member(b'0', b"", b""), r#"layer: "" has no proper path"#),
        (new().file(".", ""), r#"layer: "." is the root, but no folder"#),
        (new().pax(&[("path", long.as_bytes())]).file("x", ""), "has a name of more than 255 bytes"),
        (new().pax(&[("path", longer.as_bytes())]).file("x", ""), "has a path of more than 4096 bytes"),
        (
            new().member(b'L', b"long", longer.as_bytes()).file("x", ""),
            r#"layer: "long" has a bad extended header"#,
        ),
        (new().folder(&"d/".repeat(31)), "lies deeper than 30 folders"),
        (new().file("a", "").file("a/b/c", ""), below),
        (new().symlink("a", "/etc").file("a/b/c", ""), below),
    ]);
}

#[test]
fn a_link_or_whiteout_that_means_nothing_is_refused_by_a_sentence_that_names_it() {
    let no_file = "which is no earlier file of this layer";
    let no_name = "is a whiteout (.wh.) of nothing that could be";
    let nowhere = r#"layer: "a" is a symbolic link that leads nowhere"#;
    all_refused([
        (
            new().link("a", "../etc/shadow"),
            r#"layer: "a" is a hard link to "../etc/shadow", which is no earlier file of this layer"#,
        ),
        (new().link("a", "later").file("later", ""), no_file),
        (new().link("a", "/etc/shadow"), no_file),
        (new().link("a", "a"), no_file),
        (new().link("a", ""), no_file),
        (new().folder("d").link("a", "d"), no_file),
        (new().folder("d").link("a", "."), no_file),
        (new().file("f", "").link("a", "f/../f"), no_file),
        (new().symlink("l", "/").link("a", "l/etc/shadow"), no_file),
        (new().file(".wh.w", "").link("a", "w"), no_file),
        (new().symlink("a", ""), nowhere),
        (new().pax(&[("linkpath", b"a\0")]).symlink("a", ""), nowhere),
        (new().member(b'K', b"long", &[b't'; 4096]).symlink("a", ""), nowhere),
        (new().file(".wh.", ""), no_name),
        (new().file("a/.wh...", ""), no_name),
        (new().file(".wh.a/b", ""), no_name),
        (
            new().file(".wh..wh..opq", ""),
            r#"layer: ".wh..wh..opq" hides all lower layers: an image does without them instead"#,
        ),
    ]);
}

#[test]
fn a_header_that_says_nothing_or_two_things_is_refused_by_a_sentence_that_names_it() {
    let (bad, no_number) =
        ("has a bad extended header", r#"layer: "a" has a header with a number that is none"#);
    let change = |at: usize, byte| new().changed(b'0', b"a", b"", |header| header.as_mut_bytes()[at] = byte);
    let sparse = |records: &[(&str, &[u8])], content: &str| {
        (new().pax(records).file("s", content), "parts do not fit together")
    };
    let version =
        [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")];
    all_refused([
        (new().member(b'M', b"multi", b""), r#"layer: "multi" is of an unknown kind ('M')"#),
        (change(108, b'x'), no_number),
        (change(124, 0xff), no_number),
        (
            new().pax(&[("size", b"-1")]).file("a", ""),
            r#"layer: "PaxHeaders/x" has a header with a number that is none"#,
        ),
        (new().pax(&[("path", b"a"), ("path", b"b")]).file("x", ""), bad),
        (new().pax(&[("path", b"a")]).pax(&[("mtime", b"1")]).file("x", ""), bad),
        (new().pax(&[("path", b"a")]), bad),
        (new().member(b'L', b"long", b"a\0"), bad),
        (new().changed(b'x', b"h", b"", |header| header.set_size(2 << 20)), bad),
        sparse(&[("GNU.sparse.major", b"2"), ("GNU.sparse.size", b"5")], ""),
        sparse(&[("GNU.sparse.map", b"0,3,1,2"), ("GNU.sparse.size", b"9")], "12345"),
        sparse(&[("GNU.sparse.map", b"0,6"), ("GNU.sparse.size", b"9")], "12345"),
        sparse(&[("GNU.sparse.map", b"5,5"), ("GNU.sparse.size", b"9")], "12345"),
        sparse(&[("GNU.sparse.map", b"0,2,3"), ("GNU.sparse.size", b"9")], "12"),
        sparse(&[("GNU.sparse.offset", b"0"), ("GNU.sparse.offset", b"1"), ("GNU.sparse.size", b"9")], ""),
        sparse(&[("GNU.sparse.map", b"0,5")], "12345"),
        sparse(&version, &"9".repeat(512)),
        sparse(&version, &format!("999999999\n{}", "\0".repeat(502))),
    ]);
}

#[test]
fn limits_end_what_would_go_on() {
    let endless = |header: Archive| header.0.leak().chain(io::repeat(0));
    let convert = |input: Box<dyn Read + Send>, compression| {
        convert_tar(input, compression, tempfile::tempfile().unwrap(), &LIMITS).unwrap_err().to_string()
    };
    let too_large = format!("layer: more than {} bytes when unpacked", LIMITS.bytes);
    // Known by its header: nothing of it is read.
    let large = |header: &mut tar::Header| header.set_size(LIMITS.bytes + 1);
    let bomb = endless(Archive::default().changed(b'0', b"a", b"", large));
    assert_eq!(convert(Box::new(bomb), Compression::None), too_large);
    // What is nobody's content.
    let bomb = endless(Archive::default().changed(b'g', b"a", b"", |header| header.set_size(1 << 40)));
    assert_eq!(convert(Box::new(bomb), Compression::None), too_large);
    let bomb = endless(Archive::default().file("a", ""));
    let bomb = flate2::read::GzEncoder::new(bomb, flate2::Compression::fast());
    assert_eq!(convert(Box::new(bomb), Compression::Gzip), too_large);
    // A hole is as large as what is read of it.
    let hole = Archive::default()
        .pax(&[("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"1000000000000")])
        .file("s", "1");
    assert_eq!(refused(hole), too_large);
    let many = (0..1001).fold(Archive::default(), |archive, _| archive.folder("the same"));
    assert_eq!(refused(many), "layer: more than 1000 files, folders and links");
    let implicit =
        (0..40).fold(Archive::default(), |archive, n| archive.folder(&format!("{n}/{}", "d/".repeat(25))));
    assert_eq!(refused(implicit), "layer: more than 1000 files, folders and links");
    let names = (0..500).fold(Archive::default(), |archive, n| {
        archive.pax(&[("path", format!("{n:0250}").as_bytes())]).file("x", "")
    });
    assert_eq!(refused(names), "layer: names of more than 100000 bytes");
}

#[test]
fn a_machine_that_cannot_write_is_no_fault_of_the_layer() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let tar = Archive::default().file("a", "b").end();
    let failed = convert_tar(&tar[..], Compression::None, full, &LIMITS).unwrap_err();
    assert!(
        !failed.is_refusal() && failed.to_string().starts_with("the layer's file could not be written: "),
        "{failed}"
    );
}

proptest! {
    #[test]
    fn whatever_is_changed_in_an_archive_it_is_converted_or_refused(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        has_right_sums in any::<bool>(),
    ) {
        let mut tar = Archive::default()
            .folder("d")
            .file("d/f", "content")
            .link("l", "d/f")
            .symlink("s", "d/f")
            .pax(&[("path", b"long"), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"b")])
            .file("x", "")
            .pax(&[("GNU.sparse.map", b"0,3,10,4"), ("GNU.sparse.size", b"20")])
            .file("sparse", "1234567")
            .member(b'L', b"l", b"another long name\0")
            .file("y", "")
            .file("d/.wh.z", "")
            .end();
        for (at, byte) in changes {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        if has_right_sums {
            for record in tar.chunks_mut(512).filter(|record| record.iter().any(|byte| *byte != 0)) {
                record[148..156].fill(b' ');
                let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
                record[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        if let Err(refused) = converted(&tar, Compression::None) {
            prop_assert!(refused.is_refusal(), "{}", refused);
        }
    }
}
