//! What a dyno is to the program in it: how it is stopped, what it sees of its limits, how its files are dated, and in
//! which order its log tells of its end.

use std::time::{Duration, Instant};

use e2e::{Answer, Cli, Repo, Server, may_run, wait_until};

/// `npm start` is the program, and what answers is its child's child.
const PACKAGE: &str = r#"{"name":"parent","version":"1.0.0","private":true,"engines":{"node":">=18"},"scripts":{"start":"node server.js"}}"#;
const SERVER_JS: &str = r#"
let begun = 0;
const server = require("http").createServer((request, response) => {
  if (request.url === "/slow") {
    begun += 1;
    setTimeout(() => response.end("slow done\n"), 3000);
  } else {
    const heap = require("v8").getHeapStatistics().heap_size_limit;
    response.end(JSON.stringify({ begun, memory: process.constrainedMemory(), heap }));
  }
});
process.on("SIGTERM", () => {
  console.log("closing");
  server.close(() => { console.log("closed cleanly"); process.exit(0); });
});
server.listen(process.env.PORT, "0.0.0.0");
"#;

/// A script that starts its server as one step of several, and has a daemon beside it.
const START_SH: &str = "#!/bin/bash\necho preparing\nsleep 1000 &\npython3 server.py\necho never\n";
const SERVER_PY: &str = r#"
import http.server, json, os, signal, threading, time
begun = 0
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global begun
        self.send_response(200)
        self.end_headers()
        if self.path == "/slow":
            begun += 1
            time.sleep(3)
            self.wfile.write(b"slow done\n")
        else:
            self.wfile.write(json.dumps({"begun": begun}).encode())
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
server = Server(("0.0.0.0", int(os.environ["PORT"])), Page)
def close(*_):
    print("closing", flush=True)
    threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, close)
server.serve_forever()
server.server_close()
print("closed cleanly", flush=True)
"#;

fn deployed(cli: &Cli, app: &str, files: &[(&str, &str)]) -> Repo {
    let repo = Repo::of_files(files);
    cli.heroku_in(repo.path(), &["create", app]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    repo
}

/// What the log has of an app's dyno, without times.
fn lines_of(cli: &Cli, repo: &Repo) -> Vec<String> {
    let log =
        cli.heroku_in(repo.path(), &["logs", "--num", "1500", "--process-type", "web"]).succeeded().stdout;
    log.lines().filter_map(|line| Some(line.split_once("]: ")?.1.to_owned())).collect()
}

fn has(lines: &[String], wanted: &str) -> bool {
    lines.iter().any(|line| line.as_str() == wanted)
}

/// Asks for the slow page, has the dyno stopped while it waits, and gives the answer.
fn answered_meanwhile(server: &Server, app: &str, stop: impl FnOnce()) -> Answer {
    server.answers(app, "/");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get(app, "/slow"));
        wait_until("the slow request to reach the dyno", Duration::from_secs(30), || {
            (server.answers(app, "/").json()["begun"] == 1).then_some(())
        });
        stop();
        match waiting.join() {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[test]
fn a_request_in_flight_is_answered_when_the_parent_of_its_server_is_stopped() {
    if !may_run("stops of process trees") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let node = deployed(&cli, "by-npm", &[("package.json", PACKAGE), ("server.js", SERVER_JS)]);
    let script = [("Procfile", "web: bash start.sh\n"), ("start.sh", START_SH), ("server.py", SERVER_PY)];
    let shell = deployed(&cli, "by-script", &script);

    // The dyno's own limit is what a runtime takes for the machine's.
    let seen = server.answers("by-npm", "/").json();
    assert_eq!(seen["memory"], 512 << 20, "{seen}");
    assert!(seen["heap"].as_u64().is_some_and(|heap| heap < 512 << 20), "{seen}");

    let restart = || drop(cli.heroku_in(node.path(), &["ps:restart"]).succeeded());
    let release = || drop(cli.heroku_in(shell.path(), &["config:set", "A=b"]).succeeded());
    let answers = [
        (&node, answered_meanwhile(&server, "by-npm", restart)),
        (&shell, answered_meanwhile(&server, "by-script", release)),
    ];
    for (repo, answer) in answers {
        assert_eq!((answer.status, answer.body.as_str()), (200, "slow done\n"), "{answer:?}");
        let mut lines = Vec::new();
        wait_until("the end of the old dyno", Duration::from_secs(40), || {
            lines = lines_of(&cli, repo);
            lines.iter().any(|line| line.starts_with("Process exited with status ")).then_some(())
        });
        assert!(has(&lines, "closing") && has(&lines, "closed cleanly"), "{lines:#?}");
        let said = |words: &str| lines.iter().position(|line| line.starts_with(words));
        assert!(said("closed cleanly") < said("Process exited with status "), "{lines:#?}");
        assert!(!has(&lines, "never") && said("Error R12").is_none(), "{lines:#?}");
    }

    // A one-off dyno ends with its program, and what that left behind is asked to end.
    let begun = Instant::now();
    let left =
        cli.heroku_in(shell.path(), &["run", "--no-tty", "--exit-code", "sh -c 'sleep 1000 & exit 4'"]);
    assert_eq!(left.status, 4, "{}", left.text());
    assert!(begun.elapsed() < Duration::from_secs(25), "it is not waited for: {:?}", begun.elapsed());
}

#[test]
fn a_browser_gets_the_page_of_the_release_that_runs() {
    if !may_run("dates of files") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let files = [("Procfile", "web: python3 -m http.server $PORT\n"), ("page.html", "the first\n")];
    let repo = deployed(&cli, "paged", &files);
    let url = format!("http://{}:{}/page.html", server.host("paged"), server.port());
    let seen = |header: &str| server.http().request("GET", &url, &[header], None);
    let served = |text: &str| {
        let found = wait_until(&format!("the page {text:?}"), Duration::from_secs(60), || {
            let answer = seen("Accept: */*");
            (answer.status == 200 && answer.body == text).then_some(answer)
        });
        found.header("last-modified").unwrap_or_default().to_owned()
    };
    let first = served("the first\n");
    assert_eq!(first, "Thu, 01 Jan 2026 00:01:00 GMT", "the time of its commit");
    assert_eq!(seen(&format!("If-Modified-Since: {first}")).status, 304);

    repo.write("page.html", "the other\n");
    repo.commit("As long as the first");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    let second = served("the other\n");
    assert_eq!(second, "Thu, 01 Jan 2026 00:02:00 GMT");
    assert_eq!(seen(&format!("If-Modified-Since: {first}")).with_status(200).body, "the other\n");

    // Back again. Servers that compare dates or tags made of them, and not which is earlier, see another file.
    cli.heroku_in(repo.path(), &["rollback"]).succeeded();
    assert_eq!(served("the first\n"), first);
    let zipped = "python3 -m zipfile -c /tmp/a.zip page.html Procfile && ls /tmp/a.zip";
    cli.heroku_in(repo.path(), &["run", "--no-tty", zipped]).succeeded().saying("/tmp/a.zip");
}

#[test]
fn a_dyno_that_dies_at_once_says_why_before_the_log_tells_of_it() {
    if !may_run("dynos that die at once") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let dies = "web: seq 500; echo why I die >&2; exit 3\n";
    let repo = deployed(&cli, "brief", &[("Procfile", dies)]);
    let mut lines = Vec::new();
    wait_until("two crashes", Duration::from_secs(60), || {
        lines = lines_of(&cli, &repo);
        let crashes = lines.iter().filter(|line| line.as_str() == "State changed from starting to crashed");
        (crashes.count() == 2).then_some(())
    });
    let told: Vec<_> = lines.iter().filter(|line| line.parse::<u32>().is_err()).collect();
    let life = |next: &str| {
        let command = dies.trim_start_matches("web: ").trim_end();
        let lines = [
            &format!("Starting process with command `{command}`"),
            "why I die",
            "Process exited with status 3",
            "State changed from starting to crashed",
            next,
        ];
        lines.map(str::to_owned)
    };
    let next_try = "Next try in 10 minutes, or at once by heroku ps:restart";
    let expected = [life("State changed from crashed to starting"), life(next_try)].concat();
    assert!(told.iter().copied().eq(&expected), "{told:#?}");
    let exit = lines.iter().position(|line| line.starts_with("Process exited")).unwrap_or_default();
    assert_eq!(lines[..exit].iter().filter(|line| line.parse::<u32>().is_ok()).count(), 500);
}

/// Says which version it is; one that is to end does so once it was asked.
const VERSION_PY: &str = r#"
import http.server, os, threading
version, ends = open("version.txt").read().split()
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(version.encode())
        if ends == "ends":
            threading.Timer(0.2, os._exit, [7]).start()
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
"#;

#[test]
fn a_release_that_does_not_come_up_leaves_the_one_before_serving() {
    if !may_run("releases that do not come up") {
        return;
    }
    let server = Server::start_under(&[], &["--dyno-trial", "60"]);
    let cli = Cli::new(&server);
    let procfile = ("Procfile", "web: python3 server.py\n");
    let repo = deployed(&cli, "kept", &[procfile, ("server.py", VERSION_PY), ("version.txt", "one stays\n")]);
    let page = |version: &str| {
        wait_until(&format!("version {version} to answer"), Duration::from_secs(60), || {
            (server.answers("kept", "/").body == version).then_some(())
        });
    };
    let push = |file: &str, text: &str| {
        repo.write(file, text);
        repo.commit("Another version");
        cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().text()
    };
    let says = |line: &str| {
        wait_until(line, Duration::from_secs(30), || has(&lines_of(&cli, &repo), line).then_some(()));
    };
    page("one");

    let said = push("server.py", "import nothing_of_this_name\n");
    assert!(said.contains("v4 has not come up: v3 serves on. web.1 crashed (status 1)."), "{said}");
    says("Release v4 has not come up: v3 serves on");
    // Its second try comes at once.
    wait_until("the second crash", Duration::from_secs(30), || {
        server.dynos("kept").iter().any(|(_, state, _)| state == "crashed").then_some(())
    });
    let ps = cli.heroku_in(repo.path(), &["ps"]).succeeded().stdout;
    assert!(ps.contains("python3 server.py  # v3 serves on: v4 has not come up (1)"), "{ps}");
    assert!(ps.contains("web.1: up"), "{ps}");
    cli.heroku_in(repo.path(), &["ps:restart"]).succeeded();
    page("one");
    // Nor does what a release changes without a build.
    cli.heroku_in(repo.path(), &["config:set", "A=b"]).succeeded();
    says("Release v5 has not come up: v3 serves on");
    page("one");

    // One that listens and dies soon.
    repo.write("version.txt", "two ends\n");
    push("server.py", VERSION_PY);
    page("two");
    says("Release v6 has not come up: v3 serves on");
    page("one");

    push("version.txt", "three stays\n");
    page("three");
    for _ in 0..10 {
        assert_eq!(server.answers("kept", "/").body, "three", "the older one gets no requests");
    }
}
