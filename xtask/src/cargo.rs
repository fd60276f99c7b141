//! What cargo knows of the workspace: its members with their manifests, and the resolved tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The workspace's own packages as `cargo metadata` describes them.
pub(crate) fn members(root: &Path) -> Result<Vec<Value>, String> {
    let text = output(root, &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

/// Versions by package name of what `cargo tree` lists with these arguments. Unlike `cargo metadata` it leaves out
/// packages that only an unused feature names.
pub(crate) fn tree(root: &Path, arguments: &[&str]) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let mut all = vec!["tree", "--prefix", "none", "--format", "{p}"];
    all.extend(arguments);
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in output(root, &all)?.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name.to_owned()).or_default().insert(version.trim_start_matches('v').to_owned());
        }
    }
    Ok(versions)
}

/// Where cargo puts what it makes.
pub(crate) fn target_directory(root: &Path) -> Result<PathBuf, String> {
    let text = output(root, &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata: no target_directory".to_owned())
}

/// What a cargo command prints.
pub(crate) fn output(root: &Path, arguments: &[&str]) -> Result<String, String> {
    output_with(root, arguments, &[])
}

/// What a cargo command prints, with variables set.
pub(crate) fn output_with(
    root: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root)
        .envs(variables.iter().copied())
        .output()
        .map_err(|error| format!("could not run cargo {}: {error}", arguments.join(" ")))?;
    if !output.status.success() {
        return Err(format!(
            "cargo {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
