//! The fake's volumes, and what its containers see of them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use paddock_core::VolumeId;

use super::FakeRuntime;
use crate::{Access, ContainerSpec, Disk, LocalVolumes, MountSource, Root};

/// The folder of a fake's volumes, which goes with it.
#[derive(Debug)]
pub(super) struct Volumes(PathBuf);

impl Default for Volumes {
    fn default() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self(PathBuf::from(format!("/tmp/paddock-fake-volumes-{}-{number}", std::process::id())))
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl LocalVolumes for FakeRuntime {
    fn folder_of(&self, id: VolumeId) -> PathBuf {
        self.0.volumes.0.join(id.to_string())
    }
}

/// What a path inside belongs to, and the rest of the path below that.
fn mounted<'a>(spec: &'a ContainerSpec, path: &'a str) -> Option<(&'a MountSource, &'a str)> {
    let found = spec.mounts.iter().rev().find_map(|mount| {
        path.strip_prefix(mount.target.as_str()).map(|rest| (&mount.source, rest.trim_start_matches('/')))
    });
    found.filter(|(_, rest)| !rest.split('/').any(|name| name == ".."))
}

impl FakeRuntime {
    pub(super) fn write_inside(&self, spec: &ContainerSpec, path: &str, text: &str) -> bool {
        let (folder, rest) = match (mounted(spec, path), &spec.disk) {
            (Some((MountSource::Volume { id, folder, access: Access::ReadWrite }, rest)), _) => {
                (self.folder_of(*id).join(folder), rest)
            }
            (None, Disk::Volume { id, folder }) if spec.root == Root::Build => {
                (self.folder_of(*id).join(folder).join("upper"), path.trim_start_matches('/'))
            }
            _ => return false,
        };
        if rest.is_empty() && folder.is_file() {
            return std::fs::write(folder, text).is_ok();
        }
        std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(rest), text)).is_ok()
    }

    pub(super) fn read_inside(&self, spec: &ContainerSpec, path: &str) -> Option<String> {
        if spec.root != Root::Stack && path == "/etc/hostname" {
            return Some(format!("{}\n", spec.hostname));
        }
        match mounted(spec, path)? {
            (MountSource::Volume { id, folder, .. }, rest) => {
                let path = self.folder_of(*id).join(folder);
                std::fs::read_to_string(if rest.is_empty() { path } else { path.join(rest) }).ok()
            }
            (MountSource::Text(text), "") => Some(text.clone()),
            _ => None,
        }
    }
}
