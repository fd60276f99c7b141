//! What every backend does, as tests that take one.
//!
//! A backend's tests implement [`Bench`] and have [`contract_tests!`](crate::contract_tests) make a test of each check.
//! A check panics with what it saw. What only a real container can show (isolation, limits, packets) is tested where the
//! backend is.
#![expect(clippy::disallowed_methods, reason = "it is the test of a runtime")]
#![allow(clippy::unwrap_used, reason = "these are tests, in a library so that every backend can run them")]

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use paddock_core::{ContainerId, VolumeId};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    Access, ContainerSpec, ContainerState, Disk, Exit, Input, Mount, MountSource, Observed, Output, Runtime,
    RuntimeError, Stream, VolumeKind,
};

mod network;
mod roots;

use self::network::{a_service_is_reached_by_those_who_may, a_service_keeps_its_address};
use self::roots::{
    a_container_has_so_many_layers, an_images_names_are_the_containers, nothing_else_runs_as_root,
    what_makes_a_layer_leaves_what_it_wrote,
};

/// How long a test waits for a state.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a program in a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Ends at once with this status.
    Exit(i32),
    /// Prints these lines to standard output and ends with 0.
    Print(Vec<String>),
    /// Prints a line and runs on.
    PrintThenRun(String),
    /// Prints `ready`; on SIGTERM ends with this status.
    EndOnTerm(i32),
    /// Prints `ready`; does not end on SIGTERM.
    IgnoreTerm,
    /// Prints `ready`; on SIGHUP ends with this status.
    EndOnHangUp(i32),
    /// Prints `ready`; does not end on SIGHUP.
    IgnoreHangUp,
    /// Copies its input to its output until the input ends, then ends with 0. Its standard streams are pipes.
    Echo,
    /// Listens on this port of every address.
    Listen(u16),
    /// Connects to this port of an address and ends with 0; with another status where nobody answers.
    Connect(IpAddr, u16),
    /// Writes this text to the file at this path and ends with 0; with another status if it cannot.
    Write(String, String),
    /// Prints the lines of the file at this path and ends with 0; with another status if it cannot.
    Show(String),
    /// Is not there.
    Missing,
}

/// A backend under test.
pub trait Bench: Sync {
    /// The backend.
    fn runtime(&self) -> &dyn Runtime;
    /// A container whose program does this.
    fn spec(&self, id: ContainerId, act: Act) -> ContainerSpec;
}

/// One of the checks in [`check`].
pub type Check = for<'a> fn(&'a dyn Bench) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Makes a test of each check, named like it, which calls the function of this path with the check: a
/// `fn(paddock_runtime::contract::Check)` that makes a bench, awaits the check on it, and takes the bench down.
#[macro_export]
macro_rules! contract_tests {
    ($run:path) => {
        $crate::contract_tests! { @list @tests $run }
    };
    (@list $($then:tt)*) => {
        $crate::contract_tests! { $($then)*:
            status_and_labels_are_kept
            a_second_start_changes_nothing
            output_is_numbered_and_resumed
            output_is_live
            a_program_may_end_itself_on_term
            grace_ends_and_can_be_shortened
            a_program_is_hung_up_on
            a_time_limit_stops
            removing_forgets
            a_missing_program_is_told_and_leaves_nothing
            pipes_carry_both_ways
            a_second_client_takes_over
            listening_sockets_are_seen
            a_change_wakes
            a_volume_outlives_containers
            a_volume_may_have_no_limit
            a_volume_may_last
            what_may_only_be_read_is_not_written
            a_text_is_a_file_inside
            what_makes_a_layer_leaves_what_it_wrote
            nothing_else_runs_as_root
            an_images_names_are_the_containers
            a_container_has_so_many_layers
            a_service_keeps_its_address
            a_service_is_reached_by_those_who_may
        }
    };
    (@tests $run:path: $($check:ident)*) => {
        $(#[test] fn $check() { $run($crate::contract::check::$check) })*
    };
    (@checks: $($check:ident)*) => {
        $(
            #[doc = concat!("`", stringify!($check), "`")]
            pub fn $check(bench: &dyn Bench) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
                Box::pin(super::$check(bench))
            }
        )*
    };
}

/// The checks. One that is not in the list of [`contract_tests!`](crate::contract_tests) is dead code.
pub mod check {
    use std::future::Future;
    use std::pin::Pin;

    use super::Bench;

    crate::contract_tests! { @list @checks }
}

fn new_id() -> ContainerId {
    ContainerId::from_uuid(Uuid::now_v7())
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen"),
    }
}

async fn start(bench: &dyn Bench, act: Act) -> ContainerId {
    let id = new_id();
    bench.runtime().start(bench.spec(id, act)).await.unwrap();
    id
}

async fn find(bench: &dyn Bench, id: ContainerId) -> Option<Observed> {
    bench.runtime().observe().await.unwrap().into_iter().find(|observed| observed.id == id)
}

/// Waits for the end of a container.
async fn ended(bench: &dyn Bench, id: ContainerId) -> Exit {
    within("the end", async {
        loop {
            if let Some(Observed { state: ContainerState::Exited { exit, .. }, .. }) = find(bench, id).await {
                return exit;
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), bench.runtime().changed()).await;
        }
    })
    .await
}

async fn remove(bench: &dyn Bench, id: ContainerId) {
    bench.runtime().remove(id).await.unwrap();
    assert_eq!(find(bench, id).await, None, "a removed container is absent");
}

async fn rest(output: &mut mpsc::Receiver<Output>) -> Vec<Output> {
    let mut pieces = Vec::new();
    within("the end of the output", async {
        while let Some(piece) = output.recv().await {
            pieces.push(piece);
        }
    })
    .await;
    pieces
}

async fn wait_ready(bench: &dyn Bench, id: ContainerId) {
    let mut output = bench.runtime().output(id, 0).await.unwrap();
    let piece = within("the first line", output.recv()).await.expect("a line before the end");
    assert_eq!(&piece.bytes[..], b"ready");
}

/// How it ended, when, and for what it was.
async fn status_and_labels_are_kept(bench: &dyn Bench) {
    for status in [0, 3, 137] {
        let id = new_id();
        let spec = bench.spec(id, Act::Exit(status));
        bench.runtime().start(spec.clone()).await.unwrap();
        let exit = ended(bench, id).await;
        assert_eq!(exit, Exit { status, out_of_memory: false, killed_after_grace: false });
        let observed = find(bench, id).await.unwrap();
        assert_eq!(observed.labels, spec.labels);
        let ContainerState::Exited { at, .. } = observed.state else { panic!("{observed:?}") };
        assert!(at >= observed.started_at, "{observed:?}");
        remove(bench, id).await;
    }
}

/// Starting what exists, in any state, is a no-op.
async fn a_second_start_changes_nothing(bench: &dyn Bench) {
    let id = start(bench, Act::PrintThenRun("once".to_owned())).await;
    let before = find(bench, id).await.unwrap();
    bench.runtime().start(bench.spec(id, Act::Exit(1))).await.unwrap();
    assert_eq!(find(bench, id).await.unwrap(), before);
    bench.runtime().stop(id, Duration::ZERO).await.unwrap();
    let exit = ended(bench, id).await;
    bench.runtime().start(bench.spec(id, Act::Exit(1))).await.unwrap();
    assert_eq!(ended(bench, id).await, exit, "an ended container is left as it is");
    remove(bench, id).await;
}

/// Pieces are numbered from 1 without gaps, and reading can go on after any of them.
async fn output_is_numbered_and_resumed(bench: &dyn Bench) {
    let lines: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
    let id = start(bench, Act::Print(lines.clone())).await;
    let all = rest(&mut bench.runtime().output(id, 0).await.unwrap()).await;
    assert_eq!(all.iter().map(|piece| piece.seq).collect::<Vec<_>>(), (1..=500).collect::<Vec<_>>());
    assert!(all.iter().all(|piece| piece.stream == Stream::Stdout && piece.ends_line));
    let texts: Vec<_> = all.iter().map(|piece| String::from_utf8_lossy(&piece.bytes).into_owned()).collect();
    assert_eq!(texts, lines);
    assert_eq!(rest(&mut bench.runtime().output(id, 490).await.unwrap()).await, all[490..]);
    bench.runtime().ack(id, 400).await.unwrap();
    assert_eq!(rest(&mut bench.runtime().output(id, 400).await.unwrap()).await, all[400..]);
    ended(bench, id).await;
    remove(bench, id).await;
}

/// A line arrives while its program runs.
async fn output_is_live(bench: &dyn Bench) {
    let id = start(bench, Act::PrintThenRun("hello".to_owned())).await;
    let mut output = bench.runtime().output(id, 0).await.unwrap();
    let piece = within("the line", output.recv()).await.unwrap();
    assert_eq!((piece.seq, &piece.bytes[..]), (1, &b"hello"[..]));
    assert_eq!(find(bench, id).await.unwrap().state, ContainerState::Running);
    bench.runtime().stop(id, Duration::ZERO).await.unwrap();
    assert_eq!(rest(&mut output).await, [], "the output ends with the container");
    remove(bench, id).await;
}

/// SIGTERM comes first, and the program's own status counts.
async fn a_program_may_end_itself_on_term(bench: &dyn Bench) {
    let id = start(bench, Act::EndOnTerm(5)).await;
    wait_ready(bench, id).await;
    bench.runtime().stop(id, PATIENCE).await.unwrap();
    let exit = ended(bench, id).await;
    assert_eq!(exit, Exit { status: 5, out_of_memory: false, killed_after_grace: false });
    bench.runtime().stop(id, PATIENCE).await.unwrap();
    remove(bench, id).await;
}

/// SIGKILL comes after the grace; a later, shorter grace wins.
async fn grace_ends_and_can_be_shortened(bench: &dyn Bench) {
    let id = start(bench, Act::IgnoreTerm).await;
    wait_ready(bench, id).await;
    bench.runtime().stop(id, PATIENCE * 10).await.unwrap();
    assert_eq!(find(bench, id).await.unwrap().state, ContainerState::Running);
    bench.runtime().stop(id, Duration::from_millis(50)).await.unwrap();
    let exit = ended(bench, id).await;
    assert_eq!(exit, Exit { status: 137, out_of_memory: false, killed_after_grace: true });
    remove(bench, id).await;
}

/// A container that has lived long enough is stopped.
async fn a_time_limit_stops(bench: &dyn Bench) {
    let id = new_id();
    let time_limit = Some(Duration::from_millis(300));
    bench.runtime().start(ContainerSpec { time_limit, ..bench.spec(id, Act::EndOnTerm(9)) }).await.unwrap();
    assert!(matches!(ended(bench, id).await.status, 9 | 143), "by SIGTERM, handled or too early for that");
    remove(bench, id).await;
}

/// Removing kills, forgets, and can be repeated.
async fn removing_forgets(bench: &dyn Bench) {
    let id = start(bench, Act::IgnoreTerm).await;
    wait_ready(bench, id).await;
    remove(bench, id).await;
    remove(bench, id).await;
    bench.runtime().stop(id, Duration::ZERO).await.unwrap();
    let gone = |error: &RuntimeError| matches!(error, RuntimeError::NoSuchContainer(which) if *which == id);
    assert!(bench.runtime().output(id, 0).await.is_err_and(|error| gone(&error)));
    assert!(bench.runtime().attach(id).await.is_err_and(|error| gone(&error)));
    assert!(bench.runtime().listening(id).await.is_err_and(|error| gone(&error)));
}

/// The user's mistake has its own error.
async fn a_missing_program_is_told_and_leaves_nothing(bench: &dyn Bench) {
    let id = new_id();
    let spec = bench.spec(id, Act::Missing);
    let command = spec.command[0].clone();
    match bench.runtime().start(spec).await {
        Err(RuntimeError::Program { program, .. }) => assert_eq!(program, command),
        other => panic!("{other:?}"),
    }
    assert_eq!(find(bench, id).await, None);
}

/// Input arrives, its end arrives, and the output ends with the program.
async fn pipes_carry_both_ways(bench: &dyn Bench) {
    let id = start(bench, Act::Echo).await;
    let mut attached = bench.runtime().attach(id).await.unwrap();
    let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let input = attached.input.clone();
    let bytes = Bytes::from(sent.clone());
    let sending = tokio::spawn(async move {
        input.send(Input::Bytes(bytes)).await.unwrap();
        input.send(Input::End).await.unwrap();
    });
    let mut received = Vec::new();
    within("the end of the echo", async {
        while let Some(bytes) = attached.output.recv().await {
            received.extend(bytes);
        }
    })
    .await;
    sending.await.unwrap();
    assert!(received == sent, "{} of {} bytes came back, or others", received.len(), sent.len());
    assert_eq!(ended(bench, id).await.status, 0);
    remove(bench, id).await;
}

/// A client that went away is no end; the next one goes on.
async fn a_second_client_takes_over(bench: &dyn Bench) {
    let id = start(bench, Act::Echo).await;
    let mut first = bench.runtime().attach(id).await.unwrap();
    first.input.send(Input::Bytes(Bytes::from_static(b"one"))).await.unwrap();
    assert_eq!(within("the first echo", first.output.recv()).await.unwrap(), "one");
    let mut second = bench.runtime().attach(id).await.unwrap();
    assert_eq!(within("the end of the first client", first.output.recv()).await, None);
    second.input.send(Input::Bytes(Bytes::from_static(b"two"))).await.unwrap();
    assert_eq!(within("the second echo", second.output.recv()).await.unwrap(), "two");
    drop((first, second));
    let third = bench.runtime().attach(id).await.unwrap();
    assert_eq!(find(bench, id).await.unwrap().state, ContainerState::Running);
    third.input.send(Input::End).await.unwrap();
    assert_eq!(ended(bench, id).await.status, 0);
    remove(bench, id).await;
}

/// Ports that programs inside listen on.
async fn listening_sockets_are_seen(bench: &dyn Bench) {
    let id = start(bench, Act::Listen(3000)).await;
    wait_listening(bench, id, 3000).await;
    remove(bench, id).await;
}

async fn wait_listening(bench: &dyn Bench, id: ContainerId, port: u16) {
    within("the port", async {
        loop {
            let found = bench.runtime().listening(id).await.unwrap();
            if found.iter().any(|address| address.port() == port && address.ip().is_unspecified()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// An end wakes whoever waits.
async fn a_change_wakes(bench: &dyn Bench) {
    let id = start(bench, Act::EndOnTerm(0)).await;
    wait_ready(bench, id).await;
    bench.runtime().stop(id, PATIENCE).await.unwrap();
    within("a wake-up at the end", async {
        while !matches!(find(bench, id).await.unwrap().state, ContainerState::Exited { .. }) {
            bench.runtime().changed().await;
        }
    })
    .await;
    remove(bench, id).await;
}

/// Runs an act to its end with these mounts; its status and what it printed.
async fn run(bench: &dyn Bench, act: Act, mounts: Vec<Mount>, disk: Option<Disk>) -> (i32, Vec<Output>) {
    let id = new_id();
    let spec = bench.spec(id, act);
    let disk = disk.unwrap_or_else(|| spec.disk.clone());
    bench.runtime().start(ContainerSpec { mounts, disk, ..spec }).await.unwrap();
    let printed = rest(&mut bench.runtime().output(id, 0).await.unwrap()).await;
    let status = ended(bench, id).await.status;
    remove(bench, id).await;
    (status, printed)
}

/// What a file inside holds, in one line; `None` where it cannot be read.
async fn shown(bench: &dyn Bench, path: &str, mounts: Vec<Mount>) -> Option<String> {
    let (status, printed) = run(bench, Act::Show(path.to_owned()), mounts, None).await;
    let lines: Vec<_> = printed.iter().map(|piece| String::from_utf8_lossy(&piece.bytes)).collect();
    (status == 0).then(|| lines.concat())
}

fn write(path: &str, text: &str) -> Act {
    Act::Write(path.to_owned(), text.to_owned())
}

fn of_volume(id: VolumeId, folder: &str, target: &str, access: Access) -> Mount {
    let source = MountSource::Volume { id, folder: folder.to_owned(), access };
    Mount { target: target.to_owned(), source }
}

async fn volume_keeps(bench: &dyn Bench, kind: VolumeKind) {
    let (runtime, id) = (bench.runtime(), VolumeId::from_uuid(Uuid::now_v7()));
    runtime.remove_volume(id).await.unwrap();
    runtime.make_volume(id, kind).await.unwrap();
    let mounts = |access| vec![of_volume(id, "notes", "/notes", access)];
    let disk = Some(Disk::Volume { id, folder: "disk".to_owned() });
    assert_eq!(run(bench, write("/notes/one", "kept"), mounts(Access::ReadWrite), disk).await.0, 0);
    runtime.make_volume(id, kind).await.unwrap();
    assert_eq!(shown(bench, "/notes/one", mounts(Access::ReadOnly)).await.as_deref(), Some("kept"));
    assert_eq!(run(bench, write("/notes/one", "changed"), mounts(Access::ReadWrite), None).await.0, 0);
    assert_eq!(shown(bench, "/notes/one", mounts(Access::ReadWrite)).await.as_deref(), Some("changed"));
    let alone = |access| vec![of_volume(id, "notes/one", "/alone", access)];
    let read = shown(bench, "/alone", alone(Access::ReadOnly)).await;
    assert_eq!(read.as_deref(), Some("changed"), "a file of it");
    assert_eq!(run(bench, write("/alone", "again"), alone(Access::ReadWrite), None).await.0, 0);
    assert_eq!(shown(bench, "/notes/one", mounts(Access::ReadOnly)).await.as_deref(), Some("again"));
    assert!(!runtime.volume_is_full(id).await.unwrap());
    runtime.remove_volume(id).await.unwrap();
    runtime.remove_volume(id).await.unwrap();
    assert!(!runtime.volume_is_full(id).await.unwrap(), "one that is gone is not full");
    runtime.make_volume(id, kind).await.unwrap();
    assert_eq!(shown(bench, "/notes/one", mounts(Access::ReadWrite)).await, None, "a new one is empty");
    runtime.remove_volume(id).await.unwrap();
}

/// What is in a volume stays until the volume goes; making it again takes nothing away, removing it twice succeeds.
async fn a_volume_outlives_containers(bench: &dyn Bench) {
    volume_keeps(bench, VolumeKind::Scratch { limit_bytes: Some(64 << 20) }).await;
}

/// The same for one that is as large as the machine's disk.
async fn a_volume_may_have_no_limit(bench: &dyn Bench) {
    volume_keeps(bench, VolumeKind::Scratch { limit_bytes: None }).await;
}

/// The same for one that outlives the machine's starts, with a limit or without.
async fn a_volume_may_last(bench: &dyn Bench) {
    for limit_bytes in [None, Some(64 << 20)] {
        volume_keeps(bench, VolumeKind::Lasting { limit_bytes }).await;
    }
}

/// A folder of a volume that may only be read, a text.
async fn what_may_only_be_read_is_not_written(bench: &dyn Bench) {
    let (runtime, id) = (bench.runtime(), VolumeId::from_uuid(Uuid::now_v7()));
    runtime.make_volume(id, VolumeKind::Scratch { limit_bytes: None }).await.unwrap();
    let folder = |access| of_volume(id, "notes", "/notes", access);
    assert_eq!(run(bench, write("/notes/one", "kept"), vec![folder(Access::ReadWrite)], None).await.0, 0);
    let text = Mount { target: "/said".to_owned(), source: MountSource::Text("said".to_owned()) };
    for path in ["/notes/one", "/said"] {
        let mounts = vec![folder(Access::ReadOnly), text.clone()];
        assert_ne!(run(bench, write(path, "changed"), mounts, None).await.0, 0, "{path}");
    }
    let mounts = vec![folder(Access::ReadOnly)];
    assert_eq!(shown(bench, "/notes/one", mounts).await.as_deref(), Some("kept"));
    runtime.remove_volume(id).await.unwrap();
}

/// With its lines, at a path that no layer has.
async fn a_text_is_a_file_inside(bench: &dyn Bench) {
    let text = |target: &str, text: &str| Mount {
        target: target.to_owned(),
        source: MountSource::Text(text.to_owned()),
    };
    let mounts = vec![text("/plan/one.json", "{}\n"), text("/plan/two.json", "[]\n")];
    assert_eq!(shown(bench, "/plan/one.json", mounts.clone()).await.as_deref(), Some("{}"));
    assert_eq!(shown(bench, "/plan/two.json", mounts).await.as_deref(), Some("[]"));
}

/// SIGHUP reaches a program, which ends or goes on; nothing else becomes of it. What is gone is hung up on already.
async fn a_program_is_hung_up_on(bench: &dyn Bench) {
    let id = start(bench, Act::EndOnHangUp(5)).await;
    wait_ready(bench, id).await;
    bench.runtime().hang_up(id).await.unwrap();
    let exit = ended(bench, id).await;
    assert_eq!((exit.status, exit.killed_after_grace), (5, false));
    bench.runtime().hang_up(id).await.unwrap();
    remove(bench, id).await;
    bench.runtime().hang_up(id).await.unwrap();

    let id = start(bench, Act::IgnoreHangUp).await;
    wait_ready(bench, id).await;
    bench.runtime().hang_up(id).await.unwrap();
    bench.runtime().hang_up(id).await.unwrap();
    let seen = find(bench, id).await.unwrap();
    assert_eq!(seen.state, ContainerState::Running);
    bench.runtime().stop(id, Duration::from_secs(20)).await.unwrap();
    assert!(!ended(bench, id).await.killed_after_grace, "it can still be stopped");
    remove(bench, id).await;
}
