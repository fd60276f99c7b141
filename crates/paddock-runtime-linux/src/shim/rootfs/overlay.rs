//! The layers of a container and the overlay of them.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::mount::OpenTreeFlags;

use super::{PLAIN_FILES, READ_ONLY, ROOT, UPPER, WORK, attach, clone_of, new_mount};
use crate::error::{Doing, StepError};
use crate::kernel;
use crate::record::LayerRecord;

/// Attaches each layer's idmapped clone; returns their folders, the uppermost first, as overlay wants them.
pub(super) fn attach_layers(layers: &[LayerRecord], userns: BorrowedFd<'_>) -> Result<String, StepError> {
    let mut lower = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let clone = clone_of(&layer.folder, OpenTreeFlags::empty())?;
        kernel::mount_setattr(clone.as_fd(), READ_ONLY | PLAIN_FILES, Some(userns), false)
            .doing(|| format!("idmap the layer {}", layer.folder.display()))?;
        let name = format!("l{index}");
        std::fs::create_dir(&name).doing(|| format!("make {name}"))?;
        attach(clone.as_fd(), Path::new(&name))?;
        lower.push(name);
    }
    Ok(lower.join(":"))
}

pub(super) fn overlay(lower: &str) -> Result<(), StepError> {
    let options = [("source", "overlay"), ("lowerdir", lower), ("upperdir", UPPER), ("workdir", WORK)];
    // The upper dies with the container, so nobody needs its fsyncs; renaming folders of a lower layer works.
    let wishes = [("volatile", None), ("redirect_dir", Some("on"))];
    attach(new_mount("overlay", &options, &wishes, PLAIN_FILES)?.as_fd(), Path::new(ROOT))
}
