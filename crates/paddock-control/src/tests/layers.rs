//! Layers that nothing names any more, and how long they stay.

use std::time::{Duration, SystemTime};

use paddock_core::BuildId;
use uuid::Uuid;

use crate::kernel::reconcile::Reconciler as _;
use crate::tests::Still;

#[tokio::test]
async fn the_layer_of_a_destroyed_app_goes_before_one_that_may_be_about_to_be_named() {
    let t = Still::new().await;
    // As its slug names it; no pass looks into a layer.
    let file = |digit: &str| t.folder.path().join(format!("layers/{}.erofs", digit.repeat(64)));
    let add = |digit: &str, seconds: u64| {
        let added = std::fs::File::create(file(digit)).unwrap();
        added.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    };
    let there = |digits: [&str; 3]| digits.map(|digit| file(digit).exists());
    let app = t.deployed_app("gone", "worker", "work").await.app_id;
    for (digit, age) in [("0", 1000), ("a", 180), ("b", 1000)] {
        add(digit, age);
    }
    let mut garbage = t.control.garbage();
    garbage.pass().await.unwrap();
    assert_eq!(there(["0", "a", "b"]), [true, true, false], "named, too young to say, left over");

    let mut tx = t.control.kernel.store.begin_for_app(app, t.control.now(), "test").await.unwrap();
    tx.delete_app(app).await.unwrap();
    tx.commit().await.unwrap();
    // A build made the same just now, and its row is not there yet.
    add("0", 60);
    garbage.pass().await.unwrap();
    assert_eq!(there(["0", "a", "b"]), [true, true, false]);
    add("0", 180);
    garbage.pass().await.unwrap();
    assert_eq!(there(["0", "a", "b"]), [false, true, false]);
}

#[tokio::test]
async fn a_layer_that_a_running_build_was_given_stays_until_the_build_has_ended() {
    let t = Still::new().await;
    let file = t.folder.path().join(format!("layers/{}.erofs", "c".repeat(64)));
    let added = std::fs::File::create(&file).unwrap();
    added.set_modified(SystemTime::now() - Duration::from_secs(1000)).unwrap();
    let deploy = &t.control.deploy;
    let using = deploy.layers_in_use.begin(BuildId::from_uuid(Uuid::now_v7()));
    using.add([&format!("sha256:{}", "c".repeat(64)).parse().unwrap()]);
    t.control.garbage().pass().await.unwrap();
    assert!(file.exists());
    drop(using);
    t.control.garbage().pass().await.unwrap();
    assert!(!file.exists());
}
