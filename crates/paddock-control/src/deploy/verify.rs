//! What has become of a release by the time its pusher is told: whether its web dynos came up.

use std::time::Duration;

use paddock_store::{App, Dyno, Release};
use tokio::time::Instant;

use crate::Result;
use crate::deploy::Deploy;
use crate::kernel::handover::{Coming, coming, is_web, serves_on};

/// How long a push waits to tell whether its release has come up.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(5);
/// The same for one of images, whose programs like to choose their own port: what listens elsewhere is seen after three seconds.
const VERIFY_IMAGES_TIME_MAX: Duration = Duration::from_secs(10);

impl Deploy {
    /// What a pusher is told of a release that is not up within a few seconds; nothing where all is well.
    pub(crate) async fn verify_release(&self, app: &App, release: &Release) -> Result<Vec<String>> {
        let formation = self.kernel.store.formation(app.id).await?;
        if !formation.iter().any(|row| row.process_type.is_web() && row.quantity > 0) {
            return Ok(Vec::new());
        }
        let is_of_images = self.kernel.store.app(app.id).await?.is_some_and(|now| now.stack.is_container());
        let patience = if is_of_images { VERIFY_IMAGES_TIME_MAX } else { VERIFY_TIME_MAX };
        let deadline = Instant::now() + patience;
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
                Coming::Starting if remarked(&dynos, release).is_some() => {
                    return Ok(remarked(&dynos, release).map(elsewhere).unwrap_or_default());
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

/// A web dyno of the release of which there is something to say.
fn remarked<'a>(dynos: &'a [Dyno], release: &Release) -> Option<&'a Dyno> {
    let is_one = |dyno: &&Dyno| is_web(dyno) && dyno.release_id == release.id && !dyno.remark.is_empty();
    dynos.iter().find(is_one)
}

fn elsewhere(dyno: &Dyno) -> Vec<String> {
    vec![
        format!("!\t{} {}.", dyno.name, dyno.remark),
        "!\tHave it listen there, or it is ended a minute after its start (R10).".to_owned(),
    ]
}

fn not_up(app: &App, release: &Release, dyno: &Dyno, serving: Option<i64>) -> Vec<String> {
    let exit = dyno.exit_status.map_or_else(String::new, |status| format!(" (status {status})"));
    let serving = serving.map_or_else(String::new, |version| format!(": v{version} serves on"));
    vec![
        format!("!\tv{} has not come up{serving}. {} crashed{exit}.", release.version, dyno.name),
        format!("!\tSee: heroku logs --app {}", app.name),
    ]
}
