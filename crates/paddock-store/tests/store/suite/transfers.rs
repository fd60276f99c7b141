//! Transfers of databases and schedules of backups.

use paddock_core::transfer::TransferKind;
use paddock_core::{AddonId, AppId, TransferId, TransferScheduleId};
use paddock_store::{
    App, NewAddon, NewTransfer, NewTransferSchedule, StoreError, Transfer, TransferEnd, TransferSchedule,
};
use uuid::Uuid;

use super::fixture::{Fixture, NOW, vars};

fn new_transfer(app: AppId, addon: AddonId, kind: TransferKind) -> NewTransfer {
    NewTransfer {
        id: TransferId::from_uuid(Uuid::now_v7()),
        app_id: app,
        kind,
        addon_id: addon,
        from_addon_id: None,
        from_transfer_id: None,
        from_name: "DATABASE".into(),
        to_name: "BACKUP".into(),
        schedule_id: None,
        extensions: String::new(),
    }
}

const GOOD: TransferEnd = TransferEnd { succeeded: true, warnings: 0, processed_bytes: 42 };

impl Fixture {
    pub(crate) async fn database(&self, app: &App, name: &str) -> AddonId {
        let id = AddonId::from_uuid(Uuid::now_v7());
        let mut tx = self.store.begin_for_app(app.id, NOW, "test").await.unwrap();
        tx.create_addon(&NewAddon {
            id,
            name: name.into(),
            app_id: app.id,
            service: "heroku-postgresql".into(),
            plan: "essential-0".into(),
            options: Default::default(),
            secrets: vars(&[("database", "dabc")]),
            provision_message: None,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn transfer(&self, new: &NewTransfer) -> Transfer {
        let mut tx = self.store.begin_observation(new.app_id, NOW, "test").await.unwrap();
        let made = tx.create_transfer(new).await.unwrap();
        tx.commit().await.unwrap();
        made
    }

    async fn end(&self, id: TransferId, end: TransferEnd) {
        let mut tx = self.store.begin_record(NOW, "test").await.unwrap();
        tx.end_transfer(id, end).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn schedule(&self, addon: AddonId, hour: u32) -> TransferSchedule {
        let new = NewTransferSchedule {
            id: TransferScheduleId::from_uuid(Uuid::now_v7()),
            addon_id: addon,
            name: "DATABASE_URL".into(),
            hour,
            timezone: "Europe/Paris".into(),
        };
        let mut tx = self.store.begin_record(NOW, "test").await.unwrap();
        let made = tx.put_transfer_schedule(&new).await.unwrap();
        tx.commit().await.unwrap();
        made
    }
}

#[tokio::test]
async fn transfers_of_an_app_have_one_sequence_of_numbers_which_are_not_given_again() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    let (addon, elsewhere) = (t.database(&app, "one").await, t.database(&other, "two").await);
    let backup = t.transfer(&new_transfer(app.id, addon, TransferKind::Backup)).await;
    let restore = t.transfer(&new_transfer(app.id, addon, TransferKind::Restore)).await;
    let of_other = t.transfer(&new_transfer(other.id, elsewhere, TransferKind::Copy)).await;
    assert_eq!(
        (backup.name(), restore.name(), of_other.name()),
        ("b001".into(), "r002".into(), "c001".into())
    );
    assert_eq!(backup.object, format!("{}/{}.dump", app.id, backup.id));

    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert!(tx.mark_transfer_deleted(restore.id).await.unwrap());
    assert!(!tx.mark_transfer_deleted(restore.id).await.unwrap());
    tx.delete_transfer(restore.id).await.unwrap();
    tx.commit().await.unwrap();
    let scheduled = NewTransfer {
        schedule_id: Some(TransferScheduleId::from_uuid(Uuid::now_v7())),
        ..new_transfer(app.id, addon, TransferKind::Backup)
    };
    assert_eq!(t.transfer(&scheduled).await.name(), "a003");
    assert_eq!(t.store.transfer_numbered(app.id, 2).await.unwrap(), None);
    let numbers: Vec<_> = t.store.transfers_of_app(app.id).await.unwrap().iter().map(|one| one.num).collect();
    assert_eq!(numbers, [3, 1], "the newest first");
}

#[tokio::test]
async fn a_transfer_ends_once_and_keeps_what_was_said() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let addon = t.database(&app, "one").await;
    let backup = t.transfer(&new_transfer(app.id, addon, TransferKind::Backup)).await;
    assert_eq!(t.store.unfinished_transfers_at(addon).await.unwrap(), std::slice::from_ref(&backup));
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.start_transfer(backup.id, Some(1000)).await.unwrap();
    tx.note_transfer_progress(backup.id, 7).await.unwrap();
    tx.say_of_transfer(backup.id, "one").await.unwrap();
    tx.say_of_transfer(backup.id, "two").await.unwrap();
    assert!(tx.cancel_transfer(backup.id).await.unwrap());
    assert!(!tx.cancel_transfer(backup.id).await.unwrap());
    tx.commit().await.unwrap();
    t.end(backup.id, GOOD).await;

    let row = t.store.transfer(backup.id).await.unwrap().unwrap();
    assert_eq!((row.source_bytes, row.processed_bytes, row.succeeded), (Some(1000), 42, true));
    assert_eq!((row.started_at, row.finished_at, row.canceled_at), (Some(NOW), Some(NOW), Some(NOW)));
    let said: Vec<_> =
        t.store.transfer_logs(row.id).await.unwrap().into_iter().map(|log| log.message).collect();
    assert_eq!(said, ["one", "two"]);
    assert!(t.store.unfinished_transfers_at(addon).await.unwrap().is_empty());
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert!(matches!(tx.end_transfer(row.id, GOOD).await, Err(StoreError::Gone { .. })));
    assert!(matches!(tx.start_transfer(row.id, None).await, Err(StoreError::Gone { .. })));
}

#[tokio::test]
async fn a_backup_outlives_its_database_and_is_removed_with_its_app() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let addon = t.database(&app, "one").await;
    let backup = t.transfer(&new_transfer(app.id, addon, TransferKind::Backup)).await;
    t.end(backup.id, GOOD).await;
    t.schedule(addon, 2).await;
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.delete_addon(addon).await.unwrap();
    tx.commit().await.unwrap();
    assert!(t.store.transfer_schedules().await.unwrap().is_empty(), "the schedule goes with the database");
    let row = t.store.transfer(backup.id).await.unwrap().unwrap();
    assert_eq!((row.addon_id, row.app_id, row.from_name.as_str()), (None, Some(app.id), "DATABASE"));
    assert!(t.store.transfers_to_remove().await.unwrap().is_empty());

    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    tx.delete_app(app.id).await.unwrap();
    tx.commit().await.unwrap();
    let left = t.store.transfers_to_remove().await.unwrap();
    assert_eq!(left.iter().map(|row| (row.id, row.app_id)).collect::<Vec<_>>(), [(backup.id, None)]);
    assert_eq!(left[0].object, backup.object, "its file is still known");
}

#[tokio::test]
async fn a_database_has_one_schedule_that_takes_each_day_once() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let addon = t.database(&app, "one").await;
    let first = t.schedule(addon, 2).await;
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert!(tx.take_day_of_schedule(first.id, "2026-11-29").await.unwrap());
    assert!(!tx.take_day_of_schedule(first.id, "2026-11-29").await.unwrap());
    assert!(!tx.take_day_of_schedule(first.id, "2026-11-28").await.unwrap());
    assert!(tx.take_day_of_schedule(first.id, "2026-11-30").await.unwrap());
    tx.commit().await.unwrap();

    let second = t.schedule(addon, 5).await;
    assert_eq!(
        (second.hour, second.last_day.as_deref()),
        (5, Some("2026-11-30")),
        "days that were done stay done"
    );
    let all = t.store.transfer_schedules_of_app(app.id).await.unwrap();
    assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [second.id]);
    assert_eq!(t.store.transfer_schedules().await.unwrap(), all);
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert!(!tx.delete_transfer_schedule(first.id).await.unwrap());
    assert!(tx.delete_transfer_schedule(second.id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(t.store.transfer_schedule(second.id).await.unwrap().is_none());
}
