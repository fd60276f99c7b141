//! Disk space with a hard limit: an ext4 file system in a file of its own, which nothing outlives.
//!
//! Who writes more than fits gets ENOSPC, and the machine's disk loses no more than the limit. Files are counted by
//! that file system too, so no number of empty ones gets past it. Project quotas would do the same without a second
//! file system, but few machines have them switched on: decision 0011.
//!
//! * [`Templates`] makes one empty file system of each size, once; a new image is a sparse copy of it.
//! * [`image::mount`] attaches an image to a loop device and mounts it. The file has no name by then, so image, device
//!   and mount vanish with whatever holds the mount: the shim of a container, however that ends, or for a volume the
//!   host's own mounts until it is unmounted.
//!
//! An image is mounted once and by the kernel that made its content: what a tenant leaves in it is never parsed
//! again.

pub(crate) mod image;
mod template;

use std::time::Duration;

pub(crate) use template::Templates;

/// What [`crate::LinuxConfig::disk_interval`] is on a server.
pub const DISK_INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of a block, and what limits are rounded down to.
const BLOCK_BYTES: u64 = 4096;

/// The end of every image, which belongs to no file system. Tools of the host that look for arrays and partitions of
/// disks (udev's, for one) read the end of every block device: nothing of a tenant is found there.
const UNUSED_END_BYTES: u64 = 1 << 20;

/// The smallest limit: below, a file system has no room for anything.
pub(crate) const BYTES_MIN: u64 = 16 << 20;
