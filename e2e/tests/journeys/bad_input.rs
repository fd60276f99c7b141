//! Input that is wrong: a clear error each time, and nothing lost.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Answer, Cli, Repo, Server, may_run, run, wait_until};
use serde_json::{Value, json};

const APP: &str = "sturdy";

fn deployed() -> (Server, Cli, Repo) {
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers(APP, "/");
    (server, cli, repo)
}

/// An error in Heroku's form: an id, and a sentence that names what is wrong.
fn assert_error(answer: &Answer, status: u16, id: &str, word: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    let body = answer.json();
    assert_eq!(body["id"], id, "{body}");
    let message = body["message"].as_str().unwrap_or_default();
    assert!(message.contains(word), "{message:?} does not name {word:?}");
}

fn versions(server: &Server) -> Value {
    server.http().api("GET", &format!("/apps/{APP}/releases")).json()
}

#[test]
fn the_api_refuses_what_it_cannot_take() {
    if !may_run("bad input to the API") {
        return;
    }
    let (server, cli, _repo) = deployed();
    let http = server.http();
    let before = versions(&server);
    for name in ["Upper", "has space", "-dash", "x", "api", "git", "1digit", &"a".repeat(40)] {
        let answer = http.api_json("POST", "/apps", &json!({ "name": name }));
        assert_error(&answer, 422, "invalid_params", "");
    }
    assert_error(&http.api_json("POST", "/apps", &json!({ "name": APP })), 422, "invalid_params", "taken");
    cli.heroku(&["create", APP]).failed_saying("taken");
    cli.heroku(&["ps:scale", "nothing=1", "--app", APP]).failed_saying("nothing");
    let formation = format!("/apps/{APP}/formation");
    let negative = json!({ "updates": [{ "type": "web", "quantity": -1 }] });
    assert_error(&http.api_json("PATCH", &formation, &negative), 422, "invalid_params", "Quantity -1 of web");
    let malformed =
        http.api_with("POST", "/apps", &["Content-Type: application/json"], Some("{\"name\": \"x"));
    assert_error(&malformed, 400, "bad_request", "");
    let nobody = http.request(
        "GET",
        &format!("http://localhost:{}/apps", server.port()),
        &["Accept: application/vnd.heroku+json; version=3", "Authorization: Bearer x"],
        None,
    );
    assert_error(&nobody, 401, "unauthorized", "");
    assert_error(&http.api("GET", "/apps/no-such-app"), 404, "not_found", "");
    assert_error(&http.api("GET", "/apps/../../etc/passwd"), 404, "not_found", "");
    assert_eq!(versions(&server), before, "nothing was released");
    server.answers(APP, "/");
}

/// A gzipped tar with entries that no honest program makes.
fn hostile_archive(folder: &Path, entries: &str) -> String {
    let path = folder.join("hostile.tgz").display().to_string();
    let script = format!(
        "import io, sys, tarfile\n\
         def file(name, text):\n    e = tarfile.TarInfo(name); e.size = len(text); archive.addfile(e, io.BytesIO(text))\n\
         def link(name, to, kind=tarfile.SYMTYPE):\n    e = tarfile.TarInfo(name); e.type = kind; e.linkname = to; archive.addfile(e)\n\
         archive = tarfile.open(sys.argv[1], 'w:gz')\n\
         file('Procfile', b'web: python3 -m http.server $PORT\\n')\n{entries}\narchive.close()\n"
    );
    let mut command = Command::new("python3");
    command.args(["-c", &script, &path]);
    run(command, b"", Duration::from_secs(30)).succeeded();
    path
}

/// Builds from an uploaded archive and waits for the verdict with what the build said.
fn build_archive(server: &Server, archive: &str) -> (String, String) {
    let http = server.http();
    let source = http.api("POST", "/sources").with_status(201).json();
    let put_url = source["source_blob"]["put_url"].as_str().unwrap();
    http.upload(put_url, archive).with_status(200);
    let blob = json!({ "source_blob": { "url": source["source_blob"]["get_url"], "version": "hostile" } });
    let build = http.api_json("POST", &format!("/apps/{APP}/builds"), &blob).with_status(201).json();
    let path = format!("/apps/{APP}/builds/{}", build["id"].as_str().unwrap());
    let status = wait_until("the build's verdict", Duration::from_secs(60), || {
        let status = http.api("GET", &path).json()["status"].as_str()?.to_owned();
        (status != "pending").then_some(status)
    });
    let output = build["output_stream_url"].as_str().unwrap();
    (status, http.request("GET", output, &[], None).body)
}

#[test]
fn archives_that_leave_their_folder_are_rejected() {
    if !may_run("hostile archives") {
        return;
    }
    let (server, _cli, _repo) = deployed();
    let folder = tempfile::TempDir::with_prefix("paddock-e2e-").unwrap();
    let planted = folder.path().join("planted");
    let hostile = [
        format!("file('../../../../../../..{}', b'x')", planted.display()),
        format!("file('{}', b'x')", planted.display()),
        format!("link('out', '{}')\nfile('out/planted', b'x')", folder.path().display()),
        "link('hard', '/etc/passwd', tarfile.LNKTYPE)".to_owned(),
        "link('null', '', tarfile.CHRTYPE)".to_owned(),
    ];
    for entries in &hostile {
        let (status, said) = build_archive(&server, &hostile_archive(folder.path(), entries));
        assert_eq!(status, "failed", "{entries}\n{said}");
        assert!(said.contains(" ! "), "the build does not say why it rejects {entries}:\n{said}");
        assert!(!planted.exists(), "{entries} wrote to the host");
    }
    let versions = versions(&server);
    assert!(
        versions.as_array().unwrap().iter().all(|release| release["status"] == "succeeded"),
        "{versions}"
    );
    server.answers(APP, "/");
}

#[test]
fn pushes_that_cannot_be_built_are_rejected_and_the_app_goes_on() {
    if !may_run("bad pushes") {
        return;
    }
    let (server, cli, repo) = deployed();
    let good = repo.head();
    // As on Heroku such a line is skipped; here the push says so.
    repo.write("Procfile", "web: python3 web.py\n!!! no process type\n");
    repo.commit("Bad line in the Procfile");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().saying("Procfile line 2");
    server.answers(APP, "/");
    cli.git(repo.path(), &["push", "--force", "heroku", &format!("{good}:main")]).succeeded();

    repo.git(&["reset", "--quiet", "--hard", &good]);
    repo.git(&["rm", "--quiet", "Procfile"]);
    repo.commit("Nothing to build");
    rejected(&server, &cli, &repo, &good, "No default language could be detected");

    repo.git(&["reset", "--quiet", "--hard", &good]);
    repo.commit("Good again");
    let missing = "https://127.0.0.1:1/no-such-buildpack.tgz";
    cli.heroku_in(repo.path(), &["buildpacks:set", missing]).succeeded();
    rejected(&server, &cli, &repo, &good, "buildpack");
    cli.heroku_in(repo.path(), &["buildpacks:clear"]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    cli.git(repo.path(), &["push", "heroku", ":main"]).failed_saying("cannot delete");
    server.answers(APP, "/");
}

/// A push is rejected with a reason, the branch stays, the app answers.
fn rejected(server: &Server, cli: &Cli, repo: &Repo, good: &str, reason: &str) {
    let outcome = cli.git(repo.path(), &["push", "--force", "heroku", "main"]).failed_saying(reason);
    assert!(outcome.stderr.contains("[remote rejected] main -> main"), "{}", outcome.stderr);
    let branch = cli.git(repo.path(), &["ls-remote", "heroku", "refs/heads/main"]).succeeded().stdout;
    assert!(branch.starts_with(good), "the branch moved to {branch}");
    server.answers(APP, "/");
}

#[test]
fn a_truncated_pack_changes_nothing() {
    if !may_run("a truncated pack") {
        return;
    }
    let (server, cli, repo) = deployed();
    let good = repo.head();
    let folder = tempfile::TempDir::with_prefix("paddock-e2e-").unwrap();
    let request = folder.path().join("request");
    let update = format!("{good} {} refs/heads/main\0 report-status", "1".repeat(40));
    let mut body = format!("{:04x}{update}0000", update.len() + 4).into_bytes();
    body.extend(b"PACK\0\0\0\x02\0\0\0\x05\x9a\x0fgarbage");
    std::fs::write(&request, body).unwrap();
    let http = server.http();
    let answer = http.git_receive_pack(APP, &request.display().to_string());
    assert!(!answer.body.contains("ok refs/heads/main"), "{}", answer.body);
    let branch = cli.git(repo.path(), &["ls-remote", "heroku", "refs/heads/main"]).succeeded().stdout;
    assert!(branch.starts_with(&good), "{branch}");
    repo.commit("After the broken one");
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers(APP, "/");
}

#[test]
fn hostile_files_end_a_build_with_a_sentence_or_are_read_as_far_as_they_go() {
    if !may_run("hostile files") {
        return;
    }
    let (server, _cli, _repo) = deployed();
    let folder = tempfile::TempDir::with_prefix("paddock-e2e-").unwrap();
    let web = "web: python3 -m http.server $PORT";
    let procfile = |text: String| {
        format!(
            "import os\narchive.close()\nos.remove(sys.argv[1])\narchive = tarfile.open(sys.argv[1], 'w:gz')\n\
             file('Procfile', {text})"
        )
    };
    let failing = [
        (procfile("b'web: ' + b'x' * 1000000".into()), "400 process types of up to 32 KB"),
        (procfile("b'web: x\\n' * 4000000".into()), "larger than 1 MB"),
        (procfile("b''.join(b't%d: x\\n' % i for i in range(500))".into()), "400 process types"),
        ("file('.slugignore', b'x\\n' * 100000)".into(), "2,000 patterns"),
        ("file('.slugignore', b'*\\n')".into(), "No default language could be detected"),
        ("archive.fileobj.write(tarfile.TarInfo('f').tobuf() * 200001)".into(), "more than 200000 entries"),
        ("file('/'.join(['d'] * 70), b'')".into(), "lies too deep"),
        ("file('x' * 200 + ('/' + 'y' * 200) * 5, b'')".into(), "too long a path"),
        ("e = tarfile.TarInfo('big'); e.size = (1 << 30) + 1\nclass Zeros:\n    def read(self, n): return bytes(n)\n\
          archive.addfile(e, Zeros())".into(), "more than 1073741824 bytes"),
        ("link('a', 'b'); file('a/b', b'x')".into(), "through a link"),
    ];
    for (entries, words) in &failing {
        let (status, said) = build_archive(&server, &hostile_archive(folder.path(), entries));
        assert_eq!(status, "failed", "{entries}\n{said}");
        assert!(said.contains(words) && said.contains(" !     Push failed"), "{entries}\n{said}");
    }
    let taken = [
        (procfile(format!("b'{web}'")), "Procfile declares types -> web"),
        (procfile(format!("b'{web}\\r\\nworker: sleep 1\\r\\n'")), "Procfile declares types -> web, worker"),
        (procfile(format!("b'\\xef\\xbb\\xbf{web}\\n'")), "Procfile declares types -> web"),
        (procfile(format!("b'{web}\\nx: a\\0b\\n'")), "Procfile line 2 is not of the form"),
        (
            procfile(format!("b'{web}\\n' + b'???\\n' * 100000")),
            "99990 more lines of the Procfile were skipped",
        ),
        ("file('app.json', b'[' * 1000000)".into(), "Released"),
        (
            "file('.slugignore', b'**/d/' * 2000 + b'x\\n'); file('/'.join(['d'] * 60), b'')".into(),
            "Released",
        ),
        (
            "file('caf\\udce9\\udcff', b''); file('\\U0001f600/\\u202e', b''); file('a\\nb\\x1b', b'')"
                .into(),
            "Released",
        ),
    ];
    for (entries, words) in &taken {
        let (status, said) = build_archive(&server, &hostile_archive(folder.path(), entries));
        assert_eq!(status, "succeeded", "{entries}\n{said}");
        assert!(said.contains(words), "{entries}\n{said}");
    }
    server.answers(APP, "/");
}

/// What comes back to bytes that no client of HTTP sends.
fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A server that has read enough hangs up in the middle.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn requests_of_every_nasty_form_get_a_clean_refusal_and_the_server_goes_on() {
    if !may_run("nasty requests") {
        return;
    }
    let (server, _cli, _repo) = deployed();
    let http = server.http();
    let headers: Vec<String> = (0..16).map(|number| format!("X-{number}: {}", "y".repeat(1000))).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let _ = http.api_with("GET", "/account", &headers, None).with_status(200);
    let many: Vec<String> = (0..900).map(|number| format!("X-{number}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let _ = http.api_with("GET", "/account", &many, None).with_status(200);
    let hosts = ["localhost".to_owned(), server.host(APP)];
    for host in &hosts {
        let head =
            |line: &str, rest: &str| format!("{line}\r\nHost: {host}\r\nConnection: close\r\n{rest}\r\n");
        for request in [
            head("GET / HTTP/1.1", &format!("X: {}\r\n", "y".repeat(9000))),
            head("GET / HTTP/1.1", &format!("X: {}\r\n", "y".repeat(2_000_000))),
            head("GET / HTTP/1.1", &"X: y\r\n".repeat(2000)),
            head(&format!("GET /{} HTTP/1.1", "a".repeat(9000)), ""),
            head(&format!("GET /{} HTTP/1.1", "a".repeat(70_000)), ""),
            head(&format!("{} / HTTP/1.1", "G".repeat(200)), ""),
            head("GET  / HTTP/1.1", ""),
            head("G\u{0}T / HTTP/1.1", ""),
            head("GET / HTTP/1.1", "Host: other\r\n"),
            head("GET / HTTP/1.1", "X : y\r\n"),
            head("GET / HTTP/1.1", "X: y\u{0}\r\n"),
            head("POST / HTTP/1.1", "Content-Length: -1\r\n"),
            head("POST / HTTP/1.1", "Content-Length: 99999999999999999999999\r\n"),
            head("POST / HTTP/1.1", "Content-Length: 1\r\nContent-Length: 2\r\n"),
            head("POST / HTTP/1.1", "Transfer-Encoding: xchunked\r\n"),
        ] {
            let answer = raw(&server, request.as_bytes());
            // A coding that nobody here knows is no fault of the request's.
            let refused = if request.contains("xchunked") { "HTTP/1.1 501 " } else { "HTTP/1.1 4" };
            assert!(
                answer.starts_with(refused),
                "{host}: {:?}\n{answer}",
                &request[..request.len().min(100)]
            );
        }
    }
    let chunks =
        "POST /apps HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["zz\r\n{}", "ffffffffffffffffff\r\n{}", "2\r\n{}XX"] {
        let answer = raw(&server, format!("{chunks}{body}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("bad_request"), "{body}: {answer}");
    }
    server.answers(APP, "/");
    let _ = http.api("GET", "/account").with_status(200);
}
