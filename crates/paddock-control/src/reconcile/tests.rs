//! Passes of the reconcilers over a control plane of which nothing runs by itself.

use std::time::Duration;

use paddock_core::dyno::DynoName;
use paddock_core::release::ReleaseStatus;
use paddock_ipc::routes::Web;
use paddock_runtime::{ContainerState, Runtime};
use uuid::Uuid;

use super::formation::FormationReconciler;
use super::garbage::GarbageReconciler;
use super::*;
use crate::tests::Still;

const PATIENCE: Duration = Duration::from_secs(20);

impl Still {
    /// How often the store is read by `work`.
    async fn reads<T>(&self, work: impl Future<Output = Result<T, crate::Error>>) -> u64 {
        let before = self.control.store.statistics().reads;
        work.await.unwrap();
        self.control.store.statistics().reads - before
    }

    /// How many containers run.
    async fn running(&self) -> usize {
        let observed = self.runtime.observe().await.unwrap();
        observed.iter().filter(|container| container.state == ContainerState::Running).count()
    }
}

#[tokio::test]
async fn a_pass_reads_as_often_for_many_apps_as_for_one() {
    let t = Still::new().await;
    let mut formation = FormationReconciler::new(t.control.clone());
    let mut garbage = GarbageReconciler::new(t.control.clone());
    let mut counts = Vec::new();
    for (begun, apps) in [(0, 1), (1, 12)] {
        for number in begun..apps {
            let release = t.deployed_app(&format!("app-{number}"), "worker", "work").await;
            // One that the sweep ends and keeps, and one of nobody, which may be too young to go.
            for id in [release.id.uuid(), Uuid::now_v7()] {
                t.control.outputs.writer(id).unwrap();
            }
        }
        let routes = t.reads(t.control.route_table()).await;
        counts.push([routes, t.reads(formation.pass()).await, t.reads(garbage.pass()).await]);
        let outputs = t.control.outputs.list().await.unwrap();
        assert_eq!(outputs.iter().filter(|output| output.is_finished).count(), apps);
    }
    assert_eq!(counts[0], counts[1], "routes, formation, garbage");
    assert_eq!(t.control.route_table().await.unwrap().apps.len(), 12);
}

#[tokio::test]
async fn a_start_that_hangs_does_not_hold_a_pass_up() {
    let t = Still::new().await;
    t.runtime.hold_starts("hang");
    t.deployed_app("stuck", "web", "hang").await;
    t.deployed_app("other", "web", "serve").await;
    let mut formation = FormationReconciler::new(t.control.clone());
    let mut woken = t.control.wakes.dynos.listen();
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
async fn a_dyno_has_slug_and_command_of_one_release_though_another_came_since_the_pass_began() {
    let t = Still::new().await;
    let first = t.deployed_app("moving", "worker", "old").await;
    let seen = t.control.store.app(first.app_id).await.unwrap().unwrap();
    let tx = t.control.store.begin_for_app(first.app_id, t.control.now()).await.unwrap();
    let second = t.release(tx, first.app_id, "worker", "new").await;
    let name = DynoName { process_type: "worker".parse().unwrap(), index: 1 };
    let made = t.control.create_formation_dyno(&seen, &name).await.unwrap().unwrap();
    assert_eq!((made.release_id, made.command.as_str()), (second.id, "new"));
}

#[tokio::test]
async fn old_releases_expire_but_for_the_newest_and_the_current_one() {
    let t = Still::new().await;
    let first = t.deployed_app("aged", "worker", "work").await;
    let (store, app) = (&t.control.store, first.app_id);
    let day = |days: u64| t.control.now() - Duration::from_secs(days * 24 * 60 * 60);
    // v1 is young, v2 to v30 are old, and v4 is the current one.
    for _ in 2..=30 {
        let tx = store.begin_for_app(app, day(31)).await.unwrap();
        t.release(tx, app, "worker", "work").await;
    }
    let mut tx = store.begin_for_app(app, day(29)).await.unwrap();
    let old = tx.release_by_version(app, 4).await.unwrap().unwrap();
    tx.set_current_release(app, old.id).await.unwrap();
    tx.commit().await.unwrap();
    let slug_of = async |version| store.release_by_version(app, version).await.unwrap().unwrap().slug_id;
    let mut slugs = Vec::new();
    for version in 1..=30 {
        slugs.push(slug_of(version).await.unwrap());
    }

    let mut garbage = GarbageReconciler::new(t.control.clone());
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
        t.control.log_api(app, "late").await;
    }
    assert_eq!(t.control.logs.apps().await.unwrap().len(), 2);
    GarbageReconciler::new(t.control.clone()).pass().await.unwrap();
    assert_eq!(t.control.logs.apps().await.unwrap(), [app]);
}

#[tokio::test]
async fn clients_wait_for_a_dyno_that_is_tried_again_at_once() {
    let t = Still::new().await;
    let (control, store) = (&t.control, &t.control.store);
    let app = t.deployed_app("restless", "web", "serve").await.app_id;
    let app = store.app(app).await.unwrap().unwrap();
    let web = async || control.route_table().await.unwrap().apps[&app.id.to_string()].web.clone();
    let name = DynoName { process_type: "web".parse().unwrap(), index: 1 };
    let first = control.create_formation_dyno(&app, &name).await.unwrap().unwrap();
    control.mark_dyno_crashed(&app, &first, Some(1), None).await.unwrap();
    assert_eq!(web().await, Web::Starting, "as after a reboot of the machine");
    let crashed = store.dyno(first.id).await.unwrap().unwrap();
    let second = control.retry_dyno(&app, &crashed).await.unwrap().unwrap();
    control.mark_dyno_crashed(&app, &second, Some(1), None).await.unwrap();
    assert_eq!(web().await, Web::Crashed);
}

#[tokio::test]
async fn a_reconciler_that_never_succeeded_has_an_age() {
    let t = Still::new().await;
    t.control.numbers.begun("stuck");
    let text = t.control.metrics().await.unwrap();
    assert!(text.contains("paddock_control_pass_age_seconds{reconciler=\"stuck\"}"), "{text}");
}
