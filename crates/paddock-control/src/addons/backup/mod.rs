//! Backups of Postgres databases, restores and copies: transfers, as Heroku calls them.
//!
//! A verb makes a row and a job. The job ([`job`]) does all of it in containers, with a volume that goes with it, and can do it
//! again from its beginning: so a kill makes it begin anew. What it leaves is a dump in the store of backups ([`store`]), or a
//! database that was filled.
//!
//! The server's own backup has a dump of each database ([`server_dump`]), and a server that was restored fills its databases from
//! those ([`server_fill`]), by the same programs and without a row.

mod at_address;
mod bucket;
mod daily;
mod dump;
mod fill;
mod job;
mod link;
mod list;
mod order;
mod run;
mod schedule;
mod server_dump;
mod server_fill;
mod store;
mod sweep;
mod unnamed;
mod zone;

pub(crate) use daily::DailyBackups;
pub use job::AT_A_TIME;
pub(crate) use job::Transfers;
#[cfg(test)]
pub(crate) use job::{TransferPhase, run as run_transfer};
pub use link::PublicUrl;
pub use list::{LoggedTransfer, ShownTransfer};
pub use order::CopyOrder;
pub use paddock_store::TransferLog;
pub use schedule::{Schedule, ScheduleOrder};
pub(crate) use server_fill::{DumpsToFill, FillReconciler};
pub(crate) use store::BackupStore;
pub use store::KeptDump;
pub(crate) use sweep::TransferSweep;
pub use unnamed::UnnamedDumps;

use paddock_core::transfer::TransferKind;
use paddock_outbound::s3::Bucket;
use paddock_store::Transfer;

use crate::kernel::Kernel;

/// What a client names a backup of ours by, where it could also name an address: this, and the id.
const OWN_BACKUP: &str = "paddock-backup:";

/// Where this server's backups are: below its id in a bucket, or in its data folder.
pub(crate) fn store_of(kernel: &Kernel, bucket: Option<Bucket>) -> Box<dyn BackupStore> {
    let folder = store::BackupFolder::new(kernel.config.data_dir.join("backups"));
    match bucket {
        Some(bucket) => {
            let own = bucket.below(&kernel.store.server_id().to_string());
            Box::new(bucket::BackupBucket::new(own, folder, kernel.config.data_dir.join(unnamed::FILE)))
        }
        None => Box::new(folder),
    }
}

/// Whether there is a dump that can be had.
pub(super) fn is_good(row: &Transfer) -> bool {
    row.kind == TransferKind::Backup && row.succeeded && row.deleted_at.is_none()
}
