//! Which Python an app wants and gets. Order: `.python-version`, `runtime.txt`, the stack's own.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::BuiltinBuild;
use super::uv::Uv;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

/// The longest file that is read for a version, in bytes.
const FILE_BYTES_MAX: usize = 4 * 1024;

/// What an app asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing.
    Any,
    /// A version, and the file that says so.
    Version { minor: u32, patch: Option<u32>, file: &'static str },
}

/// The Python that an app gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interpreter {
    pub(super) program: PathBuf,
    pub(super) version: String,
}

impl Wanted {
    fn text(&self) -> String {
        match self {
            Self::Any => "3".to_owned(),
            Self::Version { minor, patch: None, .. } => format!("3.{minor}"),
            Self::Version { minor, patch: Some(patch), .. } => format!("3.{minor}.{patch}"),
        }
    }

    /// Says what was found.
    pub(super) fn say(&self) {
        match self {
            Self::Any => {
                screen::step("No Python version was specified. Using the stack's own.");
                screen::detail(
                    "To use a specific version, add a .python-version file, e.g. with the line 3.11",
                );
            }
            Self::Version { file, .. } => {
                screen::step(&format!("Using Python {} specified in {file}", self.text()));
            }
        }
    }
}

/// What the app asks for, or what is wrong with how it asks.
pub(super) fn wanted(build_dir: &Path) -> Result<Wanted, String> {
    for (file, prefix) in [(".python-version", ""), ("runtime.txt", "python-")] {
        let Ok(bytes) = fs::read(build_dir.join(file)) else { continue };
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(FILE_BYTES_MAX)]).into_owned();
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let version = line.and_then(|line| line.strip_prefix(prefix)).and_then(parse);
        let Some((minor, patch)) = version else {
            return Err(format!(
                "The Python version in {file} cannot be read: {:?}\nIt must be of the form {prefix}3.11 or {prefix}3.11.2",
                line.unwrap_or_default()
            ));
        };
        return Ok(Wanted::Version { minor, patch, file });
    }
    Ok(Wanted::Any)
}

fn parse(text: &str) -> Option<(u32, Option<u32>)> {
    let mut parts = text.strip_prefix("3.")?.split('.');
    let minor = parts.next()?.parse().ok()?;
    let patch = parts.next().map(|patch| patch.parse().ok());
    match (patch, parts.next()) {
        (None, None) => Some((minor, None)),
        (Some(Some(patch)), None) => Some((minor, Some(patch))),
        _ => None,
    }
}

/// The stack's own Python, when it fits.
pub(super) fn of_stack(build: &BuiltinBuild<'_>, wanted: &Wanted) -> Option<Interpreter> {
    let program = match wanted {
        Wanted::Any => PathBuf::from("/usr/bin/python3"),
        Wanted::Version { minor, .. } => PathBuf::from(format!("/usr/bin/python3.{minor}")),
    };
    let interpreter = interpreter(build, program)?;
    match wanted {
        Wanted::Version { patch: Some(_), .. } if interpreter.version != wanted.text() => {
            screen::detail(&format!("Using the stack's {} instead, of the same series", interpreter.version));
        }
        _ => screen::detail(&format!("Using the stack's Python {}", interpreter.version)),
    }
    Some(interpreter)
}

/// Another Python than the stack's; `None` when it cannot be had, which the user has been told.
pub(super) fn fetch(build: &BuiltinBuild<'_>, wanted: &Wanted, uv: &Uv) -> Result<Option<Interpreter>, Stop> {
    if let Some(interpreter) = uv.install_python(build, &wanted.text())? {
        screen::detail(&format!("Installed Python {}", interpreter.version));
        return Ok(Some(interpreter));
    }
    let available = available();
    screen::warning(&format!(
        "Python {} is not available on this stack and could not be downloaded.\nAvailable versions: {}",
        wanted.text(),
        if available.is_empty() {
            "none (the operator has to install python3)".to_owned()
        } else {
            available.join(", ")
        }
    ));
    Ok(None)
}

/// The Python at a path, if one runs there.
pub(super) fn interpreter(build: &BuiltinBuild<'_>, program: PathBuf) -> Option<Interpreter> {
    if !program.exists() {
        return None;
    }
    let mut command = build.build.session.plain(&program);
    command.args(["-I", "-c", "import platform; print(platform.python_version())"]);
    let captured = session::capture(command).ok().filter(|captured| captured.status.success())?;
    let version = String::from_utf8_lossy(&captured.stdout).trim().to_owned();
    Some(Interpreter { program, version })
}

/// The versions that the stack has, `3.11` and so on.
fn available() -> Vec<String> {
    let names = fs::read_dir("/usr/bin").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut minors: Vec<u32> =
        names.filter_map(|name| name.to_str()?.strip_prefix("python3.")?.parse().ok()).collect();
    minors.sort_unstable();
    minors.iter().map(|minor| format!("3.{minor}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(wanted(folder.path()), Ok(Wanted::Any));
        write("runtime.txt", "python-3.11.7\r\n");
        let version = |minor, patch, file| Ok(Wanted::Version { minor, patch, file });
        assert_eq!(wanted(folder.path()), version(11, Some(7), "runtime.txt"));
        write(".python-version", "# pinned\n\n3.13\n");
        assert_eq!(wanted(folder.path()), version(13, None, ".python-version"));
        for bad in ["", "2.7", "3", "3.x", "3.11.2.1", "python-3.11", "pypy3.9"] {
            write(".python-version", bad);
            assert!(wanted(folder.path()).is_err(), "{bad}");
        }
    }
}
