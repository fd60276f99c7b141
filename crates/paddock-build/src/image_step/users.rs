//! Users of the image that a step works on.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use paddock_core::image_users::{BYTES_MAX, Users};

/// Of the root at this path; one without the files has numbers alone.
pub(super) fn users_of(root: &Path) -> Users {
    let text = |name: &str| {
        let mut bytes = Vec::new();
        let read = File::open(root.join("etc").join(name))
            .and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    Users::new(text("passwd"), text("group"))
}
