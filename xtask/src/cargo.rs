//! What cargo knows of the workspace: its members with their manifests, and the resolved tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The workspace's own packages as `cargo metadata` describes them.
pub(crate) fn members(root: &Path) -> Result<Vec<Value>, String> {
    let text = output(root, &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

/// The names of the packages that `cargo tree` lists with these arguments. Unlike `cargo metadata` it leaves out packages that
/// only an unused feature names.
pub(crate) fn tree(root: &Path, arguments: &[&str]) -> Result<BTreeSet<String>, String> {
    let all = [&["tree", "--prefix", "none", "--format", "{p}"], arguments].concat();
    let listed = output(root, &all)?;
    Ok(listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
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
