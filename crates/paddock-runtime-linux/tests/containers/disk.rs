//! What a container writes has a hard limit, and is gone with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Fixture, PATIENCE, collect, loop_device_of, may_run, with};
use paddock_runtime::{ContainerSpec, ContainerState, Disk, Runtime, RuntimeError, Stream};
use rustix::mount::UnmountFlags;

const LIMIT: u64 = 64 << 20;
/// What containers need besides their disks: folders, spools, templates.
const REST: u64 = 4 << 20;

/// A disk of its own in the place of the machine's, so that nobody else changes what is free there.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("machine.img");
        std::fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
        std::fs::create_dir(folder.path().join("disk")).unwrap();
        let machine = Self { folder };
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(machine.disk()));
        machine
    }

    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.disk(), UnmountFlags::DETACH);
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_bytes(folder: &Path) -> u64 {
    let found = rustix::fs::statvfs(folder).unwrap();
    found.f_bavail * found.f_frsize
}

fn limited(f: &Fixture, script: &str) -> ContainerSpec {
    let mut spec = f.spec(script);
    spec.disk = Disk::Limited(LIMIT);
    spec
}

/// Waits for a fact of the machine that nothing wakes us for.
async fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

#[test]
fn a_container_that_fills_its_disk_takes_no_more_of_the_machines_and_is_told() {
    if !may_run() {
        return;
    }
    let machine = Machine::make();
    let (run_dir, disk) = (machine.disk().join("run/containers"), machine.disk());
    with(
        move |config| config.run_dir = run_dir,
        move |f| async move {
            // The template is made once, before anything is counted.
            f.run(limited(&f, "true")).await;
            let before = free_bytes(&disk);
            let hostile = "for i in 1 2 3; do dd if=/dev/zero of=/app/$i bs=1M count=40; done; dd if=/dev/zero of=/app/rest bs=4k; \
                           echo small > /tmp/small || echo refused; echo done; exec sleep 1000";
            let spec = limited(&f, hostile);
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let mut output = f.runtime.output(id, 0).await.unwrap();
            let (mut said, mut told) = (Vec::new(), Vec::new());
            while told.is_empty() || !said.iter().any(|line| line == "done") {
                let Ok(Some(piece)) = tokio::time::timeout(PATIENCE, output.recv()).await else {
                    panic!("nothing comes after {said:?} {told:?}");
                };
                let text = String::from_utf8_lossy(&piece.bytes).into_owned();
                if piece.stream == Stream::Notice { told.push(text) } else { said.push(text) }
            }
            let refused = said.iter().any(|line| line == "refused");
            assert!(refused && said.concat().contains("No space left on device"), "{said:?}");
            assert!(told[0].starts_with("Disk quota reached (64MB)"), "{told:?}");
            let taken = before - free_bytes(&disk);
            assert!((LIMIT * 9 / 10..=LIMIT + REST).contains(&taken), "{taken} bytes were taken");
            // Others have their own.
            let (exit, text) = f.run(limited(&f, "head -c 30000000 /dev/zero > /app/x && echo fine")).await;
            assert_eq!((exit.status, text.as_str()), (0, "fine\n"));
            f.runtime.remove(id).await.unwrap();
            wait_for("the space is free again", || free_bytes(&disk) + REST >= before).await;
        },
    );
}

#[test]
fn empty_files_are_limited_too_and_the_line_comes_once() {
    with(
        |_| {},
        |f| async move {
            let script = "i=0; while true > /app/$i; do i=$((i+1)); done; echo made $i; exit 3";
            let spec = limited(&f, script);
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let pieces = collect(&*f.runtime, id, 0).await;
            let text = |stream| {
                let of = pieces.iter().filter(move |piece| piece.stream == stream);
                of.map(|piece| String::from_utf8_lossy(&piece.bytes).into_owned()).collect::<Vec<_>>()
            };
            assert_eq!(text(Stream::Notice).len(), 1, "{pieces:?}");
            let made: u64 = text(Stream::Stdout)[0].strip_prefix("made ").unwrap().parse().unwrap();
            assert!((1000..=LIMIT / 16384).contains(&made), "{made} files");
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn everything_that_a_container_can_write_is_on_its_disk_or_counts_as_its_memory() {
    with(
        |_| {},
        |f| async move {
            let script = "for d in $(find / -xdev -type d -writable 2>/dev/null) $(find /dev -type d -writable); do \
                          stat -f -c '%T' $d; done | sort -u; \
                          stat -c %d /app /tmp /var/tmp | sort -u | wc -l";
            // Besides the overlay: /dev/shm, bounded to 64 MB of the container's memory, and mqueue, by a limit of processes.
            let text = f.sh(script).await;
            let kinds: Vec<_> = text.lines().collect();
            assert_eq!(kinds, ["mqueue", "overlayfs", "tmpfs", "1"], "{text}");
            let shm = f.sh("df --output=size /dev/shm | tail -1").await;
            assert_eq!(shm.trim(), "65536");
        },
    );
}

#[test]
fn nothing_is_left_of_the_disk_of_a_shim_that_was_killed() {
    with(
        |_| {},
        |f| async move {
            let spec = limited(&f, "echo ready; exec sleep 1000");
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            assert!(loop_device_of(&f.config).is_some(), "a running container's disk is seen");
            let folder = f.config.run_dir.join(id.to_string());
            assert!(!folder.join("disk.img").exists(), "an image has no name");
            let state = std::fs::read_to_string(folder.join("state.json")).unwrap();
            let state: serde_json::Value = serde_json::from_str(&state).unwrap();
            let shim = i32::try_from(state["shim"]["pid"].as_i64().unwrap()).unwrap();
            let shim = rustix::process::Pid::from_raw(shim).unwrap();
            rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
            wait_for("the device is let go of", || loop_device_of(&f.config).is_none()).await;
            f.wait(id, |state| *state == ContainerState::Unknown).await;
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_anything_is_made() {
    with(
        |_| {},
        |f| async move {
            let mut spec = f.spec("true");
            spec.disk = Disk::Limited(1 << 20);
            let id = spec.id;
            let refused = f.runtime.start(spec).await;
            assert!(matches!(refused, Err(RuntimeError::Host { .. })), "{refused:?}");
            assert_eq!(crate::support::find(&*f.runtime, id).await, None);
        },
    );
}
