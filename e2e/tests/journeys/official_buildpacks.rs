//! What a buildpack's name means: archives that the operator imported, archives at an address, and what a push says of them.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::{Cli, Outcome, Repo, Root, Server, may_run, run};
use serde_json::{Value, json};

const APP: &str = "official";

/// Serves the files of a folder; `/loop` leads to itself, and each request is a line of `asked`.
const ARCHIVES: &str = r#"
import http.server, os, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        open("asked", "a").write(self.path + "\n")
        if self.path.startswith("/loop"):
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
        else:
            super().do_GET()
    def log_message(self, *words): pass
os.chdir(sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

struct Journey {
    server: Server,
    cli: Cli,
    repo: Repo,
    folder: tempfile::TempDir,
    program: Child,
    port: String,
}

impl Drop for Journey {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn a_name_means_herokus_archive_on_herokus_stacks_and_ours_elsewhere() {
    if !may_run("official buildpacks") {
        return;
    }
    let journey = Journey::start();
    journey.repo.git(&["rm", "--quiet", "Procfile", "requirements.txt"]);
    journey.repo.write("index.html", "ours\n");
    journey.app_on("heroku-24");
    journey
        .push_with("heroku-community/static", "one")
        .succeeded()
        .saying("heroku-community/static is the one that is built into this server");
    let first = journey.archive("first", "First");
    journey
        .import("heroku-community/static", &first)
        .succeeded()
        .saying("heroku-community/static is now version 1, sha256:");
    journey
        .import("heroku-community/static", &first)
        .succeeded()
        .saying("heroku-community/static is already version 1");
    let pushed = journey.push("two").succeeded().text();
    assert!(pushed.contains("-----> First app detected"), "{pushed}");
    assert!(pushed.contains("STACK is heroku-24"), "{pushed}");
    let change =
        "heroku-community/static is no longer the one that is built into this server but the archive sha256:";
    assert!(pushed.contains(change), "{pushed}");
    let ran = journey.newest_build()["buildpacks"][0].clone();
    assert_eq!(ran["name"], "heroku-community/static");
    assert!(ran["url"].as_str().unwrap().contains("#sha256:"), "{ran}");
    // Nothing is new, and nothing is said of a change.
    assert!(!journey.push("three").succeeded().text().contains("no longer"));
    let second = journey.archive("second", "Second");
    journey.import("heroku-community/static", &second).succeeded().saying("is now version 2");
    let pushed = journey.push("four").succeeded().text();
    assert!(pushed.contains("is no longer the archive sha256:") && pushed.contains("Second app"), "{pushed}");
    // The same name on the machine's own stack.
    journey.cli.heroku_in(journey.repo.path(), &["stack:set", "host"]).succeeded();
    let pushed = journey.push("five").succeeded().text();
    assert!(pushed.contains("but the one that is built into this server"), "{pushed}");
    assert!(pushed.contains("-----> Static HTML app detected"), "{pushed}");
    journey.import("python", &first).failed_saying("is no name of a buildpack");
    journey.the_client_finds_what_was_imported(&first);
}

#[test]
fn an_archive_is_pinned_and_serves_when_its_address_does_not() {
    if !may_run("pinned buildpacks") {
        return;
    }
    let mut journey = Journey::start();
    journey.app_on("host");
    let archive = journey.archive("pack", "First");
    let url = journey.url("pack.tgz");
    journey.push_with(&url, "one").succeeded().saying("-----> First app detected");
    let asked = || std::fs::read_to_string(journey.folder.path().join("asked")).unwrap().lines().count();
    assert_eq!(asked(), 1);
    std::fs::remove_file(&archive).unwrap();
    let pushed = journey.push("two").succeeded().text();
    assert!(pushed.contains(&format!("{url} could not be fetched")), "{pushed}");
    assert!(pushed.contains("Using what was there before, the archive sha256:"), "{pushed}");
    journey.archive("pack", "Second");
    let pushed = journey.push("three").succeeded().text();
    assert!(pushed.contains("is no longer the archive sha256:") && pushed.contains("Second app"), "{pushed}");
    // A pin whose file is gone or has other bytes serves nobody.
    for entry in std::fs::read_dir(journey.server.data().join("buildpacks")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "other bytes").unwrap();
    }
    std::fs::remove_file(&archive).unwrap();
    journey.server.announce("has other bytes by now, and is removed");
    journey.push("four").failed_saying("Failed to fetch buildpack").saying("answered with status 404");
}

#[test]
fn hostile_archives_and_addresses_end_with_their_reason() {
    if !may_run("hostile buildpacks") {
        return;
    }
    let journey = Journey::start();
    journey.app_on("host");
    let make = r#"
import io, os, sys, tarfile
def pack(name, fill):
    with tarfile.open(os.path.join(sys.argv[1], name), "w:gz", compresslevel=1) as archive: fill(archive)
def entry(archive, name, **fields):
    info = tarfile.TarInfo(name)
    for key, value in fields.items(): setattr(info, key, value)
    archive.addfile(info, io.BytesIO(b"\0" * info.size))
pack("up.tgz", lambda a: entry(a, "bin/../../x"))
pack("root.tgz", lambda a: entry(a, "/etc/x"))
pack("many.tgz", lambda a: [entry(a, "f%d" % n) for n in range(60000)])
pack("bomb.tgz", lambda a: entry(a, "zeros", size=600 << 20))
def link(a):
    entry(a, "bin", type=tarfile.SYMTYPE, linkname="/tmp")
    entry(a, "bin/detect")
pack("link.tgz", link)
open(os.path.join(sys.argv[1], "text.tgz"), "w").write("no archive")
"#;
    let mut python = Command::new("python3");
    python.args(["-c", make]).arg(journey.folder.path());
    run(python, b"", Duration::from_secs(60)).succeeded();
    for (name, why) in [
        ("up.tgz", "no archive of a buildpack"),
        ("root.tgz", "no archive of a buildpack"),
        ("link.tgz", "no archive of a buildpack"),
        ("many.tgz", "more than 50000 entries"),
        ("bomb.tgz", "bytes when unpacked"),
        ("text.tgz", "no archive of a buildpack"),
        ("loop.tgz", "it may be a loop"),
        ("nothing.tgz", "answered with status 404"),
    ] {
        journey.push_with(&journey.url(name), name).failed_saying("Failed to fetch buildpack").saying(why);
    }
    let private = "https://169.254.169.254/x.tgz";
    journey.push_with(private, "private").failed_saying("which this platform does not fetch from");
    for (reference, why) in [
        ("ssh://git@example.com/x", "only https:// URLs are supported"),
        ("git@example.com:x.git", "only https:// URLs are supported"),
        ("git://example.com/x", "only https:// URLs are supported"),
    ] {
        let updates = json!({ "updates": [{ "buildpack": reference }] });
        let place = format!("/apps/{APP}/buildpack-installations");
        let refused = journey.server.http().api_json("PUT", &place, &updates).with_status(422);
        assert!(refused.body.contains(why), "{}", refused.body);
    }
    let left = std::fs::read_dir(journey.server.data().join("buildpacks")).unwrap().count();
    assert_eq!(left, 0, "nothing is left of what was refused");
}

impl Journey {
    fn start() -> Journey {
        let folder = tempfile::TempDir::new().unwrap();
        let mut command = Command::new("python3");
        let mut program =
            command.args(["-c", ARCHIVES]).arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let server =
            Server::start_with(&["--allow-insecure-buildpack-urls", "--allow-egress", "127.0.0.0/8"]);
        let cli = Cli::new(&server);
        let repo =
            Repo::of_files(&[("Procfile", "web: python3 -m http.server $PORT\n"), ("requirements.txt", "")]);
        Journey { server, cli, repo, folder, program, port: port.trim().to_owned() }
    }

    fn app_on(&self, stack: &str) {
        if stack != "host" {
            let root = Root::with_python();
            root.take_what_stacks_need();
            let data = self.server.data().display().to_string();
            let folder = root.path().display().to_string();
            let add = self.server.program(&["stack", "add", stack, "--folder", &folder, "--data", &data]);
            run(add, b"", Duration::from_secs(120)).succeeded();
        }
        self.cli.heroku_in(self.repo.path(), &["create", APP]).succeeded();
        let stack = json!({ "build_stack": stack });
        self.server.http().api_json("PATCH", &format!("/apps/{APP}"), &stack).with_status(200);
    }

    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// An archive of a buildpack, where it is served from.
    fn archive(&self, name: &str, language: &str) -> PathBuf {
        let detect = format!("#!/bin/sh\necho {language}\n");
        let pack =
            Repo::of_files(&[("bin/detect", &detect), ("bin/compile", "#!/bin/sh\necho STACK is $STACK\n")]);
        let path = self.folder.path().join(format!("{name}.tgz"));
        let mut git = Command::new("git");
        let output = format!("--output={}", path.display());
        git.current_dir(pack.path()).args(["archive", "--format=tar.gz", &output, "HEAD"]);
        run(git, b"", Duration::from_secs(30)).succeeded();
        path
    }

    fn import(&self, name: &str, archive: &std::path::Path) -> Outcome {
        let data = self.server.data().display().to_string();
        let archive = archive.display().to_string();
        let import = self.server.program(&["buildpacks", "import", name, &archive, "--data", &data]);
        run(import, b"", Duration::from_secs(60))
    }

    fn the_client_finds_what_was_imported(&self, archive: &std::path::Path) {
        self.import("acme/words", archive).succeeded().saying("version 1");
        let say = |arguments: &[&str]| self.cli.heroku_in(self.repo.path(), arguments).succeeded().text();
        let found = say(&["buildpacks:search", "words"]);
        assert!(found.contains("acme/words") && found.contains("1 buildpack found"), "{found}");
        let info = say(&["buildpacks:info", "acme/words"]);
        assert!(info.contains("Imported by the operator"), "{info}");
        let versions = say(&["buildpacks:versions", "heroku-community/static"]);
        assert!(versions.contains('2') && versions.contains("published"), "{versions}");
        say(&["buildpacks:set", "acme/words"]);
        self.push("six").succeeded().saying("Using buildpack: acme/words");
    }

    fn push(&self, message: &str) -> Outcome {
        self.repo.write("version", message);
        self.repo.commit(message);
        self.cli.git(self.repo.path(), &["push", "heroku", "main"])
    }

    fn push_with(&self, buildpack: &str, message: &str) -> Outcome {
        let updates = json!({ "updates": [{ "buildpack": buildpack }] });
        let place = format!("/apps/{APP}/buildpack-installations");
        self.server.http().api_json("PUT", &place, &updates).with_status(200);
        self.push(message)
    }

    fn newest_build(&self) -> Value {
        let builds = self.server.http().api("GET", &format!("/apps/{APP}/builds")).with_status(200).json();
        builds.as_array().unwrap().last().unwrap().clone()
    }
}
