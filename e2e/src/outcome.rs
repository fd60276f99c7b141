//! Running a program to its end, with a deadline, and what came of it.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::wait::pause;

/// What a program left: its status and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command, as a person would type it.
    pub command: String,
    /// Exit status; a signal counts as 128 + its number.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Both streams, output first.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The same outcome if the program succeeded.
    ///
    /// # Panics
    /// Otherwise, with everything it said.
    pub fn succeeded(self) -> Outcome {
        assert_eq!(self.status, 0, "{} failed:\n{}", self.command, self.text());
        self
    }

    /// The same outcome if the program failed and said why.
    ///
    /// # Panics
    /// When it succeeded, or when what it said lacks `reason`.
    pub fn failed_saying(self, reason: &str) -> Outcome {
        assert_ne!(self.status, 0, "{} succeeded:\n{}", self.command, self.text());
        self.saying(reason)
    }

    /// The same outcome if it said this.
    ///
    /// # Panics
    /// Otherwise, with everything it said.
    pub fn saying(self, words: &str) -> Outcome {
        assert!(self.text().contains(words), "{} did not say {words:?}:\n{}", self.command, self.text());
        self
    }
}

/// Runs a program to its end with `input` on its standard input.
///
/// # Panics
/// When it cannot be started or does not end in time; it and its children are killed then.
pub fn run(mut command: Command, input: &[u8], within: Duration) -> Outcome {
    let shown = shown(&command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("could not start {shown}: {error}"));
    let mut stdin = child.stdin.take().expect("the input is piped");
    let input = input.to_vec();
    // A program may end without reading its input.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let stdout = reader(child.stdout.take().expect("the output is piped"));
    let stderr = reader(child.stderr.take().expect("the errors are piped"));
    let deadline = Instant::now() + within;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() >= deadline {
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
            panic!("{shown} did not end within {} s:\n{}{}", within.as_secs(), ended(stdout), ended(stderr));
        }
        pause(Duration::from_millis(10));
    };
    drop(writer.join());
    Outcome { command: shown, status: code(status), stdout: ended(stdout), stderr: ended(stderr) }
}

/// Runs a program that asks questions: each answer is given when its question has been read, as by a person.
///
/// # Panics
/// When it cannot be started, a question does not come, or it does not end in time; it is killed then.
pub fn answer(mut command: Command, answers: &[(&str, &str)], within: Duration) -> Outcome {
    let shown = shown(&command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("could not start {shown}: {error}"));
    let mut stdin = child.stdin.take().expect("the input is piped");
    let said = Arc::new(Mutex::new(Vec::new()));
    let readers = [
        collect(child.stdout.take().expect("the output is piped"), said.clone()),
        collect(child.stderr.take().expect("the errors are piped"), said.clone()),
    ];
    let text = || String::from_utf8_lossy(&said.lock().unwrap()).into_owned();
    let deadline = Instant::now() + within;
    let mut questions = answers.iter();
    let mut next = questions.next();
    let status = loop {
        if let Some((question, answer)) = next
            && text().contains(question)
        {
            writeln!(stdin, "{answer}").unwrap();
            next = questions.next();
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() >= deadline {
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
            panic!("{shown} did not end within {} s:\n{}", within.as_secs(), text());
        }
        pause(Duration::from_millis(10));
    };
    drop(stdin);
    readers.into_iter().for_each(|reader| drop(reader.join()));
    Outcome { command: shown, status: code(status), stdout: text(), stderr: String::new() }
}

/// Reads a stream to its end, showing what has come.
fn collect(mut stream: impl Read + Send + 'static, said: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            said.lock().unwrap().extend_from_slice(&piece[..length]);
        }
    })
}

/// A command as one would type it, without its folder.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let mut words = vec![program.rsplit('/').next().unwrap_or(&program).to_owned()];
    words.extend(command.get_args().map(|argument| quoted(&argument.to_string_lossy())));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=@,+~".contains(char);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn reader(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

fn ended(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}
