//! Outputs of builds: followed from the start to the end, live and after a restart.

use std::path::Path;
use std::time::Duration;

use paddock_telemetry::{Follow, OUTPUT_BYTES_MAX, OutputError, OutputLogs};
use tempfile::TempDir;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(60);

fn open(folder: &Path) -> OutputLogs {
    OutputLogs::open(folder.join("output")).unwrap()
}

/// The outputs, and whether they are being written from here.
async fn begun(outputs: &OutputLogs) -> Vec<(Uuid, bool)> {
    let seen = outputs.list().await.unwrap();
    seen.into_iter().map(|output| (output.id, output.begun_for.is_some())).collect()
}

async fn read_all(mut follow: Follow) -> Vec<u8> {
    let mut all = Vec::new();
    let reading = async {
        while let Some(bytes) = follow.next().await.unwrap() {
            all.extend_from_slice(&bytes);
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("the output ends");
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_get_everything_whenever_they_join() {
    let folder = TempDir::new().unwrap();
    let outputs = open(folder.path());
    let id = Uuid::now_v7();
    assert!(matches!(outputs.follow(id), Err(OutputError::NotStarted(_))));
    let mut writer = outputs.writer(id).unwrap();
    let mut followers = vec![tokio::spawn(read_all(outputs.follow(id).unwrap()))];
    let mut expected = Vec::new();
    for n in 0..2000 {
        let text = format!("-----> step {n}\n");
        expected.extend_from_slice(text.as_bytes());
        writer.append(text).await.unwrap();
        if n == 1000 {
            followers.push(tokio::spawn(read_all(outputs.follow(id).unwrap())));
        }
    }
    writer.finish().await.unwrap();
    followers.push(tokio::spawn(read_all(outputs.follow(id).unwrap())));
    // Another process's view, and ours after a restart.
    followers.push(tokio::spawn(read_all(open(folder.path()).follow(id).unwrap())));
    for follower in followers {
        assert!(follower.await.unwrap() == expected);
    }
    assert!(matches!(outputs.writer(id), Err(OutputError::Finished(_))));
}

#[tokio::test]
async fn an_output_is_seen_before_it_is_finished() {
    let folder = TempDir::new().unwrap();
    let outputs = open(folder.path());
    let id = Uuid::now_v7();
    let mut writer = outputs.writer(id).unwrap();
    let mut follow = outputs.follow(id).unwrap();
    for text in ["one", "two"] {
        writer.append(text).await.unwrap();
        let bytes = tokio::time::timeout(DEADLINE, follow.next()).await.unwrap().unwrap();
        assert_eq!(bytes.unwrap(), text);
    }
}

#[tokio::test]
async fn an_output_whose_writer_is_gone_can_be_gone_on_with_or_abandoned() {
    let folder = TempDir::new().unwrap();
    let id = Uuid::now_v7();
    open(folder.path()).writer(id).unwrap().append("before ").await.unwrap();
    let outputs = open(folder.path());
    assert_eq!(begun(&outputs).await, [(id, false)], "by one that is gone");
    outputs.writer(id).unwrap().append("after").await.unwrap();
    assert_eq!(begun(&outputs).await, [(id, true)]);
    let following = tokio::spawn(read_all(outputs.follow(id).unwrap()));
    outputs.abandon(id).await.unwrap();
    outputs.abandon(id).await.unwrap();
    assert_eq!(following.await.unwrap(), b"before after");
    assert_eq!(begun(&outputs).await, [(id, false)], "it has ended");
    assert!(matches!(outputs.writer(id), Err(OutputError::Finished(_))));
}

#[tokio::test]
async fn a_deleted_output_is_gone_and_its_followers_end() {
    let folder = TempDir::new().unwrap();
    let outputs = open(folder.path());
    let id = Uuid::now_v7();
    let mut writer = outputs.writer(id).unwrap();
    writer.append("text").await.unwrap();
    let follow = outputs.follow(id).unwrap();
    assert_eq!(begun(&outputs).await, [(id, true)]);
    outputs.delete(id).await.unwrap();
    outputs.delete(id).await.unwrap();
    read_all(follow).await;
    assert!(matches!(outputs.follow(id), Err(OutputError::NotStarted(_))));
    assert_eq!(std::fs::read_dir(folder.path().join("output")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_endless_output_is_cut_with_a_notice() {
    let folder = TempDir::new().unwrap();
    let outputs = open(folder.path());
    let id = Uuid::now_v7();
    let mut writer = outputs.writer(id).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..OUTPUT_BYTES_MAX / (1 << 20) + 2 {
        writer.append(chunk.clone()).await.unwrap();
    }
    drop(writer);
    outputs.writer(id).unwrap().append("more").await.unwrap();
    outputs.abandon(id).await.unwrap();
    let all = read_all(outputs.follow(id).unwrap()).await;
    let text = &all[usize::try_from(OUTPUT_BYTES_MAX).unwrap()..];
    assert_eq!(text, b"\n !     Output is too long: the rest of it is left out.\n");
}
