//! What the router is told, by messages that it would understand.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::{AppId, DomainId};
use paddock_ipc::routes::{Listener, RouteTable, Web};
use paddock_store::{DomainKind, NewDomain, Tx};
use uuid::Uuid;

use super::Still;
use crate::kernel::reconcile::Reconciler;
use crate::kernel::round::Page;
use crate::routing::reconcile::RouteReconciler;
use crate::routing::router_link::fake::{FakeRouter, Told};
use crate::routing::router_link::{RouterLink, RouterStarter};

/// Nobody starts another router here.
struct NoStarter;

#[async_trait]
impl RouterStarter for NoStarter {
    async fn start(&self, _: &[(Listener, OwnedFd)]) -> io::Result<u32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn kill(&self, _: u32) {}
}

struct Routed {
    t: Still,
    router: Arc<FakeRouter>,
    pass: RouteReconciler,
    _folder: tempfile::TempDir,
}

impl Routed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("router.sock");
        let router = FakeRouter::listen(&path, 1, paddock_ipc::VERSION);
        let t = Still::with_router(Arc::new(RouterLink::new(path, "abcdef".into()))).await;
        let pass = RouteReconciler::new(t.control.routing.clone(), Arc::new(NoStarter));
        Self { t, router, pass, _folder: folder }
    }

    async fn app(&self, name: &str) -> AppId {
        self.t.deployed_app(name, "web", "serve").await.app_id
    }

    async fn publish(&self, app: AppId) {
        self.t.control.kernel.routes.publish(app).await;
    }

    async fn begin(&self, app: AppId) -> Tx {
        self.t.control.kernel.store.begin_for_app(app, self.t.control.now(), "test").await.unwrap()
    }

    async fn set_maintenance(&self, app: AppId, maintenance: bool) {
        let mut tx = self.begin(app).await;
        tx.set_maintenance(app, maintenance).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn told(&self) -> Told {
        self.router.told().clone()
    }

    /// How many whole tables and changes the router was told.
    fn counts(&self) -> (usize, usize) {
        let told = self.told();
        (told.tables, told.changes)
    }

    fn is_maintained(&self, app: AppId) -> bool {
        self.told().table.unwrap().apps[&app.to_string()].maintenance
    }

    /// The router has what is stored.
    async fn assert_true(&self) {
        let told = self.told().table.unwrap();
        let stored = self.t.control.routing.publisher.route_table().await.unwrap();
        assert_eq!(told, RouteTable { generation: told.generation, ..stored });
    }
}

#[tokio::test]
async fn a_change_of_one_app_reads_and_tells_that_app_alone() {
    let mut routed = Routed::new().await;
    let app = routed.app("app-0").await;
    let mut reads = Vec::new();
    for (begun, apps) in [(1, 1), (1, 12)] {
        for number in begun..apps {
            routed.app(&format!("app-{number}")).await;
        }
        routed.pass.pass().await.unwrap();
        let (tables, changes) = routed.counts();
        routed.set_maintenance(app, apps == 1).await;
        let publish = async {
            routed.publish(app).await;
            Ok(())
        };
        reads.push(routed.t.reads(publish).await);
        assert_eq!(routed.counts(), (tables, changes + 1));
        assert_eq!(routed.is_maintained(app), apps == 1);
        routed.assert_true().await;
    }
    assert_eq!(reads[0], reads[1]);
    assert_eq!(routed.told().tables, 1, "as the router was met");
}

#[tokio::test]
async fn a_pass_tells_what_nobody_published_and_looks_at_nothing_else() {
    let mut routed = Routed::new().await;
    let apps = [routed.app("one").await, routed.app("two").await];
    routed.pass.pass().await.unwrap();
    assert_eq!((routed.counts(), routed.told().table.unwrap().apps.len()), ((1, 0), 2));
    routed.set_maintenance(apps[0], true).await;
    let third = routed.app("three").await;
    assert_eq!(routed.pass.pass().await.unwrap().done, 2);
    assert_eq!(routed.counts(), (1, 2));
    assert!(routed.is_maintained(apps[0]) && !routed.is_maintained(third));
    routed.assert_true().await;

    let before = routed.t.control.kernel.store.statistics().reads;
    assert_eq!(routed.pass.pass().await.unwrap().done, 0);
    assert_eq!(routed.t.control.kernel.store.statistics().reads, before, "nothing was touched");
    // One that was touched and is as it was is read and not told.
    routed.begin(apps[1]).await.commit().await.unwrap();
    assert_eq!(routed.pass.pass().await.unwrap().done, 0);
    // A transaction that is given up in the middle may have been kept.
    drop(routed.begin(apps[1]).await);
    assert_eq!(routed.pass.pass().await.unwrap().done, 0);
    assert!(routed.t.control.kernel.store.statistics().reads > before);
}

#[tokio::test]
async fn domains_and_apps_come_and_go() {
    let mut routed = Routed::new().await;
    let app = routed.app("one").await;
    routed.pass.pass().await.unwrap();
    let hosts = |routed: &Routed| routed.told().table.unwrap().apps[&app.to_string()].hosts.clone();
    let own = hosts(&routed);
    let new = NewDomain {
        id: DomainId::from_uuid(Uuid::now_v7()),
        app_id: app,
        hostname: "www.example.com".into(),
        kind: DomainKind::Custom,
        cname: None,
        status: "none".into(),
    };
    // As a use case does that looks at the domains of all apps.
    let mut tx = routed.t.control.kernel.store.begin_platform(routed.t.control.now(), "test").await.unwrap();
    tx.create_domain(&new).await.unwrap();
    tx.commit().await.unwrap();
    routed.pass.pass().await.unwrap();
    assert_eq!(hosts(&routed), [&own[..], &["www.example.com".to_owned()]].concat());
    let mut tx = routed.begin(app).await;
    tx.delete_domain(app, new.id).await.unwrap();
    tx.commit().await.unwrap();
    routed.publish(app).await;
    assert_eq!(hosts(&routed), own);

    let mut tx = routed.begin(app).await;
    tx.delete_app(app).await.unwrap();
    tx.commit().await.unwrap();
    routed.publish(app).await;
    assert!(routed.told().table.unwrap().apps.is_empty());
    assert_eq!(routed.told().tables, 1);
    routed.assert_true().await;
}

#[tokio::test]
async fn a_router_with_another_table_than_we_think_gets_all_of_it() {
    let mut routed = Routed::new().await;
    let app = routed.app("one").await;
    routed.pass.pass().await.unwrap();
    routed.router.told().table = Some(RouteTable { generation: 0, ..routed.told().table.unwrap() });
    routed.set_maintenance(app, true).await;
    routed.publish(app).await;
    assert_eq!(routed.counts(), (2, 1));
    assert!(routed.is_maintained(app));
    routed.assert_true().await;
    routed.set_maintenance(app, false).await;
    routed.publish(app).await;
    assert_eq!(routed.counts(), (2, 2), "from there it goes on");
    routed.assert_true().await;
}

#[tokio::test]
async fn where_an_answer_was_lost_the_next_pass_sends_everything() {
    let mut routed = Routed::new().await;
    let app = routed.app("one").await;
    routed.pass.pass().await.unwrap();
    let mut woken = routed.t.control.kernel.wakes.routes.listen();
    routed.router.told().hangs_up = true;
    routed.set_maintenance(app, true).await;
    routed.publish(app).await;
    assert_eq!(routed.counts(), (1, 1));
    tokio::time::timeout(Duration::from_secs(10), woken.heard(Duration::MAX))
        .await
        .expect("the pass is woken");
    routed.pass.pass().await.unwrap();
    assert_eq!(routed.counts(), (2, 1));
    routed.assert_true().await;
}

#[tokio::test]
async fn whoever_is_cut_off_while_publishing_leaves_it_to_the_pass() {
    let mut routed = Routed::new().await;
    let app = routed.app("one").await;
    routed.pass.pass().await.unwrap();
    routed.set_maintenance(app, true).await;
    // A client that goes away ends its use case where it waits: here for the first read.
    tokio::select! {
        biased;
        () = routed.publish(app) => panic!("it waits for nothing"),
        () = std::future::ready(()) => {}
    }
    assert!(!routed.is_maintained(app));
    assert_eq!(routed.pass.pass().await.unwrap().done, 1);
    assert!(routed.is_maintained(app));
    routed.assert_true().await;
}

#[tokio::test]
async fn the_sweep_finds_what_nobody_said() {
    let mut routed = Routed::new().await;
    let apps = [routed.app("one").await, routed.app("two").await];
    routed.pass.pass().await.unwrap();
    let publisher = routed.t.control.routing.publisher.clone();
    publisher.sweep(Page::first()).await.unwrap();
    assert_eq!(routed.pass.pass().await.unwrap().done, 0);
    for app in apps {
        routed.set_maintenance(app, true).await;
    }
    let mut tx = routed.begin(apps[1]).await;
    tx.delete_app(apps[1]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(publisher.forget_touched().len(), 2);
    assert_eq!(routed.pass.pass().await.unwrap().done, 0);
    // Page by page: of the first one, the second app is none.
    let next = publisher.sweep(Page { after: None, max: 1 }).await.unwrap();
    assert_eq!(next.after, Some(apps[0]));
    assert_eq!(routed.pass.pass().await.unwrap().done, 1);
    assert_eq!(publisher.sweep(next).await.unwrap().after, None, "the round is over");
    assert_eq!(routed.pass.pass().await.unwrap().done, 1);
    assert_eq!(routed.counts(), (1, 2));
    routed.assert_true().await;
    assert!(matches!(routed.told().table.unwrap().apps[&apps[0].to_string()].web, Web::None | Web::Starting));
}
