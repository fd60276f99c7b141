//! What is read of a page of apps at once: the same few statements however many apps it has.

use std::collections::HashMap;

use paddock_core::ProcessType;
use paddock_core::dyno::DynoSize;
use paddock_core::release::ReleaseStatus;
use paddock_store::{App, AppSpan, ProcessDefinition, Store};

use super::fixture::{Fixture, NOW, new_app, new_build, new_domain, new_release, server, vars};

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

/// One process type, one config var, one domain, a build that runs, and two releases: one is current, one waits.
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
    let mut waiting = new_release(app, None, vars(&[]));
    waiting.status = ReleaseStatus::Pending;
    tx.create_release(&waiting).await.unwrap();
    tx.create_domain(&new_domain(app.id, &format!("www.{}.example", app.name))).await.unwrap();
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
    let apps = t.store.apps_after(None, 100).await.unwrap();
    assert_eq!(apps.iter().map(|app| app.id).collect::<Vec<_>>(), [empty.id, first.id, second.id]);

    let before = t.store.statistics().reads;
    let span = AppSpan::of_page(&apps).unwrap();
    let found = t.store.apps_within(span).await.unwrap();
    let formations = t.store.formations_within(span).await.unwrap();
    let releases = t.store.current_releases_within(span).await.unwrap();
    let pending = t.store.pending_releases_within(span).await.unwrap();
    let config = t.store.config_vars_within(span).await.unwrap();
    let domains = t.store.domains_within(span).await.unwrap();
    assert_eq!(t.store.statistics().reads - before, 6, "one statement each");
    assert_eq!(found, apps);

    let (mut each_formation, mut each_domain) = (Vec::new(), Vec::new());
    let (mut each_release, mut each_config) = (HashMap::new(), HashMap::new());
    for app in &apps {
        each_formation.extend(t.store.formation(app.id).await.unwrap());
        each_domain.extend(t.store.domains(app.id).await.unwrap());
        each_release.extend(t.store.current_release(app.id).await.unwrap().map(|release| (app.id, release)));
        each_config.insert(app.id, t.store.config_vars(app.id).await.unwrap());
    }
    each_formation.sort_by_key(|row| row.app_id);
    each_domain.sort_by(|one, other| one.hostname.cmp(&other.hostname));
    assert_eq!((formations, domains.len()), (each_formation, 2));
    assert_eq!(domains, each_domain);
    let releases: HashMap<_, _> = releases.into_iter().map(|release| (release.app_id, release)).collect();
    assert_eq!(releases, each_release);
    assert_eq!(config.len(), 2);
    assert!(!config.contains_key(&empty.id) && each_config[&empty.id].is_empty());
    assert_eq!(
        (&config[&first.id], &config[&second.id]),
        (&each_config[&first.id], &each_config[&second.id])
    );
    let waiting: Vec<_> = pending.iter().map(|release| (release.app_id, release.version)).collect();
    assert_eq!(waiting, [(first.id, 2), (second.id, 2)]);
}

#[tokio::test]
async fn a_span_is_one_app_or_a_page_of_them() {
    let t = Fixture::new().await;
    let mut apps = Vec::new();
    for name in ["one", "two", "three"] {
        let app = t.app(name).await;
        fill(&t.store, &app).await;
        apps.push(app.id);
    }
    another_servers_app(&t).await;
    let page = |apps: Vec<App>| apps.into_iter().map(|app| app.id).collect::<Vec<_>>();
    assert_eq!(page(t.store.apps_after(None, 2).await.unwrap()), apps[..2]);
    assert_eq!(page(t.store.apps_after(Some(apps[1]), 2).await.unwrap()), apps[2..]);
    assert_eq!(page(t.store.apps_after(Some(apps[2]), 2).await.unwrap()), []);

    let of = |rows: Vec<paddock_store::Formation>| rows.into_iter().map(|row| row.app_id).collect::<Vec<_>>();
    let one = AppSpan::of_one(apps[1]);
    assert_eq!(of(t.store.formations_within(one).await.unwrap()), [apps[1]]);
    let two = AppSpan::of_ids(&apps[1..]).unwrap();
    assert_eq!(of(t.store.formations_within(two).await.unwrap()), apps[1..]);
    assert_eq!((AppSpan::of_page(&[]), AppSpan::of_ids(&[])), (None, None));
}

#[tokio::test]
async fn an_output_is_of_a_build_or_of_a_release() {
    let t = Fixture::new().await;
    let app = t.app("one").await;
    fill(&t.store, &app).await;
    let build = t.store.running_build(app.id).await.unwrap().unwrap();
    let [current, pending] = [1, 2].map(|version| t.store.release_by_version(app.id, version));
    let (current, pending) = (current.await.unwrap().unwrap(), pending.await.unwrap().unwrap());
    for (id, expected) in [
        (build.id.uuid(), Some(true)),
        (pending.id.uuid(), Some(true)),
        (current.id.uuid(), Some(false)),
        (app.id.uuid(), None),
    ] {
        assert_eq!(t.store.is_pending(id).await.unwrap(), expected);
    }
}
