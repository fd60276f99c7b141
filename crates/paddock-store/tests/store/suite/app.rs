//! Apps and what belongs to them without a life of its own.

use paddock_core::dyno::DynoSize;
use paddock_core::{AppId, CollaboratorId, FormationId, ProcessType};
use paddock_store::{CollaboratorRole, ListedApp, ProcessDefinition, StoreError};
use uuid::Uuid;

use super::fixture::{Fixture, NOW, new_app, new_domain, new_release, vars};

#[tokio::test]
async fn a_name_belongs_to_one_app() {
    let t = Fixture::new().await;
    let first = t.app("first").await;
    let second = t.app("second").await;
    assert_eq!(t.store.app_by_name("first").await.unwrap().unwrap(), first);

    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    let taken = tx.create_app(&new_app("first", first.owner_id)).await;
    assert!(matches!(taken, Err(StoreError::NameTaken(name)) if name == first.name));
    drop(tx);
    let mut tx = t.store.begin_for_app(second.id, NOW, "test").await.unwrap();
    assert!(matches!(tx.rename_app(second.id, &first.name).await, Err(StoreError::NameTaken(_))));
    drop(tx);

    let mut tx = t.store.begin_for_app(first.id, NOW, "test").await.unwrap();
    tx.rename_app(first.id, &"third".parse().unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.app_by_name("first").await.unwrap(), None);
    assert_eq!(t.store.app_by_name("third").await.unwrap().unwrap().id, first.id);
}

#[tokio::test]
async fn a_change_bumps_the_generation_and_an_observation_does_not() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    assert_eq!(app.generation, 1);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    assert_eq!(tx.generation(), 2);
    tx.set_maintenance(app.id, true).await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), 2);

    let tx = t.store.begin_observation(app.id, NOW, "test").await.unwrap();
    assert_eq!(tx.commit().await.unwrap(), 2);
    let mut dropped = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    dropped.set_maintenance(app.id, false).await.unwrap();
    drop(dropped);

    let app = t.store.app(app.id).await.unwrap().unwrap();
    assert_eq!((app.generation, app.maintenance), (2, true), "a dropped transaction leaves nothing");
    let nobody = AppId::from_uuid(Uuid::now_v7());
    assert!(
        matches!(t.store.begin_for_app(nobody, NOW, "test").await, Err(StoreError::AppGone(id)) if id == nobody)
    );
    assert!(matches!(t.store.begin_observation(nobody, NOW, "test").await, Err(StoreError::AppGone(_))));

    let before = t.store.platform_generation().await.unwrap();
    assert_eq!(t.store.begin_platform(NOW, "test").await.unwrap().commit().await.unwrap(), before + 1);
    assert_eq!(t.store.platform_generation().await.unwrap(), before + 1);
    let routes = t.store.next_routes_generation(0).await.unwrap();
    assert_eq!(t.store.next_routes_generation(0).await.unwrap(), routes + 1);
    assert_eq!(t.store.next_routes_generation(routes + 9).await.unwrap(), routes + 10);
}

#[tokio::test]
async fn an_app_is_touched_once_a_transaction_of_it_has_ended() {
    let t = Fixture::new().await;
    let (one, two) = (t.app("app-one").await, t.app("app-two").await);
    let touched = t.store.touched_apps();
    assert!(touched.take().is_empty(), "from now on");

    let tx = t.store.begin_for_app(one.id, NOW, "test").await.unwrap();
    assert!(touched.take().is_empty(), "who reads now reads what was");
    tx.commit().await.unwrap();
    assert_eq!(touched.take(), [one.id].into());
    t.store.begin_observation(two.id, NOW, "test").await.unwrap().commit().await.unwrap();
    drop(t.store.begin_for_app(one.id, NOW, "test").await.unwrap());
    let other = t.store.touched_apps();
    let looking = touched.look_at(one.id);
    touched.look_at(two.id).seen();
    assert!(touched.take().is_empty());
    drop(looking);
    assert_eq!(touched.take(), [one.id].into(), "whoever was cut off has not seen it");
    assert!(other.take().is_empty());

    // A new app, and a domain that a transaction of the platform adds.
    let three = t.app("app-three").await;
    let new = new_domain(two.id, "www.example.com");
    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    tx.create_domain(&new).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(touched.take(), [two.id, three.id].into());
    assert_eq!(other.take(), [two.id, three.id].into());
    let nobody = AppId::from_uuid(Uuid::now_v7());
    assert!(t.store.begin_for_app(nobody, NOW, "test").await.is_err());
    t.store.begin_record(NOW, "test").await.unwrap().commit().await.unwrap();
    assert!(touched.take().is_empty());
    touched.put_back([one.id]);
    assert_eq!(touched.take(), [one.id].into());
}

#[tokio::test]
async fn an_account_sees_the_apps_it_owns_or_collaborates_on() {
    let t = Fixture::new().await;
    let (one, two) = (t.app("app-one").await, t.app("app-two").await);
    t.app("app-three").await;
    let id = CollaboratorId::from_uuid(Uuid::now_v7());
    let role = CollaboratorRole::Collaborator;
    let mut tx = t.store.begin_for_app(two.id, NOW, "test").await.unwrap();
    tx.create_collaborator(id, two.id, one.owner_id, role).await.unwrap();
    tx.commit().await.unwrap();

    let names = |apps: Vec<ListedApp>| -> Vec<String> {
        apps.into_iter().map(|listed| listed.app.name.to_string()).collect()
    };
    assert_eq!(names(t.store.apps_of(one.owner_id).await.unwrap()), ["app-one", "app-two"]);
    assert_eq!(t.store.apps_owned_by(one.owner_id).await.unwrap(), std::slice::from_ref(&one));
    assert_eq!(t.store.apps().await.unwrap().len(), 3);
    let found = t.store.collaborator(two.id, one.owner_id).await.unwrap().unwrap();
    assert_eq!((found.id, found.role), (id, role));
    assert_eq!(t.store.collaborators(two.id).await.unwrap(), [found]);

    let mut tx = t.store.begin_for_app(two.id, NOW, "test").await.unwrap();
    let again = CollaboratorId::from_uuid(Uuid::now_v7());
    let twice = tx.create_collaborator(again, two.id, one.owner_id, role).await;
    assert!(matches!(twice, Err(StoreError::AlreadyCollaborator(_))));
    drop(tx);
    let mut tx = t.store.begin_for_app(two.id, NOW, "test").await.unwrap();
    assert!(tx.delete_collaborator(two.id, one.owner_id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(names(t.store.apps_of(one.owner_id).await.unwrap()), ["app-one"]);
}

#[tokio::test]
async fn a_list_says_of_each_app_whose_it_is_and_what_built_it() {
    let t = Fixture::new().await;
    let (built, empty) = (t.app("built").await, t.app("empty").await);
    let slug = t.slug(built.id, "sha256:own").await;
    t.release(&built, Some(slug), vars(&[])).await;
    t.release(&empty, None, vars(&[])).await;
    for (app, description) in [(&built, Some("Python".to_owned())), (&empty, None)] {
        let row = t.store.app(app.id).await.unwrap().unwrap();
        let owner_email = format!("{}@example.test", app.name);
        let listed = ListedApp { app: row, owner_email, buildpack_description: description };
        assert_eq!(t.store.apps_of(app.owner_id).await.unwrap(), std::slice::from_ref(&listed));
        assert_eq!(t.store.listed_app(app.id).await.unwrap(), Some(listed));
    }
}

#[tokio::test]
async fn a_deleted_app_takes_all_with_it_but_its_id_range() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let slug = t.slug(app.id, "sha256:own").await;
    t.release(&app, Some(slug), vars(&[("A", "1")])).await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.set_config(app.id, &vars(&[("A", "1")])).await.unwrap();
    tx.delete_app(app.id).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(t.store.app(app.id).await.unwrap(), None);
    assert_eq!(t.store.slug(slug).await.unwrap(), None);
    assert!(t.store.config_vars(app.id).await.unwrap().is_empty());
    let deleted = t.store.deleted_apps().await.unwrap();
    assert_eq!((deleted[0].app_id, deleted[0].id_range, deleted.len()), (app.id, app.id_range, 1));

    let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
    tx.forget_deleted_app(app.id).await.unwrap();
    let next = tx.create_app(&new_app("first", app.owner_id)).await.unwrap();
    tx.commit().await.unwrap();
    assert_ne!(next.id_range, app.id_range, "a range is never given twice");
    assert_eq!(t.store.deleted_apps().await.unwrap(), []);
}

#[tokio::test]
async fn a_slug_that_another_app_runs_outlives_its_app() {
    let t = Fixture::new().await;
    let (maker, user) = (t.app("maker").await, t.app("user-app").await);
    let slug = t.slug(maker.id, "sha256:shared").await;
    let mut tx = t.store.begin_for_app(user.id, NOW, "test").await.unwrap();
    tx.create_release(&new_release(&user, Some(slug), vars(&[]))).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = t.store.begin_for_app(maker.id, NOW, "test").await.unwrap();
    tx.delete_app(maker.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.slug(slug).await.unwrap().unwrap().app_id, None);
    assert_eq!(t.store.needed_layers().await.unwrap(), ["sha256:shared".to_owned()].into());

    let mut tx = t.store.begin_for_app(user.id, NOW, "test").await.unwrap();
    tx.delete_app(user.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(t.store.needed_layers().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_release_keeps_the_quantity_of_process_types_that_stay() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let define = |name: &str, command: &str| ProcessDefinition {
        process_type: name.parse().unwrap(),
        command: command.into(),
        quantity_if_new: u32::from(name == "web"),
        size_if_new: DynoSize::Basic,
    };
    let worker: ProcessType = "worker".parse().unwrap();
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.replace_process_types(app.id, &[define("web", "a"), define("worker", "b")]).await.unwrap();
    tx.scale_formation(app.id, &worker, 3, DynoSize::Standard2X).await.unwrap();
    tx.commit().await.unwrap();
    let before = t.store.formation_of(app.id, &worker).await.unwrap().unwrap();

    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.replace_process_types(app.id, &[define("worker", "b2"), define("clock", "c")]).await.unwrap();
    let web = tx.scale_formation(app.id, &ProcessType::web(), 1, DynoSize::Basic).await;
    assert!(matches!(web, Err(StoreError::Gone { .. })));
    tx.commit().await.unwrap();
    let after: Vec<(FormationId, String, u32, DynoSize, String)> = t
        .store
        .formation(app.id)
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.id, row.process_type.to_string(), row.quantity, row.size, row.command))
        .collect();
    assert_eq!(after.len(), 2);
    assert_eq!((after[0].1.as_str(), after[0].2), ("clock", 0));
    assert_eq!(after[1], (before.id, "worker".into(), 3, DynoSize::Standard2X, "b2".into()));
}

#[tokio::test]
async fn buildpacks_keep_their_order_and_features_their_switch() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let urls: Vec<String> = (0..12).map(|n| format!("https://example.test/{}", 11 - n)).collect();
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.replace_buildpacks(app.id, &["old".into()]).await.unwrap();
    tx.replace_buildpacks(app.id, &urls).await.unwrap();
    assert_eq!(tx.buildpacks(app.id).await.unwrap(), urls);
    tx.set_app_feature(app.id, "preboot", true).await.unwrap();
    tx.set_app_feature(app.id, "preboot", false).await.unwrap();
    tx.set_app_feature(app.id, "http-sticky-sessions", true).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.buildpacks(app.id).await.unwrap(), urls);
    let features = t.store.app_features(app.id).await.unwrap();
    let switches: Vec<_> = features.iter().map(|row| (row.name.as_str(), row.enabled)).collect();
    assert_eq!(switches, [("http-sticky-sessions", true), ("preboot", false)]);
}
