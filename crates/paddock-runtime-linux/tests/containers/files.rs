//! What a container has besides its own disk: layers, folders of volumes and shares, texts; and whose they are.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::support::{Fixture, PATIENCE, folder_of, with};
use paddock_core::artefact::ProgramUser;
use paddock_core::{LayerDigest, VolumeId};
use paddock_runtime::{
    Access, Disk, Layer, LocalVolumes, Mount, MountSource, Runtime, RuntimeError, Share, VolumeKind,
};
use paddock_runtime_linux::LinuxRuntime;

/// A share of tests.
const SHOWN: Share = Share("shown");

/// Where the layer store has, or would have, a layer.
fn file_of(f: &Fixture, digest: &LayerDigest) -> PathBuf {
    f.config.images.as_ref().unwrap().layers.path_of(digest)
}

#[test]
fn impossible_specifications_are_refused() {
    with(
        |config| {
            config.shares.insert(SHOWN, folder_of(config));
        },
        |f| async move {
            let refused =
                |result: Result<(), RuntimeError>| assert!(matches!(result, Err(RuntimeError::Host { .. })));
            for uid in [0, 65_536] {
                let mut spec = f.spec("true");
                spec.user = ProgramUser { uid, gid: 1000 };
                refused(f.runtime.start(spec).await);
            }
            let mut spec = f.spec("true");
            spec.layers = vec![];
            refused(f.runtime.start(spec).await);
            let mut spec = f.spec("true");
            spec.layers = vec![Layer::Stored(LayerDigest::of_sha256([0; 32]))];
            refused(f.runtime.start(spec).await);
            let id = VolumeId::from_uuid(uuid::Uuid::now_v7());
            let of_volume = |folder: &str| MountSource::Volume {
                id,
                folder: folder.to_owned(),
                access: Access::ReadWrite,
            };
            let of_share = |share, path: &str| MountSource::Share { share, path: path.to_owned() };
            let with = |source| {
                let mounts = vec![Mount { target: "/app/there".to_owned(), source }];
                paddock_runtime::ContainerSpec { mounts, ..f.spec("true") }
            };
            refused(f.runtime.start(with(of_volume("of-none"))).await);
            f.runtime.make_volume(id, VolumeKind::Scratch { limit_bytes: None }).await.unwrap();
            for source in [
                of_volume("../there"),
                of_volume("/there"),
                of_volume(""),
                of_share(Share("unknown"), ""),
                of_share(SHOWN, "../run"),
                of_share(SHOWN, "/run"),
                of_share(SHOWN, "missing"),
            ] {
                refused(f.runtime.start(with(source)).await);
            }
            assert_eq!(f.runtime.observe().await.unwrap(), []);
        },
    );
}

#[test]
fn what_is_mounted_belongs_to_whom_it_should() {
    with(
        |config| {
            let shown = folder_of(config).join("shown");
            std::fs::create_dir(&shown).unwrap();
            std::fs::write(shown.join("given"), "given").unwrap();
            std::fs::write(shown.join("closed"), "closed").unwrap();
            std::fs::set_permissions(shown.join("closed"), PermissionsExt::from_mode(0o600)).unwrap();
            config.shares.insert(SHOWN, shown);
        },
        |f| async move {
            let id = VolumeId::from_uuid(uuid::Uuid::now_v7());
            f.runtime.make_volume(id, VolumeKind::Scratch { limit_bytes: None }).await.unwrap();
            let mount = |target: &str, source| Mount { target: target.to_owned(), source };
            let cache = |access| MountSource::Volume { id, folder: "of/cache".to_owned(), access };
            let share = |path: &str| MountSource::Share { share: SHOWN, path: path.to_owned() };
            let mut spec = f.spec(
                "cat /build/given /given; cat /build/closed 2>&1; touch /build/x 2>&1; echo made > /app/cache/made
                 stat -c %u /app/cache /app/cache/made; cat /plan; [ -x /program ] && echo runs",
            );
            spec.mounts = vec![
                mount("/app/cache", cache(Access::ReadWrite)),
                mount("/build", share("")),
                mount("/given", share("given")),
                mount("/plan", MountSource::Text("a plan\n".to_owned())),
                mount("/program", MountSource::Program),
            ];
            spec.disk = Disk::Volume { id, folder: "root".to_owned() };
            let (exit, text) = f.run(spec).await;
            assert_eq!(exit.status, 0, "{text}");
            assert!(text.starts_with("givengiven"), "{text}");
            for part in ["closed: Permission denied", "Read-only file system", "1000\n1000\na plan\nruns\n"] {
                assert!(text.contains(part), "{text}");
            }
            // On disk the file carries the tenant's id.
            let made = f.runtime.folder_of(id).join("of/cache/made");
            assert_eq!(std::fs::metadata(made).unwrap().uid(), f.id_base + 1000);
            let mut spec = f.spec("cat /cache/made; echo changed 2>&1 > /cache/made");
            spec.mounts = vec![mount("/cache", cache(Access::ReadOnly))];
            let (exit, text) = f.run(spec).await;
            assert!(exit.status != 0 && text.starts_with("made\n"), "{text}");
        },
    );
}

#[test]
fn no_link_in_a_volume_leads_out_of_it() {
    with(
        |_| {},
        |f| async move {
            let id = VolumeId::from_uuid(uuid::Uuid::now_v7());
            f.runtime.make_volume(id, VolumeKind::Scratch { limit_bytes: Some(64 << 20) }).await.unwrap();
            let precious = folder_of(&f.config).join("precious");
            std::fs::create_dir(&precious).unwrap();
            let tmp = |folder: &str, access| Mount {
                target: "/app/there".to_owned(),
                source: MountSource::Volume { id, folder: folder.to_owned(), access },
            };
            let mut spec = f.spec(&format!("ln -s {} /app/there/link", precious.display()));
            spec.mounts = vec![tmp("tmp", Access::ReadWrite)];
            assert_eq!(f.run(spec).await.0.status, 0);
            for (folder, access) in [
                ("tmp/link", Access::ReadOnly),
                ("tmp/link", Access::ReadWrite),
                ("tmp/link/in", Access::ReadWrite),
                ("tmp/missing", Access::ReadOnly),
            ] {
                let mut spec = f.spec("true");
                spec.mounts = vec![tmp(folder, access)];
                assert!(matches!(f.runtime.start(spec).await, Err(RuntimeError::Host { .. })), "{folder}");
            }
            assert_eq!(std::fs::read_dir(&precious).unwrap().count(), 0, "the host's folder is untouched");
        },
    );
}

#[test]
fn a_volume_goes_however_deep_it_is() {
    with(
        |_| {},
        |f| async move {
            let id = VolumeId::from_uuid(uuid::Uuid::now_v7());
            f.runtime.make_volume(id, VolumeKind::Scratch { limit_bytes: None }).await.unwrap();
            let mut spec =
                f.spec("exec python3 -c 'import os\nfor i in range(5000): os.mkdir(\"d\"); os.chdir(\"d\")'");
            spec.working_dir = "/deep".to_owned();
            spec.mounts = vec![Mount {
                target: "/deep".to_owned(),
                source: MountSource::Volume { id, folder: "deep".to_owned(), access: Access::ReadWrite },
            }];
            let (exit, text) = f.run(spec).await;
            assert_eq!(exit.status, 0, "{text}");
            f.runtime.remove_volume(id).await.unwrap();
            let volumes = f.runtime.folder_of(id).parent().unwrap().to_owned();
            let gone = async {
                while std::fs::read_dir(&volumes).unwrap().next().is_some() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, gone).await.expect("it is deleted");
        },
    );
}

#[test]
fn a_lasting_volume_outlives_all_but_its_removal() {
    with(
        |_| {},
        |f| async move {
            let [kept, left] = [(); 2].map(|()| VolumeId::from_uuid(uuid::Uuid::now_v7()));
            for id in [kept, left] {
                f.runtime.make_volume(id, VolumeKind::Lasting { limit_bytes: None }).await.unwrap();
            }
            let data = |id| Mount {
                target: "/data".to_owned(),
                source: MountSource::Volume { id, folder: "data".to_owned(), access: Access::ReadWrite },
            };
            let run = async |runtime: &LinuxRuntime, script: &str| {
                let mut spec = f.spec(script);
                spec.mounts = vec![data(kept)];
                let id = spec.id;
                runtime.start(spec).await.unwrap();
                let printed = crate::support::collect(runtime, id, 0).await;
                runtime.remove(id).await.unwrap();
                printed
                    .iter()
                    .map(|piece| String::from_utf8_lossy(&piece.bytes).into_owned())
                    .collect::<String>()
            };
            run(&f.runtime, "echo kept > /data/note").await;
            let folder = f.runtime.folder_of(kept);
            assert_eq!(folder, f.config.lasting_volumes.join(kept.to_string()));
            assert!(
                std::fs::read_to_string("/proc/self/mounts")
                    .unwrap()
                    .lines()
                    .all(|line| { !line.contains(folder.to_str().unwrap()) })
            );

            // Everything else of the instance goes, as when the machine starts anew, and its folder with it.
            f.runtime.destroy_instance().await.unwrap();
            std::fs::remove_dir_all(f.config.run_dir.parent().unwrap()).unwrap();
            let half_removed = f.config.lasting_volumes.join(".gone-left-by-a-kill");
            std::fs::create_dir_all(half_removed.join("some/of/it")).unwrap();
            let anew = LinuxRuntime::open(f.config.clone()).await.unwrap();
            assert_eq!(run(&anew, "cat /data/note").await, "kept");

            for id in [left, left] {
                anew.remove_volume(id).await.unwrap();
            }
            let names = || {
                let names = std::fs::read_dir(&f.config.lasting_volumes).unwrap().flatten();
                names.map(|name| name.file_name().into_string().unwrap()).collect::<Vec<_>>()
            };
            let gone = async {
                while names() != [kept.to_string()] {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, gone).await.expect("what is removed goes, what is kept stays");
            anew.destroy_instance().await.unwrap();
        },
    );
}

#[test]
fn a_program_runs_as_whom_it_was_asked_to() {
    with(
        |_| {},
        |f| async move {
            let id = VolumeId::from_uuid(uuid::Uuid::now_v7());
            f.runtime.make_volume(id, VolumeKind::Scratch { limit_bytes: None }).await.unwrap();
            let mut spec = f.spec(
                "id -u; id -g; id -G; touch /app/own /given/own; stat -c %u:%g /app /app/own /given/own",
            );
            spec.user = ProgramUser { uid: 1234, gid: 4321 };
            spec.mounts = vec![Mount {
                target: "/given".to_owned(),
                source: MountSource::Volume { id, folder: "given".to_owned(), access: Access::ReadWrite },
            }];
            let (exit, text) = f.run(spec).await;
            assert_eq!(exit.status, 0, "{text}");
            assert_eq!(text, format!("1234\n4321\n4321\n{}", "1234:4321\n".repeat(3)));
        },
    );
}

#[test]
fn links_of_an_image_lead_nowhere_on_the_host() {
    with(
        |_| {},
        |f| async move {
            let (digest, target) = (LayerDigest::of_sha256([1; 32]), folder_of(&f.config).join("precious"));
            let image = file_of(&f, &digest);
            std::fs::create_dir(&target).unwrap();
            std::fs::create_dir(&image).unwrap();
            for name in ["dev", "proc", "sys", "tmp", "etc", "cache"] {
                std::os::unix::fs::symlink(&target, image.join(name)).unwrap();
            }
            let mut spec = f.spec("echo ok; touch /tmp/here");
            spec.layers.insert(0, Layer::Stored(digest));
            // Our own mount points replace what the image has in their place.
            assert_eq!(f.run(spec.clone()).await.1, "ok\n");
            // A target below a link is looked up inside, where it leads nowhere.
            spec.id = paddock_core::ContainerId::from_uuid(uuid::Uuid::now_v7());
            let source = MountSource::Text(String::new());
            spec.mounts = vec![Mount { target: "/cache/deep/er".to_owned(), source }];
            assert!(matches!(f.runtime.start(spec).await, Err(RuntimeError::Host { .. })));
            assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0, "the host's folder is untouched");
        },
    );
}

#[test]
fn image_files_are_mounted_once_and_go_with_their_file() {
    with(
        |_| {},
        |f| async move {
            let tree = folder_of(&f.config).join("tree");
            std::fs::create_dir_all(tree.join("app")).unwrap();
            std::fs::write(tree.join("app/hello"), "from the slug").unwrap();
            let digest = LayerDigest::of_sha256([2; 32]);
            let file = file_of(&f, &digest);
            let made = std::process::Command::new("mkfs.erofs")
                .args(["--quiet", "--force-uid=1000", "--force-gid=1000"])
                .args([&file, &tree])
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            for round in 0..2 {
                let mut spec = f.spec("cat hello; stat -c ' %u' hello; echo changed > hello; cat hello");
                spec.layers.insert(0, Layer::Stored(digest.clone()));
                let (exit, text) = f.run(spec).await;
                assert_eq!(
                    (exit.status, text.as_str()),
                    (0, "from the slug 1000\nchanged\n"),
                    "round {round}"
                );
                assert_eq!(image_mounts(&folder_of(&f.config)), 1, "one mount, kept for the next container");
            }
            std::fs::remove_file(&file).unwrap();
            f.sh("true").await;
            assert_eq!(image_mounts(&folder_of(&f.config)), 0, "an unlinked file is let go");
        },
    );
}

fn image_mounts(data_dir: &std::path::Path) -> usize {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let folder = data_dir.join("run/images");
    mounts.lines().filter(|line| line.contains(folder.to_str().unwrap())).count()
}

#[test]
fn an_unpacked_folder_serves_as_an_image() {
    with(
        |_| {},
        |f| async move {
            let digest = LayerDigest::of_sha256([3; 32]);
            let tree = file_of(&f, &digest).join("app");
            std::fs::create_dir_all(&tree).unwrap();
            std::fs::write(tree.join("hello"), "from the folder").unwrap();
            let mut spec = f.spec("cat hello");
            spec.layers.insert(0, Layer::Stored(digest));
            assert_eq!(f.run(spec).await.1, "from the folder\n");
        },
    );
}
