//! What a program finds inside a container: started as the container's own, and by exec.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{Fixture, PATIENCE, folder_of, with};
use bytes::Bytes;
use paddock_runtime::{ExecSpec, Input, Limits, Runtime, Stdio};

/// Prints what is kept away, one `name: value` a line.
const LOOK: &str = r#"
say() { printf '%s: %s\n' "$1" "$2"; }
try() { if "$@" >/dev/null 2>&1; then echo allowed; else echo refused; fi; }
say uid "$(id -u):$(id -g):$(id -G)"
say uid_map "$(tr -s ' ' < /proc/self/uid_map | sed 's/^ //')"
say gid_map "$(tr -s ' ' < /proc/self/gid_map | sed 's/^ //')"
for field in SigBlk SigIgn CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp; do
  say $field "$(mawk -v f=$field: '$1 == f { print $2 }' /proc/self/status)"
done
say mount "$(try mount -t tmpfs none /app)"
say unshare_user "$(try unshare -U true)"
say unshare_net "$(try unshare -n true)"
say write_usr "$(try touch /usr/x)"
say write_root "$(try touch /x)"
say write_etc "$(try touch /etc/x)"
say write_app "$(try touch /app/new)"
say write_tmp "$(try touch /tmp/new)"
say write_var_tmp "$(try touch /var/tmp/new)"
say write_shm "$(try touch /dev/shm/new)"
say host_files "$(ls -d /root /home /opt /boot /srv /work 2>/dev/null | wc -l)"
say local "$(ls /usr/local /usr/src 2>/dev/null | grep -v : | grep -c .)"
say write_sysctl "$(try sh -c 'echo x > /proc/sys/kernel/domainname')"
say write_sys "$(try sh -c 'echo 1 > /sys/kernel/mm/ksm/run')"
say hidden "$(cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | head -c 10 | wc -c)"
say masked "$(stat -c %F /proc/keys):$(mawk '$2 == "/proc/sys" { print substr($4, 1, 2) }' /proc/mounts)"
say sysrq "$(try sh -c 'echo h > /proc/sysrq-trigger')"
say cgroup "$(mawk -F: '$3 != "/" && $2 !~ /^(cpuset|blkio|freezer|net_|perf_|hugetlb|rdma|misc|name=)/' /proc/self/cgroup | wc -l)"
say init_memory "$(try head -c 1 /proc/1/mem)"
say init_environ "$(try cat /proc/1/environ)"
say init_kill "$(kill -9 1 2>/dev/null; sleep 0.05; [ -d /proc/1 ] && echo lives)"
say umask "$(umask)"
say core "$(ulimit -c)"
say nodes "$(try sh -c 'mknod /app/n c 1 3')"
say null "$(try sh -c 'echo x > /dev/null')"
say hostname "$(hostname)"
say fds "$(ls /proc/self/fd | tr '\n' ' ')"
say ppid "$(ps -o ppid= -p $$ | tr -d ' ')"
"#;

/// What it must print, but for the base of the ids.
fn expected(base: u32) -> String {
    format!(
        "uid: 1000:1000:1000\nuid_map: 0 {base} 65536\ngid_map: 0 {base} 65536\n\
         SigBlk: 0000000000000000\nSigIgn: 0000000000000000\n\
         CapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\nCapBnd: 0000000000000000\n\
         CapAmb: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n\
         mount: refused\nunshare_user: refused\nunshare_net: refused\n\
         write_usr: refused\nwrite_root: refused\nwrite_etc: refused\n\
         write_app: allowed\nwrite_tmp: allowed\nwrite_var_tmp: allowed\nwrite_shm: allowed\n\
         host_files: 0\nlocal: 0\nwrite_sysctl: refused\nwrite_sys: refused\nhidden: 0\n\
         masked: character special file:ro\nsysrq: refused\ncgroup: 0\n\
         init_memory: refused\ninit_environ: refused\ninit_kill: lives\n\
         umask: 0022\ncore: 0\nnodes: refused\nnull: allowed\nhostname: web-1\nfds: 0 1 2 3 \n"
    )
}

/// As libuv, the JVM and Go look for what they may use: by the process's own groups, in whichever version has a controller.
const LIMITS: &str = r#"
import os
groups = dict(line.strip().split(":", 2)[1:] for line in open("/proc/self/cgroup"))
def find(controller, v1, v2):
    for names, group in groups.items():
        if controller in names.split(","):
            return open(f"/sys/fs/cgroup/{controller}{group}/{v1}").read().split()[0]
    return open(f"/sys/fs/cgroup{groups['']}/{v2}").read().split()[0]
print("memory", find("memory", "memory.limit_in_bytes", "memory.max"))
print("cpu", find("cpu", "cpu.cfs_quota_us", "cpu.max"))
print("pids", find("pids", "pids.max", "pids.max"))
print("others", [name for top in os.scandir("/sys/fs/cgroup") if top.is_dir(follow_symlinks=False)
    for name in os.listdir(top) if os.path.isdir(os.path.join(top, name))])
changed = []
for folder, folders, files in os.walk("/sys/fs/cgroup"):
    for name in files + ["new/"]:
        path = os.path.join(folder, name)
        try:
            os.mkdir(path) if name == "new/" else os.close(os.open(path, os.O_WRONLY))
            changed.append(path)
        except OSError:
            pass
print("changed", changed)
"#;

#[test]
fn a_program_sees_its_own_limits_and_cannot_change_them() {
    with(
        |_| {},
        |f| async move {
            let mut spec = f.spec("");
            spec.command = ["python3", "-c", LIMITS].map(str::to_owned).to_vec();
            spec.limits = Limits { memory_bytes: 200 << 20, cpu_millicores: 500, cpu_weight: 100, pids: 77 };
            let (exit, text) = f.run(spec).await;
            let expected = "memory 209715200\ncpu 50000\npids 77\nothers []\nchanged []\n";
            assert_eq!((exit.status, text.as_str()), (0, expected));
        },
    );
}

#[test]
fn a_program_is_kept_in() {
    with(
        |_| {},
        |f| async move {
            let text = f.sh(LOOK).await;
            let (seen, parent) = text.rsplit_once("ppid: ").unwrap();
            assert_eq!(seen, expected(f.id_base));
            assert_eq!(parent.trim(), "1", "the program is the child of pid 1");
        },
    );
}

#[test]
fn a_program_by_exec_is_kept_in() {
    with(
        |_| {},
        |f| async move {
            let id = running(&f).await;
            let text = exec(&f, id, LOOK).await;
            let (seen, _) = text.rsplit_once("ppid: ").unwrap();
            assert_eq!(seen, expected(f.id_base));
            // It sees the container's own program, and none of the host's.
            let processes = exec(&f, id, "cat /proc/[0-9]*/comm | sort | tr '\\n' ' '").await;
            assert!(processes.contains("sleep"), "{processes}");
            assert!(!processes.contains("inside"), "{processes}");
            assert_eq!(exec(&f, id, "cat /app/mark").await, "mark\n");
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn processes_of_the_host_are_invisible() {
    with(
        |_| {},
        |f| async move {
            let numbers = f.sh("ls /proc | grep -c '^[0-9]'").await;
            // pid 1, the shell, ls and grep.
            assert!(numbers.trim().parse::<u32>().unwrap() <= 5, "{numbers}");
        },
    );
}

#[test]
fn app_files_can_be_changed_and_renamed() {
    with(
        |_| {},
        |f| async move {
            let base = folder_of(&f.config).join("base/app");
            std::fs::create_dir_all(base.join("lib/inner")).unwrap();
            std::fs::write(base.join("lib/inner/file"), "from the layer").unwrap();
            for path in ["lib/inner/file", "lib/inner", "lib", ""] {
                std::os::unix::fs::chown(base.join(path), Some(1000), Some(1000)).unwrap();
            }
            let text = f.sh("stat -c %u:%g lib/inner/file; echo more >> lib/inner/file; mv lib other; cat other/inner/file; rm -r other; ls").await;
            assert_eq!(text, "1000:1000\nfrom the layermore\n");
            assert_eq!(std::fs::read_to_string(base.join("lib/inner/file")).unwrap(), "from the layer");
        },
    );
}

#[test]
fn commands_get_their_words_and_variables_as_they_are() {
    with(
        |_| {},
        |f| async move {
            let mut spec = f.spec("");
            spec.command = [
                "sh",
                "-c",
                "printf '[%s]' \"$@\"; printf '%s' \"$ODD\" | od -An -tx1; env | sort",
                "sh",
                "a b",
                "",
                "$HOME",
            ]
            .map(str::to_owned)
            .to_vec();
            spec.env.push(("ODD".into(), b"\xff\n".to_vec()));
            let (exit, text) = f.run(spec).await;
            assert_eq!(exit.status, 0);
            assert!(text.starts_with("[a b][][$HOME] ff 0a\n"), "{text}");
            let (_, variables) = text.split_once('\n').unwrap();
            let names: Vec<_> =
                variables.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name)).collect();
            assert_eq!(names, ["HOME", "ODD", "PATH", "PWD"], "{text}");
        },
    );
}

#[test]
fn secrets_are_neither_on_disk_nor_in_arguments() {
    with(
        |_| {},
        |f| async move {
            let secret = format!("secret-{}", uuid::Uuid::new_v4());
            let mut spec = f.spec("sleep 1000");
            spec.env.push(("SECRET".into(), secret.clone().into_bytes()));
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let found = std::process::Command::new("grep")
                .args(["-r", "-l", &secret])
                .arg(folder_of(&f.config))
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&found.stdout), "");
            for (pid, line) in crate::support::processes() {
                assert!(!line.contains(&secret), "{pid}: {line}");
            }
            assert!(exec(&f, id, "tr '\\0' '\\n' < /proc/2/environ | grep -c SECRET").await.starts_with('1'));
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn a_terminal_has_a_name_a_size_and_an_end() {
    with(
        |_| {},
        |f| async move {
            let mut spec = f.spec(
                "tty; stty size; trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.05; done",
            );
            spec.stdio = Stdio::Terminal { rows: 33, columns: 99 };
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let mut attached = f.runtime.attach(id).await.unwrap();
            let text = read_until(&mut attached.output, "ready").await;
            assert_eq!(text, "/dev/pts/0\r\n33 99\r\nready\r\n");
            attached.input.send(Input::Resize { rows: 40, columns: 120 }).await.unwrap();
            assert_eq!(read_to_end(&mut attached.output).await, "40 120\r\n");
            assert_eq!(f.exit(id).await.status, 7);
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn a_console_by_exec_is_a_terminal_of_its_own() {
    with(
        |_| {},
        |f| async move {
            let id = running(&f).await;
            let stdio = Stdio::Terminal { rows: 24, columns: 80 };
            let mut attached = f
                .runtime
                .exec(id, exec_spec("tty; stty size; read line; echo got $line", stdio))
                .await
                .unwrap();
            assert_eq!(read_until(&mut attached.output, "24 80").await, "/dev/pts/0\r\n24 80\r\n");
            attached.input.send(Input::Bytes(Bytes::from_static(b"hello\n"))).await.unwrap();
            assert_eq!(read_to_end(&mut attached.output).await, "hello\r\ngot hello\r\n");
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn a_hung_up_console_ends_its_program() {
    with(
        |_| {},
        |f| async move {
            let id = running(&f).await;
            let stdio = Stdio::Terminal { rows: 24, columns: 80 };
            let mut attached =
                f.runtime.exec(id, exec_spec("echo ready; exec sleep 2000", stdio)).await.unwrap();
            read_until(&mut attached.output, "ready").await;
            drop(attached);
            let gone = async {
                while exec(&f, id, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").await.contains("sleep 2000") {}
            };
            tokio::time::timeout(PATIENCE, gone).await.unwrap();
            f.runtime.remove(id).await.unwrap();
        },
    );
}

#[test]
fn time_to_the_first_line_is_printed() {
    with(
        |_| {},
        |f| async move {
            let mut times = Vec::new();
            for _ in 0..15 {
                let (spec, at) = (f.spec("echo hi"), Instant::now());
                let id = spec.id;
                f.runtime.start(spec).await.unwrap();
                f.runtime.output(id, 0).await.unwrap().recv().await.unwrap();
                times.push(at.elapsed());
                f.runtime.remove(id).await.unwrap();
            }
            times.sort();
            println!(
                "first line after {:?} (median of {}, least {:?})",
                times[times.len() / 2],
                times.len(),
                times[0]
            );
            assert!(times[0] < Duration::from_secs(5));
        },
    );
}

async fn running(f: &Arc<Fixture>) -> paddock_core::ContainerId {
    let spec = f.spec("echo mark > /app/mark; echo ready; exec sleep 1000");
    let id = spec.id;
    f.runtime.start(spec).await.unwrap();
    f.runtime.output(id, 0).await.unwrap().recv().await.unwrap();
    id
}

fn exec_spec(script: &str, stdio: Stdio) -> ExecSpec {
    ExecSpec {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("PATH".into(), b"/usr/bin:/bin:/usr/sbin".to_vec())],
        working_dir: "/app".to_owned(),
        stdio,
    }
}

async fn exec(f: &Arc<Fixture>, id: paddock_core::ContainerId, script: &str) -> String {
    let mut attached = f.runtime.exec(id, exec_spec(script, Stdio::Pipe)).await.unwrap();
    attached.input.send(Input::End).await.unwrap();
    read_to_end(&mut attached.output).await
}

async fn read_to_end(output: &mut tokio::sync::mpsc::Receiver<Bytes>) -> String {
    let mut all = Vec::new();
    let reading = async {
        while let Some(bytes) = output.recv().await {
            all.extend(bytes);
        }
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    let text = String::from_utf8_lossy(&all).into_owned();
    assert!(ended.is_ok(), "no end after {text:?}");
    text
}

async fn read_until(output: &mut tokio::sync::mpsc::Receiver<Bytes>, wanted: &str) -> String {
    let mut all = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&all).contains(&format!("{wanted}\r\n")) {
            all.extend(output.recv().await.expect("no end yet"));
        }
    };
    let found = tokio::time::timeout(PATIENCE, reading).await;
    let text = String::from_utf8_lossy(&all).into_owned();
    assert!(found.is_ok(), "no {wanted:?} in {text:?}");
    text
}
