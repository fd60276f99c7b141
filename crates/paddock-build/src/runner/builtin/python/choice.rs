//! The Python that an app gets: one of the stack's, or one that uv fetches.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::BuiltinBuild;
use super::super::semver::Version;
use super::interpreter::Interpreter;
use super::specifier::Specifiers;
use super::uv::{NEWEST_MINOR, Uv};
use super::version::Wanted;
use crate::runner::screen;
use crate::runner::stop::Stop;

/// Where the stack has its Pythons.
const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/local/bin"];
/// What an app that asked for nothing was built with, in the cache.
const LAST: &str = "python/version";

/// What an app asks for that names no version: what it was built with, as long as that fits.
pub(super) fn or_last(build: &BuiltinBuild<'_>, wanted: Wanted, required: Option<&Specifiers>) -> Wanted {
    let last = || {
        let text = fs::read_to_string(build.build.cache.find(LAST)?).ok()?;
        let minor = text.trim().parse().ok()?;
        required
            .is_none_or(|required| required.contains(Version(3, minor, u64::from(u32::MAX))))
            .then_some(minor)
    };
    match wanted {
        Wanted::Any => last().map_or(wanted, |minor| Wanted::Last { minor }),
        named => named,
    }
}

/// Keeps for later builds what an app got that asked for nothing.
pub(super) fn keep_last(build: &BuiltinBuild<'_>, wanted: &Wanted, got: &Interpreter) -> Result<(), Stop> {
    let text = got.version.1.to_string();
    let is_kept = || {
        let kept = build.build.cache.find(LAST).and_then(|file| fs::read_to_string(file).ok());
        kept.is_some_and(|kept| kept == text)
    };
    if matches!(wanted, Wanted::Version { .. }) || is_kept() {
        return Ok(());
    }
    build.cache("python")?;
    fs::write(build.build.cache.cache_dir().join(LAST), &text).map_err(Stop::io("could not keep the version"))
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
        Wanted::Version { .. } => match of_stack(build, wanted) {
            Some(found) => Ok(Some(found)),
            None => fetch(build, wanted, uv),
        },
    }
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

fn fetch(build: &BuiltinBuild<'_>, wanted: &Wanted, uv: &Uv) -> Result<Option<Interpreter>, Stop> {
    match uv.fetch_python(build, &wanted.text())? {
        Ok(found) => {
            screen::detail(&format!("Installed Python {}", found.version));
            Ok(Some(found))
        }
        Err(said) => {
            screen::detail(&said);
            screen::warning(&format!(
                "Python {} is not available on this stack and could not be downloaded.\nAvailable versions: {}",
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
    if let Some(found) = of_stack.as_ref().filter(|found| found.version.1 >= NEWEST_MINOR) {
        screen::detail(&format!("Using the stack's Python {}", found.version));
        return Ok(of_stack);
    }
    let request = required.map_or_else(|| format!("3.{NEWEST_MINOR}"), ToString::to_string);
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
