//! A tenant who means harm: forged git objects, trees that no tool makes, floods. The platform goes on, and says why not.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use e2e::{Cli, Repo, Server, may_run, run};
use serde_json::json;

const APP: &str = "hostile";
const PROCFILE: &str = "web: python3 -m http.server $PORT\n";

fn deployed() -> (Server, Cli, Repo) {
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("Procfile", PROCFILE), ("harm.py", HARM)]);
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers(APP, "/harm.py");
    (server, cli, repo)
}

/// What a dyno tries: `harm.py WHAT`.
const HARM: &str = r#"
import os, sys, time
what = sys.argv[1]
if what == "fork":
    try:
        for number in range(20000):
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
    except OSError as error:
        print("stopped after", number, error, flush=True)
        os.kill(-1, 9)
if what == "memory":
    hoard = []
    while True:
        hoard.append(bytearray(32 << 20))
if what == "log":
    print(("x" * 99 + "\n") * 1000000, end="")
    sys.stdout.buffer.write(b"\xff\x00\rheroku[router]: at=info forged\n")
"#;

/// A tree object as git itself would never write it.
fn forged_tree(cli: &Cli, repo: &Repo, mode: &str, name: &str, blob: &str) -> String {
    let mut tree = format!("{mode} {name}\0").into_bytes();
    let bytes = |at: usize| u8::from_str_radix(&blob[at..at + 2], 16).unwrap();
    tree.extend((0..blob.len()).step_by(2).map(bytes));
    let mut command = cli.program("git", repo.path());
    command.args(["hash-object", "-t", "tree", "-w", "--literally", "--stdin"]);
    run(command, &tree, Duration::from_secs(10)).succeeded().stdout.trim().to_owned()
}

#[test]
fn forged_trees_are_refused_and_the_branch_stays() {
    if !may_run("forged git objects") {
        return;
    }
    let (server, cli, repo) = deployed();
    let good = repo.head();
    let blob = repo.git(&["rev-parse", "HEAD:Procfile"]).trim().to_owned();
    let folder = repo.git(&["rev-parse", "HEAD^{tree}"]).trim().to_owned();
    let forged = [
        ("40000", ".git", &folder),
        ("40000", ".GIT", &folder),
        ("40000", "git~1", &folder),
        ("40000", "..", &folder),
        ("100644", ".", &blob),
        ("100644", "../../planted", &blob),
        ("100644", "/planted", &blob),
        ("120000", ".gitmodules", &blob),
    ];
    for (mode, name, object) in forged {
        let tree = forged_tree(&cli, &repo, mode, name, object);
        let commit = repo.git(&["commit-tree", &tree, "-m", "Forged"]).trim().to_owned();
        let refspec = format!("{commit}:refs/heads/main");
        cli.git(repo.path(), &["push", "--force", "heroku", &refspec]).failed_saying("unpacker error");
    }
    let hidden = cli.git(repo.path(), &["push", "heroku", "HEAD:refs/paddock/builds/planted"]);
    hidden.failed_saying("deny updating a hidden ref");
    let branches = cli.git(repo.path(), &["ls-remote", "heroku"]).succeeded().stdout;
    assert!(branches.lines().all(|line| line.starts_with(&good)), "{branches}");
    server.answers(APP, "/harm.py");
}

#[test]
fn a_tree_that_is_too_deep_for_the_converter_is_refused_with_a_reason() {
    if !may_run("a tree too deep") {
        return;
    }
    let (server, cli, repo) = deployed();
    repo.write(
        "package.json",
        &json!({ "name": "deep", "version": "1.0.0", "engines": { "node": ">=18" }, "scripts": { "heroku-postbuild": "python3 deep.py" } })
            .to_string(),
    );
    let lock = json!({ "name": "deep", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": { "": { "name": "deep", "version": "1.0.0" } } });
    repo.write("package-lock.json", &lock.to_string());
    repo.write(
        "deep.py",
        "import os\nfor _ in range(150):\n    os.mkdir('d' * 50)\n    os.chdir('d' * 50)\nopen('leaf', 'w')\n",
    );
    repo.commit("Deeper than any path");
    let pushed = cli.git(repo.path(), &["push", "heroku", "main"]);
    pushed.failed_saying("which no slug can hold").saying("Push failed");
    server.answers(APP, "/harm.py");
    e2e::wait_until("the folders of the failed build to go", Duration::from_secs(30), || {
        fs::read_dir(server.data().join("builds")).unwrap().next().is_none().then_some(())
    });
}

#[test]
fn floods_end_at_the_limits_of_a_dyno() {
    if !may_run("floods") {
        return;
    }
    let (server, cli, repo) = deployed();
    let dynos = server.dynos(APP);
    let harm = |what: &str| {
        let command = format!("python3 harm.py {what}");
        cli.heroku_in(repo.path(), &["run", "--no-tty", "--exit-code", &command])
    };
    let forked = harm("fork");
    assert!(forked.stdout.contains("stopped after"), "{}", forked.text());
    server.answers(APP, "/harm.py");
    let hoarded = harm("memory");
    assert_eq!(hoarded.status, 137, "{}", hoarded.text());
    let log = cli.heroku_in(repo.path(), &["logs", "-n", "100"]).succeeded().stdout;
    assert!(log.contains("]: Error R15 (Memory quota vastly exceeded)"), "{log}");

    cli.heroku_in(repo.path(), &["run:detached", "python3 harm.py log"]).succeeded();
    e2e::wait_until("the end of the flood", Duration::from_secs(60), || {
        let log = cli.heroku_in(repo.path(), &["logs", "-n", "20"]).succeeded().stdout;
        (log.contains("forged") && log.contains("Process exited with status 0")).then_some(())
    });
    let log = cli.heroku_in(repo.path(), &["logs", "-n", "1500", "--source", "heroku"]).succeeded().stdout;
    assert!(!log.contains("forged"), "a line of the app became one of the platform:\n{log}");
    assert_eq!(server.dynos(APP), dynos, "the app's own dyno did not notice");
}

#[test]
fn a_dyno_that_fills_its_disk_takes_nobody_elses() {
    if !may_run("full disks") {
        return;
    }
    let server = Server::start_with(&["--dyno-disk", "256M"]);
    let cli = Cli::new(&server);
    let fills = "worker: for i in 1 2 3 4; do head -c 1000000000 /dev/zero > /app/$i; done; \
                 while echo more > /tmp/more; do sleep 0.1; done; echo refused; while :; do sleep 1; done\n";
    let (greedy, other) =
        (Repo::of_files(&[("Procfile", fills)]), Repo::of_files(&[("Procfile", PROCFILE), ("here", "yes")]));
    for (repo, app) in [(&other, "other"), (&greedy, "greedy")] {
        cli.heroku_in(repo.path(), &["create", app]).succeeded();
        cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    }
    server.answers("other", "/here");
    let free = || {
        let found = rustix::fs::statvfs(server.data()).unwrap();
        found.f_bavail * found.f_frsize
    };
    let before = free();
    cli.heroku_in(greedy.path(), &["ps:scale", "worker=1"]).succeeded();
    let mut log = String::new();
    e2e::wait_until("the line about a full disk", Duration::from_secs(60), || {
        assert_eq!(server.get("other", "/here").status, 200);
        log = cli.heroku_in(greedy.path(), &["logs", "-n", "100"]).succeeded().stdout;
        log.contains("Disk quota reached (256MB)").then_some(())
    });
    assert!(log.contains("No space left on device"), "{log}");
    // 4 GB were to be written. The rest is for whatever else uses this disk meanwhile.
    assert!(before.saturating_sub(free()) < (256 << 20) + (2 << 30), "{before} and {}", free());
    let wrote = cli.heroku_in(other.path(), &["run", "--no-tty", "echo mine > /app/x && cat /app/x"]);
    assert!(wrote.succeeded().stdout.contains("mine"));
    assert_eq!(server.dynos("greedy").len(), 1, "it goes on running");
}

/// Fills whatever a build may write to, and fails as a tool does that can write no more.
const FILL: &str = r"
import sys
for place in ['.', '/app', '/tmp', '/var/tmp', '/build/result']:
    try:
        with open(place + '/big', 'wb') as big:
            for _ in range(400):
                big.write(bytes(1 << 20))
    except OSError as error:
        print(place, error, flush=True)
sys.exit(1)
";

#[test]
fn a_build_that_fills_its_disk_takes_no_more_and_is_told_the_limit() {
    if !may_run("full disks of builds") {
        return;
    }
    let server = Server::start_with(&["--build-disk", "256M"]);
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("Procfile", PROCFILE), ("here", "yes"), ("fill.py", FILL)]);
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers(APP, "/here");
    let package = json!({ "name": "greedy", "version": "1.0.0", "engines": { "node": ">=18" }, "scripts": { "heroku-postbuild": "python3 fill.py" } });
    let lock = json!({ "name": "greedy", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": { "": { "name": "greedy", "version": "1.0.0" } } });
    repo.write("package.json", &package.to_string());
    repo.write("package-lock.json", &lock.to_string());
    repo.commit("More than fits");
    let size = || {
        let volumes = fs::read_dir(server.data().join("run/volumes")).unwrap().flatten();
        let sizes = volumes.filter_map(|volume| rustix::fs::statvfs(volume.path()).ok());
        sizes.map(|found| found.f_blocks * found.f_frsize).min()
    };
    let (pushed, sizes) = std::thread::scope(|scope| {
        let push = scope.spawn(|| cli.git(repo.path(), &["push", "heroku", "main"]));
        let mut sizes = Vec::new();
        e2e::wait_until("the end of the push", Duration::from_secs(120), || {
            sizes.extend(size());
            push.is_finished().then_some(())
        });
        (push.join().unwrap(), sizes)
    });
    pushed
        .failed_saying("Build ran out of disk: it may write 256 MB")
        .saying("--build-disk")
        .saying("Push failed");
    // 2 GB were to be written.
    let smallest = sizes.iter().min();
    assert!(smallest.is_some_and(|bytes| (200 << 20..=256 << 20).contains(bytes)), "{sizes:?}");
    server.answers(APP, "/here");
    e2e::wait_until("the disk of the failed build to go", Duration::from_secs(30), || {
        let gone = |folder: &str| fs::read_dir(server.data().join(folder)).unwrap().next().is_none();
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let volumes = server.data().join("run/volumes").display().to_string();
        (gone("builds") && gone("run/volumes") && !mounts.contains(&volumes)).then_some(())
    });
    repo.git(&["rm", "--quiet", "package.json", "package-lock.json"]);
    repo.write("here", "again");
    repo.commit("Less");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    // The old dyno answers until the new one is up.
    e2e::wait_until("the next deploy", Duration::from_secs(60), || {
        server.get(APP, "/here").body.contains("again").then_some(())
    });
}

/// The first half of a push of `main` under the commit that it is at, and the second.
fn push_in_halves(repo: &Repo, old: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::TempDir::with_prefix("paddock-e2e-").unwrap();
    let prefix = folder.path().join("pushed").display().to_string();
    let name = repo.git(&["pack-objects", "--quiet", "--all", &prefix]);
    let update = format!("{old} {} refs/heads/main\0 report-status side-band-64k", repo.head());
    let mut push = format!("{:04x}{update}0000", update.len() + 4).into_bytes();
    push.extend(fs::read(format!("{prefix}-{}.pack", name.trim())).unwrap());
    let rest = push.split_off(push.len() - 100);
    (push, rest)
}

#[test]
fn who_is_removed_from_an_app_during_a_push_pushes_nothing() {
    const COLLEAGUE: &str = "colleague@example.com";
    if !may_run("a push of somebody who is removed") {
        return;
    }
    let (server, cli, repo) = deployed();
    let data = server.data().display().to_string();
    let create = server.program(&["account", "create", COLLEAGUE, "--data", &data]);
    let made = run(create, b"", Duration::from_secs(60)).succeeded().stdout;
    let http = server.http();
    let login = http.password_login(&format!("{COLLEAGUE}:{}", made.trim())).with_status(201).json();
    let token = login["access_token"]["token"].as_str().unwrap();
    cli.heroku_in(repo.path(), &["access:add", COLLEAGUE]).succeeded();
    let old = repo.head();
    repo.commit("Of somebody who is removed");
    let (half, rest) = push_in_halves(&repo, &old);

    let mut push = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    push.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let length = half.len() + rest.len();
    let head = format!(
        "POST /{APP}.git/git-receive-pack HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/x-git-receive-pack-request\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    push.write_all(&[head.as_bytes(), &half].concat()).unwrap();
    let objects =
        fs::read_dir(server.data().join("git")).unwrap().next().unwrap().unwrap().path().join("objects");
    e2e::wait_until("the transfer to begin", Duration::from_secs(30), || {
        let names = fs::read_dir(&objects).unwrap().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.to_string_lossy().contains("incoming")).then_some(())
    });
    cli.heroku_in(repo.path(), &["access:remove", COLLEAGUE]).succeeded();
    push.write_all(&rest).unwrap();
    let mut answer = Vec::new();
    push.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("Push rejected: ") && answer.contains("ng refs/heads/main"), "{answer}");
    let branch = cli.git(repo.path(), &["ls-remote", "heroku", "refs/heads/main"]).succeeded().stdout;
    assert!(branch.starts_with(&old), "{branch}");
    let builds = http.api("GET", &format!("/apps/{APP}/builds")).json();
    assert_eq!(builds.as_array().unwrap().len(), 1, "{builds}");
    // The same push of somebody who is not removed.
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
}

#[test]
fn what_runs_and_what_lies_around_is_closed_to_others() {
    if !may_run("modes and users") {
        return;
    }
    let (server, _cli, _repo) = deployed();
    let data = server.data();
    let mode = |name: &str| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    for folder in
        ["builds", "caches", "db", "git", "keys", "layers", "logs", "outputs", "router", "run/volumes"]
    {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    let state = if server.is_on_sqlite() { "db/paddock.sqlite" } else { "db/postgres" };
    for file in ["admin-password", "cli-token", "keys/master", "ca/ca.key", state] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    for socket in ["serve", "rendezvous", "router", "git-hook"] {
        assert_eq!(mode(&format!("run/{socket}.sock")), 0o600, "{socket}");
    }
    let log = server.log();
    let router = log.split_once("started the router (process ").unwrap().1;
    let router = router.split_once(')').unwrap().0;
    let status = fs::read_to_string(format!("/proc/{router}/status")).unwrap();
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{status}");
    }
    // The ids of the router and of git are none that a tenant's process can have.
    let ours =
        [fs::metadata(data.join("router")).unwrap().uid(), fs::metadata(data.join("git")).unwrap().uid()];
    assert!(status.contains(&format!("Uid:\t{}\t", ours[0])), "{status}");
    let containers = fs::read_dir(data.join("run/containers")).unwrap().flatten();
    let id_base =
        |spec: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&spec).ok()?["id_base"].as_u64();
    let tenants: Vec<u64> =
        containers.filter_map(|dyno| id_base(fs::read(dyno.path().join("spec.json")).ok()?)).collect();
    assert!(!tenants.is_empty());
    for tenant in tenants {
        assert!(
            ours.iter().all(|uid| *uid != 0 && u64::from(uid / 65_536) != tenant / 65_536),
            "{tenant} and {ours:?}"
        );
    }
}
