//! Events, settings, log sessions.

use std::time::Duration;

use paddock_core::event::{By, Event};
use paddock_core::{AppId, LogSessionId};
use paddock_store::NewLogSession;
use uuid::Uuid;

use super::fixture::{Fixture, NOW};

fn scaled(app: AppId, n: u64) -> Event {
    Event::FormationUpdated { app, scaled: format!("web@{n}") }
}

#[tokio::test]
async fn events_come_in_the_order_of_the_commits_and_only_if_committed() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    assert_eq!(t.store.events_since(0, 100).await.unwrap(), []);
    let mut dropped = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    dropped.event(&scaled(app.id, 0), By::Platform).await.unwrap();
    drop(dropped);
    let mut numbers = Vec::new();
    for n in 0..3_u64 {
        let mut tx = t.store.begin_for_app(app.id, NOW + Duration::from_secs(n), "test").await.unwrap();
        numbers.push(tx.event(&scaled(app.id, n), By::Platform).await.unwrap());
        tx.commit().await.unwrap();
    }
    let all = t.store.events_since(0, 100).await.unwrap();
    assert_eq!(all.iter().map(|event| event.sequence).collect::<Vec<_>>(), numbers);
    assert_eq!(
        (&*all[1].kind, &*all[1].payload),
        ("formation.update", r#"{"by":"platform","scaled":"web@1"}"#)
    );
    assert_eq!(t.store.events_since(numbers[0], 1).await.unwrap(), [all[1].clone()]);

    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.delete_app(app.id).await.unwrap();
    tx.event(&Event::AppDestroyed { app: app.id, name: app.name.clone() }, By::Operator).await.unwrap();
    assert_eq!(tx.purge_events(NOW + Duration::from_secs(2)).await.unwrap(), 3);
    tx.commit().await.unwrap();
    let left = t.store.events_since(0, 100).await.unwrap();
    assert_eq!((left.len(), left[0].app_id), (1, Some(app.id)), "an event outlives its app");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_first_values_of_a_setting_one_wins() {
    let t = Fixture::new().await;
    assert_eq!(t.store.setting("instance").await.unwrap(), None);
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let store = t.store.clone();
            tokio::spawn(
                async move { store.get_or_insert_setting("instance", &n.to_string()).await.unwrap() },
            )
        })
        .collect();
    let winner = t.store.get_or_insert_setting("instance", "late").await.unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap(), winner);
    }
    assert_eq!(t.store.setting("instance").await.unwrap(), Some(winner));
}

#[tokio::test]
async fn a_log_session_is_found_by_its_secret_until_it_is_purged() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let new = NewLogSession {
        id: LogSessionId::from_uuid(Uuid::now_v7()),
        secret_sha256: [5; 32],
        app_id: app.id,
        account_id: app.owner_id,
        dyno: Some("web.1".into()),
        source: None,
        process_type: Some("web".parse().unwrap()),
        lines: 100,
        tail: true,
        expires_at: NOW + Duration::from_secs(300),
    };
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.create_log_session(&new).await.unwrap();
    tx.commit().await.unwrap();
    let found = t.store.log_session_by_secret(&[5; 32]).await.unwrap().unwrap();
    assert_eq!((found.id, found.dyno, found.source), (new.id, new.dyno, None));
    assert_eq!(found.account_id, Some(app.owner_id));
    assert_eq!((found.lines, found.tail, found.process_type), (100, true, new.process_type));
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert_eq!(tx.purge_log_sessions(new.expires_at).await.unwrap(), 0);
    assert_eq!(tx.purge_log_sessions(new.expires_at + Duration::from_micros(1)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(t.store.log_session_by_secret(&[5; 32]).await.unwrap(), None);
}
