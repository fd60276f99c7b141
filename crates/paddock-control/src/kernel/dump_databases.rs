//! Dumps of add-ons' databases, for areas that must not know of add-ons: the server's own backup has one of each.

use std::fs::File;

use async_trait::async_trait;
use paddock_core::AddonId;

/// The folder, in a data directory, of dumps that are to be put back: a restore leaves them there.
pub(crate) const DUMPS: &str = "databases";
/// What the name of such a dump ends in, after the id of its add-on.
pub(crate) const TO_FILL: &str = "dump";
/// The same of one that could not be put back.
pub(crate) const SET_ASIDE: &str = "failed";

/// What came of a dump.
#[derive(Debug)]
pub(crate) enum Dumped {
    /// A file that goes when it is closed, and its bytes.
    Dump(File, u64),
    /// There is nothing to dump any more: the add-on was destroyed.
    Gone,
    /// Why there is none: a sentence for the operator.
    Failed(String),
    /// Whoever is told did not want it any more.
    Unwanted,
}

/// Dumps databases.
#[async_trait]
pub(crate) trait DumpDatabases: Send + Sync {
    /// Dumps what is in an add-on's database now. From time to time `told` hears how many bytes there are, and answers whether
    /// to go on.
    async fn dump_database(&self, addon: AddonId, told: &mut (dyn FnMut(u64) -> bool + Send)) -> Dumped;
}
