//! The stack's npm, which fetches for an app's toolchain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Stacks;
use crate::runner::builtin::BuiltinBuild;
use crate::runner::builtin::semver::range_of_npm;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// What an app asks for that the stack does not have.
pub(super) struct Fetch<'a> {
    pub(super) build: &'a BuiltinBuild<'a>,
    /// Where it is put together.
    pub(super) folder: PathBuf,
    pub(super) stacks: Stacks,
}

impl Fetch<'_> {
    /// Has the stack's npm fetch a package; gives its folder, or what npm said.
    pub(super) fn download(
        &self,
        name: &str,
        range: &str,
        is_patient: bool,
    ) -> Result<Result<PathBuf, String>, Stop> {
        let folder = self.download_folder()?;
        let mut npm = self.npm(&folder);
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"])
            .arg(format!("{name}@{}", range_of_npm(range)));
        if !is_patient {
            npm.env("NPM_CONFIG_FETCH_RETRIES", "0");
        }
        let captured = session::capture(npm).map_err(Stop::io("could not run npm"))?;
        if !captured.status.success() {
            return Ok(Err(String::from_utf8_lossy(&captured.stderr).into_owned()));
        }
        Ok(Ok(folder.join("node_modules").join(name)))
    }

    /// An empty folder for what npm fetches.
    pub(super) fn download_folder(&self) -> Result<PathBuf, Stop> {
        let folder = self.build.build.home.join(".heroku/node-download");
        let prepare = || {
            remove_any(&folder)?;
            fs::create_dir_all(&folder)?;
            // Without one of its own, npm would look for a package further up.
            fs::write(folder.join("package.json"), "{}")
        };
        prepare().map_err(Stop::io("could not prepare the toolchain's folder"))?;
        Ok(folder)
    }

    /// The stack's npm in that folder.
    pub(super) fn npm(&self, folder: &Path) -> Command {
        let mut npm = self.build.program(&self.stacks.node_program.display().to_string());
        npm.arg(&self.stacks.npm_program)
            .current_dir(folder)
            .env("NPM_CONFIG_CACHE", folder.join("npm"))
            .env("NPM_CONFIG_LOGLEVEL", "error")
            .env("NPM_CONFIG_UPDATE_NOTIFIER", "false");
        npm
    }
}
