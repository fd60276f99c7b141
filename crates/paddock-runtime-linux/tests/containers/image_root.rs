//! The root of an image: what its layers say, whoever made them.

use crate::support::layers::{disk, tools};
use crate::support::{Fixture, PATIENCE, folder_of, stack, with};
use bytes::Bytes;
use paddock_core::ContainerId;
use paddock_runtime::{
    ContainerSpec, ExecSpec, Input, LAYERS_MAX, Layer, LocalVolumes, Mount, MountSource, Root, Runtime,
    RuntimeError, Stdio,
};

fn new_id() -> ContainerId {
    ContainerId::from_uuid(uuid::Uuid::now_v7())
}

#[test]
fn an_images_own_folders_are_as_it_has_them() {
    with(
        |_| {},
        |f| async move {
            let own = f.layer(|tree| {
                tree.folder("/", 0o751, 7)
                    .folder("etc", 0o711, 5)
                    .folder("tmp", 0o755, 12)
                    .folder("app", 0o755, 3);
            });
            let layers = [own, f.layer(tools)];
            let look =
                "stat -c '%n %u:%g %a' / /etc /tmp /app; id -u; touch /tmp/x 2>/dev/null || echo refused";
            let (volume, expected) =
                (f.volume().await, "/ 7:7 751\n/etc 5:5 711\n/tmp 12:12 755\n/app 3:3 755\n");
            let mut spec = f.image(&layers, look);
            spec.disk = disk(volume, "image");
            let said = f.printed(spec).await;
            assert!(said.starts_with(&format!("{expected}31000\n")) && said.ends_with("refused\n"), "{said}");
            let upper = f.runtime.folder_of(volume).join("image/upper");
            assert_eq!(
                std::fs::read_dir(&upper).unwrap().count(),
                0,
                "nothing was written, and nothing is there"
            );

            // Where it has none: everybody's /tmp, and what is root's is the user's.
            let look = "stat -c '%n %u:%g %a' / /etc /tmp /dev/shm; touch /tmp/mine; ls -A /etc /tmp";
            let bare = f.image(&[f.layer(tools)], look);
            let mut whole = vec!["/ 31000:31000 755", "/etc 31000:31000 755", "/tmp 31000:31000 1777"];
            whole.extend(["/dev/shm 0:0 1777", "/etc:", "group", "hostname", "hosts", "passwd"]);
            whole.extend(["resolv.conf", "", "/tmp:", "mine"]);
            assert_eq!(f.printed(bare).await.lines().collect::<Vec<_>>(), whole);
        },
    );
}

/// Everything that could lead out is a link to this folder of the host, or a file, or was taken away by a layer above.
#[test]
fn what_an_image_has_in_place_of_mount_points_leads_nowhere() {
    with(
        |_| {},
        |f| async move {
            let precious = folder_of(&f.config).join("precious");
            std::fs::create_dir(&precious).unwrap();
            let names = ["dev", "proc", "sys", "etc", "tmp"];
            let tools = f.layer(tools);
            let links = f.layer(|tree| {
                names.iter().for_each(|name| {
                    tree.link(name, &precious);
                });
            });
            let files = f.layer(|tree| {
                names.iter().for_each(|name| {
                    tree.file(name, "a file");
                });
            });
            let gone = f.layer(|tree| {
                names.iter().for_each(|name| {
                    tree.whiteout(name);
                });
            });
            let look = "cat /etc/hostname && touch /tmp/here && echo x > /dev/null && ls -d /proc/1 /sys/class /dev/shm";
            for root in [Root::Image, Root::Build] {
                for odd in [vec![&links], vec![&files], vec![&gone], vec![&gone, &links]] {
                    let layers: Vec<_> = odd.into_iter().chain([&tools]).cloned().collect();
                    let spec = ContainerSpec { root, ..f.image(&layers, look) };
                    assert_eq!(f.printed(spec).await, "web-1\n/dev/shm\n/proc/1\n/sys/class\n", "{layers:?}");
                }
                // Where the host's /usr goes, and where what is mounted goes.
                let own = f.layer(|tree| {
                    tree.link("usr", &precious).link("root-again", "/").link("out", &precious);
                });
                let mounted = |target: &str| {
                    let source = MountSource::Text("mounted".to_owned());
                    let mounts = vec![Mount { target: target.to_owned(), source }];
                    let spec = f.image(&[own.clone(), stack()], "ls -d /usr/bin; cat /below/text");
                    ContainerSpec { root, mounts, ..spec }
                };
                assert_eq!(f.printed(mounted("/below/text")).await, "/usr/bin\nmounted\n");
                for target in ["/root-again", "/out", "/out/text"] {
                    let refused = f.runtime.start(mounted(target)).await;
                    assert!(matches!(refused, Err(RuntimeError::Host { .. })), "{target}: {refused:?}");
                }
            }
            assert_eq!(std::fs::read_dir(&precious).unwrap().count(), 0, "the host's folder is untouched");
        },
    );
}

#[test]
fn the_containers_names_hide_an_images_and_cannot_be_written() {
    with(
        |_| {},
        |f| async move {
            let precious = folder_of(&f.config).join("precious");
            std::fs::write(&precious, "the host's").unwrap();
            let tools = f.layer(tools);
            let own = f.layer(|tree| {
                tree.file("victim", "the image's\n").is("victim", 0o666, 1000).folder("etc", 0o755, 0);
                tree.link("etc/hosts", "../victim").link("etc/resolv.conf", &precious);
                tree.file("etc/hostname", "theirs\n").is("etc/hostname", 0o666, 1000);
            });
            let script = "cat /etc/hostname /etc/hosts; for name in hostname hosts resolv.conf; do
                          (echo mine > /etc/$name) 2>/dev/null || echo refused; rm /etc/$name 2>/dev/null || echo kept; done
                          cat /victim; touch /etc/new && ls /etc";
            let said = f.printed(f.image(&[own.clone(), tools.clone()], script)).await;
            let hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
            let tries = "refused\nkept\n".repeat(3);
            assert_eq!(
                said,
                format!(
                    "web-1\n{hosts}{tries}the image's\ngroup\nhostname\nhosts\nnew\npasswd\nresolv.conf\n"
                )
            );
            assert_eq!(std::fs::read_to_string(&precious).unwrap(), "the host's");

            // A folder in the place of a file stays what it is, and one that went away does not.
            let odd = f.layer(|tree| {
                tree.file("etc/hosts/inner", "").whiteout("etc/hostname");
            });
            let said = f.printed(f.image(&[odd, own, tools], "ls /etc/hosts; cat /etc/hostname")).await;
            assert_eq!(said, "inner\nweb-1\n");
        },
    );
}

#[test]
fn a_missing_working_folder_is_made_and_is_the_users() {
    with(
        |_| {},
        |f| async move {
            let own = f.layer(|tree| {
                tree.folder("there", 0o755, 9)
                    .file("file", "")
                    .link("link", "/there")
                    .link("lost", "/nowhere");
            });
            let layers = [own, f.layer(tools)];
            let inside = |folder: &str| {
                let mut spec = f.image(&layers, "pwd; stat -c %u:%g:%a .. .");
                folder.clone_into(&mut spec.working_dir);
                spec
            };
            for (folder, expected) in [
                ("/srv/one/two", "/srv/one/two\n31000:31000:755\n31000:31000:755\n"),
                ("/there", "/there\n31000:31000:755\n9:9:755\n"),
                ("/link", "/there\n31000:31000:755\n9:9:755\n"),
                ("/link/new", "/there/new\n9:9:755\n31000:31000:755\n"),
                ("/proc/self/task", "/proc/2/task\n"),
            ] {
                let said = f.printed(inside(folder)).await;
                let said = said.split_inclusive('\n').take(expected.lines().count()).collect::<String>();
                assert_eq!(said.replace("/proc/3/", "/proc/2/"), expected, "{folder}");
            }
            for folder in ["/file", "/file/below", "/lost/below"] {
                match f.runtime.start(inside(folder)).await {
                    Err(RuntimeError::Program { reason, .. }) => assert!(reason.contains(folder), "{reason}"),
                    other => panic!("{folder}: {other:?}"),
                }
            }
        },
    );
}

/// One program and its libraries are a whole image.
#[test]
fn an_image_needs_no_shell() {
    with(
        |_| {},
        |f| async move {
            let layer = f.layer(|tree| {
                tree.programs(&["/bin/cat"]).file("script", "#!/no/such/shell\n").is("script", 0o755, 0);
                tree.file("no-program", "hello").is("no-program", 0o755, 0);
            });
            let starting = |words: &[&str]| {
                let command = words.iter().map(|word| (*word).to_owned()).collect();
                ContainerSpec { command, ..f.image(std::slice::from_ref(&layer), "") }
            };
            for (program, because) in [
                ("/bin/sh", "/bin/sh: command not found: the image has no shell"),
                ("sh", "sh: command not found"),
                ("/script", "its first line names \"/no/such/shell\", which is not there"),
                ("/no-program", "exec format error: it is no program"),
            ] {
                match f.runtime.start(starting(&[program])).await {
                    Err(RuntimeError::Program { program: named, reason }) => {
                        assert!(named == program && reason.contains(because), "{named}: {reason}");
                    }
                    other => panic!("{program}: {other:?}"),
                }
            }
            let mut spec = starting(&["cat"]);
            spec.stdio = Stdio::Pipe;
            let id = spec.id;
            f.runtime.start(spec).await.unwrap();
            let mut attached = f.runtime.attach(id).await.unwrap();
            attached.input.send(Input::Bytes(Bytes::from_static(b"echo"))).await.unwrap();
            assert_eq!(attached.output.recv().await.unwrap(), "echo");
            assert_eq!(exec(&f, id, "/bin/cat", "/etc/hostname").await.unwrap(), "web-1\n");
            let missing = exec(&f, id, "/bin/sh", "/etc/hostname").await;
            assert!(
                matches!(&missing, Err(RuntimeError::Program { program, .. }) if program == "/bin/sh"),
                "{missing:?}"
            );
            attached.input.send(Input::End).await.unwrap();
            assert_eq!(f.exit(id).await.status, 0);
            f.runtime.remove(id).await.unwrap();
        },
    );
}

async fn exec(f: &Fixture, id: ContainerId, program: &str, argument: &str) -> Result<String, RuntimeError> {
    let command = [program, argument].map(str::to_owned).to_vec();
    let spec = ExecSpec { command, env: vec![], working_dir: "/".to_owned(), stdio: Stdio::Pipe };
    let mut attached = f.runtime.exec(id, spec).await?;
    let mut all = Vec::new();
    let reading = async {
        while let Some(bytes) = attached.output.recv().await {
            all.extend(bytes);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the program ends");
    Ok(String::from_utf8(all).unwrap())
}

#[test]
fn what_a_layer_takes_away_is_gone() {
    with(
        |_| {},
        |f| async move {
            let lowest = f.layer(|tree| {
                tree.file("data/a/one", "1")
                    .file("data/a/two", "2")
                    .file("data/b/old", "3")
                    .file("data/c", "4");
            });
            let middle = f.layer(|tree| {
                tree.whiteout("data/a/one").opaque("data/b").file("data/b/new", "5").whiteout("data/c");
            });
            let upper = f.layer(|tree| {
                tree.file("data/b/newer", "6").file("data/c/now-a-folder", "7");
            });
            let tools = f.layer(tools);
            let below = ["/data/a/two", "/data/b/new", "/data/b/newer", "/data/c/now-a-folder"];
            let layers = [upper.clone(), middle.clone(), lowest.clone(), tools.clone()];
            // A layer whose root is opaque is the lowest that is seen: the kernel by itself does not heed it there.
            let all_new = f.layer(|tree| {
                tree.opaque("/").file("data/only", "8");
                crate::support::layers::tools(tree);
            });
            let fresh = [all_new, middle, lowest, tools];
            for root in [Root::Image, Root::Build] {
                let run = async |layers: &[Layer]| {
                    let spec = f.image(layers, "find /data -type f | while read name; do echo $name; done");
                    let said = f.printed(ContainerSpec { root, ..spec }).await;
                    let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
                    lines.sort();
                    lines
                };
                assert_eq!(run(&layers).await, below, "{root:?}");
                assert_eq!(run(&fresh).await, ["/data/only"], "{root:?}");
            }
        },
    );
}

/// For whoever stays on one device, as `tar --one-file-system` does: what was written lies there, too.
#[test]
fn files_of_all_layers_are_on_one_device() {
    with(
        |_| {},
        |f| async move {
            let layers = [
                f.layer(|tree| {
                    tree.file("one/file", "");
                }),
                f.layer(|tree| {
                    tree.file("two/file", "").is("two/file", 0o666, 0);
                }),
                f.layer(tools),
            ];
            let look = "cd /tmp; echo > written; echo > /two/file; stat -c %d / /one /one/file /two/file /bin/sh written";
            for root in [Root::Image, Root::Build] {
                let spec = ContainerSpec { root, ..f.image(&layers, look) };
                let said = f.printed(spec).await;
                let devices: std::collections::BTreeSet<_> = said.lines().collect();
                assert_eq!((devices.len(), said.lines().count()), (1, 6), "{root:?} {said}");
            }
        },
    );
}

#[test]
fn an_image_has_up_to_so_many_layers() {
    with(
        |_| {},
        |f| async move {
            let mut layers: Vec<_> = (1..LAYERS_MAX)
                .map(|number| {
                    f.layer(|tree| {
                        tree.file(&format!("n/{number}"), "");
                    })
                })
                .collect();
            layers.push(stack());
            for root in [Root::Image, Root::Build] {
                let spec = ContainerSpec { root, ..f.image(&layers, "ls /n | wc -l") };
                assert_eq!(f.printed(spec).await.trim(), (LAYERS_MAX - 1).to_string());
            }
            layers.push(stack());
            let spec = ContainerSpec { id: new_id(), ..f.image(&layers, "true") };
            let refused = f.runtime.start(spec).await;
            let Err(RuntimeError::Host { source, .. }) = refused else { panic!("{refused:?}") };
            assert_eq!(source.to_string(), "there are 126 layers, and a container has 125 at most");
        },
    );
}
