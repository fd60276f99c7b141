//! What the host tells the build runner and what it hears back: two files of JSON in the container's `/build`.
//!
//! The plan holds no secret: config vars reach the runner through its environment (see [`CONFIG_VAR_PREFIX`]).
//! The result is written by a process that shares its user with the tenant's own code: it is the tenant's word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::git::Submodule;

/// Where the plan is read, inside the container.
pub const PLAN_FILE: &str = "/build/plan.json";
/// The folder that the runner writes its result to, inside the container.
pub const RESULT_FOLDER: &str = "/build/result";
/// The name of the result in [`RESULT_FOLDER`].
pub const RESULT_NAME: &str = "result.json";
/// The source archive, inside the container.
pub const SOURCE_FILE: &str = "/build/source";
/// The folder with the archives of buildpacks that the host has fetched, inside the container, read-only.
pub const ARCHIVES_FOLDER: &str = "/build/archives";
/// The saved cache of earlier builds, inside the container, read-only.
pub const SAVED_CACHE: &str = "/build/cache";
/// The folder below `/tmp` that is kept between builds; CACHE_DIR is `cache` in it, as on the original.
pub const KEPT_FOLDER: &str = "codon/tmp";
/// Before the names of config vars in the runner's own environment, so that none can change the runner.
pub const CONFIG_VAR_PREFIX: &str = "PADDOCK_CONFIG_VAR_";

/// What the runner is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPlan {
    /// What is built.
    pub purpose: Purpose,
    /// Name of the stack, as people see it.
    pub stack: String,
    /// Version of the stack: part of what caches are keyed by.
    pub stack_version: String,
    /// For `SOURCE_VERSION`; may be empty.
    pub source_version: String,
    /// For `REQUEST_ID`.
    pub request_id: String,
    /// Eight hexadecimal digits or more, for the name of BUILD_DIR.
    pub build_name: String,
    /// What kind of archive the source is.
    pub archive: ArchiveKind,
    pub submodules: Vec<Submodule>,
    /// References of the buildpacks in order; none to detect.
    pub buildpacks: Vec<String>,
    /// What the host knows of buildpacks, by their references.
    #[serde(default)]
    pub prepared: BTreeMap<String, PreparedBuildpack>,
    /// Whether `http://` and `file://` are allowed in them.
    pub insecure_buildpack_urls: bool,
    /// Whether there is a saved cache.
    pub has_cache: bool,
    /// The operator's variables for every build: proxies, certificate bundles, registries.
    pub site_env: BTreeMap<String, String>,
}

/// What the host knows of a buildpack before the build.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PreparedBuildpack {
    /// The SHA-256 of its archive in hexadecimal, which lies in [`ARCHIVES_FOLDER`] under this name: also where its name is that of
    /// a built-in one.
    pub archive: Option<String>,
    /// Why it cannot be had.
    pub missing: Option<String>,
    /// What ran for it in the app's last successful build, as [`paddock_core::buildpack_meaning::Ran`] is written.
    pub before: Option<String>,
    /// Whether that was looked for lately: a repository is not asked again.
    pub is_recent: bool,
    /// What people are told of it.
    pub told: Vec<Told>,
}

/// A line for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// What is so.
    Detail(String),
    /// What is not as it should be.
    Warning(String),
}

/// What a build makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A slug, by buildpacks.
    Slug,
    /// Images: the runner unpacks the source and reads what says how they are made.
    Image,
}

/// What kind of archive a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveKind {
    /// A tar made by git from a commit.
    GitTar,
    /// A tar, compressed or not, that somebody uploaded; checked on the host before.
    Uploaded,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BuildResult {
    /// Why it failed, when it did; the user has seen the text.
    pub failure: Option<RunnerFailure>,
    /// Command by process type, Procfile and defaults merged.
    pub process_types: BTreeMap<String, String>,
    /// Names of the buildpacks that ran, as people call them.
    pub buildpacks: Vec<String>,
    /// The commits of those that are repositories, by their references.
    pub commits: BTreeMap<String, String>,
    /// The names that their detection gave, e.g. `Python`.
    pub languages: Vec<String>,
    /// The built-in buildpack that detection chose, by its registry name.
    pub detected: Option<String>,
    /// Add-on plans that the last buildpack with a release asks for.
    pub addons: Vec<String>,
    /// Config vars that the last buildpack with a release asks for.
    pub config_vars: BTreeMap<String, String>,
    /// Whether the build made a new cache; otherwise the saved one stays as it is.
    pub new_cache: bool,
    /// What it used and how long its parts took.
    #[serde(default)]
    pub notes: Notes,
    /// For images: the `heroku.yml`, Dockerfiles and `.dockerignore`s that there are, by their paths in the source.
    pub texts: BTreeMap<String, String>,
    /// For images: the folder of each Dockerfile, without links; empty for the root.
    pub contexts: BTreeMap<String, String>,
}

/// What the runner notes of a build, in order: for the build's record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notes {
    /// The kind of a fact in its word (`tool`), a name and a value.
    pub facts: Vec<(String, String, String)>,
    /// A part, and its milliseconds.
    pub took: Vec<(String, u64)>,
    /// What was looked for among what earlier builds left, whether it was used, and why.
    pub reuse: Vec<(String, bool, String)>,
}

/// Why the runner gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerFailure {
    /// The source could not be unpacked, or a submodule not fetched.
    Source,
    /// A buildpack could not be fetched or is not one.
    Fetch,
    /// No buildpack wanted the app, or one that was set did not.
    Detect,
    /// A buildpack's compile or release failed.
    Compile,
    /// The Procfile cannot be used.
    Procfile,
    /// Something of ours failed.
    Internal,
}
