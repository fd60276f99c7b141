//! Builds with a buildpack of the test's own: one that says much and keeps a cache, one that fails, one that is cancelled.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Repo, run, wait_until};
use serde_json::json;

use super::{Kind, Verb, kind};
use crate::client::{Client, Told};

const SOON: Duration = Duration::from_secs(60);
/// The app that is built with it.
pub(crate) const BUILT: &str = "walker-built";

/// What the app's file `mode` tells the buildpack to do. Many lines: output is acknowledged after 256 pieces.
const COMPILE: &str = "#!/bin/bash
case $(cat $1/mode) in
  keep) for n in $(seq 600); do echo step $n; done; date >> $2/kept ;;
  fail) echo this one fails; exit 1 ;;
  wait) echo this one waits; sleep 1000 ;;
esac
";

/// Writes the buildpack as an archive into a folder that builds see.
pub(crate) fn prepare(folder: &Path) {
    let files = [
        ("bin/detect", "#!/bin/bash\necho Walk\n"),
        ("bin/compile", COMPILE),
        ("bin/release", "#!/bin/bash\necho '--- {}'\n"),
    ];
    let repo = Repo::of_files(&files);
    let archive = format!("--output={}/walk.tgz", folder.display());
    let mut git = Command::new("git");
    git.current_dir(repo.path()).args(["archive", "--format=tar.gz", &archive, "HEAD"]);
    run(git, b"", SOON).succeeded();
}

pub(super) fn verbs() -> Vec<Kind> {
    let repo = || Repo::of_app("journey");
    vec![
        kind("push with a buildpack", move || Build { mode: "keep", repo: repo() }),
        kind("failing push", move || Build { mode: "fail", repo: repo() }),
        kind("cancel", move || Cancel { repo: repo() }),
        kind("buildpack imported", || Import),
    ]
}

/// The next push runs the buildpack in this mode.
pub(crate) fn set_up(client: &Client, repo: &Repo, mode: &str, number: usize) {
    if client.http.api("GET", &format!("/apps/{BUILT}")).status == 404 {
        client.http.api_json("POST", "/apps", &json!({ "name": BUILT })).with_status(201);
        let url = format!("file://{}/walk.tgz", client.buildpacks);
        let updates = json!({ "updates": [{ "buildpack": url }] });
        client
            .http
            .api_json("PUT", &format!("/apps/{BUILT}/buildpack-installations"), &updates)
            .with_status(200);
    }
    repo.write("mode", mode);
    repo.write("version.txt", &format!("{mode} {number}\n"));
    repo.commit("Next");
}

/// `git push`, which succeeds or is rejected by the build.
struct Build {
    mode: &'static str,
    repo: Repo,
}

impl Verb for Build {
    fn prepare(&mut self, client: &Client, number: usize) {
        set_up(client, &self.repo, self.mode, number);
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        let pushed = client.push(BUILT, &self.repo);
        if self.mode == "fail" && pushed.text().contains("this one fails") && pushed.status != 0 {
            return Told::Yes;
        }
        Told::by_exit(&pushed)
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let is_there = client.head(BUILT) == self.repo.head();
        assert_eq!(
            is_there,
            self.mode == "keep",
            "the branch moves with a build that succeeds, and with no other"
        );
        if is_there {
            wait_until("the pushed version", SOON, || {
                (client.page(BUILT)["version"] == format!("keep {number}")).then_some(())
            });
        }
    }
}

/// `paddockd buildpacks import`.
struct Import;

impl Verb for Import {
    fn attempt(&self, client: &Client, number: usize) -> Told {
        let archive = format!("{}/walk.tgz", client.buildpacks);
        Told::by_exit(&client.operator(&["buildpacks", "import", &format!("walker/pack-{number}"), &archive]))
    }

    /// The name has the archive once, however often it was asked for, and the archive is there.
    fn check(&self, client: &Client, number: usize, _: &Told) {
        let list = client.operator(&["buildpacks", "list", "--json"]).succeeded().stdout;
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let name = format!("walker/pack-{number}");
        let of_name = list.as_array().unwrap().iter().filter(|one| one["name"] == name);
        let digests: Vec<_> = of_name.map(|one| one["sha256"].as_str().unwrap()).collect();
        assert_eq!(digests.len(), 1, "{digests:?}");
        let archive = client.data.join("buildpacks").join(digests[0]);
        assert!(archive.exists(), "a name has an archive that is not there");
    }
}

/// `DELETE /apps/{app}/builds/{build}`.
struct Cancel {
    repo: Repo,
}

impl Verb for Cancel {
    fn prepare(&mut self, client: &Client, number: usize) {
        set_up(client, &self.repo, "wait", number);
    }

    /// The push is begun and cancelled while it waits. What counts as told is that the push was rejected.
    fn attempt(&self, client: &Client, _: usize) -> Told {
        std::thread::scope(|scope| {
            let pushing = scope.spawn(|| client.push(BUILT, &self.repo));
            let builds = format!("/apps/{BUILT}/builds");
            while !pushing.is_finished() {
                let list = client.http.api("GET", &builds);
                let running = (list.status == 200).then(|| list.json()).and_then(|list| {
                    let pending = list.as_array()?.iter().find(|build| build["status"] == "pending")?.clone();
                    pending["id"].as_str().map(str::to_owned)
                });
                // Before its container runs there is nothing to be told.
                let said =
                    |id: &String| std::fs::read_to_string(client.data.join(format!("outputs/{id}.txt")));
                let waits = |id: &String| said(id).is_ok_and(|said| said.contains("this one waits"));
                if let Some(id) = running.filter(waits) {
                    let _ = client.http.api("DELETE", &format!("{builds}/{id}"));
                }
                e2e::pause(Duration::from_millis(100));
            }
            let pushed = pushing.join().unwrap();
            match pushed.status {
                0 => Told::No("a push that waits for ever went through".into()),
                _ if pushed.text().contains("canceled") => Told::Yes,
                _ => Told::No(pushed.text()),
            }
        })
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        assert_ne!(
            client.head(BUILT),
            self.repo.head(),
            "the branch does not move with a build that was cancelled"
        );
    }
}
