//! A PostgreSQL server for tests: Debian's, started in a folder of its own as a user without rights, gone with the
//! process that it was started for, however that ends.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::FlockOperation;
use uuid::Uuid;

use crate::port::Port;
use crate::process;

/// A killed server loses nothing that a test looks at: the machine goes on. Many tests share one server.
const SETTINGS: &str = "fsync = off\nfull_page_writes = off\nautovacuum = off\njit = off\nshared_buffers = 32MB\n\
                        max_connections = 300\nwal_level = minimal\nmax_wal_senders = 0\n\
                        max_wal_size = 128MB\n";
/// Over TCP by TLS and with a password alone; the tests' own psql comes by the socket.
const SECURED: &str = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";

#[derive(Debug)]
pub struct PostgresServer {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    /// What keeps it from other tests, also while the server does not run; a shared server always runs.
    _held: Option<Port>,
    shared: bool,
    /// Where it listens besides loopback.
    also_on: Option<Ipv4Addr>,
}

impl PostgresServer {
    /// The server that all tests of this run share, started by the first. `None` where there is none to start and
    /// `PADDOCK_TESTS_UNPRIVILEGED=1` says that this is known; it is counted as not run.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn shared() -> Option<Self> {
        let programs = programs()?;
        let runner = runner();
        let name = format!("paddock-tests-postgres-{runner}-{}", process::began(runner).unwrap_or_default());
        let folder = crate::place::in_memory().join(name);
        // Held until it runs: the other tests of this run wait for the first.
        let lock =
            File::create(folder.with_extension("lock")).expect("the folder for temporary files is writable");
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("a file can be locked");
        let noted = std::fs::read_to_string(folder.join("port")).ok().and_then(|port| port.parse().ok());
        let server = match noted {
            Some(port) => Self { programs, folder, port, _held: None, shared: true, also_on: None },
            None => {
                let _ = std::fs::remove_dir_all(&folder);
                let server = Self::begin(programs, folder, runner, true, None);
                std::fs::write(server.folder.join("port"), server.port.to_string())
                    .expect("the folder is ours");
                server
            }
        };
        let _ = std::fs::remove_file(server.folder.with_extension("lock"));
        Some(server)
    }

    /// A server of this test alone, which it may stop and start. `None` as for [`PostgresServer::shared`].
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// The same, taking connections over TCP by TLS and with a password alone, as a server elsewhere does. The
    /// certificate's chain and its key are PEM.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start_secured(chain: &str, key: &str) -> Option<Self> {
        Self::start_with(Some((chain, key)))
    }

    fn start_with(certificate: Option<(&str, &str)>) -> Option<Self> {
        let folder =
            crate::place::in_memory().join(format!("paddock-test-postgres-{}", Uuid::new_v4().simple()));
        Some(Self::begin(programs()?, folder, std::process::id(), false, certificate))
    }

    fn begin(
        programs: PathBuf,
        folder: PathBuf,
        runner: u32,
        shared: bool,
        certificate: Option<(&str, &str)>,
    ) -> Self {
        std::fs::DirBuilder::new().mode(0o755).create(&folder).expect("the folder is new");
        if let Some((uid, gid)) = user() {
            chown(&folder, Some(uid), Some(gid)).expect("root may give a folder away");
        }
        let held = Port::take();
        let port = held.number();
        let server = Self { programs, folder, port, _held: Some(held), shared, also_on: None };
        server.guard(runner);
        let data = server.folder.join("data");
        server.run(
            "initdb",
            &[
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--pgdata",
                text(&data),
            ],
        );
        let mut settings =
            OpenOptions::new().append(true).open(data.join("postgresql.conf")).expect("initdb wrote it");
        settings.write_all(SETTINGS.as_bytes()).expect("the folder is writable");
        if let Some((chain, key)) = certificate {
            settings.write_all(b"ssl = on\n").expect("the folder is writable");
            for (name, text) in [("server.crt", chain), ("server.key", key), ("pg_hba.conf", SECURED)] {
                write_private(&data.join(name), text);
            }
        }
        if !server.try_start() {
            let log = std::fs::read_to_string(server.folder.join("log")).unwrap_or_default();
            panic!("PostgreSQL does not start:\n{log}");
        }
        server
    }

    /// Ends the server and removes its folder once a process is gone, however that ended: the guard outlives this one.
    /// `find` is what runs one program after another without a shell.
    #[expect(clippy::zombie_processes, reason = "the guard outlives this process on purpose")]
    fn guard(&self, runner: u32) {
        let (data, stop) = (self.folder.join("data"), self.programs.join("pg_ctl"));
        self.as_its_user(Path::new("find"))
            .args([text(&self.folder), "-maxdepth", "0"])
            .args(["-exec", "tail", &format!("--pid={runner}"), "-s", "0.2", "-f", "/dev/null", ";"])
            // One that is gone already cannot be stopped, which is no reason to leave its folder.
            .args(["(", "-exec", text(&stop), "-D", text(&data), "-m", "immediate", "-w", "-s", "stop", ";"])
            .args(["-o", "-true", ")", "-exec", "rm", "-rf", text(&self.folder), ";"])
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("findutils are installed");
    }

    /// The same server, which listens on another address of the machine as well and lets in those that this line of
    /// `pg_hba.conf` speaks of.
    ///
    /// # Panics
    /// When it does not start there.
    #[must_use]
    pub fn listening_on(mut self, address: Ipv4Addr, admission: &str) -> Self {
        self.stop();
        let file = self.folder.join("data/pg_hba.conf");
        let mut rules = OpenOptions::new().append(true).open(file).expect("initdb wrote it");
        writeln!(rules, "{admission}").expect("the folder is writable");
        self.also_on = Some(address);
        self.start_again();
        self
    }

    /// Ends the server as its operator would to restart it; connections break.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&self) {
        self.run("pg_ctl", &["-D", text(&self.folder.join("data")), "-m", "fast", "-w", "stop"]);
    }

    /// Starts it again after [`PostgresServer::stop`], on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        assert!(self.try_start(), "PostgreSQL does not start again");
    }

    fn try_start(&self) -> bool {
        let (data, log) = (self.folder.join("data"), self.folder.join("log"));
        let also_on = self.also_on.map(|address| format!(",{address}")).unwrap_or_default();
        let options = format!("-h 127.0.0.1{also_on} -p {} -k {}", self.port, self.folder.display());
        self.command("pg_ctl")
            .args(["-D", text(&data), "-l", text(&log), "-o", &options, "-w", "-s", "start"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Makes an empty database, which goes with what is returned.
    ///
    /// # Panics
    /// When the server does not make it.
    #[must_use]
    pub fn database(&self) -> TestDatabase {
        let name = format!("test_{}", Uuid::new_v4().simple());
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        TestDatabase {
            url: format!("postgres://postgres@127.0.0.1:{}/{name}", self.port),
            server: Self {
                programs: self.programs.clone(),
                folder: self.folder.clone(),
                port: self.port,
                _held: None,
                shared: true,
                also_on: self.also_on,
            },
            name,
        }
    }

    /// The server's port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL by psql behind everybody's back; what it prints, a line for each row, columns separated by `|`.
    ///
    /// # Panics
    /// When a statement fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let port = self.port.to_string();
        self.run(
            "psql",
            &[
                "-h",
                text(&self.folder),
                "-p",
                &port,
                "-U",
                "postgres",
                "-d",
                database,
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
            ],
        )
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("could not run {program}: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}: {errors}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A program of PostgreSQL, run as the user that may run it.
    fn command(&self, program: &str) -> Command {
        self.as_its_user(&self.programs.join(program))
    }

    fn as_its_user(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = user() {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.folder).stdin(Stdio::null()).process_group(0);
        command
    }
}

impl Drop for PostgresServer {
    /// A server of one test ends with it; the guard sees to the shared one, and to this where the process was killed.
    fn drop(&mut self) {
        if !self.shared {
            let data = self.folder.join("data");
            let mut stop = self.command("pg_ctl");
            let _ = stop.args(["-D", text(&data), "-m", "immediate", "-w", "-s", "stop"]).status();
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    name: String,
    server: PostgresServer,
}

impl TestDatabase {
    /// What a program connects to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL behind everybody's back, as [`PostgresServer::sql`].
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let port = self.server.port.to_string();
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let mut psql = self.server.command("psql");
        psql.args(["-h", text(&self.server.folder), "-p", &port, "-U", "postgres", "-X", "-q", "-c", &drop]);
        let _ = psql.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Where PostgreSQL's programs are. Debian keeps those of a server out of PATH. `None` as for [`PostgresServer::shared`].
///
/// # Panics
/// When they are not installed.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists() && bin.join("pg_ctl").exists())
        .collect();
    let number = |bin: &PathBuf| -> Option<u32> { bin.parent()?.file_name()?.to_str()?.parse().ok() };
    versions.sort_by_key(number);
    if let Some(newest) = versions.pop() {
        return Some(newest);
    }
    let known = std::env::var_os("PADDOCK_TESTS_UNPRIVILEGED").is_some_and(|value| value == "1");
    assert!(
        known,
        "PostgreSQL's server is missing: apt-get install postgresql, or set PADDOCK_TESTS_UNPRIVILEGED=1 to leave out \
         what needs it"
    );
    if let Some(path) = std::env::var_os("PADDOCK_TESTS_NOT_RUN") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let _ = file
            .and_then(|mut file| writeln!(file, "tests on PostgreSQL: the package postgresql is missing"));
    }
    None
}

/// The user that a server runs as, which refuses root; `None` where this is no root.
///
/// # Panics
/// When there is no user without rights.
#[must_use]
pub fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("there is a user without rights"))
}

/// The process of this run of tests: cargo, which starts every test, or this one where it was started by hand.
fn runner() -> u32 {
    let parent = std::os::unix::process::parent_id();
    let name = std::fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    if name.starts_with("cargo") { parent } else { std::process::id() }
}

/// A file that the server alone reads.
fn write_private(path: &Path, text: &str) {
    let _ = std::fs::remove_file(path);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the folder is writable");
    if let Some((uid, gid)) = user() {
        chown(path, Some(uid), Some(gid)).expect("root may give a file away");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("folders for temporary files have plain names")
}
