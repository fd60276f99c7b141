//! Databases that could not be filled after a restore of the server: closed, and never taken for what they are not.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use paddock_core::addon::AddonState;
use paddock_core::{AddonId, AppId, AppRef};
use paddock_store::NewAddon;
use uuid::Uuid;

use super::ADDRESS;
use crate::addons::AddonChange;
use crate::addons::backup::FillReconciler;
use crate::kernel::dump_databases::DUMPS;
use crate::kernel::reconcile::Reconciler as _;
use crate::tests::Still;

fn server() -> SocketAddr {
    (ADDRESS, 5432).into()
}

impl Still {
    fn dump(&self, addon: AddonId, ending: &str) -> PathBuf {
        self.folder.path().join(DUMPS).join(format!("{addon}.{ending}"))
    }

    /// As a restore of the server leaves it, and as far as it is then.
    pub(crate) fn leave_dump(&self, addon: AddonId, ending: &str) {
        let path = self.dump(addon, ending);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "PGDMP of before").unwrap();
    }

    fn dumps(&self) -> usize {
        std::fs::read_dir(self.folder.path().join(DUMPS)).map_or(0, Iterator::count)
    }

    async fn postgres(&self, app: AppId, name: &str) -> AddonId {
        let id = AddonId::from_uuid(Uuid::now_v7());
        let mut tx = self.control.kernel.change_app(app, "test").await.unwrap();
        let new = NewAddon {
            id,
            name: name.to_owned(),
            app_id: app,
            service: "heroku-postgresql".to_owned(),
            plan: "essential-0".to_owned(),
            options: Default::default(),
            secrets: Default::default(),
            provision_message: None,
        };
        tx.create_addon(&new).await.unwrap();
        tx.set_addon_state(id, AddonState::Provisioned).await.unwrap();
        tx.commit_quietly("test.postgres").await.unwrap();
        id
    }
}

/// Passes until no dump is left.
async fn filled(t: &Still, reconciler: &mut FillReconciler) {
    let mut ends = t.control.kernel.wakes.addons.listen();
    let all = async {
        while t.dumps() > 0 {
            reconciler.pass().await.unwrap();
            ends.heard(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("no dump is left");
}

#[tokio::test]
async fn who_waits_for_a_closed_database_hears_that_it_does_not_come() {
    let t = Still::new().await;
    let app = t.deployed_app("shop", "web", "serve").await.app_id;
    let addon = t.postgres(app, "shop-db").await;
    let status = async || t.control.addons.postgres_wait_status(&t.actor(), "shop-db").await.unwrap();
    t.leave_dump(addon, "dump");
    let filling = status().await;
    assert!(filling.waiting && !filling.error, "{filling:?}");
    std::fs::rename(t.dump(addon, "dump"), t.dump(addon, "failed")).unwrap();
    let closed = status().await;
    assert!(!closed.waiting && closed.error && closed.message.contains("pg:reset"), "{closed:?}");
}

#[tokio::test]
async fn another_plan_opens_no_closed_database() {
    let t = Still::new().await;
    let app = t.deployed_app("shop", "web", "serve").await.app_id;
    let addon = t.addon(app, "shop-fake").await;
    let upgrade = async || {
        let change = AddonChange { plan: Some("small".to_owned()), ..AddonChange::default() };
        t.control.addons.update_addon(&t.actor(), Some(&AppRef::Id(app)), "shop-fake", change).await.unwrap();
        t.fake.asked(server())
    };
    for ending in ["dump", "failed"] {
        t.leave_dump(addon, ending);
        assert_eq!(upgrade().await, 0, "{ending}");
        std::fs::remove_file(t.dump(addon, ending)).unwrap();
    }
    t.leave_dump(addon, "filled");
    assert_eq!(upgrade().await, 1, "whole, it is brought to its plan at once");
}

/// What a kill, or a server that goes away, leaves half done between a reset and an open database is ended by a start.
#[tokio::test]
async fn a_database_that_was_put_right_is_opened_though_its_server_goes_away() {
    let t = Still::new().await;
    let app = t.deployed_app("shop", "web", "serve").await.app_id;
    let addon = t.addon(app, "shop-fake").await;
    let row = t.control.kernel.store.addon(addon).await.unwrap().unwrap();
    t.leave_dump(addon, "failed");
    t.fake.set_away(server(), true);
    assert!(t.control.addons.put_right(&row).await.is_err());
    assert!(t.dump(addon, "replaced").exists(), "what may be written from now on is no dump's");
    assert!(!t.control.addons.dumps_to_fill.is_closed(addon));
    t.fake.set_away(server(), false);
    let asked = t.fake.asked(server());
    t.control.addons.answering.lock().unwrap().extend(row.data_server_id);
    filled(&t, &mut FillReconciler::new(t.control.addons.clone())).await;
    assert_eq!(t.fake.asked(server()), asked + 1);

    t.leave_dump(addon, "failed");
    t.control.addons.put_right(&row).await.unwrap();
    assert_eq!((t.fake.asked(server()), t.dumps()), (asked + 2, 0), "at once when it answers");
    t.control.addons.put_right(&row).await.unwrap();
    assert_eq!(t.fake.asked(server()), asked + 2, "of one that is open there is nothing to do");
}

#[tokio::test]
async fn the_dump_of_an_add_on_that_was_destroyed_goes_however_far_it_was() {
    let t = Still::new().await;
    for ending in ["dump", "filled", "failed", "replaced"] {
        t.leave_dump(AddonId::from_uuid(Uuid::now_v7()), ending);
    }
    FillReconciler::new(t.control.addons.clone()).pass().await.unwrap();
    assert_eq!(t.dumps(), 0);
}
