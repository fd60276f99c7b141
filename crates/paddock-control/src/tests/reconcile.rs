//! Passes of the reconcilers over a control plane of which nothing runs by itself.

use std::sync::Arc;
use std::time::Duration;

use paddock_core::AppId;
use paddock_core::artefact::{Artefact, ProgramUser};
use paddock_core::dyno::{DynoName, DynoSize, DynoState};
use paddock_core::log::LogFilter;
use paddock_core::release::ReleaseStatus;
use paddock_core::stack::{Stack, StackBase, StackVersion};
use paddock_ipc::routes::Web;
use paddock_runtime::{ContainerState, Exit, Layer, Runtime, Stream};
use paddock_telemetry::OutputLogs;
use uuid::Uuid;

use crate::dynos::reconcile::{BOOTING_LOOK, FormationReconciler};
use crate::kernel::clock::{Clock, SystemClock};
use crate::kernel::reconcile::Reconciler as _;
use crate::logs::output::OutputReconciler;
use crate::tests::Still;

const PATIENCE: Duration = Duration::from_secs(20);

impl Still {
    /// How often the store is read by `work`.
    pub(super) async fn reads<T>(&self, work: impl Future<Output = Result<T, crate::Error>>) -> u64 {
        let before = self.control.kernel.store.statistics().reads;
        work.await.unwrap();
        self.control.kernel.store.statistics().reads - before
    }

    /// Makes an app with one worker, which fails; its id.
    async fn failing_app(&self, name: &str) -> AppId {
        let app = self.deployed_app(name, "worker", "die").await.app_id;
        self.scale_worker(app, 1).await;
        app
    }

    async fn scale_worker(&self, app: AppId, quantity: u32) {
        let mut tx = self.control.kernel.store.begin_for_app(app, self.control.now(), "test").await.unwrap();
        tx.scale_formation(app, &"worker".parse().unwrap(), quantity, DynoSize::Basic).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What the log has of a dyno.
    async fn said(&self, app: AppId, dyno: &str) -> Vec<String> {
        let log = self.control.kernel.logs.read(app, LogFilter::default(), usize::MAX).await.unwrap();
        let lines = log.lines.into_iter().filter(|(_, line)| line.process == dyno);
        lines.map(|(_, line)| line.text).collect()
    }

    /// Looks after the formation until the log of a dyno has a line.
    async fn pass_until(&self, formation: &mut FormationReconciler, app: AppId, dyno: &str, line: &str) {
        let mut woken = self.control.kernel.wakes.dynos.listen();
        let passes = async {
            while !self.said(app, dyno).await.iter().any(|text| text.starts_with(line)) {
                formation.pass().await.unwrap();
                woken.heard(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, passes).await.unwrap_or_else(|_| panic!("{line:?} is logged"));
    }

    /// Looks after the formation until there is nothing to look at.
    async fn settle(&self, formation: &mut FormationReconciler) {
        let mut woken = self.control.kernel.wakes.dynos.listen();
        let passes = async {
            while self.reads(formation.pass()).await > 0 {
                woken.heard(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, passes).await.expect("nothing is left to look at");
    }

    /// Looks after the formation until one container runs.
    async fn pass_until_one_runs(&self, formation: &mut FormationReconciler) {
        let mut woken = self.control.kernel.wakes.dynos.listen();
        let passes = async {
            while self.running().await != 1 {
                formation.pass().await.unwrap();
                woken.heard(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, passes).await.expect("one container runs");
    }

    /// How often the store is read by a pass that takes no step of a round: of three, while no dyno is told apart from the
    /// others by less than its time to look again, one takes none and finds it due.
    async fn reads_while_booting(&self, formation: &mut FormationReconciler) -> u64 {
        let mut woken = self.control.kernel.wakes.dynos.listen();
        let mut least = u64::MAX;
        for _ in 0..3 {
            woken.heard(BOOTING_LOOK + Duration::from_millis(10)).await;
            least = least.min(self.reads(formation.pass()).await);
        }
        least
    }

    /// Lets the newest container say something and end.
    fn die(&self, last_words: &str) {
        let id = self.runtime.specs().last().unwrap().id;
        self.runtime.print(id, Stream::Stderr, last_words);
        self.runtime.exit(id, Exit { status: 3, out_of_memory: false, killed_after_grace: false });
    }

    /// How many containers run.
    async fn running(&self) -> usize {
        let observed = self.runtime.observe().await.unwrap();
        observed.iter().filter(|container| container.state == ContainerState::Running).count()
    }
}

#[tokio::test]
async fn what_looks_after_all_apps_reads_as_often_for_many_as_for_one() {
    let t = Still::new().await;
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    let mut counts = Vec::new();
    for (begun, apps) in [(0, 1), (1, 12)] {
        for number in begun..apps {
            t.deployed_app(&format!("app-{number}"), "worker", "work").await;
        }
        t.settle(&mut formation).await;
        let routes = t.reads(t.control.routing.publisher.route_table()).await;
        let garbage = t.reads(t.control.garbage().pass()).await;
        counts.push([routes, garbage]);
    }
    assert_eq!(counts[0], counts[1], "routes, garbage");
    assert_eq!(t.control.routing.publisher.route_table().await.unwrap().apps.len(), 12);
}

#[tokio::test]
async fn while_a_dyno_boots_only_its_app_is_looked_at() {
    let t = Still::new().await;
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    let web = t.deployed_app("boots", "web", "serve").await.app_id;
    t.pass_until(&mut formation, web, "web.1", "Starting process").await;
    let alone = t.reads_while_booting(&mut formation).await;
    assert!(alone > 0);
    for number in 0..12 {
        t.deployed_app(&format!("app-{number}"), "worker", "work").await;
    }
    formation.pass().await.unwrap();
    assert_eq!(t.reads_while_booting(&mut formation).await, alone);
    formation.end().await;
}

#[tokio::test]
async fn what_was_changed_or_vanished_is_seen_though_nobody_woke_the_pass() {
    let t = Still::new().await;
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    let app = t.deployed_app("still", "worker", "work").await.app_id;
    t.settle(&mut formation).await;
    t.scale_worker(app, 1).await;
    t.pass_until(&mut formation, app, "worker.1", "State changed from starting to up").await;
    t.settle(&mut formation).await;
    assert_eq!(t.running().await, 1);
    // As when somebody cleaned up behind our back.
    t.runtime.remove(t.runtime.specs().last().unwrap().id).await.unwrap();
    t.pass_until_one_runs(&mut formation).await;
    t.settle(&mut formation).await;
    formation.end().await;

    // The next process remembers nothing, and nothing was touched since it began.
    t.runtime.remove(t.runtime.specs().last().unwrap().id).await.unwrap();
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    t.pass_until_one_runs(&mut formation).await;
    formation.end().await;
}

#[tokio::test]
async fn what_runs_of_an_app_that_is_destroyed_ends() {
    let t = Still::new().await;
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    let app = t.deployed_app("doomed", "worker", "work").await.app_id;
    t.scale_worker(app, 1).await;
    t.pass_until(&mut formation, app, "worker.1", "State changed from starting to up").await;
    t.settle(&mut formation).await;
    let mut tx = t.control.kernel.store.begin_for_app(app, t.control.now(), "test").await.unwrap();
    tx.delete_app(app).await.unwrap();
    tx.commit().await.unwrap();
    let mut output = OutputReconciler::new(t.control.logs.clone());
    let passes = async {
        while !t.runtime.observe().await.unwrap().is_empty() {
            formation.pass().await.unwrap();
            output.pass().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, passes).await.expect("its container ends and goes");
    formation.end().await;
}

#[tokio::test]
async fn an_output_goes_with_what_it_belongs_to() {
    let t = Still::new().await;
    let mut garbage = t.control.garbage();
    let outputs = &t.control.deploy.outputs;
    let before = OutputLogs::open(t.folder.path().join("outputs")).unwrap();
    let (mut kept, mut spared) = (Vec::new(), Vec::new());
    for number in 0..3 {
        let release = t.deployed_app(&format!("app-{number}"), "worker", "work").await;
        // One that the sweep ends and keeps, one of nobody that ended, one of nobody that a killed process began, and one of
        // nobody that may be too young to go.
        outputs.writer(release.id.uuid()).unwrap();
        outputs.writer(Uuid::now_v7()).unwrap().finish().await.unwrap();
        before.writer(Uuid::now_v7()).unwrap();
        let young = Uuid::now_v7();
        outputs.writer(young).unwrap();
        spared.push(young);
        kept.push(release.id.uuid());
    }
    garbage.pass().await.unwrap();
    let seen = outputs.list().await.unwrap();
    let those = |is_finished| seen.iter().filter(move |output| output.is_finished == is_finished);
    assert_eq!(those(true).map(|output| output.id).collect::<Vec<_>>(), kept);
    assert_eq!(those(false).map(|output| output.id).collect::<Vec<_>>(), spared);
}

#[tokio::test]
async fn a_dyno_is_started_by_the_names_of_what_its_release_runs() {
    let t = Still::new().await;
    let app = t.deployed_app("named", "web", "serve --port $PORT").await.app_id;
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    t.pass_until(&mut formation, app, "web.1", "Starting process").await;
    let passes = async {
        while t.runtime.specs().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, passes).await.expect("it is started");
    let spec = t.runtime.specs().remove(0);
    let stack = StackVersion { stack: Stack::HOST, version: "test".to_owned() };
    // As the rows of the tests say it.
    let slug = Artefact::of_slug(
        format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
        StackBase::Host(stack.clone()),
    );
    assert_eq!(spec.layers, [Layer::Stored(slug.layers[0].clone()), Layer::Stack(stack)]);
    let row = t.control.kernel.store.app(app).await.unwrap().unwrap();
    assert_eq!((spec.tenant, spec.user), (row.tenant(), ProgramUser::DYNO));
    assert_eq!((spec.command, spec.working_dir), (slug.command("serve --port $PORT"), "/app".to_owned()));
    let value = |name: &str| {
        let found = spec.env.iter().find(|(of, _)| of == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!(value("PATH"), slug.env.get("PATH").cloned());
    assert_eq!((value("HOME").as_deref(), value("PWD").as_deref()), (Some("/app"), Some("/app")));
}

#[tokio::test]
async fn a_start_that_hangs_does_not_hold_a_pass_up() {
    let t = Still::new().await;
    t.runtime.hold_starts("hang");
    t.deployed_app("stuck", "web", "hang").await;
    t.deployed_app("other", "web", "serve").await;
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    let mut woken = t.control.kernel.wakes.dynos.listen();
    let passes = async {
        while (t.running().await, t.runtime.held_starts().len()) != (1, 1) {
            formation.pass().await.unwrap();
            woken.heard(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, passes).await.expect("the other app's dyno is started");
    // What it sees of the first one is half done, and is left alone.
    formation.pass().await.unwrap();
    assert_eq!(t.runtime.held_starts().len(), 1);
    t.runtime.release_starts();
    tokio::time::timeout(PATIENCE, formation.end()).await.expect("the end waits for the start, no longer");
    assert_eq!(t.running().await, 2);
}

#[tokio::test]
async fn what_a_program_said_last_comes_before_its_end_and_before_the_next_start() {
    let t = Still::new().await;
    let app = t.failing_app("brief").await;
    let (mut formation, mut output) =
        (FormationReconciler::new(t.control.dynos.clone()), OutputReconciler::new(t.control.logs.clone()));
    t.pass_until(&mut formation, app, "worker.1", "State changed from starting to up").await;
    t.die("why I die");
    for _ in 0..3 {
        formation.pass().await.unwrap();
    }
    assert_eq!(t.said(app, "worker.1").await.len(), 2, "nobody has collected its output yet");
    output.pass().await.unwrap();
    t.pass_until(&mut formation, app, "worker.1", "State changed from crashed to starting").await;
    t.pass_until(&mut formation, app, "worker.1", "State changed from starting to up").await;
    formation.end().await;
    let said = t.said(app, "worker.1").await;
    let expected = [
        "Starting process with command `die`",
        "State changed from starting to up",
        "why I die",
        "Process exited with status 3",
        "State changed from up to crashed",
        "State changed from crashed to starting",
        "Starting process with command `die`",
    ];
    assert_eq!(said[..expected.len()], expected, "{said:?}");
}

/// A clock that is ahead.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> paddock_core::UnixMicros {
        SystemClock.now() + self.0
    }
}

#[tokio::test]
async fn a_log_that_takes_nothing_does_not_keep_a_crashed_dyno_up() {
    let t = Still::with_clock(Arc::new(Ahead(Duration::from_secs(10)))).await;
    let app = t.failing_app("unheard").await;
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    t.pass_until(&mut formation, app, "worker.1", "State changed from starting to up").await;
    t.die("nobody hears this");
    t.pass_until(&mut formation, app, "worker.1", "State changed from up to crashed").await;
    formation.end().await;
}

#[tokio::test]
async fn what_follows_a_crash_is_told() {
    let t = Still::new().await;
    let (control, store) = (&t.control, &t.control.kernel.store);
    let app = t.failing_app("fallen").await;
    let row = store.app(app).await.unwrap().unwrap();
    let name = DynoName { process_type: "worker".parse().unwrap(), index: 1 };
    let first = control.dynos.create_formation_dyno(&row, &name).await.unwrap().unwrap();
    control.dynos.mark_dyno_crashed(&row, &first, Some(1), None).await.unwrap();
    let crashed = store.dyno(first.id).await.unwrap().unwrap();
    let second = control.dynos.retry_dyno(&row, &crashed).await.unwrap().unwrap();
    control.dynos.mark_dyno_crashed(&row, &second, Some(1), None).await.unwrap();
    // It waits for its next try, until a new release takes its place, and that one's until the formation has none.
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    formation.pass().await.unwrap();
    let tx = store.begin_for_app(app, control.now(), "test").await.unwrap();
    t.release(tx, app, "worker", "work").await;
    formation.pass().await.unwrap();
    formation.end().await;
    let third = store.all_dynos().await.unwrap().pop().unwrap();
    control.dynos.mark_dyno_crashed(&row, &third, Some(1), None).await.unwrap();
    t.runtime.remove(third.container_id.unwrap()).await.unwrap();
    t.scale_worker(app, 0).await;
    formation.pass().await.unwrap();
    let said = t.said(app, "worker.1").await;
    let crashes: Vec<_> = said.iter().filter(|line| line.starts_with("State changed from crashed")).collect();
    let [to_starting, to_down] =
        ["starting", "down"].map(|state| format!("State changed from crashed to {state}"));
    assert_eq!(crashes, [&to_starting, &to_starting, &to_down], "{said:?}");
}

#[tokio::test]
async fn the_log_says_when_the_last_dyno_that_served_on_has_ended() {
    let t = Still::new().await;
    let (control, store) = (&t.control, &t.control.kernel.store);
    let app = t.deployed_app("left", "web", "serve").await.app_id;
    let row = store.app(app).await.unwrap().unwrap();
    let name = DynoName { process_type: "web".parse().unwrap(), index: 1 };
    let old = control.dynos.create_formation_dyno(&row, &name).await.unwrap().unwrap();
    let mut tx = store.begin_for_app(app, control.now(), "test").await.unwrap();
    tx.put_dyno(&paddock_store::Dyno { state: DynoState::Up, ..old.clone() }).await.unwrap();
    t.release(tx, app, "web", "broken").await;
    let new = control.dynos.create_formation_dyno(&row, &name).await.unwrap().unwrap();
    control.dynos.mark_dyno_crashed(&row, &new, Some(1), None).await.unwrap();
    let (was, is) = (old.release_version, new.release_version);
    let serves_on = format!("Release v{is} has not come up: v{was} serves on");
    assert!(t.said(app, "web.1").await.contains(&serves_on), "{:?}", t.said(app, "web.1").await);

    // Its container is gone, as after a reboot.
    let mut formation = FormationReconciler::new(t.control.dynos.clone());
    formation.pass().await.unwrap();
    formation.end().await;
    let said = t.said(app, "web.1").await;
    let ended = format!("The last dyno of v{was} has ended and v{is} has not come up: nothing serves");
    assert!(said.iter().any(|line| line.starts_with(&ended)), "{said:?}");
}

#[tokio::test]
async fn a_dyno_has_slug_and_command_of_one_release_though_another_came_since_the_pass_began() {
    let t = Still::new().await;
    let first = t.deployed_app("moving", "worker", "old").await;
    let seen = t.control.kernel.store.app(first.app_id).await.unwrap().unwrap();
    let tx = t.control.kernel.store.begin_for_app(first.app_id, t.control.now(), "test").await.unwrap();
    let second = t.release(tx, first.app_id, "worker", "new").await;
    let name = DynoName { process_type: "worker".parse().unwrap(), index: 1 };
    let made = t.control.dynos.create_formation_dyno(&seen, &name).await.unwrap().unwrap();
    assert_eq!((made.release_id, made.command.as_str()), (second.id, "new"));
}

#[tokio::test]
async fn old_releases_expire_but_for_the_newest_and_the_current_one() {
    let t = Still::new().await;
    let first = t.deployed_app("aged", "worker", "work").await;
    let (store, app) = (&t.control.kernel.store, first.app_id);
    let day = |days: u64| t.control.now() - Duration::from_secs(days * 24 * 60 * 60);
    // v1 is young, v2 to v30 are old, and v4 is the current one.
    for _ in 2..=30 {
        let tx = store.begin_for_app(app, day(31), "test").await.unwrap();
        t.release(tx, app, "worker", "work").await;
    }
    let mut tx = store.begin_for_app(app, day(29), "test").await.unwrap();
    let old = tx.release_by_version(app, 4).await.unwrap().unwrap();
    tx.set_current_release(app, old.id).await.unwrap();
    tx.commit().await.unwrap();
    let slug_of = async |version| store.release_by_version(app, version).await.unwrap().unwrap().slug_id;
    let mut slugs = Vec::new();
    for version in 1..=30 {
        slugs.push(slug_of(version).await.unwrap());
    }

    let mut garbage = t.control.garbage();
    assert_eq!(garbage.pass().await.unwrap().done, 8);
    for (version, slug) in (1..).zip(slugs) {
        let release = store.release_by_version(app, version).await.unwrap().unwrap();
        let (status, kept) = match version {
            2 | 3 | 5..=10 => (ReleaseStatus::Expired, None),
            _ => (ReleaseStatus::Succeeded, Some(slug)),
        };
        assert_eq!((release.status, release.slug_id), (status, kept), "v{version}");
        assert_eq!(store.slug(slug).await.unwrap().is_some(), kept.is_some(), "the slug of v{version}");
    }
    assert_eq!(garbage.pass().await.unwrap().done, 0, "once");
}

#[tokio::test]
async fn the_log_of_an_app_that_nobody_remembers_goes() {
    let t = Still::new().await;
    let app = t.deployed_app("there", "worker", "work").await.app_id;
    let gone = AppId::from_uuid(Uuid::now_v7());
    for app in [app, gone] {
        t.control.kernel.log_api(app, "late").await;
    }
    assert_eq!(t.control.kernel.logs.apps().await.unwrap().len(), 2);
    t.control.garbage().pass().await.unwrap();
    assert_eq!(t.control.kernel.logs.apps().await.unwrap(), [app]);
}

#[tokio::test]
async fn clients_wait_for_a_dyno_that_is_tried_again_at_once() {
    let t = Still::new().await;
    let (control, store) = (&t.control, &t.control.kernel.store);
    let app = t.deployed_app("restless", "web", "serve").await.app_id;
    let app = store.app(app).await.unwrap().unwrap();
    let web =
        async || control.routing.publisher.route_table().await.unwrap().apps[&app.id.to_string()].web.clone();
    let name = DynoName { process_type: "web".parse().unwrap(), index: 1 };
    let first = control.dynos.create_formation_dyno(&app, &name).await.unwrap().unwrap();
    control.dynos.mark_dyno_crashed(&app, &first, Some(1), None).await.unwrap();
    assert_eq!(web().await, Web::Starting, "as after a reboot of the machine");
    let crashed = store.dyno(first.id).await.unwrap().unwrap();
    let second = control.dynos.retry_dyno(&app, &crashed).await.unwrap().unwrap();
    control.dynos.mark_dyno_crashed(&app, &second, Some(1), None).await.unwrap();
    assert_eq!(web().await, Web::Crashed);
}

#[tokio::test]
async fn a_reconciler_that_never_succeeded_has_an_age() {
    let t = Still::new().await;
    t.control.kernel.numbers.begun("stuck");
    let text = t.control.platform.metrics().await.unwrap();
    assert!(text.contains("paddock_control_pass_age_seconds{reconciler=\"stuck\"}"), "{text}");
}
