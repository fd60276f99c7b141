use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::copy::{self, Places};
use super::pick;
use super::task::{Copy, Look, NewFolder, Selection, Source};

/// A context, a bundle and the root of an image.
struct Bench {
    folder: TempDir,
    places: Places,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let places = Places { context: path("context"), bundle: path("bundle"), root: path("root") };
        for place in [&places.context, &places.bundle, &places.root] {
            fs::create_dir(place).unwrap();
        }
        Self { folder, places }
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let bench = Self::new();
        for (name, text) in files {
            write(&bench.places.context.join(name), text);
        }
        bench
    }

    fn copy(&self, sources: &[&str], to: &str, change: impl FnOnce(&mut Copy)) -> Result<(), String> {
        let mut task = task(sources, to);
        change(&mut task);
        copy::copy(&self.places, &task).map(|_| ())
    }

    /// Everything in the image's root: paths, and what files and links hold.
    fn image(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.places.root, Path::new(""), &mut found);
        found
    }

    fn look(&self, paths: &[&str], ignore: &str) -> Result<String, String> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let selections = vec![Selection { paths, excludes: Vec::new() }];
        pick::look(&self.places.context, &Look { ignore: ignore.into(), selections }).remove(0)
    }
}

fn task(sources: &[&str], to: &str) -> Copy {
    Copy {
        before: Vec::new(),
        keyword: "COPY".into(),
        sources: sources.iter().map(|path| Source::Path((*path).into())).collect(),
        excludes: Vec::new(),
        ignore: String::new(),
        to: to.into(),
        owner: None,
        mode: None,
        keeps_owners: false,
        unpacks: false,
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn list(root: &Path, path: &Path, found: &mut Vec<String>) {
    let mut names: Vec<_> =
        fs::read_dir(root.join(path)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let path = path.join(name);
        let on_disk = root.join(&path);
        let kind = on_disk.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            found.push(format!("{}/", path.display()));
            list(root, &path, found);
        } else if kind.is_symlink() {
            found.push(format!("{} -> {}", path.display(), fs::read_link(on_disk).unwrap().display()));
        } else {
            found.push(format!("{}={}", path.display(), fs::read_to_string(on_disk).unwrap()));
        }
    }
}

#[test]
fn files_go_into_folders_and_the_content_of_folders_goes_into_their_place() {
    let files = [("a", "1"), ("b.txt", "2"), ("dir/c", "3"), ("dir/sub/d", "4"), (".hidden", "5")];
    for (sources, to, expected) in [
        (&["a"][..], "/x", &["x=1"][..]),
        (&["a"], "/x/", &["x/", "x/a=1"]),
        (&["a"], "/x/y/z", &["x/", "x/y/", "x/y/z=1"]),
        (&["dir"], "/x", &["x/", "x/c=3", "x/sub/", "x/sub/d=4"]),
        (&["dir/"], "/", &["c=3", "sub/", "sub/d=4"]),
        (&["a", "b.txt", "dir"], "/x/", &["x/", "x/a=1", "x/b.txt=2", "x/c=3", "x/sub/", "x/sub/d=4"]),
        (&["*"], "/x/", &["x/", "x/.hidden=5", "x/a=1", "x/b.txt=2", "x/c=3", "x/sub/", "x/sub/d=4"]),
        (&["*.txt"], "/x", &["x=2"]),
        (&["*/c"], "/x", &["x=3"]),
        (&["[ab]"], "/x", &["x=1"]),
        (&["none*"], "/x/", &[]),
        (&["dir/*"], "/x/", &["x/", "x/c=3", "x/d=4"]),
        (
            &[""],
            "/x",
            &[
                "x/",
                "x/.hidden=5",
                "x/a=1",
                "x/b.txt=2",
                "x/dir/",
                "x/dir/c=3",
                "x/dir/sub/",
                "x/dir/sub/d=4",
            ],
        ),
    ] {
        let bench = Bench::with(&files);
        bench.copy(sources, to, |_| {}).unwrap();
        assert_eq!(bench.image(), expected, "{sources:?} to {to}");
    }
    let bench = Bench::with(&files);
    assert_eq!(
        bench.copy(&["a", "b.txt"], "/x", |_| {}),
        Err("COPY of more than one file needs a folder to copy to: a path that ends with /".to_owned())
    );
    let problem = bench.copy(&["none"], "/x", |_| {}).unwrap_err();
    assert_eq!(
        problem,
        "COPY none: there is no none in the folder that is built, the one with the Dockerfile, of what was pushed"
    );
    let problem = bench.copy(&["b.txt"], "/x", |copy| copy.ignore = "*.txt".to_owned()).unwrap_err();
    assert_eq!(problem, "COPY b.txt: b.txt is left out by .dockerignore");
    // Into a folder that is there a file goes without a slash, too.
    fs::create_dir(bench.places.root.join("x")).unwrap();
    bench.copy(&["a", "b.txt"], "/x", |_| {}).unwrap();
    assert_eq!(bench.image(), ["x/", "x/a=1", "x/b.txt=2"]);
}

#[test]
fn what_is_there_is_replaced_by_its_own_kind_alone() {
    let bench = Bench::with(&[("f", "new"), ("dir/sub/f", "new"), ("dir/link/f", "new")]);
    let root = &bench.places.root;
    write(&root.join("f"), "old");
    write(&root.join("dir/sub/kept"), "old");
    write(&root.join("dir/sub/f"), "old");
    fs::create_dir(root.join("real")).unwrap();
    symlink("../real", root.join("dir/link")).unwrap();
    fs::set_permissions(root.join("dir/sub"), PermissionsExt::from_mode(0o700)).unwrap();
    bench.copy(&["f"], "/f", |_| {}).unwrap();
    bench.copy(&["dir"], "/dir", |_| {}).unwrap();
    let expected = [
        "dir/",
        "dir/link -> ../real",
        "dir/sub/",
        "dir/sub/f=new",
        "dir/sub/kept=old",
        "f=new",
        "real/",
        "real/f=new",
    ];
    assert_eq!(bench.image(), expected);
    assert_eq!(
        fs::metadata(root.join("dir/sub")).unwrap().mode() & 0o777,
        0o700,
        "a folder keeps what it has"
    );
    let said = bench.copy(&["f"], "/dir/sub/f/", |_| {}).unwrap_err();
    assert!(said.ends_with("dir/sub/f is a file in the image, not a folder"), "{said}");
    write(&bench.places.context.join("clash/sub"), "");
    let said = bench.copy(&["clash"], "/dir", |_| {}).unwrap_err();
    assert!(said.ends_with("dir/sub is a folder in the image and cannot become a file"), "{said}");
}

#[test]
fn no_link_of_the_context_leads_out_of_it() {
    let bench = Bench::with(&[("in/file", "inside"), ("etc/passwd", "of the context")]);
    let context = &bench.places.context;
    write(&bench.folder.path().join("outside"), "secret");
    symlink("/etc/passwd", context.join("absolute")).unwrap();
    symlink("../../../../../../outside", context.join("climbing")).unwrap();
    symlink("in", context.join("folder")).unwrap();
    symlink("loop", context.join("loop")).unwrap();
    symlink("../../outside", context.join("in/out")).unwrap();
    bench.copy(&["absolute"], "/a", |_| {}).unwrap();
    bench.copy(&["folder"], "/b/", |_| {}).unwrap();
    let expected = ["a=of the context", "b/", "b/file=inside", "b/out -> ../../outside"];
    assert_eq!(bench.image(), expected, "links in a folder stay links");
    for path in ["climbing", "loop", "folder/out", "in/../../outside"] {
        assert!(bench.copy(&[path], "/c", |_| {}).is_err(), "{path}");
    }
}

#[test]
fn owners_modes_and_dates_are_those_that_are_asked_for() {
    let bench = Bench::with(&[("dir/run.sh", "#!"), ("dir/f", "")]);
    let (context, root) = (&bench.places.context, &bench.places.root);
    write(&root.join("etc/passwd"), "app:x:1001:1002::/:\n");
    fs::set_permissions(context.join("dir/run.sh"), PermissionsExt::from_mode(0o4750)).unwrap();
    std::os::unix::fs::chown(context.join("dir/run.sh"), Some(1000), Some(1000)).unwrap();
    let date = UNIX_EPOCH + Duration::from_secs(1_000);
    for name in ["dir/run.sh", "dir"] {
        fs::File::open(context.join(name)).unwrap().set_modified(date).unwrap();
    }
    let about = |path: &str| {
        let found = root.join(path).symlink_metadata().unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    };
    bench.copy(&["dir"], "/a", |_| {}).unwrap();
    assert_eq!(about("a/run.sh"), (0, 0, 0o750), "the files of a context are root's");
    assert_eq!(
        (root.join("a/run.sh").metadata().unwrap().mtime(), root.join("a").metadata().unwrap().mtime()),
        (1_000, 1_000)
    );
    bench.copy(&["dir"], "/b/c", |copy| copy.owner = Some("app".into())).unwrap();
    for path in ["b", "b/c", "b/c/run.sh", "b/c/f"] {
        assert_eq!((about(path).0, about(path).1), (1001, 1002), "{path}");
    }
    bench.copy(&["dir"], "/d", |copy| copy.mode = Some("u=rwX,go=".into())).unwrap();
    assert_eq!((about("d").2, about("d/run.sh").2, about("d/f").2), (0o700, 0o700, 0o600));
    let said = bench.copy(&["dir"], "/e", |copy| copy.owner = Some("node:node".into())).unwrap_err();
    assert_eq!(said, "there is no user node in the image's /etc/passwd");
    let before = vec![NewFolder { path: "/w/x".into(), user: "1001".into() }];
    bench.copy(&["dir/f"], "/w/x/", |copy| copy.before = before).unwrap();
    assert_eq!((about("w"), about("w/x"), about("w/x/f").0), ((1001, 1002, 0o755), (1001, 1002, 0o755), 0));
}

#[test]
fn what_is_ignored_is_not_there() {
    let files =
        [("keep", ""), ("drop", ""), ("node_modules/a/b", ""), ("docs/x.md", ""), ("docs/README.md", "")];
    let ignore = "drop\nnode_modules\ndocs/*\n!docs/README.md\n";
    let bench = Bench::with(&files);
    bench.copy(&[""], "/", |copy| copy.ignore = ignore.into()).unwrap();
    assert_eq!(bench.image(), ["docs/", "docs/README.md=", "keep="]);
    for path in ["drop", "node_modules", "node_modules/a/b"] {
        assert!(bench.copy(&[path], "/x", |copy| copy.ignore = ignore.into()).is_err(), "{path}");
    }
    symlink("drop", bench.places.context.join("link")).unwrap();
    assert!(bench.copy(&["link"], "/x", |copy| copy.ignore = ignore.into()).is_err(), "nor behind a link");
    let bench = Bench::with(&files);
    bench
        .copy(&["docs", "keep"], "/", |copy| copy.excludes = vec!["*.md".into(), "!README.md".into()])
        .unwrap();
    assert_eq!(bench.image(), ["README.md=", "keep="]);
}

#[test]
fn texts_and_what_was_taken_elsewhere_are_copied() {
    let bench = Bench::new();
    write(&bench.places.bundle.join("f10/last"), "2");
    write(&bench.places.bundle.join("f2/first"), "1");
    write(&bench.places.bundle.join("d3/inner"), "3");
    std::os::unix::fs::chown(bench.places.bundle.join("f2/first"), Some(7), Some(8)).unwrap();
    bench.copy(&[], "/x/", |copy| (copy.sources, copy.keeps_owners) = (vec![Source::Bundle], true)).unwrap();
    assert_eq!(bench.image(), ["x/", "x/first=1", "x/inner=3", "x/last=2"]);
    assert_eq!(bench.places.root.join("x/first").metadata().unwrap().uid(), 7);
    let text = Source::Text { name: "hello".into(), text: "hi\n".into() };
    bench.copy(&[], "/t", |copy| copy.sources = vec![text]).unwrap();
    assert_eq!(fs::read_to_string(bench.places.root.join("t")).unwrap(), "hi\n");
}

#[test]
fn archives_are_unpacked_where_they_are_asked_to_be() {
    let bench = Bench::with(&[("tree/a/b", "1"), ("not.tar.gz", "no archive")]);
    let context = bench.places.context.clone();
    let pack = |name: &str, options: &[&str]| {
        let status = Command::new("tar")
            .args(["--create", "--owner=5", "--group=6"])
            .args(options)
            .arg("--file")
            .arg(context.join(name))
            .arg("-C")
            .arg(context.join("tree"))
            .arg("a")
            .status();
        assert!(status.unwrap().success());
    };
    pack("plain.tar", &[]);
    pack("zipped.tgz", &["--gzip"]);
    fs::write(context.join("squeezed.tar.xz"), b"\xfd7zXZ\0...").unwrap();
    let unpacking = |copy: &mut Copy| (copy.keyword, copy.unpacks) = ("ADD".into(), true);
    bench.copy(&["plain.tar"], "/p/", unpacking).unwrap();
    bench.copy(&["zipped.tgz", "not.tar.gz"], "/z/", unpacking).unwrap();
    bench
        .copy(&["plain.tar"], "/o/", |copy| {
            unpacking(copy);
            copy.owner = Some("9:9".into());
        })
        .unwrap();
    bench.copy(&["plain.tar"], "/kept", |_| {}).unwrap();
    let image = bench.image();
    let expected = [
        "o/",
        "o/a/",
        "o/a/b=1",
        "p/",
        "p/a/",
        "p/a/b=1",
        "z/",
        "z/a/",
        "z/a/b=1",
        "z/not.tar.gz=no archive",
    ];
    assert_eq!(
        image.iter().filter(|line| !line.starts_with("kept")).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    let uid = |path: &str| bench.places.root.join(path).metadata().unwrap().uid();
    assert_eq!((uid("p/a/b"), uid("o/a/b"), uid("kept")), (5, 9, 0));
    let said = bench.copy(&["squeezed.tar.xz"], "/s/", unpacking).unwrap_err();
    assert_eq!(said, "ADD does not unpack xz, which squeezed.tar.xz is: COPY it and unpack it with RUN tar");
}

#[test]
fn files_of_an_archive_whose_owner_no_container_has_are_roots() {
    let bench = Bench::with(&[]);
    let header = |kind, mode, uid, gid| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(5);
        header
    };
    let mut archive = tar::Builder::new(fs::File::create(bench.places.context.join("a.tar")).unwrap());
    for (name, kind, mode, uid, gid) in [
        ("d/", tar::EntryType::Directory, 0o500, 70_000, 65_535),
        ("d/f", tar::EntryType::Regular, 0o4755, 7, 1 << 40),
        ("d/g", tar::EntryType::Regular, 0o644, 65_535, 8),
    ] {
        let mut header = header(kind, mode, uid, gid);
        header.set_size(0);
        archive.append_data(&mut header, name, &b""[..]).unwrap();
    }
    let mut link = header(tar::EntryType::Symlink, 0o777, 70_000, 70_000);
    link.set_size(0);
    archive.append_link(&mut link, "d/l", "/etc/passwd").unwrap();
    archive.into_inner().unwrap();
    let add = |to: &str, owner: Option<&str>| {
        let mut task = task(&["a.tar"], to);
        (task.keyword, task.unpacks, task.owner) = ("ADD".into(), true, owner.map(str::to_owned));
        copy::copy(&bench.places, &task).unwrap().sentences()
    };
    assert_eq!(add("/x/", None), ["owner above 65535: 3 made 0"]);
    let about = |path: &str| {
        let found = bench.places.root.join(path).symlink_metadata().unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777, found.mtime())
    };
    let (uid, gid, mode, _) = about("x/d");
    assert_eq!(((uid, gid, mode), about("x/d/f")), ((0, 65_535, 0o500), (7, 0, 0o4755, 5)));
    assert_eq!((about("x/d/g"), about("x/d/l").0), ((65_535, 8, 0o644, 5), 0));
    assert_eq!(add("/y/", Some("9:9")), [""; 0], "whose they were does not count");
    assert_eq!(about("y/d/f").0, 9);
}

#[test]
fn the_same_files_have_the_same_digest_whenever_they_were_written() {
    let bench = Bench::with(&[("a/b", "1"), ("a/c", "2"), ("drop", "")]);
    let context = &bench.places.context;
    let first = bench.look(&["a"], "").unwrap();
    let old = UNIX_EPOCH + Duration::from_secs(5);
    fs::File::open(context.join("a/b")).unwrap().set_modified(old).unwrap();
    assert_eq!(bench.look(&["a"], "").unwrap(), first);
    assert_ne!(bench.look(&["a/b"], "").unwrap(), first);
    let all = bench.look(&[""], "drop").unwrap();
    fs::write(context.join("drop"), "other").unwrap();
    assert_eq!(bench.look(&[""], "drop").unwrap(), all, "what is ignored does not count");
    fs::set_permissions(context.join("a/b"), PermissionsExt::from_mode(0o755)).unwrap();
    let executable = bench.look(&["a"], "").unwrap();
    assert_ne!(executable, first);
    fs::write(context.join("a/b"), "3").unwrap();
    assert_ne!(bench.look(&["a"], "").unwrap(), executable);
    fs::rename(context.join("a/c"), context.join("a/d")).unwrap();
    assert!(bench.look(&["none"], "").is_err());
    assert!(bench.look(&["a"], "[").unwrap_err().starts_with(".dockerignore: line 1"));
}
