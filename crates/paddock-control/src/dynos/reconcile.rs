//! Keeps dynos as the formations want them, and one-off dynos from being forgotten.
//!
//! Five steps for each app: load what is wanted, observe containers (known or unknown), plan (pure, in core), act,
//! record. The row of a dyno is written before its container is started, so a crash between leaves a dyno in
//! `starting` without container, which the next pass launches. Containers are started and ended beside the pass
//! ([`errands`](super::errands)), and a dyno whose container is being started or ended is left alone meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use paddock_core::ContainerId;
use paddock_core::code::DynoCode;
use paddock_core::dyno::{DynoKind, DynoState};
use paddock_core::plan::formation::{self, Desired, DynoSeen, Seen, Step, StopReason};
use paddock_core::plan::one_off::{self, OneOffSeen};
use paddock_runtime::ContainerState;
use paddock_store::{App, DesiredDynoState, Dyno, Release};
use tokio::task::JoinSet;

use crate::Result;
use crate::dynos::Dynos;
use crate::dynos::errands::{Errand, ErrandKind, Errands};
use crate::dynos::launch::ONE_OFF_LIFE;
use crate::dynos::sight::Sight;
use crate::kernel::error::{Error, chain};
use crate::kernel::label;
use crate::kernel::reconcile::{PassReport, Reconciler, by_app};
use crate::kernel::wake::{Wake, Wakes};

/// How soon to look again while a web dyno has not bound its port: nothing else tells us.
const BOOTING_LOOK: Duration = Duration::from_millis(30);

/// Keeps dynos as wanted.
pub(crate) struct FormationReconciler {
    area: Arc<Dynos>,
    errands: Errands,
}

/// How long an attached one-off dyno waits for its client (R13 then).
const CLIENT_TIME_MAX: Duration = Duration::from_secs(60);

impl FormationReconciler {
    /// For this control plane.
    #[must_use]
    pub(crate) fn new(area: Arc<Dynos>) -> Self {
        let wakes = area.clone();
        Self { area, errands: Errands::new(move || wakes.kernel.wakes.dynos.wake()) }
    }
}

#[async_trait]
impl Reconciler for FormationReconciler {
    const NAME: &'static str = "formation";
    const INTERVAL: Duration = Duration::from_secs(2);

    fn wake(wakes: &Wakes) -> &Wake {
        &wakes.dynos
    }

    async fn pass(&mut self) -> Result<PassReport> {
        let mut report = PassReport { failed: self.errands.failed(), ..PassReport::default() };
        // What is under way first: what ends after this wakes the next pass. Containers before rows: one that is seen
        // without a row was then surely not made in between.
        let under_way = self.errands.under_way().into_keys().collect();
        let had_client = self.area.clients.present();
        let observed = self.area.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        let containers = observed.into_iter().map(|seen| (seen.id, seen)).collect();
        let sight = Arc::new(Sight { containers, under_way, had_client });
        let (apps, rows) = self.load().await?;
        let pending = Arc::new(self.area.kernel.store.pending_releases().await?);
        let mut wanted = self.strays(&sight, &rows);
        let mut passes = JoinSet::new();
        for rows in apps {
            let (area, sight, pending) = (self.area.clone(), sight.clone(), pending.clone());
            passes.spawn(async move { pass_app(&area, &rows, &pending, &sight).await });
        }
        while let Some(result) = passes.join_next().await {
            match result {
                Ok((part, errands)) => {
                    merge(&mut report, part);
                    wanted.extend(errands);
                }
                // One app's trouble is not the others'.
                Err(error) => {
                    report.failed += 1;
                    tracing::error!(error = chain(&error), "looking after an app failed");
                }
            }
        }
        let (begun, failed) = self.errands.begin(wanted).await;
        (report.done, report.failed) = (report.done + begun, report.failed + failed);
        Ok(report)
    }

    async fn end(&mut self) {
        self.errands.end().await;
    }
}

fn merge(report: &mut PassReport, part: PassReport) {
    report.done += part.done;
    report.failed += part.failed;
    look_again(report, part.again_in);
}

/// Has the next pass come in time for this as well.
fn look_again(report: &mut PassReport, again_in: Option<Duration>) {
    report.again_in = match (report.again_in, again_in) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}

impl FormationReconciler {
    /// Reads all apps at once; also the state of every dyno that has a container.
    async fn load(&self) -> Result<(Vec<AppRows>, HashMap<ContainerId, DynoState>)> {
        let trial = self.area.kernel.config.dyno_trial;
        let store = &self.area.kernel.store;
        let apps = store.apps().await?;
        let dynos = store.all_dynos().await?;
        let states = dynos.iter().filter_map(|dyno| Some((dyno.container_id?, dyno.state))).collect();
        let mut dynos = by_app(dynos, |dyno| dyno.app_id);
        let mut formations = by_app(store.formations().await?, |row| row.app_id);
        // A release without a slug has nothing to run.
        let releases =
            store.current_releases().await?.into_iter().filter(|release| release.slug_id.is_some());
        let releases: HashMap<_, _> = releases.map(|release| (release.app_id, release.id)).collect();
        let rows = apps.into_iter().map(|app| {
            let formation = formations.remove(&app.id).unwrap_or_default();
            let quantities = formation.into_iter().map(|row| (row.process_type, row.quantity)).collect();
            let desired = Desired { release: releases.get(&app.id).copied(), quantities, trial };
            AppRows { dynos: dynos.remove(&app.id).unwrap_or_default(), desired, app }
        });
        Ok((rows.collect(), states))
    }

    /// Dyno containers that no row wants any more are ended, then removed once their output is in the log.
    fn strays(&self, sight: &Sight, rows: &HashMap<ContainerId, DynoState>) -> Vec<Errand> {
        let mut errands = Vec::new();
        for observed in sight.containers.values() {
            let Some(container) = label::dyno_of(observed) else { continue };
            let wanted = rows.get(&container.id).is_some_and(|state| *state != DynoState::Crashed);
            if wanted || sight.under_way.contains(&container.id) {
                continue;
            }
            let (area, id) = (self.area.clone(), container.id);
            let work = match observed.state {
                ContainerState::Running => {
                    if rows.contains_key(&id) || area.is_stopping(id) {
                        continue;
                    }
                    async move { area.stop_container(id).await }.boxed()
                }
                _ if area.kernel.drained.contains(id) => {
                    async move { area.remove_container(id).await }.boxed()
                }
                _ => continue,
            };
            let (app, name) = (container.app, container.name);
            errands.push(Errand { container: id, app, name, kind: ErrandKind::End, announce: None, work });
        }
        errands
    }
}

/// What the store has of one app.
struct AppRows {
    app: App,
    dynos: Vec<Dyno>,
    desired: Desired,
}

/// One app's part of a pass. What fails is logged and tried again.
async fn pass_app(
    area: &Arc<Dynos>,
    AppRows { app, dynos, desired }: &AppRows,
    pending: &[Release],
    sight: &Sight,
) -> (PassReport, Vec<Errand>) {
    let mut report = PassReport::default();
    let mut errands = Vec::new();
    let mut count = |report: &mut PassReport, result| match result {
        Ok(Outcome::Done) => report.done += 1,
        Ok(Outcome::Nothing) => {}
        Ok(Outcome::Errand(errand)) => errands.push(errand),
        Err(error) => {
            report.failed += 1;
            tracing::warn!(app.name = %app.name, error = chain(&error), "a step failed, will be tried again");
        }
    };
    let begun = area.deploy.begin_release_phases(app, pending, dynos).await;
    count(&mut report, begun.map(Outcome::from));
    match formation_steps(area, desired, dynos, sight).await {
        Ok((steps, again_in)) => {
            report.again_in = again_in;
            for step in steps {
                let result = carry_out(area, app, desired, dynos, sight, &step).await;
                count(&mut report, result);
            }
        }
        Err(error) => count(&mut report, Err(error)),
    }
    for dyno in dynos.iter().filter(|dyno| dyno.kind != DynoKind::Formation) {
        match one_off_seen(area, dyno, sight).await {
            Ok(seen) => {
                let result = one_off(area, app, dyno, &seen, sight).await;
                count(&mut report, result);
                let again_at = one_off::next_hang_up_at(&seen).filter(|at| *at > area.kernel.now());
                look_again(&mut report, again_at.map(|at| at.since(area.kernel.now())));
            }
            Err(error) => count(&mut report, Err(error)),
        }
    }
    (report, errands)
}

/// What became of a step.
enum Outcome {
    /// There was nothing to do after all.
    Nothing,
    Done,
    /// It takes a while, and is done beside the pass.
    Errand(Errand),
}

impl From<bool> for Outcome {
    fn from(done: bool) -> Self {
        if done { Self::Done } else { Self::Nothing }
    }
}

/// Plans one app's formation; also how soon to look again.
async fn formation_steps(
    area: &Dynos,
    desired: &Desired,
    dynos: &[Dyno],
    sight: &Sight,
) -> Result<(Vec<Step>, Option<Duration>)> {
    let mut seen = Vec::new();
    let mut again_in = None;
    let now = area.kernel.now();
    for dyno in dynos.iter().filter(|dyno| dyno.kind == DynoKind::Formation) {
        let seen_now = sight.of(area, dyno).await?;
        if dyno.state == DynoState::Starting && matches!(seen_now, Seen::Running { listening: false }) {
            again_in = Some(BOOTING_LOOK);
        }
        let waits = dyno.state == DynoState::Crashed && seen_now != Seen::UnderWay;
        if let Some(retry_at) = dyno.retry_at.filter(|_| waits) {
            let wait = retry_at.since(now);
            again_in = Some(again_in.map_or(wait, |again: Duration| again.min(wait)));
        }
        seen.push(DynoSeen {
            id: dyno.id,
            name: dyno.name.clone(),
            release: dyno.release_id,
            version: dyno.release_version,
            state: dyno.state,
            ending: dyno.desired == DesiredDynoState::Stopped,
            seen: seen_now,
            booting_since: sight
                .container(dyno)
                .map_or(dyno.state_changed_at, |container| container.started_at.max(dyno.state_changed_at)),
            state_since: dyno.state_changed_at,
            retry_at: dyno.retry_at,
        });
    }
    let passed_in = formation::next_passed(desired, &seen, now);
    let again_in = again_in.into_iter().chain(passed_in).min();
    Ok((formation::plan(desired, &seen, now), again_in))
}

/// Carries out one step of the plan.
async fn carry_out(
    area: &Arc<Dynos>,
    app: &App,
    desired: &Desired,
    dynos: &[Dyno],
    sight: &Sight,
    step: &Step,
) -> Result<Outcome> {
    let dyno = |id| dynos.iter().find(|dyno| dyno.id == id).ok_or_else(|| Error::not_found("dyno"));
    match step {
        Step::Create(name) => {
            let made = area.create_formation_dyno(app, name).await?;
            Ok(made.map_or(Outcome::Nothing, |made| start(area, app, &made)))
        }
        Step::Launch(id) => Ok(start(area, app, dyno(*id)?)),
        Step::MarkUp(id) => area.mark_dyno_up(app, dyno(*id)?, sight).await.map(|()| Outcome::Done),
        Step::Crash { dyno: id, status } => {
            let dyno = dyno(*id)?;
            let crashed = area.mark_dyno_crashed(app, dyno, *status, sight.container(dyno)).await;
            crashed.map(|()| Outcome::Done)
        }
        Step::BootTimeout(id) => Ok(end_boot(area, app, dyno(*id)?)),
        Step::Stop { dyno: id, reason } => Ok(stop(area, app, dyno(*id)?, *reason)),
        Step::Forget(id) => {
            let dyno = dyno(*id)?;
            let forgotten = area.forget_dyno(app, dyno, desired.wants(&dyno.name), sight).await;
            forgotten.map(|()| Outcome::Done)
        }
        Step::Retry(id) => {
            let made = area.retry_dyno(app, dyno(*id)?).await?;
            Ok(made.map_or(Outcome::Nothing, |made| start(area, app, &made)))
        }
    }
}

fn start(area: &Arc<Dynos>, app: &App, dyno: &Dyno) -> Outcome {
    let (area, app, launched) = (area.clone(), app.clone(), dyno.clone());
    errand(dyno, ErrandKind::Start, None, async move { area.launch_dyno(&app, &launched).await })
}

fn stop(area: &Arc<Dynos>, app: &App, dyno: &Dyno, reason: StopReason) -> Outcome {
    let Some(container) = dyno.container_id else { return Outcome::Nothing };
    if area.is_stopping(container) {
        return Outcome::Nothing;
    }
    let (ending, app, stopped) = (area.clone(), app.clone(), dyno.clone());
    let announce = async move { ending.announce_stop(&app, &stopped, reason).await }.boxed();
    let area = area.clone();
    errand(dyno, ErrandKind::End, Some(announce), async move { area.stop_container(container).await })
}

fn end_boot(area: &Arc<Dynos>, app: &App, dyno: &Dyno) -> Outcome {
    let (area, app, ended) = (area.clone(), app.clone(), dyno.clone());
    errand(dyno, ErrandKind::End, None, async move { area.end_boot(&app, &ended).await })
}

/// A part of its end, though a program may go on: its shim may take as long to answer.
fn hang_up(area: &Arc<Dynos>, app: &App, dyno: &Dyno) -> Outcome {
    let (area, app, left) = (area.clone(), app.clone(), dyno.clone());
    errand(dyno, ErrandKind::End, None, async move { area.hang_up(&app, &left).await })
}

fn errand(
    dyno: &Dyno,
    kind: ErrandKind,
    announce: Option<BoxFuture<'static, Result<()>>>,
    work: impl Future<Output = Result<()>> + Send + 'static,
) -> Outcome {
    let Some(container) = dyno.container_id else { return Outcome::Nothing };
    Outcome::Errand(Errand {
        container,
        app: dyno.app_id,
        name: dyno.name.to_string(),
        kind,
        announce,
        work: work.boxed(),
    })
}

async fn one_off_seen(area: &Dynos, dyno: &Dyno, sight: &Sight) -> Result<OneOffSeen> {
    let has_client = sight.had_client.contains(&dyno.id) || area.clients.has(dyno.id);
    Ok(OneOffSeen {
        state: dyno.state,
        ending: dyno.desired == DesiredDynoState::Stopped,
        seen: sight.of(area, dyno).await?,
        ends_at: Some(dyno.created_at + life_of(dyno)),
        client_is_gone: dyno.attach_secret_sha256.is_some() && !has_client,
        hang_ups: u32::try_from(dyno.hang_ups).unwrap_or(u32::MAX),
        hung_up_at: dyno.hung_up_at,
    })
}

/// Looks after a one-off dyno or a release phase's dyno.
async fn one_off(
    area: &Arc<Dynos>,
    app: &App,
    dyno: &Dyno,
    seen: &OneOffSeen,
    sight: &Sight,
) -> Result<Outcome> {
    match one_off::plan(seen, area.kernel.now()) {
        None => Ok(Outcome::Nothing),
        Some(step) if dyno.attach_secret_sha256.is_some() && waits_for_client(area, dyno, step) => {
            Ok(Outcome::Nothing)
        }
        Some(one_off::Step::Launch) if dyno.attach_secret_sha256.is_some() && !area.clients.has(dyno.id) => {
            let name = dyno.name.to_string();
            area.kernel.log_dyno(app.id, &name, vec![DynoCode::R13.line()]).await;
            area.finish_one_off(app, dyno, None, sight).await.map(Outcome::from)
        }
        Some(one_off::Step::Launch) => Ok(start(area, app, dyno)),
        Some(one_off::Step::MarkUp) => area.mark_dyno_up(app, dyno, sight).await.map(|()| Outcome::Done),
        Some(one_off::Step::Stop) => Ok(stop(area, app, dyno, StopReason::Requested)),
        Some(one_off::Step::HangUp) => Ok(hang_up(area, app, dyno)),
        Some(one_off::Step::TellDetached) => area.tell_detached(app, dyno).await.map(|()| Outcome::Done),
        Some(one_off::Step::Finish { status }) => {
            area.finish_one_off(app, dyno, status, sight).await.map(Outcome::from)
        }
    }
}

/// An attached dyno starts when its client has come, and is kept until the client has read the end of it.
fn waits_for_client(area: &Dynos, dyno: &Dyno, step: one_off::Step) -> bool {
    let (is_there, ending) = (area.clients.has(dyno.id), dyno.desired == DesiredDynoState::Stopped);
    match step {
        one_off::Step::Launch => !is_there && area.kernel.now() < dyno.created_at + CLIENT_TIME_MAX,
        one_off::Step::Finish { .. } => is_there && !ending,
        one_off::Step::MarkUp | one_off::Step::Stop | one_off::Step::HangUp | one_off::Step::TellDetached => {
            false
        }
    }
}

/// How long a one-off dyno may live.
fn life_of(dyno: &Dyno) -> Duration {
    let seconds = dyno.time_to_live_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(ONE_OFF_LIFE, Duration::from_secs)
}
