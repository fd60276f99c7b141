//! Images on disk: mountable layers, the base of the `host` stack, conversion to layers, checks of source archives.
//!
//! Everything here is plain file work that blocks: call it off the async threads.

mod archive;
mod compressed;
mod convert;
mod digest;
mod host_stack;
mod layers;

pub use archive::{ArchiveError, ArchiveLimits, ArchiveSummary, Refused, check_source_archive};
pub use compressed::compressed_size;
pub use convert::{SLUG_ID, mkfs_erofs_command};
pub use digest::{InvalidDigest, LayerDigest};
pub use host_stack::{HostStack, HostStackError};
pub use layers::{Collected, LayerError, Layers};
