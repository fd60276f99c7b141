//! What a built app runs: its Procfile and what its buildpack adds. Source: `docs/contract/buildpacks.md`, section 6.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use paddock_core::ProcessType;
use paddock_core::procfile::{self, Procfile};

use super::screen;
use super::stop::Stop;
use crate::plan::RunnerFailure;
use crate::source::text;

/// The largest Procfile, in bytes.
const PROCFILE_BYTES_MAX: u64 = 1024 * 1024;

/// The most process types that a Procfile may declare.
const PROCESS_TYPES_MAX: usize = 400;
/// How many skipped lines are named.
const SKIPPED_NAMED_MAX: usize = 10;
/// The longest command, in bytes.
const COMMAND_BYTES_MAX: usize = 32 * 1024;

/// Reads the Procfile of the finished tree, says what was found and returns the command of every process type.
pub(super) fn discover(
    build_dir: &Path,
    defaults: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Stop> {
    screen::step("Discovering process types");
    let procfile = read(build_dir)?;
    for line in procfile.skipped_lines.iter().take(SKIPPED_NAMED_MAX) {
        screen::warning(&format!("Procfile line {line} is not of the form TYPE: COMMAND and was skipped"));
    }
    if let more @ 1.. = procfile.skipped_lines.len().saturating_sub(SKIPPED_NAMED_MAX) {
        screen::warning(&format!(
            "{more} more lines of the Procfile were skipped: it does not look like one"
        ));
    }
    let mut process_types: BTreeMap<String, String> =
        procfile.process_types.iter().map(|(name, command)| (name.to_string(), command.clone())).collect();
    let too_long = |command: &String| command.len() > COMMAND_BYTES_MAX;
    if process_types.len() > PROCESS_TYPES_MAX || process_types.values().any(too_long) {
        let problem = "The Procfile cannot be used: it may declare 400 process types of up to 32 KB each";
        return Err(Stop::told(RunnerFailure::Procfile, problem));
    }
    let declared = process_types.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let declared = if declared.is_empty() { "(none)".to_owned() } else { declared };
    let mut added = Vec::new();
    for (name, command) in defaults {
        if name.parse::<ProcessType>().is_err() || command.is_empty() {
            screen::warning(&format!("The buildpack's default process type {name:?} was skipped"));
        } else if !process_types.contains_key(name) {
            added.push(name.as_str());
            process_types.insert(name.clone(), command.clone());
        }
    }
    if added.is_empty() {
        screen::detail(&format!("Procfile declares types -> {declared}"));
    } else {
        screen::detail(&format!("Procfile declares types     -> {declared}"));
        screen::detail(&format!("Default types for buildpack -> {}", added.join(", ")));
    }
    Ok(process_types)
}

fn read(build_dir: &Path) -> Result<Procfile, Stop> {
    let path = build_dir.join("Procfile");
    let unusable =
        |why: &str| Stop::told(RunnerFailure::Procfile, &format!("The Procfile cannot be read: {why}"));
    match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Procfile::default()),
        Err(error) => return Err(unusable(&error.to_string())),
        Ok(metadata) if !metadata.is_file() => return Err(unusable("it is not a file")),
        Ok(metadata) if metadata.len() > PROCFILE_BYTES_MAX => {
            return Err(unusable("it is larger than 1 MB"));
        }
        Ok(_) => {}
    }
    let text = text::read(&path).map_err(|error| unusable(&error.to_string()))?;
    Ok(procfile::parse(&text))
}
