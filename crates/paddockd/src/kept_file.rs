//! Small files of the server's own that are there whole or not at all.

use std::io;
use std::path::Path;

use paddock_core::durable;
use paddock_files::{Beside, make_private_folder};

/// Puts a text where an older one may be: all of the new or all of the old, on disk when this answers. Its folder is made
/// where it is missing (its name there is not synced); only the server's own user can enter it, and read the file.
pub(crate) fn keep_file(file: &Path, text: &str) -> io::Result<()> {
    make_private_folder(file.parent().unwrap_or(Path::new(".")))?;
    let written = Beside::write(file, text)?.synced()?;
    durable!("file.kept", written.replace())
}
