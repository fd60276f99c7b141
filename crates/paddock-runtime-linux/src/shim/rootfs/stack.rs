//! What is laid on a stack: the two places that programs may write, and names of this container.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use super::{UPPER, WORK, owned_folder};
use crate::error::{Doing, StepError};
use crate::record::SpecRecord;

/// The writable layer: mount points, the two places that programs may write, and names of this container.
pub(super) fn upper(spec: &SpecRecord) -> Result<(), StepError> {
    let (upper, base) = (Path::new(UPPER), spec.id_base);
    let root = (base, base);
    owned_folder(upper, root, 0o755)?;
    owned_folder(Path::new(WORK), (0, 0), 0o755)?;
    for name in ["dev", "proc", "sys", "etc", "var", "usr"] {
        owned_folder(&upper.join(name), root, 0o755)?;
    }
    owned_folder(&upper.join("app"), spec.owner(), 0o755)?;
    owned_folder(&upper.join("tmp"), root, 0o1777)?;
    owned_folder(&upper.join("var/tmp"), root, 0o1777)?;
    let mut hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    let mut resolv = String::new();
    if let Some(network) = &spec.network {
        hosts += &format!("{} {}\n", network.address, spec.hostname);
        resolv = format!("nameserver {}\n", network.gateway);
    }
    let files = [("hostname", format!("{}\n", spec.hostname)), ("hosts", hosts), ("resolv.conf", resolv)];
    for (name, content) in files {
        let path = upper.join("etc").join(name);
        let doing = || format!("write {}", path.display());
        std::fs::write(&path, content).doing(doing)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).doing(doing)?;
        chown(&path, Some(base), Some(base)).doing(doing)?;
    }
    Ok(())
}
