//! What is laid on a stack: the two places that programs may write, and names of this container.

use std::path::Path;

use super::{UPPER, name_files, owned_file, owned_folder};
use crate::error::StepError;
use crate::record::SpecRecord;

/// The writable layer: mount points, the two places that programs may write, and names of this container. It hides what a
/// layer could have put in place of them, e.g. a link to somewhere on the host as `/dev`.
pub(super) fn upper(spec: &SpecRecord) -> Result<(), StepError> {
    let (upper, root) = (Path::new(UPPER), (spec.id_base, spec.id_base));
    owned_folder(upper, root, 0o755)?;
    for name in ["dev", "proc", "sys", "etc", "var", "usr"] {
        owned_folder(&upper.join(name), root, 0o755)?;
    }
    owned_folder(&upper.join("app"), spec.owner(), 0o755)?;
    owned_folder(&upper.join("tmp"), root, 0o1777)?;
    owned_folder(&upper.join("var/tmp"), root, 0o1777)?;
    for (name, content) in name_files(spec) {
        owned_file(&upper.join("etc").join(name), root, content.as_bytes())?;
    }
    Ok(())
}
