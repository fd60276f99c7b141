//! What the names in a specification stand for on this machine: files of layers, folders of volumes and shares, ids.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use paddock_files::make_private_folder;
use paddock_runtime::{Access, ContainerSpec, Disk, Layer, Mount, MountSource};

use super::LinuxRuntime;
use crate::record::{DiskRecord, Folder, LayerRecord, MountRecord};

impl LinuxRuntime {
    pub(super) fn layer_record(&self, layer: &Layer) -> io::Result<LayerRecord> {
        let local =
            self.config.images.as_ref().ok_or_else(|| io::Error::other("this runtime starts nothing"))?;
        let (name, path, host_usr) = match layer {
            Layer::Stored(digest) => (digest.to_string(), local.layers.path_of(digest), false),
            Layer::Stack(stack) => (stack.to_string(), local.host_stack.base_of(stack), true),
        };
        let named = |error| io::Error::other(format!("layer {name}: {error}"));
        Ok(LayerRecord { folder: self.images.folder_of(&path).map_err(named)?, host_usr })
    }

    pub(super) async fn disk_record(&self, disk: &Disk) -> io::Result<DiskRecord> {
        Ok(match disk {
            Disk::Unlimited => DiskRecord::Unlimited,
            Disk::Limited(bytes) => DiskRecord::Image {
                template: self.templates.of(*bytes).await?,
                limit_bytes: *bytes,
                interval: self.config.disk_interval,
            },
            Disk::Volume { id, folder } => {
                // What lies in it belongs to the container's ids, the folder itself to nobody inside.
                DiskRecord::Folder { folder: self.volumes.folder(*id, folder, (0, 0))? }
            }
        })
    }

    /// What a container has besides its layers. `owner` is its user, as the host numbers it.
    pub(super) fn mount_records(
        &self,
        spec: &ContainerSpec,
        folder: &Folder,
        owner: (u32, u32),
    ) -> io::Result<Vec<MountRecord>> {
        let record = |(number, mount): (usize, &Mount)| {
            let named = |error| io::Error::other(format!("what is to be at {}: {error}", mount.target));
            let source = match &mount.source {
                MountSource::Volume { id, folder, access } => {
                    let makes = (*access == Access::ReadWrite).then_some(owner);
                    self.volumes.folder_or_file(*id, folder, makes).map_err(named)?
                }
                MountSource::Share { share, path } => {
                    let root = self.config.shares.get(share);
                    let root =
                        root.ok_or_else(|| named(io::Error::other(format!("there is no {share:?}"))))?;
                    if path.is_empty() { root.clone() } else { root.join(path) }
                }
                MountSource::Text(_) => folder.text(number),
                MountSource::Program => self.config.program.clone(),
            };
            let read_only = !matches!(&mount.source, MountSource::Volume { access: Access::ReadWrite, .. });
            Ok(MountRecord { source, target: mount.target.clone(), read_only })
        };
        spec.mounts.iter().enumerate().map(record).collect()
    }
}

/// Writes the files of given text into a container's folder. Its parent is root's alone.
pub(super) fn write_texts(mounts: &[Mount], folder: &Folder) -> io::Result<()> {
    for (number, mount) in mounts.iter().enumerate() {
        let MountSource::Text(text) = &mount.source else { continue };
        make_private_folder(&folder.texts())?;
        let file = folder.text(number);
        #[expect(
            clippy::disallowed_methods,
            reason = "in the folder of a container that has not its name yet"
        )]
        std::fs::write(&file, text)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444))?;
    }
    Ok(())
}

/// What cannot be run is refused before anything is made.
pub(super) fn check(spec: &ContainerSpec) -> io::Result<()> {
    let refuse = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    let is_label = |name: &str| {
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    if let Some(reason) = spec.refusal() {
        return refuse(reason);
    }
    if !is_label(&spec.hostname) {
        return refuse(format!("{:?} is no host name", spec.hostname));
    }
    for mount in &spec.mounts {
        if !mount.target.starts_with('/') || mount.target.split('/').any(|name| name == "..") {
            return refuse(format!("{:?} is no absolute path", mount.target));
        }
        match &mount.source {
            MountSource::Share { path, .. } if !path.is_empty() && !is_below(path) => {
                return refuse(format!("{path:?} is nothing of a share"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a text is names between slashes that lead down.
pub(super) fn is_below(path: &str) -> bool {
    Path::new(path).is_relative()
        && path.split('/').all(|name| !matches!(name, "" | "." | "..") && !name.contains('\0'))
}
