//! What must be so after a kill at any point: the sentences of `ARCHITECTURE.md`, "After a kill", one function each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::{Leftovers, Server, instance_letters, links, wait_until};
use serde_json::Value;

use crate::client::Client;

const DATA_SERVER: &str = "data server";
const SOON: Duration = Duration::from_secs(90);

/// No job runs for ever: builds and releases end by themselves.
pub(crate) fn no_work_is_left(client: &Client) {
    wait_until("invariant: no build and no release is pending for ever", SOON, || {
        let ended = |path: &str| client.list(path).iter().all(|row| row["status"] != "pending");
        let apps = client.list("/apps");
        let names: Vec<_> = apps.iter().filter_map(|app| app["name"].as_str()).collect();
        names
            .iter()
            .all(|app| ended(&format!("/apps/{app}/builds")) && ended(&format!("/apps/{app}/releases")))
            .then_some(())
    });
}

/// What the server says of an app.
struct Seen {
    app: String,
    releases: Vec<Value>,
    builds: Vec<Value>,
    /// The names of the dynos that the formation wants, in order, and the release that they are to be of.
    dynos: BTreeMap<String, u64>,
}

impl Seen {
    fn of(client: &Client, app: &str) -> Self {
        let releases = client.list(&format!("/apps/{app}/releases"));
        let dynos = wanted_dynos(client, app, &releases);
        Self { app: app.to_owned(), releases, builds: client.list(&format!("/apps/{app}/builds")), dynos }
    }
}

/// All that is asked of the outside after a restart.
pub(crate) fn hold(server: &Server, client: &Client) {
    let apps = client.list("/apps");
    let names = apps.iter().filter_map(|app| app["name"].as_str());
    let seen: Vec<Seen> = names.map(|app| Seen::of(client, app)).collect();
    for seen in &seen {
        releases_have_no_gap(seen);
        the_branch_is_the_newest_build(client, seen);
        ended_builds_have_their_record(client, seen);
        the_dynos_are(client, &seen.app, &seen.dynos);
        if seen.dynos.contains_key("web.1") {
            // An app that has a web dyno answers.
            client.page(&seen.app);
        }
    }
    let addons = client.list("/addons");
    let is_own =
        |addon: &&Value| addon["plan"]["name"].as_str().is_some_and(|plan| !plan.contains("essential"));
    nothing_runs_that_is_not_wanted(server, &apps, &seen, addons.iter().filter(is_own).count());
    nothing_is_kept_of_what_is_gone(server, &apps, &seen);
}

/// Version numbers have no gap, one release is current, and it has succeeded.
fn releases_have_no_gap(Seen { app, releases, .. }: &Seen) {
    let versions: Vec<_> = releases.iter().filter_map(|release| release["version"].as_u64()).collect();
    let expected: Vec<_> = (1..=versions.len() as u64).collect();
    assert_eq!(versions, expected, "invariant: version numbers have no gap ({app})");
    let current: Vec<_> = releases.iter().filter(|release| release["current"] == true).collect();
    assert_eq!(current.len(), 1, "invariant: one release is current ({app}: {releases:?})");
    assert_eq!(current[0]["status"], "succeeded", "invariant: the current release has succeeded ({app})");
}

/// The deploy branch names the commit of the newest successful build.
fn the_branch_is_the_newest_build(client: &Client, Seen { app, builds, .. }: &Seen) {
    let built = builds.iter().rfind(|build| {
        build["status"] == "succeeded"
            && build["source_blob"]["url"].as_str().is_some_and(|url| url.starts_with("git:"))
    });
    let commit = built.and_then(|build| build["source_blob"]["version"].as_str()).unwrap_or_default();
    assert_eq!(
        client.head(app),
        commit,
        "invariant: the branch names the newest successful build ({app}: {builds:?})"
    );
}

/// What a build used is written with its end, however it ended: the newest has its record, and that names its source.
fn ended_builds_have_their_record(client: &Client, Seen { app, builds, .. }: &Seen) {
    let Some(build) = builds.last() else { return };
    let path = format!("/apps/{app}/builds/{}/record", build["id"].as_str().unwrap_or_default());
    let record = client.get(&path);
    assert_eq!(record["status"], build["status"], "invariant: a build's record is of its end ({app})");
    let commit = build["source_blob"]["version"].as_str().unwrap_or_default();
    let facts = record["facts"].as_array().cloned().unwrap_or_default();
    let names_it = facts.iter().any(|fact| fact["kind"] == "source" && fact["value"] == commit);
    assert!(names_it, "invariant: a build's record names its source ({app}: {record})");
}

/// Exactly the formation's dynos run, all of the current release.
pub(crate) fn the_dynos_are_those_of_the_release(client: &Client, app: &str) {
    the_dynos_are(client, app, &Seen::of(client, app).dynos);
}

fn the_dynos_are(client: &Client, app: &str, wanted: &BTreeMap<String, u64>) {
    let mut seen = String::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("invariant: the dynos are the formation's, of the current release", SOON, || {
            let dynos = client.list(&format!("/apps/{app}/dynos"));
            seen = format!("{dynos:?}");
            let mut found = BTreeMap::new();
            for dyno in dynos.iter().filter(|dyno| dyno["state"] == "up") {
                let name = dyno["name"].as_str().unwrap_or_default().to_owned();
                found.insert(name, dyno["release"]["version"].as_u64().unwrap_or_default());
            }
            (found.len() == dynos.len() && found == *wanted).then_some(())
        });
    }));
    assert!(found.is_ok(), "{app} should have {wanted:?} up and has {seen}");
}

fn wanted_dynos(client: &Client, app: &str, releases: &[Value]) -> BTreeMap<String, u64> {
    let current = releases.iter().find(|release| release["current"] == true);
    let version = current.filter(|release| release["slug"].is_object()).and_then(|r| r["version"].as_u64());
    let mut wanted = BTreeMap::new();
    let Some(version) = version else { return wanted };
    for row in client.list(&format!("/apps/{app}/formation")) {
        for index in 1..=row["quantity"].as_u64().unwrap_or(0) {
            wanted.insert(format!("{}.{index}", row["type"].as_str().unwrap_or_default()), version);
        }
    }
    wanted.retain(|name, _| !name.starts_with("release."));
    wanted
}

/// Containers, control groups, interfaces: one of each for each dyno, and none besides.
fn nothing_runs_that_is_not_wanted(server: &Server, apps: &[Value], seen: &[Seen], own_servers: usize) {
    let dynos =
        seen.iter().flat_map(|Seen { app, dynos, .. }| dynos.keys().map(move |dyno| format!("{app} {dyno}")));
    let mut wanted: Vec<String> = dynos.collect();
    wanted.sort();
    let ids = apps
        .iter()
        .filter_map(|app| Some((app["id"].as_str()?.to_owned(), app["name"].as_str()?.to_owned())));
    let names: BTreeMap<String, String> = ids.collect();
    let letters = instance_letters(&server.data());
    // One is shared, and stays.
    let wanted_servers = 1 + own_servers;
    let mut there = Vec::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("invariant: one container for each dyno", SOON, || {
            there = containers(&server.data(), &names);
            let servers = there.iter().filter(|one| one.starts_with(DATA_SERVER)).count();
            there.retain(|one| !one.starts_with(DATA_SERVER));
            // One of the links is the bridge, which carries the letters alone.
            let is_so = there == wanted
                && links(&letters).len() == wanted.len() + servers + 1
                && volumes(&server.data()) == servers
                && servers <= wanted_servers;
            is_so.then_some(())
        });
    }));
    if found.is_err() {
        let left = Leftovers::of(&letters, &server.data());
        panic!("dynos {wanted:?}, containers {there:?}, in the kernel {left:#?}");
    }
}

/// How many data servers keep something.
fn volumes(data: &Path) -> usize {
    let entries = fs::read_dir(data.join("volumes")).into_iter().flatten().flatten();
    entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
}

/// `APP DYNO` of every container's folder, or `data server ID`.
fn containers(data: &Path, names: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data.join("run/containers")).into_iter().flatten().flatten() {
        let Ok(text) = fs::read_to_string(entry.path().join("spec.json")) else {
            found.push(entry.file_name().to_string_lossy().into_owned());
            continue;
        };
        let labels = serde_json::from_str::<Value>(&text).unwrap_or_default()["labels"].clone();
        if let Some(id) = labels["data_server"].as_str() {
            found.push(format!("{DATA_SERVER} {id}"));
            continue;
        }
        let app = labels["app"].as_str().unwrap_or_default();
        let app = names.get(app).map_or(app, String::as_str);
        found.push(format!("{app} {}", labels["dyno"].as_str().unwrap_or("(none)")));
    }
    found.sort();
    found
}

/// What carries an id on disk belongs to something that is there.
fn nothing_is_kept_of_what_is_gone(server: &Server, apps: &[Value], seen: &[Seen]) {
    let rows = seen.iter().flat_map(|seen| seen.builds.iter().chain(&seen.releases));
    let ids = apps.iter().chain(rows).filter_map(|row| row["id"].as_str());
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    let mut left = Vec::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("invariant: nothing is kept of what is gone", SOON, || {
            left = leavings(&server.data(), &ids);
            left.is_empty().then_some(())
        });
    }));
    assert!(found.is_ok(), "left on disk: {left:?}");
}

fn leavings(data: &Path, ids: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    for folder in ["git", "caches", "logs", "outputs", "builds", "run/volumes"] {
        for entry in fs::read_dir(data.join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_known = ids.iter().any(|id| name.starts_with(id.as_str()));
            if !is_known || matches!(folder, "builds" | "run/volumes") {
                left.push(format!("{folder}/{name}"));
            }
        }
    }
    left
}
