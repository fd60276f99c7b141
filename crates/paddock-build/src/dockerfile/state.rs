//! What instructions change without a file being touched: variables, folder, user, commands.

use std::collections::BTreeMap;

use paddock_core::image::ImageConfig;

use super::expand::Expander;
use super::instruction::Words;

/// What a stage has come to.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) config: ImageConfig,
    /// Before the line of a command.
    pub(super) shell: Vec<String>,
    /// Values of ARGs: RUN sees them, the image has none of them.
    pub(super) arguments: BTreeMap<String, String>,
    /// Whether this file says a command: an ENTRYPOINT takes away only that of a base.
    command_is_ours: bool,
}

/// What is wrong: a sentence without its full stop.
type Result<T> = std::result::Result<T, String>;

impl State {
    pub(super) fn beginning_from(mut config: ImageConfig) -> Self {
        config.on_build.clear();
        let shell = match std::mem::take(&mut config.shell) {
            none if none.is_empty() => ["/bin/sh", "-c"].map(str::to_owned).to_vec(),
            shell => shell,
        };
        Self { config, shell, arguments: BTreeMap::new(), command_is_ours: false }
    }

    /// The state of a stage that begins from a stage in this one.
    pub(super) fn inherited(&self) -> Self {
        Self { command_is_ours: false, ..self.clone() }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.config.env.get(name).or_else(|| self.arguments.get(name)).map(String::as_str)
    }

    pub(super) fn word(&self, escape: char, word: &str) -> Result<String> {
        Expander { escape, value: &|name: &str| self.value(name) }.word(word)
    }

    pub(super) fn text(&self, text: &str) -> Result<String> {
        Expander { escape: '\\', value: &|name: &str| self.value(name) }.text(text)
    }

    pub(super) fn mount(&self, escape: char, text: &str) -> Result<super::mount::Mount> {
        super::mount::parse(text, &Expander { escape, value: &|name: &str| self.value(name) })
    }

    /// ENV: each value sees what was before the instruction.
    pub(super) fn set_env(&mut self, escape: char, pairs: &[(String, String)]) -> Result<()> {
        let pairs =
            pairs.iter().map(|(name, value)| Ok((self.word(escape, name)?, self.word(escape, value)?)));
        let pairs: Vec<(String, String)> = pairs.collect::<Result<_>>()?;
        for (name, value) in pairs {
            if name.is_empty() || name.contains('=') {
                return Err("ENV needs a name before the =".to_owned());
            }
            self.config.env.insert(name, value);
        }
        self.limit()
    }

    /// ARG: what the build says, else what it says itself, else what is said before the first stage.
    pub(super) fn set_arguments(
        &mut self,
        escape: char,
        args: &[(String, Option<String>)],
        of_build: &BTreeMap<String, String>,
        globals: &BTreeMap<String, String>,
    ) -> Result<()> {
        for (name, default) in args {
            let value = match (of_build.get(name), default) {
                (Some(value), _) => Some(value.clone()),
                (None, Some(default)) => Some(self.word(escape, default)?),
                (None, None) => globals.get(name).cloned(),
            };
            if let Some(value) = value {
                self.arguments.insert(name.clone(), value);
            }
        }
        self.limit()
    }

    /// Hundreds of long values would be too much for a program to be given.
    fn limit(&self) -> Result<()> {
        let all = self.config.env.iter().chain(&self.arguments);
        let bytes: usize = all.map(|(name, value)| name.len() + value.len() + 2).sum();
        if bytes > super::ENVIRONMENT_BYTES_MAX {
            return Err(format!(
                "all variables together may have {} KB, and these have more",
                super::ENVIRONMENT_BYTES_MAX / 1024
            ));
        }
        Ok(())
    }

    /// WORKDIR: the folder that it leads to.
    pub(super) fn set_working_dir(&mut self, escape: char, path: &str) -> Result<String> {
        let path = self.word(escape, path)?;
        if path.is_empty() {
            return Err("WORKDIR needs a folder, and its variables name none".to_owned());
        }
        self.config.working_dir = self.absolute(&path)?.trim_end_matches('/').to_owned();
        if self.config.working_dir.is_empty() {
            self.config.working_dir.push('/');
        }
        Ok(self.config.working_dir.clone())
    }

    /// A path from the root on, without `.` and `..`. A slash at its end stays.
    pub(super) fn absolute(&self, path: &str) -> Result<String> {
        if is_of_windows(path) {
            return Err(format!("{path} is a path of Windows: images are built for Linux alone"));
        }
        let start = if path.starts_with('/') { "" } else { &self.config.working_dir };
        let mut parts: Vec<&str> = Vec::new();
        for part in start.split('/').chain(path.split('/')) {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let mut absolute = format!("/{}", parts.join("/"));
        let is_folder = path.ends_with('/') || path == "." || path.ends_with("/.") || path.is_empty();
        if is_folder && absolute != "/" {
            absolute.push('/');
        }
        Ok(absolute)
    }

    pub(super) fn set_user(&mut self, escape: char, user: &str) -> Result<()> {
        let user = self.word(escape, user)?;
        if user.is_empty() || user.contains(char::is_whitespace) {
            return Err("USER needs one name or number".to_owned());
        }
        self.config.user = user;
        Ok(())
    }

    pub(super) fn expose(&mut self, escape: char, ports: &[String]) -> Result<()> {
        for port in ports {
            for port in self.word(escape, port)?.split_whitespace() {
                self.config.exposed_ports.extend(tcp_ports(port)?);
            }
        }
        self.config.exposed_ports.sort_unstable();
        self.config.exposed_ports.dedup();
        Ok(())
    }

    /// A command with the shell before it, if it is a line.
    pub(super) fn words(&self, words: &Words) -> Vec<String> {
        match words {
            Words::Exec(words) => words.clone(),
            Words::Line(line) => self.shell.iter().cloned().chain([line.clone()]).collect(),
        }
    }

    pub(super) fn set_entrypoint(&mut self, words: &Words) {
        self.config.entrypoint = self.words(words);
        if !self.command_is_ours {
            self.config.command.clear();
        }
    }

    pub(super) fn set_command(&mut self, words: &Words) {
        self.config.command = self.words(words);
        self.command_is_ours = true;
    }

    /// What a RUN has as its environment: what the image has wins over arguments.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let mut all = self.arguments.clone();
        all.extend(self.config.env.clone());
        all
    }
}

fn is_of_windows(path: &str) -> bool {
    // With the usual escape, `C:\app` has become `C:app`.
    let mut chars = path.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.next() == Some(':')
}

/// The TCP ports of `8080`, `53/udp` or `80-90/tcp`.
fn tcp_ports(text: &str) -> Result<Vec<u16>> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    match (first.parse::<u16>(), last.parse::<u16>(), protocol.as_str()) {
        (Ok(first), Ok(last), "tcp") if first <= last => Ok((first..=last).collect()),
        (Ok(first), Ok(last), "udp" | "sctp") if first <= last => Ok(Vec::new()),
        _ => Err(format!("EXPOSE takes a port such as 8080 or 53/udp, not {text}")),
    }
}
