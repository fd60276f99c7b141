//! The points of a start: killed, the server is killed again while it comes up, on whatever it finds.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use e2e::{Repo, Server, pause, wait_until};
use serde_json::json;

use crate::client::{APP, Client};
use crate::parts::{Part, Steps};
use crate::verbs::{buildpack, deploy, image};
use crate::walk::is_over;
use crate::{Walk, dumps, full_databases, invariants};

const SOON: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a start finds.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    pub(crate) name: &'static str,
    /// The clock of its server is far ahead afterwards.
    pub(crate) is_aside: bool,
    /// A point that comes when it has long been quiet.
    pub(crate) last: Option<&'static str>,
    /// Makes it so, and ends the server.
    pub(crate) prepare: fn(&mut Server, &Client),
    /// Takes away what hinders it, before the next start.
    pub(crate) mend: fn(&Client),
    /// What is so afterwards, besides the invariants.
    pub(crate) check: fn(&Server, &Client),
}

/// One on which nothing is remarkable.
pub(crate) const START: Start = Start {
    name: "start",
    is_aside: false,
    last: None,
    prepare: |server, _| server.kill9_serve(),
    mend: |_| (),
    check: |_, _| (),
};

const STARTS: [Start; 12] = [
    START,
    Start {
        name: "start of another build",
        // The router of the build before ends when it has no clients any more.
        last: Some("router.socket_removed:after"),
        prepare: another_build,
        ..START
    },
    Start { name: "start whose router fails", prepare: no_log_for_a_router, mend: log_for_a_router, ..START },
    Start { name: "start beside replaced routers", prepare: replaced_routers, ..START },
    Start { name: "start on torn logs", prepare: torn_logs, ..START },
    Start { name: "start after half a build", prepare: half_a_build, ..START },
    Start {
        name: "start a day later",
        is_aside: true,
        prepare: a_day_later,
        check: no_source_is_left,
        ..START
    },
    Start {
        name: "start after half a release",
        prepare: half_a_release,
        check: release_is_told_once,
        ..START
    },
    Start { name: "start on a strange job", prepare: strange_job, check: strange_job_has_failed, ..START },
    Start {
        name: "start a month later",
        is_aside: true,
        prepare: a_month_later,
        check: old_releases_have_expired,
        ..START
    },
    dumps::TO_FILL,
    dumps::OF_NOTHING,
];

pub(crate) fn parts() -> Vec<Part> {
    let part = |start: Start| Part { is_aside: start.is_aside, ..Part::new(start.name, move |_| start) };
    STARTS.into_iter().chain(full_databases::STARTS).map(part).collect()
}

impl Steps for Start {
    fn record(&mut self, walk: &mut Walk) -> Vec<String> {
        self.come_up(walk, None)
    }

    fn die_at(&mut self, walk: &mut Walk, point: &str) -> bool {
        self.come_up(walk, Some(point));
        walk.points.has_struck()
    }
}

impl Start {
    /// Starts the server on what it is to find, with a death at `point`, or noting the points that it passes; asserts
    /// what must be so afterwards.
    fn come_up(&self, walk: &mut Walk, point: Option<&str>) -> Vec<String> {
        (self.prepare)(&mut walk.server, &walk.client);
        walk.points.record();
        if let Some(point) = point {
            walk.points.arm(point);
        }
        walk.server.spawn_serve();
        let passed = self.stirred(walk);
        walk.server.wait_ready();
        walk.client.calm();
        invariants::no_work_is_left(&walk.client);
        invariants::hold(&walk.server, &walk.client);
        (self.check)(&walk.server, &walk.client);
        passed
    }

    /// Waits for the death of a server that comes up, or until it has come to rest; the points that it passed.
    fn stirred(&self, walk: &mut Walk) -> Vec<String> {
        let (server, points, client) = (&mut walk.server, &walk.points, &walk.client);
        std::thread::scope(|scope| {
            let stirring = scope.spawn(|| client.stir());
            let (mut stirred, mut died) = (None, false);
            let has_come = || self.last.is_none_or(|last| points.has_passed(last));
            let is_over = |since: Instant| (is_over(points, since) && has_come()) || since.elapsed() > SOON;
            while !died && !stirred.is_some_and(is_over) {
                died = server.has_died();
                if stirred.is_none() && stirring.is_finished() {
                    stirred = Some(Instant::now());
                }
                pause(Duration::from_millis(5));
            }
            points.disarm();
            // What follows is the test's own doing.
            let passed = points.recorded();
            (self.mend)(client);
            if points.has_struck() {
                server.wait_dead();
                server.spawn_serve();
            }
            passed
        })
    }
}

/// The router of the build before is replaced.
fn another_build(server: &mut Server, _: &Client) {
    server.upgrade_program();
    server.kill9_serve();
}

/// The router of the build before is to be replaced by one that cannot open its log.
fn no_log_for_a_router(server: &mut Server, client: &Client) {
    another_build(server, client);
    let log = router_log(client);
    fs::rename(&log, log.with_extension("aside")).unwrap();
    fs::create_dir(log).unwrap();
}

fn log_for_a_router(client: &Client) {
    let log = router_log(client);
    fs::remove_dir(&log).unwrap();
    fs::rename(log.with_extension("aside"), log).unwrap();
}

fn router_log(client: &Client) -> PathBuf {
    client.data.join("router/router.log")
}

/// As a server leaves it that is killed in the middle of a replacement, and one whose replaced router ended meanwhile.
fn replaced_routers(server: &mut Server, _: &Client) {
    server.kill9_serve();
    let run = server.data().join("run");
    fs::rename(run.join("router.sock"), run.join("router-1.sock")).unwrap();
    drop(UnixListener::bind(run.join("router-2.sock")).unwrap());
}

/// A segment that ends in the middle of a record, one in which nothing was written yet, and one that is past its time.
fn torn_logs(server: &mut Server, client: &Client) {
    client.fill_log();
    let folder = server.data().join("logs").join(client.id(APP));
    server.kill9_serve();
    let newest = segments(&folder).into_iter().max().unwrap();
    let mut torn = OpenOptions::new().append(true).open(segment(&folder, newest)).unwrap();
    torn.write_all(b"torn").unwrap();
    File::create(segment(&folder, newest + 1_000_000)).unwrap();
    let old = File::create(segment(&folder, 0)).unwrap();
    old.set_modified(SystemTime::now() - 30 * DAY).unwrap();
}

fn segment(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.seg"))
}

/// The first numbers of the segments in an app's folder of logs.
fn segments(folder: &Path) -> Vec<u64> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.to_str()?.strip_suffix(".seg")?.parse().ok()).collect()
}

/// A build is interrupted while it compiles.
fn half_a_build(server: &mut Server, client: &Client) {
    let repo = Repo::of_app("journey");
    buildpack::set_up(client, &repo, "wait", 0);
    let builds = server.data().join("builds");
    std::thread::scope(|scope| {
        scope.spawn(|| client.push(buildpack::BUILT, &repo));
        wait_until("a build", SOON, || {
            fs::read_dir(&builds).is_ok_and(|mut all| all.next().is_some()).then_some(())
        });
        server.kill9_serve();
    });
}

/// The app of [`half_a_release`].
const RELEASED: &str = "walker-half-released";
const RELEASE: &str = "web: python3 web.py\nrelease: echo begun; sleep 2; echo ended\n";

/// A release phase is left alone after its first line, of which more was written than noted.
fn half_a_release(server: &mut Server, client: &Client) {
    let app = format!("/apps/{RELEASED}");
    if client.http.api("GET", &app).status == 404 {
        client.http.api_json("POST", "/apps", &json!({ "name": RELEASED })).with_status(201);
    }
    let repo = Repo::of_app("journey");
    let releases = format!("{app}/releases");
    repo.write("Procfile", RELEASE);
    repo.write("version.txt", &format!("after {} releases\n", client.list(&releases).len()));
    repo.commit("Next");
    let outputs = server.data().join("outputs");
    std::thread::scope(|scope| {
        scope.spawn(|| client.push(RELEASED, &repo));
        let text = wait_until("the first line of a release phase", SOON, || {
            let newest = client.list(&releases).pop()?;
            let text = outputs.join(format!("{}.txt", newest["id"].as_str()?));
            (newest["status"] == "pending"
                && fs::read_to_string(&text).is_ok_and(|said| said.contains("begun\n")))
            .then_some(text)
        });
        server.kill9_serve();
        OpenOptions::new().append(true).open(text).unwrap().write_all(b"torn").unwrap();
    });
}

fn release_is_told_once(_: &Server, client: &Client) {
    for release in client.list(&format!("/apps/{RELEASED}/releases")) {
        if let Some(url) = release["output_stream_url"].as_str() {
            let said = client.http.request("GET", url, &[], None).with_status(200).body;
            let mut lines: Vec<_> = said.lines().collect();
            lines.retain(|line| ["begun", "ended"].contains(line) || line.contains("torn"));
            let once = ["begun", "ended"];
            assert_eq!(lines, once, "invariant: each line of a release phase arrives once and in order");
        }
    }
}

/// A source, and files of others, are past their time; an app was destroyed the day before.
fn a_day_later(server: &mut Server, client: &Client) {
    let source = client.http.api("POST", "/sources").with_status(201).json();
    let url = source["source_blob"]["put_url"].as_str().unwrap_or_default();
    client.http.upload(url, &client.slug_archive).with_status(200);
    let sources = server.data().join("sources");
    File::create(sources.join("broken-off.part")).unwrap();
    client.http.api_json("POST", "/apps", &json!({ "name": "forgotten" })).with_status(201);
    client.http.api("DELETE", "/apps/forgotten").with_status(200);
    image::leave_for_a_day(client);
    server.kill9_serve();
    // Also what earlier kills in the middle of an upload have left.
    for file in fs::read_dir(sources).unwrap() {
        let file = File::options().append(true).open(file.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - 2 * DAY).unwrap();
    }
    client.clock.advance(DAY + Duration::from_secs(60 * 60));
}

fn no_source_is_left(_: &Server, client: &Client) {
    image::a_day_has_passed(client);
    wait_until("invariant: nothing is kept of what is gone (sources)", SOON, || {
        fs::read_dir(client.data.join("sources")).is_ok_and(|mut files| files.next().is_none()).then_some(())
    });
}

const STRANGE_JOB: &str = "00000000-0000-7000-8000-000000000001";

/// A job that a later version made, before the operator went back to this one.
fn strange_job(server: &mut Server, _: &Client) {
    server.kill9_serve();
    server.sql(&format!("DELETE FROM jobs WHERE id = '{STRANGE_JOB}'"));
    server.sql(&format!(
        "INSERT INTO jobs (id, kind, app_id, subject_id, phase, state, attempt, payload, run_at, created_at, updated_at) \
         SELECT '{STRANGE_JOB}', 'of-tomorrow', id, id, 'begin', 'pending', 0, '{{}}', created_at, created_at, created_at \
         FROM apps WHERE name = '{APP}'"
    ));
}

fn strange_job_has_failed(server: &Server, _: &Client) {
    let told = format!("SELECT state || ': ' || last_error FROM jobs WHERE id = '{STRANGE_JOB}'");
    wait_until("invariant: no job runs for ever", SOON, || {
        (server.sql(&told).trim() == "failed: no such kind of job: of-tomorrow").then_some(())
    });
}

/// More releases were made than are kept, and none of them is young any more.
fn a_month_later(server: &mut Server, client: &Client) {
    let made = client.list(&format!("/apps/{APP}/releases")).len();
    for number in made..(made + 1).max(25) {
        let vars = json!({ "NUMBER": number.to_string() });
        client.http.api_json("PATCH", &format!("/apps/{APP}/config-vars"), &vars).with_status(200);
    }
    invariants::the_dynos_are_those_of_the_release(client, APP);
    image::leave_for_a_month(client);
    deploy::leave_layers(client);
    server.kill9_serve();
    client.clock.advance(31 * DAY);
}

fn old_releases_have_expired(_: &Server, client: &Client) {
    image::a_month_has_passed(client);
    let releases = format!("/apps/{APP}/releases");
    let expired = wait_until("invariant: nothing is kept of what is gone (slugs)", SOON, || {
        let mut all = client.list(&releases);
        all.truncate(all.len() - 20);
        all.retain(|release| release["slug"].is_object() || release["status"] == "expired");
        let has_slug = |release: &serde_json::Value| release["slug"].is_object();
        (!all.iter().any(has_slug)).then(|| all.pop().unwrap())
    });
    let refused = client.http.api_json("POST", &releases, &json!({ "release": expired["id"] }));
    assert!(refused.status == 422 && refused.body.contains("has expired"), "{}", refused.body);
}
