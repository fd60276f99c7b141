//! The files that pin what an app depends on, by their digests, as the source has them.

use std::fs::File;
use std::io;
use std::path::Path;

use paddock_core::build_record::FactKind;
use paddock_core::hex;
use sha2::{Digest, Sha256};

use super::notes::Notebook;

/// Their names at the root of an app, whichever buildpack reads them.
const NAMES: [&str; 22] = [
    "Cargo.lock",
    "Gemfile.lock",
    "Pipfile.lock",
    "bun.lock",
    "composer.lock",
    "deno.lock",
    "go.sum",
    "gradle.lockfile",
    "mix.lock",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "package.json",
    "packages.lock.json",
    "pdm.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "pom.xml",
    "pyproject.toml",
    "requirements.txt",
    "static.json",
    "uv.lock",
    "yarn.lock",
];

/// Notes those that there are. A link is not followed: it may lead anywhere.
pub(super) fn note(notes: &Notebook, build_dir: &Path) {
    for name in NAMES {
        let path = build_dir.join(name);
        let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        if is_file && let Ok(digest) = digest(&path) {
            notes.fact(FactKind::LockFile, name, &format!("sha256:{digest}"));
        }
    }
}

/// The SHA-256 of a file, however large it is.
pub(super) fn digest(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}
