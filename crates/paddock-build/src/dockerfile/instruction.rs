//! The instructions of a Dockerfile as they were written: variables are still in them.

use super::heredoc::Heredoc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Where it begins, from 1 on.
    pub line: usize,
    /// As it was written, on one line.
    pub text: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Names, and what they are if nobody says otherwise.
    Arg(Vec<(String, Option<String>)>),
    From(From),
    Run(Run),
    /// COPY or ADD.
    Copy(Copy),
    Env(Vec<(String, String)>),
    Workdir(String),
    User(String),
    Shell(Vec<String>),
    Entrypoint(Words),
    Cmd(Words),
    Expose(Vec<String>),
    /// For stages that begin from this one.
    Onbuild(Box<Instruction>),
    /// Says something of an image that nothing here looks at.
    LeftOut,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// An image or an earlier stage.
    pub base: String,
    pub platform: Option<String>,
    /// In small letters.
    pub name: Option<String>,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// A program and its arguments.
    Exec(Vec<String>),
    /// A line for the shell.
    Line(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub words: Words,
    /// What its `--mount` flags say, unread: variables are put in before.
    pub mounts: Vec<String>,
    pub network: RunNetwork,
    pub(super) texts: Vec<Heredoc>,
}

/// What a RUN may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunNetwork {
    /// What builds may reach.
    Default,
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copy {
    pub is_add: bool,
    /// A stage or an image; `None` is the folder that is built.
    pub from: Option<String>,
    pub owner: Option<String>,
    pub mode: Option<String>,
    pub excludes: Vec<String>,
    /// What a fetched file must be: `sha256:…`.
    pub checksum: Option<String>,
    /// Whether archives are unpacked, where it says so.
    pub unpack: Option<bool>,
    pub sources: Vec<CopySource>,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    Path(String),
    /// A file with this text.
    Text {
        name: String,
        text: String,
        is_expanded: bool,
    },
}

impl Copy {
    /// The keyword, for sentences.
    #[must_use]
    pub fn keyword(&self) -> &'static str {
        if self.is_add { "ADD" } else { "COPY" }
    }
}
