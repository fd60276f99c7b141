//! A stand-in for docker's client: it writes down what it is asked, and pushes and pulls by skopeo what docker would.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::container::Image;
use crate::server::Server;

/// Where it is, what it was asked, what it pushes.
#[derive(Debug)]
pub struct Docker {
    folder: TempDir,
    /// What it builds.
    image: RefCell<Option<Image>>,
}

/// The registry's name is one that nobody looks up here: its server is this machine's.
const PROGRAM: &str = r#"#!/bin/bash
set -euo pipefail
here=$(dirname "$0")
echo "docker $*" >> "$here/calls"
at() { printf 'docker://localhost:PORT/%s' "${1#*/}"; }
case $1 in
  version) echo 28.2.2 ;;
  login) cat > "$here/password"; echo "Login Succeeded" ;;
  logout) rm -f "$here/password"; echo "Removing login credentials for $2" ;;
  build) cp "$3" "$here/Dockerfile" ;;
  push)
    skopeo copy --quiet --dest-tls-verify=false --dest-creds "_:$(cat "$here/password")" \
      "oci:$(cat "$here/layout")" "$(at "$2")" ;;
  pull)
    skopeo copy --quiet --src-tls-verify=false --src-creds "_:$(cat "$here/password")" \
      "$(at "$2")" "oci:$here/pulled" ;;
  run) echo "ran" ;;
  *) echo "docker $1 is not stood in for" >&2; exit 1 ;;
esac
"#;

impl Docker {
    /// One that reaches this server's registry.
    #[must_use]
    pub fn new(server: &Server) -> Docker {
        let folder = TempDir::with_prefix("paddock-docker-").unwrap();
        let program = folder.path().join("docker");
        fs::write(&program, PROGRAM.replace("PORT", &server.port().to_string())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Docker { folder, image: RefCell::new(None) }
    }

    /// What the next builds make.
    pub fn builds(&self, image: Image) {
        fs::write(self.folder.path().join("layout"), image.layout().display().to_string()).unwrap();
        self.image.replace(Some(image));
    }

    /// The folder to put first in PATH.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it was asked until now, a line for each call.
    #[must_use]
    pub fn calls(&self) -> String {
        fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default()
    }

    /// The layout that the last pull made.
    #[must_use]
    pub fn pulled(&self) -> PathBuf {
        self.folder.path().join("pulled")
    }
}
