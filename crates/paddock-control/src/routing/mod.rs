//! Which hosts lead to which dynos: domains, the router and what it tells, the platform's own certificates.

pub mod certificate_authority;
pub mod domain;
pub mod proxy_form;
pub(crate) mod publisher;
pub(crate) mod reconcile;
pub(crate) mod router_lines;
pub mod router_link;

use std::sync::Arc;

use crate::kernel::Kernel;

/// The use cases of domains, and what the router is told.
pub struct Routing {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) publisher: Arc<publisher::Publisher>,
}

impl Routing {
    /// Has the router read its certificates again: it does with each table, and gets the same one once more.
    pub async fn have_certificates_read(&self) {
        self.publisher.publish_all().await;
    }
}
