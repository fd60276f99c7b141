//! Many writers at once: none is told "locked", no update is lost.

use paddock_store::Store;

use super::fixture::{Fixture, NOW, new_release, vars};

const TASKS: usize = 8;
const WRITES: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_read_then_write_tasks_no_update_is_lost() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    // Two stores on one file stand for two processes: their writers meet at the engine's own lock.
    let second = Store::open(&t.config()).await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, app) = (if task % 2 == 0 { t.store.clone() } else { second.clone() }, app.clone());
            tokio::spawn(async move {
                for write in 0..WRITES {
                    let mut tx = store.begin_for_app(app.id, NOW, "test").await.unwrap();
                    let before = tx.owned_config(app.id).await.unwrap().user;
                    let count: usize = before.get("COUNT").map_or(0, |count| count.parse().unwrap());
                    tx.set_config(app.id, &vars(&[("COUNT", &(count + 1).to_string())])).await.unwrap();
                    if write % 10 == 0 {
                        tx.create_release(&new_release(&app, None, before)).await.unwrap();
                    }
                    tx.commit().await.unwrap();
                    // A reader is never told "locked" either.
                    store.app(app.id).await.unwrap().unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let writes = TASKS * WRITES;
    assert_eq!(t.store.config_vars(app.id).await.unwrap(), vars(&[("COUNT", &writes.to_string())]));
    let app = t.store.app(app.id).await.unwrap().unwrap();
    assert_eq!(app.generation, 1 + i64::try_from(writes).unwrap());
    assert_eq!(app.next_version, 1 + i64::try_from(writes / 10).unwrap());
}

/// Where no generation is bumped the first statement may be a read, and only the way to begin takes the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_reads_before_it_writes_is_not_told_locked() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let second = Store::open(&t.config()).await.unwrap();
    let tasks: Vec<_> = [t.store.clone(), second]
        .into_iter()
        .map(|store| {
            let id = app.owner_id;
            tokio::spawn(async move {
                for _ in 0..WRITES {
                    let mut tx = store.begin_record(NOW, "test").await.unwrap();
                    let account = tx.account(id).await.unwrap().unwrap();
                    tx.record_login_failure(&account.email, "10.0.0.1").await.unwrap();
                    tx.commit().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counts = t.store.login_failures_since("first@example.test", "10.0.0.1", NOW).await.unwrap();
    assert_eq!(counts.of_both, i64::try_from(2 * WRITES).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_cut_off_leaves_nothing_and_blocks_nobody() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    for _ in 0..20 {
        let (store, id) = (t.store.clone(), app.id);
        let (begun, cut) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut tx = store.begin_for_app(id, NOW, "test").await.unwrap();
            tx.set_maintenance(id, true).await.unwrap();
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        cut.await.unwrap();
        task.abort();
        let tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
        tx.commit().await.unwrap();
    }
    let app = t.store.app(app.id).await.unwrap().unwrap();
    assert_eq!((app.generation, app.maintenance), (21, false));
}
