//! The end of all dynos, when the operator asked for it.

use std::time::Duration;

use paddock_core::durable;
use paddock_runtime::Observed;

use crate::dynos::{Dynos, launch};
use crate::kernel::{containers, label};
use crate::{Error, Result};

impl Dynos {
    /// Ends every dyno and every build: SIGTERM to all, then SIGKILL after the grace. Rows stay: the next start begins them
    /// anew. What they have their data in is not among them: it is there until they have ended.
    pub async fn stop_all_dynos(&self) -> Result<()> {
        let is_meant = |observed: &Observed| label::data_server_of(observed).is_none();
        for observed in containers::listed(&*self.runtime, is_meant).await? {
            let stopped = durable!(
                "dyno.stopped_with_server",
                self.runtime.stop(observed.id, launch::STOP_GRACE).await
            );
            stopped.map_err(|error| Error::internal("stop a container", error))?;
        }
        containers::ended(&*self.runtime, is_meant, launch::STOP_GRACE + Duration::from_secs(5)).await
    }
}
