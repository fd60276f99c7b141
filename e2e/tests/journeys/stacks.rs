//! A stack of the operator's own: added from a folder, chosen by the official CLI, built and run on, rolled back from,
//! deprecated and removed.
//!
//! What commands say is compared with `transcripts/stacks.txt`; what an app runs on is asked of the app.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use e2e::{Cli, ImageClients, Outcome, Repo, Root, Server, Transcript, may_run, run};
use serde_json::{Value, json};
use tempfile::TempDir;

const APP: &str = "layered";

/// Says what it finds around it.
const SERVE: &str = r#"
import http.server, json, os, pwd

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        about = {
            "system": open("/etc/os-release").read().splitlines()[0],
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "built_on": open("built-on").read().strip() if os.path.exists("built-on") else None,
        }
        body = json.dumps(about).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("", int(os.environ["PORT"])), Page).serve_forever()
"#;

/// Notes what the build ran on.
const COMPILE: &str = "#!/bin/bash\nread -r line < /etc/os-release\necho \"$line\" > \"$1/built-on\"\n";

struct Journey {
    server: Server,
    cli: Cli,
    repo: Repo,
    transcript: Transcript,
    root: Root,
}

#[test]
fn an_app_is_built_and_run_on_a_stack_of_the_operators_own() {
    if !may_run("stacks") {
        return;
    }
    let toy = Repo::of_files(&[("bin/detect", "#!/bin/sh\necho Toy\n"), ("bin/compile", COMPILE)]);
    // Builds read it as users of their own.
    std::fs::set_permissions(toy.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let folder = toy.path().display().to_string();
    let server = Server::start_with(&["--allow-insecure-buildpack-urls", "--buildpack-folder", &folder]);
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[("Procfile", "web: python3 serve.py\n"), ("serve.py", SERVE)]);
    let transcript = Transcript::begin("stacks", &server, &cli);
    let mut journey = Journey { server, cli, repo, transcript, root: Root::with_python() };
    journey.refuse_what_is_no_stack();
    journey.add();
    journey.choose_and_build(&format!("file://{folder}"));
    journey.roll_back();
    journey.add_a_version();
    journey.add_images();
    journey.restore_elsewhere();
    journey.deprecate_and_remove();
    journey.transcript.finish();
}

impl Journey {
    /// Runs a command of the official CLI, records what it says, and wants it to succeed.
    fn say(&mut self, arguments: &[&str]) -> String {
        let outcome = self.cli.heroku_in(self.repo.path(), arguments);
        self.transcript.say(outcome).succeeded().text()
    }

    fn stack(&self, arguments: &[&str]) -> Outcome {
        let data = self.server.data().display().to_string();
        let command = self.server.program(&[&["stack"], arguments, &["--data", &data]].concat());
        run(command, b"", Duration::from_secs(120))
    }

    fn add_folder(&self, folder: &Path) -> Outcome {
        self.stack(&["add", "mine", "--folder", folder.to_str().unwrap()])
    }

    fn listed(&self, name: &str) -> Value {
        let list: Value = serde_json::from_str(&self.stack(&["list", "--json"]).succeeded().stdout).unwrap();
        list.as_array().unwrap().iter().find(|stack| stack["name"] == name).cloned().unwrap_or(Value::Null)
    }

    fn push(&self, message: &str) -> Outcome {
        self.repo.commit(message);
        self.cli.git(self.repo.path(), &["push", "heroku", "main"])
    }

    fn page(&self) -> Value {
        self.server.answers(APP, "/").json()
    }

    /// What the app runs on now, and next.
    fn stacks(&self) -> (String, String) {
        let app = self.server.http().api("GET", &format!("/apps/{APP}")).with_status(200).json();
        let name = |stack: &Value| stack["name"].as_str().unwrap().to_owned();
        (name(&app["stack"]), name(&app["build_stack"]))
    }

    fn refuse_what_is_no_stack(&self) {
        let bare = Root::empty();
        for (folder, why) in [
            (bare.path(), "has no /bin/sh"),
            (Path::new("/"), "is this machine itself"),
            (Path::new("/nowhere"), "cannot be read"),
        ] {
            let _ = self.add_folder(folder).failed_saying(why);
        }
        // As much as dynos need, and not what builds do.
        let _ = self.add_folder(self.root.path()).failed_saying("has no /bin/bash");
        bare.write("bin/bash", "no program");
        bare.write("bin/sh", "no program");
        let _ = self.add_folder(bare.path()).failed_saying("/bin/bash cannot be started");
        assert_eq!(self.listed("mine"), Value::Null);
    }

    fn add(&self) {
        self.root.take_what_stacks_need();
        std::fs::remove_file(self.root.path().join("usr/bin/git")).unwrap();
        let refused = self.add_folder(self.root.path());
        let _ = refused.failed_saying("In the image for builds, this is missing: git.");
        self.root.take_what_stacks_need();
        self.root.write("etc/os-release", "PRETTY_NAME=\"Stack one\"\n");
        let _ = self.add_folder(self.root.path()).succeeded().saying("The stack mine (version");
        let listed = self.listed("mine");
        assert_eq!((&listed["system"], &listed["state"]), (&json!("Stack one"), &json!("public")));
        let _ = self.add_folder(self.root.path()).succeeded().saying("was there already");
        assert_eq!(self.listed("mine")["version"], listed["version"]);
    }

    fn choose_and_build(&mut self, buildpack: &str) {
        let _ = self.cli.heroku_in(self.repo.path(), &["create", APP]).succeeded();
        let _ = self.cli.heroku_in(self.repo.path(), &["buildpacks:set", buildpack]).succeeded();
        let _ = self.push("On the host").succeeded().saying("Building on the Host stack");
        let host = self.page();
        assert_eq!((&host["user"], &host["built_on"]), (&json!("dyno"), &host["system"]));
        self.say(&["apps:stacks"]);
        self.say(&["stack:set", "mine"]);
        assert_eq!(self.stacks(), ("host".to_owned(), "mine".to_owned()));
        self.say(&["apps:stacks"]);
        assert_eq!(self.page()["system"], host["system"], "the release is what it was");
        self.repo.write("first", "");
        let _ = self.push("On mine").succeeded().saying("Building on the Mine stack");
        self.settled("one");
        let page = self.page();
        assert_eq!((&page["built_on"], &page["user"]), (&page["system"], &json!("dyno")));
        assert_eq!(self.stacks(), ("mine".to_owned(), "mine".to_owned()));
        self.say(&["apps:stacks"]);
        let ran = self.cli.heroku_in(self.repo.path(), &["run", "cat /etc/os-release"]);
        let _ = ran.succeeded().saying("Stack one");
        // What people's files name is here under no such name.
        self.say(&["stack:set", "heroku-24"]);
        assert_eq!(self.stacks(), ("mine".to_owned(), "host".to_owned()));
        let log = self.cli.heroku_in(self.repo.path(), &["logs", "--num", "1500"]).succeeded().text();
        assert!(log.contains("Stack heroku-24 is not on this server: builds run on host"), "{log}");
        self.say(&["stack:set", "mine"]);
    }

    fn roll_back(&mut self) {
        let _ = self.cli.heroku_in(self.repo.path(), &["rollback", "v3"]).succeeded();
        self.settled("host");
        assert_eq!(self.stacks(), ("host".to_owned(), "mine".to_owned()));
        let _ = self.cli.heroku_in(self.repo.path(), &["rollback", "v4"]).succeeded();
        self.settled("one");
    }

    /// Waits until the dyno of the newest release answers, and what it says is of this stack.
    fn settled(&self, of: &str) {
        e2e::wait_until(&format!("an answer of {of}"), Duration::from_secs(60), || {
            let answer = self.server.get(APP, "/");
            let is_of = |system: &str| match of {
                "host" => !system.contains("Stack "),
                of => system.contains(&format!("Stack {of}")),
            };
            (answer.status == 200 && is_of(answer.json()["system"].as_str().unwrap_or_default()))
                .then_some(())
        });
    }

    /// Releases stay on the version that they were built for.
    fn add_a_version(&mut self) {
        self.root.write("etc/os-release", "PRETTY_NAME=\"Stack two\"\n");
        let _ = self.add_folder(self.root.path()).succeeded();
        assert_eq!(
            (&self.listed("mine")["system"], &self.listed("mine")["kept_versions"]),
            (&json!("Stack two"), &json!(1))
        );
        let _ = self.cli.heroku_in(self.repo.path(), &["ps:restart"]).succeeded();
        self.settled("one");
        self.repo.write("second", "");
        let _ = self.push("On the second").succeeded();
        self.settled("two");
        let _ = self.cli.heroku_in(self.repo.path(), &["rollback", "v4"]).succeeded();
        self.settled("one");
    }

    /// From an OCI layout, and from the server's own registry.
    fn add_images(&self) {
        let image = self.root.image(&json!({ "Cmd": ["bash"] }));
        let layout = image.layout().display().to_string();
        let _ = self.stack(&["add", "of-layout", "--oci", &layout]).succeeded();
        assert_eq!(self.listed("of-layout")["system"], "Stack two");
        let _ =
            self.stack(&["add", "no", "--oci", &format!("{layout}:none")]).failed_saying("has no image none");
        let _ = self.stack(&["add", "no", "--oci", "/nowhere"]).failed_saying("is no OCI layout");

        let name = format!("localhost:{}/{APP}/base", self.server.port());
        let credentials = format!("_:{}", self.server.environment()["HEROKU_API_KEY"]);
        let (from, to) = (format!("oci:{layout}"), format!("docker://{name}"));
        let copy = ["copy", "--quiet", "--dest-tls-verify=false", "--dest-creds", &credentials, &from, &to];
        let _ = ImageClients::new().skopeo(&copy).succeeded();
        let _ = self.stack(&["add", "registered", "--image", &name]).succeeded();
        let (of_layout, registered) = (self.listed("of-layout"), self.listed("registered"));
        assert_eq!(registered["version"], of_layout["version"], "they are the same layers");
        let elsewhere = self.stack(&["add", "no", "--image", "docker.io/library/debian:12"]);
        let _ = elsewhere.failed_saying("is no image of this server's registry");
        let made = self.server.http().api_json("POST", "/apps", &json!({ "stack": "registered" }));
        assert_eq!(made.with_status(201).json()["stack"]["name"], "registered");
        let _ = self.stack(&["remove", "of-layout"]).succeeded();
    }

    /// A backup has what stacks are made of.
    fn restore_elsewhere(&self) {
        let folder = TempDir::with_prefix("paddock-backup-").unwrap();
        let file = folder.path().join("backup");
        let _ = self.server.paddockd("backup", &["--to", file.to_str().unwrap()]).succeeded();
        let second = Server::restored(&file, &[]);
        assert_eq!(second.answers(APP, "/").json()["system"], "PRETTY_NAME=\"Stack one\"");
    }

    fn deprecate_and_remove(&mut self) {
        let _ = self.stack(&["deprecate", "mine", "--on", "2199-01-01"]).succeeded();
        self.repo.write("third", "");
        let _ = self.push("Warned").succeeded().saying("from 2199-01-01 on nothing is built on it");
        let _ = self.stack(&["deprecate", "mine", "--on", "2026-01-01"]).succeeded();
        self.repo.write("fourth", "");
        let _ = self.push("Too late").failed_saying("Support of the stack mine ended on 2026-01-01");
        self.settled("two");
        let _ = self.stack(&["deprecate", "mine", "--on", "soon"]).failed_saying("invalid value 'soon'");
        let _ =
            self.stack(&["remove", "mine"]).failed_saying(&format!("Apps are to be built on mine: {APP}."));
        self.say(&["stack:set", "host"]);
        let _ = self.stack(&["remove", "mine"]).succeeded();
        let outcome = self.cli.heroku_in(self.repo.path(), &["stack:set", "mine"]);
        let _ = self.transcript.say(outcome).failed_saying("Stack mine is not available on this server.");
        let _ = self.cli.heroku_in(self.repo.path(), &["ps:restart"]).succeeded();
        self.settled("two");
        assert_eq!(self.listed("mine"), Value::Null);
    }
}
