//! Images made of files of this machine: a root file system is a folder, an image an OCI layout beside it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::outcome::run;
use crate::tools::paddockd;

/// What the shell and Python of a root need to be of use.
const PROGRAMS: [&str; 12] = [
    "/bin/dash",
    "/bin/cat",
    "/bin/ls",
    "/bin/mkdir",
    "/bin/rm",
    "/bin/touch",
    "/bin/sleep",
    "/bin/chmod",
    "/bin/chown",
    "/usr/bin/env",
    "/usr/bin/id",
    "/usr/bin/head",
];

/// What a stack needs, of which nothing is Python's.
const OF_STACKS: [&str; 9] = [
    "/bin/bash",
    "/bin/cp",
    "/bin/gzip",
    "/bin/mkdir",
    "/bin/tar",
    "/usr/bin/curl",
    "/usr/bin/env",
    "/usr/bin/git",
    "/usr/bin/timeout",
];

/// A folder that is to be the root file system of an image.
#[derive(Debug)]
pub struct Root {
    folder: TempDir,
}

impl Root {
    /// Nothing but what is written to it.
    #[must_use]
    pub fn empty() -> Root {
        Root { folder: TempDir::with_prefix("paddock-root-").unwrap() }
    }

    /// A shell, a few programs, and this machine's Python with pip.
    ///
    /// # Panics
    /// When this machine lacks them.
    #[must_use]
    pub fn with_python() -> Root {
        let root = Root::empty();
        for folder in ["etc/ssl/certs", "tmp", "usr/lib/python3/dist-packages", "var/tmp", "root"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let python = fs::canonicalize("/usr/bin/python3").unwrap();
        for program in PROGRAMS.iter().map(PathBuf::from).chain([python.clone()]) {
            root.take_program(&program);
        }
        symlink("dash", root.path().join("bin/sh")).unwrap();
        for name in ["python3", "python"] {
            symlink(python.file_name().unwrap(), root.path().join("usr/bin").join(name)).unwrap();
        }
        let standard = Path::new("/usr/lib").join(python.file_name().unwrap());
        root.take_tree(
            &standard,
            &["test", "idlelib", "tkinter", "lib2to3", "__pycache__", "EXTERNALLY-MANAGED"],
        );
        for package in ["pip", "setuptools", "pkg_resources", "wheel"] {
            let package = Path::new("/usr/lib/python3/dist-packages").join(package);
            if package.exists() {
                root.take_tree(&package, &["__pycache__"]);
            }
        }
        for library in extension_libraries(&standard.join("lib-dynload")) {
            root.take(&library);
        }
        root.take(Path::new("/etc/ssl/certs/ca-certificates.crt"));
        root.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n");
        root.write("etc/group", "root:x:0:\nnogroup:x:65534:\n");
        root
    }

    /// What a stack has: the shells, what builds need, and what the platform's own program is linked with.
    ///
    /// # Panics
    /// When this machine lacks them.
    #[must_use]
    pub fn of_stack() -> Root {
        let root = Root::empty();
        root.take_what_stacks_need();
        root
    }

    /// Adds that to it.
    ///
    /// # Panics
    /// When this machine lacks something of it.
    pub fn take_what_stacks_need(&self) {
        for program in OF_STACKS {
            self.take_program(Path::new(program));
        }
        // What clones a buildpack, but nothing that only fetches from elsewhere.
        let link = self.path().join("usr/bin/git-upload-pack");
        let _ = fs::remove_file(&link);
        symlink("git", link).unwrap();
        libraries_of(&paddockd()).iter().for_each(|library| self.take(library));
        let shell = self.path().join("bin/sh");
        if !shell.exists() {
            symlink("bash", shell).unwrap();
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Copies a program with the libraries that it is linked with.
    fn take_program(&self, program: &Path) {
        self.take(program);
        libraries_of(program).iter().for_each(|library| self.take(library));
    }

    /// Writes a file, and the folders that it lies in.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Copies a file of this machine to the same place, where it is not yet.
    fn take(&self, file: &Path) {
        let target = self.path().join(file.strip_prefix("/").unwrap());
        if !target.exists() {
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(fs::canonicalize(file).unwrap(), target).unwrap();
        }
    }

    fn take_tree(&self, folder: &Path, without: &[&str]) {
        let target = self.path().join(folder.parent().unwrap().strip_prefix("/").unwrap());
        fs::create_dir_all(&target).unwrap();
        let mut copy = Command::new("tar");
        copy.arg("--create").arg("--directory").arg(folder.parent().unwrap());
        copy.args(without.iter().map(|name| format!("--exclude={name}"))).arg(folder.file_name().unwrap());
        let mut copied = copy.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut unpack = Command::new("tar");
        unpack.args(["--extract", "--directory"]).arg(&target).stdin(copied.stdout.take().unwrap());
        assert!(
            unpack.status().unwrap().success() && copied.wait().unwrap().success(),
            "{}",
            folder.display()
        );
    }

    /// An image of it with this configuration (`Cmd`, `Env`, `ExposedPorts` and so on).
    #[must_use]
    pub fn image(&self, config: &Value) -> Image {
        let image = Image { folder: TempDir::with_prefix("paddock-image-").unwrap() };
        let layer = image.layout().join("layer.tgz");
        let tar = image.layout().join("layer.tar");
        fs::create_dir_all(image.layout().join("blobs/sha256")).unwrap();
        let mut pack = Command::new("tar");
        pack.args(["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--file"]);
        pack.arg(&tar).arg("--directory").arg(self.path()).arg(".");
        succeed(pack);
        let diff_id = digest_of(&tar);
        let mut compress = Command::new("sh");
        compress.args(["-c", "gzip --no-name --fast < \"$0\" > \"$1\""]).arg(&tar).arg(&layer);
        succeed(compress);
        fs::remove_file(tar).unwrap();
        let layer = image.keep(&layer, "application/vnd.oci.image.layer.v1.tar+gzip");
        let written = json!({
            "architecture": "amd64", "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        let config = image.keep_json(&written, "application/vnd.oci.image.config.v1+json");
        let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": [layer] });
        let manifest = image.keep_json(&manifest, "application/vnd.oci.image.manifest.v1+json");
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        fs::write(image.layout().join("index.json"), index.to_string()).unwrap();
        fs::write(image.layout().join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
        image
    }
}

/// An image as an OCI layout.
#[derive(Debug)]
pub struct Image {
    folder: TempDir,
}

impl Image {
    /// The folder of the layout.
    #[must_use]
    pub fn layout(&self) -> &Path {
        self.folder.path()
    }

    /// The digest of its configuration.
    #[must_use]
    pub fn id(&self) -> String {
        let read = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let index = read(self.layout().join("index.json"));
        let manifest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
        let manifest = read(self.layout().join("blobs").join(manifest));
        manifest["config"]["digest"].as_str().unwrap().to_owned()
    }

    /// Moves a file to where its digest says, and describes it.
    fn keep(&self, file: &Path, media_type: &str) -> Value {
        let digest = digest_of(file);
        let size = fs::metadata(file).unwrap().len();
        fs::rename(file, self.layout().join("blobs").join(digest.replace(':', "/"))).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    }

    fn keep_json(&self, value: &Value, media_type: &str) -> Value {
        let file = self.layout().join("new.json");
        fs::write(&file, value.to_string()).unwrap();
        self.keep(&file, media_type)
    }
}

fn succeed(command: Command) {
    let outcome = run(command, b"", Duration::from_secs(120));
    assert_eq!(outcome.status, 0, "{}", outcome.text());
}

fn digest_of(file: &Path) -> String {
    let mut hash = Command::new("sha256sum");
    hash.arg(file);
    let outcome = run(hash, b"", Duration::from_secs(60));
    format!("sha256:{}", outcome.stdout.split_whitespace().next().unwrap())
}

/// The libraries that a program is linked with, the loader too.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let mut list = Command::new("ldd");
    list.arg(program);
    let outcome = run(list, b"", Duration::from_secs(60));
    let paths = outcome.stdout.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(|path| PathBuf::from(path.trim_end_matches(':'))).collect()
}

/// Those that Python's own extensions are linked with.
fn extension_libraries(folder: &Path) -> Vec<PathBuf> {
    let extensions = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    extensions.flat_map(|extension| libraries_of(&extension)).collect()
}
