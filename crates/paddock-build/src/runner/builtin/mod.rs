//! The buildpacks that are written in Rust. They run in the build container like any other, see what earlier
//! buildpacks exported, and write `export` and `.profile.d` as the classic ones do.

use std::collections::BTreeMap;
use std::path::Path;

use paddock_core::buildpack::BuiltinBuildpack;

use super::phases::Build;
use super::stop::Stop;

/// What a built-in buildpack works with.
#[derive(Debug)]
pub(super) struct BuiltinBuild<'a> {
    pub(super) build: &'a Build<'a>,
    /// Its own folder, for `export`.
    pub(super) folder: &'a Path,
}

/// Whether a buildpack wants the app.
pub(super) fn detect(buildpack: BuiltinBuildpack, build_dir: &Path) -> bool {
    match buildpack {
        BuiltinBuildpack::NodeJs | BuiltinBuildpack::Python => false,
        BuiltinBuildpack::Procfile => build_dir.join("Procfile").is_file(),
    }
}

/// What a buildpack wanted to find, for an app that it does not want.
pub(super) fn looks_for(buildpack: BuiltinBuildpack) -> &'static str {
    match buildpack {
        BuiltinBuildpack::NodeJs => "Error: your app doesn't have a 'package.json' file at its root.",
        BuiltinBuildpack::Python => {
            "Error: your app is configured to use the Python buildpack, but no 'requirements.txt', 'uv.lock' or \
             other Python file was found at its root."
        }
        BuiltinBuildpack::Procfile => "Error: your app doesn't have a 'Procfile' at its root.",
    }
}

/// Compiles. False when something of the app failed and the user has seen it.
pub(super) fn compile(buildpack: BuiltinBuildpack, build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let _ = build;
    match buildpack {
        BuiltinBuildpack::NodeJs | BuiltinBuildpack::Python => Ok(false),
        BuiltinBuildpack::Procfile => Ok(true),
    }
}

/// Commands for process types that the Procfile does not have.
pub(super) fn default_process_types(
    buildpack: BuiltinBuildpack,
    build_dir: &Path,
) -> BTreeMap<String, String> {
    let _ = (buildpack, build_dir);
    BTreeMap::new()
}
