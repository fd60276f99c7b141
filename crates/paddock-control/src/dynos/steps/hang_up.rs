//! Hanging up on a one-off dyno whose client is gone: SIGHUP, again and again, and R16 for a program that does not care.
//!
//! How often is in the dyno's row, so a server that is killed in between goes on where it was. Each step is counted when
//! it was done: what a kill cuts off is done again rather than left out.
//! Source: `docs/contract/platform-behaviour.md`, section 2.

use paddock_core::code::DynoCode;
use paddock_core::durable;
use paddock_store::{App, Dyno};

use crate::Result;
use crate::dynos::Dynos;
use crate::kernel::error::Error;

impl Dynos {
    /// Sends SIGHUP to every process of the dyno.
    pub(crate) async fn hang_up(&self, app: &App, dyno: &Dyno) -> Result<()> {
        let Some(container) = dyno.container_id else { return Ok(()) };
        let line = "Client connection closed. Sending SIGHUP to all processes";
        self.kernel.log_dyno(app.id, &dyno.name.to_string(), vec![line.to_owned()]).await;
        let told = durable!("dyno.hung_up", self.runtime.hang_up(container).await);
        told.map_err(|error| Error::internal("hang up on a dyno", error))?;
        self.count_hang_up(app, dyno).await
    }

    /// It was told often enough: says so, and leaves it to its time limit and to whoever stops it.
    pub(crate) async fn tell_detached(&self, app: &App, dyno: &Dyno) -> Result<()> {
        self.kernel.log_dyno(app.id, &dyno.name.to_string(), vec![DynoCode::R16.line()]).await;
        self.count_hang_up(app, dyno).await
    }

    async fn count_hang_up(&self, app: &App, dyno: &Dyno) -> Result<()> {
        let mut tx = self.kernel.observe_app(app.id, "count a hang-up").await?;
        tx.count_hang_up(dyno.id).await?;
        tx.commit_quietly("dyno.hang_up_counted").await?;
        Ok(())
    }
}
