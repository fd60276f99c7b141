//! What has become of a release by the time its pusher is told: whether its web dynos came up.

use std::time::Duration;

use paddock_store::{App, Dyno, Release};
use tokio::time::Instant;

use crate::Result;
use crate::deploy::Deploy;
use crate::kernel::handover::{Coming, coming, serves_on};

/// How long a push waits to tell whether its release has come up.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(5);

impl Deploy {
    /// What a pusher is told of a release that is not up within a few seconds; nothing where all is well.
    pub(crate) async fn verify_release(&self, app: &App, release: &Release) -> Result<Vec<String>> {
        let formation = self.kernel.store.formation(app.id).await?;
        if !formation.iter().any(|row| row.process_type.is_web() && row.quantity > 0) {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + VERIFY_TIME_MAX;
        let mut changes = self.kernel.wakes.changes.listen();
        loop {
            let dynos = self.kernel.store.dynos(app.id).await?;
            let is_current =
                self.kernel.store.current_release(app.id).await?.is_some_and(|now| now.id == release.id);
            match coming(&dynos, release.id) {
                _ if !is_current => return Ok(Vec::new()),
                Coming::Up => return Ok(Vec::new()),
                Coming::Crashed(dyno) => {
                    return Ok(not_up(app, release, &dyno, serves_on(&dynos, release.id)));
                }
                Coming::Starting if Instant::now() >= deadline => {
                    let serving = serves_on(&dynos, release.id);
                    let still = |version| {
                        format!("v{} is still starting: v{version} serves until it is up.", release.version)
                    };
                    return Ok(serving.map(still).into_iter().collect());
                }
                Coming::Starting => changes.heard(Duration::from_millis(250)).await,
            }
        }
    }
}

fn not_up(app: &App, release: &Release, dyno: &Dyno, serving: Option<i64>) -> Vec<String> {
    let exit = dyno.exit_status.map_or_else(String::new, |status| format!(" (status {status})"));
    let serving = serving.map_or_else(String::new, |version| format!(": v{version} serves on"));
    vec![
        format!("!\tv{} has not come up{serving}. {} crashed{exit}.", release.version, dyno.name),
        format!("!\tSee: heroku logs --app {}", app.name),
    ]
}
