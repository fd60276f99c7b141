//! Time from `git push` to the first 200 of the new version, beside the floor: the same steps by hand.
//!
//! By hand means: push to a bare repository on disk, unpack the commit, make an EROFS file of it, start the program,
//! ask until it answers. No server, no container, no release. Both take the same Procfile-only app.
//!
//! git asks the official CLI for the token before a push and tells it afterwards that it was right: two starts of a
//! program of Node.js. So a push is measured as people do it, and with the token given to git.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for the terminal")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Cli, Repo, Server, pause, rounds, run};

const APP: &str = "bench";

fn main() {
    let runs = rounds("PADDOCK_BENCH_RUNS", 7);
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers(APP, "/");
    let floor_folder = tempfile::TempDir::with_prefix("paddock-floor-").unwrap();
    repo.git(&["init", "--quiet", "--bare", &floor_folder.path().join("bare.git").display().to_string()]);

    let token = format!("http.extraHeader=Authorization: Bearer {}", cli.variable("HEROKU_API_KEY"));
    let (mut deploys, mut with_token, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..runs {
        let version = next(&repo, &format!("run {number}"));
        floors.push(floor(&repo, floor_folder.path(), &version));
        deploys.push(deploy(&server, &cli, &repo, &[], &version));
        let version = next(&repo, &format!("run {number} with the token"));
        with_token.push(deploy(&server, &cli, &repo, &["-c", &token], &version));
    }
    for times in [&mut deploys, &mut with_token, &mut floors] {
        times.sort();
    }
    println!("git push to the first 200, median of {runs} runs");
    tell("paddock", &deploys);
    tell("without asking the CLI for the token", &with_token);
    tell("by hand", &floors);
    println!("  {:<38}{:6.1}", "ratio", ms(deploys[runs / 2]) / ms(floors[runs / 2]));
}

/// Makes a new version; its text.
fn next(repo: &Repo, version: &str) -> String {
    repo.write("version.txt", version);
    repo.commit("Next");
    version.to_owned()
}

/// A line about times, which are in order.
fn tell(what: &str, times: &[Duration]) {
    let middle = times[times.len() / 2];
    println!(
        "  {what:<38}{:6.0} ms   (from {:.0} to {:.0})",
        ms(middle),
        ms(times[0]),
        ms(times[times.len() - 1])
    );
}

fn deploy(server: &Server, cli: &Cli, repo: &Repo, options: &[&str], version: &str) -> Duration {
    let begun = Instant::now();
    let arguments = [options, &["push", "--quiet", "heroku", "main"]].concat();
    cli.git(repo.path(), &arguments).succeeded();
    let deadline = begun + Duration::from_secs(60);
    loop {
        let answer = server.get(APP, "/");
        if answer.status == 200 && answer.json()["version"] == version {
            return begun.elapsed();
        }
        assert!(Instant::now() < deadline, "{version} does not answer: {} {}", answer.status, answer.body);
        pause(Duration::from_millis(5));
    }
}

fn floor(repo: &Repo, folder: &Path, version: &str) -> Duration {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let begun = Instant::now();
    let bare = folder.join("bare.git").display().to_string();
    repo.git(&["push", "--quiet", "--force", &bare, "main"]);
    let tree = folder.join(version.replace(' ', "-"));
    fs::create_dir_all(&tree).unwrap();
    let archive = folder.join("tree.tar").display().to_string();
    repo.git(&["--git-dir", &bare, "archive", "--output", &archive, "main"]);
    program("tar", &["-xf", &archive, "-C", &tree.display().to_string()]);
    program(
        "mkfs.erofs",
        &["--quiet", &folder.join("slug.erofs").display().to_string(), &tree.display().to_string()],
    );
    let mut app = Running(start(&tree, port));
    let answers = || {
        let output =
            Command::new("curl").args(["--silent", &format!("http://127.0.0.1:{port}/")]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains(version)
    };
    while !answers() {
        assert!(app.0.try_wait().unwrap().is_none(), "the app ended");
        pause(Duration::from_millis(5));
    }
    begun.elapsed()
}

fn program(name: &str, arguments: &[&str]) {
    let mut command = Command::new(name);
    command.args(arguments);
    run(command, b"", Duration::from_secs(60)).succeeded();
}

fn start(tree: &Path, port: u16) -> Child {
    let mut command = Command::new("/usr/bin/python3");
    command.arg("web.py").current_dir(tree).env("PORT", port.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
