//! The end of all data servers, when the operator asked for it.

use std::time::Duration;

use paddock_core::durable;
use paddock_runtime::Observed;

use super::{Addons, server};
use crate::kernel::{containers, label};
use crate::{Error, Result};

impl Addons {
    /// Ends every data server as its operator would: it writes what it has, and the next start of the platform brings it back.
    pub async fn stop_all_servers(&self) -> Result<()> {
        let is_meant = |observed: &Observed| label::data_server_of(observed).is_some();
        for observed in containers::listed(&*self.runtime, is_meant).await? {
            let stopped = durable!(
                "data_server.stopped_with_server",
                self.runtime.stop(observed.id, server::STOP_GRACE).await
            );
            stopped.map_err(|error| Error::internal("stop a data server", error))?;
        }
        containers::ended(&*self.runtime, is_meant, server::STOP_GRACE + Duration::from_secs(5)).await
    }
}
