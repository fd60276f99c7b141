//! Time from `git push` to the first 200 of the new version, beside the floor: the same steps by hand.
//!
//! By hand means: push to a bare repository on disk, unpack the commit, make an EROFS file of it, start the program,
//! ask until it answers. No server, no container, no release. Both take the same Procfile-only app.
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

    let (mut deploys, mut floors) = (Vec::new(), Vec::new());
    for number in 0..runs {
        let version = format!("run {number}");
        repo.write("version.txt", &version);
        repo.commit("Next");
        floors.push(floor(&repo, floor_folder.path(), &version));
        deploys.push(deploy(&server, &cli, &repo, &version));
    }
    let (deploy, floor) = (median(&mut deploys), median(&mut floors));
    println!("git push to the first 200, median of {runs} runs");
    println!(
        "  paddock  {:6.0} ms   (from {:.0} to {:.0})",
        ms(deploy),
        ms(deploys[0]),
        ms(deploys[runs - 1])
    );
    println!("  by hand  {:6.0} ms   (from {:.0} to {:.0})", ms(floor), ms(floors[0]), ms(floors[runs - 1]));
    println!("  ratio    {:6.1}", deploy.as_secs_f64() / floor.as_secs_f64());
}

fn deploy(server: &Server, cli: &Cli, repo: &Repo, version: &str) -> Duration {
    let begun = Instant::now();
    cli.git(repo.path(), &["push", "--quiet", "heroku", "main"]).succeeded();
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

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
