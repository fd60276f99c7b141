//! `cargo xtask coverage`: how much of the published API is built and how many of the official CLI's commands pass.
//!
//! What is built the API crate says itself (its example `routes`), what passes from the recorded transcripts; the whole is read
//! from the contract folder, which is not ours to ship. The tables in `docs/reference` are generated and committed;
//! `--check` needs no contract: nothing that they call built or passed may be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cargo;

/// What to do with the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Print,
    /// Print the sums and write the tables.
    Write,
    /// Compare the committed tables with the tree.
    Check,
}

/// Commands under the names that people type.
const ALIASES: &[(&str, &str)] = &[
    ("addons:downgrade", "addons:upgrade"),
    ("create", "apps:create"),
    ("destroy", "apps:destroy"),
    ("info", "apps:info"),
    ("login", "auth:login"),
    ("logout", "auth:logout"),
    ("open", "apps:open"),
    ("pg", "pg:info"),
    ("psql", "pg:psql"),
    ("rename", "apps:rename"),
    ("restart", "ps:restart"),
    ("rollback", "releases:rollback"),
    ("scale", "ps:scale"),
    ("stop", "ps:stop"),
    ("whoami", "auth:whoami"),
];

/// Commands that no server can make pass.
const IMPOSSIBLE: &[(&str, &str)] =
    &[("auth:2fa:disable", "the CLI has removed it: it always fails, without a call")];

const API_TABLE: &str = "docs/reference/api-coverage.md";
const DATA_TABLE: &str = "docs/reference/data-api-coverage.md";
const REGISTRY_TABLE: &str = "docs/reference/registry-coverage.md";
const CLI_TABLE: &str = "docs/reference/cli-coverage.md";

/// The calls of the distribution specification (Open Container Initiative), and of Docker's token authentication and catalog;
/// what it calls the name of a repository is an app and a process type here.
const REGISTRY_CALLS: &[&str] = &[
    "GET /v2/",
    "GET /v2/_catalog",
    "GET /v2/token",
    "DELETE /v2/{app}/{type}/blobs/{digest}",
    "GET /v2/{app}/{type}/blobs/{digest}",
    "HEAD /v2/{app}/{type}/blobs/{digest}",
    "POST /v2/{app}/{type}/blobs/uploads/",
    "DELETE /v2/{app}/{type}/blobs/uploads/{upload}",
    "GET /v2/{app}/{type}/blobs/uploads/{upload}",
    "PATCH /v2/{app}/{type}/blobs/uploads/{upload}",
    "PUT /v2/{app}/{type}/blobs/uploads/{upload}",
    "DELETE /v2/{app}/{type}/manifests/{reference}",
    "GET /v2/{app}/{type}/manifests/{reference}",
    "HEAD /v2/{app}/{type}/manifests/{reference}",
    "PUT /v2/{app}/{type}/manifests/{reference}",
    "GET /v2/{app}/{type}/referrers/{digest}",
    "GET /v2/{app}/{type}/tags/list",
];

/// One row of a table: what, its state, a remark.
struct Row {
    what: String,
    state: &'static str,
    remark: String,
}

/// Prints, writes or checks the tables; whether all is well.
pub(crate) fn run(root: &Path, mode: Mode) -> Result<bool, String> {
    let routes = routes(root)?;
    let transcripts = transcripts(root)?;
    if mode == Mode::Check {
        return check(root, &routes, &transcripts);
    }
    let contract = contract_folder(root)?;
    let api = api_rows(&contract, &routes)?;
    let data = data_rows(&contract, &routes)?;
    let cli = cli_rows(&contract, &transcripts)?;
    let states_of_calls = &["built", "empty", "not_found", "missing"][..];
    for (rows, file, title, states) in [
        (api, API_TABLE, "Platform API", states_of_calls),
        (data, DATA_TABLE, "Data API", states_of_calls),
        (registry_rows(&routes), REGISTRY_TABLE, "Container registry", states_of_calls),
        (cli, CLI_TABLE, "Official CLI", &["passed", "not yet", "impossible"][..]),
    ] {
        if mode == Mode::Print {
            for row in &rows {
                println!("{:<10} {} {}", row.state, row.what, row.remark);
            }
        } else {
            let text = table(title, &rows, states);
            fs::write(root.join(file), text).map_err(|error| format!("could not write {file}: {error}"))?;
        }
        println!("{title}: {}", sums(&rows, states));
    }
    Ok(true)
}

fn check(root: &Path, routes: &Routes, transcripts: &Transcripts) -> Result<bool, String> {
    let mut gone = Vec::new();
    for (file, state) in
        [(API_TABLE, "built"), (DATA_TABLE, "built"), (REGISTRY_TABLE, "built"), (CLI_TABLE, "passed")]
    {
        for what in committed(root, file, state)? {
            let there = if state == "built" {
                what.split_once(' ').is_some_and(|(method, path)| routes.built.contains(&key(method, path)))
            } else {
                transcripts.contains_key(&what)
            };
            if !there {
                gone.push(format!("{file}: `{what}` was {state} and is not any more"));
            }
        }
    }
    for line in &gone {
        println!("{line}");
    }
    println!(
        "coverage: {}",
        if gone.is_empty() { "nothing of the tables is gone" } else { "the first column shrank" }
    );
    Ok(gone.is_empty())
}

/// What a committed table lists in a state.
fn committed(root: &Path, file: &str, state: &str) -> Result<Vec<String>, String> {
    let text =
        fs::read_to_string(root.join(file)).map_err(|error| format!("could not read {file}: {error}"))?;
    let cells =
        |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().replace('`', "")).collect() };
    let rows = text.lines().filter(|line| line.starts_with('|')).map(cells);
    Ok(rows.filter(|row| row.len() > 2 && row[1] == state).map(|row| row[2].clone()).collect())
}

/// What the API crate says of itself.
struct Routes {
    /// Method and path shape of every route.
    built: BTreeSet<(String, String)>,
    /// Those of lists of what is not built.
    empty: BTreeSet<(String, String)>,
    /// Paths that are answered `not_found` by name, and what they would need.
    not_built: Vec<(String, String)>,
}

/// Has the API crate's example list its routes.
fn routes(root: &Path) -> Result<Routes, String> {
    let text = cargo::output(root, &["run", "--quiet", "--package", "paddock-api", "--example", "routes"])?;
    let mut routes = Routes { built: BTreeSet::new(), empty: BTreeSet::new(), not_built: Vec::new() };
    for (method, path) in text.lines().filter_map(|line| line.split_once(' ')) {
        if method == "not_built" {
            let (path, what) = path.split_once(' ').unwrap_or((path, ""));
            let what = what.trim_end_matches(" is").trim_end_matches(" are");
            routes.not_built.push((path.to_owned(), what.to_owned()));
        } else if method == "empty" {
            routes.empty.insert(("GET".to_owned(), shape(path)));
        } else {
            routes.built.insert((method.to_owned(), shape(path)));
        }
    }
    Ok(routes)
}

/// A path with every variable segment as `{}`.
fn shape(path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path);
    let segment = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn covers(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    pattern
        .split('/')
        .all(|wanted| segments.next().is_some_and(|segment| wanted == segment || wanted == "{}"))
}

fn contract_folder(root: &Path) -> Result<PathBuf, String> {
    let given = std::env::var_os("PADDOCK_CONTRACT_DIR").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| root.join("../shared/contract"));
    if folder.join("platform-api-schema.json").exists() {
        return Ok(folder);
    }
    Err("the published schemas are not here: name their folder in PADDOCK_CONTRACT_DIR (--check needs none)"
        .to_owned())
}

fn json(path: &Path) -> Result<Value, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("could not read {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn api_rows(contract: &Path, routes: &Routes) -> Result<Vec<Row>, String> {
    let schema = json(&contract.join("platform-api-schema.json"))?;
    let mut rows = Vec::new();
    for (_, definition) in schema["definitions"].as_object().into_iter().flatten() {
        for link in definition["links"].as_array().into_iter().flatten() {
            let method = link["method"].as_str().unwrap_or_default().to_uppercase();
            rows.push(call(routes, &method, &readable(link["href"].as_str().unwrap_or_default())));
        }
    }
    Ok(in_order(rows))
}

/// What the hosts of data services answer to. They have no published schema: the contract has what their clients know.
fn data_rows(contract: &Path, routes: &Routes) -> Result<Vec<Row>, String> {
    let known = json(&contract.join("data-api-schema.json"))?;
    let calls = known.as_object().into_iter().flatten().filter_map(|(call, _)| call.split_once(' '));
    let rows = calls.filter(|(_, path)| path.starts_with('/')).map(|(method, path)| {
        let segment = |segment: &str| match segment.strip_prefix(':') {
            Some(name) => format!("{{{name}}}"),
            None => segment.to_owned(),
        };
        call(routes, method, &path.split('/').map(segment).collect::<Vec<_>>().join("/"))
    });
    Ok(in_order(rows.collect()))
}

fn registry_rows(routes: &Routes) -> Vec<Row> {
    let calls = REGISTRY_CALLS.iter().filter_map(|call| call.split_once(' '));
    in_order(calls.map(|(method, path)| call(routes, method, path)).collect())
}

/// What a call is known by; whatever can be got can be asked for its head.
fn key(method: &str, path: &str) -> (String, String) {
    let method = if method == "HEAD" { "GET" } else { method };
    (method.to_owned(), shape(path))
}

/// The row of a call.
fn call(routes: &Routes, method: &str, path: &str) -> Row {
    let key = key(method, path);
    let refusal = routes.not_built.iter().find(|(pattern, _)| covers(pattern, &key.1));
    let (state, remark) = match (routes.built.contains(&key), refusal) {
        (true, _) if routes.empty.contains(&key) => ("empty", "a list of what is not built".to_owned()),
        (true, _) => ("built", String::new()),
        (false, Some((_, what))) => ("not_found", format!("not built: {what}")),
        (false, None) => ("missing", String::new()),
    };
    Row { what: format!("{method} {path}"), state, remark }
}

/// By path, each once.
fn in_order(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| a.what.split(' ').nth(1).cmp(&b.what.split(' ').nth(1)).then(a.what.cmp(&b.what)));
    rows.dedup_by(|a, b| a.what == b.what);
    rows
}

/// `/apps/{(%23%2Fdefinitions%2Fapp%2Fdefinitions%2Fidentity)}` as `/apps/{app}`.
fn readable(href: &str) -> String {
    let segment = |segment: &str| match segment.split("definitions%2F").nth(1) {
        Some(name) if segment.starts_with('{') => format!("{{{}}}", name.trim_end_matches("%2F")),
        _ => segment.to_owned(),
    };
    href.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Commands that passed, with the transcript that shows it.
type Transcripts = BTreeMap<String, String>;

/// Reads `$ heroku COMMAND …` followed by `[exit 0]` from every recorded transcript.
fn transcripts(root: &Path) -> Result<Transcripts, String> {
    let mut passed = Transcripts::new();
    let folder = root.join("e2e/transcripts");
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("could not read {}: {error}", path.display()))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        passed.extend(commands_passed(&text).into_iter().map(|command| (command, name.clone())));
    }
    Ok(passed)
}

fn commands_passed(transcript: &str) -> Vec<String> {
    let mut passed = Vec::new();
    let mut command = None;
    for line in transcript.lines() {
        if let Some(rest) = line.strip_prefix("$ ") {
            command = rest.strip_prefix("heroku ").and_then(|rest| rest.split_whitespace().next());
        } else if line == "[exit 0]" {
            passed.extend(command.take().map(full_name));
        }
    }
    passed
}

fn full_name(command: &str) -> String {
    let alias = ALIASES.iter().find(|(short, _)| *short == command);
    alias.map_or(command, |(_, full)| *full).to_owned()
}

fn cli_rows(contract: &Path, transcripts: &Transcripts) -> Result<Vec<Row>, String> {
    let commands = json(&contract.join("cli-commands.json"))?;
    let row = |command: &Value| {
        let what = command["command"].as_str().unwrap_or_default().to_owned();
        let impossible = IMPOSSIBLE.iter().find(|(name, _)| *name == what);
        let (state, remark) = match (transcripts.get(&what), impossible) {
            (Some(transcript), _) => ("passed", format!("transcript {transcript}")),
            (None, Some((_, reason))) => ("impossible", (*reason).to_owned()),
            (None, None) => ("not yet", String::new()),
        };
        Row { what, state, remark }
    };
    Ok(commands.as_array().into_iter().flatten().map(row).collect())
}

fn sums(rows: &[Row], states: &[&str]) -> String {
    let count = |state: &str| rows.iter().filter(|row| row.state == state).count();
    let parts: Vec<String> = states.iter().map(|state| format!("{} {state}", count(state))).collect();
    format!("{} of {}", parts.join(", "), rows.len())
}

fn table(title: &str, rows: &[Row], states: &[&str]) -> String {
    let mut text =
        format!("# {title}: coverage\n\nGenerated by `cargo xtask coverage --write`; do not edit. ");
    let _ = write!(text, "{}.\n\n| state | what | where |\n|---|---|---|\n", sums(rows, states));
    for row in rows {
        let _ = writeln!(text, "| {} | `{}` | {} |", row.state, row.what, row.remark);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{commands_passed, covers, readable, shape};

    #[test]
    fn links_are_compared_by_shape() {
        let href = "/apps/{(%23%2Fdefinitions%2Fapp%2Fdefinitions%2Fidentity)}/dynos";
        assert_eq!(readable(href), "/apps/{app}/dynos");
        assert_eq!(shape(&readable(href)), shape("/apps/{name}/dynos"));
        assert!(covers("/apps/{}/addons", "/apps/{}/addons/{}") && !covers("/apps/{}/addons", "/apps/{}"));
    }

    #[test]
    fn only_commands_that_ended_well_passed() {
        let text =
            "$ heroku create x\nok\n[exit 0]\n\n$ heroku run 'exit 7'\n[exit 7]\n\n$ git push\n[exit 0]\n";
        assert_eq!(commands_passed(text), ["apps:create"]);
    }
}
