//! The clients of the walk: HTTP, plain git, and one deployed app that everything is done to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Answer, Cli, Http, Outcome, Repo, Server, ServerClock, run, wait_until};
use serde_json::{Value, json};

/// The app that verbs are performed on.
pub(crate) const APP: &str = "walker";
/// Whom the app is shared with.
const COLLEAGUE: &str = "colleague@example.com";
/// Lines that the app prints in each round.
const LINES: usize = 40;
/// Lines that a log has at least before old ones go, and that one can ask for.
const LINES_KEPT: usize = 1500;

/// What a client was told.
#[derive(Debug)]
pub(crate) enum Told {
    /// It is done.
    Yes,
    /// Anything else, with what was said instead.
    No(String),
}

impl Told {
    /// By the status of an answer.
    pub(crate) fn by(answer: &Answer) -> Self {
        match answer.status {
            200..300 => Self::Yes,
            status => Self::No(format!("{status} {}{}", answer.body, answer.error)),
        }
    }

    /// By the end of a program.
    pub(crate) fn by_exit(outcome: &Outcome) -> Self {
        if outcome.status == 0 { Self::Yes } else { Self::No(outcome.text()) }
    }
}

/// Clients of one server.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) http: Http,
    pub(crate) cli: Cli,
    pub(crate) repo: Repo,
    pub(crate) email: String,
    pub(crate) password: String,
    /// Another account of this server.
    pub(crate) colleague: &'static str,
    /// A public key of OpenSSH.
    pub(crate) public_key: String,
    /// An archive with a folder `app`.
    pub(crate) slug_archive: String,
    /// The folder of buildpacks that builds see.
    pub(crate) buildpacks: String,
    pub(crate) clock: ServerClock,
    /// The server's program, for what its operator asks for.
    program: PathBuf,
    pub(crate) data: PathBuf,
    host: String,
    domain: &'static str,
    port: u16,
}

impl Client {
    /// Makes the app, pushes it, and waits for its page.
    pub(crate) fn deploy(server: &Server, clock: ServerClock, buildpacks: &Path) -> Self {
        let client = Self {
            http: server.http().bare(),
            cli: Cli::new(server),
            repo: Repo::of_app("journey"),
            colleague: COLLEAGUE,
            public_key: public_key(buildpacks),
            slug_archive: slug_archive(buildpacks),
            buildpacks: buildpacks.display().to_string(),
            clock,
            program: server.program(&[]).get_program().into(),
            data: server.data(),
            email: format!("admin@{}", server.domain()),
            password: std::fs::read_to_string(server.data().join("admin-password"))
                .unwrap()
                .trim()
                .to_owned(),
            host: server.host(APP),
            domain: server.domain(),
            port: server.port(),
        };
        client.operator(&["account", "create", COLLEAGUE]).succeeded();
        // Quicker for git than asking the official CLI at each push.
        let netrc =
            format!("machine localhost login heroku password {}\n", server.environment()["HEROKU_API_KEY"]);
        std::fs::write(client.cli.home().join(".netrc"), netrc).unwrap();
        client.http.api_json("POST", "/apps", &json!({ "name": APP })).with_status(201);
        client.push(APP, &client.repo).succeeded();
        server.wait_for_dynos(APP, &["web.1"]);
        client
    }

    /// A `GET` of the API that must succeed.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.http.api("GET", path).with_status(200).json()
    }

    /// The rows of a list.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        self.get(path).as_array().cloned().unwrap_or_default()
    }

    /// Runs a command of the server's operator, who is on its machine.
    pub(crate) fn operator(&self, arguments: &[&str]) -> Outcome {
        let mut program = Command::new(&self.program);
        program.args(arguments).arg("--data").arg(&self.data);
        run(program, b"", Duration::from_secs(60))
    }

    pub(crate) fn id(&self, app: &str) -> String {
        self.get(&format!("/apps/{app}"))["id"].as_str().unwrap_or_default().to_owned()
    }

    /// `git push` of a repository's `main` to an app.
    pub(crate) fn push(&self, app: &str, repo: &Repo) -> Outcome {
        self.cli.git(repo.path(), &["push", "--force", &self.git_url(app), "main"])
    }

    /// The address of an app's repository.
    pub(crate) fn git_url(&self, app: &str) -> String {
        format!("http://localhost:{}/{app}.git", self.port)
    }

    /// The commit of an app's deploy branch, as the server tells git; nothing where there is none.
    pub(crate) fn head(&self, app: &str) -> String {
        let told = self.http.git(&format!("/{app}.git/info/refs?service=git-upload-pack")).with_status(200);
        // A line is its length in four digits, the commit and the name; the first has the abilities after that.
        let named = |line: &str| {
            let (commit, name) = line.split_once(' ')?;
            let is_branch = name.split('\0').next() == Some("refs/heads/main");
            is_branch.then(|| commit[commit.len() - 40..].to_owned())
        };
        told.body.lines().find_map(named).unwrap_or_default()
    }

    /// Destroys all apps but [`APP`], if there are any.
    pub(crate) fn destroy_others(&self) -> bool {
        let mut others = self.list("/apps");
        others.retain(|app| app["name"] != APP);
        for app in &others {
            let id = app["id"].as_str().unwrap_or_default();
            self.http.api("DELETE", &format!("/apps/{id}")).with_status(200);
        }
        !others.is_empty()
    }

    /// Has the walk's app end itself.
    pub(crate) fn exit_app(&self) {
        let _ = self.http.app(&self.host, "/exit");
    }

    /// Has something happen that every part of the server hears of: a request, a line, another route table. It may be
    /// away or go away; [`Self::calm`] makes good what was left half done.
    pub(crate) fn stir(&self) {
        let _ = self.http.app(&self.host, "/");
        for maintenance in [true, false] {
            let wanted = json!({ "maintenance": maintenance });
            let _ = self.http.api_json("PATCH", &format!("/apps/{APP}"), &wanted);
        }
    }

    /// The app is as before [`Self::stir`].
    pub(crate) fn calm(&self) {
        let wanted = json!({ "maintenance": false });
        self.http.api_json("PATCH", &format!("/apps/{APP}"), &wanted).with_status(200);
    }

    /// The app's page; waits for a 200.
    pub(crate) fn page(&self, app: &str) -> Value {
        self.page_at(&format!("{app}.{}", self.domain))
    }

    /// The page at a host; waits for a 200.
    pub(crate) fn page_at(&self, host: &str) -> Value {
        wait_until(&format!("{host} to answer 200"), Duration::from_secs(60), || {
            let answer = self.http.app(host, "/");
            (answer.status == 200).then(|| answer.json())
        })
    }

    /// Sees to it that the app's log has as many lines as are kept of an old one.
    pub(crate) fn fill_log(&self) {
        let is_full = || self.lines(APP, "").len() >= LINES_KEPT;
        if !is_full() {
            let path = format!("/numbers?label=filling&count={LINES_KEPT}");
            self.http.app(&self.host, &path).with_status(200);
        }
        wait_until("a long log", Duration::from_secs(30), || is_full().then_some(()));
    }

    /// Has the app print numbered lines.
    pub(crate) fn print_lines(&self, label: &str) {
        self.http.app(&self.host, &format!("/numbers?label={label}&count={LINES}")).with_status(200);
    }

    /// Those lines are in the app's log, each once and in order.
    pub(crate) fn assert_lines(&self, label: &str) {
        let expected: Vec<String> = (1..=LINES).map(|number| format!("{label} {number}")).collect();
        wait_until(&format!("the last line of {label}"), Duration::from_secs(30), || {
            self.log(APP).contains(&expected[LINES - 1]).then_some(())
        });
        let found = self.lines(APP, &format!("{label} "));
        assert_eq!(found, expected, "invariant: each line of an app arrives once and in order");
    }

    /// What the lines of an app's log say that begin so, oldest first.
    pub(crate) fn lines(&self, app: &str, beginning: &str) -> Vec<String> {
        let log = self.log(app);
        let said = log.lines().filter_map(|line| line.split_once("]: ")).map(|(_, text)| text.trim_end());
        said.filter(|text| text.starts_with(beginning)).map(str::to_owned).collect()
    }

    /// The last lines of an app's log.
    pub(crate) fn log(&self, app: &str) -> String {
        let wanted = json!({ "lines": LINES_KEPT, "tail": false });
        let session =
            self.http.api_json("POST", &format!("/apps/{app}/log-sessions"), &wanted).with_status(201).json();
        let url = session["logplex_url"].as_str().unwrap_or_default();
        self.http.request("GET", url, &[], None).with_status(200).body
    }
}

fn public_key(folder: &Path) -> String {
    let file = folder.join("id_ed25519");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "walker@example.com", "-f"]).arg(&file);
    run(keygen, b"", Duration::from_secs(30)).succeeded();
    std::fs::read_to_string(file.with_extension("pub")).unwrap()
}

fn slug_archive(folder: &Path) -> String {
    let repo = Repo::of_app("journey");
    let archive = folder.join("slug.tgz").display().to_string();
    let output = format!("--output={archive}");
    repo.git(&["archive", "--format=tar.gz", "--prefix=app/", &output, "HEAD"]);
    archive
}
