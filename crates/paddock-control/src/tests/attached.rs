//! Releases that are made because of what attachments say.

use paddock_core::config::ConfigVars;
use paddock_core::dyno::{DynoKind, DynoName, DynoSize};
use paddock_core::release::ReleaseStatus;
use paddock_core::{AppId, ProcessType, SlugId};
use paddock_store::{NewSlug, Release};

use crate::deploy::release_steps::{ReleaseDraft, add_release, base_slug, release_attached};
use crate::kernel::new_dyno::new_dyno;
use crate::tests::{Still, slug};

fn url(value: &str) -> ConfigVars {
    [("DATABASE_URL".to_owned(), value.to_owned())].into()
}

impl Still {
    /// Attachments that say this, as add-ons would change them.
    async fn attach(&self, app: AppId, value: &str) -> Release {
        let mut tx = self.control.kernel.change_app(app, "test").await.unwrap();
        let description = "Attach DATABASE (@ref:postgresql-curly-12345)".to_owned();
        let release = release_attached(&mut tx, app, url(value), description, self.owner).await.unwrap();
        tx.commit_quietly("test.attached").await.unwrap();
        release
    }

    /// Releases a slug that has a release command.
    async fn release_with_phase(&self, app: AppId) -> Release {
        let process_types = [("web", "serve two"), ("release", "migrate")]
            .map(|(of, command)| (of.parse().unwrap(), command.to_owned()));
        let new = NewSlug { process_types: process_types.into(), ..slug(app, "web", "serve two") };
        let mut tx = self.control.kernel.change_app(app, "test").await.unwrap();
        tx.create_slug(&new).await.unwrap();
        release_in(tx, self, app, Some(new.id)).await
    }

    async fn release_slug(&self, app: AppId, slug_id: Option<SlugId>) -> Release {
        let tx = self.control.kernel.change_app(app, "test").await.unwrap();
        release_in(tx, self, app, slug_id).await
    }

    async fn end_phase(&self, release: &Release, status: i32) {
        let name = DynoName { process_type: ProcessType::release(), index: 1 };
        let now = self.control.now();
        let dyno = new_dyno(release, &name, DynoKind::Release, "migrate".to_owned(), DynoSize::DEFAULT, now);
        let app = self.control.kernel.store.app(release.app_id).await.unwrap().unwrap();
        self.control.deploy.record_release_exit(&app, &dyno, Some(status)).await.unwrap();
    }

    async fn set(&self, app: AppId, key: &str, value: &str) {
        let mut tx = self.control.kernel.change_app(app, "test").await.unwrap();
        let mut config = tx.owned_config(app).await.unwrap();
        config.user.insert(key.to_owned(), value.to_owned());
        tx.set_config(app, &config.user).await.unwrap();
        tx.commit_quietly("test.set").await.unwrap();
    }

    async fn current(&self, app: AppId) -> Release {
        self.control.kernel.store.current_release(app).await.unwrap().unwrap()
    }

    /// What the dynos of a release see.
    async fn seen(&self, release: &Release) -> ConfigVars {
        self.control.kernel.store.config_vars_of_release(release.app_id, release.id).await.unwrap()
    }
}

async fn release_in(
    mut tx: crate::kernel::change::Change<'_>,
    t: &Still,
    app: AppId,
    slug_id: Option<SlugId>,
) -> Release {
    let draft = ReleaseDraft {
        description: "Deploy 12345678".to_owned(),
        account_id: t.owner,
        slug_id,
        rollback_of: None,
    };
    let release = add_release(&mut tx, app, draft).await.unwrap();
    tx.commit_quietly("test.released").await.unwrap();
    release
}

#[tokio::test]
async fn an_attachments_release_goes_on_with_what_runs() {
    let t = Still::new().await;
    let app = t.deployed_app("attached", "web", "serve one").await.app_id;
    let phase = t.release_with_phase(app).await;
    t.end_phase(&phase, 0).await;
    let mut tx = t.control.kernel.change_app(app, "test").await.unwrap();
    tx.scale_formation(app, &ProcessType::web(), 3, DynoSize::Basic).await.unwrap();
    tx.commit_quietly("test.scaled").await.unwrap();
    let before = t.control.kernel.store.formation(app).await.unwrap();

    let release = t.attach(app, "postgres://one").await;
    assert_eq!(release.status, ReleaseStatus::Succeeded, "no release command runs");
    assert_eq!((release.version, release.laid_on, &release.release_command), (3, Some(2), &None));
    assert_eq!((t.current(app).await.id, release.slug_id), (release.id, phase.slug_id));
    assert_eq!(t.control.kernel.store.formation(app).await.unwrap(), before);
    let seen = t.seen(&release).await;
    assert_eq!((seen["NAME"].as_str(), seen["DATABASE_URL"].as_str()), ("attached", "postgres://one"));
    assert_eq!(t.control.kernel.store.config_vars(app).await.unwrap(), seen);
    // One after the other has the same base; what attachments said once is not kept.
    let again = t.attach(app, "postgres://two").await;
    assert_eq!((again.version, again.laid_on), (4, Some(2)));
    assert_eq!(t.seen(&again).await["DATABASE_URL"], "postgres://two");
    assert_eq!(t.seen(&release).await["DATABASE_URL"], "postgres://one", "a snapshot stays");
}

#[tokio::test]
async fn what_waits_for_its_release_phase_takes_over_with_the_newest_address() {
    let t = Still::new().await;
    let first = t.deployed_app("waiting", "web", "serve one").await;
    let app = first.app_id;
    t.set(app, "OWN", "2").await;
    let pending = t.release_with_phase(app).await;
    for address in ["postgres://one", "postgres://two"] {
        let attached = t.attach(app, address).await;
        assert_eq!((t.current(app).await.id, attached.slug_id), (attached.id, first.slug_id));
    }
    let mut tx = t.control.kernel.change_app(app, "test").await.unwrap();
    assert_eq!(base_slug(&mut tx, app).await.unwrap(), pending.slug_id, "a config change waits behind it");
    drop(tx);

    t.end_phase(&pending, 0).await;
    let current = t.current(app).await;
    assert_eq!((current.version, current.laid_on), (5, Some(2)), "no version runs after a greater one");
    assert_eq!((current.slug_id, &current.description), (pending.slug_id, &pending.description));
    let seen = t.seen(&current).await;
    assert_eq!((seen["DATABASE_URL"].as_str(), seen["OWN"].as_str()), ("postgres://two", "2"));
    let ended = t.control.kernel.store.release(app, pending.id).await.unwrap().unwrap();
    assert_eq!(ended.status, ReleaseStatus::Succeeded);
    assert_eq!(t.seen(&ended).await, seen, "its release phase may have begun with them");
    let formation = t.control.kernel.store.formation(app).await.unwrap();
    assert!(formation.iter().any(|row| row.command == "serve two"), "its process types are the formation's");
    let attached = t.attach(app, "postgres://three").await;
    assert_eq!((attached.version, attached.laid_on, attached.slug_id), (6, Some(2), pending.slug_id));
}

#[tokio::test]
async fn several_that_wait_take_over_one_after_the_other() {
    let t = Still::new().await;
    let app = t.deployed_app("several", "web", "serve one").await.app_id;
    let second = t.release_with_phase(app).await;
    t.attach(app, "postgres://one").await;
    let fourth = t.release_with_phase(app).await;
    for (pending, expected) in [(second, 5), (fourth, 6)] {
        t.end_phase(&pending, 0).await;
        let current = t.current(app).await;
        assert_eq!((current.version, current.slug_id), (expected, pending.slug_id));
        assert_eq!(t.seen(&current).await["DATABASE_URL"], "postgres://one");
    }
}

#[tokio::test]
async fn what_failed_or_is_older_than_what_runs_stays_out_of_it() {
    let t = Still::new().await;
    let first = t.deployed_app("older", "web", "serve one").await;
    let app = first.app_id;
    // Its release phase fails: what was set for it is no variable of what runs.
    t.set(app, "BAD", "1").await;
    let failed = t.release_with_phase(app).await;
    t.end_phase(&failed, 1).await;
    let attached = t.attach(app, "postgres://one").await;
    assert_eq!((attached.slug_id, attached.laid_on), (first.slug_id, Some(1)));
    assert!(!t.seen(&attached).await.contains_key("BAD"));
    assert_eq!(t.control.kernel.store.config_vars(app).await.unwrap()["BAD"], "1", "the next release has it");

    let pending = t.release_with_phase(app).await;
    let newer = t.release_slug(app, first.slug_id).await;
    assert_eq!(t.current(app).await.id, newer.id, "it has no release command");
    let attached = t.attach(app, "postgres://two").await;
    assert_eq!(attached.laid_on, Some(newer.version));
    t.end_phase(&pending, 0).await;
    assert_eq!(t.current(app).await.id, attached.id, "what that one goes on with is newer");
}
