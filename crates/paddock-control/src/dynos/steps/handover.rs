//! Tells an app's log who serves while a newer release does not come up.

use paddock_core::dyno::DynoState;
use paddock_store::{App, DesiredDynoState, Dyno};

use crate::Result;
use crate::dynos::Dynos;
use crate::kernel::handover::{Coming, coming, is_web, serves_on};

impl Dynos {
    /// Tells the log of an app whose web dyno has crashed that an older release serves on, where it is so.
    pub(crate) async fn tell_who_serves(&self, app: &App, crashed: &Dyno) -> Result<()> {
        if !is_web(crashed) {
            return Ok(());
        }
        let dynos = self.kernel.store.dynos(app.id).await?;
        let Coming::Crashed(_) = coming(&dynos, crashed.release_id) else { return Ok(()) };
        if let Some(version) = serves_on(&dynos, crashed.release_id) {
            let text = format!("Release v{} has not come up: v{version} serves on", crashed.release_version);
            self.kernel.log_dyno(app.id, &crashed.name.to_string(), vec![text]).await;
        }
        Ok(())
    }

    /// Tells the log of an app when the last web dyno that served on has ended by itself.
    pub(crate) async fn tell_that_none_serves(&self, app: &App, ended: &Dyno) -> Result<()> {
        if !(is_web(ended) && ended.state == DynoState::Up && ended.desired == DesiredDynoState::Running) {
            return Ok(());
        }
        let Some(current) = self.kernel.store.current_release(app.id).await? else { return Ok(()) };
        let dynos = self.kernel.store.dynos(app.id).await?;
        let serves = |dyno: &Dyno| is_web(dyno) && dyno.id != ended.id && dyno.state == DynoState::Up;
        if current.id == ended.release_id || dynos.iter().any(serves) {
            return Ok(());
        }
        let (old, new) = (ended.release_version, current.version);
        let text = format!(
            "The last dyno of v{old} has ended and v{new} has not come up: nothing serves. heroku rollback v{old} brings it back"
        );
        self.kernel.log_dyno(app.id, &ended.name.to_string(), vec![text]).await;
        Ok(())
    }
}
