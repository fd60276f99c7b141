//! Who the program of an image runs as, and whose the image's files are.

use crate::support::layers::{Tree, tools};
use crate::support::{Fixture, PATIENCE, folder_of, stack, with};
use bytes::Bytes;
use paddock_core::ContainerId;
use paddock_core::image_users::BYTES_MAX;
use paddock_runtime::{Attached, ContainerSpec, ExecSpec, Input, Layer, Runtime, Stdio};
use rustix::fs::FileType;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:101:102::/srv/www:/bin/false\n";
const GROUP: &str = "root:x:0:\nwww:x:102:\n";

fn users(tree: &Tree) {
    tree.file("etc/passwd", PASSWD).file("etc/group", GROUP);
}

/// What runs a line as an image's user, without a home that it is told.
fn as_user(f: &Fixture, layers: &[Layer], image_user: &str, script: &str) -> ContainerSpec {
    let mut spec = ContainerSpec { image_user: image_user.to_owned(), ..f.image(layers, script) };
    spec.env.retain(|(name, _)| name != "HOME");
    spec
}

#[test]
fn what_is_roots_in_an_image_is_its_programs() {
    with(
        |_| {},
        |f| async move {
            let own = f.layer(|tree| {
                tree.file("etc/app.conf", "old\n").file("srv/data/db", "one\n").file("srv/gone", "");
                tree.file("srv/moved", "moved\n").file("theirs/file", "theirs\n").file("ours", "");
                tree.folder("theirs", 0o755, 1000).is("theirs/file", 0o644, 1000).is("ours", 0o600, 31_000);
                tree.folder("root", 0o700, 0).link("srv/link", "data/db");
            });
            let layers = [own, f.layer(users), f.layer(tools)];
            let script = "
                id -u; id -g; id -un; id -gn; pwd; echo $HOME
                stat -c '%n %u:%g' / /root /etc /etc/app.conf /srv/link /theirs/file /ours
                echo new >> /etc/app.conf && cat /etc/app.conf
                chmod 600 /srv/data/db && echo two >> /srv/data/db && stat -c '%a %u:%g' /srv/data/db
                rm /srv/gone && mv /srv/moved /srv/data/here && mv /srv/data /srv/renamed && mkdir /srv/new
                ln /etc/app.conf /etc/second && touch /new /root/new && ls /srv /srv/renamed && cat /srv/renamed/*
                for line in 'echo >> /theirs/file' 'rm /theirs/file' 'chmod 666 /theirs/file' 'cat /ours' 'rm /dev/null' \
                            'chown 0 /etc/app.conf' 'chmod 666 /ours'; do
                    sh -c \"$line\" 2>/dev/null && echo \"$line\"
                done
                rm /ours && echo removed";
            let said = f.printed(as_user(&f, &layers, "root", script)).await;
            let expected = [
                "31000 31000 dyno dyno / /root",
                "/ 31000:31000 /root 31000:31000 /etc 31000:31000 /etc/app.conf 31000:31000 /srv/link 31000:31000",
                "/theirs/file 1000:1000 /ours 0:0 old new 600 31000:31000",
                "/srv: link new renamed  /srv/renamed: db here one two moved removed",
            ];
            assert_eq!(said.trim().replace('\n', " "), expected.join(" "));
        },
    );
}

#[test]
fn who_stands_in_for_root_has_no_right_of_roots() {
    with(
        |_| {},
        |f| async move {
            let layers = [f.layer(|tree| {
                tools(tree);
                tree.is("bin/id", 0o4755, 0);
            })];
            let said = f.printed(as_user(&f, &layers, "", "id -u; cat /proc/self/status")).await;
            let none = "0000000000000000";
            let sets =
                ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| format!("{set}:\t{none}\n"));
            let ids = "Uid:\t31000\t31000\t31000\t31000\nGid:\t31000\t31000\t31000\t31000\n".to_owned();
            let rest = ["NoNewPrivs:\t1\n", "Seccomp:\t2\n", "Groups:\t \n"].map(str::to_owned);
            assert!(said.starts_with("31000\n"), "a bit of root's file means nothing: {said}");
            for line in sets.into_iter().chain([ids]).chain(rest) {
                assert!(said.contains(&line), "{line:?} in {said}");
            }
        },
    );
}

#[test]
fn a_user_of_the_images_own_runs_as_itself() {
    with(
        |_| {},
        |f| async move {
            let own = f.layer(|tree| {
                tree.file("roots", "").is("roots", 0o664, 0).file("own", "").is("own", 0o600, 101);
            });
            let layers = [own, f.layer(users), f.layer(tools)];
            let look = "echo $(id -u) $(id -g) $(id -un) $HOME $(pwd) $(stat -c %u:%g /roots) $(stat -c %u /own) $(stat -c %u .)
                        for file in /roots /own; do (echo >> $file) 2>/dev/null && echo $file; done; true";
            for (user, expected) in [
                ("www", "101 102 www /srv/www /work 0:0 101 101 /own"),
                ("101:0", "101 0 www /srv/www /work 0:0 101 101 /roots /own"),
                ("4000", "4000 0 dyno / /work 0:0 101 4000 /roots"),
                ("nobody", "31000 31000 dyno /root /work 31000:31000 101 31000 /roots"),
                ("0", "31000 31000 dyno /root /work 31000:31000 101 31000 /roots"),
            ] {
                let mut spec = as_user(&f, &layers, user, look);
                spec.working_dir = "/work".to_owned();
                assert_eq!(f.printed(spec).await.trim().replace('\n', " "), expected, "{user}");
            }
            // With the names of the host's stack, one of which is taken.
            let look = "echo $(id -u) $(id -un) $HOME; touch /etc/x && echo written";
            let said = f.printed(as_user(&f, &[stack()], "root", look)).await;
            assert_eq!(said, "31000 u31000 /\nwritten\n");
        },
    );
}

/// Lists of users of whoever means harm, and who `www` is by them.
fn odd_lists(f: &Fixture) -> Vec<(String, Layer, &'static str)> {
    let precious = folder_of(&f.config).join("precious");
    std::fs::write(&precious, "www:x:0:0:of the host:/:\n").unwrap();
    let precious = precious.display();
    let long = |length: u64| format!("{PASSWD}{}\n", "x".repeat(usize::try_from(length).unwrap()));
    let texts = [
        (long(BYTES_MAX / 2), "101"),
        (long(BYTES_MAX), "31000"),
        ("www:x:0:0::/r:\n".to_owned(), "31000"),
        ("www:x:4294967296:0::/:\n".to_owned(), "31000"),
        ("\0\u{1}:::\n\n:\n".to_owned(), "31000"),
    ];
    let links = [
        (precious.to_string(), "31000"),
        (format!("../../../..{precious}"), "31000"),
        ("/names".to_owned(), "101"),
        ("/proc/self/environ".to_owned(), "31000"),
    ];
    let kinds = [(FileType::Fifo, 0), (FileType::CharacterDevice, rustix::fs::makedev(1, 5))];
    let mut lists = Vec::new();
    for (number, (text, who)) in texts.into_iter().enumerate() {
        let layer = f.layer(|tree| {
            tree.file("etc/passwd", &text);
        });
        lists.push((format!("text {number}"), layer, who));
    }
    for (target, who) in links {
        let layer = f.layer(|tree| {
            tree.file("etc/x", "").file("names", PASSWD).link("etc/passwd", &target);
        });
        lists.push((target, layer, who));
    }
    for (kind, device) in kinds {
        let layer = f.layer(|tree| {
            tree.node("etc/passwd", kind, device);
        });
        lists.push((format!("{kind:?}"), layer, "31000"));
    }
    lists
}

#[test]
fn an_images_list_of_users_does_no_harm() {
    with(
        |_| {},
        |f| async move {
            let tools = f.layer(tools);
            for (name, layer, who) in odd_lists(&f) {
                let layers = [layer, tools.clone()];
                let look = "id -u; test -f /etc/passwd && cat /etc/passwd 2>/dev/null";
                let said = f.printed(as_user(&f, &layers, "www", &format!("{look}; true"))).await;
                assert_eq!(said.lines().next(), Some(who), "{name}");
                assert!(!said.contains("of the host"), "{name}: {said}");
            }
            // Neither of these can be asked what it is.
            let itself = f.layer(|tree| {
                tree.file("etc/x", "").link("etc/passwd", "passwd");
            });
            let folder = f.layer(|tree| {
                tree.file("etc/passwd/x", "");
            });
            for layer in [itself, folder] {
                let layers = [layer, tools.clone()];
                assert_eq!(f.printed(as_user(&f, &layers, "www", "id -u")).await, "31000\n", "{layers:?}");
            }
        },
    );
}

#[test]
fn an_image_without_names_gets_one_for_who_runs() {
    with(
        |_| {},
        |f| async move {
            let bare = [f.layer(tools)];
            let look = "cat /etc/passwd /etc/group; (echo >> /etc/passwd) 2>/dev/null || echo kept";
            let said = f.printed(as_user(&f, &bare, "www", look)).await;
            assert_eq!(said, "dyno:x:31000:31000::/:/bin/sh\ndyno:x:31000:\nkept\n");
            // A home that the environment names is the one in the list as well.
            let mut spec = as_user(&f, &[f.layer(users), f.layer(tools)], "", "echo $HOME; cat /etc/passwd");
            spec.env.push(("HOME".to_owned(), b"/data".to_vec()));
            assert_eq!(f.printed(spec).await, format!("/data\n{PASSWD}dyno:x:31000:31000::/data:/bin/sh\n"));
            // Nothing is added to a list that has who runs.
            let own = f.layer(|tree| {
                tree.file("etc/passwd", "me:x:31000:31000::/me:/bin/sh\n").file("etc/group", "me:x:31000:\n");
            });
            let said = f
                .printed(as_user(&f, &[own, f.layer(tools)], "", "id -un; rm /etc/passwd && echo removed"))
                .await;
            assert_eq!(said, "me\nremoved\n");
        },
    );
}

/// `echo` through the names of the streams, and who is at the other end.
const BY_NAME: &str =
    "echo out > /dev/stdout && echo fd > /proc/self/fd/1 && echo err > /dev/stderr && id -u && echo $HOME";

#[test]
fn standard_streams_can_be_opened_by_their_names() {
    with(
        |_| {},
        |f| async move {
            let layers = [f.layer(users), f.layer(tools)];
            let kinds = [
                (f.spec(BY_NAME), "1000 /app"),
                (as_user(&f, &layers, "root", BY_NAME), "31000 /root"),
                (as_user(&f, &layers, "www", BY_NAME), "101 /srv/www"),
            ];
            for (spec, who) in kinds {
                let mut lines: Vec<_> = f.printed(spec.clone()).await.lines().map(str::to_owned).collect();
                lines.sort();
                let mut expected: Vec<_> = ["out", "fd", "err"].into_iter().chain(who.split(' ')).collect();
                expected.sort_unstable();
                assert_eq!(lines, expected, "{who}");

                let id = ContainerId::from_uuid(uuid::Uuid::now_v7());
                let waits = ["sh", "-c", "cat < /dev/stdin"].map(str::to_owned).to_vec();
                let waiting = ContainerSpec { id, stdio: Stdio::Pipe, command: waits, ..spec.clone() };
                f.runtime.start(waiting).await.unwrap();
                let whole = format!("out\nfd\nerr\n{}\n", who.replace(' ', "\n"));
                for stdio in [Stdio::Pipe, Stdio::Terminal { rows: 24, columns: 80 }] {
                    let command = ["/bin/sh", "-c", BY_NAME].map(str::to_owned).to_vec();
                    let console =
                        ExecSpec { command, env: spec.env.clone(), working_dir: "/".to_owned(), stdio };
                    let attached = f.runtime.exec(id, console).await.unwrap();
                    assert_eq!(all(attached).await.replace('\r', ""), whole, "{stdio:?}");
                }
                let attached = f.runtime.attach(id).await.unwrap();
                attached.input.send(Input::Bytes(Bytes::from_static(b"said"))).await.unwrap();
                attached.input.send(Input::End).await.unwrap();
                assert_eq!(all(attached).await, "said");
                assert_eq!(f.exit(id).await.status, 0);
                f.runtime.remove(id).await.unwrap();
            }
        },
    );
}

async fn all(mut attached: Attached) -> String {
    let mut all = Vec::new();
    let reading = async {
        while let Some(bytes) = attached.output.recv().await {
            all.extend(bytes);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the program ends");
    String::from_utf8(all).unwrap()
}
