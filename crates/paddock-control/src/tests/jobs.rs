//! Jobs of a control plane of which nothing runs by itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::stack::Stack;
use paddock_core::{AppId, BuildId, JobId};
use paddock_store::{Job, JobState, NewBuild, NewJob, SourceKind};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use paddock_store::JobLease;

use crate::Result;
use crate::deploy::build_queue::BuildPhase;
use crate::deploy::job as build;
use crate::kernel::Kernel;
use crate::kernel::job::{LEASE, Lane, Phase, RENEW, Standing, Work, claim, renew, run};
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
            stack: Stack::HOST,
            stack_version: String::new(),
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
        t.control.kernel.store.claim_job("test", "build", now, LEASE).await.unwrap()
    };
    for build in 0..2 {
        let id = t.pushed(app).await;
        for attempt in 1..=build::ATTEMPTS_MAX {
            let (job, lease) = claim(build * 10 + u32::try_from(attempt).unwrap()).await.unwrap();
            assert_eq!((job.subject_id, lease.attempt), (id.to_string(), attempt));
            let job = t.control.kernel.store.job(job.id).await.unwrap().unwrap();
            let done = build::run(&t.control.deploy, &job, BuildPhase::Queued, &lease).await;
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
    let claim_at = async |ours: &[JobLease], now| {
        claim(&t.control.kernel, "us", "build", ours.iter(), now).await.unwrap()
    };
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
        let claimed =
            t.control.kernel.store.claim_job(owner, "build", t.control.now(), LEASE).await.unwrap().unwrap();
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
    t.control.kernel.store.claim_job("others", "build", later, LEASE).await.unwrap().unwrap();
    assert_eq!(standing(&lease).await, Standing::Taken { owner: "others".to_owned() });
}

/// Jobs of a kind that take as long as the test wants.
struct Held {
    let_go: Arc<Semaphore>,
    begun: mpsc::UnboundedSender<AppId>,
}

#[derive(Clone, Copy)]
struct Only;

impl Phase for Only {
    const ALL: &'static [Self] = &[Self];
    fn as_str(self) -> &'static str {
        "only"
    }
}

impl Held {
    async fn hold(&self, t: &Kernel, job: &Job, lease: &JobLease) -> Result<()> {
        self.begun.send(job.app_id.unwrap()).unwrap();
        self.let_go.acquire().await.unwrap().forget();
        let mut tx = t.record("test").await?;
        tx.succeed_job(lease).await?;
        tx.commit_quietly("test.job_ended").await.map(drop)
    }
}

macro_rules! held_kind {
    ($name:ident, $kind:literal) => {
        struct $name(Arc<Kernel>, Held);

        #[async_trait]
        impl Work for $name {
            const KIND: &'static str = $kind;
            type Phase = Only;
            async fn run(&self, job: &Job, _: Only, lease: &JobLease) -> Result<()> {
                self.1.hold(&self.0, job, lease).await
            }
        }
    };
}
held_kind!(Builds, "build");
held_kind!(Certificates, "certificate");

fn held() -> (Held, mpsc::UnboundedReceiver<AppId>, Arc<Semaphore>) {
    let (begun, heard) = mpsc::unbounded_channel();
    let let_go = Arc::new(Semaphore::new(0));
    (Held { let_go: let_go.clone(), begun }, heard, let_go)
}

async fn ask(t: &Still, app: AppId, kind: &str, phase: &str, in_time: Duration) -> JobId {
    let mut tx = t.control.kernel.record("test").await.unwrap();
    let id = JobId::from_uuid(Uuid::now_v7());
    let (kind, phase, subject_id) = (kind.to_owned(), phase.to_owned(), String::new());
    let run_at = Some(t.control.now() + in_time);
    tx.enqueue_job(&NewJob { id, kind, app_id: Some(app), subject_id, phase, secret: None, run_at })
        .await
        .unwrap();
    tx.commit_quietly("test.job_made").await.unwrap();
    id
}

#[tokio::test]
async fn a_kind_that_is_full_holds_up_no_other_and_apps_take_turns() {
    let t = Still::new().await;
    let (busy, other) = (
        t.deployed_app("busy", "web", "serve").await.app_id,
        t.deployed_app("other", "web", "serve").await.app_id,
    );
    let ((builds, mut building, next), (certificates, mut certified, _)) = (held(), held());
    let kernel = t.control.kernel.clone();
    let lanes = [
        Lane::new(Builds(kernel.clone(), builds), 2),
        Lane::new(Certificates(kernel.clone(), certificates), 1),
    ];
    for _ in 0..3 {
        ask(&t, busy, "build", "only", Duration::ZERO).await;
    }
    let late = ask(&t, other, "build", "only", Duration::from_secs(3600)).await;
    let unknown = ask(&t, other, "build", "unheard", Duration::ZERO).await;
    let stop = CancellationToken::new();
    let runner = tokio::spawn(run(kernel.clone(), Vec::from(lanes).into(), "us".to_owned(), stop.clone()));
    assert_eq!((building.recv().await, building.recv().await), (Some(busy), Some(busy)));
    // Builds are full.
    ask(&t, other, "certificate", "only", Duration::ZERO).await;
    assert_eq!(certified.recv().await, Some(other));
    ask(&t, other, "build", "only", Duration::ZERO).await;
    next.add_permits(1);
    // The other app has none running, though the busy one's third waits for longer.
    assert_eq!(building.recv().await, Some(other));
    next.add_permits(8);
    assert_eq!(building.recv().await, Some(busy));
    stop.cancel();
    runner.await.unwrap().unwrap();
    let state = async |id| t.control.kernel.store.job(id).await.unwrap().unwrap().state;
    assert_eq!(state(late).await, JobState::Pending, "it is not due");
    assert_eq!(state(unknown).await, JobState::Failed, "its phase is of a later version");
}
