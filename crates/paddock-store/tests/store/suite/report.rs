//! Reports about databases.

use std::time::Duration;

use paddock_core::{AddonId, ReportId};
use paddock_store::{Report, Store};
use uuid::Uuid;

use super::fixture::{Fixture, NOW};

fn report(addon_id: AddonId, age: u64) -> Report {
    Report {
        id: ReportId::from_uuid(Uuid::new_v4()),
        addon_id,
        app_name: "shop".into(),
        database_name: "DATABASE_URL".into(),
        checks: "[\"SELECT 'secret'\"]".into(),
        created_at: NOW - Duration::from_secs(age),
    }
}

impl Fixture {
    async fn keep(&self, report: &Report, most: u32) {
        let mut tx = self.store.begin_record(NOW, "test").await.unwrap();
        tx.create_report(report, most).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn of_a_database_only_the_newest_are_kept_and_old_ones_go() {
    let t = Fixture::new().await;
    let app = t.app("shop").await;
    let (first, second) = (t.database(&app, "first").await, t.database(&app, "second").await);
    let (oldest, old, new) = (report(first, 30), report(first, 20), report(first, 10));
    let others = report(second, 40);
    for one in [&others, &oldest, &old, &new] {
        t.keep(one, 2).await;
    }
    let there = async |one: &Report| t.store.report(one.id).await.unwrap();
    assert_eq!(there(&oldest).await, None);
    for kept in [&old, &new, &others] {
        assert_eq!(there(kept).await.as_ref(), Some(kept));
    }
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert_eq!(tx.purge_reports(NOW - Duration::from_secs(20)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!((there(&others).await, there(&old).await), (None, Some(old)));
}

#[tokio::test]
async fn a_report_is_sealed_and_read_after_a_new_data_key() {
    let t = Fixture::new().await;
    let app = t.app("shop").await;
    let one = report(t.database(&app, "first").await, 0);
    t.keep(&one, 2).await;
    t.store.rotate_data_key(&t.config().master_key_file).await.unwrap();
    t.store.close().await;
    let again = Store::open(&t.config()).await.unwrap();
    assert_eq!(again.report(one.id).await.unwrap(), Some(one));
    assert_eq!(super::seal::files_holding(t.folder.path(), b"SELECT 'secret'"), [""; 0]);
}
