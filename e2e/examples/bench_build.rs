//! What a build costs beside the same steps by hand in the same run: cold, warm with a change of code, of a commit that was built before.
//!
//! By hand means: unpack the commit, install with the ecosystem's own client and a cache of its own, make an EROFS file of the tree. No
//! server, no container, no release. A push is by git with the token given to it: what the official CLI takes to give it is
//! measured by `bench deploy`.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for the terminal")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::{Cli, Repo, Server, rounds, run};
use tempfile::TempDir;

const PYTHON_PACKAGES: &str = "flask==3.1.1\nrequests==2.32.4\nsqlalchemy==2.0.41\ncelery==5.5.3\nalembic==1.16.2\nhttpx==0.28.1\n\
    pydantic==2.11.7\nrich==14.0.0\nboto3==1.38.42\njinja2==3.1.6\nredis==6.2.0\ngunicorn==23.0.0\nmarkdown==3.8.2\nbeautifulsoup4==4.13.4\n";
const NODE_PACKAGES: &str = r#"{"name":"bench","version":"1.0.0","private":true,"engines":{"node":">=18"},"scripts":{"start":"node server.js"},
"dependencies":{"express":"4.21.2","lodash":"4.17.21","axios":"1.8.4","winston":"3.17.0","knex":"3.1.0"}}"#;

fn main() {
    let runs = rounds("PADDOCK_BENCH_RUNS", 3);
    let server = Server::start();
    let cli = Cli::new(&server);
    println!("\n{:<52}{:>9}{:>9}   bound", "median of so many runs", "ms", "ratio");
    for language in ["Python", "Node.js"] {
        builds(&server, &cli, language, runs);
    }
}

/// The app of a language, with its packages locked.
fn app_of(language: &str) -> Repo {
    match language {
        "Python" => Repo::of_files(&[
            ("requirements.txt", PYTHON_PACKAGES),
            ("Procfile", "web: python -m http.server $PORT\n"),
            ("words", "first\n"),
        ]),
        _ => {
            let repo = Repo::of_files(&[
                ("package.json", NODE_PACKAGES),
                (
                    "server.js",
                    "require('http').createServer((_, a) => a.end('x')).listen(process.env.PORT)\n",
                ),
                ("words", "first\n"),
            ]);
            let mut npm = Command::new("npm");
            npm.args(["install", "--package-lock-only", "--no-audit", "--no-fund"]).current_dir(repo.path());
            run(npm, b"", Duration::from_secs(300)).succeeded();
            repo.commit("The lock file");
            repo
        }
    }
}

fn builds(server: &Server, cli: &Cli, language: &str, runs: usize) {
    let (mut cold, mut by_hand, mut warm, mut again, mut written) = (vec![], vec![], vec![], vec![], vec![]);
    let repo = app_of(language);
    for number in 0..runs {
        let app = format!("{}-{number}", language.to_lowercase().replace('.', ""));
        let folder = TempDir::with_prefix("paddock-by-hand-").unwrap();
        by_hand.push(hand(&repo, folder.path(), language));
        cli.heroku_in(repo.path(), &["create", &app, "--no-remote"]).succeeded();
        let first = repo.head();
        cold.push(push(server, cli, &repo, &app, "HEAD"));
        repo.write("words", &format!("{number}\n"));
        repo.commit("Words");
        let before = layer_bytes(server);
        warm.push(push(server, cli, &repo, &app, "HEAD"));
        written.push(layer_bytes(server).saturating_sub(before));
        again.push(push(server, cli, &repo, &app, &first));
    }
    let floor = median(by_hand);
    line(&format!("{language}: push of a new app"), median(cold), Some(floor), "at most 1.15");
    line("  the same steps by hand", floor, None, "");
    line("  push of a change of code", median(warm), None, "at most 1000 ms more than packing");
    line("  push of a commit that was built before", median(again), None, "at most 500 ms");
    written.sort_unstable();
    println!(
        "  {:<50}{:>9}{:>9}   at most 2 x the change",
        "kB of layers written by a push of 2 bytes",
        written[runs / 2] / 1000,
        ""
    );
}

/// `git push` to its end.
fn push(server: &Server, cli: &Cli, repo: &Repo, app: &str, what: &str) -> Duration {
    let token = format!("http.extraHeader=Authorization: Bearer {}", cli.variable("HEROKU_API_KEY"));
    let url = format!("http://localhost:{}/{app}.git", server.port());
    let begun = Instant::now();
    let refs = format!("{what}:refs/heads/main");
    cli.git(repo.path(), &["-c", &token, "push", "--quiet", "--force", &url, &refs]).succeeded();
    begun.elapsed()
}

fn hand(repo: &Repo, folder: &Path, language: &str) -> Duration {
    let tree = folder.join("tree");
    fs::create_dir(&tree).unwrap();
    let begun = Instant::now();
    let archive = folder.join("tree.tar").display().to_string();
    repo.git(&["archive", "--output", &archive, "HEAD"]);
    program("tar", &["-xf", &archive, "-C", &tree.display().to_string()], folder);
    if language == "Python" {
        program("/usr/bin/python3", &["-m", "venv", ".venv"], &tree);
        program(
            ".venv/bin/pip",
            &["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"],
            &tree,
        );
    } else {
        program("npm", &["ci", "--no-audit", "--no-fund"], &tree);
    }
    let slug = folder.join("slug.erofs").display().to_string();
    program("mkfs.erofs", &["--quiet", &slug, &tree.display().to_string()], folder);
    begun.elapsed()
}

fn program(name: &str, arguments: &[&str], folder: &Path) {
    let mut command = Command::new(if name.starts_with('.') { folder.join(name) } else { name.into() });
    command
        .args(arguments)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("npm_config_cache", folder.join("npm"));
    run(command, b"", Duration::from_secs(300)).succeeded();
}

/// Bytes of all layers of the server.
fn layer_bytes(server: &Server) -> u64 {
    let layers = fs::read_dir(server.data().join("layers")).unwrap();
    layers.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn line(what: &str, took: Duration, floor: Option<Duration>, bound: &str) {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let ratio = floor.map(|floor| format!("{:.2}", ms(took) / ms(floor))).unwrap_or_default();
    println!("{what:<52}{:>9.1}{ratio:>9}   {bound}", ms(took));
}
