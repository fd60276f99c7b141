//! The Python that an app gets: one of the stack's, or one that uv fetches.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::BuiltinBuild;
use super::interpreter::Interpreter;
use super::manifest::Manager;
use super::specifier::Specifiers;
use super::uv::{DEFAULT_MINOR, NEWEST_MINOR, Uv};
use super::version::{OLDEST_MINOR, Wanted};
use crate::runner::screen;
use crate::runner::stop::Stop;

/// Where the stack has its Pythons.
const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/local/bin"];
/// What an app that asked for nothing was built with, in the cache.
const LAST: &str = "python/version";

/// What an app asks for that names no version: what it was built with, as long as that fits.
pub(super) fn or_last(build: &BuiltinBuild<'_>, wanted: Wanted, required: Option<&Specifiers>) -> Wanted {
    let last = || {
        let text = build.word(LAST)?;
        let minor = text.trim().parse().ok()?;
        required.is_none_or(|required| required.contains_minor(minor)).then_some(minor)
    };
    match wanted {
        Wanted::Any => last().map_or(wanted, |minor| Wanted::Last { minor }),
        named => named,
    }
}

/// Keeps for later builds what an app got that asked for nothing.
pub(super) fn keep_last(build: &BuiltinBuild<'_>, wanted: &Wanted, got: &Interpreter) -> Result<(), Stop> {
    let text = got.version.1.to_string();
    let is_kept = || build.word(LAST).is_some_and(|kept| kept == text);
    if matches!(wanted, Wanted::Version { .. }) || is_kept() {
        return Ok(());
    }
    build.keep_word(LAST, &text)
}

/// Chooses; `None` when it cannot be had, which the user has been told.
pub(super) fn choose(
    build: &BuiltinBuild<'_>,
    wanted: &Wanted,
    required: Option<&Specifiers>,
    uv: &Uv,
) -> Result<Option<Interpreter>, Stop> {
    match wanted {
        Wanted::Any => newest(build, required, uv),
        Wanted::Last { .. } => match of_stack(build, wanted) {
            Some(found) => Ok(Some(found)),
            None => match uv.fetch_python(build, &wanted.text())? {
                Ok(found) => Ok(Some(found)),
                Err(_) => newest(build, required, uv),
            },
        },
        Wanted::Version { major, minor, file, .. } => {
            if *major < 3 || (*major == 3 && *minor < OLDEST_MINOR) {
                screen::warning(&too_old(wanted, file, available()));
                return Ok(None);
            }
            let found = match exact(build, wanted, uv)? {
                Some(found) => Some(found),
                None if *major == 3 => of_stack(build, wanted),
                None => None,
            };
            if found.is_none() && (*major > 3 || *minor > NEWEST_MINOR) {
                screen::warning(&unknown(wanted, file, available()));
                return Ok(None);
            }
            match found {
                Some(found) => Ok(Some(found)),
                None => fetch(build, wanted, uv, file),
            }
        }
    }
}

/// Exactly what a `Pipfile.lock` asks for, which the stack has another patch of: Pipenv takes no other.
fn exact(build: &BuiltinBuild<'_>, wanted: &Wanted, uv: &Uv) -> Result<Option<Interpreter>, Stop> {
    let Wanted::Version { major: 3, minor: minor @ OLDEST_MINOR..=NEWEST_MINOR, patch: Some(_), file } =
        wanted
    else {
        return Ok(None);
    };
    let is_met = stacks(build, *minor).is_none_or(|found| wanted.is_met_by(found.version));
    if *file != Manager::Pipenv.lock() || is_met {
        return Ok(None);
    }
    let found = uv.try_python(build, &wanted.text())?.ok();
    if let Some(found) = &found {
        screen::detail(&format!("Installed Python {}", found.version));
    }
    Ok(found)
}

/// The series that is asked for, such as `2.7`.
fn series(wanted: &Wanted) -> String {
    wanted.text().split('.').take(2).collect::<Vec<_>>().join(".")
}

fn too_old(wanted: &Wanted, file: &str, mut available: impl Iterator<Item = u64>) -> String {
    let nearest = available
        .find(|minor| *minor >= OLDEST_MINOR)
        .map(|minor| format!("\nThe nearest that this stack has is Python 3.{minor}."));
    format!(
        "Error: The requested Python version has reached end-of-life.\n\n\
         Python {} has reached its upstream end-of-life, and is therefore no longer receiving security updates.\n\n\
         Please upgrade to at least Python 3.{OLDEST_MINOR} by changing the version in your {file} file.{}",
        series(wanted),
        nearest.unwrap_or_default()
    )
}

fn unknown(wanted: &Wanted, file: &str, mut available: impl DoubleEndedIterator<Item = u64>) -> String {
    let nearest =
        available.next_back().map(|minor| format!("\nThe nearest that this stack has is Python 3.{minor}."));
    format!(
        "Error: The requested Python version isn't recognised.\n\n\
         The requested Python version {} isn't recognised.\n\n\
         Switch to a supported version (such as Python 3.{NEWEST_MINOR}) by changing the version in your {file} file.{}",
        series(wanted),
        nearest.unwrap_or_default()
    )
}

/// The stack's own Python of the minor version that is asked for.
fn of_stack(build: &BuiltinBuild<'_>, wanted: &Wanted) -> Option<Interpreter> {
    let found = stacks(build, wanted.minor()?)?;
    if wanted.is_met_by(found.version) {
        screen::detail(&format!("Using the stack's Python {}", found.version));
    } else {
        screen::detail(&format!("Using the stack's {} instead, of the same series", found.version));
    }
    Some(found)
}

fn stacks(build: &BuiltinBuild<'_>, minor: u64) -> Option<Interpreter> {
    let name = format!("python3.{minor}");
    FOLDERS.iter().find_map(|folder| Interpreter::at(build, Path::new(folder).join(&name)))
}

fn fetch(
    build: &BuiltinBuild<'_>,
    wanted: &Wanted,
    uv: &Uv,
    file: &str,
) -> Result<Option<Interpreter>, Stop> {
    match uv.fetch_python(build, &wanted.text())? {
        Ok(found) => {
            screen::detail(&format!("Installed Python {}", found.version));
            Ok(Some(found))
        }
        Err(said) => {
            screen::detail(&said);
            screen::warning(&format!(
                "Python {} is not available on this stack and could not be downloaded.\nAvailable versions: {}\n\
                 Name one of them in your {file} file, or set the config var UV_PYTHON_INSTALL_MIRROR to an address\n\
                 that has what uv downloads.",
                wanted.text(),
                said_available()
            ));
            Ok(None)
        }
    }
}

/// The newest that the project allows: one that uv knows, unless the stack's is as new or there is no way to get it.
fn newest(
    build: &BuiltinBuild<'_>,
    required: Option<&Specifiers>,
    uv: &Uv,
) -> Result<Option<Interpreter>, Stop> {
    let fits = |found: &Interpreter| required.is_none_or(|required| required.contains(found.version));
    let of_stack = available().rev().filter_map(|minor| stacks(build, minor)).find(fits);
    if let Some(found) = of_stack.as_ref().filter(|found| found.version.1 >= DEFAULT_MINOR) {
        screen::detail(&format!("Using the stack's Python {}", found.version));
        return Ok(of_stack);
    }
    let request = required
        .filter(|required| !required.contains_minor(DEFAULT_MINOR))
        .map_or_else(|| format!("3.{DEFAULT_MINOR}"), ToString::to_string);
    let said = match uv.try_python(build, &request)? {
        Ok(found) => {
            screen::detail(&format!("Installed Python {}", found.version));
            return Ok(Some(found));
        }
        Err(said) => said,
    };
    if let Some(found) = &of_stack {
        let reason = said.trim().lines().last().unwrap_or_default().trim();
        screen::detail(&format!(
            "Using the stack's Python {}: Python {request} could not be downloaded ({})",
            found.version,
            reason.strip_prefix("cause: ").unwrap_or(reason)
        ));
        return Ok(of_stack);
    }
    screen::detail(&said);
    screen::warning(&match required {
        Some(required) => format!(
            "pyproject.toml has requires-python = \"{required}\", which no Python of this stack is, and none could be downloaded.\n\
             Available versions: {}\nLet requires-python take one of them, and name it in a .python-version file.",
            said_available()
        ),
        None => "This stack has no Python: its operator has to install the package python3.".to_owned(),
    });
    Ok(None)
}

/// The minor versions that the stack has, the oldest first.
fn available() -> impl DoubleEndedIterator<Item = u64> {
    let entries = FOLDERS.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let minors =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("python3.")?.parse().ok());
    minors.collect::<BTreeSet<u64>>().into_iter()
}

/// `3.11, 3.13`.
fn said_available() -> String {
    let versions: Vec<_> = available().map(|minor| format!("3.{minor}")).collect();
    if versions.is_empty() {
        return "none (the operator has to install python3)".to_owned();
    }
    versions.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_none_is_refused_with_the_nearest() {
        let wanted = |major, minor, patch| Wanted::Version { major, minor, patch, file: "runtime.txt" };
        let said = too_old(&wanted(3, 9, Some(1)), "runtime.txt", [7, 9, 11, 13].into_iter());
        assert!(
            said.starts_with(
                "Error: The requested Python version has reached end-of-life.\n\nPython 3.9 has"
            )
        );
        assert!(
            said.ends_with("in your runtime.txt file.\nThe nearest that this stack has is Python 3.11."),
            "{said}"
        );
        assert!(too_old(&wanted(2, 7, None), "runtime.txt", [].into_iter()).ends_with("runtime.txt file."));
        let said = unknown(&wanted(3, 99, None), "runtime.txt", [11, 13].into_iter());
        assert!(said.starts_with("Error: The requested Python version isn't recognised.\n"), "{said}");
        assert!(said.ends_with("The nearest that this stack has is Python 3.13."), "{said}");
        assert!(unknown(&wanted(4, 0, None), "runtime.txt", [].into_iter()).contains("version 4.0 isn't"));
    }
}
