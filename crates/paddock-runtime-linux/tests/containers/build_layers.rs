//! What a step of a build leaves: a folder that whoever makes a layer of it can read, inside and without any privilege.

use crate::support::layers::{disk, tools, upper};
use crate::support::{Fixture, stack, with};
use paddock_core::artefact::ProgramUser;
use paddock_core::{LayerDigest, VolumeId};
use paddock_runtime::{Access, ContainerSpec, Layer, LocalVolumes, Mount, MountSource, Network, Share};

/// A line for each path: kind and mode, owner, what it holds or leads to, whether overlay says that it hides what is below,
/// other names of the same file. Run by a container of the tenant.
const LIST: &str = r#"
import os, stat, sys
names = {}
# Whiteouts are one file with many names: that is no hard link.
for folder, folders, files in os.walk(sys.argv[1]):
    links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
    folders.sort()
    for path in [folder] + [os.path.join(folder, name) for name in sorted(files + links)]:
        found, said = os.lstat(path), path.removeprefix(sys.argv[1]) or '/'
        first = names.setdefault(found.st_ino, said)
        line = f'{said} {stat.filemode(found.st_mode)}{found.st_mode & 0o7777:o} {found.st_uid}:{found.st_gid}'
        if stat.S_ISREG(found.st_mode): line += ' ' + open(path).read()
        if stat.S_ISLNK(found.st_mode): line += ' ' + os.readlink(path)
        if stat.S_ISCHR(found.st_mode): line = f'{said} c {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}'
        if stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode):
            own = [name for name in os.listxattr(path) if name in ('user.overlay.opaque', 'user.overlay.redirect', 'user.overlay.metacopy')]
            line += ''.join(f' {name.removeprefix("user.overlay.")}={os.getxattr(path, name).decode()}' for name in own)
            line += ''.join(f' TRUSTED {name}' for name in os.listxattr(path) if name.startswith('trusted'))
        if stat.S_ISREG(found.st_mode) and first != said: line += f' is {first}'
        print(line)
"#;

/// The container that would make a layer of what a step left.
fn converter(f: &Fixture, volume: VolumeId, folder: &str) -> ContainerSpec {
    let command = ["python3", "-c", LIST, "/tree"].map(str::to_owned).to_vec();
    ContainerSpec { command, mounts: vec![upper(volume, folder, "/tree")], ..f.step(&[stack()], "") }
}

async fn listed(f: &Fixture, volume: VolumeId, folder: &str) -> Vec<String> {
    let mut lines: Vec<_> =
        f.printed(converter(f, volume, folder)).await.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Without what new folders have as well, where they hide nothing: that is the kernel's choice.
fn of_new_folders<T: AsRef<str>>(lines: &[T]) -> Vec<String> {
    lines.iter().map(|line| line.as_ref().replace(" opaque=y", "")).collect()
}

/// A layer with everything that the steps below change.
fn lower(f: &Fixture) -> Layer {
    f.layer(|tree| {
        tree.file("data/replaced/inner/file", "1").file("data/moved/one", "2").file("data/removed", "3");
        tree.file("data/given", "4")
            .file("data/closed", "5")
            .file("data/linked", "6")
            .file("data/kept/file", "7");
        tree.hard_link("data/other-name", "data/linked")
            .file("data/into/file", "8")
            .file("data/of-others", "9");
        tree.is("data/of-others", 0o600, 77);
    })
}

const CHANGES: &str = "
    set -e; cd /data
    rm -r replaced; mkdir replaced; echo -n new > replaced/own
    mv moved elsewhere
    rm removed
    chown 33:34 given; chmod 600 closed
    ln linked third-name; echo -n more >> of-others
    rm -r into; ln -s /nowhere into
    mkdir -m 700 private; echo -n secret > private/file; chown -R 1234:1234 private; chmod 600 private/file
    mkdir -p /usr/local/bin; echo -n prog > /usr/local/bin/prog; chmod 4755 /usr/local/bin/prog
    echo -n etc > /etc/made; rm -r /var; echo -n tmp > /tmp/left
";

#[test]
fn what_a_step_changes_is_whole_in_its_upper() {
    with(
        |_| {},
        |f| async move {
            let (volume, tools) = (f.volume().await, f.layer(tools));
            let var = f.layer(|tree| {
                tree.file("var/lib/file", "");
            });
            let mut spec = f.step(&[lower(&f), var, tools], CHANGES);
            spec.disk = disk(volume, "step");
            spec.mounts = vec![Mount {
                target: "/context/of/step".to_owned(),
                source: MountSource::Text("x".to_owned()),
            }];
            f.printed(spec).await;
            let expected = [
                "/ drwxr-xr-x755 0:0",
                "/data drwxr-xr-x755 0:0",
                "/data/closed -rw-------600 0:0 5",
                "/data/elsewhere drwxr-xr-x755 0:0",
                "/data/elsewhere/one -rw-r--r--644 0:0 2",
                "/data/given -rw-r--r--644 33:34 4",
                "/data/into lrwxrwxrwx777 0:0 /nowhere",
                "/data/linked -rw-r--r--644 0:0 6",
                "/data/moved c 0:0",
                "/data/of-others -rw-------600 77:77 9more",
                "/data/private drwx------700 1234:1234",
                "/data/private/file -rw-------600 1234:1234 secret",
                "/data/removed c 0:0",
                "/data/replaced drwxr-xr-x755 0:0 opaque=y",
                "/data/replaced/own -rw-r--r--644 0:0 new",
                "/data/third-name -rw-r--r--644 0:0 6 is /data/linked",
                "/etc drwxr-xr-x755 0:0",
                "/etc/made -rw-r--r--644 0:0 etc",
                "/tmp drwxrwxrwt1777 0:0",
                "/tmp/left -rw-r--r--644 0:0 tmp",
                "/usr drwxr-xr-x755 0:0",
                "/usr/local drwxr-xr-x755 0:0 opaque=y",
                "/usr/local/bin drwxr-xr-x755 0:0",
                "/usr/local/bin/prog -rwsr-xr-x4755 0:0 prog",
                "/var c 0:0",
            ];
            let said = listed(&f, volume, "step").await;
            assert!(said.contains(&"/data/replaced drwxr-xr-x755 0:0 opaque=y".to_owned()), "{said:?}");
            assert_eq!(of_new_folders(&said), of_new_folders(&expected));
        },
    );
}

/// One step after the other, each over what the ones before left, as a build is.
#[test]
fn steps_lie_on_each_other() {
    with(
        |_| {},
        |f| async move {
            let (volume, tools) = (f.volume().await, f.layer(tools));
            let steps = [
                "mkdir /app && echo -n one > /app/one && echo -n two > /app/two && mkdir /gone",
                "rm -r /gone && rm /app/one && echo -n more >> /app/two",
                "rm -r /app && mkdir /app && echo -n three > /app/three",
            ];
            let mut layers = vec![tools];
            for (number, script) in steps.iter().enumerate() {
                let folder = format!("step-{number}");
                let mut spec = f.step(&layers, script);
                spec.disk = disk(volume, &folder);
                f.printed(spec).await;
                layers.insert(0, packed(&f, volume, &folder, u8::try_from(number).unwrap()));
            }
            let said = f.printed(f.image(&layers, "echo /app/* /gon*; cat /app/three")).await;
            assert_eq!(said, "/app/three /gon*\nthree\n");
        },
    );
}

/// What stands for a converter: the upper as a layer, its ids as they are inside, with the other name of opaque folders.
fn packed(f: &Fixture, volume: VolumeId, folder: &str, number: u8) -> Layer {
    let tree = f.runtime.folder_of(volume).join(folder).join("upper");
    let found = std::process::Command::new("find").arg(&tree).args(["-type", "d"]).output().unwrap();
    for path in String::from_utf8(found.stdout).unwrap().lines() {
        let mut value = [0; 1];
        if rustix::fs::getxattr(path, "user.overlay.opaque", &mut value).is_ok() {
            rustix::fs::setxattr(path, "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())
                .unwrap();
        }
    }
    let digest = LayerDigest::of_sha256([number; 32]);
    let file = f.config.images.as_ref().unwrap().layers.path_of(&digest);
    let made = std::process::Command::new("mkfs.erofs")
        .args(["--quiet", "--all-root"])
        .args([&file, &tree])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Layer::Stored(digest)
}

/// Root inside makes no whiteout and no opaque folder by hand, nor anything else that overlay notes.
#[test]
fn what_overlay_notes_cannot_be_forged() {
    with(
        |_| {},
        |f| async move {
            let volume = f.volume().await;
            let script = r"
import os, stat
os.mkdir('/made')
open('/made/file', 'w').close()
for name in ['opaque', 'redirect', 'metacopy', 'whiteout', 'origin']:
    for prefix in ['user.overlay.', 'trusted.overlay.']:
        for path in ['/made', '/made/file', '/']:
            try: os.setxattr(path, prefix + name, b'y')
            except OSError: pass
try: os.mknod('/made/node', stat.S_IFCHR, 0)
except OSError as error: print(error.strerror)
";
            let mut spec = f.step(&[stack()], "");
            spec.command = ["python3", "-c", script].map(str::to_owned).to_vec();
            spec.disk = disk(volume, "step");
            assert_eq!(f.printed(spec).await, "Operation not permitted\n");
            let made: Vec<_> = listed(&f, volume, "step")
                .await
                .into_iter()
                .filter(|line| line.starts_with("/made"))
                .collect();
            let said = ["/made drwxr-xr-x755 0:0", "/made/file -rw-r--r--644 0:0 "];
            assert_eq!(of_new_folders(&made), said);
            let names = std::process::Command::new("python3")
                .args(["-c", "import os, sys\nfor path in sys.argv[1:]: print(*[name for name in os.listxattr(path) if 'overlay' in name])"])
                .args(["made", "made/file"].map(|name| f.runtime.folder_of(volume).join("step/upper").join(name)))
                .output()
                .unwrap();
            let names = String::from_utf8(names.stdout).unwrap();
            for name in names.split_whitespace() {
                let is_kept_apart = name.starts_with("user.overlay.overlay.");
                let is_the_kernels = [
                    "user.overlay.opaque",
                    "user.overlay.origin",
                    "user.overlay.impure",
                    "user.overlay.uuid",
                ]
                .contains(&name);
                assert!(is_kept_apart || is_the_kernels, "{names}");
            }
        },
    );
}

/// Files of a step that a later container of another tenant is given by mistake, or of the host: root inside has no power over
/// owners that are not its own.
#[test]
fn root_inside_reads_its_tenants_files_alone() {
    const SHOWN: Share = Share("shown");
    with(
        |config| {
            config.id_ranges =
                paddock_runtime_linux::IdRanges { first: 4000 + config.id_ranges.first * 2, count: 2 };
            let shown = crate::support::folder_of(config).join("shown");
            std::fs::create_dir(&shown).unwrap();
            std::fs::write(shown.join("closed"), "the host's").unwrap();
            std::fs::set_permissions(
                shown.join("closed"),
                std::os::unix::fs::PermissionsExt::from_mode(0o600),
            )
            .unwrap();
            config.shares.insert(SHOWN, shown);
        },
        |f| async move {
            let volume = f.volume().await;
            let closed = "cd /etc; for id in 0 33 65535; do echo $id > of-$id; chown $id:$id of-$id; chmod 600 of-$id; done";
            let mut spec = f.step(&[f.layer(tools)], closed);
            spec.disk = disk(volume, "step");
            f.printed(spec).await;
            let look = "for file in /tree/etc/of-0 /tree/etc/of-33 /tree/etc/of-65535 /host/closed; do
                        cat $file 2>/dev/null || echo refused; chown 0:0 $file 2>/dev/null && echo taken; done; true";
            let share = MountSource::Share { share: SHOWN, path: String::new() };
            let reader = |tenant| {
                let mut spec = f.step(&[stack()], look);
                spec.tenant = paddock_core::Tenant(tenant);
                spec.mounts = vec![
                    upper(volume, "step", "/tree"),
                    Mount { target: "/host".to_owned(), source: share.clone() },
                ];
                spec
            };
            assert_eq!(f.printed(reader(0)).await, "0\n33\n65535\nrefused\n");
            assert_eq!(f.printed(reader(1)).await, "refused\n".repeat(4));
        },
    );
}

/// With no layer at all there is nothing but mount points, and a program that brings its own loader.
#[test]
fn a_step_may_begin_with_nothing() {
    const TOOLS: Share = Share("tools");
    with(
        |config| {
            let tools = crate::support::folder_of(config).join("tools");
            std::fs::create_dir(&tools).unwrap();
            let listed = std::process::Command::new("ldd").arg("/bin/sh").output().unwrap();
            let listed = String::from_utf8(listed.stdout).unwrap();
            for file in listed.split_whitespace().filter(|word| word.starts_with('/')).chain(["/bin/sh"]) {
                let name = file.rsplit('/').next().unwrap();
                let name = if name.starts_with("ld-") { "loader" } else { name };
                std::fs::copy(file, tools.join(name)).unwrap();
            }
            std::fs::set_permissions(
                tools.join("loader"),
                std::os::unix::fs::PermissionsExt::from_mode(0o755),
            )
            .unwrap();
            config.shares.insert(TOOLS, tools);
        },
        |f| async move {
            let volume = f.volume().await;
            let mut spec = f.step(&[], "");
            let script = "echo /*; echo -n new > /new; read name < /etc/hostname; echo $name";
            let words = [
                "/platform/tools/loader",
                "--library-path",
                "/platform/tools",
                "/platform/tools/sh",
                "-c",
                script,
            ];
            spec.command = words.map(str::to_owned).to_vec();
            let source = MountSource::Share { share: TOOLS, path: String::new() };
            spec.mounts = vec![Mount { target: "/platform/tools".to_owned(), source }];
            spec.disk = disk(volume, "first");
            spec.network = Network::None;
            assert_eq!(f.printed(spec).await, "/dev /etc /platform /proc /sys /tmp\nweb-1\n");
            assert_eq!(
                listed(&f, volume, "first").await,
                ["/ drwxr-xr-x755 0:0", "/new -rw-r--r--644 0:0 new"]
            );
        },
    );
}

/// A step may run as somebody else, as after `USER`, and then has no capability.
#[test]
fn a_step_may_run_as_another_user() {
    with(
        |_| {},
        |f| async move {
            let volume = f.volume().await;
            let script = "id -u; touch /not 2>/dev/null || echo refused; echo -n mine > own; cat /etc/of-root; \
                          grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status | tr '\\n' ' '";
            let own = f.layer(|tree| {
                tree.file("etc/of-root", "root's\n");
            });
            let mut spec = f.step(&[own, stack()], script);
            spec.user = ProgramUser { uid: 70, gid: 71 };
            spec.working_dir = "/work/here".to_owned();
            spec.disk = disk(volume, "step");
            spec.mounts = vec![Mount {
                target: "/cache".to_owned(),
                source: MountSource::Volume {
                    id: volume,
                    folder: "cache".to_owned(),
                    access: Access::ReadWrite,
                },
            }];
            let said = f.printed(spec).await;
            let none = "0000000000000000";
            assert_eq!(
                said.trim(),
                format!("70\nrefused\nroot's\nCapPrm:\t{none} CapEff:\t{none} CapBnd:\t{none}")
            );
            let lines = listed(&f, volume, "step").await;
            let expected = [
                "/ drwxr-xr-x755 0:0",
                "/work drwxr-xr-x755 0:0",
                "/work/here drwxr-xr-x755 70:71",
                "/work/here/own -rw-r--r--644 70:71 mine",
            ];
            assert_eq!(of_new_folders(&lines), expected);
        },
    );
}
