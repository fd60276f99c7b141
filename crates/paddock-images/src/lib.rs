//! Images on disk: what clients sent of them, mountable layers, the base of the `host` stack, conversion to layers, manifests of
//! images, checks of source archives, trees that tenants wrote.
//!
//! Everything here is plain file work that blocks, to be called off the async threads; [`LayerStore`] does that itself.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

mod archive;
mod blobs;
mod compressed;
pub mod convert;
pub mod erofs;
mod host_stack;
mod layer_store;
mod layers;
pub mod oci;
pub mod tree;
pub mod users;

pub use archive::{ArchiveError, ArchiveLimits, ArchiveSummary, Refused, check_source_archive};
pub use blobs::{Appending, BlobError, Blobs, Swept};
pub use compressed::compressed_size;
pub use convert::{SLUG_ID, mkfs_erofs_command};
pub use host_stack::{HostStack, HostStackError};
pub use layer_store::{LayerStore, layer_store};
pub use layers::{Collected, LayerError, Layers};
