//! Jobs of a control plane of which nothing runs by itself.

use paddock_core::stack::Stack;
use paddock_core::{AppId, BuildId};
use paddock_store::{NewBuild, SourceKind};
use uuid::Uuid;

use paddock_store::JobLease;

use crate::deploy::job as build;
use crate::kernel::job::{LEASE, RENEW, Standing, claim, renew};
use crate::tests::Still;

impl Still {
    /// What a push of `main` becomes.
    async fn pushed(&self, app: AppId) -> BuildId {
        let id = BuildId::from_uuid(Uuid::now_v7());
        let new = NewBuild {
            id,
            app_id: app,
            source_kind: SourceKind::Git,
            source: "1".repeat(40),
            source_version: None,
            source_description: None,
            source_checksum: None,
            account_id: self.owner,
            buildpacks: Vec::new(),
            stack: Stack::Host,
            branch: Some("refs/heads/main".to_owned()),
            old_head: Some("0".repeat(40)),
        };
        self.control.deploy.enqueue_build(&new, None).await.unwrap();
        id
    }
}

#[tokio::test]
async fn a_build_whose_repository_cannot_be_read_fails_and_is_not_in_the_way_of_others() {
    let t = Still::new().await;
    let app = t.deployed_app("broken", "web", "serve").await.app_id;
    // No repository can be where a file is.
    std::fs::write(t.folder.path().join(format!("git/{app}.git")), "").unwrap();
    let claim = async |after: u32| {
        let now = t.control.now() + (LEASE + RENEW) * after;
        t.control.kernel.store.claim_job("test", now, LEASE).await.unwrap()
    };
    for build in 0..2 {
        let id = t.pushed(app).await;
        for attempt in 1..=build::ATTEMPTS_MAX {
            let (job, lease) = claim(build * 10 + u32::try_from(attempt).unwrap()).await.unwrap();
            assert_eq!((job.subject_id, lease.attempt), (id.to_string(), attempt));
            let job = t.control.kernel.store.job(job.id).await.unwrap().unwrap();
            let done = build::run(&t.control.deploy, &job, &lease).await;
            assert_eq!(done.is_ok(), attempt == build::ATTEMPTS_MAX);
        }
        let build = t.control.kernel.store.build(app, id).await.unwrap().unwrap();
        assert_eq!(build.failure.as_deref(), Some("the repository could not be read"));
    }
    assert!(claim(30).await.is_none());
}

#[tokio::test]
async fn a_lease_that_passed_while_its_job_is_worked_on_is_not_taken_from_ourselves() {
    let t = Still::new().await;
    let app = t.deployed_app("busy", "web", "serve").await.app_id;
    t.pushed(app).await;
    let now = t.control.now();
    let claim_at =
        async |ours: &[JobLease], now| claim(&t.control.kernel, "us", ours.iter(), now).await.unwrap();
    let (job, lease) = claim_at(&[], now).await.unwrap();
    // Nobody came to renew it for long, as on a machine that has no time.
    let late = now + LEASE * 10;
    assert!(claim_at(std::slice::from_ref(&lease), late).await.is_none());
    t.control.kernel.store.renew_job(&lease, late, LEASE).await.unwrap();
    // What is not worked on any more is taken up again.
    let (again, next) = claim_at(&[], late + LEASE * 2).await.unwrap();
    assert_eq!((again.id, next.attempt), (job.id, lease.attempt + 1));
    assert!(claim_at(&[lease], late + LEASE * 2).await.is_none(), "who has lost it does not take it back");
}

#[tokio::test]
async fn a_lease_of_a_job_that_ended_or_whose_app_is_gone_was_taken_by_nobody() {
    let t = Still::new().await;
    let claimed = async |name: &str, owner: &str| {
        let app = t.deployed_app(name, "web", "serve").await.app_id;
        t.pushed(app).await;
        let claimed = t.control.kernel.store.claim_job(owner, t.control.now(), LEASE).await.unwrap().unwrap();
        (app, claimed.1)
    };
    let standing = async |lease: &JobLease| renew(&t.control.kernel, lease).await.unwrap();
    let (_, lease) = claimed("ending", "us").await;
    assert_eq!(standing(&lease).await, Standing::Ours);
    let mut tx = t.control.kernel.store.begin_record(t.control.now(), "test").await.unwrap();
    tx.succeed_job(&lease).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(standing(&lease).await, Standing::Ended);

    let (app, lease) = claimed("destroyed", "us").await;
    let mut tx = t.control.kernel.store.begin_for_app(app, t.control.now(), "test").await.unwrap();
    tx.delete_app(app).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(standing(&lease).await, Standing::Gone);

    let (_, lease) = claimed("taken", "us").await;
    let later = t.control.now() + LEASE * 2;
    t.control.kernel.store.claim_job("others", later, LEASE).await.unwrap().unwrap();
    assert_eq!(standing(&lease).await, Standing::Taken { owner: "others".to_owned() });
}
