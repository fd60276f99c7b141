//! Add-ons: what an app has besides its dynos, and the names it knows it by.
//!
//! A verb writes what is wanted: rows of add-ons, attachments, servers. The reconciler ([`reconcile`]) makes it so on servers,
//! by steps of the crate `paddock-addons` that may be repeated, and with each change the apps that have something
//! attached get a release. A verb waits for a moment for what it asked for, since most is there in a moment.

pub(crate) mod attached;
pub mod attachment;
pub mod backup;
mod checked;
pub mod create;
pub mod credential;
pub mod destroy;
pub(crate) mod limits;
pub mod list;
pub(crate) mod output;
pub mod postgres;
pub(crate) mod reach;
pub(crate) mod reconcile;
mod recorded;
pub mod report;
pub mod resolve;
pub(crate) mod server;
mod server_pass;
pub mod service;
mod stop_all;
mod storage;
#[cfg(test)]
mod tests;
mod tries;
pub mod update;
pub mod view;

pub use attachment::AttachmentOrder;
pub use create::AddonOrder;
pub use update::AddonChange;
pub use view::{Addon, Attachment, Plan, Service};

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use paddock_addons::Catalogue;
use paddock_addons::postgres::Postgres;
use paddock_core::DataServerId;
use paddock_outbound::Outbound;
use paddock_runtime::{LocalVolumes, Runtime};

use crate::kernel::Kernel;
use crate::kernel::certificates::IssueCertificate;

/// The credential that every add-on has, and attachments have when they name none.
pub(crate) const DEFAULT: &str = "default";

/// The login of a database that is restricted. No credential of a user's has such a name.
pub(crate) const RESTRICTED: &str = "*restricted";

/// The area.
pub struct Addons {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) catalogue: Catalogue,
    /// What is more than the port of services says.
    pub(crate) postgres: Arc<Postgres>,
    pub(crate) certificates: Arc<dyn IssueCertificate>,
    /// Where the files of transfers are written and read.
    pub(crate) volumes: Arc<dyn LocalVolumes>,
    /// Fetches dumps from addresses that tenants name.
    pub(crate) outbound: Outbound,
    /// Where backups are.
    pub(crate) backups: Box<dyn backup::BackupStore>,
    /// Held by whoever tells the runtime who may reach whom.
    pub(crate) reaching: tokio::sync::Mutex<()>,
    /// Dumps that a restore of the server has left, each of a database that is not filled yet.
    pub(crate) dumps_to_fill: backup::DumpsToFill,
    /// Held by who dumps a database for the server's own backup.
    pub(crate) dumping: tokio::sync::Mutex<()>,
    /// Held by who restricts a database or lets it be free again, from reading its state to writing it down.
    pub(crate) restricting: tokio::sync::Mutex<()>,
    /// The data servers that have answered since this server was started.
    pub(crate) answering: Mutex<BTreeSet<DataServerId>>,
}
