//! `cargo xtask check-arch`: the workspace keeps to the table in `arch.rs`, or each breach is printed with its remedy.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::arch;
use crate::breach::Breach;
use crate::cargo;
use crate::circles;
use crate::durable_names;
use crate::rust_files::rust_files;
use crate::tokens::{Kind, Source, Token};

/// Prints every breach and whether there was none.
pub(crate) fn run(root: &Path) -> Result<bool, String> {
    let packages = cargo::members(root)?;
    let mut breaches = Vec::new();
    for package in &packages {
        breaches.extend(check_dependencies(package));
        breaches.extend(check_sources(root, package)?);
        breaches.extend(check_circles(root, package)?);
    }
    breaches.extend(check_workspace_versions(root, &packages));
    breaches.extend(check_tree(root)?);
    breaches.extend(durable_names::check(root)?);
    for breach in &breaches {
        println!("{}: {}\n    {}", breach.place, breach.what, breach.remedy);
    }
    match breaches.len() {
        0 => println!("check-arch: {} crates keep to the table", packages.len()),
        count => println!("check-arch: {count} breaches (the table is xtask/src/arch.rs)"),
    }
    Ok(breaches.is_empty())
}

fn name_of(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

fn check_dependencies(package: &Value) -> Vec<Breach> {
    let name = name_of(package);
    let Some(row) = arch::ROWS.iter().find(|row| row.name == name) else {
        let remedy = "a new crate needs a row in the table and a decision record";
        return vec![Breach::new(name, "is not in the table", remedy)];
    };
    let mut breaches = check_layout(package, name);
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    for dependency in dependencies.iter().filter(|dependency| dependency["kind"].as_str() != Some("dev")) {
        let used = dependency["name"].as_str().unwrap_or_default();
        let breach = if dependency["path"].is_string() {
            check_arrow(row, used)
        } else {
            check_third_party(row.name, used)
        };
        breaches.extend(breach);
    }
    let uses = |name: &str| dependencies.iter().any(|dependency| dependency["name"].as_str() == Some(name));
    for allowed in row.may_use.iter().filter(|allowed| !uses(allowed)) {
        let what = format!("is allowed {allowed} and does not use it");
        breaches.push(Breach::new(name, what, "take it out of its row"));
    }
    breaches
}

/// Versions that the workspace names for nobody.
fn check_workspace_versions(root: &Path, packages: &[Value]) -> Vec<Breach> {
    let text = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let section = text.split_once("[workspace.dependencies]").map_or("", |(_, rest)| rest);
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split_once(['=', '.'])).map(|(name, _)| name.trim());
    let used: BTreeSet<_> = packages
        .iter()
        .filter_map(|package| package["dependencies"].as_array())
        .flatten()
        .filter_map(|dependency| dependency["name"].as_str())
        .collect();
    names
        .filter(|name| !name.is_empty() && !name.starts_with('#') && !used.contains(name))
        .map(|name| {
            let what = format!("has a version of {name}, which no crate uses");
            Breach::new("Cargo.toml", what, "take the line out")
        })
        .collect()
}

fn check_layout(package: &Value, name: &str) -> Vec<Breach> {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
    let folder =
        manifest.parent().and_then(Path::file_name).map(|folder| folder.to_string_lossy().into_owned());
    let mut breaches = Vec::new();
    if folder.as_deref() != Some(name) {
        breaches.push(Breach::new(name, "lies in a folder of another name", "folder name = crate name"));
    }
    let text = fs::read_to_string(manifest).unwrap_or_default();
    if !text.contains("[lints]\nworkspace = true") {
        let remedy = "add `[lints]` with `workspace = true` to its Cargo.toml";
        breaches.push(Breach::new(name, "does not take the workspace's lints", remedy));
    }
    breaches
}

fn check_arrow(row: &arch::Row, used: &str) -> Option<Breach> {
    if arch::DEV_ONLY.contains(&used) && !row.may_use.contains(&used) {
        return Some(Breach::new(
            row.name,
            format!("uses {used}"),
            "make it a dev-dependency: it is for tests",
        ));
    }
    if row.may_use.contains(&used) {
        return None;
    }
    let allowed = if row.may_use.is_empty() { "none of ours".to_owned() } else { row.may_use.join(", ") };
    Some(Breach::new(
        row.name,
        format!("uses {used}"),
        format!("it may use {allowed}; move the code or write a decision"),
    ))
}

fn check_third_party(name: &str, used: &str) -> Option<Breach> {
    if name == "paddock-core" {
        let breach = Breach::new(
            name,
            format!("uses {used}"),
            "core has no I/O, async, serde or clock: do it in an outer crate",
        );
        return (!arch::CORE_MAY_USE.contains(&used)).then_some(breach);
    }
    if arch::FREE.contains(&used) {
        return None;
    }
    let Some(exclusive) = arch::EXCLUSIVE.iter().find(|exclusive| exclusive.name == used) else {
        let remedy = "a new third-party crate needs a decision record and a line in the table";
        return Some(Breach::new(name, format!("uses {used}, which the table does not know"), remedy));
    };
    let remedy = format!("only {} may: {}", exclusive.owners.join(", "), exclusive.reason);
    (!exclusive.owners.contains(&name)).then(|| Breach::new(name, format!("uses {used}"), remedy))
}

/// Checks what is below core. Versions, bans and licences are for `bin/cargo-deny`.
fn check_tree(root: &Path) -> Result<Vec<Breach>, String> {
    let mut breaches = Vec::new();
    let below_core = cargo::tree(root, &["--package", "paddock-core", "--edges", "normal"])?;
    for name in arch::NEVER_BELOW_CORE.iter().filter(|name| below_core.contains(**name)) {
        let what = format!("{name} is below it");
        breaches.push(Breach::new("paddock-core", what, "switch off the feature that brings it"));
    }
    Ok(breaches)
}

fn check_circles(root: &Path, package: &Value) -> Result<Vec<Breach>, String> {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
    circles::check(root, name_of(package), &manifest.with_file_name("src"))
}

fn check_sources(root: &Path, package: &Value) -> Result<Vec<Breach>, String> {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
    let folder = manifest.parent().unwrap_or(root);
    let mut breaches = Vec::new();
    for kind in ["src", "tests", "benches"] {
        for path in rust_files(&folder.join(kind))? {
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("could not read {}: {error}", path.display()))?;
            let place = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            breaches.extend(check_file(name_of(package), &place, kind != "src", &text)?);
        }
    }
    Ok(breaches)
}

fn check_file(package: &str, place: &str, is_test_file: bool, text: &str) -> Result<Vec<Breach>, String> {
    let source = Source::parse(text).map_err(|error| format!("{place} {error}"))?;
    let mut breaches = Vec::new();
    if !is_test_file {
        breaches.extend(check_size_and_name(place, &source));
    }
    let at = |token: &Token| format!("{place}:{}", token.line);
    if !arch::UNSAFE_ALLOWED.contains(&package) {
        let found = source.find(&["unsafe"]).chain(source.find(&["(", "unsafe_code"]));
        let remedy = "it lives in paddock-runtime-linux alone: ask it, or use rustix";
        breaches.extend(found.map(|found| Breach::new(at(&found[0]), "unsafe code", remedy)));
    }
    let sleeps =
        source.find(&["thread", "::", "sleep", "("]).chain(source.find(&["time", "::", "sleep", "("]));
    for found in sleeps.filter(|found| is_test_file || found[0].in_test) {
        let remedy = "wait for a state with a deadline, not for a while";
        breaches.push(Breach::new(at(&found[0]), "a sleep in a test", remedy));
    }
    // A test may ask the database itself: that is its second door.
    if !is_test_file && !arch::SQL_ALLOWED.contains(&package) {
        let texts = source.tokens.iter().filter(|token| token.kind == Kind::Text && is_sql(&token.text));
        let remedy = "SQL lives in paddock-store: give it a method that asks the question";
        breaches.extend(texts.map(|token| Breach::new(at(token), "SQL in a string", remedy)));
    }
    Ok(breaches)
}

fn check_size_and_name(place: &str, source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let (lines, most) = (source.lines_without_tests(), arch::MAX_FILE_LINES);
    if lines > most {
        let what = format!("{lines} lines without tests");
        breaches.push(Breach::new(place, what, format!("split it by noun: the budget is {most}")));
    }
    let stem = Path::new(place).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if arch::BANNED_MODULE_NAMES.contains(&stem) {
        let remedy = "call it by the noun it is about";
        breaches.push(Breach::new(place, "a module name that names nothing", remedy));
    }
    breaches
}

/// Whether a string reads as a statement: upper-case verbs with their second word.
fn is_sql(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    let begins = |first: &str, second: &str| words.windows(2).any(|pair| pair == [first, second]);
    (has("SELECT") && has("FROM"))
        || (words.first() == Some(&"UPDATE") && has("SET"))
        || begins("INSERT", "INTO")
        || begins("DELETE", "FROM")
        || begins("CREATE", "TABLE")
}

#[cfg(test)]
mod tests {
    use super::{check_file, check_third_party};

    fn breaches(package: &str, text: &str) -> Vec<String> {
        check_file(package, "crates/x/src/noun.rs", false, text)
            .unwrap()
            .into_iter()
            .map(|breach| breach.what)
            .collect()
    }

    #[test]
    fn each_source_rule_can_fail() {
        assert_eq!(breaches("paddock-api", "fn a() { unsafe { b() } }"), ["unsafe code"]);
        assert_eq!(breaches("paddock-api", "#![allow(unsafe_code)]"), ["unsafe code"]);
        assert_eq!(
            breaches("paddock-api", &format!("let a = \"{} a FROM b\";", "SELECT")),
            ["SQL in a string"]
        );
        assert_eq!(
            breaches("paddock-api", "#[cfg(test)]\nmod tests { fn a() { std::thread::sleep(b) } }"),
            ["a sleep in a test"]
        );
        assert_eq!(breaches("paddock-api", &"\n".repeat(501)), ["501 lines without tests"]);
    }

    #[test]
    fn the_owners_may() {
        assert!(breaches("paddock-runtime-linux", "unsafe { b() }").is_empty());
        assert!(breaches("paddock-store", "const A: &str = \"DELETE FROM apps\";").is_empty());
        assert!(check_third_party("paddock-store", "sqlx").is_none());
    }

    #[test]
    fn third_party_crates_are_known_or_refused() {
        assert!(check_third_party("paddock-api", "sqlx").is_some());
        assert!(check_third_party("paddock-core", "serde").is_some());
        assert!(check_third_party("paddock-build", "left-pad").is_some());
    }
}
