//! The official CLI, noun by noun: what one app and one account have, each with a transcript of its own.
//!
//! What commands say is compared with `transcripts/NOUN.txt`; every state is looked up through the API or the app.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::time::Duration;

use e2e::{Cli, Outcome, Repo, Server, Transcript, may_run, wait_until};
use serde_json::{Value, json};

const APP: &str = "nouns";
const COLLEAGUE: &str = "colleague@example.com";

struct Journey {
    server: Server,
    cli: Cli,
    /// For whom each command is a process of its own.
    anew: Cli,
    repo: Repo,
}

#[test]
fn the_official_cli_speaks_of_every_noun() {
    if !may_run("the nouns") {
        return;
    }
    let server = Server::start();
    let (cli, anew) = (Cli::new(&server), Cli::new(&server).starting_anew());
    let files = [
        ("Procfile", "web: python3 -m http.server $PORT\nrelease: echo migrated in $DYNO\n"),
        ("index.html", "hello\n"),
    ];
    let journey = Journey { server, cli, anew, repo: Repo::of_files(&files) };
    journey.platform();
    journey.keys();
    journey.authorizations();
    journey.login();
    journey.apps();
    journey.access();
    journey.features();
    journey.domains();
    journey.buildpacks();
    journey.config();
    journey.releases_and_dynos();
}

/// A conversation about one noun.
struct Talk<'a> {
    journey: &'a Journey,
    cli: &'a Cli,
    transcript: Transcript,
}

impl Talk<'_> {
    fn ask(&self, arguments: &[&str]) -> Outcome {
        self.cli.heroku_in(self.journey.repo.path(), arguments)
    }

    /// Runs a command, records what it says, and wants it to succeed.
    fn say(&mut self, arguments: &[&str]) -> String {
        let outcome = self.ask(arguments);
        self.transcript.say(outcome).succeeded().text()
    }

    /// Runs a command whose words depend on the moment; the caller checks them.
    fn note(&mut self, arguments: &[&str]) -> String {
        let outcome = self.ask(arguments);
        self.transcript.note(outcome).succeeded().text()
    }

    /// Runs a command that is refused, and records why.
    fn refused(&mut self, arguments: &[&str], reason: &str) {
        let outcome = self.ask(arguments);
        let _ = self.transcript.say(outcome).failed_saying(reason);
    }
}

impl Journey {
    fn talk(&self, noun: &'static str) -> Talk<'_> {
        self.talk_by(&self.cli, noun)
    }

    fn talk_by<'a>(&'a self, cli: &'a Cli, noun: &'static str) -> Talk<'a> {
        Talk { journey: self, cli, transcript: Transcript::begin(noun, &self.server, cli) }
    }

    fn api(&self, path: &str) -> Value {
        self.server.http().api("GET", path).with_status(200).json()
    }

    fn platform(&self) {
        let mut talk = self.talk("platform");
        talk.say(&["status"]);
        talk.say(&["regions"]);
        talk.say(&["sessions"]);
        talk.say(&["auth:2fa"]);
        talk.say(&["local:version"]);
        talk.transcript.finish();
    }

    fn keys(&self) {
        let mut talk = self.talk("keys");
        let file = self.cli.home().join("id_ed25519");
        let mut keygen = self.cli.program("ssh-keygen", self.cli.home());
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "me@home", "-f"]).arg(&file);
        let _ = e2e::run(keygen, b"", Duration::from_secs(30)).succeeded();
        let public = format!("{}.pub", file.display());
        talk.say(&["keys"]);
        talk.say(&["keys:add", &public]);
        let mut fingerprint = self.cli.program("ssh-keygen", self.cli.home());
        fingerprint.args(["-l", "-f", &public]);
        let printed = e2e::run(fingerprint, b"", Duration::from_secs(30)).succeeded().stdout;
        let key = self.api("/account/keys")[0].clone();
        assert!(printed.contains(key["fingerprint"].as_str().unwrap()), "{printed} and {key}");
        let listed = talk.note(&["keys", "--long"]);
        assert!(listed.contains(key["public_key"].as_str().unwrap()), "{listed}");
        talk.refused(&["keys:add", &file.display().to_string()], "private key");
        talk.say(&["keys:remove", "me@home"]);
        assert_eq!(self.api("/account/keys"), json!([]));
        talk.say(&["keys:add", &public]);
        talk.say(&["keys:clear"]);
        assert_eq!(self.api("/account/keys"), json!([]));
        talk.transcript.finish();
    }

    fn authorizations(&self) {
        let mut talk = self.talk("authorizations");
        talk.say(&["auth:token"]);
        let made =
            talk.note(&["authorizations:create", "--description", "ci", "--expires-in", "3600", "--json"]);
        let made: Value =
            serde_json::from_str(&made[made.find('{').unwrap()..=made.rfind('}').unwrap()]).unwrap();
        let (id, token) = (made["id"].as_str().unwrap(), made["access_token"]["token"].as_str().unwrap());
        assert_eq!(self.server.http().with_token(token).api("GET", "/account").status, 200);
        talk.transcript.name(id, "AUTHORIZATION");
        talk.say(&["authorizations"]);
        talk.note(&["authorizations:update", id, "--description", "robot"]);
        let shown = talk.note(&["authorizations:info", id]);
        assert!(shown.contains("robot") && !shown.contains(token), "{shown}");
        talk.note(&["authorizations:rotate", id]);
        assert_eq!(self.server.http().with_token(token).api("GET", "/account").status, 401);
        let rotated = self.api("/oauth/authorizations");
        let rotated =
            rotated.as_array().unwrap().iter().find(|one| one["description"] == "robot").unwrap().clone();
        talk.say(&["authorizations:revoke", rotated["id"].as_str().unwrap()]);
        assert_eq!(self.api("/oauth/authorizations").as_array().unwrap().len(), 1);
        talk.transcript.finish();
    }

    /// With a password, as from a machine that is not the server's; then out again.
    fn login(&self) {
        let mut environment = self.server.environment().clone();
        environment.remove("HEROKU_API_KEY");
        let person = Cli::with_environment(environment).starting_anew();
        let mut transcript = Transcript::begin("login", &self.server, &person);
        let password = std::fs::read_to_string(self.server.data().join("admin-password")).unwrap();
        let email = self.api("/account")["email"].as_str().unwrap().to_owned();
        let mut login = person.heroku_program(person.home());
        login.args(["login", "--interactive"]);
        let answers = [("Email", email.as_str()), ("Password", password.trim())];
        let _ = transcript.note(e2e::answer(login, &answers, Duration::from_secs(60))).succeeded();
        let _ = transcript.say(person.heroku(&["auth:whoami"])).succeeded().saying(&email);
        let token = person.heroku(&["auth:token"]).succeeded().stdout.trim().to_owned();
        assert_eq!(self.server.http().with_token(&token).api("GET", "/account").status, 200);
        let _ = transcript.say(person.heroku(&["logout"])).succeeded();
        assert_eq!(self.server.http().with_token(&token).api("GET", "/account").status, 401);
        let _ = transcript.say(person.heroku(&["auth:whoami"])).failed_saying("not logged in");
        transcript.finish();
    }

    fn apps(&self) {
        // The first command in a home speaks of terms, too.
        let _ = self.anew.heroku(&["--version"]).succeeded();
        let mut talk = self.talk_by(&self.anew, "apps");
        talk.say(&["apps"]);
        talk.say(&["create", APP]);
        talk.say(&["create", "other-nouns", "--no-remote"]);
        talk.say(&["apps"]);
        talk.say(&["apps:stacks", "--app", APP]);
        talk.say(&["apps:stacks:set", "host", "--app", APP]);
        talk.say(&["apps:open", "--app", APP]);
        // What people's files name is taken as the host.
        talk.say(&["apps:stacks:set", "cedar-14", "--app", APP]);
        talk.refused(&["apps:stacks:set", "nope", "--app", APP], "not available");
        talk.refused(&["apps:transfer", "--app", APP, "somebody@example.com"], "not built");
        let clone = talk.cli.home().join("cloned");
        talk.note(&["git:clone", "--app", APP, &clone.display().to_string()]);
        assert!(clone.join(".git").is_dir());
        let helper = talk.cli.heroku_with_input(
            self.repo.path(),
            &["git:credentials", "get"],
            format!("protocol=https\nhost={}\n\n", self.server.environment()["HEROKU_GIT_HOST"]).as_bytes(),
        );
        let _ = talk.transcript.note(helper).succeeded().saying("username=heroku");
        talk.transcript.finish();
    }

    fn access(&self) {
        let mut talk = self.talk("access");
        talk.refused(&["access:add", COLLEAGUE, "--app", APP], "paddockd account create");
        let data = self.server.data().display().to_string();
        let make = self.server.program(&["account", "create", COLLEAGUE, "--data", &data]);
        let made = e2e::run(make, b"", Duration::from_secs(60)).succeeded();
        let basic = format!("{COLLEAGUE}:{}", made.stdout.trim());
        let http = self.server.http();
        let login = http.password_login(&basic).with_status(201).json();
        let theirs = http.with_token(login["access_token"]["token"].as_str().unwrap());
        assert_eq!(theirs.api("GET", &format!("/apps/{APP}")).status, 404);
        talk.say(&["access:add", COLLEAGUE, "--app", APP]);
        assert_eq!(theirs.api("GET", &format!("/apps/{APP}")).status, 200);
        talk.say(&["access", "--app", APP]);
        let mut environment = self.server.environment().clone();
        environment
            .insert("HEROKU_API_KEY".to_owned(), login["access_token"]["token"].as_str().unwrap().to_owned());
        let colleague = Cli::with_environment(environment);
        let _ = talk.transcript.say(colleague.heroku(&["apps"])).succeeded().saying(APP);
        let _ = talk.transcript.say(colleague.heroku(&["apps:leave", "--app", APP])).succeeded();
        assert_eq!(theirs.api("GET", &format!("/apps/{APP}")).status, 404);
        talk.say(&["access:add", COLLEAGUE, "--app", APP]);
        talk.say(&["access:remove", COLLEAGUE, "--app", APP]);
        assert_eq!(theirs.api("GET", &format!("/apps/{APP}")).status, 404);
        talk.transcript.finish();
    }

    fn features(&self) {
        let mut talk = self.talk("features");
        let enabled = |name: &str| self.api(&format!("/apps/{APP}/features/{name}"))["enabled"].clone();
        talk.say(&["features:info", "preboot", "--app", APP]);
        talk.say(&["features:enable", "preboot", "--app", APP]);
        assert_eq!(enabled("preboot"), true);
        talk.say(&["features:disable", "preboot", "--app", APP]);
        assert_eq!(enabled("preboot"), false);
        talk.say(&["labs", "--app", APP]);
        talk.say(&["labs:info", "runtime-dyno-metadata", "--app", APP]);
        talk.say(&["labs:enable", "runtime-dyno-metadata", "--app", APP]);
        assert_eq!(enabled("runtime-dyno-metadata"), true);
        talk.say(&["labs:disable", "runtime-dyno-metadata", "--app", APP]);
        assert_eq!(enabled("runtime-dyno-metadata"), false);
        talk.refused(&["features:enable", "http-session-affinity", "--app", APP], "not built");
        talk.transcript.finish();
    }

    fn domains(&self) {
        let mut talk = self.talk("domains");
        talk.say(&["domains:add", "www.example.com", "--app", APP]);
        talk.say(&["domains:add", "shop.example.com", "--app", APP]);
        talk.say(&["domains:info", "www.example.com", "--app", APP]);
        talk.say(&["domains:wait", "--app", APP]);
        talk.say(&["domains", "--app", APP]);
        talk.refused(
            &["domains:update", "www.example.com", "--cert", "tokyo-1050", "--app", APP],
            "not built",
        );
        talk.say(&["domains:remove", "www.example.com", "--app", APP]);
        assert_eq!(self.api(&format!("/apps/{APP}/domains")).as_array().unwrap().len(), 2);
        talk.say(&["domains:clear", "--app", APP]);
        assert_eq!(self.api(&format!("/apps/{APP}/domains")).as_array().unwrap().len(), 1);
        talk.transcript.finish();
    }

    fn buildpacks(&self) {
        let mut talk = self.talk("buildpacks");
        talk.say(&["buildpacks:search", "python"]);
        talk.say(&["buildpacks:info", "heroku/python"]);
        talk.say(&["buildpacks:versions", "heroku/python"]);
        talk.say(&["buildpacks:add", "heroku/python", "--app", APP]);
        talk.say(&["buildpacks:add", "--index", "1", "heroku/nodejs", "--app", APP]);
        talk.say(&["buildpacks", "--app", APP]);
        talk.say(&["buildpacks:remove", "heroku/python", "--app", APP]);
        talk.say(&["buildpacks:clear", "--app", APP]);
        assert_eq!(self.api(&format!("/apps/{APP}/buildpack-installations")), json!([]));
        talk.transcript.finish();
    }

    /// An editor is a program that changes a file.
    fn config(&self) {
        let mut talk = self.talk("config");
        talk.say(&["config:set", "COLOUR=blue", "SIZE=large", "--app", APP]);
        let editor = self.cli.home().join("editor");
        std::fs::write(&editor, "#!/bin/sh\nsed -i -e s/blue/green/ -e /SIZE/d \"$1\"\n").unwrap();
        std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut edit = self.cli.heroku_program(self.repo.path());
        edit.args(["config:edit", "--app", APP]).env("EDITOR", &editor).env("VISUAL", &editor);
        // Not before it is asked: the CLI takes what is on its input at once for the name of a config var.
        let edited = e2e::answer(edit, &[("Update config", "y")], Duration::from_secs(60));
        let _ = talk.transcript.note(edited).succeeded();
        assert_eq!(self.api(&format!("/apps/{APP}/config-vars")), json!({ "COLOUR": "green" }));
        talk.transcript.finish();
    }

    fn releases_and_dynos(&self) {
        let mut talk = self.talk("releases_and_dynos");
        // Git asks the CLI for the token, as it does at everybody's.
        let pushed = self.anew.git(self.repo.path(), &["push", "heroku", "main"]);
        let _ = talk.transcript.note(pushed).succeeded();
        let current = || {
            let list = self.api(&format!("/apps/{APP}/releases"));
            list.as_array().unwrap().iter().find(|release| release["current"] == true).cloned()
        };
        wait_until("the pushed release", Duration::from_secs(90), || {
            current().filter(|release| release["slug"] != Value::Null)
        });
        self.server.answers(APP, "/");
        talk.note(&["ps:wait", "--app", APP]);
        let said = talk.note(&["releases:output", "--app", APP]);
        assert!(said.contains("migrated in release."), "{said}");
        let before = current().unwrap()["version"].as_u64().unwrap();
        let said = talk.note(&["releases:retry", "--app", APP]);
        assert!(said.contains(&format!("done, v{}", before + 1)), "{said}");
        wait_until("the retried release", Duration::from_secs(90), || {
            current().filter(|release| release["version"] == before + 1)
        });
        talk.say(&["create", "unlike", "--no-remote"]);
        let differences = talk.note(&["apps:diff", APP, "unlike"]);
        assert!(differences.contains("COLOUR"), "{differences}");
        self.server.wait_for_dynos(APP, &["web.1"]);
        let stopped = self.server.dynos(APP)[0].2.clone();
        talk.say(&["ps:stop", "--dyno-name", "web.1", "--app", APP]);
        wait_until("web.1 to be another", Duration::from_secs(60), || {
            self.server.dynos(APP).iter().all(|dyno| dyno.2 != stopped).then_some(())
        });
        talk.transcript.finish();
    }
}
