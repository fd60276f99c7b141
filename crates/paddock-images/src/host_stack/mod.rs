//! The base of the `host` stack: a generated root that goes over the host's own `/usr`.
//!
//! Everything in it is either written here or on the allow-list in [`etc`]; nothing else of the host gets in, and of
//! the listed files only those that every user of the host can read and that hold no private key.

mod etc;
mod tree;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use paddock_core::hex;
use paddock_core::stack::StackVersion;
use sha2::{Digest, Sha256};

use self::etc::HostRoot;
use self::tree::Tree;

/// Raise it when what is generated changes, so that a new version is made on unchanged hosts.
const GENERATOR_VERSION: u32 = 1;
const PREFIX: &str = "host-";
const UNFINISHED: &str = ".new-";
/// The dyno's user and group.
const DYNO: u32 = 1000;
/// Top-level names that a usr-merged system has as links into `/usr`.
const USR_MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"];

/// The base folder of one version of the `host` stack. Owners in it are plain ids (0 and 1000).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStack {
    /// The folder to lay under dynos, with an empty `/usr` to mount the host's on.
    pub folder: PathBuf,
    /// Twelve hex digits that change with the host's packages, with the copied configuration and with the generator.
    pub version: String,
}

/// The base of the `host` stack could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HostStackError {
    /// Owners can only be set by root.
    #[error("the host stack can only be made by root")]
    NotRoot,
    /// The host has programs outside of `/usr`.
    #[error("the host stack needs a host with merged /usr: {0} is not a link into /usr")]
    NotUsrMerged(PathBuf),
    /// Something on the host could not be read.
    #[error("could not read {path} for the host stack")]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder could not be written.
    #[error("could not write the host stack at {path}")]
    Write {
        /// Which part of it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl HostStack {
    /// Makes the base for the host as it is now, below `stacks`, unless it is there already. `host_root` is `/`.
    ///
    /// # Errors
    /// [`HostStackError`]; what stands is untouched then.
    pub fn ensure(host_root: &Path, stacks: &Path) -> Result<Self, HostStackError> {
        if !rustix::process::geteuid().is_root() {
            return Err(HostStackError::NotRoot);
        }
        let host = HostRoot::open(host_root)?;
        let tree = plan(&host)?;
        let version = version(&host, &tree)?;
        let folder = stacks.join(format!("{PREFIX}{version}"));
        if !folder.is_dir() {
            let unfinished = stacks.join(format!("{UNFINISHED}{version}"));
            tree.write(&unfinished, &folder)
                .map_err(|(path, source)| HostStackError::Write { path, source })?;
        }
        Ok(Self { folder, version })
    }

    /// The base folder of a version of the stack: of the present one, where that one is not kept any more.
    #[must_use]
    pub fn base_of(&self, stack: &StackVersion) -> PathBuf {
        let named = self.folder.with_file_name(format!("{PREFIX}{}", stack.version));
        let is_name = stack.version.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_name && named.is_dir() { named } else { self.folder.clone() }
    }

    /// Removes versions that are not in `keep`, and what a crash left unfinished. Keep every version that a release
    /// or a running dyno names.
    ///
    /// # Errors
    /// [`HostStackError::Write`].
    pub fn collect(stacks: &Path, keep: &HashSet<String>) -> Result<(), HostStackError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| HostStackError::Write { path, source }
        };
        let entries = match std::fs::read_dir(stacks) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed(stacks))?,
        };
        for entry in entries {
            let entry = entry.map_err(failed(stacks))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_old = name.strip_prefix(PREFIX).is_some_and(|version| !keep.contains(version));
            if is_old || name.starts_with(UNFINISHED) {
                tree::remove(&entry.path()).map_err(failed(&entry.path()))?;
            }
        }
        Ok(())
    }
}

/// Everything that the base holds.
fn plan(host: &HostRoot) -> Result<Tree, HostStackError> {
    let mut tree = Tree::default();
    for folder in ["", "dev", "etc", "proc", "run", "sys", "usr", "var"] {
        tree.folder(folder, 0o755, 0);
    }
    tree.folder("app", 0o755, DYNO);
    for folder in ["tmp", "var/tmp"] {
        tree.folder(folder, 0o1777, 0);
    }
    tree.link("var/run", "/run");
    for name in USR_MERGED {
        if let Some(target) = usr_link(host, name)? {
            tree.link(name, &target);
        }
    }
    etc::generate(&mut tree);
    etc::copy(host, &mut tree)?;
    Ok(tree)
}

/// The target of one top-level link; `None` where the host does not have that name.
fn usr_link(host: &HostRoot, name: &str) -> Result<Option<String>, HostStackError> {
    let refused = || HostStackError::NotUsrMerged(Path::new("/").join(name));
    if !host.exists(name) {
        // Without these no program starts; the others are for other architectures.
        return if matches!(name, "bin" | "sbin" | "lib") { Err(refused()) } else { Ok(None) };
    }
    let target = host.link_target(name).ok_or_else(refused)?;
    let inside = target.trim_start_matches('/');
    if inside.starts_with("usr/") && !inside.contains("..") {
        Ok(Some(inside.to_owned()))
    } else {
        Err(refused())
    }
}

/// Twelve hex digits over the installed packages, the generator and what was copied.
fn version(host: &HostRoot, tree: &Tree) -> Result<String, HostStackError> {
    let mut hash = Sha256::new();
    hash.update(GENERATOR_VERSION.to_le_bytes());
    hash.update(host.packages()?);
    tree.hash(&mut hash);
    Ok(hex(&hash.finalize()[..6]))
}
