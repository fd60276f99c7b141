//! The row of a dyno, before anything runs.

use paddock_core::dyno::{DynoKind, DynoName};
use paddock_store::{App, Dyno};

use crate::Result;
use crate::dynos::Dynos;
use crate::kernel::new_dyno::new_dyno;

impl Dynos {
    /// Makes the row of a formation dyno, which is to be started; `None` where nothing is to run any more.
    pub(crate) async fn create_formation_dyno(&self, app: &App, name: &DynoName) -> Result<Option<Dyno>> {
        self.put_formation_dyno(app, name, None).await
    }

    /// Puts a new dyno in the place of a crashed one. It remembers how often it crashed in a row.
    pub(crate) async fn retry_dyno(&self, app: &App, crashed: &Dyno) -> Result<Option<Dyno>> {
        let made = self.put_formation_dyno(app, &crashed.name, Some(crashed)).await?;
        if made.is_some() {
            let line = "State changed from crashed to starting".to_owned();
            self.kernel.log_dyno(app.id, &crashed.name.to_string(), vec![line]).await;
        }
        Ok(made)
    }

    async fn put_formation_dyno(
        &self,
        app: &App,
        name: &DynoName,
        crashed: Option<&Dyno>,
    ) -> Result<Option<Dyno>> {
        let mut tx = self.kernel.observe_app(app.id, "make a dyno").await?;
        // Slug and command of one release, whatever was committed since the pass read the app.
        let release = tx.current_release(app.id).await?.filter(|release| release.slug_id.is_some());
        let Some(release) = release else { return Ok(None) };
        let Some(row) = tx.formation_of(app.id, &name.process_type).await? else { return Ok(None) };
        let mut dyno = new_dyno(&release, name, DynoKind::Formation, row.command, row.size, tx.now());
        dyno.generation = tx.generation();
        dyno.crash_count = crashed.map_or(0, |crashed| crashed.crash_count);
        dyno.exit_status = crashed.and_then(|crashed| crashed.exit_status);
        if let Some(crashed) = crashed {
            tx.delete_dyno(crashed.id).await?;
        }
        tx.put_dyno(&dyno).await?;
        tx.commit_quietly("dyno.made").await?;
        Ok(Some(dyno))
    }
}
