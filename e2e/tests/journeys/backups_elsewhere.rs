//! Backups of a database in a bucket: a real store, the official CLI, curl.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{BUCKET, Cli, Outcome, Server, Store, ask_database, may_run, run, wait_until};

const APP: &str = "kept-elsewhere";
const PATIENCE: Duration = Duration::from_secs(120);
/// More than goes into one part, whatever it is compressed by.
const FILL: &str = "CREATE EXTENSION pgcrypto; \
    CREATE TABLE noise AS SELECT g AS n, gen_random_bytes(1000) AS bytes FROM generate_series(1, 12000) g";
const CHECKSUM: &str = "SELECT count(*) || md5(string_agg(md5(bytes), '' ORDER BY n)) FROM noise";

struct Journey {
    store: Store,
    server: Server,
    cli: Cli,
    folder: tempfile::TempDir,
}

#[test]
fn a_database_is_backed_up_into_a_bucket_and_put_back_from_it() {
    if !may_run("backups in a bucket") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    let arguments = arguments(&store, folder.path(), true);
    let mut server = Server::start_with(&arguments.each_ref().map(String::as_str));
    server.announce("by http, in clear");
    let cli = Cli::new(&server);
    let mut journey = Journey { store, server, cli, folder };
    journey.cli.heroku(&["create", APP, "--no-remote"]).succeeded();
    journey.heroku(&["addons:create", "heroku-postgresql", "--wait"]).succeeded();
    journey.sql(FILL);
    journey.captured_downloaded_put_back();
    journey.what_fails_leaves_nothing();
    journey.what_was_left_is_given_up();
    journey.told_by_the_doctor();
    journey.heroku(&["pg:backups:delete", "b001", "--confirm", APP]).succeeded();
    assert_eq!(journey.store.holds().0, Vec::<String>::new());
}

/// What `serve` and `doctor` are told of the bucket.
fn arguments(store: &Store, folder: &Path, is_right: bool) -> [String; 6] {
    let file = folder.join(if is_right { "key" } else { "wrong-key" });
    Store::write_key(&file, is_right);
    [
        "--backups-to".to_owned(),
        format!("s3://{BUCKET}/paddock"),
        "--backups-endpoint".to_owned(),
        store.endpoint(),
        "--backups-key-file".to_owned(),
        file.display().to_string(),
    ]
}

impl Journey {
    fn heroku(&self, arguments: &[&str]) -> Outcome {
        self.cli.heroku(&[arguments, &["-a", APP]].concat())
    }

    fn sql(&self, sql: &str) -> String {
        let url = self.heroku(&["config:get", "DATABASE_URL"]).succeeded().stdout;
        ask_database(url.trim(), sql).succeeded().stdout.trim().to_owned()
    }

    fn captured_downloaded_put_back(&self) {
        let before = self.sql(CHECKSUM);
        self.heroku(&["pg:backups:capture"]).succeeded();
        let (objects, uploads) = self.store.holds();
        assert!(objects.len() == 1 && uploads.is_empty(), "{objects:?} {uploads:?}");
        assert!(objects[0].starts_with("paddock/") && objects[0].ends_with(".dump"), "{objects:?}");
        assert!(!self.server.data().join("backups").exists(), "none of it is on this machine");

        let dump = self.folder.path().join("latest.dump");
        self.heroku(&["pg:backups:download", "b001", "-o", dump.to_str().unwrap()]).succeeded();
        let url = self.heroku(&["pg:backups:url", "b001"]).succeeded().stdout;
        let by_curl = self.folder.path().join("by-curl.dump");
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--insecure",
            "--output",
            by_curl.to_str().unwrap(),
            url.trim(),
        ]);
        run(curl, b"", PATIENCE).succeeded();
        let bytes = std::fs::read(&dump).unwrap();
        assert!(bytes.starts_with(b"PGDMP") && bytes.len() > (9 << 20), "{} bytes", bytes.len());
        assert!(bytes == std::fs::read(by_curl).unwrap(), "the same by each way");

        self.sql("DELETE FROM noise WHERE n % 2 = 0");
        let restored =
            self.heroku(&["pg:backups:restore", "b001", "DATABASE_URL", "--confirm", APP]).succeeded();
        assert!(restored.text().contains("Restoring... done"), "{}", restored.text());
        assert_eq!(self.sql(CHECKSUM), before);
    }

    fn what_fails_leaves_nothing(&mut self) {
        self.server.announce("a transfer failed");
        let before = self.store.holds();
        self.store.fail(true);
        let failed = self.heroku(&["pg:backups:capture"]).failed_saying("did not finish");
        assert!(failed.text().contains("The platform could not do this"), "{}", failed.text());
        self.store.fail(false);
        assert_eq!(self.store.holds(), before, "neither an object nor half an upload");
        assert!(
            self.server.log().contains("cannot keep an object now (status 500"),
            "the operator is told why"
        );
    }

    /// As after a kill in the midst of an upload, and of what no row is left.
    fn what_was_left_is_given_up(&mut self) {
        self.server.announce("dumps in the bucket that no backup names");
        let (objects, _) = self.store.holds();
        let own = objects[0].rsplitn(3, '/').nth(2).unwrap();
        let strange = "paddock/of-another-server/x/y.dump";
        self.store.begin(&format!("{own}/x/y.dump"));
        self.store.begin(strange);
        let left = format!("{own}/x/z.dump");
        self.store.leave(&left);
        self.server.restart();
        // What backups name stays, and so does what is another server's. However old it is, what nobody names has a week.
        let unnamed = self.server.data().join("unnamed-dumps.json");
        wait_until("what was left to be given up", PATIENCE, || {
            (self.store.holds().1 == [strange] && unnamed.exists()).then_some(())
        });
        assert!(self.store.holds().0.contains(&left));
        let arguments = arguments(&self.store, self.folder.path(), true);
        let told = self.server.paddockd("doctor", &arguments.each_ref().map(String::as_str));
        assert!(told.text().contains("1 dumps in the bucket have no backup"), "{}", told.text());
        std::fs::write(&unnamed, "{\"x/z.dump\":0}").unwrap();
        self.server.restart();
        wait_until("what nobody names to be removed", PATIENCE, || {
            (self.store.holds() == (objects.clone(), vec![strange.to_owned()])).then_some(())
        });
    }

    fn told_by_the_doctor(&self) {
        for (is_right, said) in
            [(true, "the bucket takes them"), (false, "does not take the access key (SignatureDoesNotMatch)")]
        {
            let arguments = arguments(&self.store, self.folder.path(), is_right);
            let told = self.server.paddockd("doctor", &arguments.each_ref().map(String::as_str));
            assert!(told.text().contains(said), "{}", told.text());
        }
    }
}
