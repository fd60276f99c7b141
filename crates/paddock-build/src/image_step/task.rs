//! What the host tells the program of a step, and what it hears back: two files of JSON.
//!
//! The result is written beside files of the tenant's, by a process that works for the tenant: it is the tenant's word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything of the platform's in a container of a step lies below this: `/dev` is no part of an image.
pub const PLACE: &str = "/dev/paddock";
/// The program.
pub const PROGRAM: &str = "/dev/paddock/paddockd";
/// The folder of the C library that the program is linked with: the image may have another one, or none.
pub const LIBRARIES: &str = "/dev/paddock/lib";
/// The text that a RUN is.
pub const SCRIPT_FILE: &str = "/dev/paddock/script";
/// What is to be done.
pub const TASK_FILE: &str = "/dev/paddock/task.json";
/// The folder of the Dockerfile, to be read.
pub const CONTEXT: &str = "/dev/paddock/context";
/// What was taken from elsewhere, to be copied or to be filled.
pub const BUNDLE: &str = "/dev/paddock/bundle";
/// How folders of the bundle are called that are what was taken, and those that hold a file that was taken; a number follows.
pub const BUNDLED_FOLDER: &str = "d";
pub const BUNDLED_FILE: &str = "f";
/// What a step has written, to become a layer.
pub const UPPER: &str = "/dev/paddock/upper";
/// Where the layer is written.
pub const LAYER_FOLDER: &str = "/dev/paddock/layer";
pub const LAYER_NAME: &str = "layer.erofs";
/// Where the result is written.
pub const RESULT_FOLDER: &str = "/dev/paddock/result";
pub const RESULT_NAME: &str = "result.json";
/// Before the names of an image's variables in the program's own environment, so that none can change the program.
pub const VARIABLE_PREFIX: &str = "PADDOCK_STEP_VARIABLE_";

/// What is to be done in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Digests of what is copied from the context.
    Look(Look),
    /// Takes files from the context or from the root into the bundle.
    Pick(Pick),
    /// Fetches addresses into the bundle.
    Fetch(Fetch),
    /// Copies files into the root.
    Copy(Box<Copy>),
    /// Becomes a program.
    Run(Box<Run>),
    /// Makes folders.
    Folders(Vec<NewFolder>),
    /// Makes a layer of what a step has written.
    Pack,
}

/// Files to be copied: paths or patterns from a root on, and what of them is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub paths: Vec<String>,
    pub excludes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The `.dockerignore`.
    pub ignore: String,
    pub selections: Vec<Selection>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// The `.dockerignore` of a context; `None` is the container's own root.
    pub context: Option<String>,
    pub selection: Selection,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    pub urls: Vec<String>,
    /// What the only one must be: `sha256:…`.
    pub checksum: Option<String>,
    /// The operator's variables for programs: proxies, certificates.
    pub env: BTreeMap<String, String>,
}

/// COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    pub before: Vec<NewFolder>,
    /// The keyword, for sentences.
    pub keyword: String,
    pub sources: Vec<Source>,
    pub excludes: Vec<String>,
    /// The `.dockerignore` of the context.
    pub ignore: String,
    pub to: String,
    pub owner: Option<String>,
    pub mode: Option<String>,
    /// Whether what lies in the bundle keeps its owners.
    pub keeps_owners: bool,
    pub unpacks: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A path or pattern of the context.
    Path(String),
    /// Everything in the bundle.
    Bundle,
    /// A file with this text.
    Text { name: String, text: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub before: Vec<NewFolder>,
    pub body: Body,
    /// As a USER says it; empty for root.
    pub user: String,
    /// Empty for `/`.
    pub working_dir: String,
    /// Folders that are the user's: what is mounted there is empty at first.
    pub own: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Words(Vec<String>),
    /// The text in [`SCRIPT_FILE`]: what its first line says after `#!`.
    Script(String),
}

/// A folder that is there afterwards, with those that it lies in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NewFolder {
    pub path: String,
    /// Whose it is where it has to be made; empty for root.
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepResult {
    /// Why it was not done: a sentence without its full stop, for the author of the Dockerfile.
    pub problem: Option<String>,
    /// For each selection the digest of what it is, or why it is nothing.
    pub looked: Vec<Result<String, String>>,
    /// Files and folders that a layer has, what it takes away included.
    pub entries: u64,
    /// What a layer cannot have and was left out, in words.
    pub left_out: Vec<String>,
}
