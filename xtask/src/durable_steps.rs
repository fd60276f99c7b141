//! Every durable step has a name: the walker of `e2e/tests/crash_points` ends the server before and after each.
//!
//! A commit, a rename, an unlink, a moved ref, a container's start or end that stands outside a `durable!` is a breach, as
//! is a name that two steps share. What needs no name of its own is listed here with the reason.

use std::collections::BTreeMap;
use std::path::Path;

use crate::breach::Breach;
use crate::rust_files::rust_files;
use crate::source::Source;

/// Folders of the crates whose steps outlive the server. What runs in processes of its own (shim, router, what is inside
/// a build's container) is killed by other tests.
const FOLDERS: &[&str] = &[
    "crates/paddock-api/src",
    "crates/paddock-build/src/git",
    "crates/paddock-build/src/host",
    "crates/paddock-control/src",
    "crates/paddock-images/src",
    "crates/paddock-runtime-linux/src/runtime",
    "crates/paddock-store/src",
    "crates/paddock-telemetry/src",
];

/// What a durable step looks like in code. A sync is none: kill -9 takes nothing from the page cache.
const STEPS: &[&str] = &[
    ".commit()",
    ".writer().await",
    "fs::hard_link(",
    "fs::remove_dir(",
    "fs::remove_dir_all(",
    "fs::remove_file(",
    "fs::rename(",
    "fs::write(",
    "File::create(",
    ".set_len(",
    "renameat(",
    "renameat_with(",
    "link.ack(",
    "runtime.ack(",
    "runtime.hang_up(",
    "runtime.make_volume(",
    "runtime.remove(",
    "runtime.remove_volume(",
    "runtime.start(",
    "runtime.stop(",
];

/// The exceptions: a file, a piece of the line, and why it needs no name of its own.
const UNNAMED: &[(&str, &str, &str)] = &[
    (
        "paddock-build/src/git/files.rs",
        "fs::write(git_dir",
        "in the folder of a restore, which one that is cut off removes",
    ),
    (
        "paddock-control/src/platform/backup/contents.rs",
        "fs::remove_file(",
        "a copy for a backup that is being written: nothing of the server's own",
    ),
    (
        "paddock-store/src/copy.rs",
        "transaction.commit()",
        "one transaction into an empty database, compared before it ends",
    ),
    (
        "paddock-store/src/data_key.rs",
        "= self.writer().await",
        "the connection of the statement that is named below it",
    ),
    ("paddock-store/src/snapshot.rs", "self.writer().await", "holds writes back, writes nothing itself"),
    (
        "paddock-build/src/git/archive.rs",
        "fs::remove_file(&more)",
        "in the source of a build, which a crash fails or makes anew",
    ),
    (
        "paddock-build/src/git/archive.rs",
        "tar.set_len(end)",
        "in the source of a build, which a crash fails or makes anew",
    ),
    (
        "paddock-control/src/deploy/job/fetched_source.rs",
        "File::create(path)",
        "in the source of a build, which a crash fails or makes anew",
    ),
    (
        "paddock-build/src/git/listener.rs",
        "fs::remove_file(socket)",
        "a socket of the server before; each start makes its own",
    ),
    (
        "paddock-build/src/git/mod.rs",
        "fs::hard_link(program",
        "beside the hook, which is placed by a rename with a name",
    ),
    (
        "paddock-build/src/git/mod.rs",
        "let _ = std::fs::remove_file(&next)",
        "what a start that broke off left beside the hook",
    ),
    (
        "paddock-build/src/git/repository.rs",
        "fs::write(info.join(",
        "in a repository that has not its name yet",
    ),
    (
        "paddock-runtime-linux/src/runtime/start.rs",
        "fs::remove_dir_all(&fresh.0)",
        "what a start that was cut off left, under a name of its own",
    ),
    (
        "paddock-build/src/host/cache.rs",
        "match renameat_with(",
        "one of the two ways of the swap, which has a name",
    ),
    (
        "paddock-build/src/host/cache.rs",
        "Err(Errno::NOENT)",
        "one of the two ways of the swap, which has a name",
    ),
    ("paddock-images/src/tree.rs", "renameat(&folder", "within a tree that is being removed"),
    (
        "paddock-runtime-linux/src/runtime/names.rs",
        "fs::write(&file",
        "in the folder of a container that has not its name yet",
    ),
    (
        "paddock-control/src/people/bootstrap.rs",
        "fs::remove_file(&new)",
        "what a start that broke off left beside the file",
    ),
    (
        "paddock-control/src/routing/certificate_authority/mod.rs",
        "fs::remove_file(&temporary)",
        "what a start that broke off left beside the file",
    ),
    ("paddock-store/src/tx.rs", "self.inner.commit()", "each use case names its own commit"),
    ("paddock-control/src/kernel/change.rs", "tx.commit()", "each use case names its own commit"),
    (
        "paddock-store/src/job.rs",
        "let mut connection = self.writer()",
        "the connection of the statement that is named below it",
    ),
    (
        "paddock-store/src/platform.rs",
        "let mut connection = self.writer()",
        "the connection of the statement that is named below it",
    ),
    (
        "paddock-store/src/setting.rs",
        "let mut connection = self.writer()",
        "the connection of the statement that is named below it",
    ),
    (
        "paddock-store/src/seal.rs",
        "match std::fs::remove_file(&new)",
        "what a start that broke off left beside the key",
    ),
    ("paddock-telemetry/src/plane.rs", "writer.commit()", "the segment names the step"),
    ("paddock-telemetry/src/segment.rs", "self.commit()", "the segment names the step"),
    (
        "paddock-telemetry/src/segment.rs",
        "None => std::fs::remove_file(path)",
        "after a failed write, in a process that lives on",
    ),
    (
        "paddock-telemetry/src/segment.rs",
        "file.set_len(known.bytes)",
        "after a failed write, in a process that lives on",
    ),
];

/// Checks every file, and prints nothing.
pub(crate) fn check(root: &Path) -> Result<Vec<Breach>, String> {
    let mut breaches = Vec::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut used = vec![false; UNNAMED.len()];
    for folder in FOLDERS {
        for path in rust_files(&root.join(folder))? {
            if path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("could not read {}: {error}", path.display()))?;
            let place = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let found = steps_of(&place, &text, &mut used);
            breaches.extend(found.breaches);
            for (line, name) in found.names {
                let at = format!("{place}:{line}");
                breaches.extend(check_name(&at, &name));
                if let Some(other) = names.insert(name.clone(), at.clone()) {
                    let what = format!("the durable step {name} is also at {other}");
                    breaches.push(Breach::new(at, what, "give each step a name of its own"));
                }
            }
        }
    }
    for ((file, line, _), _) in UNNAMED.iter().zip(&used).filter(|(_, used)| !**used) {
        let remedy = "take it out of UNNAMED in xtask/src/durable_steps.rs";
        breaches.push(Breach::new(*file, format!("{line:?} is not there any more"), remedy));
    }
    Ok(breaches)
}

/// `noun.what_is_so_then`.
fn check_name(at: &str, name: &str) -> Option<Breach> {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_good = name.split_once('.').is_some_and(|(noun, what)| is_word(noun) && is_word(what));
    let remedy = "call it noun.what_is_so_then, as in release.made";
    (!is_good).then(|| Breach::new(at, format!("the durable step {name:?} has no proper name"), remedy))
}

/// What one file has.
#[derive(Default)]
struct Found {
    breaches: Vec<Breach>,
    names: Vec<(usize, String)>,
}

fn steps_of(place: &str, text: &str, used: &mut [bool]) -> Found {
    let source = Source::parse(text);
    let mut found = Found::default();
    let code = source.code.join("\n");
    let spans = named_spans(&code);
    for (begin, _) in &spans {
        let line = code[..*begin].matches('\n').count() + 1;
        let name = source.strings.iter().find(|(at, _)| *at >= line).map(|(_, name)| name.clone());
        found.names.push((line, name.unwrap_or_default()));
    }
    let mut begin = 0;
    for (index, line) in source.code.iter().enumerate() {
        let here = begin;
        begin += line.len() + 1;
        if source.is_test_line(index + 1) {
            continue;
        }
        // Contents of strings are blanked in code, and only this one is of interest.
        let moves_ref = source.strings.iter().any(|(at, text)| *at == index + 1 && text == "update-ref");
        let steps = STEPS.iter().filter_map(|step| line.find(step)).chain(moves_ref.then_some(0));
        for at in steps.map(|at| here + at) {
            let is_named = spans.iter().any(|(from, to)| {
                (*from..*to).contains(&at) || moves_ref && (*from..*to).contains(&(here + line.len() - 1))
            });
            if !is_named && !is_excused(place, line, used) {
                let remedy =
                    "name it: durable!(\"noun.what_is_so_then\", …); the walker then ends the server there";
                found.breaches.push(Breach::new(
                    format!("{place}:{}", index + 1),
                    format!("a durable step without a name: {}", line.trim()),
                    remedy,
                ));
            }
        }
    }
    found
}

fn is_excused(place: &str, line: &str, used: &mut [bool]) -> bool {
    let mut excused = false;
    for ((file, piece, _), used) in UNNAMED.iter().zip(used) {
        if place.ends_with(file) && line.contains(piece) {
            *used = true;
            excused = true;
        }
    }
    excused
}

/// How a named step begins: by itself, or as the commit of a change.
const OPENINGS: &[&str] = &["durable!(", ".commit(\"", ".commit_quietly(\""];

/// Where each named step begins and ends in the code.
fn named_spans(code: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    for (begin, opening) in OPENINGS.iter().flat_map(|opening| code.match_indices(opening)) {
        let mut depth = 1_usize;
        let inside = begin + opening.len();
        let end = code[inside..].char_indices().find(|(_, char)| {
            match char {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        spans.push((begin, end.map_or(code.len(), |(at, _)| inside + at)));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::steps_of;

    fn breaches(text: &str) -> Vec<String> {
        steps_of("crates/x/src/noun.rs", text, &mut [])
            .breaches
            .into_iter()
            .map(|breach| breach.what)
            .collect()
    }

    #[test]
    fn a_step_without_a_name_is_found() {
        assert_eq!(breaches("tx.commit().await?;"), ["a durable step without a name: tx.commit().await?;"]);
        assert_eq!(breaches("a(&[\"update-ref\", name]);").len(), 1);
        assert!(breaches("#[cfg(test)]\nmod tests { fn a() { std::fs::rename(b, c) } }").is_empty());
    }

    #[test]
    fn a_name_covers_what_stands_in_its_parentheses() {
        assert!(breaches("durable!(\"a.b\", tx.commit().await)?;").is_empty());
        assert!(breaches("durable!(\n\"a.b\",\nrun(&[\"update-ref\", name])\n)").is_empty());
        assert_eq!(breaches("durable!(\"a.b\", one().await)?; tx.commit().await").len(), 1);
        let names = steps_of("x", "durable!(\n\"a.b\",\nf(g(\"c\"))\n)", &mut []).names;
        assert_eq!(names, [(1, "a.b".to_owned())]);
    }
}
