//! Who runs `RUN`: what root inside a step of a build may do, and everything that it must not. Decision 31 rests on this.

use std::collections::BTreeMap;

use crate::support::layers::{disk, tools};
use crate::support::{Fixture, stack, with};
use paddock_core::artefact::ProgramUser;
use paddock_runtime::{ContainerSpec, Disk, Limits, Network, Root, Runtime, VolumeKind};

/// Of the host stack, so that there is a Python.
fn python(f: &Fixture, script: &str, arguments: &[String]) -> ContainerSpec {
    let words = ["python3", "-c", script].map(str::to_owned);
    ContainerSpec {
        command: words.into_iter().chain(arguments.iter().cloned()).collect(),
        ..f.step(&[stack()], "")
    }
}

/// Calls each system call of its arguments, `NAME=NUMBER`, with arguments that the kernel would take from root of the host.
const CALLS: &str = r#"
import ctypes, errno, os, sys, struct
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x20000
arguments = {
    'mount': (b'none', b'/tmp', b'tmpfs', 0, 0), 'umount2': (b'/proc', 2), 'pivot_root': (b'/', b'/tmp'),
    'fsopen': (b'tmpfs', 0), 'open_tree': (-100, b'/', 1), 'move_mount': (-100, b'/tmp', -100, b'/etc', 0), 'fsmount': (0, 0, 0),
    'mount_setattr': (-100, b'/proc/sys', 0, buffer, 32),
    'unshare': (CLONE_NEWUSER | CLONE_NEWNS,), 'setns': (os.open('/proc/self/ns/net', 0), 0), 'chroot': (b'/tmp',),
    'init_module': (buffer, 10, b''), 'finit_module': (0, b'', 0), 'delete_module': (b'loop', 0), 'kexec_load': (0, 0, 0, 0),
    'keyctl': (0, -3, 1), 'add_key': (b'user', b'x', b'y', 1, -3), 'request_key': (b'user', b'x', 0, -3),
    'bpf': (0, buffer, 72), 'io_uring_setup': (4, buffer), 'perf_event_open': (buffer, 0, -1, -1, 0),
    'open_by_handle_at': (-100, buffer, 0), 'fanotify_init': (0, 0), 'userfaultfd': (0,), 'quotactl': (0, b'/dev/vda', 0, buffer),
    'sethostname': (b'x', 1), 'setdomainname': (b'x', 1), 'settimeofday': (buffer, 0), 'clock_settime': (0, buffer),
    'swapon': (b'/tmp/x', 0), 'acct': (b'/tmp/x',), 'syslog': (3, buffer, 100), 'reboot': (0xfee1dead, 672274793, 0x1234567, 0),
    'vhangup': (), 'adjtimex': (buffer,), 'iopl': (3,), 'ioperm': (0, 1, 1), 'lookup_dcookie': (0, buffer, 10),
    'move_pages': (1, 0, 0, 0, 0, 0), 'migrate_pages': (1, 0, 0, 0), 'process_vm_readv': (1, buffer, 1, buffer, 1, 0),
    'ptrace': (16, 1, 0, 0), 'kcmp': (1, 1, 0, 0, 0), 'pidfd_getfd': (os.pidfd_open(1), 0, 0),
}
struct.pack_into('I', buffer, 0, 1)   # adjtimex: set the offset
for word in sys.argv[1:]:
    name, number = word.split('=')
    if name == 'process_vm_readv': struct.pack_into('QQ', buffer, 0, 0x400000, 8)
    ctypes.set_errno(0)
    long = ctypes.c_long
    result = libc.syscall(long(int(number)), *[long(value) if isinstance(value, int) else value for value in arguments[name]])
    print(name, 'allowed' if result >= 0 else errno.errorcode[ctypes.get_errno()])
"#;

#[cfg(target_arch = "x86_64")]
const OF_X86: [(&str, libc::c_long); 2] = [("iopl", libc::SYS_iopl), ("ioperm", libc::SYS_ioperm)];
#[cfg(not(target_arch = "x86_64"))]
const OF_X86: [(&str, libc::c_long); 0] = [];

const SYSCALLS: [(&str, libc::c_long); 42] = [
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("pivot_root", libc::SYS_pivot_root),
    ("fsopen", libc::SYS_fsopen),
    ("open_tree", libc::SYS_open_tree),
    ("move_mount", libc::SYS_move_mount),
    ("fsmount", libc::SYS_fsmount),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("chroot", libc::SYS_chroot),
    ("init_module", libc::SYS_init_module),
    ("finit_module", libc::SYS_finit_module),
    ("delete_module", libc::SYS_delete_module),
    ("kexec_load", libc::SYS_kexec_load),
    ("keyctl", libc::SYS_keyctl),
    ("add_key", libc::SYS_add_key),
    ("request_key", libc::SYS_request_key),
    ("bpf", libc::SYS_bpf),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("fanotify_init", libc::SYS_fanotify_init),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("quotactl", libc::SYS_quotactl),
    ("sethostname", libc::SYS_sethostname),
    ("setdomainname", libc::SYS_setdomainname),
    ("settimeofday", libc::SYS_settimeofday),
    ("clock_settime", libc::SYS_clock_settime),
    ("swapon", libc::SYS_swapon),
    ("acct", libc::SYS_acct),
    ("syslog", libc::SYS_syslog),
    ("reboot", libc::SYS_reboot),
    ("vhangup", libc::SYS_vhangup),
    ("adjtimex", libc::SYS_adjtimex),
    ("lookup_dcookie", libc::SYS_lookup_dcookie),
    ("move_pages", libc::SYS_move_pages),
    ("migrate_pages", libc::SYS_migrate_pages),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("ptrace", libc::SYS_ptrace),
    ("kcmp", libc::SYS_kcmp),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
];

#[test]
fn calls_that_reach_out_are_refused() {
    with(
        |_| {},
        |f| async move {
            let calls: Vec<_> =
                SYSCALLS.iter().chain(&OF_X86).map(|(name, number)| format!("{name}={number}")).collect();
            let said = f.printed(python(&f, CALLS, &calls)).await;
            let odd: Vec<_> = said.lines().filter(|line| !line.ends_with(" EPERM")).collect();
            assert!(odd.is_empty(), "{odd:?}");
            assert_eq!(said.lines().count(), calls.len());
        },
    );
}

/// Tries what takes no strange call; a line for each thing.
const TRIES: &str = r#"
import ctypes, errno, os, signal, socket, stat, subprocess, sys
def attempt(name, what):
    try:
        print(name + ':', what())
    except OSError as error:
        print(name + ':', errno.errorcode[error.errno])
    except ValueError:
        print(name + ':', 'ValueError')
def status(field):
    return [line.split()[1] for line in open('/proc/self/status') if line.startswith(field + ':')][0]
def write(path, text):
    with open(path, 'w') as file: file.write(text)
def device(kind, major, minor):
    os.mknod('/tmp/node', kind | 0o666, os.makedev(major, minor))
def of_user(uid, *what):
    return subprocess.run([sys.executable, '-c', *what], user=uid, group=uid, extra_groups=[], capture_output=True, text=True).stdout.strip()
def child(uid):
    read, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid); os.write(end, b'r')
        signal.pause()
    os.read(read, 1)
    return pid
libc = ctypes.CDLL(None, use_errno=True)
def ptrace(pid):
    if libc.ptrace(16, pid, 0, 0) < 0: raise OSError(ctypes.get_errno(), '')
    return 'attached'

for field in ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp']:
    attempt(field, lambda: status(field))
attempt('ids', lambda: (os.getresuid(), os.getresgid(), os.getgroups()))
attempt('caps of another user', lambda: of_user(33, 'print([l.split()[1] for l in open("/proc/self/status") if l[:6] in ("CapPrm", "CapEff")])'))
attempt('ids that are not its own', lambda: os.setresuid(65536, 65536, 65536))
attempt('files for ids that are not its own', lambda: (write('/tmp/x', ''), os.chown('/tmp/x', 70000, 70000)))
attempt('memory device', lambda: device(stat.S_IFCHR, 1, 1))
attempt('null device', lambda: device(stat.S_IFCHR, 1, 3))
attempt('disk', lambda: device(stat.S_IFBLK, 254, 0))
attempt('whiteout', lambda: device(stat.S_IFCHR, 0, 0))
attempt('raw socket', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt('raw socket of version 6', lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
attempt('packet socket', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
attempt('vsock', lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
attempt('transparent', lambda: socket.socket().setsockopt(socket.SOL_IP, 19, 1))
attempt('another interface', lambda: subprocess.run(['ip', 'link', 'add', 'x', 'type', 'dummy'], capture_output=True).returncode)
attempt('loopback down', lambda: subprocess.run(['ip', 'link', 'set', 'lo', 'down'], capture_output=True).returncode)
attempt('firewall', lambda: subprocess.run(['nft', 'list', 'ruleset'], capture_output=True).returncode > 0)
attempt('file capability', lambda: os.setxattr('/tmp/x', 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000')))
attempt('trusted attribute', lambda: os.setxattr('/tmp/x', 'trusted.x', b'y'))
attempt('ptrace of pid 1', lambda: ptrace(1))
attempt('ptrace of another user', lambda: ptrace(child(1000)))
attempt('memory of pid 1', lambda: open('/proc/1/mem', 'rb').read(1))
attempt('environment of pid 1', lambda: open('/proc/1/environ', 'rb').read())
attempt('root of pid 1', lambda: os.listdir('/proc/1/root'))
attempt('program of pid 1', lambda: os.readlink('/proc/1/exe'))
attempt('descriptors of pid 1', lambda: os.listdir('/proc/1/fd'))
attempt('end of pid 1', lambda: (os.kill(1, signal.SIGKILL), os.path.exists('/proc/1'))[1])
attempt('core pattern', lambda: write('/proc/sys/kernel/core_pattern', '|/x'))
attempt('forwarding', lambda: write('/proc/sys/net/ipv4/ip_forward', '1'))
attempt('low ports', lambda: write('/proc/sys/net/ipv4/ip_unprivileged_port_start', '0'))
attempt('sysrq', lambda: write('/proc/sysrq-trigger', 'h') or os.stat('/proc/sysrq-trigger').st_rdev == os.stat('/dev/null').st_rdev)
attempt('kernel memory', lambda: len(open('/proc/kcore', 'rb').read(10)))
attempt('keys', lambda: len(open('/proc/keys').read()))
attempt('kernel log', lambda: open('/dev/kmsg', 'rb').read(1))
attempt('kernel log by proc', lambda: open('/proc/kmsg', 'rb').read(1))
attempt('mount options', lambda: write('/sys/kernel/mm/ksm/run', '1'))
attempt('uevent', lambda: write('/sys/class/net/lo/uevent', 'add'))
attempt('before others when memory is short', lambda: write('/proc/self/oom_score_adj', '-500'))
attempt('more open files', lambda: __import__('resource').setrlimit(7, (1 << 22, 1 << 22)))
attempt('priority', lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
attempt('real time', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
attempt('own limits', lambda: [path for top, folders, files in os.walk('/sys/fs/cgroup') for path in (os.path.join(top, name) for name in files) if writable(path)])
attempt('immutable', lambda: __import__('fcntl').ioctl(open('/tmp/x'), 0x40086602, bytes([16, 0, 0, 0, 0, 0, 0, 0])))
"#;

/// What must come of it.
fn expected() -> BTreeMap<&'static str, &'static str> {
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE.
    const KEPT: &str = "00000000000004fb";
    const NONE: &str = "0000000000000000";
    let facts = [
        ("CapInh", NONE),
        ("CapPrm", KEPT),
        ("CapEff", KEPT),
        ("CapBnd", KEPT),
        ("CapAmb", NONE),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("ids", "((0, 0, 0), (0, 0, 0), [])"),
        ("caps of another user", "['0000000000000000', '0000000000000000']"),
        ("ids that are not its own", "EINVAL"),
        ("files for ids that are not its own", "EINVAL"),
        ("another interface", "2"),
        ("loopback down", "2"),
        ("firewall", "True"),
        ("end of pid 1", "True"),
        ("core pattern", "EROFS"),
        ("forwarding", "EROFS"),
        ("low ports", "EROFS"),
        ("sysrq", "True or ENOENT"),
        ("kernel memory", "0 or ENOENT"),
        ("keys", "0"),
        ("kernel log", "ENOENT"),
        ("kernel log by proc", "EACCES"),
        ("mount options", "EROFS"),
        ("uevent", "EROFS"),
        ("before others when memory is short", "EACCES"),
        ("program of pid 1", "EACCES"),
        ("root of pid 1", "EACCES"),
        ("descriptors of pid 1", "EACCES"),
        ("memory of pid 1", "EACCES"),
        ("environment of pid 1", "EACCES"),
        ("priority", "EACCES"),
        ("more open files", "ValueError"),
        ("own limits", "[]"),
    ];
    facts.into()
}

const WRITABLE: &str = r"
import os
def writable(path):
    try: os.close(os.open(path, os.O_WRONLY))
    except OSError: return False
    return True
";

#[test]
fn what_root_inside_tries_is_refused() {
    with(
        |_| {},
        |f| async move {
            let said = f.printed(python(&f, &format!("{WRITABLE}{TRIES}"), &[])).await;
            let expected = expected();
            let mut wrong = Vec::new();
            for line in said.lines() {
                let (name, found) = line.split_once(": ").unwrap();
                // Not every kernel has every file.
                let may_be = expected.get(name).copied().unwrap_or("EPERM");
                if may_be.split(" or ").all(|one| one != found) {
                    wrong.push(line);
                }
            }
            assert!(wrong.is_empty(), "{wrong:#?}");
            let tries = TRIES
                .matches(
                    "
attempt(",
                )
                .count()
                + TRIES.matches("'Cap").count()
                + 2;
            assert_eq!(said.lines().count(), tries, "{said}");
        },
    );
}

/// A program of a layer that would make its user root does not.
#[test]
fn a_setuid_program_of_a_layer_gives_nothing() {
    with(
        |_| {},
        |f| async move {
            let layer = f.layer(|tree| {
                tree.programs(&["/usr/bin/id"]).is("usr/bin/id", 0o6755, 0);
            });
            let layers = [layer, f.layer(tools)];
            let look = "stat -c %a /usr/bin/id; /usr/bin/id -u; /usr/bin/id -ru; /usr/bin/id -g";
            for root in [Root::Image, Root::Build] {
                let mut spec = ContainerSpec { root, ..f.image(&layers, look) };
                spec.user = ProgramUser::DYNO;
                assert_eq!(f.printed(spec).await, "6755\n1000\n1000\n1000\n", "{root:?}");
            }
            // The same made by a step itself.
            let script = r"
import os, shutil, subprocess
shutil.copy('/usr/bin/id', '/id'); os.chmod('/id', 0o6755)
print(oct(os.stat('/id').st_mode), subprocess.run(['/id', '-u'], user=1000, group=1000, extra_groups=[], capture_output=True, text=True).stdout)
";
            assert_eq!(f.printed(python(&f, script, &[])).await.trim(), "0o106755 1000");
        },
    );
}

/// What installing things takes.
#[test]
fn root_inside_can_install() {
    with(
        |_| {},
        |f| async move {
            let script = r"
import os, socket, subprocess
os.mkdir('/srv'); open('/srv/file', 'w').write('x'); open('/etc/new', 'w').write('y')
os.chown('/srv/file', 33, 33); os.chmod('/srv/file', 0o600)
print(os.stat('/srv/file').st_uid, open('/srv/file').read())
say = 'import os; print(os.getuid(), os.getgid(), os.getgroups())'
print(subprocess.run(['python3', '-c', say], user=1000, group=1000, extra_groups=[27, 33], capture_output=True, text=True).stdout.strip())
sleeper = subprocess.Popen(['sleep', '1000'], user=1000, group=1000, extra_groups=[])
sleeper.kill(); print(sleeper.wait())
server = socket.socket(); server.bind(('127.0.0.1', 80)); print('bound')
os.mkfifo('/srv/fifo'); os.symlink('file', '/srv/link'); os.link('/srv/file', '/srv/other'); os.utime('/srv/file', (1, 1))
os.setxattr('/srv/file', 'user.note', b'z'); print(os.getxattr('/srv/file', 'user.note').decode())
os.rename('/srv', '/moved'); print(sorted(os.listdir('/moved')))
try: open('/usr/local/tool', 'w')
except OSError as error: print(error.strerror)
print(os.stat('/usr').st_uid, os.stat('/').st_uid)
";
            let said = f.printed(python(&f, script, &[])).await;
            let expected = "33 x\n1000 1000 [27, 33]\n-9\nbound\nz\n['fifo', 'file', 'link', 'other']\n\
                            Read-only file system\n65534 0\n";
            assert_eq!(said, expected);
        },
    );
}

/// A further program has what the container's own has, and no more.
#[test]
fn a_program_by_exec_is_kept_in_as_well() {
    with(
        |_| {},
        |f| async move {
            let none = "0000000000000000";
            for (root, user, caps) in [
                (Root::Build, ProgramUser::ROOT, "00000000000004fb"),
                (Root::Build, ProgramUser::DYNO, none),
                (Root::Image, ProgramUser::DYNO, none),
            ] {
                let mut spec = f.step(&[stack()], "exec sleep 1000");
                (spec.root, spec.user) = (root, user);
                let id = spec.id;
                f.runtime.start(spec).await.unwrap();
                let look = "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status | tr -d '\n'; id -u; id -G; \
                            mount -t tmpfs none /tmp 2>/dev/null || unshare -U true 2>/dev/null || cat /proc/1/environ 2>/dev/null || echo refused";
                let said = crate::network::inside(&f, id, &["sh", "-c", look]).await;
                let kept = format!(
                    "CapInh:\t{none}CapPrm:\t{caps}CapEff:\t{caps}CapBnd:\t{caps}CapAmb:\t{none}NoNewPrivs:\t1Seccomp:\t2"
                );
                assert_eq!(said, format!("{kept}{0}\n{0}\nrefused\n", user.uid), "{root:?}");
                f.runtime.remove(id).await.unwrap();
            }
        },
    );
}

/// What of the kernel's files root inside can open to write, besides those of its own processes.
#[test]
fn the_kernels_files_are_not_root_insides() {
    with(
        |_| {},
        |f| async move {
            let look = r"
import os
def is_hidden(path):
    return path != '/dev/null' and os.stat(path).st_rdev == os.stat('/dev/null').st_rdev
found = []
for top in ['/proc', '/sys', '/dev']:
    for folder, folders, files in os.walk(top):
        if folder == '/proc': folders[:] = [name for name in folders if not name.isdigit() and name not in ('self', 'thread-self')]
        found += [path for path in (os.path.join(folder, name) for name in files) if not os.path.islink(path) and not is_hidden(path) and writable(path)]
print(*found)
";
            let said = f.printed(python(&f, &format!("{WRITABLE}{look}"), &[])).await;
            let harmless = [
                "/dev/full",
                "/dev/null",
                "/dev/ptmx",
                "/dev/pts/ptmx",
                "/dev/random",
                "/dev/tty",
                "/dev/urandom",
                "/dev/zero",
                // Everybody's on every machine: a wake-up for whoever asks for one.
                "/proc/pressure/cpu",
                "/proc/pressure/io",
                "/proc/pressure/memory",
            ];
            let odd: Vec<_> = said.split_whitespace().filter(|path| !harmless.contains(path)).collect();
            assert!(odd.is_empty() && said.contains("/dev/null"), "{odd:?}");
        },
    );
}

#[test]
fn bombs_of_root_inside_end_at_their_limits() {
    with(
        |_| {},
        |f| async move {
            let forks = r"
import os, signal
made = []
try:
    while True:
        pid = os.fork()
        if pid == 0: signal.pause()
        made.append(pid)
except OSError as error: print(error.strerror, len(made) < 40)
for pid in made: os.kill(pid, signal.SIGKILL)
";
            let mut spec = python(&f, forks, &[]);
            spec.limits = Limits { pids: 40, ..spec.limits };
            assert_eq!(f.printed(spec).await, "Resource temporarily unavailable True\n");

            let mut spec = python(&f, "x = bytearray(300 << 20)", &[]);
            spec.limits = Limits { memory_bytes: 64 << 20, ..spec.limits };
            let (exit, text) = f.run(spec).await;
            assert!(exit.out_of_memory && exit.status == 137, "{exit:?} {text}");

            let disk_bomb = r"
import errno, os
def fill(what):
    try: what()
    except OSError as error: return errno.errorcode[error.errno]
def bytes_():
    with open('/big', 'wb') as file:
        while True: file.write(bytes(1 << 20))
def inodes():
    os.mkdir('/many')
    for number in range(1 << 20): open(f'/many/{number}', 'w').close()
print(fill(bytes_)); os.remove('/big'); print(fill(inodes))
";
            let volume = f.volume().await;
            for disk in [disk(volume, "bomb"), Disk::Limited(64 << 20)] {
                let mut spec = python(&f, disk_bomb, &[]);
                spec.disk = disk;
                assert_eq!(f.printed(spec).await, "ENOSPC\nENOSPC\n");
            }
            assert!(f.runtime.volume_is_full(volume).await.unwrap());
            f.runtime.remove_volume(volume).await.unwrap();
            // The next one finds a volume as if nothing had been.
            f.runtime.make_volume(volume, VolumeKind::Scratch { limit_bytes: Some(64 << 20) }).await.unwrap();
            let mut spec = python(&f, "open('/small', 'w').write('fits')", &[]);
            spec.disk = crate::support::layers::disk(volume, "bomb");
            f.printed(spec).await;
        },
    );
}

#[test]
fn root_inside_reaches_what_a_build_reaches() {
    use crate::network::{Outside, ask, host_server, reached};
    if !crate::support::may_run() {
        return;
    }
    let router_port = host_server("0.0.0.0:0").port();
    let internet = Outside::make("198.51.101", &[80]);
    let private = Outside::make("192.168.223", &[80]);
    with(
        move |config| config.router_ports = vec![router_port],
        move |f| async move {
            let mut spec = f.step(&[stack()], "exec sleep 1000");
            spec.network = Network::Outbound;
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let bridge = f.runtime.bridge_address().to_string();
            let other = host_server("0.0.0.0:0").port();
            assert_eq!(ask(&f, id, &bridge, router_port).await, "host");
            let places = [
                (bridge.as_str(), other),
                (&internet.host, other),
                (&private.address, 80),
                ("169.254.169.254", 80),
                (&internet.address, 80),
            ];
            assert_eq!(reached(&f, id, &places).await, format!("reached {}:80", internet.address));
            f.runtime.remove(id).await.unwrap();
        },
    );
}
