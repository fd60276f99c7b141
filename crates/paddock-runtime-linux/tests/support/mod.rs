//! A runtime of its own for each test, on a host stack made here, and its removal whatever the test does.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test and its parts")]
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "shared by test programs")]

use std::collections::BTreeMap;
use std::future::Future;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use paddock_core::artefact::ProgramUser;
use paddock_core::stack::{Stack, StackVersion};
use paddock_core::{ContainerId, Tenant};
use paddock_images::{HostStack, Layers};
use paddock_runtime::{
    ContainerSpec, ContainerState, Disk, Exit, Layer, Limits, Network, Observed, Output, Root, Runtime,
    Stdio, Stream,
};
use paddock_runtime_linux::{IdRanges, LinuxConfig, LinuxRuntime, LocalImages};
use uuid::Uuid;

pub mod layers;

/// How long a test waits for a state.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime and where it lives.
pub struct Fixture {
    pub runtime: Arc<LinuxRuntime>,
    pub config: LinuxConfig,
    /// First host id of the containers' tenant.
    pub id_base: u32,
}

/// Runs a test with a runtime of its own; `shape` may change its configuration.
pub fn with<F: Future<Output = ()> + Send + 'static>(
    shape: impl FnOnce(&mut LinuxConfig),
    test: impl FnOnce(Arc<Fixture>) -> F,
) {
    if !may_run() {
        return;
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    tokio.block_on(async {
        let mut config = config(dir.path());
        shape(&mut config);
        make_base(&dir.path().join("base"));
        let runtime = LinuxRuntime::open(config.clone()).await.unwrap();
        let fixture = Arc::new(Fixture::new(runtime, config.clone()));
        let result = tokio::spawn(test(Arc::clone(&fixture))).await;
        if result.is_err() {
            print_logs(&config.run_dir);
        }
        fixture.runtime.destroy_instance().await.unwrap();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic.into_panic());
        }
        assert_nothing_left(&config);
    });
}

/// Whether a test of containers can run. Without root it fails and says so, unless that was announced.
pub fn may_run() -> bool {
    let (is_root, announced) =
        (rustix::process::geteuid().is_root(), std::env::var_os("PADDOCK_TESTS_UNPRIVILEGED").is_some());
    assert!(is_root || announced, "this test starts containers and needs root");
    if !is_root {
        println!("not run: needs root");
    }
    is_root
}

pub fn config(dir: &Path) -> LinuxConfig {
    LinuxConfig {
        run_dir: dir.join("run/containers"),
        lasting_volumes: dir.join("volumes"),
        addresses: dir.join("addresses.json"),
        instance: fresh_instance(),
        program: env!("CARGO_BIN_EXE_paddock-shim").into(),
        router_ports: vec![],
        allow_egress: vec![],
        id_ranges: IdRanges { first: fresh_id_range(), count: 1 },
        images: Some(LocalImages {
            layers: Layers::open(dir.join("layers")).unwrap(),
            host_stack: HostStack { folder: dir.join("base"), version: "present".to_owned() },
        }),
        shares: BTreeMap::new(),
        helper_uid: 65_539,
        disk_interval: Duration::from_millis(300),
    }
}

/// Where everything of a test is.
pub fn folder_of(config: &LinuxConfig) -> PathBuf {
    config.run_dir.ancestors().nth(2).unwrap().to_owned()
}

fn fresh_instance() -> String {
    Uuid::new_v4().as_bytes()[..6].iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

fn fresh_id_range() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(16);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn print_logs(run_dir: &Path) {
    for entry in std::fs::read_dir(run_dir).into_iter().flatten().flatten() {
        let log = std::fs::read_to_string(entry.path().join("shim.log")).unwrap_or_default();
        eprintln!("{}: {log}", entry.path().display());
    }
}

/// What a removed instance may not leave behind.
fn assert_nothing_left(config: &LinuxConfig) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let folder = folder_of(config);
    let ours = folder.to_str().unwrap();
    // Below the folder: it may be a mount of the test's own.
    let left: Vec<_> = mounts.lines().filter(|line| line.contains(&format!("{ours}/"))).collect();
    assert!(left.is_empty(), "mounts are left: {left:?}");
    for name in ["unified", "memory", "cpu", "pids", "devices", "systemd"] {
        let group = Path::new("/sys/fs/cgroup").join(name).join(format!("paddock-{}", config.instance));
        assert!(!group.exists(), "a cgroup is left: {}", group.display());
    }
    // A loop device is let go of when the last mount of it has gone, a moment after the last process.
    let until = std::time::Instant::now() + PATIENCE;
    while let Some(device) = loop_device_of(config) {
        assert!(std::time::Instant::now() < until, "a disk is left: {device}");
        std::thread::yield_now();
    }
    let bridge = Path::new("/sys/class/net").join(format!("pk{}", config.instance));
    assert!(!bridge.exists(), "the bridge is left");
    for process in processes() {
        assert!(!process.1.contains(ours), "a process is left: {process:?}");
    }
}

/// A loop device with a file of this runtime behind it.
pub fn loop_device_of(config: &LinuxConfig) -> Option<String> {
    let folder = config.run_dir.parent().unwrap().to_str().unwrap();
    let devices = std::fs::read_dir("/sys/block").unwrap().flatten();
    devices.map(|device| device.path().join("loop/backing_file")).find_map(|file| {
        let backing = std::fs::read_to_string(file).ok()?;
        backing.starts_with(folder).then_some(backing)
    })
}

/// Numbers and command lines of all processes.
pub fn processes() -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(|pid: i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
        })
        .collect()
}

/// The folder of a host stack: what is needed besides the host's `/usr`.
pub fn make_base(base: &Path) {
    for folder in ["etc", "app", "tmp", "dev", "proc", "sys", "var/tmp", "usr"] {
        std::fs::create_dir_all(base.join(folder)).unwrap();
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), base.join(link)).unwrap();
    }
    std::fs::write(base.join("etc/passwd"), "root:x:0:0::/:/bin/sh\ndyno:x:1000:1000::/app:/bin/sh\n")
        .unwrap();
    std::fs::write(base.join("etc/group"), "root:x:0:\ntty:x:5:\ndyno:x:1000:\n").unwrap();
    std::fs::write(base.join("etc/nsswitch.conf"), "hosts: files dns\n").unwrap();
}

impl Fixture {
    pub fn new(runtime: Arc<LinuxRuntime>, config: LinuxConfig) -> Self {
        let id_base = config.id_ranges.base_of(Tenant(0));
        Self { runtime, config, id_base }
    }

    /// A container of the host stack that runs a shell line.
    pub fn spec(&self, script: &str) -> ContainerSpec {
        ContainerSpec {
            id: ContainerId::from_uuid(Uuid::now_v7()),
            labels: BTreeMap::from([("dyno".to_owned(), "web.1".to_owned())]),
            hostname: "web-1".to_owned(),
            tenant: Tenant(0),
            root: Root::Stack,
            layers: vec![stack()],
            mounts: vec![],
            command: vec!["sh".into(), "-c".into(), script.into()],
            user: ProgramUser::DYNO,
            image_user: String::new(),
            env: vec![
                ("PATH".into(), b"/usr/bin:/bin:/usr/sbin".to_vec()),
                ("HOME".into(), b"/app".to_vec()),
            ],
            working_dir: "/app".to_owned(),
            limits: limits(),
            disk: Disk::Limited(1 << 30),
            network: Network::None,
            stdio: Stdio::Output,
            time_limit: None,
            leftover_grace: PATIENCE,
        }
    }

    /// Runs a line to its end; its exit and what it printed on both streams.
    pub async fn run(&self, spec: ContainerSpec) -> (Exit, String) {
        let id = spec.id;
        self.runtime.start(spec).await.unwrap();
        let text = self.all_output(id).await;
        let exit = self.exit(id).await;
        self.runtime.remove(id).await.unwrap();
        (exit, text)
    }

    /// Runs a line and wants it to succeed.
    pub async fn sh(&self, script: &str) -> String {
        let (exit, text) = self.run(self.spec(script)).await;
        assert_eq!(exit.status, 0, "{script}: {text}");
        text
    }

    /// Everything a container has printed, once it has ended.
    pub async fn all_output(&self, id: ContainerId) -> String {
        let pieces = collect(&*self.runtime, id, 0).await;
        let mut text = String::new();
        for piece in pieces.iter().filter(|piece| piece.stream != Stream::Notice) {
            text += &String::from_utf8_lossy(&piece.bytes);
            if piece.ends_line {
                text.push('\n');
            }
        }
        text
    }

    /// Waits for the end.
    pub async fn exit(&self, id: ContainerId) -> Exit {
        match self.wait(id, |state| matches!(state, ContainerState::Exited { .. })).await.state {
            ContainerState::Exited { exit, .. } => exit,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for a state.
    pub async fn wait(&self, id: ContainerId, is_wanted: impl Fn(&ContainerState) -> bool) -> Observed {
        wait(&*self.runtime, id, is_wanted).await
    }
}

/// The stack that every container here lies on.
pub fn stack() -> Layer {
    Layer::Stack(StackVersion { stack: Stack::HOST, version: "present".to_owned() })
}

/// Waits for a state of a container.
pub async fn wait(
    runtime: &dyn Runtime,
    id: ContainerId,
    is_wanted: impl Fn(&ContainerState) -> bool,
) -> Observed {
    let mut last = None;
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            last = find(runtime, id).await;
            if let Some(observed) = last.clone().filter(|observed| is_wanted(&observed.state)) {
                return observed;
            }
            let _ = tokio::time::timeout(Duration::from_millis(200), runtime.changed()).await;
        }
    });
    match waited.await {
        Ok(observed) => observed,
        Err(_) => panic!("container {id} is {last:?}"),
    }
}

pub async fn find(runtime: &dyn Runtime, id: ContainerId) -> Option<Observed> {
    runtime.observe().await.unwrap().into_iter().find(|observed| observed.id == id)
}

/// All output after a number, until the end.
pub async fn collect(runtime: &dyn Runtime, id: ContainerId, after: u64) -> Vec<Output> {
    let mut pieces = Vec::new();
    let mut output = runtime.output(id, after).await.unwrap();
    let all = async {
        while let Some(piece) = output.recv().await {
            pieces.push(piece);
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the output ends with the container");
    pieces
}

pub fn limits() -> Limits {
    Limits { memory_bytes: 256 << 20, cpu_millicores: 1000, cpu_weight: 100, pids: 64 }
}
