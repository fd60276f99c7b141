//! The official CLI from the first command to the last, on an app of two process types.
//!
//! What commands say is compared with `transcripts/first_app.txt`; every state is looked up through the API or the app.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::time::Duration;

use e2e::{Cli, Machine, Repo, Server, Transcript, may_run, wait_until};
use serde_json::{Value, json};

/// The app's name; renamed at the end.
const APP: &str = "journey";

/// One conversation with everything it needs.
struct Journey {
    server: Server,
    cli: Cli,
    repo: Repo,
    transcript: Transcript,
}

#[test]
fn the_official_cli_runs_an_app_from_create_to_destroy() {
    if !may_run("the transcript") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let transcript = Transcript::begin("first_app", &server, &cli);
    travel(server, cli, transcript);
}

/// The same words and the same states: only the git host is another.
#[test]
fn the_official_cli_on_another_machine_runs_an_app_through_the_proxy_form() {
    if !may_run("the transcript from another machine") {
        return;
    }
    let server = Server::start_for_other_machines();
    let cli = Cli::on_machine(&server, Machine::connected());
    let mut transcript = Transcript::begin("first_app", &server, &cli);
    transcript.name(cli.variable("HEROKU_GIT_HOST"), "localhost:PORT");
    travel(server, cli, transcript);
}

fn travel(server: Server, cli: Cli, transcript: Transcript) {
    let mut journey = Journey { server, cli, repo: Repo::of_app("journey"), transcript };
    journey.create_and_push();
    journey.scale();
    journey.restart();
    journey.config();
    journey.logs();
    journey.releases_and_rollback();
    journey.one_off_dynos();
    journey.settings();
    journey.staging();
    journey.rename_and_destroy();
    journey.transcript.finish();
}

impl Journey {
    /// Runs a command in the repository, records what it says, and wants it to succeed.
    fn say(&mut self, arguments: &[&str]) -> String {
        let outcome = self.cli.heroku_in(self.repo.path(), arguments);
        self.transcript.say(outcome).succeeded().text()
    }

    /// Runs a command whose words depend on the moment; the caller checks them.
    fn note(&mut self, arguments: &[&str]) -> String {
        let outcome = self.cli.heroku_in(self.repo.path(), arguments);
        self.transcript.note(outcome).succeeded().text()
    }

    fn api(&self, path: &str) -> Value {
        self.server.http().api("GET", &format!("/apps/{APP}{path}")).with_status(200).json()
    }

    fn page(&self) -> Value {
        self.server.answers(APP, "/").json()
    }

    fn newest_release(&self) -> Value {
        let answer = self.server.http().api_with(
            "GET",
            &format!("/apps/{APP}/releases"),
            &["Range: version ..; order=desc,max=1"],
            None,
        );
        answer.json()[0].clone()
    }

    /// Waits until every dyno of the formation is up and of the newest release.
    fn settled(&self, names: &[&str]) {
        let version = self.newest_release()["version"].clone();
        wait_until(&format!("{names:?} up at v{version}"), Duration::from_secs(90), || {
            let dynos = self.api("/dynos");
            let dynos: Vec<&Value> =
                dynos.as_array().into_iter().flatten().filter(|dyno| dyno["type"] != "run").collect();
            let mut found: Vec<&str> = dynos.iter().filter_map(|dyno| dyno["name"].as_str()).collect();
            found.sort_unstable();
            let current =
                dynos.iter().all(|dyno| dyno["state"] == "up" && dyno["release"]["version"] == version);
            (current && found == names).then_some(())
        });
    }

    fn create_and_push(&mut self) {
        self.say(&["auth:whoami"]);
        self.say(&["create", APP]);
        assert_eq!(self.api("")["name"], APP);
        let versions: Vec<Value> =
            self.api("/releases").as_array().unwrap().iter().map(|r| r["version"].clone()).collect();
        assert_eq!(versions, [json!(1), json!(2)], "a new app begins with two releases");
        assert_eq!(self.server.get(APP, "/").status, 503, "a blank app answers H81");

        let pushed = self.cli.git(self.repo.path(), &["push", "heroku", "main"]);
        let pushed = self.transcript.note(pushed).succeeded();
        for line in [
            "remote: -----> ",
            "Procfile declares types -> web, worker",
            "Released v3",
            "Verifying deploy... done.",
        ] {
            assert!(pushed.stderr.contains(line), "the push did not say {line:?}:\n{}", pushed.stderr);
        }
        let page = self.page();
        assert_eq!((&page["dyno"], &page["version"]), (&json!("web.1"), &json!("one")));
        assert_eq!(self.newest_release()["version"], 3);
        assert_eq!(self.api("/builds")[0]["status"], "succeeded");
        self.settled(&["web.1"]);
        let shown = self.note(&["ps"]);
        assert!(shown.contains("web.1: up"), "{shown}");
    }

    fn scale(&mut self) {
        self.say(&["ps:scale", "web=2", "worker=1"]);
        self.settled(&["web.1", "web.2", "worker.1"]);
        self.say(&["scale"]);
        self.say(&["scale", "web=1"]);
        self.settled(&["web.1", "worker.1"]);
        self.say(&["ps:scale", "web+1"]);
        self.settled(&["web.1", "web.2", "worker.1"]);
        self.say(&["ps:type", "standard-2x"]);
        let formation = self.api("/formation");
        let sizes: Vec<&str> =
            formation.as_array().unwrap().iter().filter_map(|f| f["size"].as_str()).collect();
        assert!(sizes.iter().all(|size| size.eq_ignore_ascii_case("standard-2x")), "{sizes:?}");
        self.say(&["ps:type", "standard-1x"]);
        self.settled(&["web.1", "web.2", "worker.1"]);
    }

    fn restart(&mut self) {
        let before = self.server.dynos(APP);
        self.say(&["ps:restart"]);
        let id = |dynos: &[(String, String, String)], name: &str| {
            dynos.iter().find(|dyno| dyno.0 == name).map(|dyno| dyno.2.clone())
        };
        wait_until("every dyno to be a new one", Duration::from_secs(90), || {
            let now = self.server.dynos(APP);
            let renewed =
                now.iter().all(|dyno| dyno.1 == "up" && id(&before, &dyno.0).as_ref() != Some(&dyno.2));
            (renewed && now.len() == before.len()).then_some(())
        });
        self.page();
        let before = self.server.dynos(APP);
        self.say(&["ps:restart", "worker.1"]);
        wait_until("worker.1 to be a new one", Duration::from_secs(60), || {
            let now = self.server.dynos(APP);
            (id(&now, "worker.1")? != id(&before, "worker.1")? && now.iter().all(|dyno| dyno.1 == "up"))
                .then_some(())
        });
        assert_eq!(id(&self.server.dynos(APP), "web.1"), id(&before, "web.1"), "the others are left alone");
        self.say(&["ps:scale", "web=1"]);
        self.settled(&["web.1", "worker.1"]);
    }

    fn config(&mut self) {
        self.say(&["config:set", "GREETING=good morning", "COLOUR=blue"]);
        self.settled(&["web.1", "worker.1"]);
        assert_eq!(self.page()["greeting"], "good morning");
        assert_eq!(self.newest_release()["description"], "Set COLOUR, GREETING config vars");
        assert_eq!(self.say(&["config:get", "GREETING"]).trim(), "good morning");
        self.say(&["config"]);
        self.say(&["config:unset", "COLOUR"]);
        assert_eq!(self.api("/config-vars"), json!({ "GREETING": "good morning" }));
        self.settled(&["web.1", "worker.1"]);
    }

    fn logs(&mut self) {
        let following = self.cli.follow(&["logs", "--tail", "--app", APP]);
        following.wait_for("app[web.1]", Duration::from_secs(60));
        for number in 0..5 {
            self.server.get(APP, &format!("/while-tailing-{number}")).with_status(200);
        }
        following.wait_for("/while-tailing-4 HTTP/1.1", Duration::from_secs(30));
        following.wait_for("path=\"/while-tailing-4\"", Duration::from_secs(30));
        drop(following);

        let all = self.note(&["logs", "-n", "1500"]);
        for line in [
            "app[web.1]: web is listening",
            "app[worker.1]: worker worker.1 is at work",
            "heroku[router]: at=info",
        ] {
            assert!(all.contains(line), "no {line:?} in\n{all}");
        }
        let router = self.note(&["logs", "--source", "router"]);
        assert!(!router.is_empty() && router.lines().all(|line| line.contains("[router]: ")), "{router}");
        let app = self.note(&["logs", "--source", "app"]);
        assert!(!app.is_empty() && app.lines().all(|line| line.contains(" app[")), "{app}");
        let worker = self.note(&["logs", "--dyno-name", "worker.1"]);
        assert!(!worker.is_empty() && worker.lines().all(|line| line.contains("[worker.1]: ")), "{worker}");
        let web = self.note(&["logs", "--process-type", "web"]);
        assert!(
            !web.is_empty()
                && web.lines().all(|line| line.contains("[web.1]: ") || line.contains("[web.2]: ")),
            "{web}"
        );
        assert_eq!(self.note(&["logs", "-n", "3"]).lines().count(), 3);
    }

    fn releases_and_rollback(&mut self) {
        self.repo.write("version.txt", "two\n");
        self.repo.commit("Second");
        let pushed = self.cli.git(self.repo.path(), &["push", "heroku", "main"]);
        self.transcript.note(pushed).succeeded();
        wait_until("the second version", Duration::from_secs(60), || {
            (self.page()["version"] == "two").then_some(())
        });
        let listed = self.note(&["releases"]);
        assert!(
            listed.contains("Set COLOUR, GREETING config vars") && listed.contains("Deploy "),
            "{listed}"
        );
        let shown = self.note(&["releases:info", "v3"]);
        assert!(shown.contains("v3") && shown.contains("Deploy "), "{shown}");

        let newest = self.newest_release()["version"].as_u64().unwrap();
        self.say(&["rollback", "v3"]);
        wait_until("the first version", Duration::from_secs(60), || {
            (self.page()["version"] == "one").then_some(())
        });
        let release = self.newest_release();
        assert_eq!(
            (&release["version"], &release["description"]),
            (&json!(newest + 1), &json!("Rollback to v3"))
        );
        assert_eq!(self.api("/config-vars"), json!({}), "a rollback brings the config of its release");
        assert_eq!(self.page()["greeting"], Value::Null);
        self.say(&["releases:rollback", &format!("v{newest}")]);
        wait_until("the second again", Duration::from_secs(60), || {
            (self.page()["version"] == "two").then_some(())
        });
        self.settled(&["web.1", "worker.1"]);
    }

    fn one_off_dynos(&mut self) {
        let said = self.note(&["run", "echo one-off says $((40 + 2)) in $DYNO as $(id -un)"]);
        assert!(said.contains("one-off says 42 in run."), "{said}");
        let outcome = self.cli.heroku_in(self.repo.path(), &["run", "--exit-code", "(exit 7)"]);
        assert_eq!(self.transcript.note(outcome).status, 7, "the exit code is the command's");
        let echoed =
            self.cli.heroku_with_input(self.repo.path(), &["run", "--no-tty", "cat"], b"line through cat\n");
        let echoed = self.transcript.note(echoed).succeeded();
        assert!(echoed.stdout.contains("line through cat"), "{}", echoed.text());

        self.run_in_a_terminal();

        let said = self.note(&["run:detached", "echo detached dyno was here"]);
        assert!(said.contains("run."), "{said}");
        wait_until("the detached dyno's line", Duration::from_secs(60), || {
            let log = self.cli.heroku_in(self.repo.path(), &["logs", "--source", "app"]).stdout;
            log.lines()
                .any(|line| line.contains("app[run.") && line.contains("detached dyno was here"))
                .then_some(())
        });
        wait_until("one-off dynos to be gone", Duration::from_secs(60), || {
            self.server.dynos(APP).iter().all(|dyno| !dyno.0.starts_with("run.")).then_some(())
        });
    }

    /// With a terminal the dyno has one of the same size, and its program may ask questions.
    fn run_in_a_terminal(&self) {
        let mut command = self.cli.program("script", self.repo.path());
        let line = format!(
            "stty rows 33 cols 99; heroku run --exit-code --app {APP} 'stty size; tty; test -t 0 && (exit 5)'"
        );
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let outcome = self.cli.run(command, b"", Duration::from_secs(120));
        assert_eq!(outcome.status, 5, "{}", outcome.text());
        assert!(
            outcome.stdout.contains("33 99") && outcome.stdout.contains("/dev/pts/"),
            "{}",
            outcome.stdout
        );
    }

    fn settings(&mut self) {
        self.say(&["buildpacks:set", "https://example.com/buildpack.tgz"]);
        self.say(&["buildpacks"]);
        assert_eq!(
            self.api("/buildpack-installations")[0]["buildpack"]["url"],
            "https://example.com/buildpack.tgz"
        );
        self.say(&["buildpacks:clear"]);
        assert_eq!(self.api("/buildpack-installations"), json!([]));
        self.say(&["features"]);
        self.say(&["maintenance:on"]);
        assert_eq!(self.api("")["maintenance"], true);
        wait_until("maintenance", Duration::from_secs(20), || {
            (self.server.get(APP, "/").status == 503).then_some(())
        });
        self.say(&["maintenance"]);
        self.say(&["maintenance:off"]);
        self.page();
        self.say(&["domains"]);
        let info = self.note(&["apps:info"]);
        assert!(info.contains(&format!("=== {APP}")), "{info}");
        let web_url = self.api("")["web_url"].as_str().unwrap().to_owned();
        assert_eq!(
            web_url,
            format!("http://{}:{}/", self.server.host(APP), self.server.port()),
            "what `open` opens"
        );
    }

    fn staging(&mut self) {
        self.say(&["create", "journey-staging", "--no-remote"]);
        self.say(&["git:remote", "-a", "journey-staging", "-r", "staging"]);
        let pushed = self.cli.git(self.repo.path(), &["push", "staging", "main"]);
        self.transcript.note(pushed).succeeded();
        assert_eq!(self.server.answers("journey-staging", "/").json()["version"], "two");
        let other = self.cli.git(self.repo.path(), &["push", "staging", "main:feature"]);
        let other = self.transcript.note(other).succeeded();
        assert!(other.stderr.contains("skipping build"), "{}", other.stderr);
        self.say(&["apps:destroy", "--app", "journey-staging", "--confirm", "journey-staging"]);
        assert_eq!(self.server.http().api("GET", "/apps/journey-staging").status, 404);
    }

    fn rename_and_destroy(&mut self) {
        self.say(&["apps:rename", "travelled", "--app", APP]);
        assert_eq!(
            self.server.http().api("GET", "/apps/travelled").with_status(200).json()["name"],
            "travelled"
        );
        self.server.answers("travelled", "/");
        wait_until("the old name to be nobody's", Duration::from_secs(20), || {
            (self.server.get(APP, "/").status == 404).then_some(())
        });
        let clone = self.cli.home().join("clone");
        let url = format!("https://{}/travelled.git", self.cli.variable("HEROKU_GIT_HOST"));
        let _ = self
            .cli
            .git(self.cli.home(), &["clone", "--quiet", &url, &clone.display().to_string()])
            .succeeded();
        assert_eq!(std::fs::read_to_string(clone.join("version.txt")).unwrap(), "two\n");
        self.say(&["apps:destroy", "--app", "travelled", "--confirm", "travelled"]);
        assert_eq!(self.server.http().api("GET", "/apps/travelled").status, 404);
        assert_eq!(self.server.http().api("GET", "/apps").json(), json!([]));
        wait_until("its host to be nobody's", Duration::from_secs(20), || {
            (self.server.get("travelled", "/").status == 404).then_some(())
        });
    }
}
