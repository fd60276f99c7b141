//! Layers made by hand, as a converter would leave them: a tree with owners, whiteouts and opaque folders, packed as root.

use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use paddock_core::artefact::ProgramUser;
use paddock_core::{LayerDigest, VolumeId};
use paddock_runtime::{Access, ContainerSpec, Disk, Layer, Mount, MountSource, Root, Runtime, VolumeKind};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::Fixture;

/// A tree that becomes a layer.
pub struct Tree(PathBuf);

impl Tree {
    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// A folder with its mode and owner; `/` is the root. Missing parents are root's.
    pub fn folder(&self, path: &str, mode: u32, owner: u32) -> &Self {
        let path = self.at(path);
        std::fs::create_dir_all(&path).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        self
    }

    /// A file of root's that everybody may read.
    pub fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Another mode and owner for what is there.
    pub fn is(&self, path: &str, mode: u32, owner: u32) -> &Self {
        let path = self.at(path);
        lchown(&path, Some(owner), Some(owner)).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        self
    }

    /// A symbolic link.
    pub fn link(&self, path: &str, target: impl AsRef<Path>) -> &Self {
        symlink(target, self.at(path)).unwrap();
        self
    }

    /// A second name for a file.
    pub fn hard_link(&self, path: &str, other: &str) -> &Self {
        std::fs::hard_link(self.at(other), self.at(path)).unwrap();
        self
    }

    /// What says that nothing below is to be seen at this path.
    pub fn whiteout(&self, path: &str) -> &Self {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        self
    }

    /// Something that is no file of text.
    pub fn node(&self, path: &str, kind: FileType, device: u64) -> &Self {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o666), device).unwrap();
        self
    }

    /// A folder that hides the one below, by both names that overlay has for that.
    pub fn opaque(&self, path: &str) -> &Self {
        let path = self.at(path);
        std::fs::create_dir_all(&path).unwrap();
        for name in ["trusted.overlay.opaque", "user.overlay.opaque"] {
            rustix::fs::setxattr(&path, name, b"y", XattrFlags::empty()).unwrap();
        }
        self
    }

    /// Programs of the host, with the libraries and the loader that they take.
    pub fn programs(&self, paths: &[&str]) -> &Self {
        for path in paths {
            self.copy(path);
            let listed = Command::new("ldd").arg(path).output().unwrap();
            let listed = String::from_utf8(listed.stdout).unwrap();
            let files = listed.split_whitespace().filter(|word| word.starts_with('/'));
            files.for_each(|file| self.copy(file));
        }
        self
    }

    fn copy(&self, path: &str) {
        let to = self.at(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    }
}

/// What a container needs to run lines, and to say what it sees, without any stack.
pub fn tools(tree: &Tree) {
    let programs =
        ["sh", "cat", "ls", "stat", "id", "touch", "mkdir", "rm", "mv", "ln", "chmod", "chown", "find"];
    let paths =
        programs.map(|name| if name == "find" { "/usr/bin/find".to_owned() } else { format!("/bin/{name}") });
    tree.programs(&paths.each_ref().map(String::as_str));
}

impl Fixture {
    /// A layer of what is put into a tree.
    pub fn layer(&self, make: impl FnOnce(&Tree)) -> Layer {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let tree = Tree(super::folder_of(&self.config).join(format!("tree-{number}")));
        std::fs::create_dir(&tree.0).unwrap();
        make(&tree);
        let mut digest = [0xee; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        let digest = LayerDigest::of_sha256(digest);
        let file = self.config.images.as_ref().unwrap().layers.path_of(&digest);
        let made = Command::new("mkfs.erofs").arg("--quiet").args([&file, &tree.0]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::remove_dir_all(&tree.0).unwrap();
        Layer::Stored(digest)
    }

    /// A container of an image's layers that runs a line with the layer's own shell.
    pub fn image(&self, layers: &[Layer], script: &str) -> ContainerSpec {
        ContainerSpec {
            root: Root::Image,
            user: ProgramUser::IMAGE,
            layers: layers.to_vec(),
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            working_dir: "/".to_owned(),
            ..self.spec("")
        }
    }

    /// A step that makes a layer, as root, on a disk of its own.
    pub fn step(&self, layers: &[Layer], script: &str) -> ContainerSpec {
        ContainerSpec { root: Root::Build, user: ProgramUser::ROOT, ..self.image(layers, script) }
    }

    /// A volume, as builds have it.
    pub async fn volume(&self) -> VolumeId {
        let id = VolumeId::from_uuid(uuid::Uuid::now_v7());
        let kind = VolumeKind::Scratch { limit_bytes: Some(128 << 20) };
        self.runtime.make_volume(id, kind).await.unwrap();
        id
    }

    /// Runs a container and wants it to succeed; what it printed.
    pub async fn printed(&self, spec: ContainerSpec) -> String {
        let command = spec.command.clone();
        let (exit, text) = self.run(spec).await;
        assert_eq!(exit.status, 0, "{command:?}: {text}");
        text
    }
}

/// The folder of a volume that a container writes to.
pub fn disk(id: VolumeId, folder: &str) -> Disk {
    Disk::Volume { id, folder: folder.to_owned() }
}

/// What a step left in its folder of a volume, to be read.
pub fn upper(id: VolumeId, folder: &str, target: &str) -> Mount {
    let source = MountSource::Volume { id, folder: format!("{folder}/upper"), access: Access::ReadOnly };
    Mount { target: target.to_owned(), source }
}
