//! Images: whole root file systems, with how their processes begin.
//!
//! Source: `docs/contract/platform-behaviour.md`, sections 11 and 12.

use std::collections::BTreeMap;

use crate::digest::{BlobDigest, LayerDigest};
use crate::process::ProcessType;
use crate::stack::StackVersion;

/// What an image says of its processes. What Heroku ignores of it (volumes, health checks, stop signals) is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// The first words of every process.
    pub entrypoint: Vec<String>,
    /// The words after them, where nothing else is asked for.
    pub command: Vec<String>,
    /// Variables; config vars win over them.
    pub env: BTreeMap<String, String>,
    /// Where processes begin; empty for `/`.
    pub working_dir: String,
    /// Who it has its processes run as: `name` or `number`, with `:group` or not. Root, and nobody, stand for the user of dynos of
    /// images.
    pub user: String,
    /// The TCP ports that it says it listens on; a web process listens on `PORT` all the same.
    pub exposed_ports: Vec<u16>,
    /// What stands before a `RUN` line of a Dockerfile that begins with it; empty for `/bin/sh -c`.
    pub shell: Vec<String>,
    /// Instructions that a Dockerfile that begins with it has before its own.
    pub on_build: Vec<String>,
}

/// An image that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of its configuration.
    pub id: BlobDigest,
    /// Its files, the uppermost layer first.
    pub layers: Vec<LayerDigest>,
    /// What they lie on, if that is the server's own stack; `None` where they are a whole root file system by themselves.
    pub base: Option<StackVersion>,
    /// How its processes begin.
    pub config: ImageConfig,
}

/// What a process type runs of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessImage {
    /// The image.
    pub image: Image,
    /// Its words.
    pub command: ImageCommand,
}

/// The words of a process of an image, after its entrypoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ImageCommand {
    /// The image's own.
    #[default]
    OfImage,
    /// A line, read by the image's `/bin/sh`.
    Line(String),
    /// Words as they stand.
    Words(Vec<String>),
}

impl ProcessImage {
    /// The command as people see it.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.command {
            ImageCommand::Line(line) => line.clone(),
            ImageCommand::Words(words) => shown(words),
            ImageCommand::OfImage => {
                let config = &self.image.config;
                let words: Vec<_> = config.entrypoint.iter().chain(&config.command).cloned().collect();
                shown(&words)
            }
        }
    }

    /// Program and arguments.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let config = &self.image.config;
        match &self.command {
            ImageCommand::OfImage => config.entrypoint.iter().chain(&config.command).cloned().collect(),
            ImageCommand::Line(line) => config.before_line().into_iter().chain([line.clone()]).collect(),
            ImageCommand::Words(words) => config.entrypoint.iter().chain(words).cloned().collect(),
        }
    }
}

impl ImageConfig {
    /// Whether a process of it, told to run this, would run anything.
    #[must_use]
    pub fn runs(&self, command: &ImageCommand) -> bool {
        let own = match command {
            ImageCommand::OfImage => &self.command,
            ImageCommand::Words(words) => words,
            ImageCommand::Line(_) => return true,
        };
        !self.entrypoint.is_empty() || !own.is_empty()
    }

    /// Why a process type of it cannot be run, if nothing says what it runs.
    #[must_use]
    pub fn no_command(process_type: &ProcessType) -> String {
        format!(
            "No command specified for process type {process_type}: its image has neither CMD nor ENTRYPOINT. Add one of \
             them to its Dockerfile."
        )
    }

    /// The words before a line that the image's shell is to read.
    #[must_use]
    pub fn before_line(&self) -> Vec<String> {
        self.entrypoint.iter().cloned().chain(["/bin/sh", "-c"].map(str::to_owned)).collect()
    }
}

/// Words as a shell would have to be told them.
fn shown(words: &[String]) -> String {
    let plain = |word: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
        !word.is_empty() && word.bytes().all(known)
    };
    let quoted = |word: &String| match plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn process(entrypoint: &[&str], own: &[&str], command: ImageCommand) -> ProcessImage {
        let config =
            ImageConfig { entrypoint: words(entrypoint), command: words(own), ..ImageConfig::default() };
        let image = Image { id: BlobDigest::of_sha256([1; 32]), layers: Vec::new(), base: None, config };
        ProcessImage { image, command }
    }

    #[test]
    fn the_entrypoint_stands_before_everything() {
        let of_image = process(&["tini", "--"], &["serve"], ImageCommand::OfImage);
        assert_eq!(of_image.words(), words(&["tini", "--", "serve"]));
        let line = process(&["tini"], &["serve"], ImageCommand::Line("a $PORT".into()));
        assert_eq!(line.words(), words(&["tini", "/bin/sh", "-c", "a $PORT"]));
        let given = process(&["tini"], &["serve"], ImageCommand::Words(words(&["b", "c d"])));
        assert_eq!(given.words(), words(&["tini", "b", "c d"]));
    }

    #[test]
    fn an_image_without_words_runs_what_it_is_told_alone() {
        let runs = |entrypoint: &[&str], own: &[&str], command: ImageCommand| {
            let process = process(entrypoint, own, command);
            let runs = process.image.config.runs(&process.command);
            assert_eq!(runs, !process.words().is_empty());
            runs
        };
        assert!(!runs(&[], &[], ImageCommand::OfImage));
        assert!(!runs(&[], &["a"], ImageCommand::Words(Vec::new())));
        assert!(runs(&["a"], &[], ImageCommand::OfImage) && runs(&[], &["a"], ImageCommand::OfImage));
        assert!(runs(&[], &[], ImageCommand::Line("a".into())));
        let web = ImageConfig::no_command(&ProcessType::web());
        assert!(web.starts_with("No command specified for process type web: "), "{web}");
    }

    #[test]
    fn a_command_is_shown_as_a_shell_would_be_told_it() {
        let shell = process(&[], &["/bin/sh", "-c", "exec it's \"x\""], ImageCommand::OfImage);
        assert_eq!(shell.shown(), r#"/bin/sh -c 'exec it'\''s "x"'"#);
        assert_eq!(process(&[], &[""], ImageCommand::OfImage).shown(), "''");
        assert_eq!(process(&["x"], &[], ImageCommand::Line("a b".into())).shown(), "a b");
    }
}
