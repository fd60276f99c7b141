//! New releases: pushed, built from an archive, with a release phase, rolled back.

use std::fs::File;
use std::time::{Duration, SystemTime};

use e2e::{ImageClients, Layout, OtherRegistry, Repo, tar_of, wait_until};
use serde_json::json;

use super::{Kind, Verb, kind};
use crate::client::{APP, Client, Told};
use crate::invariants;

const SOON: Duration = Duration::from_secs(60);
/// An app that is not of the walk's own, for pushes with a release phase.
const RELEASED: &str = "walker-released";
/// Lines that its release phase prints.
const LINES: usize = 30;

pub(super) fn verbs() -> Vec<Kind> {
    vec![
        kind("push", || Push { first: |_| (), repo: Repo::of_app("journey") }),
        kind("push past an old lock", || Push { first: leave_lock, repo: Repo::of_app("journey") }),
        kind("push of the same files", || PushSame { repo: Repo::of_app("journey") }),
        kind("build cache emptied", || EmptyCache),
        kind("first push", || FirstPush { repo: Repo::of_app("journey") }),
        kind("rollback", || Rollback),
        kind("archive build", || Archive { repo: Repo::of_app("journey") }),
        kind("push of a Dockerfile", || PushDockerfile { repo: with_dockerfile(), elsewhere: None }),
        kind("release phase", || ReleasePhase { repo: Repo::of_app("journey") }),
    ]
}

/// `git push` to a server whose builds have a disk without a limit.
pub(crate) fn push_without_limit() -> Kind {
    kind("push without a limit", || Push { first: |_| (), repo: Repo::of_app("journey") })
}

/// As a git leaves it that is killed while it moves the deploy branch.
fn leave_lock(client: &Client) {
    let lock = client.data.join(format!("git/{}.git/refs/heads/main.lock", client.id(APP)));
    let lock = File::create(lock).unwrap();
    lock.set_modified(SystemTime::now() - Duration::from_secs(60 * 60)).unwrap();
}

/// `git push`.
struct Push {
    /// What it finds.
    first: fn(&Client),
    repo: Repo,
}

impl Verb for Push {
    fn prepare(&mut self, client: &Client, number: usize) {
        (self.first)(client);
        self.repo.write("version.txt", &format!("version {number}\n"));
        self.repo.commit("Next");
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by_exit(&client.push(APP, &self.repo))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        wait_until("the pushed version", SOON, || {
            (client.page(APP)["version"] == format!("version {number}")).then_some(())
        });
        assert_eq!(client.head(APP), self.repo.head(), "the branch is what was pushed");
    }
}

/// `git push` of a commit with the same files: its slug is there already.
struct PushSame {
    repo: Repo,
}

impl Verb for PushSame {
    fn prepare(&mut self, client: &Client, number: usize) {
        // Once with the files, so that their slug is there.
        if number > 0 && client.page(APP)["version"] != "same" {
            self.repo.write("version.txt", "same\n");
            self.repo.commit("Same");
            client.push(APP, &self.repo).succeeded();
            // Who asks meanwhile may meet the old dyno on its way out.
            wait_until("the same version", SOON, || (client.page(APP)["version"] == "same").then_some(()));
            invariants::the_dynos_are_those_of_the_release(client, APP);
        }
        self.repo.commit(&format!("Same {number}"));
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by_exit(&client.push(APP, &self.repo))
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        assert_eq!(client.head(APP), self.repo.head(), "the branch is what was pushed");
        wait_until("the pushed version", SOON, || (client.page(APP)["version"] == "same").then_some(()));
    }
}

/// `heroku builds:cache:purge`.
struct EmptyCache;

impl Verb for EmptyCache {
    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by(&client.http.api("DELETE", &format!("/apps/{APP}/build-cache")))
    }

    fn check(&self, _: &Client, _: usize, _: &Told) {}
}

/// `git push` to a new app.
struct FirstPush {
    repo: Repo,
}

const DOCKERFILE: &str =
    "FROM host\nRUN echo once > /once\nCOPY . /srv\nWORKDIR /srv\nRUN echo built > made\n";

/// The walk's app, as an image that the server makes.
fn with_dockerfile() -> Repo {
    let repo = Repo::of_app("journey");
    repo.write("Dockerfile", &format!("{DOCKERFILE}CMD python3 web.py\n"));
    repo.commit("An image");
    repo
}

/// Makes an app whose builds make images, unless it is there.
fn make_boxed(client: &Client, name: &str) {
    if client.http.api("GET", &format!("/apps/{name}")).status == 404 {
        let order = json!({ "name": name, "stack": "container" });
        client.http.api_json("POST", "/apps", &order).with_status(201);
    }
}

/// An app whose builds fail.
const UNMADE: &str = "walker-unmade";

/// More layers than are kept only to be used again: of a build that has failed.
pub(crate) fn leave_layers(client: &Client) {
    make_boxed(client, UNMADE);
    let text = "FROM host\nRUN head -c 20000000 /dev/urandom > /big\nRUN exit 1\n";
    let pushed = client.push(UNMADE, &Repo::of_files(&[("Dockerfile", text)]));
    assert_ne!(pushed.status, 0, "{}", pushed.text());
}

/// `git push` to an app whose builds make images, with a file of an image of another registry.
struct PushDockerfile {
    repo: Repo,
    elsewhere: Option<Elsewhere>,
}

/// Another registry and who pushes to it.
struct Elsewhere {
    registry: OtherRegistry,
    clients: ImageClients,
}

impl Elsewhere {
    fn start() -> Self {
        Self { registry: OtherRegistry::start(), clients: ImageClients::new() }
    }

    /// An image that no build was given yet; its name.
    fn push(&self, number: usize) -> String {
        let mut layout = Layout::new(&self.clients.folder().join(format!("image-{number}")));
        let low = tar_of(&[("low", &format!("from below {number}\n"))]);
        layout.image("base", "amd64", &[&low]);
        let name = format!("{}/base:{number}", self.registry.host());
        let to = format!("docker://{name}");
        let _ =
            self.clients.skopeo(&["copy", "--dest-tls-verify=false", &layout.name("base"), &to]).succeeded();
        name
    }
}

/// Its app, which is not of the walk's own.
const BOXED: &str = "walker-boxed";

impl Verb for PushDockerfile {
    fn prepare(&mut self, client: &Client, number: usize) {
        let is_first = self.elsewhere.is_none();
        make_boxed(client, BOXED);
        let base = self.elsewhere.get_or_insert_with(Elsewhere::start).push(number);
        if is_first {
            // Its first step is found again from then on.
            let pushed = client.push(BOXED, &self.repo);
            assert_eq!(pushed.status, 0, "{}", pushed.text());
        }
        let below = format!("{DOCKERFILE}COPY --from={base} /low /low\nCMD python3 web.py\n");
        self.repo.write("Dockerfile", &below);
        self.repo.write("version.txt", &format!("boxed {number}\n"));
        self.repo.commit("Next");
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by_exit(&client.push(BOXED, &self.repo))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        wait_until("the version of the image", SOON, || {
            (client.page(BOXED)["version"] == format!("boxed {number}")).then_some(())
        });
        assert_eq!(client.head(BOXED), self.repo.head(), "the branch is what was pushed");
    }
}

/// The app of a round.
fn fresh(number: usize) -> String {
    format!("fresh-{number}")
}

impl Verb for FirstPush {
    fn prepare(&mut self, client: &Client, number: usize) {
        for app in client.list("/apps") {
            let name = app["name"].as_str().unwrap_or_default();
            if name.starts_with("fresh-") {
                client.http.api("DELETE", &format!("/apps/{name}")).with_status(200);
            }
        }
        client.http.api_json("POST", "/apps", &json!({ "name": fresh(number) })).with_status(201);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by_exit(&client.push(&fresh(number), &self.repo))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        client.page(&fresh(number));
        assert_eq!(client.head(&fresh(number)), self.repo.head(), "the branch is what was pushed");
    }
}

/// `heroku rollback` to the release before.
struct Rollback;

impl Verb for Rollback {
    fn prepare(&mut self, client: &Client, number: usize) {
        let releases = client.list(&format!("/apps/{APP}/releases"));
        // One to go back to, which the first with a slug has not.
        if !releases.iter().rev().nth(1).is_some_and(|before| before["slug"].is_object()) {
            let vars = json!({ "FORTH": number.to_string() });
            client.http.api_json("PATCH", &format!("/apps/{APP}/config-vars"), &vars).with_status(200);
            invariants::the_dynos_are_those_of_the_release(client, APP);
        }
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        let releases = client.http.api("GET", &format!("/apps/{APP}/releases"));
        if releases.status != 200 {
            return Told::by(&releases);
        }
        let releases = releases.json();
        let version = releases.as_array().and_then(|rows| rows.iter().rev().nth(1)?["version"].as_u64());
        let order = json!({ "release": version.unwrap_or_default().to_string() });
        Told::by(&client.http.api_json("POST", &format!("/apps/{APP}/releases"), &order))
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        let releases = client.list(&format!("/apps/{APP}/releases"));
        let newest = releases.last().cloned().unwrap_or_default();
        assert!(
            newest["description"].as_str().is_some_and(|text| text.starts_with("Rollback to v")),
            "{newest}"
        );
        assert_eq!(newest["current"], true);
    }
}

/// An archive that is uploaded and built.
struct Archive {
    repo: Repo,
}

impl Archive {
    fn send(&self, client: &Client) -> Option<serde_json::Value> {
        let source = client.http.api("POST", "/sources");
        let source = (source.status == 201).then(|| source.json())?;
        let file = self.repo.path().join(".git/source.tgz").display().to_string();
        let uploaded = client.http.upload(source["source_blob"]["put_url"].as_str()?, &file);
        (uploaded.status == 200).then_some(())?;
        let order =
            json!({ "source_blob": { "url": source["source_blob"]["get_url"], "version": "archive" } });
        let build = client.http.api_json("POST", &format!("/apps/{APP}/builds"), &order);
        (build.status == 201).then(|| build.json())
    }
}

impl Verb for Archive {
    fn prepare(&mut self, _: &Client, number: usize) {
        self.repo.write("version.txt", &format!("archive {number}\n"));
        self.repo.commit("Next");
        self.repo.git(&["archive", "--format=tar.gz", "--output=.git/source.tgz", "HEAD"]);
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        let Some(build) = self.send(client) else { return Told::No("cut off".into()) };
        let path = format!("/apps/{APP}/builds/{}", build["id"].as_str().unwrap_or_default());
        let ended = wait_until("the build's end", SOON, || {
            let build = client.http.api("GET", &path);
            (build.status == 200).then(|| build.json()).filter(|build| build["status"] != "pending")
        });
        match ended["status"].as_str() {
            Some("succeeded") => Told::Yes,
            // What was accepted is known, and an interruption fails it.
            status => Told::No(format!("{status:?}")),
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        wait_until("the uploaded version", SOON, || {
            (client.page(APP)["version"] == format!("archive {number}")).then_some(())
        });
    }
}

/// `git push` of an app with a release command.
struct ReleasePhase {
    repo: Repo,
}

impl Verb for ReleasePhase {
    fn prepare(&mut self, client: &Client, number: usize) {
        if client.http.api("GET", &format!("/apps/{RELEASED}")).status == 404 {
            client.http.api_json("POST", "/apps", &json!({ "name": RELEASED })).with_status(201);
            let command = format!("for n in $(seq {LINES}); do echo phase $n; done");
            self.repo.write("Procfile", &format!("web: python3 web.py\nrelease: {command}\n"));
        }
        self.repo.write("version.txt", &format!("released {number}\n"));
        self.repo.commit("Next");
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by_exit(&client.push(RELEASED, &self.repo))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        wait_until("the released version", SOON, || {
            (client.page(RELEASED)["version"] == format!("released {number}")).then_some(())
        });
        let releases = client.list(&format!("/apps/{RELEASED}/releases"));
        for release in releases.iter().filter(|release| release["output_stream_url"].is_string()) {
            let url = release["output_stream_url"].as_str().unwrap_or_default();
            let said = client.http.request("GET", url, &[], None).with_status(200).body;
            let lines: Vec<_> = said.lines().filter(|line| line.starts_with("phase ")).collect();
            let expected: Vec<_> = (1..=LINES).map(|n| format!("phase {n}")).collect();
            assert_eq!(lines, expected, "invariant: each line of a release phase arrives once and in order");
        }
    }
}
