//! Jobs: each to one claimant, and nothing from who lost the lease.

use std::collections::BTreeSet;
use std::time::Duration;

use paddock_core::{AppId, JobId};
use paddock_store::{JobState, NewJob, StoreError};
use uuid::Uuid;

use super::fixture::{Fixture, NOW};

const LEASE: Duration = Duration::from_secs(30);

async fn enqueue(t: &Fixture, kind: &str, app_id: Option<AppId>) -> JobId {
    let id = JobId::from_uuid(Uuid::now_v7());
    let new = NewJob {
        id,
        kind: kind.into(),
        app_id,
        subject_id: "subject".into(),
        phase: "first".into(),
        secret: None,
        run_at: None,
    };
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.enqueue_job(&new).await.unwrap();
    tx.commit().await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_goes_to_one_of_several_claimants() {
    let t = Fixture::new().await;
    let mut ids = BTreeSet::new();
    for _ in 0..40 {
        ids.insert(enqueue(&t, "build", None).await);
    }
    let claimants: Vec<_> = (0..8)
        .map(|n| {
            let store = t.store.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while let Some((job, lease)) =
                    store.claim_job(&n.to_string(), "build", NOW, LEASE).await.unwrap()
                {
                    assert_eq!((job.state, job.attempt, lease.attempt), (JobState::Running, 1, 1));
                    mine.push(job.id);
                }
                mine
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for claimant in claimants {
        claimed.extend(claimant.await.unwrap());
    }
    assert_eq!(claimed.len(), 40);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), ids);
}

#[tokio::test]
async fn the_oldest_is_claimed_first() {
    let t = Fixture::new().await;
    let first = enqueue(&t, "build", None).await;
    let second = enqueue(&t, "build", None).await;
    for id in [first, second] {
        assert_eq!(t.store.claim_job("a", "build", NOW, LEASE).await.unwrap().unwrap().0.id, id);
    }
    assert!(t.store.claim_job("a", "build", NOW, LEASE).await.unwrap().is_none());
}

#[tokio::test]
async fn the_secret_of_a_job_goes_with_its_end() {
    let t = Fixture::new().await;
    let made = |id| NewJob {
        id,
        kind: "build".into(),
        app_id: None,
        subject_id: "subject".into(),
        phase: "first".into(),
        secret: Some("https://user:word@example.com/".into()),
        run_at: None,
    };
    let ids = [Uuid::now_v7(), Uuid::now_v7()].map(JobId::from_uuid);
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    for id in ids {
        tx.enqueue_job(&made(id)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let (_, one) = t.store.claim_job("a", "build", NOW, LEASE).await.unwrap().unwrap();
    let (_, other) = t.store.claim_job("a", "build", NOW, LEASE).await.unwrap().unwrap();
    for id in ids {
        let secret = t.store.job_secret(id).await.unwrap();
        assert_eq!(secret.as_deref(), Some("https://user:word@example.com/"));
    }
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.succeed_job(&one).await.unwrap();
    tx.fail_job(&other, "no room").await.unwrap();
    tx.commit().await.unwrap();
    for id in ids {
        assert_eq!(t.store.job_secret(id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn who_lost_the_lease_can_change_nothing() {
    let t = Fixture::new().await;
    let id = enqueue(&t, "build", None).await;
    let (_, old) = t.store.claim_job("a", "build", NOW, LEASE).await.unwrap().unwrap();
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.set_job_phase(&old, "second").await.unwrap();
    tx.commit().await.unwrap();
    t.store.renew_job(&old, NOW, LEASE * 2).await.unwrap();
    let passed = NOW + LEASE + Duration::from_secs(1);
    assert!(t.store.claim_job("b", "build", passed, LEASE).await.unwrap().is_none(), "it was renewed");

    let passed = NOW + LEASE * 2 + Duration::from_micros(1);
    let (job, new) = t.store.claim_job("a", "build", passed, LEASE).await.unwrap().unwrap();
    assert_eq!((job.phase.as_str(), job.attempt), ("second", 2));
    let lost = |result| assert!(matches!(result, Err(StoreError::LeaseLost(job)) if job == id));
    lost(t.store.renew_job(&old, passed, LEASE).await);
    let mut tx = t.store.begin_record(passed, "test").await.unwrap();
    lost(tx.set_job_phase(&old, "third").await);
    lost(tx.succeed_job(&old).await);
    lost(tx.fail_job(&old, "x").await);
    tx.succeed_job(&new).await.unwrap();
    lost(tx.set_job_phase(&new, "third").await);
    tx.commit().await.unwrap();
    let job = t.store.job(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.phase.as_str(), job.lease_owner), (JobState::Succeeded, "second", None));
}

#[tokio::test]
async fn a_job_that_failed_says_why_until_it_is_purged() {
    let t = Fixture::new().await;
    let id = enqueue(&t, "build", None).await;
    let (_, lease) = t.store.claim_job("a", "build", NOW, LEASE).await.unwrap().unwrap();
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.fail_job(&lease, "no room").await.unwrap();
    assert_eq!(tx.purge_jobs(NOW).await.unwrap(), 0, "not before its time");
    tx.commit().await.unwrap();
    let job = t.store.job(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.last_error.as_deref()), (JobState::Failed, Some("no room")));
    assert!(t.store.claim_job("a", "build", NOW + LEASE * 2, LEASE).await.unwrap().is_none(), "an end stays");
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert_eq!(tx.purge_jobs(NOW + Duration::from_micros(1)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(t.store.job(id).await.unwrap(), None);
}

#[tokio::test]
async fn leases_of_a_dead_process_pass_at_once() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    enqueue(&t, "build", Some(app.id)).await;
    enqueue(&t, "build", Some(app.id)).await;
    t.store.claim_job("dead", "build", NOW, LEASE).await.unwrap().unwrap();
    t.store.claim_job("alive", "build", NOW, LEASE).await.unwrap().unwrap();
    assert_eq!(t.store.expire_leases_of_others("alive").await.unwrap(), 1);
    let (job, _) = t.store.claim_job("alive", "build", NOW, LEASE).await.unwrap().unwrap();
    assert_eq!(job.attempt, 2);
    assert!(t.store.claim_job("alive", "build", NOW, LEASE).await.unwrap().is_none());
}

#[tokio::test]
async fn a_job_whose_app_is_deleted_is_lost() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let deleted = enqueue(&t, "build", Some(app.id)).await;
    let (_, lease) = t.store.claim_job("a", "build", NOW, LEASE).await.unwrap().unwrap();
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.delete_app(app.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.job(deleted).await.unwrap(), None);
    assert!(matches!(t.store.renew_job(&lease, NOW, LEASE).await, Err(StoreError::LeaseLost(_))));
}
