//! A package manager that is a Python program: in an environment of its own, so that nothing of it is the app's.

use std::fs;
use std::path::Path;

use super::pip_settings::PipSettings;
use super::{PythonBuild, shown};
use crate::runner::screen;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// Installs `requirements`, the first of which has the program `name`, into `folder/venv`. Only the program is in
/// `folder/bin`, which is put into the path.
pub(super) fn install(
    python: &PythonBuild<'_>,
    folder: &Path,
    name: &str,
    requirements: &[String],
) -> Result<bool, Stop> {
    let (venv, bin) = (folder.join("venv"), folder.join("bin"));
    let make = || {
        remove_any(folder)?;
        fs::create_dir_all(&bin)?;
        std::os::unix::fs::symlink(format!("../venv/bin/{name}"), bin.join(name))
    };
    make().map_err(Stop::io(format!("could not make the folder of {name}")))?;
    let mut uv = python.uv.command(python.build);
    uv.args(["venv", "--quiet", "--relocatable", "--no-project", "--no-config", "--python"])
        .arg(&python.interpreter.program)
        .arg(&venv);
    let mut succeeded = shown(uv)?;
    if succeeded {
        let mut uv = python.uv.command(python.build);
        uv.args(["pip", "install", "--quiet", "--no-config", "--python"]).arg(venv.join("bin/python"));
        // The app's settings are for its own packages.
        PipSettings::of_operator(python.build).apply(python.build, &mut uv);
        uv.args(requirements);
        succeeded = shown(uv)?;
    }
    if !succeeded {
        let shown = requirements.first().map_or(name, String::as_str);
        screen::warning(&format!(
            "Error: Unable to install {shown}.\n\n\
             See the messages above: the package index has to be reachable, and to have it for Python {}.",
            python.interpreter.version
        ));
    }
    Ok(succeeded)
}
