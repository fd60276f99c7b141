//! From one release's web dynos to the next one's: who serves while the new ones are not up, and who is told.

use std::time::Duration;

use paddock_core::ReleaseId;
use paddock_core::dyno::{DynoKind, DynoState};
use paddock_store::{App, DesiredDynoState, Dyno, Release};
use tokio::time::Instant;

use crate::{Control, Result};

/// How long a push waits to tell whether its release has come up.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(5);

/// What a release's web dynos have come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Coming {
    /// One is up, or none is wanted.
    Up,
    /// Not known yet.
    Starting,
    /// This one crashed, and may be tried again just now; none is up.
    Crashed(Box<Dyno>),
}

/// Whether a web dyno answers though it is not of this release. Two may have one name then.
pub(crate) fn is_older_and_serves(dyno: &Dyno, current: ReleaseId) -> bool {
    is_web(dyno)
        && dyno.release_id != current
        && dyno.state == DynoState::Up
        && dyno.desired == DesiredDynoState::Running
}

/// Whether a dyno serves in the place of the current release, and could not come back.
pub(crate) fn serves_in_place(dyno: &Dyno, current: Option<ReleaseId>) -> bool {
    current.is_some_and(|current| is_older_and_serves(dyno, current))
}

/// Whether requests go to a web dyno that is up: to the newest of its name.
pub(crate) fn gets_requests(dyno: &Dyno, web: &[Dyno]) -> bool {
    let is_newer = |other: &Dyno| {
        other.name == dyno.name
            && other.state == DynoState::Up
            && other.release_version > dyno.release_version
    };
    dyno.state == DynoState::Up && !web.iter().any(is_newer)
}

/// The release whose dynos go on serving, if it is another than this one.
pub(crate) fn serves_on(dynos: &[Dyno], current: ReleaseId) -> Option<i64> {
    let older = dynos.iter().filter(|dyno| is_older_and_serves(dyno, current));
    older.map(|dyno| dyno.release_version).max()
}

/// What is to be known of a dyno that serves on because a newer release did not come up.
pub(crate) fn remark(dyno: &Dyno, dynos: &[Dyno]) -> Option<String> {
    let newest = newest(dynos)?;
    let fails = matches!(coming(dynos, newest.release_id), Coming::Crashed(_));
    let (own, new) = (dyno.release_version, newest.release_version);
    (fails && is_older_and_serves(dyno, newest.release_id))
        .then(|| format!("v{own} serves on: v{new} has not come up"))
}

fn newest(dynos: &[Dyno]) -> Option<&Dyno> {
    dynos.iter().filter(|dyno| is_web(dyno)).max_by_key(|dyno| dyno.release_version)
}

/// What has come of a release, by its web dynos.
pub(crate) fn coming(dynos: &[Dyno], release: ReleaseId) -> Coming {
    let own = || dynos.iter().filter(|dyno| is_web(dyno) && dyno.release_id == release);
    if own().any(|dyno| dyno.state == DynoState::Up) {
        return Coming::Up;
    }
    own()
        .find(|dyno| dyno.state == DynoState::Crashed || dyno.crash_count > 0)
        .map_or(Coming::Starting, |dyno| Coming::Crashed(Box::new(dyno.clone())))
}

fn is_web(dyno: &Dyno) -> bool {
    dyno.kind == DynoKind::Formation && dyno.name.process_type.is_web()
}

impl Control {
    /// Tells the log of an app whose web dyno has crashed that an older release serves on, where it is so.
    pub(crate) async fn tell_who_serves(&self, app: &App, crashed: &Dyno) -> Result<()> {
        if !is_web(crashed) {
            return Ok(());
        }
        let dynos = self.store.dynos(app.id).await?;
        let Coming::Crashed(_) = coming(&dynos, crashed.release_id) else { return Ok(()) };
        if let Some(version) = serves_on(&dynos, crashed.release_id) {
            let text = format!("Release v{} has not come up: v{version} serves on", crashed.release_version);
            self.log_dyno(app.id, &crashed.name.to_string(), vec![text]).await;
        }
        Ok(())
    }

    /// Tells the log of an app when the last web dyno that served on has ended by itself.
    pub(crate) async fn tell_that_none_serves(&self, app: &App, ended: &Dyno) -> Result<()> {
        if !(is_web(ended) && ended.state == DynoState::Up && ended.desired == DesiredDynoState::Running) {
            return Ok(());
        }
        let Some(current) = self.store.current_release(app.id).await? else { return Ok(()) };
        let dynos = self.store.dynos(app.id).await?;
        let serves = |dyno: &Dyno| is_web(dyno) && dyno.id != ended.id && dyno.state == DynoState::Up;
        if current.id == ended.release_id || dynos.iter().any(serves) {
            return Ok(());
        }
        let (old, new) = (ended.release_version, current.version);
        let text = format!(
            "The last dyno of v{old} has ended and v{new} has not come up: nothing serves. heroku rollback v{old} brings it back"
        );
        self.log_dyno(app.id, &ended.name.to_string(), vec![text]).await;
        Ok(())
    }

    /// What a pusher is told of a release that is not up within a few seconds; nothing where all is well.
    pub(crate) async fn verify_release(&self, app: &App, release: &Release) -> Result<Vec<String>> {
        let formation = self.store.formation(app.id).await?;
        if !formation.iter().any(|row| row.process_type.is_web() && row.quantity > 0) {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + VERIFY_TIME_MAX;
        let mut changes = self.wakes.changes.listen();
        loop {
            let dynos = self.store.dynos(app.id).await?;
            let is_current =
                self.store.current_release(app.id).await?.is_some_and(|now| now.id == release.id);
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
