//! What a reconciler reads of all apps at once: a pass costs the same few statements however many apps there are.

use std::collections::HashMap;

use paddock_core::ProcessType;
use paddock_core::build::BuildStatus;
use paddock_core::dyno::DynoSize;
use paddock_core::release::ReleaseStatus;
use paddock_store::{App, ProcessDefinition, Store};

use super::fixture::{Fixture, NOW, new_app, new_build, new_release, server, vars};

/// An app of another server of the same database, with everything that is read in bulk: none of it is ours.
async fn another_servers_app(t: &Fixture) -> App {
    let owner = t.account("elsewhere@example.test").await;
    let config = paddock_store::StoreConfig { server: server(2), ..t.config() };
    let other = Store::open(&config).await.unwrap();
    let mut tx = other.begin_platform(NOW, "test").await.unwrap();
    let app = tx.create_app(&new_app("elsewhere", owner)).await.unwrap();
    tx.commit().await.unwrap();
    fill(&other, &app).await;
    other.close().await;
    app
}

/// One process type, one config var, a build that runs, and two releases, the first of which is current.
async fn fill(store: &Store, app: &App) {
    let mut tx = store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let definition = ProcessDefinition {
        process_type: ProcessType::web(),
        command: format!("serve {}", app.name),
        quantity_if_new: 1,
        size_if_new: DynoSize::Basic,
    };
    tx.replace_process_types(app.id, &[definition]).await.unwrap();
    tx.set_config(app.id, &vars(&[("NAME", app.name.as_str())])).await.unwrap();
    tx.create_build(&new_build(app)).await.unwrap();
    let current = tx.create_release(&new_release(app, None, vars(&[]))).await.unwrap();
    tx.set_current_release(app.id, current.id).await.unwrap();
    let mut failed = new_release(app, None, vars(&[]));
    failed.status = ReleaseStatus::Failed;
    tx.create_release(&failed).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_is_read_of_all_apps_is_what_is_read_of_each() {
    let t = Fixture::new().await;
    let empty = t.app("empty").await;
    let (first, second) = (t.app("first").await, t.app("second").await);
    for app in [&first, &second] {
        fill(&t.store, app).await;
    }
    another_servers_app(&t).await;
    let apps = t.store.apps().await.unwrap();
    assert_eq!(apps.len(), 3);

    let before = t.store.statistics().reads;
    let formations = t.store.formations().await.unwrap();
    let releases = t.store.current_releases().await.unwrap();
    let config = t.store.all_config_vars().await.unwrap();
    let builds = t.store.build_statuses().await.unwrap();
    let statuses = t.store.release_statuses().await.unwrap();
    assert_eq!(t.store.statistics().reads - before, 5, "one statement each");

    let (mut each_formation, mut each_release, mut each_config) =
        (Vec::new(), HashMap::new(), HashMap::new());
    for app in &apps {
        each_formation.extend(t.store.formation(app.id).await.unwrap());
        each_release.extend(t.store.current_release(app.id).await.unwrap().map(|release| (app.id, release)));
        each_config.insert(app.id, t.store.config_vars(app.id).await.unwrap());
    }
    each_formation.sort_by_key(|row| row.app_id);
    assert_eq!(formations, each_formation);
    let releases: HashMap<_, _> = releases.into_iter().map(|release| (release.app_id, release)).collect();
    assert_eq!(releases, each_release);
    assert_eq!(config.len(), 2);
    assert!(!config.contains_key(&empty.id) && each_config[&empty.id].is_empty());
    assert_eq!(
        (&config[&first.id], &config[&second.id]),
        (&each_config[&first.id], &each_config[&second.id])
    );
    assert_eq!(builds.into_values().collect::<Vec<_>>(), [BuildStatus::Pending; 2]);
    let failed = statuses.values().filter(|status| **status == ReleaseStatus::Failed).count();
    assert_eq!((statuses.len(), failed), (4, 2));
}
