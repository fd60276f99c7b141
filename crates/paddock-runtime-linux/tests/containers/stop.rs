//! How the processes of a container end: asked first, each of them, and in time.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Fixture, PATIENCE, with};
use paddock_core::ContainerId;
use paddock_runtime::{ContainerSpec, Exit, Runtime};

/// A server as a shell would be one: `ready`, and on SIGTERM a second for its last request.
const SERVER: &str =
    "trap 'sleep 1; echo closed cleanly; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
/// One that does not care.
const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";

/// Runs a line until it says `ready`, stops it, and gives its end and what it said.
async fn stopped(f: &Arc<Fixture>, spec: ContainerSpec, grace: Duration) -> (Exit, String) {
    let id = spec.id;
    f.runtime.start(spec).await.unwrap();
    wait_for_line(f, id, "ready").await;
    f.runtime.stop(id, grace).await.unwrap();
    ended(f, id).await
}

async fn ended(f: &Arc<Fixture>, id: ContainerId) -> (Exit, String) {
    let text = f.all_output(id).await;
    let exit = f.exit(id).await;
    f.runtime.remove(id).await.unwrap();
    (exit, text)
}

async fn wait_for_line(f: &Arc<Fixture>, id: ContainerId, wanted: &str) {
    let mut output = f.runtime.output(id, 0).await.unwrap();
    let line = async {
        while let Some(piece) = output.recv().await {
            if &piece.bytes[..] == wanted.as_bytes() {
                return;
            }
        }
        panic!("it ended without {wanted:?}");
    };
    tokio::time::timeout(PATIENCE, line).await.unwrap_or_else(|_| panic!("{wanted:?} did not come"));
}

fn exit(status: i32, killed_after_grace: bool) -> Exit {
    Exit { status, out_of_memory: false, killed_after_grace }
}

#[test]
fn a_parent_that_ends_on_sigterm_does_not_take_its_children_along() {
    with(
        |_| {},
        |f| async move {
            let child = |tail: &str| format!("sh -c \"{SERVER}\"{tail}");
            // As `npm start` and `bash start.sh`, then as `sh -c "a; b"`, then a whole tree of them.
            for script in [
                child(" & wait"),
                child("; echo never"),
                format!("sh -c '{}' & wait", child("; true").replace('\'', "'\\''")),
            ] {
                let (end, text) = stopped(&f, f.spec(&script), PATIENCE).await;
                assert_eq!(end, exit(143, false), "{script}");
                // A shell may say of its child that it was terminated.
                assert!(text.ends_with("closed cleanly\n") && !text.contains("never"), "{script}: {text}");
            }
        },
    );
}

#[test]
fn what_is_left_after_the_grace_is_killed_and_the_status_stays_the_programs() {
    with(
        |_| {},
        |f| async move {
            let script = format!("trap 'exit 5' TERM; sh -c \"{DEAF}\" & wait");
            let (end, _) = stopped(&f, f.spec(&script), Duration::from_millis(500)).await;
            assert_eq!(end, exit(5, true));
        },
    );
}

#[test]
fn what_outlives_the_program_is_asked_to_end_as_well() {
    with(
        |_| {},
        |f| async move {
            // In a session of its own, as daemons are.
            let daemon = |line: &str| {
                let waits = "while [ ! -e /tmp/there ]; do sleep 0.05; done";
                format!(
                    "setsid sh -c \"{}\" & {waits}; echo left; exit 4",
                    line.replace("echo ready", "touch /tmp/there")
                )
            };
            let (end, text) = f.run(f.spec(&daemon(SERVER))).await;
            assert_eq!(end, exit(4, false));
            assert!(text.ends_with("closed cleanly\n"), "{text}");

            for grace in [Duration::ZERO, Duration::from_millis(300)] {
                let spec = ContainerSpec { leftover_grace: grace, ..f.spec(&daemon(DEAF)) };
                let (end, _) = f.run(spec).await;
                assert_eq!(end, exit(4, false), "nobody asked for a stop");
            }

            let spec = ContainerSpec { leftover_grace: PATIENCE * 10, ..f.spec(&daemon(DEAF)) };
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            wait_for_line(&f, id, "left").await;
            f.runtime.stop(id, Duration::from_millis(300)).await.unwrap();
            assert!(ended(&f, id).await.0.killed_after_grace, "a stop shortens it");
        },
    );
}

#[test]
fn a_stopped_process_hears_of_the_stop() {
    with(
        |_| {},
        |f| async move {
            let script = "trap 'echo heard; exit 3' TERM; (sleep 0.2; echo ready) & kill -STOP $$; wait";
            let (end, text) = stopped(&f, f.spec(script), PATIENCE).await;
            assert_eq!(end, exit(3, false), "{text}");
            assert!(text.ends_with("heard\n"), "{text}");
        },
    );
}

#[test]
fn a_child_that_is_being_made_hears_of_the_stop() {
    /// Many at it, so that some make a child while others are told.
    const FORKS: &str = r#"
import os, time
for _ in range(15):
    if os.fork() == 0:
        earlier = None
        while True:
            child = os.fork()
            if child == 0:
                time.sleep(1000)
            if earlier:
                os.kill(earlier, 9)
                os.waitpid(earlier, 0)
            earlier = child
print("ready", flush=True)
time.sleep(1000)
"#;
    with(
        |_| {},
        |f| async move {
            for _ in 0..10 {
                let mut spec = f.spec("");
                spec.command = vec!["python3".into(), "-c".into(), FORKS.into()];
                assert_eq!(stopped(&f, spec, PATIENCE * 10).await.0, exit(143, false));
            }
        },
    );
}
