//! A store in the protocol of S3 that others wrote, for as long as a journey lasts.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::outcome::run;
use crate::tools;

/// The bucket that it has.
pub const BUCKET: &str = "kept";
const KEY_ID: &str = "AKIDPADDOCKTESTS";
const KEY: &str = "a/key+with=marks";

/// A running store. It keeps what it is given in memory.
#[derive(Debug)]
pub struct Store {
    program: Child,
    port: u16,
}

impl Store {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("driver/store.py");
        let mut command = Command::new("python3");
        command.arg(script).args([BUCKET, KEY_ID, KEY]).env("PYTHONPATH", tools::moto());
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut program = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the store says at which port it is");
        Self { program, port }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file of an access key, written at this path; the right key, or another one.
    pub fn write_key(path: &Path, is_right: bool) {
        let key = if is_right { KEY } else { "wrong" };
        let text = format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {key}\n");
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// Names of objects and of uploads that were not ended.
    #[must_use]
    pub fn holds(&self) -> (Vec<String>, Vec<String>) {
        let held = self.ask("list");
        let names = |what: &str| {
            let all = held[what].as_array().cloned().unwrap_or_default();
            all.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        (names("objects"), names("uploads"))
    }

    /// From now on parts of uploads fail; or do not any more.
    pub fn fail(&self, fails: bool) {
        self.ask(if fails { "fail" } else { "heal" });
    }

    /// Begins an upload and leaves it there, as somebody does who is killed.
    pub fn begin(&self, name: &str) {
        self.ask(&format!("begin?{name}"));
    }

    /// Puts an object there that is eight days old.
    pub fn leave(&self, name: &str) {
        self.ask(&format!("leave?{name}"));
    }

    fn ask(&self, what: &str) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", &format!("{}/-/{what}", self.endpoint())]);
        let said = run(curl, b"", Duration::from_secs(30)).succeeded().stdout;
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
