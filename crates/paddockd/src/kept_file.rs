//! Small files of the server's own that are there whole or not at all.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use paddock_core::durable;

/// Puts a text where an older one may be: all of the new or all of the old, on disk when this answers. Its folder is made
/// where it is missing (its name there is not synced); only the server's own user can enter it, and read the file.
pub(crate) fn keep_file(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = file.with_extension("new");
    let mut written = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    durable!("file.kept", std::fs::rename(&new, file))?;
    File::open(folder)?.sync_all()
}
