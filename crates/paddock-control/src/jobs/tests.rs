//! Jobs of a control plane of which nothing runs by itself.

use paddock_core::stack::Stack;
use paddock_core::{AppId, BuildId};
use paddock_store::{NewBuild, SourceKind};
use uuid::Uuid;

use super::*;
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
        self.control.enqueue_build(&new, None).await.unwrap();
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
        t.control.store.claim_job("test", now, LEASE).await.unwrap()
    };
    for build in 0..2 {
        let id = t.pushed(app).await;
        for attempt in 1..=build::ATTEMPTS_MAX {
            let (job, lease) = claim(build * 10 + u32::try_from(attempt).unwrap()).await.unwrap();
            assert_eq!((job.subject_id, lease.attempt), (id.to_string(), attempt));
            let job = t.control.store.job(job.id).await.unwrap().unwrap();
            let done = build::run(&t.control, &job, &lease).await;
            assert_eq!(done.is_ok(), attempt == build::ATTEMPTS_MAX);
        }
        let build = t.control.store.build(app, id).await.unwrap().unwrap();
        assert_eq!(build.failure.as_deref(), Some("the repository could not be read"));
    }
    assert!(claim(30).await.is_none());
}
