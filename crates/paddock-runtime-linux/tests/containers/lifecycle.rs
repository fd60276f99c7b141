//! How containers end, what they may use, and what becomes of their output.

use std::time::Duration;

use crate::support::{PATIENCE, collect, with};
use paddock_runtime::{ContainerState, Limits, Runtime, RuntimeError, Stream};

#[test]
fn a_daemon_dies_with_the_program() {
    with(
        |_| {},
        |f| async move {
            let spec = f.spec("(setsid sh -c 'exec sleep 54321' >/dev/null 2>&1 &) ; exit 4");
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            assert_eq!(f.exit(id).await.status, 4);
            let left: Vec<_> = crate::support::processes()
                .into_iter()
                .filter(|(_, line)| line.contains("sleep 54321"))
                .collect();
            assert!(left.is_empty(), "{left:?}");
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn a_signal_is_128_and_its_number() {
    with(
        |_| {},
        |f| async move {
            let (exit, _) = f.run(f.spec("kill -SEGV $$")).await;
            assert_eq!(exit.status, 128 + 11);
        },
    );
}

#[test]
fn memory_is_limited_and_its_end_is_told() {
    with(
        |_| {},
        |f| async move {
            let mut spec = f.spec("python3 -c 'x = bytearray(200 << 20)'; echo python said $?");
            spec.limits = Limits { memory_bytes: 64 << 20, ..spec.limits };
            let (exit, text) = f.run(spec).await;
            assert!(text.contains("python said 137"), "{text}");
            assert!(exit.out_of_memory, "{exit:?}");
            // Files in /tmp are on disk and are no memory of the dyno's.
            let mut spec = f.spec("head -c 200000000 /dev/zero > /tmp/big && wc -c < /tmp/big");
            spec.limits = Limits { memory_bytes: 64 << 20, ..spec.limits };
            let (exit, text) = f.run(spec).await;
            assert_eq!((exit.status, exit.out_of_memory, text.as_str()), (0, false, "200000000\n"));
        },
    );
}

#[test]
fn processes_are_limited() {
    with(
        |_| {},
        |f| async move {
            let mut spec = f.spec("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done; echo all");
            spec.limits = Limits { pids: 8, ..spec.limits };
            let (exit, text) = f.run(spec).await;
            assert!(exit.status != 0 && !text.contains("all"), "{exit:?} {text}");
        },
    );
}

#[test]
fn processor_time_is_limited() {
    with(
        |_| {},
        |f| async move {
            // A tenth of a core: burning 50 ms of it takes about half a second.
            let mut spec = f.spec(
            "python3 -c 'import time\nstart = time.monotonic()\nwhile time.process_time() < 0.15: pass\nprint(time.monotonic() - start)'",
        );
            spec.limits = Limits { cpu_millicores: 100, ..spec.limits };
            let (exit, text) = f.run(spec).await;
            assert_eq!(exit.status, 0, "{text}");
            assert!(text.trim().parse::<f64>().unwrap() > 0.4, "{text}");
        },
    );
}

#[test]
fn streams_are_told_apart_and_long_lines_cut() {
    with(
        |_| {},
        |f| async move {
            let spec = f.spec("echo err >&2; head -c 25000 /dev/zero | tr '\\0' x; echo");
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let pieces = collect(&*f.runtime, id, 0).await;
            let errors: Vec<_> = pieces.iter().filter(|piece| piece.stream == Stream::Stderr).collect();
            assert_eq!((errors.len(), &errors[0].bytes[..]), (1, &b"err"[..]));
            let output = pieces.iter().filter(|piece| piece.stream == Stream::Stdout);
            let shape: Vec<_> = output.map(|piece| (piece.bytes.len(), piece.ends_line)).collect();
            assert_eq!(shape, [(10_000, false), (10_000, false), (5_000, true)]);
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn the_start_of_a_line_comes_after_a_second() {
    with(
        |_| {},
        |f| async move {
            let spec = f.spec("printf 'prompt> '; exec sleep 1000");
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let mut output = f.runtime.output(id, 0).await.unwrap();
            let piece = tokio::time::timeout(PATIENCE, output.recv()).await.unwrap().unwrap();
            assert_eq!((&piece.bytes[..], piece.ends_line), (&b"prompt> "[..], false));
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn much_output_is_whole_while_nobody_reads() {
    with(
        |_| {},
        |f| async move {
            let spec = f.spec("seq 200000");
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            f.exit(id).await;
            let pieces = collect(&*f.runtime, id, 0).await;
            assert_eq!(pieces.len(), 200_000);
            for (piece, number) in pieces.iter().zip(1_u64..) {
                assert_eq!(
                    (piece.seq, String::from_utf8_lossy(&piece.bytes)),
                    (number, number.to_string().into())
                );
            }
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn output_beyond_the_spool_is_counted() {
    with(
        |_| {},
        |f| async move {
            // Some 90 MB with the records' heads.
            let spec = f.spec("seq -f '%0100.0f' 600000");
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            f.exit(id).await;
            let pieces = collect(&*f.runtime, id, 0).await;
            let notice = |text: &str| -> Option<u64> {
                text.strip_prefix("Error L13: ")?.split_once(" messages lost since ")?.0.parse().ok()
            };
            let lines = pieces.iter().filter(|piece| piece.stream == Stream::Stdout).count() as u64;
            let told: Vec<_> = pieces.iter().filter(|piece| piece.stream == Stream::Notice).collect();
            assert!(!told.is_empty());
            let lost: u64 =
                told.iter().map(|piece| notice(&String::from_utf8_lossy(&piece.bytes)).unwrap()).sum();
            // Notices themselves may be among what was lost.
            assert!(lines + lost >= 600_000 && lines + lost <= 600_100, "{lines} + {lost}");
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn a_killed_shim_takes_the_container_along() {
    with(
        |_| {},
        |f| async move {
            let spec = f.spec("echo before; exec sleep 65432");
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let mut output = f.runtime.output(id, 0).await.unwrap();
            assert_eq!(&output.recv().await.unwrap().bytes[..], b"before");
            kill_shim(&f.config.run_dir, id);
            f.wait(id, |state| *state == ContainerState::Unknown).await;
            let gone = async {
                while crate::support::processes().iter().any(|(_, line)| line.contains("sleep 65432")) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, gone).await.expect("pid 1 dies with the shim");
            // What it had printed is not lost with it.
            assert_eq!(&collect(&*f.runtime, id, 0).await[0].bytes[..], b"before");
            f.runtime.stop(id, Duration::ZERO).await.unwrap();
            f.runtime.remove(id).await.unwrap();
            assert_eq!(crate::support::find(&*f.runtime, id).await, None);
        },
    );
}

fn kill_shim(run_dir: &std::path::Path, id: paddock_core::ContainerId) {
    let shim = shim_of(&run_dir.join(id.to_string()));
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
}

fn shim_of(folder: &std::path::Path) -> rustix::process::Pid {
    let line = format!(" shim {}", folder.display());
    let shim = crate::support::processes().into_iter().find(|(_, arguments)| arguments.contains(&line));
    rustix::process::Pid::from_raw(shim.unwrap().0).unwrap()
}

#[test]
fn a_wrong_folder_or_program_is_the_users_error() {
    with(
        |_| {},
        |f| async move {
            let reason = |result: Result<(), RuntimeError>| match result {
                Err(RuntimeError::Program { reason, .. }) => reason,
                other => panic!("{other:?}"),
            };
            let mut spec = f.spec("true");
            spec.working_dir = "/app/missing".to_owned();
            assert!(reason(f.runtime.start(spec).await).contains("/app/missing"));
            let mut spec = f.spec("");
            spec.command = vec!["/etc/passwd".to_owned()];
            assert_eq!(reason(f.runtime.start(spec).await), "/etc/passwd: permission denied");
            let mut spec = f.spec("");
            spec.command = vec!["no-such".to_owned()];
            assert_eq!(reason(f.runtime.start(spec).await), "no-such: command not found");
            assert_eq!(f.runtime.observe().await.unwrap(), []);
        },
    );
}

#[test]
fn many_start_at_once() {
    with(
        |_| {},
        |f| async move {
            let specs: Vec<_> = (0..20).map(|number| f.spec(&format!("echo number {number}"))).collect();
            let starts = specs.iter().cloned().map(|spec| {
                let runtime = std::sync::Arc::clone(&f.runtime);
                tokio::spawn(async move { runtime.start(spec).await })
            });
            for start in starts.collect::<Vec<_>>() {
                start.await.unwrap().unwrap();
            }
            for (number, spec) in specs.iter().enumerate() {
                assert_eq!(f.all_output(spec.id).await, format!("number {number}\n"));
                f.runtime.remove(spec.id).await.unwrap();
            }
        },
    );
}

#[test]
fn a_container_without_a_readable_specification_is_unknown_and_can_be_removed() {
    with(
        |_| {},
        |f| async move {
            let spec = f.spec("exec sleep 76543");
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            std::fs::write(f.config.run_dir.join(id.to_string()).join("spec.json"), "").unwrap();
            let observed = crate::support::find(&*f.runtime, id).await.unwrap();
            assert_eq!((observed.state, observed.labels.len()), (ContainerState::Unknown, 0));
            f.runtime.remove(id).await.unwrap();
            assert!(!crate::support::processes().iter().any(|(_, line)| line.contains("sleep 76543")));
        },
    );
}

#[test]
fn a_shim_that_hangs_does_not_hold_others_up() {
    with(
        |_| {},
        |f| async move {
            let spec = f.spec("exec sleep 87654");
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let folder = f.config.run_dir.join(id.to_string());
            let shim = shim_of(&folder);
            rustix::process::kill_process(shim, rustix::process::Signal::STOP).unwrap();
            for _ in 0..300 {
                assert_eq!(
                    crate::support::find(&*f.runtime, id).await.unwrap().state,
                    ContainerState::Running
                );
            }
            rustix::process::kill_process(shim, rustix::process::Signal::CONT).unwrap();
            assert_eq!(f.sh("echo other").await, "other\n");
            f.runtime.remove(id).await.unwrap();
        },
    );
}
