//! Source archives, honest and hostile.

use std::io::Write;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use paddock_images::{ArchiveError, ArchiveLimits, ArchiveSummary, Refused, check_source_archive};
use proptest::prelude::*;
use tar::{EntryType, Header};
use tempfile::TempDir;

const LIMITS: ArchiveLimits = ArchiveLimits { entries: 100, bytes: 1 << 20, path_bytes: 200, path_depth: 10 };

/// A tar written header by header, so that it can hold what no library would write.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, kind: EntryType, path: &[u8], link: &[u8], content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path);
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str) -> Self {
        self.entry(EntryType::Regular, path.as_bytes(), b"", b"content")
    }

    fn folder(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path.as_bytes(), b"", b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path.as_bytes(), target.as_bytes(), b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path.as_bytes(), target.as_bytes(), b"")
    }

    fn pax(self, key: &str, value: &str) -> Self {
        let rest = format!(" {key}={value}\n");
        let length = (1..).map(|digits| rest.len() + digits).find(|n| n.to_string().len() + rest.len() == *n);
        let record = format!("{}{rest}", length.unwrap());
        self.entry(EntryType::XHeader, b"PaxHeaders/x", b"", record.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    fn check(self) -> Result<ArchiveSummary, ArchiveError> {
        check_source_archive(self.end().as_slice(), &LIMITS)
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn assert_refused(tar: Tar, expected_entry: &str, expected: Refused) {
    let refused = tar.check();
    let Err(ArchiveError::Entry { entry, reason }) = refused else { panic!("{refused:?}") };
    assert_eq!((entry.as_str(), reason), (expected_entry, expected));
}

#[test]
fn an_honest_tree_is_summed_up_plain_and_compressed() {
    let tar = || {
        Tar::default().folder("./").file("./Procfile").folder("bin/").file("bin/run").symlink("l", "../out")
    };
    let plain = tar().check().unwrap();
    let expected = ArchiveSummary { entries: 5, bytes: 14, top_folder: None, is_gzip: false };
    assert_eq!(plain, expected);
    let compressed = check_source_archive(gzip(&tar().end()).as_slice(), &LIMITS).unwrap();
    assert_eq!(compressed, ArchiveSummary { is_gzip: true, ..expected });
}

#[test]
fn a_single_folder_at_the_top_is_found() {
    let top = |tar: Tar| tar.check().unwrap().top_folder;
    assert_eq!(top(Tar::default().folder("app-1/").file("app-1/a")), Some(b"app-1".to_vec()));
    assert_eq!(top(Tar::default().file("./app-1/a").file("app-1/b/c")), Some(b"app-1".to_vec()));
    assert_eq!(top(Tar::default().file("app-1/a").file("b")), None);
    assert_eq!(top(Tar::default().file("alone")), None);
    assert_eq!(top(Tar::default().symlink("alone", "x")), None);
}

#[test]
fn archives_of_git_and_tar_are_sound() {
    let folder = TempDir::new().unwrap();
    let run = |program: &str, args: &[&str]| {
        let output =
            Command::new(program).current_dir(folder.path()).args(args).stderr(Stdio::inherit()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{program} {args:?}");
        output.stdout
    };
    let deep = format!("{}/{}", "d".repeat(90), "f".repeat(150));
    std::fs::create_dir(folder.path().join("d".repeat(90))).unwrap();
    std::fs::write(folder.path().join(&deep), "long").unwrap();
    std::fs::write(folder.path().join("Procfile"), "web: x").unwrap();
    std::fs::hard_link(folder.path().join("Procfile"), folder.path().join("same")).unwrap();
    std::os::unix::fs::symlink("Procfile", folder.path().join("link")).unwrap();
    let limits = ArchiveLimits::SOURCE;
    for format in ["--format=gnu", "--format=pax"] {
        let bytes = run("tar", &[format, "-c", "--transform", "s,^\\.,app-1,S", "."]);
        let summary = check_source_archive(bytes.as_slice(), &limits).unwrap();
        assert_eq!(summary.top_folder.as_deref(), Some(&b"app-1"[..]), "{format}");
        assert_eq!(summary.entries, 6, "{format}");
    }
    run("git", &["init", "-q"]);
    run("git", &["add", "Procfile", "link", &deep]);
    run("git", &["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "x"]);
    let bytes = run("git", &["archive", "--format=tar.gz", "--prefix=app-1/", "HEAD"]);
    let summary = check_source_archive(bytes.as_slice(), &limits).unwrap();
    assert!(summary.is_gzip);
    assert_eq!(summary.top_folder.as_deref(), Some(&b"app-1"[..]));
}

#[test]
fn paths_stay_inside() {
    use Refused::{AbsolutePath, BadPath, DeepPath, LongPath, ParentPath};
    assert_refused(Tar::default().file("ok").file("/etc/passwd"), "/etc/passwd", AbsolutePath);
    assert_refused(Tar::default().file("../x"), "../x", ParentPath);
    assert_refused(Tar::default().file("a/../../x"), "a/../../x", ParentPath);
    assert_refused(Tar::default().folder("a/.."), "a/..", ParentPath);
    assert_refused(Tar::default().file(""), "", BadPath);
    assert_refused(Tar::default().file("."), ".", BadPath);
    assert_refused(Tar::default().pax("path", "/etc/passwd").file("ok"), "/etc/passwd", AbsolutePath);
    assert_refused(Tar::default().pax("path", "a\0b").file("ok"), "a\0b", BadPath);
    let deep = "a/".repeat(10) + "b";
    assert_refused(Tar::default().file(&deep), &deep, DeepPath);
    let long = "x".repeat(201);
    let tar =
        Tar::default().entry(EntryType::GNULongName, b"././@LongLink", b"", long.as_bytes()).file("cut");
    assert_refused(tar, &long[..200], LongPath);
    let tar =
        Tar::default().entry(EntryType::GNULongName, b"././@LongLink", b"", b"/etc/passwd\0").file("ok");
    assert_refused(tar, "/etc/passwd", AbsolutePath);
    // A long name belongs to the next entry alone.
    assert!(Tar::default().pax("path", "a").file("b").file("ok").check().is_ok());
}

#[test]
fn nothing_is_written_through_links() {
    use Refused::{ForeignLink, ThroughLink};
    assert!(Tar::default().symlink("out", "/etc").file("other").check().is_ok());
    assert_refused(Tar::default().symlink("out", "/etc").file("out/passwd"), "out/passwd", ThroughLink);
    assert_refused(Tar::default().symlink("out", "/etc").file("./out//x/y"), "./out//x/y", ThroughLink);
    assert_refused(Tar::default().symlink("a/out", "..").folder("a/out/b"), "a/out/b", ThroughLink);
    assert_refused(Tar::default().symlink("out", "/etc/passwd").file("out"), "out", ThroughLink);
    assert_refused(Tar::default().symlink("out", "/etc").folder("out/"), "out/", ThroughLink);
    assert_refused(Tar::default().symlink("out", "/x").symlink("out/y", "z"), "out/y", ThroughLink);
    assert!(Tar::default().file("a").hard_link("b", "./a").hard_link("c", "b").check().is_ok());
    for target in ["/etc/passwd", "../x", "missing", ""] {
        assert_refused(Tar::default().file("a").hard_link("b", target), "b", ForeignLink);
    }
    assert_refused(Tar::default().symlink("s", "/etc/passwd").hard_link("b", "s"), "b", ForeignLink);
    assert_refused(
        Tar::default().file("a").pax("linkpath", "/etc/passwd").hard_link("b", "a"),
        "b",
        ForeignLink,
    );
    // A file that became a link, or lies in what became a link, is no target any more.
    assert_refused(
        Tar::default().file("a").symlink("a", "/etc/passwd").hard_link("b", "a"),
        "b",
        ForeignLink,
    );
    assert_refused(Tar::default().file("d/a").symlink("d", "/etc").hard_link("b", "d/a"), "b", ForeignLink);
}

#[test]
fn strange_kinds_are_refused() {
    let kinds = [
        (EntryType::Char, Refused::Special),
        (EntryType::Block, Refused::Special),
        (EntryType::Fifo, Refused::Special),
        (EntryType::GNUSparse, Refused::UnknownKind),
        (EntryType::new(b'V'), Refused::UnknownKind),
        (EntryType::new(b'Z'), Refused::UnknownKind),
    ];
    for (kind, reason) in kinds {
        assert_refused(Tar::default().entry(kind, b"strange", b"", b""), "strange", reason);
    }
    assert_refused(Tar::default().pax("size", "1").file("a"), "PaxHeaders/x", Refused::BadExtension);
    assert_refused(
        Tar::default().pax("GNU.sparse.map", "0,1").file("a"),
        "PaxHeaders/x",
        Refused::UnknownKind,
    );
    let bad = Tar::default().entry(EntryType::XHeader, b"PaxHeaders/x", b"", b"nonsense\n").file("a");
    assert_refused(bad, "PaxHeaders/x", Refused::BadExtension);
    let global = Tar::default().entry(EntryType::XGlobalHeader, b"pax_global_header", b"", b"11 path=/x\n");
    assert_refused(global.file("a"), "pax_global_header", Refused::BadExtension);
    let large = vec![b'x'; 100_000];
    let large = Tar::default().entry(EntryType::GNULongName, b"././@LongLink", b"", &large).file("a");
    assert_refused(large, "././@LongLink", Refused::BadExtension);
}

/// Found by the fuzz target `archive`: what the tar crate or another unpacker refuses, or reads in another way.
#[test]
fn an_extended_header_says_one_thing_of_one_entry() {
    let bad = |tar: Tar, entry: &str| assert_refused(tar, entry, Refused::BadExtension);
    let long = |tar: Tar| tar.entry(EntryType::GNULongName, b"././@LongLink", b"", b"long");
    let comment =
        |tar: Tar| tar.entry(EntryType::XGlobalHeader, b"pax_global_header", b"", b"13 comment=x\n");
    bad(Tar::default().file("a").pax("mtime", "1"), "PaxHeaders/x");
    bad(long(Tar::default().file("a")), "././@LongLink");
    bad(Tar::default().pax("path", "b").pax("path", "c").file("a"), "PaxHeaders/x");
    bad(long(long(Tar::default())).file("a"), "././@LongLink");
    bad(long(Tar::default()).pax("path", "c").file("a"), "PaxHeaders/x");
    bad(comment(Tar::default().pax("path", "c")).file("a"), "pax_global_header");
    let twice = Tar::default().entry(EntryType::XHeader, b"PaxHeaders/x", b"", b"10 path=b\n10 path=c\n");
    bad(twice.file("a"), "PaxHeaders/x");
    let mut unmarked = Tar::default().pax("path", "b").file("a");
    unmarked.0[257..265].fill(0);
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(&unmarked.0[..512]);
    header.set_cksum();
    unmarked.0[..512].copy_from_slice(header.as_bytes());
    bad(unmarked, "PaxHeaders/x");
    assert!(comment(Tar::default()).pax("path", "c").file("a").check().is_ok());
    assert!(long(Tar::default()).pax("mtime", "1").file("a").check().is_ok());
}

#[test]
fn limits_hold() {
    let many = (0..101).fold(Tar::default(), |tar, n| tar.file(&n.to_string()));
    assert!(matches!(many.check(), Err(ArchiveError::TooManyEntries(100))));
    let most = (0..100).fold(Tar::default(), |tar, n| tar.file(&n.to_string()));
    assert!(most.check().is_ok());
    let large = || Tar::default().entry(EntryType::Regular, b"large", b"", &vec![0; (1 << 20) + 1]);
    assert!(matches!(large().check(), Err(ArchiveError::TooLarge(_))));
    let bomb = gzip(&large().end());
    assert!(bomb.len() < 20_000);
    assert!(matches!(check_source_archive(bomb.as_slice(), &LIMITS), Err(ArchiveError::TooLarge(_))));
    // Headers count as well: many empty entries are bytes too.
    let limits = ArchiveLimits { entries: u64::MAX, bytes: 10_000, ..LIMITS };
    let headers = (0..50).fold(Tar::default(), |tar, n| tar.folder(&n.to_string()));
    assert!(matches!(
        check_source_archive(headers.end().as_slice(), &limits),
        Err(ArchiveError::TooLarge(_))
    ));
    // A header that claims what does not follow.
    let mut claims = Tar::default().file("a").0;
    claims[124..136].copy_from_slice(b"77777777777\0");
    let mut header = Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&claims[..512]);
    header.set_cksum();
    claims[..512].copy_from_slice(header.as_bytes());
    assert!(matches!(check_source_archive(claims.as_slice(), &LIMITS), Err(ArchiveError::TooLarge(_))));
}

#[test]
fn what_is_no_archive_is_unreadable_or_empty() {
    assert!(matches!(check_source_archive(&b""[..], &LIMITS), Err(ArchiveError::Empty)));
    assert!(matches!(Tar::default().check(), Err(ArchiveError::Empty)));
    let text = "not a tar at all\n".repeat(100);
    let unreadable = check_source_archive(text.as_bytes(), &LIMITS);
    let Err(error @ ArchiveError::Unreadable { .. }) = unreadable else { panic!("{unreadable:?}") };
    assert_eq!(error.to_string(), "source archive: it is no whole tar archive, gzipped or not");
    let whole = Tar::default().file("first").entry(EntryType::Regular, b"second", b"", &[1; 2000]).end();
    let cut = check_source_archive(&whole[..2500], &LIMITS);
    let Err(ArchiveError::Unreadable { after, .. }) = cut else { panic!("{cut:?}") };
    assert_eq!(after, "second");
    let twice = [whole.clone(), whole.clone()].concat();
    let more = check_source_archive(twice.as_slice(), &LIMITS);
    assert!(matches!(more, Err(ArchiveError::Unreadable { .. })), "{more:?}");
    let packed = gzip(&whole);
    for length in 3..packed.len() {
        let cut = check_source_archive(&packed[..length], &LIMITS);
        assert!(matches!(cut, Err(ArchiveError::Unreadable { .. })), "{length}: {cut:?}");
    }
}

#[test]
fn arbitrary_damage_never_panics() {
    let whole = Tar::default()
        .folder("d/")
        .file("d/f")
        .symlink("s", "d")
        .hard_link("h", "d/f")
        .pax("path", "p")
        .file("q")
        .end();
    for position in 0..whole.len() {
        for value in [0, b'/', b'.', 0xff] {
            let mut damaged = whole.clone();
            damaged[position] = value;
            // Whatever it says, it says it: nothing here may panic or run away.
            let _ = check_source_archive(damaged.as_slice(), &LIMITS);
        }
    }
}

/// One entry with a name that leads somewhere, or nowhere.
fn entry() -> impl Strategy<Value = (EntryType, String, String)> {
    let kind = prop_oneof![
        Just(EntryType::Regular),
        Just(EntryType::Directory),
        Just(EntryType::Symlink),
        Just(EntryType::Link),
    ];
    let part =
        prop_oneof![Just("a"), Just("b"), Just("link"), Just(".."), Just("."), Just(""), Just("outside")];
    let path = || proptest::collection::vec(part.clone(), 1..5).prop_map(|parts| parts.join("/"));
    (kind, path(), path())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_stays_in_its_folder(entries in proptest::collection::vec(entry(), 1..8)) {
        let archive = entries.iter().fold(Tar::default(), |tar, (kind, path, link)| {
            let link = if kind.is_symlink() || kind.is_hard_link() { link.as_str() } else { "" };
            let content: &[u8] = if kind.is_file() { b"content" } else { b"" };
            tar.entry(*kind, path.as_bytes(), link.as_bytes(), content)
        });
        let archive = archive.end();
        if check_source_archive(archive.as_slice(), &LIMITS).is_err() {
            return Ok(());
        }
        let root = TempDir::new().unwrap();
        let (inside, outside) = (root.path().join("inside"), root.path().join("outside"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        // The tool that the build runner unpacks with.
        let mut tar = Command::new("tar")
            .args(["--extract", "--no-same-owner", "--directory"])
            .arg(&inside)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It may give up early, on a file where a folder has to be.
        let _ = tar.stdin.take().unwrap().write_all(&archive);
        tar.wait().unwrap();
        prop_assert!(std::fs::read_dir(&outside).unwrap().next().is_none(), "{entries:?}");
        prop_assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 2, "{:?}", entries);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = check_source_archive(bytes.as_slice(), &LIMITS);
    }
}
