//! Transfers of a control plane of which nothing runs by itself: how their jobs end, and when daily ones begin.

use std::sync::Arc;
use std::time::Duration;

use paddock_core::addon::AddonState;
use paddock_core::log::LogFilter;
use paddock_core::transfer::TransferKind;
use paddock_core::{AddonId, AppId, TransferId, TransferScheduleId};
use paddock_store::{
    Job, JobLease, JobState, NewAddon, NewTransfer, NewTransferSchedule, Transfer, TransferEnd,
};
use uuid::Uuid;

use crate::addons::backup::{DailyBackups, TransferPhase, run_transfer};
use crate::kernel::dump_databases::{DumpDatabases as _, Dumped};
use crate::kernel::job::LEASE;
use crate::kernel::reconcile::Reconciler as _;
use crate::tests::{SetClock, Still};

impl Still {
    /// A database of an app's whose server does not answer: it has none.
    async fn silent_database(&self, app: AppId) -> AddonId {
        let id = AddonId::from_uuid(Uuid::now_v7());
        let mut tx = self.control.kernel.change_app(app, "test").await.unwrap();
        tx.create_addon(&NewAddon {
            id,
            name: "fake-still-1".to_owned(),
            app_id: app,
            service: "heroku-fake".to_owned(),
            plan: "small".to_owned(),
            options: Default::default(),
            secrets: Default::default(),
            provision_message: None,
        })
        .await
        .unwrap();
        tx.set_addon_state(id, AddonState::Provisioned).await.unwrap();
        tx.commit_quietly("test.database").await.unwrap();
        id
    }

    async fn schedule(&self, addon: AddonId, hour: u32, timezone: &str) -> TransferScheduleId {
        let id = TransferScheduleId::from_uuid(Uuid::now_v7());
        let (name, timezone) = ("DATABASE_URL".to_owned(), timezone.to_owned());
        let mut tx = self.control.kernel.record("test").await.unwrap();
        tx.put_transfer_schedule(&NewTransferSchedule { id, addon_id: addon, name, hour, timezone })
            .await
            .unwrap();
        tx.commit_quietly("test.scheduled").await.unwrap();
        id
    }

    async fn transfers(&self, app: AppId) -> Vec<Transfer> {
        self.control.kernel.store.transfers_of_app(app).await.unwrap()
    }

    async fn claimed(&self) -> (Job, JobLease) {
        let now = self.control.now() + LEASE * 2;
        self.control.kernel.store.claim_job("test", "transfer", now, LEASE).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_backup_is_asked_for_once_a_day_over_restarts_and_clocks_that_are_put_back() {
    let clock = Arc::new(SetClock::at("2027-03-13T12:00:00Z"));
    let t = Still::with_clock(clock.clone()).await;
    let app = t.deployed_app("daily", "web", "serve").await.app_id;
    let addon = t.silent_database(app).await;
    let schedule = t.schedule(addon, 2, "America/New_York").await;
    for (now, expected, why) in [
        ("2027-03-13T12:00:00Z", 0, "that day's hour had struck before"),
        ("2027-03-14T06:59:59Z", 0, "not yet"),
        ("2027-03-14T09:00:00Z", 1, "an hour that is left out is made up for, after a restart"),
        ("2027-03-14T09:01:00Z", 1, "not twice"),
        ("2027-03-14T06:00:00Z", 1, "nor when the clock is put back"),
        ("2027-03-14T08:00:00Z", 1, "and on again"),
        ("2027-03-15T06:00:00Z", 2, "the next day, an hour earlier by UTC"),
        ("2027-03-18T12:00:00Z", 3, "of days that were slept through the last one alone"),
    ] {
        clock.set(now);
        // Each as a server that was just started.
        DailyBackups::new(t.control.addons.clone()).pass().await.unwrap();
        assert_eq!(t.transfers(app).await.len(), expected, "{now}: {why}");
    }
    let newest = t.transfers(app).await.remove(0);
    assert_eq!((newest.name().as_str(), newest.schedule_id), ("a003", Some(schedule)));
}

#[tokio::test]
async fn a_transfer_that_cannot_be_done_fails_with_a_sentence_and_the_app_is_told() {
    let clock = Arc::new(SetClock::at("2026-11-29T01:00:00Z"));
    let t = Still::with_clock(clock.clone()).await;
    let app = t.deployed_app("failing", "web", "serve").await.app_id;
    let addon = t.silent_database(app).await;
    t.schedule(addon, 2, "UTC").await;
    clock.set("2026-11-29T02:00:00Z");
    DailyBackups::new(t.control.addons.clone()).pass().await.unwrap();
    let (job, lease) = t.claimed().await;
    run_transfer(&t.control.addons, &job, TransferPhase::Queued, &lease).await.unwrap();
    let transfer = t.transfers(app).await.remove(0);
    assert_eq!((transfer.kind, transfer.succeeded), (TransferKind::Backup, false));
    assert!(transfer.finished_at.is_some());
    let said = t.control.kernel.store.transfer_logs(transfer.id).await.unwrap();
    assert!(said.last().unwrap().message.contains("does not answer"), "{said:?}");
    let ended = t.control.kernel.store.job(job.id).await.unwrap().unwrap();
    assert_eq!(ended.state, JobState::Failed);
    let log = t.control.kernel.logs.read(app, LogFilter::default(), 100).await.unwrap();
    let kept = format!("{:?}", log.lines);
    assert!(kept.contains("Scheduled backup a001"), "the app's log says so");
}

#[tokio::test]
async fn a_transfer_that_is_cut_off_begins_again_and_is_given_up_in_the_end() {
    let clock = Arc::new(SetClock::at("2026-11-29T01:00:00Z"));
    let t = Still::with_clock(clock.clone()).await;
    let app = t.deployed_app("cut", "web", "serve").await.app_id;
    let addon = t.silent_database(app).await;
    t.schedule(addon, 2, "UTC").await;
    clock.set("2026-11-29T02:00:00Z");
    DailyBackups::new(t.control.addons.clone()).pass().await.unwrap();
    let (job, lease) = t.claimed().await;
    let often = JobLease { attempt: 6, ..lease.clone() };
    assert!(
        run_transfer(&t.control.addons, &job, TransferPhase::Moving, &often).await.is_err(),
        "not its lease"
    );
    assert!(t.transfers(app).await[0].finished_at.is_none());

    // As after five ends of the server.
    let mut claimed = (job, lease);
    for attempt in 2..=6 {
        let now = t.control.now() + LEASE * 3 * attempt;
        claimed = t.control.kernel.store.claim_job("test", "transfer", now, LEASE).await.unwrap().unwrap();
    }
    let (job, lease) = claimed;
    assert_eq!(lease.attempt, 6);
    run_transfer(&t.control.addons, &job, TransferPhase::Moving, &lease).await.unwrap();
    let transfer = t.transfers(app).await.remove(0);
    let said = t.control.kernel.store.transfer_logs(transfer.id).await.unwrap();
    assert!(transfer.finished_at.is_some() && !transfer.succeeded);
    assert!(said.last().unwrap().message.contains("again and again"), "{said:?}");
}

#[tokio::test]
async fn a_transfer_that_nobody_wants_any_more_ends_before_it_begins() {
    let clock = Arc::new(SetClock::at("2026-11-29T01:00:00Z"));
    let t = Still::with_clock(clock.clone()).await;
    let app = t.deployed_app("unwanted", "web", "serve").await.app_id;
    let addon = t.silent_database(app).await;
    t.schedule(addon, 2, "UTC").await;
    clock.set("2026-11-29T02:00:00Z");
    DailyBackups::new(t.control.addons.clone()).pass().await.unwrap();
    let transfer = t.transfers(app).await.remove(0);
    let mut tx = t.control.kernel.record("test").await.unwrap();
    assert!(tx.cancel_transfer(transfer.id).await.unwrap());
    tx.commit_quietly("test.canceled").await.unwrap();
    let (job, lease) = t.claimed().await;
    run_transfer(&t.control.addons, &job, TransferPhase::Queued, &lease).await.unwrap();
    let said = t.control.kernel.store.transfer_logs(transfer.id).await.unwrap();
    assert_eq!(said.last().unwrap().message, "Canceled.");
}

#[tokio::test]
async fn a_database_that_was_set_aside_is_no_backup_of_its_users() {
    let clock = Arc::new(SetClock::at("2026-11-29T01:00:00Z"));
    let t = Still::with_clock(clock.clone()).await;
    let app = t.deployed_app("aside", "web", "serve").await.app_id;
    let addon = t.silent_database(app).await;
    t.schedule(addon, 2, "UTC").await;
    t.leave_dump(addon, "failed");
    clock.set("2026-11-29T02:00:00Z");
    DailyBackups::new(t.control.addons.clone()).pass().await.unwrap();
    let (job, lease) = t.claimed().await;
    run_transfer(&t.control.addons, &job, TransferPhase::Queued, &lease).await.unwrap();
    let transfer = t.transfers(app).await.remove(0);
    let said = t.control.kernel.store.transfer_logs(transfer.id).await.unwrap();
    assert!(!transfer.succeeded && said.last().unwrap().message.contains("is closed"), "{said:?}");
    // The server's own has what there was.
    let dumped = t.control.addons.dump_database(addon, &mut |_| true).await;
    assert!(matches!(dumped, Dumped::Dump(_, bytes) if bytes > 0), "{dumped:?}");
}

/// While something else is put into a database it is no backup: the server's own waits for it, as long as somebody waits.
#[tokio::test]
async fn the_servers_backup_waits_for_a_restore_and_says_of_one_that_does_not_end() {
    let clock = Arc::new(SetClock::at("2026-11-29T01:00:00Z"));
    let t = Still::with_clock(clock.clone()).await;
    let app = t.deployed_app("restoring", "web", "serve").await.app_id;
    let addon = t.silent_database(app).await;
    let new = NewTransfer {
        id: TransferId::from_uuid(Uuid::now_v7()),
        app_id: app,
        kind: TransferKind::Restore,
        addon_id: addon,
        from_addon_id: None,
        from_transfer_id: None,
        from_name: "b001".to_owned(),
        to_name: "DATABASE".to_owned(),
        schedule_id: None,
        extensions: String::new(),
    };
    let mut tx = t.control.kernel.record("test").await.unwrap();
    let name = tx.create_transfer(&new).await.unwrap().name();
    tx.start_transfer(new.id, None).await.unwrap();
    tx.commit_quietly("test.restore").await.unwrap();
    // Asked at the beginning, while it waits, and before it tries again.
    let dump = async |last: u32| {
        let mut asked = 0;
        let mut told = |_| {
            asked += 1;
            clock.advance(Duration::from_secs(16 * 60));
            asked < last
        };
        (t.control.addons.dump_database(addon, &mut told).await, asked)
    };
    let (dumped, asked) = dump(2).await;
    assert!(matches!(dumped, Dumped::Unwanted) && asked == 2, "{dumped:?}");
    let (dumped, _) = dump(3).await;
    assert!(matches!(&dumped, Dumped::Failed(why) if why.contains(&name)), "{dumped:?}");

    let mut tx = t.control.kernel.record("test").await.unwrap();
    tx.end_transfer(new.id, TransferEnd { succeeded: true, warnings: 0, processed_bytes: 1 }).await.unwrap();
    tx.commit_quietly("test.restored").await.unwrap();
    let (dumped, _) = dump(2).await;
    assert!(matches!(&dumped, Dumped::Failed(why) if why.contains("does not answer")), "{dumped:?}");
}
