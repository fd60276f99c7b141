//! What a database costs beside the bare tools in the same run: making one, TPC-B through its address, a dump and a restore.
//!
//! The floors: `initdb` and a start of the same PostgreSQL on the same disk; the same server asked on loopback, from within
//! its own network; `pg_dump` and `pg_restore` by hand.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for the terminal")]

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Http, Server, pause, rounds, run};
use serde_json::{Value, json};

/// A user without rights, for the bare server.
const NOBODY: u32 = 65_534;
const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    let runs = rounds("PADDOCK_BENCH_RUNS", 5);
    let seconds = rounds("PADDOCK_BENCH_SECONDS", 10);
    let server = Server::start();
    let http = server.http();
    http.api_json("POST", "/apps", &json!({ "name": "bench" })).with_status(201);
    // The first one makes the server that the others share.
    create(&http, "essential-0", "warm");
    let essential = times(runs, |number| create(&http, "essential-0", &format!("shared-{number}")));
    let dedicated = times(runs, |number| {
        let took = create(&http, "standard-0", &format!("own-{number}"));
        destroy(&http, &format!("own-{number}"));
        took
    });
    let bare = times(runs, |_| bare_server());
    println!("\n{:<46}{:>9}{:>9}   bound", "median of so many runs", "ms", "ratio");
    line("an essential database, the server runs", essential, None, "at most 500 ms");
    line("a dedicated one", dedicated, Some(bare), "at most 2000 ms and 1.5");
    line("  initdb and start by hand", bare, None, "");
    create(&http, "standard-0", "measured");
    tpc_b(&server, &http, seconds);
    backups(&http, runs);
}

fn times(runs: usize, mut once: impl FnMut(usize) -> Duration) -> Duration {
    let mut all: Vec<Duration> = (0..runs).map(&mut once).collect();
    all.sort();
    all[runs / 2]
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds")]
fn line(what: &str, took: Duration, floor: Option<Duration>, bound: &str) {
    let ratio = floor.map(|floor| format!("{:.2}", took.as_secs_f64() / floor.as_secs_f64()));
    println!("{what:<46}{:>9.0}{:>9}   {bound}", took.as_micros() as f64 / 1000.0, ratio.unwrap_or_default());
}

/// Makes an add-on and waits until a client is let in.
fn create(http: &Http, plan: &str, name: &str) -> Duration {
    let begun = Instant::now();
    let order = json!({ "plan": format!("heroku-postgresql:{plan}"), "name": name, "attachment": {} });
    http.api_json("POST", "/apps/bench/addons", &order).with_status(201);
    while http.api("GET", &format!("/apps/bench/addons/{name}")).with_status(200).json()["state"]
        != "provisioned"
    {
        assert!(begun.elapsed() < MINUTE, "{name} is not there");
        pause(Duration::from_millis(5));
    }
    begun.elapsed()
}

fn destroy(http: &Http, name: &str) {
    http.api("DELETE", &format!("/apps/bench/addons/{name}")).with_status(200);
    let begun = Instant::now();
    while http.api("GET", &format!("/apps/bench/addons/{name}")).status != 404 {
        assert!(begun.elapsed() < MINUTE, "{name} is still there");
        pause(Duration::from_millis(20));
    }
}

/// The newest PostgreSQL of this machine.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
    let newest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max().unwrap();
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}

fn as_nobody(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).uid(NOBODY).gid(NOBODY).env("LANG", "C.UTF-8");
    command
}

/// `initdb` and a start, until a client is let in.
fn bare_server() -> Duration {
    let folder = tempfile::TempDir::with_prefix("paddock-bare-").unwrap();
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let data = folder.path().join("data").display().to_string();
    let sockets = folder.path().display().to_string();
    let begun = Instant::now();
    let init = [
        "--data-checksums",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--username=postgres",
        "--auth=trust",
        "-D",
        &data,
    ];
    run(as_nobody(&programs().join("initdb"), &init), b"", MINUTE).succeeded();
    let listen = format!("-c listen_addresses= -c unix_socket_directories={sockets}");
    let mut server = as_nobody(&programs().join("postgres"), &["-D", &data]);
    server.args(listen.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = server.spawn().unwrap();
    let answers = || {
        let ready =
            Command::new("psql").args(["-h", &sockets, "-U", "postgres", "-qAtc", "SELECT 1"]).output();
        ready.unwrap().status.success()
    };
    while !answers() {
        assert!(begun.elapsed() < MINUTE && server.try_wait().unwrap().is_none(), "the bare server");
        pause(Duration::from_millis(5));
    }
    let took = begun.elapsed();
    server.kill().unwrap();
    server.wait().unwrap();
    took
}

/// The pid of the only data server of a plan of its own.
fn program_of(server: &Server) -> u64 {
    let folders = std::fs::read_dir(server.data().join("run/containers")).unwrap().flatten();
    let mut found = Vec::new();
    for entry in folders {
        let read = |name: &str| -> Value {
            serde_json::from_str(&std::fs::read_to_string(entry.path().join(name)).unwrap_or_default())
                .unwrap_or_default()
        };
        if read("spec.json")["labels"]["plan"].as_str().is_some_and(|plan| plan.starts_with("standard")) {
            found.extend(read("state.json")["init"]["pid"].as_u64());
        }
    }
    assert_eq!(found.len(), 1, "one dedicated server");
    found[0]
}

/// pgbench's own transactions, by the address that the app has and, in turn, by loopback in the server's own network.
fn tpc_b(server: &Server, http: &Http, seconds: usize) {
    let vars = http.api("GET", "/addons/measured/config").with_status(200).json();
    let url = vars[0]["value"].as_str().unwrap().to_owned();
    let (address, _) = url.rsplit_once('@').unwrap().1.split_once(':').unwrap();
    let local = url.replace(address, "127.0.0.1");
    let pgbench = programs().join("pgbench").display().to_string();
    let inside = ["nsenter", "--net", "-t", &program_of(server).to_string()].map(str::to_owned);
    let bench = |prefix: &[String], arguments: &[&str], url: &str| {
        let words: Vec<&str> = prefix
            .iter()
            .map(String::as_str)
            .chain([pgbench.as_str()])
            .chain(arguments.iter().copied())
            .collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(url).env("PGSSLMODE", "require");
        run(command, b"", Duration::from_secs(300)).succeeded()
    };
    bench(&[], &["-i", "-q", "-s", "10"], &url);
    let length = seconds.to_string();
    let measured = ["-c", "8", "-j", "2", "-T", &length];
    let tps = |outcome: e2e::Outcome| -> f64 {
        let found = outcome.stdout.lines().find_map(|line| line.strip_prefix("tps = "));
        found.and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap()
    };
    let (mut ours, mut loopback) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(tps(bench(&[], &measured, &url)));
        loopback.push(tps(bench(&inside, &measured, &local)));
    }
    for all in [&mut ours, &mut loopback] {
        all.sort_by(f64::total_cmp);
    }
    println!("\n{:<46}{:>9}{:>9}   bound", "TPC-B, 8 clients, median of 3", "tps", "ratio");
    println!("{:<46}{:>9.0}{:>9.2}   at least 0.95", "by the app's address", ours[1], ours[1] / loopback[1]);
    println!("{:<46}{:>9.0}", "the same server on its loopback", loopback[1]);
}

/// A dump and a restore of what `tpc_b` left, by the commands' calls and by the bare tools with the same client.
fn backups(http: &Http, runs: usize) {
    let vars = http.api("GET", "/addons/measured/config").with_status(200).json();
    let url = vars[0]["value"].as_str().unwrap().to_owned();
    let folder = tempfile::TempDir::with_prefix("paddock-bare-").unwrap();
    let file = folder.path().join("bare.dump").display().to_string();
    let tool = |name: &str, arguments: &[&str]| {
        let begun = Instant::now();
        let mut command = Command::new(programs().join(name));
        command.args(arguments).env("PGSSLMODE", "require");
        run(command, b"", Duration::from_secs(600)).succeeded();
        begun.elapsed()
    };
    // So much that what is the same for any database, containers and a login, is not most of it: 1.5 GB.
    tool("pgbench", &["-i", "-q", "-s", "100", &url]);
    let (mut ours, mut bare) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..runs {
        let captured = transfer(http, "backups", &json!({}));
        bare[0].push(tool("pg_dump", &["-Fc", "-N", "_heroku", "--no-owner", "--no-acl", "-f", &file, &url]));
        ours[0].push(captured.0);
        let order = json!({ "backup_url": captured.1 });
        ours[1].push(transfer(http, "restores", &order).0);
        let clean = ["--clean", "--if-exists", "--no-owner", "--no-acl", "-d", &url, &file];
        bare[1].push(tool("pg_restore", &clean));
    }
    let median = |all: &mut Vec<Duration>| {
        all.sort();
        all[all.len() / 2]
    };
    println!();
    for (number, what) in ["a backup", "a restore"].into_iter().enumerate() {
        let (ours, bare) = (median(&mut ours[number]), median(&mut bare[number]));
        line(what, ours, Some(bare), "at most 1.1");
        line("  by the bare tool", bare, None, "");
    }
}

/// A transfer of the measured database, and the address of its backup.
fn transfer(http: &Http, kind: &str, order: &Value) -> (Duration, Value) {
    let begun = Instant::now();
    let path = format!("/client/v11/databases/measured/{kind}");
    let made = http.api_json("POST", &path, order).with_status(201).json();
    let path = format!("/client/v11/apps/bench/transfers/{}", made["uuid"].as_str().unwrap());
    loop {
        let now = http.api("GET", &path).with_status(200).json();
        if let Some(succeeded) = now["succeeded"].as_bool() {
            assert!(succeeded, "{kind}: {now}");
            return (begun.elapsed(), now["to_url"].clone());
        }
        assert!(begun.elapsed() < Duration::from_secs(600), "{kind} does not end");
        pause(Duration::from_millis(5));
    }
}
