//! Keeps dynos as the formations want them, and one-off dynos from being forgotten.
//!
//! A pass looks at the apps that [`attention`](super::attention) names: what changed, what is in motion, some of the rest.
//! Five steps for each of them: load what is wanted, observe containers (known or unknown), plan (pure, in core), act,
//! record. The row of a dyno is written before its container is started, so a crash between leaves a dyno in
//! `starting` without container, which the next pass launches. Containers are started and ended beside the pass
//! ([`errands`](super::errands)), and a dyno whose container is being started or ended is left alone meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use paddock_core::AppId;
use paddock_core::code::DynoCode;
use paddock_core::dyno::{DynoKind, DynoState};
use paddock_core::plan::formation::{self, Desired, DynoSeen, Seen, Step, StopReason};
use paddock_core::plan::one_off::{self, Client, OneOffSeen};
use paddock_runtime::ContainerState;
use paddock_store::{App, DesiredDynoState, Dyno, TouchedApps};
use tokio::task::JoinSet;

use crate::Result;
use crate::dynos::Dynos;
use crate::dynos::attention::{Attention, Looked, Signs};
use crate::dynos::errands::{Errand, ErrandKind, Errands};
use crate::dynos::launch::life_of;
use crate::dynos::rows::{AppRows, Found};
use crate::dynos::sight::Sight;
use crate::kernel::error::{Error, chain};
use crate::kernel::label;
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::wake::{Wake, Wakes};

/// How soon to look again while a web dyno has not bound its port: nothing else tells us.
pub(crate) const BOOTING_LOOK: Duration = Duration::from_millis(30);
/// How soon it is looked again whether a release command listens.
const RELEASE_LOOK: Duration = Duration::from_secs(5);

/// Most apps that were touched and are looked at by one pass: who waits for one of them does not wait for a thousand.
const TOUCHED_AT_ONCE: usize = 64;

/// Keeps dynos as wanted.
pub(crate) struct FormationReconciler {
    area: Arc<Dynos>,
    errands: Errands,
    attention: Attention,
    /// Apps that were changed and not looked at since.
    touched: Arc<TouchedApps>,
}

impl FormationReconciler {
    #[must_use]
    pub(crate) fn new(area: Arc<Dynos>) -> Self {
        let wakes = area.clone();
        let errands = Errands::new(move || wakes.kernel.wakes.dynos.wake());
        let touched = area.kernel.store.touched_apps();
        Self { area, errands, attention: Attention::default(), touched }
    }
}

#[async_trait]
impl Reconciler for FormationReconciler {
    const NAME: &'static str = "formation";
    const INTERVAL: Duration = Duration::from_secs(2);

    fn wake(wakes: &Wakes) -> Option<&Wake> {
        Some(&wakes.dynos)
    }

    async fn pass(&mut self) -> Result<PassReport> {
        // Before anything is read: what is touched from here on is looked at by the next pass.
        let mut touched = self.touched.take();
        let rest = touched.iter().nth(TOUCHED_AT_ONCE).copied().map(|first| touched.split_off(&first));
        let mut passed = self.look(&touched).await;
        match &mut passed {
            Ok(report) if rest.is_some() => report.again_in = Some(Duration::ZERO),
            Ok(_) => {}
            Err(_) => self.touched.put_back(touched),
        }
        self.touched.put_back(rest.unwrap_or_default());
        passed
    }

    async fn end(&mut self) {
        self.errands.end().await;
    }
}

/// Has the next look come in time for this as well.
fn look_again(looked: &mut Looked, again_in: Option<Duration>) {
    looked.again_in = [looked.again_in, again_in].into_iter().flatten().min();
}

/// A look at an app, and the errands that it wants.
struct Look {
    id: AppId,
    is_gone: bool,
    report: PassReport,
    looked: Looked,
    errands: Vec<Errand>,
}

impl Look {
    /// It is tried again after a while.
    fn broken_off(id: AppId) -> Self {
        let report = PassReport { failed: 1, ..PassReport::default() };
        Self { id, is_gone: false, report, looked: Looked::default(), errands: Vec::new() }
    }
}

impl FormationReconciler {
    async fn look(&mut self, touched: &BTreeSet<AppId>) -> Result<PassReport> {
        let mut report = PassReport { failed: self.errands.failed(), ..PassReport::default() };
        // What is under way first: what ends after this wakes the next pass. Containers before rows: one that is seen
        // without a row was then surely not made in between.
        let under_way = self.errands.under_way();
        let clients = self.area.clients.present();
        let observed = self.area.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        let sight = Arc::new(Sight::new(observed, under_way.keys().copied().collect(), clients));
        let signs = Signs::of(&sight, &under_way, &self.area.kernel.drained);
        let mut wanted = self.attention.wanted(self.area.kernel.now(), touched, &signs);
        let store = &self.area.kernel.store;
        let (mut found, mut next) = (Found::default(), None);
        if let Some(page) = self.attention.page() {
            let apps = store.apps_after(page.after, page.max).await?;
            let after = page.next(&apps);
            wanted.extend(signs.in_page(page, after));
            for app in &apps {
                wanted.remove(&app.id);
            }
            self.area.find_page(apps, &mut found).await?;
            next = Some(after);
        }
        for app in wanted {
            self.area.find_one(app, &mut found).await?;
        }
        let looks = self.look_after(found, &sight).await;
        self.begin(looks, &mut report).await;
        self.attention.saw(signs, next);
        report.again_in = self.attention.again_in();
        Ok(report)
    }

    /// Looks at apps side by side: one's trouble is not the others'.
    async fn look_after(&self, found: Found, sight: &Arc<Sight>) -> Vec<Look> {
        let Found { rows, gone, unreadable } = found;
        let (mut passes, mut apps) = (JoinSet::new(), HashMap::new());
        for rows in rows {
            let (area, sight, app) = (self.area.clone(), sight.clone(), rows.app.id);
            let task = passes.spawn(async move { look_at(&area, &rows, &sight).await });
            apps.insert(task.id(), app);
        }
        let mut looks: Vec<_> = gone.into_iter().map(|app| look_for(&self.area, app, sight)).collect();
        looks.extend(unreadable.into_iter().map(Look::broken_off));
        while let Some(result) = passes.join_next().await {
            looks.extend(result.map_or_else(
                |error| {
                    tracing::error!(error = chain(&error), "looking after an app failed");
                    apps.get(&error.id()).map(|app| Look::broken_off(*app))
                },
                Some,
            ));
        }
        looks
    }

    /// Begins the errands that have a place, and remembers what became of each look.
    async fn begin(&mut self, looks: Vec<Look>, report: &mut PassReport) {
        let (mut wanted, mut of_apps) = (Vec::new(), Vec::new());
        for Look { id, is_gone, report: part, looked, errands } in looks {
            (report.done, report.failed) = (report.done + part.done, report.failed + part.failed);
            let own: Vec<_> = errands.iter().map(|errand| (errand.container, errand.kind)).collect();
            of_apps.push((id, is_gone, looked, own));
            wanted.extend(errands);
        }
        let (begun, failed) = self.errands.begin(wanted).await;
        (report.done, report.failed) = (report.done + begun, report.failed + failed);
        // One that has ended by now is looked at once more than is needed.
        let under_way = self.errands.under_way();
        let now = self.area.kernel.now();
        for (id, is_gone, mut looked, own) in of_apps {
            let (begun, denied): (Vec<_>, Vec<_>) =
                own.into_iter().partition(|(container, _)| under_way.contains_key(container));
            looked.has_begun = !begun.is_empty();
            looked.denied = denied.into_iter().map(|(_, kind)| kind).collect();
            match is_gone {
                true => self.attention.is_gone(id, &looked, now),
                false => self.attention.looked(id, looked, now),
            }
        }
    }
}

/// Dyno containers of an app that no row of it wants any more are ended, then removed once their output is in the log.
fn strays(area: &Arc<Dynos>, app: AppId, dynos: &[Dyno], sight: &Sight) -> Vec<Errand> {
    let mut errands = Vec::new();
    for observed in sight.containers_of(app) {
        let Some(container) = label::dyno_of(observed) else { continue };
        let id = container.id;
        let row = dynos.iter().find(|dyno| dyno.container_id == Some(id));
        let is_wanted = row.is_some_and(|dyno| dyno.state != DynoState::Crashed);
        if is_wanted || sight.under_way.contains(&id) {
            continue;
        }
        let area = area.clone();
        let work = match observed.state {
            ContainerState::Running => {
                if row.is_some() || area.is_stopping(id) {
                    continue;
                }
                async move { area.stop_container(id).await }.boxed()
            }
            _ if area.kernel.drained.contains(id) => async move { area.remove_container(id).await }.boxed(),
            _ => continue,
        };
        let (app, name) = (container.app, container.name);
        errands.push(Errand { container: id, app, name, kind: ErrandKind::End, announce: None, work });
    }
    errands
}

/// Looks for what is left of an app that is gone.
fn look_for(area: &Arc<Dynos>, app: AppId, sight: &Sight) -> Look {
    let errands = strays(area, app, &[], sight);
    Look { id: app, is_gone: true, report: PassReport::default(), looked: Looked::default(), errands }
}

/// One app's part of a pass. What fails is logged and tried again.
async fn look_at(area: &Arc<Dynos>, rows: &AppRows, sight: &Sight) -> Look {
    let AppRows { app, dynos, desired, pending } = rows;
    let mut report = PassReport::default();
    let mut errands = strays(area, app.id, dynos, sight);
    let mut looked = Looked { is_at_rest: errands.is_empty(), ..Looked::default() };
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
        Ok(planned) => {
            looked.is_at_rest &= planned.is_at_rest && planned.steps.is_empty();
            look_again(&mut looked, planned.again_in);
            for step in planned.steps {
                let result = carry_out(area, app, desired, dynos, sight, &step).await;
                count(&mut report, result);
            }
        }
        Err(error) => count(&mut report, Err(error)),
    }
    for dyno in dynos.iter().filter(|dyno| dyno.kind != DynoKind::Formation) {
        looked.is_at_rest = false;
        looked.attached.extend(dyno.attach_secret_sha256.map(|_| dyno.id));
        if dyno.kind == DynoKind::Release && dyno.state == DynoState::Up && dyno.remark.is_empty() {
            let noted = area.note_server_in_release(dyno, sight).await;
            count(&mut report, noted.map(|()| Outcome::Nothing));
            look_again(&mut looked, Some(RELEASE_LOOK));
        }
        match one_off_seen(area, dyno, sight).await {
            Ok(seen) => {
                let result = one_off(area, app, dyno, &seen, sight).await;
                count(&mut report, result);
                let again_at = one_off::next_hang_up_at(&seen).filter(|at| *at > area.kernel.now());
                look_again(&mut looked, again_at.map(|at| at.since(area.kernel.now())));
            }
            Err(error) => count(&mut report, Err(error)),
        }
    }
    looked.is_at_rest &= errands.is_empty() && report.failed == 0;
    Look { id: app.id, is_gone: false, report, looked, errands }
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

/// The plan for one app's formation.
struct Planned {
    steps: Vec<Step>,
    /// How soon to look again.
    again_in: Option<Duration>,
    /// Whether its dynos are up, or crashed and wait for their next try.
    is_at_rest: bool,
}

async fn formation_steps(area: &Dynos, desired: &Desired, dynos: &[Dyno], sight: &Sight) -> Result<Planned> {
    let mut seen = Vec::new();
    let mut again_in = None;
    let mut is_at_rest = true;
    let now = area.kernel.now();
    for dyno in dynos.iter().filter(|dyno| dyno.kind == DynoKind::Formation) {
        let seen_now = sight.of(area, dyno).await?;
        if dyno.state == DynoState::Starting && matches!(seen_now, Seen::Running { listening: false }) {
            again_in = Some(BOOTING_LOOK);
            area.note_address(dyno, sight).await?;
            area.note_other_port(dyno, sight).await?;
        }
        let waits = dyno.state == DynoState::Crashed && seen_now != Seen::UnderWay;
        let runs = dyno.state == DynoState::Up && matches!(seen_now, Seen::Running { .. });
        is_at_rest &= (runs || waits) && dyno.desired == DesiredDynoState::Running;
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
    Ok(Planned { steps: formation::plan(desired, &seen, now), again_in, is_at_rest })
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
    let seen = sight.of(area, dyno).await?;
    let is_there = area.clients.has(dyno.id);
    let client = match dyno.attach_secret_sha256 {
        None => Client::Nobody,
        Some(_) if is_there => Client::There,
        Some(_) => Client::Away,
    };
    Ok(OneOffSeen {
        state: dyno.state,
        ending: dyno.desired == DesiredDynoState::Stopped,
        seen,
        made_at: dyno.created_at,
        client,
        ends_at: Some(dyno.created_at + life_of(dyno)),
        client_is_gone: client == Client::Away && !sight.had_client.contains(&dyno.id),
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
        Some(one_off::Step::GiveUp) => {
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
