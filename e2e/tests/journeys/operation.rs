//! What an operator does with a running server: the service's unit, metrics, new keys, the doctor, the log.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Cli, FailPoints, Outcome, Repo, Server, may_run, run, wait_until};
use serde_json::Value;
use tempfile::TempDir;

const APP: &str = "operated";
const SECRET: &str = "s3cr3t-4f1a77c0";
/// How many files the server may have open.
const OPEN_FILES: &str = "10000";

/// The unit that is shipped.
fn unit() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/paddockd.service")).unwrap()
}

/// What the unit takes away, as arguments of `setpriv`.
fn bounding_set() -> String {
    let unit = unit();
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=~")).unwrap();
    let names =
        line.split_whitespace().map(|name| format!("-{}", name.trim_start_matches("CAP_").to_lowercase()));
    names.collect::<Vec<_>>().join(",")
}

fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// A server as the service manager starts it, its socket, and an app with a secret.
fn served(folder: &Path) -> (Server, UnixDatagram, Cli) {
    let path = folder.join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (variable, capabilities) = (format!("NOTIFY_SOCKET={}", path.display()), bounding_set());
    // As a shell gives them: few open files, and leave to have more.
    let files = format!("--nofile=1024:{OPEN_FILES}");
    let wrapper = ["prlimit", &files, "env", &variable, "setpriv", "--bounding-set", &capabilities];
    let server = Server::start_under(&wrapper, &["--log-format", "json"]);
    assert!(told(&socket).starts_with("READY=1\n"));
    let cli = Cli::new(&server);
    let repo = Repo::of_app("journey");
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.heroku(&["config:set", &format!("GREETING={SECRET}"), "--app", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    assert_eq!(server.answers(APP, "/").json()["greeting"], SECRET);
    (server, socket, cli)
}

/// Dynos, builds and clients are open files: the server and its router take as many as they may have.
fn open_files_are_not_few(server: &Server) {
    let log = server.log();
    let router = log.split_once("started the router (process ").unwrap().1.split_once(')').unwrap().0;
    for pid in [server.pid().unwrap().to_string().as_str(), router] {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        let found: Vec<&str> = files.split_whitespace().take(2).collect();
        assert_eq!(found, [OPEN_FILES; 2], "process {pid}");
    }
}

fn has_secret(cli: &Cli) {
    cli.heroku(&["config:get", "GREETING", "--app", APP]).succeeded().saying(SECRET);
}

fn metrics_are_told(server: &Server) {
    let value = |text: &str, sample: &str| -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    };
    let requests = "paddock_router_requests_total{status=\"2xx\"}";
    let text = wait_until("the request to be counted", Duration::from_secs(30), || {
        let text = server.paddockd("metrics", &[]).succeeded().stdout;
        (value(&text, requests)? >= 1.0).then_some(text)
    });
    for sample in [
        "paddock_control_passes_total{reconciler=\"formation\",outcome=\"succeeded\"}",
        "paddock_control_builds{status=\"succeeded\"}",
        "paddock_control_dynos{state=\"up\"}",
        "paddock_store_transactions_total{outcome=\"committed\"}",
        "paddock_images_layers_bytes",
    ] {
        assert!(value(&text, sample).is_some_and(|value| value >= 1.0), "{sample} in:\n{text}");
    }
    let http = server.http();
    let scraped = http.api_with("GET", "/paddock/metrics", &["Accept: text/plain"], None).with_status(200);
    assert!(value(&scraped.body, requests).is_some());
    let url = format!("http://localhost:{}/paddock/metrics", server.port());
    assert_eq!(http.request("GET", &url, &[], None).status, 401);
}

fn rotate(server: &Server, arguments: &[&str]) -> Outcome {
    let data = server.data().display().to_string();
    let all = [&["keys", "rotate", "--data", &data][..], arguments].concat();
    run(server.program(&all), b"", Duration::from_secs(60))
}

fn keys_are_rotated(server: &mut Server, cli: &Cli, folder: &Path) {
    let old = folder.join("old-key");
    std::fs::copy(server.data().join("keys/master"), &old).unwrap();
    rotate(server, &[]).succeeded().saying("The master key is new");
    has_secret(cli);
    let new_data_key = ["--data-key", "--json"];
    if !server.is_on_sqlite() {
        // Other servers on this database would not know of it.
        server.announce("the keys were not rotated");
        rotate(server, &new_data_key).failed_saying("Stop every server that uses this database");
        has_secret(cli);
        server.kill9_serve();
    }
    let told: Value = serde_json::from_str(&rotate(server, &new_data_key).succeeded().stdout).unwrap();
    if !server.is_on_sqlite() {
        server.restart();
    }
    assert!(told["resealed"].as_u64().is_some_and(|values| values >= 2), "{told}");
    has_secret(cli);
    server.restart();
    has_secret(cli);
    assert_eq!(server.answers(APP, "/").json()["greeting"], SECRET);

    server.paddockd("stop", &[]).succeeded();
    let to = folder.join("backup");
    let with_old = ["--to", to.to_str().unwrap(), "--master-key-file", old.to_str().unwrap()];
    server.paddockd("backup", &with_old).failed_saying("wrong master key");
    let moved = folder.join("moved-key");
    rotate(server, &["--new-master-key-file", moved.to_str().unwrap()])
        .succeeded()
        .saying("--master-key-file");
    assert!(!server.data().join("keys/master").exists());
    let present = moved.to_str().unwrap();
    rotate(server, &["--master-key-file", present, "--new-master-key-file", present])
        .failed_saying("name another file");
    // Back to where the harness starts it from.
    let here = server.data().join("keys/master");
    let arguments = ["--master-key-file", present, "--new-master-key-file", here.to_str().unwrap()];
    rotate(server, &arguments).succeeded();
    server.restart();
    has_secret(cli);
}

fn findings(server: &Server) -> Vec<Value> {
    let listen = format!("127.0.0.1:{}", server.port());
    let told = server.paddockd("doctor", &["--json", "--listen", &listen]);
    let findings: Vec<Value> = serde_json::from_str(&told.stdout).unwrap();
    let is_well = findings.iter().all(|finding| finding["verdict"] != "problem");
    assert_eq!(told.status == 0, is_well, "{}", told.text());
    findings
}

fn the_doctor_finds_and_remedies(server: &Server) {
    let verdict = |findings: &[Value], name: &str| {
        let found = findings.iter().find(|finding| finding["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {findings:?}"))["verdict"].clone()
    };
    let well = findings(server);
    for name in ["kernel", "overlay", "cgroups", "nft", "git", "data folder", "modes", "database"] {
        assert_eq!(verdict(&well, name), "ok", "{name}");
    }
    for name in ["/usr", "data folder's file system", "Python apps", "Node.js apps", "databases of apps"] {
        assert_eq!(verdict(&well, name), "ok", "{name}");
    }
    for name in ["master key", "platform certificate", "local authority", "server", "router", "clock"] {
        assert_eq!(verdict(&well, name), "ok", "{name}");
    }
    // Broken, found, and mended by doing what it says.
    let token = server.data().join("cli-token");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let sick = findings(server);
    let found = sick.iter().find(|finding| finding["name"] == "modes").unwrap();
    assert_eq!(found["verdict"], "problem");
    let mut remedy = Command::new("sh");
    remedy.args(["-c", found["remedy"].as_str().unwrap()]);
    run(remedy, b"", Duration::from_secs(10)).succeeded();
    assert_eq!(verdict(&findings(server), "modes"), "ok");
    server.paddockd("doctor", &[]).saying("Instance ").saying("ok   server: process");
}

fn the_log_is_objects_without_secrets(server: &Server) {
    let log = server.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let request = lines.iter().find(|line| line["route"] == "/apps/{app}/config-vars").unwrap();
    assert_eq!((&request["level"], &request["status"]), (&"INFO".into(), &200.into()), "{request}");
    assert!(request["request.id"].as_str().is_some_and(|id| id.len() == 36), "{request}");
    // Only what is for the person who starts it is no object: two lines at each start.
    let others: Vec<_> = log.lines().filter(|line| !line.starts_with('{')).collect();
    assert!(
        others.iter().all(|line| line.contains("Paddock is ready") || line.contains("eval")),
        "{others:?}"
    );
    let token = &server.environment()["HEROKU_API_KEY"];
    assert!(!log.contains(SECRET) && !log.contains(token.as_str()), "secrets are not logged");
}

#[test]
fn an_operator_sees_and_mends_a_running_server() {
    if !may_run("operation") {
        return;
    }
    let folder = TempDir::with_prefix("paddock-operation-").unwrap();
    let (mut server, socket, cli) = served(folder.path());
    server.announce("adopt");
    server.announce("router");
    metrics_are_told(&server);
    the_doctor_finds_and_remedies(&server);
    the_log_is_objects_without_secrets(&server);
    open_files_are_not_few(&server);
    keys_are_rotated(&mut server, &cli, folder.path());
    server.paddockd("stop", &[]).succeeded();
    wait_until("the service manager to hear of the end", Duration::from_secs(60), || {
        told(&socket).starts_with("STOPPING=1\n").then_some(())
    });
}

#[test]
fn the_units_are_such_that_the_service_manager_takes() {
    let folder = TempDir::with_prefix("paddock-unit-").unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist");
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify");
    for name in ["paddockd.service", "paddockd-backup.service", "paddockd-backup.timer"] {
        let text = std::fs::read_to_string(shipped.join(name)).unwrap();
        let file = folder.path().join(name);
        // Where the program will be nothing is yet.
        std::fs::write(&file, text.replace("/usr/local/bin/paddockd", "/bin/true")).unwrap();
        verify.arg(file);
    }
    let outcome = run(verify, b"", Duration::from_secs(60)).succeeded();
    assert_eq!(outcome.text(), "", "no complaint");
    for needed in ["KillMode=process", "Delegate=yes", "Type=notify", "Restart=on-failure"] {
        assert!(unit().contains(needed), "{needed}");
    }
}

#[test]
fn the_doctor_finds_what_a_machine_lacks() {
    if !may_run("doctor") {
        return;
    }
    let folder = TempDir::with_prefix("paddock-doctor-").unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
    let problem = |told: &Outcome, name: &str| -> String {
        assert_eq!(told.status, 1, "{}", told.text());
        let findings: Vec<Value> = serde_json::from_str(&told.stdout).unwrap();
        let found = findings.iter().find(|finding| finding["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {findings:?}"));
        assert_eq!(found["verdict"], "problem", "{found}");
        found["remedy"].as_str().unwrap().to_owned()
    };
    // Programs that are not where programs are looked for.
    let mut without_path = Server::bare(&["doctor", "--json"]);
    without_path.env("PATH", "/nowhere");
    let told = run(without_path, b"", Duration::from_secs(60));
    assert!(problem(&told, "nft").contains("nftables"));
    assert!(problem(&told, "ip").contains("iproute2"));

    // A /usr that no dyno can have, as inside a container of somebody else's.
    let data = folder.path().join("never");
    std::fs::create_dir(&data).unwrap();
    let on_overlay = |command: &Command| {
        let mut inside = Command::new("unshare");
        inside.args(["--mount", "sh", "-c"]);
        inside.arg("mount -t overlay -o lowerdir=/usr:\"$1\" overlay /usr && shift && exec \"$@\"");
        inside.arg("sh").arg(&data).arg(command.get_program()).args(command.get_args());
        run(inside, b"", Duration::from_secs(60))
    };
    let told = on_overlay(&Server::bare(&["doctor", "--json"]));
    assert!(problem(&told, "/usr").contains("ext4"));
    let refused = on_overlay(&Server::bare(&["serve", "--data", data.to_str().unwrap()]));
    assert_eq!(refused.status, 1);
    refused.failed_saying("/usr: /usr on overlay, whose ids cannot be mapped");

    // A disk of one megabyte with a hundred inodes, in a mount namespace that goes with the command.
    let doctor = Server::bare(&["doctor", "--json", "--data", folder.path().to_str().unwrap()]);
    let mut on_small_disk = Command::new("unshare");
    on_small_disk.args(["--mount", "sh", "-c"]);
    on_small_disk.arg("mount -t tmpfs -o size=1m,nr_inodes=100,mode=711 none \"$1\" && shift && exec \"$@\"");
    on_small_disk.arg("sh").arg(folder.path()).arg(doctor.get_program()).args(doctor.get_args());
    let told = run(on_small_disk, b"", Duration::from_secs(60));
    assert!(problem(&told, "disk").contains("larger disk"));
    assert!(problem(&told, "inodes").contains("more inodes"));

    // A port that somebody else has.
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = holder.local_addr().unwrap().to_string();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let doctor = Server::bare(&["doctor", "--json", "--data", data.to_str().unwrap(), "--listen", &listen]);
    let told = run(doctor, b"", Duration::from_secs(60));
    assert!(problem(&told, "port").contains("--listen"));
    assert!(told.stdout.contains(&format!("process {}", std::process::id())), "{}", told.stdout);
}

/// What the server shows of itself: its end as openssl writes it, in days from now.
fn shown_certificate(port: u16, name: &str) -> (String, i64) {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", name]);
    let shown = run(client, b"", Duration::from_secs(30)).stdout;
    let mut reader = Command::new("openssl");
    reader.args(["x509", "-noout", "-serial", "-enddate", "-dateopt", "iso_8601"]);
    let told = run(reader, shown.as_bytes(), Duration::from_secs(30)).succeeded().stdout;
    let end = told.lines().find_map(|line| line.strip_prefix("notAfter=")).unwrap();
    let mut date = Command::new("date");
    date.args(["+%s", "--date", end]);
    let end: i64 = run(date, b"", Duration::from_secs(30)).succeeded().stdout.trim().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    (told.lines().next().unwrap().to_owned(), (end - i64::try_from(now).unwrap()) / 86_400)
}

#[test]
fn certificates_end_within_825_days_and_are_renewed_while_the_server_runs() {
    if !may_run("certificates") {
        return;
    }
    let points = FailPoints::new();
    let mut server = Server::with_fail_points(&points, &[]);
    server.spawn_serve();
    server.wait_ready();
    let (port, name) = (server.port(), server.domain());
    let (first, days) = shown_certificate(port, name);
    assert!((300..=825).contains(&days), "{days} days");
    let bundle = |arguments: &[&str]| {
        let variables = server.variables(arguments);
        assert_eq!(variables["REQUESTS_CA_BUNDLE"], variables["SSL_CERT_FILE"]);
        std::fs::read_to_string(&variables["SSL_CERT_FILE"]).unwrap()
    };
    let system = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
    for (arguments, own) in [(&[][..], "ca/ca.pem"), (&["--proxy"], "ca/proxy-form/ca.pem")] {
        let (text, own) = (bundle(arguments), std::fs::read_to_string(server.data().join(own)).unwrap());
        assert!(text.starts_with(&system) && text.ends_with(&own), "the system's authorities and ours");
    }
    let proxied = server.data().join("router/proxy-form/cert.pem");
    let offered = std::fs::read(&proxied).unwrap();

    points.clock().advance(Duration::from_secs(380 * 86_400));
    // The proxy form's comes last. The look is for up to a minute: at the file, which costs nothing.
    wait_until("another one of the proxy form", Duration::from_secs(150), || {
        (std::fs::read(&proxied).unwrap() != offered).then_some(())
    });
    wait_until("another certificate", Duration::from_secs(30), || {
        let (second, days) = shown_certificate(port, name);
        (second != first && days > 700).then_some(())
    });
    let ca = server.data().join("ca/ca.pem");
    let mut trusting = Command::new("curl");
    trusting.args([
        "--silent",
        "--show-error",
        "--output",
        "/dev/null",
        "--write-out",
        "%{ssl_verify_result}",
    ]);
    trusting.arg("--cacert").arg(ca).arg(format!("https://localhost:{port}/"));
    // Its time is that of the server's clock, and it is of the same authority as before.
    let told = run(trusting, b"", Duration::from_secs(30)).text();
    assert!(told.contains("not yet valid"), "{told}");
}

#[test]
fn the_doctor_finds_a_router_whose_server_is_gone() {
    if !may_run("orphan routers") {
        return;
    }
    let mut server = Server::start();
    server.announce("adopt");
    let data = server.data();
    let orphan = |arguments: &[&str]| {
        let doctor = Server::bare(&[&["doctor", "--json"], arguments].concat());
        let told = run(doctor, b"", Duration::from_secs(60));
        let findings: Vec<Value> = serde_json::from_str(&told.stdout).unwrap();
        let speaks_of_it = |finding: &&Value| {
            let detail = finding["detail"].as_str().unwrap_or_default();
            finding["name"] == "orphan router" && detail.contains(data.to_str().unwrap())
        };
        findings.iter().find(speaks_of_it).map(|found| found["remedy"].as_str().unwrap().to_owned())
    };
    assert_eq!(orphan(&[]), None, "a server looks after it");
    server.kill9_serve();
    let remedy = orphan(&["--data", data.to_str().unwrap()]).unwrap();
    assert!(remedy.contains(&format!("paddockd stop --stop-dynos --data {}", data.display())), "{remedy}");
    let moved = data.with_extension("moved");
    std::fs::rename(&data, &moved).unwrap();
    let remedy = orphan(&[]);
    std::fs::rename(&moved, &data).unwrap();
    assert!(remedy.unwrap().starts_with("End it: kill "));
    server.restart();
    assert_eq!(orphan(&[]), None);
}
