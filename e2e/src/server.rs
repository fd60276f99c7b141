//! A real server of its own: data folder, port, processes, and nothing left of it afterwards.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use paddock_testkit::port::Port;
use tempfile::TempDir;

use crate::database::StateIn;
use crate::fail_points::{self, FailPoints};
use crate::http::{Answer, Http};
use crate::killed_runs;
use crate::leftovers::{Leftovers, instance_letters};
use crate::outcome::run;
use crate::tools::paddockd;
use crate::wait::{wait_for, wait_until};

/// The domain of every test server: names below `localhost` mean this machine in a browser, too.
const DOMAIN: &str = "paddock.localhost";

/// A running `paddockd serve`. Dropping it stops the server with its dynos and checks that nothing is left.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    program: PathBuf,
    fail_points: Option<PathBuf>,
    listen: Ipv4Addr,
    port: Port,
    arguments: Vec<String>,
    /// A program with arguments that runs what follows them, such as `env NAME=VALUE`; empty for none.
    wrapper: Vec<String>,
    child: Option<Child>,
    environment: BTreeMap<String, String>,
    announced: Vec<String>,
    state_in: StateIn,
}

impl Server {
    /// Starts a server on an empty data folder and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up; its log is in the message.
    #[must_use]
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// Starts a server whose state is in SQLite, whatever the journeys run on.
    ///
    /// # Panics
    /// When it does not come up; its log is in the message.
    #[must_use]
    pub fn start_on_sqlite() -> Server {
        Server::prepare(Ipv4Addr::LOCALHOST, &[], &[]).on_sqlite().started(|_| ())
    }

    /// Starts a server with more arguments for `serve`.
    ///
    /// # Panics
    /// When it does not come up; its log is in the message.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Server {
        Server::prepare(Ipv4Addr::LOCALHOST, &[], arguments).started(|_| ())
    }

    /// Starts a server that clients on other machines may use as their proxy.
    ///
    /// # Panics
    /// When it does not come up; its log is in the message.
    #[must_use]
    pub fn start_for_other_machines() -> Server {
        Server::prepare(Ipv4Addr::UNSPECIFIED, &[], &["--proxy-form"]).started(|_| ())
    }

    /// Starts a server by another program that becomes it, such as `env` or `setpriv`.
    ///
    /// # Panics
    /// When it does not come up; its log is in the message.
    #[must_use]
    pub fn start_under(wrapper: &[&str], arguments: &[&str]) -> Server {
        Server::prepare(Ipv4Addr::LOCALHOST, wrapper, arguments).started(|_| ())
    }

    /// Starts a server on a data folder that a backup was restored into; the arguments are those of `restore` and of
    /// `serve` alike.
    ///
    /// # Panics
    /// When it cannot be restored or does not come up.
    #[must_use]
    pub fn restored(backup: &Path, arguments: &[&str]) -> Server {
        // What is restored has its state in SQLite.
        Server::prepare(Ipv4Addr::LOCALHOST, &[], arguments).on_sqlite().started(|data| {
            Server::restore(backup, data, arguments).succeeded();
        })
    }

    /// The program under test with any arguments, where there is no server.
    #[must_use]
    pub fn bare(arguments: &[&str]) -> Command {
        let mut program = Command::new(paddockd());
        program.args(arguments);
        program
    }

    /// Runs `paddockd restore`.
    #[must_use]
    pub fn restore(backup: &Path, data: &Path, arguments: &[&str]) -> crate::Outcome {
        let mut program = Command::new(paddockd());
        program.arg("restore").arg("--from").arg(backup).arg("--data").arg(data).args(arguments);
        run(program, b"", Duration::from_secs(120))
    }

    fn started(self, prepare: impl FnOnce(&Path)) -> Server {
        let mut server = self;
        prepare(&server.data());
        server.launch();
        let made = Leftovers::of(&instance_letters(&server.data()), &server.data());
        assert!(
            !made.tables.is_empty(),
            "a running server has a table in nftables: the check for leftovers is blind"
        );
        server
    }

    /// A server that a test can end at a durable step, on an empty data folder. It is not started yet.
    ///
    /// # Panics
    /// When the program with fail points is not built.
    #[must_use]
    pub fn with_fail_points(points: &FailPoints, arguments: &[&str]) -> Server {
        let mut server = Server::prepare(Ipv4Addr::LOCALHOST, &[], arguments);
        server.program = fail_points::program();
        server.fail_points = Some(points.folder().to_owned());
        server
    }

    /// Waits until `serve` has ended, which it is about to when a point has struck. It can be started again then.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_dead(&mut self) {
        wait_until("the server's end", Duration::from_secs(30), || {
            (self.pid().is_none() || self.has_died()).then_some(())
        });
    }

    fn prepare(listen: Ipv4Addr, wrapper: &[&str], arguments: &[&str]) -> Server {
        killed_runs::end_killed_runs_once(&paddockd());
        let folder = TempDir::with_prefix(killed_runs::FOLDER_PREFIX).unwrap();
        killed_runs::claim(folder.path());
        // Routers and git run as users of their own and must be able to pass.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        Server {
            folder,
            program: paddockd(),
            fail_points: None,
            listen,
            port: Port::take(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            wrapper: wrapper.iter().map(|argument| (*argument).to_owned()).collect(),
            child: None,
            environment: BTreeMap::new(),
            // A machine has ids for fifteen servers, and tests may have more.
            // The last two say that the machine is busy: many servers of tests wait for one disk.
            announced: ["has the same user ids as this one", "slow statement", "time to acquire exceeded"]
                .map(str::to_owned)
                .to_vec(),
            state_in: StateIn::as_the_tester_says(),
        }
    }

    fn on_sqlite(mut self) -> Server {
        self.state_in = StateIn::Sqlite;
        self
    }

    /// Whether its state is in SQLite.
    #[must_use]
    pub fn is_on_sqlite(&self) -> bool {
        matches!(self.state_in, StateIn::Sqlite)
    }

    /// What a statement answers that is carried out on its state, a line for each row of one column.
    ///
    /// # Panics
    /// When it cannot be carried out.
    pub fn sql(&self, statement: &str) -> String {
        self.state_in.sql(&self.data(), statement)
    }

    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The domain below which apps answer.
    #[must_use]
    pub fn domain(&self) -> &'static str {
        DOMAIN
    }

    /// The public port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The host at which an app answers.
    #[must_use]
    pub fn host(&self, app: &str) -> String {
        format!("{app}.{DOMAIN}")
    }

    /// The variables that point clients here, as `paddockd env` printed them.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// curl, knowing this server's port and token.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::new(self.port(), self.environment["HEROKU_API_KEY"].clone())
    }

    /// `GET` an app's page.
    #[must_use]
    pub fn get(&self, app: &str, path: &str) -> Answer {
        self.http().app(&self.host(app), path)
    }

    /// Waits until an app's page answers 200.
    ///
    /// # Panics
    /// When it does not within a minute; the server's log is in the message.
    pub fn answers(&self, app: &str, path: &str) -> Answer {
        let mut last = String::new();
        let found = wait_for(Duration::from_secs(60), || {
            let answer = self.get(app, path);
            last = format!("{} {}{}", answer.status, answer.body, answer.error);
            (answer.status == 200).then_some(answer)
        });
        found.unwrap_or_else(|| panic!("{app}{path} does not answer 200 but {last}\n{}", self.log_end()))
    }

    /// The dynos of an app: name, state and id, ordered by name.
    #[must_use]
    pub fn dynos(&self, app: &str) -> Vec<(String, String, String)> {
        let answer = self.http().api("GET", &format!("/apps/{app}/dynos")).with_status(200).json();
        let text =
            |dyno: &serde_json::Value, field: &str| dyno[field].as_str().unwrap_or_default().to_owned();
        let list = answer.as_array().cloned().unwrap_or_default();
        let mut dynos: Vec<_> =
            list.iter().map(|dyno| (text(dyno, "name"), text(dyno, "state"), text(dyno, "id"))).collect();
        dynos.sort();
        dynos
    }

    /// Waits until exactly these dynos are up.
    ///
    /// # Panics
    /// When it does not come to that within a minute and a half.
    pub fn wait_for_dynos(&self, app: &str, names: &[&str]) {
        wait_until(&format!("dynos {names:?} of {app}"), Duration::from_secs(90), || {
            let dynos = self.dynos(app);
            let up = dynos.iter().all(|(_, state, _)| state == "up");
            (up && dynos.iter().map(|(name, _, _)| name.as_str()).eq(names.iter().copied())).then_some(())
        });
    }

    /// What the next start of `serve` is given besides data folder, port and domain.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// The process that is `paddockd serve`.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Says that the log will have warnings or errors with these words in them.
    pub fn announce(&mut self, words: &str) {
        self.announced.push(words.to_owned());
    }

    /// Kills `serve` with SIGKILL; router and dynos are not touched.
    ///
    /// # Panics
    /// When no server runs.
    pub fn kill9_serve(&mut self) {
        let mut child = self.child.take().expect("a server runs");
        child.kill().unwrap();
        let _ = child.wait();
    }

    /// Whether `serve` has ended by itself. It can be started again then.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn has_died(&mut self) -> bool {
        let ended = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.child = None;
        }
        ended
    }

    /// Starts `serve` again on the same data folder and port, and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up; its log is in the message.
    pub fn restart(&mut self) {
        if self.child.is_some() {
            self.kill9_serve();
        }
        self.launch();
    }

    /// Has the next start be one of another build: a copy of the program that differs in a byte nobody reads.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn upgrade_program(&mut self) {
        let copy = self.folder.path().join("paddockd");
        let mut bytes = fs::read(&self.program).unwrap();
        bytes.push(0);
        // A program that runs is not written to: the name goes to the new one.
        let beside = copy.with_extension("new");
        fs::write(&beside, bytes).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&beside, &copy).unwrap();
        self.program = copy;
    }

    /// Starts `serve` without waiting for it.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn_serve(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.envs(self.fail_points.iter().map(|folder| ("PADDOCK_FAIL_POINTS", folder)));
        command.envs(self.state_in.variables());
        command.arg("serve").arg("--data").arg(self.data());
        command
            .args(["--listen", &format!("{}:{}", self.listen, self.port()), "--domain", DOMAIN])
            .args(&self.arguments);
        if !self.arguments.iter().any(|argument| argument == "--dyno-trial") {
            // The dynos of the release before are not waited for at every push.
            command.args(["--dyno-trial", "0"]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child =
            Some(command.spawn().unwrap_or_else(|error| panic!("could not start paddockd: {error}")));
    }

    /// Waits until the server that was spawned answers `paddockd env`.
    ///
    /// # Panics
    /// When it does not within half a minute.
    pub fn wait_ready(&mut self) {
        self.environment = self.variables(&[]);
    }

    /// The variables that `paddockd env` prints with these arguments.
    ///
    /// # Panics
    /// When it does not within half a minute.
    #[must_use]
    pub fn variables(&self, arguments: &[&str]) -> BTreeMap<String, String> {
        let mut command = Command::new(&self.program);
        command.args(["env", "--wait", "--data"]).arg(self.data()).args(arguments);
        let outcome = run(command, b"", Duration::from_secs(45));
        assert_eq!(outcome.status, 0, "the server is not ready: {}\n{}", outcome.text(), self.log_end());
        outcome.stdout.lines().map(exported).collect()
    }

    fn launch(&mut self) {
        self.spawn_serve();
        self.wait_ready();
    }

    /// The program under test with any arguments.
    #[must_use]
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut program = Command::new(&self.program);
        program.args(arguments).envs(self.state_in.variables());
        program
    }

    /// Runs another `paddockd` command on this server's data folder.
    #[must_use]
    pub fn paddockd(&self, command: &str, arguments: &[&str]) -> crate::Outcome {
        let mut program = Command::new(&self.program);
        program.arg(command).arg("--data").arg(self.data()).args(arguments).envs(self.state_in.variables());
        run(program, b"", Duration::from_secs(120))
    }

    /// Where the server's own log lies.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines of the log that are not records of requests that went well.
    fn log_end(&self) -> String {
        let log = self.log();
        let telling =
            |line: &&str| !(line.contains("INFO paddock_api::layers") && line.contains(" status=2"));
        let lines: Vec<&str> = log.lines().filter(telling).collect();
        format!("--- end of the server's log\n{}", lines[lines.len().saturating_sub(25)..].join("\n"))
    }

    /// Lines of the log that ask for somebody's attention and were not announced.
    fn unannounced(&self) -> Vec<String> {
        let loud = |line: &&str| line.contains("ERROR") || line.contains("WARN");
        let known = |line: &str| self.announced.iter().any(|words| line.contains(words.as_str()));
        self.log().lines().filter(loud).filter(|line| !known(line)).map(str::to_owned).collect()
    }

    /// Leaves everything as a test run does that is killed; the folder that the next run finds.
    #[must_use]
    pub fn leave_as_killed(self) -> PathBuf {
        killed_runs::disown(self.folder.path());
        let folder = self.folder.path().to_owned();
        std::mem::forget(self);
        folder
    }

    fn stop_and_check(&mut self) -> Result<(), String> {
        let outcome = self.paddockd("stop", &["--stop-dynos"]);
        if let Some(mut child) = self.child.take() {
            if outcome.status != 0 {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
        if outcome.status != 0 {
            return Err(format!("paddockd stop failed: {}", outcome.text()));
        }
        // The kernel takes down network namespaces, and the links in them, in its own time.
        let look = || Leftovers::of(&instance_letters(&self.data()), &self.data());
        if wait_for(Duration::from_secs(10), || look().is_empty().then_some(())).is_none() {
            return Err(format!("left behind: {:#?}", look()));
        }
        let unannounced = self.unannounced();
        if !unannounced.is_empty() {
            return Err(format!("the server's log has lines nobody announced:\n{}", unannounced.join("\n")));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.stop_and_check();
        if std::thread::panicking() {
            // The first failure is the one to read; the server's log helps with it.
            #[expect(clippy::print_stderr, reason = "a failing test tells what it knows")]
            {
                eprintln!("{}\n{}", self.log_end(), stopped.err().unwrap_or_default());
            }
        } else if let Err(reason) = stopped {
            panic!("{reason}\n{}", self.log_end());
        }
    }
}

/// `export NAME=VALUE`, the value perhaps in single quotes.
fn exported(line: &str) -> (String, String) {
    let pair = line.strip_prefix("export ").and_then(|rest| rest.split_once('='));
    let (name, value) = pair.unwrap_or_else(|| panic!("paddockd env prints only export lines, not {line:?}"));
    let value = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
    (name.to_owned(), value.replace(r"'\''", "'"))
}
