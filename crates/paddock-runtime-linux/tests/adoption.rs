//! Containers outlive the process that started them: killed with SIGKILL, it is followed by another that finds them.
//!
//! Has a `main` of its own, because the process to be killed is this program as well: `adoption hold DIR INSTANCE`.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test and its parts")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use paddock_core::ContainerId;
use paddock_runtime::{ContainerState, Runtime};
use paddock_runtime_linux::{LinuxConfig, LinuxRuntime};
use support::{Fixture, PATIENCE, collect, find};

/// Prints on while nobody is there, then lives until it is stopped.
const TALKS: &str = "trap 'exit 6' TERM; for i in $(seq 1 300); do echo line $i; sleep 0.005; done; while :; do sleep 1000 & wait; done";
/// Ends while nobody is there.
const ENDS: &str = "echo early; sleep 0.5; echo late; exit 9";

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, word, dir, instance] = arguments.as_slice()
        && word == "hold"
    {
        return hold(Path::new(dir), instance);
    }
    // What test runners ask of every test program; one asks for those that are ignored, too, and would leave them out.
    let asks = |word: &str| arguments.iter().any(|argument| argument == word);
    if asks("--list") {
        if !asks("--ignored") {
            println!("a_killed_runtime_is_followed_by_another: test");
        }
        return;
    }
    if !support::may_run() {
        return;
    }
    println!("running 1 test");
    a_killed_runtime_is_followed_by_another();
    println!("test a_killed_runtime_is_followed_by_another ... ok");
}

fn config(dir: &Path, instance: &str) -> LinuxConfig {
    LinuxConfig { instance: instance.to_owned(), ..support::config(dir) }
}

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Starts two containers, says so, and waits to be killed.
fn hold(dir: &Path, instance: &str) {
    tokio().block_on(async {
        let config = config(dir, instance);
        let runtime = LinuxRuntime::open(config.clone()).await.unwrap();
        let fixture = Fixture::new(runtime, config);
        for script in [TALKS, ENDS] {
            let mut spec = fixture.spec(script);
            spec.network = paddock_runtime::Network::Outbound;
            fixture.runtime.start(spec.clone()).await.unwrap();
            println!("{}", spec.id);
        }
        std::io::stdout().flush().unwrap();
        std::future::pending::<()>().await;
    });
}

fn a_killed_runtime_is_followed_by_another() {
    let dir = tempfile::tempdir().unwrap();
    support::make_base(&dir.path().join("base"));
    let instance = support::config(dir.path()).instance;
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["hold", dir.path().to_str().unwrap(), &instance])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        let ids: Vec<_> = lines.take(2).map(|line| line.unwrap().parse().unwrap()).collect();
        assert_eq!(ids.len(), 2, "two containers are started");
        tokio().block_on(async {
            let config = config(dir.path(), &instance);
            // While the first runtime lives a part of the output is read, as its log plane would.
            let part = read_some(&config, ids[0], &mut holder).await;
            assert_eq!(part, (1..=20).collect::<Vec<_>>());
            adopt(config, &ids).await;
        });
    }));
    let _ = holder.kill();
    let _ = holder.wait();
    tokio().block_on(async {
        let runtime = LinuxRuntime::open(config(dir.path(), &instance)).await.unwrap();
        runtime.destroy_instance().await.unwrap();
    });
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Waits for twenty lines in the spool, then kills the process that started the container.
async fn read_some(config: &LinuxConfig, id: ContainerId, holder: &mut Child) -> Vec<u64> {
    let spool = config.run_dir.join(id.to_string()).join("spool");
    let mut reader = paddock_ipc::spool::Reader::new(&spool, 0);
    let mut seen = Vec::new();
    let reading = async {
        while seen.len() < 20 {
            seen.extend(reader.next_batch(1).unwrap().into_iter().map(|record| record.seq));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    seen.truncate(20);
    seen
}

async fn adopt(config: LinuxConfig, ids: &[ContainerId]) {
    let runtime = LinuxRuntime::open(config).await.unwrap();
    let talks = find(&*runtime, ids[0]).await.unwrap();
    assert_eq!(talks.state, ContainerState::Running);
    assert_eq!(talks.labels.get("dyno").map(String::as_str), Some("web.1"));
    assert!(talks.address.is_some());
    // Exactly what was not read before, in order, and what comes from now on.
    let mut output = runtime.output(ids[0], 20).await.unwrap();
    for number in 21..=300 {
        let piece = tokio::time::timeout(PATIENCE, output.recv()).await.unwrap().unwrap();
        let expected = format!("line {number}");
        assert_eq!((piece.seq, String::from_utf8_lossy(&piece.bytes)), (number, expected.into()));
    }
    let ended =
        support::wait(&*runtime, ids[1], |state| matches!(state, ContainerState::Exited { .. })).await;
    let ContainerState::Exited { exit, .. } = ended.state else { unreachable!() };
    assert_eq!(exit.status, 9);
    let texts: Vec<_> = collect(&*runtime, ids[1], 0).await.into_iter().map(|piece| piece.bytes).collect();
    assert_eq!(texts, ["early", "late"]);
    // It can be stopped as if nothing had happened.
    runtime.stop(ids[0], Duration::from_secs(20)).await.unwrap();
    let ended =
        support::wait(&*runtime, ids[0], |state| matches!(state, ContainerState::Exited { .. })).await;
    assert!(
        matches!(ended.state, ContainerState::Exited { exit, .. } if exit.status == 6 && !exit.killed_after_grace)
    );
}
