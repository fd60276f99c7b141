//! The official Heroku CLI and plain git, pointed at one server, with a home of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::driver::{Call, Driver, PROGRAM_VARIABLE, SOCKET_VARIABLE};
use crate::machine::Machine;
use crate::outcome::{Outcome, run};
use crate::server::Server;
use crate::tools::{heroku_bin, heroku_entry, stand_in};

/// Longest that one command may take; a first push with dependencies is the longest.
const LONGEST: Duration = Duration::from_secs(600);
/// Longest that one command of the CLI may take.
const HEROKU_TIME: Duration = Duration::from_secs(120);

/// A person at a terminal: HOME, PATH with `heroku` on it, and the variables of one server.
///
/// Commands are carried out by one process that has loaded the CLI, unless they are to start anew each time
/// ([`Cli::starting_anew`]), have a terminal, ask questions or go on.
#[derive(Debug)]
pub struct Cli {
    /// Before the home, so that its process ends first.
    driver: OnceLock<Driver>,
    starts_anew: bool,
    home: TempDir,
    environment: BTreeMap<String, String>,
    /// A folder whose programs come before all others.
    own_programs: Option<PathBuf>,
    /// Where the terminal is, if not on the server's machine.
    machine: Option<Machine>,
}

/// What `HEROKU_HOST` is in the proxy form.
const PROXIED_HOST: &str = "paddock.herokudev.com";

impl Cli {
    /// A person whose variables point at this server.
    ///
    /// # Panics
    /// When they point anywhere but to loopback: a test never talks to the real Heroku.
    #[must_use]
    pub fn new(server: &Server) -> Cli {
        Cli::with_environment(server.environment().clone())
    }

    /// A person with these variables and nothing else.
    ///
    /// # Panics
    /// When `HEROKU_HOST` is absent or not loopback: a test never talks to the real Heroku.
    #[must_use]
    pub fn with_environment(environment: BTreeMap<String, String>) -> Cli {
        let host = environment.get("HEROKU_HOST").map(String::as_str).unwrap_or_default();
        assert!(is_loopback(host), "HEROKU_HOST={host:?} is not loopback: refusing to run the official CLI");
        Cli::of(environment, None)
    }

    /// A person on the server's machine who uses the proxy form.
    ///
    /// # Panics
    /// When the variables do not make this server the proxy.
    #[must_use]
    pub fn through_proxy(server: &Server) -> Cli {
        let environment = server.variables(&["--proxy"]);
        assert_proxied(&environment, SocketAddr::new(Ipv4Addr::LOCALHOST.into(), server.port()));
        Cli::of(environment, None)
    }

    /// A person on another machine who uses the proxy form.
    ///
    /// # Panics
    /// When the variables do not make this server the proxy.
    #[must_use]
    pub fn on_machine(server: &Server, machine: Machine) -> Cli {
        let address = IpAddr::V4(machine.address_here());
        let account = format!("admin@{}", server.domain());
        let environment =
            server.variables(&["--proxy", "--address", &address.to_string(), "--account", &account]);
        machine.there(|| assert_proxied(&environment, SocketAddr::new(address, server.port())));
        Cli::of(environment, Some(machine))
    }

    fn of(environment: BTreeMap<String, String>, machine: Option<Machine>) -> Cli {
        let home = TempDir::with_prefix("paddock-home-").unwrap();
        Cli { driver: OnceLock::new(), starts_anew: false, home, environment, own_programs: None, machine }
    }

    /// The same person, for whom every command is a process of its own, also those by which git asks for a token.
    #[must_use]
    pub fn starting_anew(mut self) -> Cli {
        self.starts_anew = true;
        self
    }

    /// The same person, who has the programs of this folder before all others.
    #[must_use]
    pub fn with_programs(mut self, folder: &Path) -> Cli {
        self.own_programs = Some(folder.to_owned());
        self
    }

    /// One of this person's variables.
    ///
    /// # Panics
    /// When it is not set.
    #[must_use]
    pub fn variable(&self, name: &str) -> &str {
        &self.environment[name]
    }

    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A program in this person's environment, in a folder.
    #[must_use]
    pub fn program(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env_clear().envs(self.variables());
        command
    }

    /// The same for a script that calls `heroku`: its calls, too, are carried out by the process that has loaded it.
    #[must_use]
    pub fn script(&self, program: &str, folder: &Path) -> Command {
        self.driver();
        self.program(program, folder)
    }

    /// `heroku` as a process of its own, in a folder.
    #[must_use]
    pub fn heroku_program(&self, folder: &Path) -> Command {
        self.program(&heroku_bin().join("heroku").to_string_lossy(), folder)
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let official = heroku_bin();
        let mut path = format!("{}:{}", official.display(), inherited.to_string_lossy());
        let mut variables = BTreeMap::new();
        let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
        if !self.starts_anew {
            path = format!("{}:{path}", stand_in().display());
            set(PROGRAM_VARIABLE, &official.join("heroku").to_string_lossy());
            set(SOCKET_VARIABLE, &Driver::socket_in(self.home()).to_string_lossy());
        }
        if let Some(own) = &self.own_programs {
            path = format!("{}:{path}", own.display());
        }
        set("PATH", &path);
        set("HOME", &self.home().to_string_lossy());
        for (name, value) in [
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("TERM", "dumb"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
        ] {
            set(name, value);
        }
        variables.extend(self.environment.clone());
        variables
    }

    fn driver(&self) -> &Driver {
        self.driver.get_or_init(|| {
            let start = || Driver::start(self.program("node", self.home()), &heroku_entry(), self.home());
            match &self.machine {
                Some(machine) => machine.there(start),
                None => start(),
            }
        })
    }

    /// `heroku ARGUMENTS` at home.
    #[must_use]
    pub fn heroku(&self, arguments: &[&str]) -> Outcome {
        self.heroku_in(self.home(), arguments)
    }

    /// `heroku ARGUMENTS` in a folder.
    #[must_use]
    pub fn heroku_in(&self, folder: &Path, arguments: &[&str]) -> Outcome {
        self.heroku_with_input(folder, arguments, b"")
    }

    /// `heroku ARGUMENTS` in a folder, with something on its standard input.
    #[must_use]
    pub fn heroku_with_input(&self, folder: &Path, arguments: &[&str], input: &[u8]) -> Outcome {
        if self.starts_anew {
            let mut command = self.heroku_program(folder);
            command.args(arguments);
            return self.run(command, input, HEROKU_TIME);
        }
        let call = Call {
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            environment: self.variables(),
            folder: folder.to_owned(),
            input: String::from_utf8_lossy(input).into_owned(),
            merged: false,
        };
        self.driver().call(&call, HEROKU_TIME)
    }

    /// Runs a program where this person is.
    #[must_use]
    pub fn run(&self, command: Command, input: &[u8], within: Duration) -> Outcome {
        match &self.machine {
            Some(machine) => machine.there(|| run(command, input, within)),
            None => run(command, input, within),
        }
    }

    /// `git ARGUMENTS` in a folder.
    #[must_use]
    pub fn git(&self, folder: &Path, arguments: &[&str]) -> Outcome {
        let mut command = self.program("git", folder);
        command.args(arguments);
        self.run(command, b"", LONGEST)
    }

    /// Starts a `heroku` command that goes on, such as `logs --tail`, its output going to a file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn follow(&self, arguments: &[&str]) -> Following {
        let path = self.home().join(format!("following-{}.txt", arguments.join("-").replace('/', "-")));
        let file = File::create(&path).unwrap();
        let mut command = self.heroku_program(self.home());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0);
        let child = match &self.machine {
            Some(machine) => machine.there(|| command.spawn().unwrap()),
            None => command.spawn().unwrap(),
        };
        Following { child, path }
    }
}

/// A command that goes on until this is dropped.
#[derive(Debug)]
pub struct Following {
    child: Child,
    path: PathBuf,
}

impl Following {
    /// What it has said so far.
    #[must_use]
    pub fn text(&self) -> String {
        std::fs::read(&self.path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until it has said this.
    ///
    /// # Panics
    /// When it does not in time; the message has what it said instead.
    pub fn wait_for(&self, words: &str, within: Duration) {
        let said = std::cell::RefCell::new(String::new());
        let found = crate::wait::wait_for(within, || {
            said.replace(self.text());
            said.borrow().contains(words).then_some(())
        });
        assert!(found.is_some(), "waited {} s for {words:?} in:\n{}", within.as_secs(), said.borrow());
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// With names of Heroku's for hosts, everything depends on the proxy: it must be this server, and answer as it does.
fn assert_proxied(environment: &BTreeMap<String, String>, server: SocketAddr) {
    let variable = |name: &str| environment.get(name).map(String::as_str).unwrap_or_default();
    let proxy = variable("HTTPS_PROXY");
    assert_eq!(
        (variable("HEROKU_HOST"), proxy),
        (PROXIED_HOST, format!("http://{server}").as_str()),
        "this is not the proxy form: refusing to run the official CLI"
    );
    for (name, value) in environment.iter().filter(|(_, value)| value.contains("://")) {
        let host = value.split_once("://").map_or("", |(_, rest)| rest).split('/').next().unwrap_or_default();
        let is_ours = host == server.to_string() || host.ends_with(&format!(".{PROXIED_HOST}"));
        assert!(is_ours, "{name}={value} leads past the server: refusing to run the official CLI");
    }
    // A real proxy would try to reach it.
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(10)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .write_all(
            b"CONNECT nowhere.invalid:443 HTTP/1.1\r\nHost: nowhere.invalid:443\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains("nowhere.invalid is no host of this platform"),
        "{proxy} is not our proxy form ({answer}): refusing to run the official CLI"
    );
}

fn is_loopback(host: &str) -> bool {
    let name = host.trim_start_matches("http://").trim_start_matches("https://");
    let name = name.split(['/', ':']).next().unwrap_or_default();
    name == "localhost" || name == "127.0.0.1"
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_loopback_is_loopback() {
        assert!(is_loopback("http://localhost:5080") && is_loopback("https://127.0.0.1:1"));
        for host in
            ["", "heroku.com", "http://localhost@heroku.com", "http://localhost.heroku.com", "api.localhost"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
