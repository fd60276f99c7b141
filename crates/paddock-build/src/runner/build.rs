//! A build, as its buildpacks see it.

use std::path::PathBuf;

use paddock_core::buildpack::BuildpackRef;
use paddock_core::config::ConfigVars;

use super::cache::Cache;
use super::notes::Notebook;
use super::session::Session;
use crate::plan::BuildPlan;

/// The folders of a build and what its buildpacks share.
#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) plan: &'a BuildPlan,
    pub(super) config_vars: &'a ConfigVars,
    pub(super) session: Session,
    pub(super) build_dir: PathBuf,
    pub(super) cache: Cache,
    pub(super) env_dir: PathBuf,
    pub(super) home: PathBuf,
    pub(super) notes: &'a Notebook,
}

/// One buildpack that was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) buildpack: BuildpackRef,
    pub(super) folder: PathBuf,
}
