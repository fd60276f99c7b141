//! A slug that a client packs itself: made, put, released, running; and archives that are none.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::path::Path;
use std::time::Duration;

use e2e::{Server, may_run};
use serde_json::{Value, json};
use tempfile::TempDir;

const APP: &str = "packed-elsewhere";

// buildpacks.md 7.5, 11.1
#[test]
fn a_slug_packed_elsewhere_runs_like_one_that_was_built() {
    if !may_run("slugs packed elsewhere") {
        return;
    }
    let server = Server::start();
    let http = server.http();
    let _ = http.api_json("POST", "/apps", &json!({ "name": APP })).with_status(201);
    let folder = TempDir::with_prefix("paddock-slug-").unwrap();
    let app = folder.path().join("app");
    std::fs::create_dir_all(app.join(".profile.d")).unwrap();
    std::fs::write(app.join("index.html"), "packed elsewhere\n").unwrap();
    // In the order of their names; one that fails stops nothing, what is no script of the folder is not read.
    for (name, text) in [
        (".profile.d/b.sh", "export GREETING=$GREETING-b\nfalse\n"),
        (".profile.d/a.sh", "export GREETING=a\n"),
        (".profile.d/c.txt", "export GREETING=no\n"),
        (".profile", "export GREETING=$GREETING-profile\n"),
    ] {
        std::fs::write(app.join(name), text).unwrap();
    }
    std::fs::write(
        app.join("serve"),
        "#!/bin/sh\necho \"$GREETING $HOME $PWD\" > greeting\nexec python3 -m http.server $PORT\n",
    )
    .unwrap();
    std::fs::set_permissions(app.join("serve"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let packed = std::time::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    std::fs::File::open(app.join("index.html")).unwrap().set_modified(packed).unwrap();
    let archive = pack(folder.path(), &["./app"]);

    let slug = make(&server, json!({ "process_types": { "web": "./serve" }, "checksum": sha256(&archive) }));
    let url = slug["blob"]["url"].as_str().unwrap();
    let _ = http.upload(url, &archive).with_status(200);
    let shown = http.api("GET", &format!("/apps/{APP}/slugs/{}", slug["id"].as_str().unwrap())).json();
    assert!(shown["size"].as_u64().unwrap() > 0, "{shown}");
    let again = http.upload(url, &archive).with_status(409).json();
    assert_eq!(again["id"], "conflict", "what may be running does not change");
    let release = json!({ "slug": slug["id"], "description": "Packed elsewhere" });
    let _ = http.api_json("POST", &format!("/apps/{APP}/releases"), &release).with_status(201);
    let page = server.answers(APP, "/");
    assert_eq!(page.body, "packed elsewhere\n");
    assert_eq!(server.answers(APP, "/greeting").body, "a-b-profile /app /app\n");
    assert_eq!(page.header("last-modified"), Some("Fri, 14 Jul 2017 02:40:00 GMT"), "its own time");

    refuses_what_is_no_slug(&server, &folder, &archive);
}

fn refuses_what_is_no_slug(server: &Server, folder: &TempDir, good: &str) {
    let http = server.http();
    let other = json!({ "process_types": { "web": "x" }, "checksum": format!("SHA256:{}", "0".repeat(64)) });
    let any = || json!({ "process_types": { "web": "x" } });
    std::os::unix::fs::symlink("/etc", folder.path().join("link")).unwrap();
    std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
    let without_app = pack(folder.path(), &["./elsewhere"]);
    std::fs::remove_dir_all(folder.path().join("app")).unwrap();
    std::fs::rename(folder.path().join("link"), folder.path().join("app")).unwrap();
    let linked = pack(folder.path(), &["./app"]);
    let nonsense = folder.path().join("nonsense").display().to_string();
    std::fs::write(&nonsense, "this is no archive").unwrap();
    for (order, archive, words) in [
        (other, good, "checksum"),
        (any(), &without_app, "no folder ./app"),
        (any(), &linked, "no folder ./app"),
        (any(), &nonsense, "no whole tar archive"),
    ] {
        let slug = make(server, order);
        let answer = http.upload(slug["blob"]["url"].as_str().unwrap(), archive).with_status(422).json();
        assert!(answer["message"].as_str().unwrap().contains(words), "{words}: {answer}");
        let release = json!({ "slug": slug["id"] });
        let refused = http.api_json("POST", &format!("/apps/{APP}/releases"), &release);
        assert_eq!(refused.status, 422, "{words}");
    }
}

fn make(server: &Server, order: Value) -> Value {
    server.http().api_json("POST", &format!("/apps/{APP}/slugs"), &order).with_status(201).json()
}

/// A gzipped tar of these members; where it lies.
fn pack(folder: &Path, members: &[&str]) -> String {
    let file = folder.join(format!("{}.tgz", members.join("").replace(['.', '/'], "")));
    let mut tar = std::process::Command::new("tar");
    tar.current_dir(folder).args(["--create", "--gzip", "--file"]).arg(&file).args(members);
    let _ = e2e::run(tar, b"", Duration::from_secs(60)).succeeded();
    file.display().to_string()
}

fn sha256(file: &str) -> String {
    let mut sum = std::process::Command::new("sha256sum");
    sum.arg(file);
    let said = e2e::run(sum, b"", Duration::from_secs(60)).succeeded().stdout;
    format!("SHA256:{}", said.split(' ').next().unwrap())
}
