//! The names of durable steps, which the walker of `e2e/tests/crash_points` ends the server at: each is one step's alone.
//!
//! That a step has a name is for clippy to see (`disallowed-methods` in `clippy.toml`).

use std::collections::BTreeMap;
use std::path::Path;

use crate::breach::Breach;
use crate::rust_files::rust_files;
use crate::tokens::{Kind, Source};

/// Checks every file of our crates.
pub(crate) fn check(root: &Path) -> Result<Vec<Breach>, String> {
    let mut breaches = Vec::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for path in rust_files(&root.join("crates"))? {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("could not read {}: {error}", path.display()))?;
        let place = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        for (line, name) in names_in(&text).map_err(|error| format!("{place} {error}"))? {
            let at = format!("{place}:{line}");
            if !is_proper(&name) {
                let what = format!("the durable step {name:?} has no proper name");
                breaches.push(Breach::new(&at, what, "call it noun.what_is_so_then, as in release.made"));
            }
            if let Some(other) = names.insert(name.clone(), at.clone()) {
                let what = format!("the durable step {name} is also at {other}");
                breaches.push(Breach::new(at, what, "give each step a name of its own"));
            }
        }
    }
    Ok(breaches)
}

fn names_in(text: &str) -> Result<Vec<(usize, String)>, String> {
    let source = Source::parse(text)?;
    // By itself, or as the commit of a change.
    let openings: [&[&str]; 3] =
        [&["durable", "!", "("], &[".", "commit", "("], &[".", "commit_quietly", "("]];
    let steps = openings.iter().flat_map(|opening| source.find(opening)).filter(|found| !found[0].in_test);
    let names = steps.filter_map(|found| source.tokens.get(found[0].at + 3));
    let names = names.filter(|name| name.kind == Kind::Text);
    Ok(names.map(|name| (name.line, name.text.clone())).collect())
}

/// `noun.what_is_so_then`.
fn is_proper(name: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    name.split_once('.').is_some_and(|(noun, what)| is_word(noun) && is_word(what))
}

#[cfg(test)]
mod tests {
    use super::{is_proper, names_in};

    #[test]
    fn names_of_steps_are_found_and_those_of_tests_and_comments_are_not() {
        let text = "fn f() { change.commit(\"f.g\", event, by); tx.commit(); durable!(\"a.b\", g(\"c\"))?; durable!(\n\"d.e\",\ntx.commit()) }\n\
                    // durable!(\"x.y\", 1)\n#[cfg(test)]\nmod tests { fn t() { durable!(\"t.u\", 1) } }";
        assert_eq!(
            names_in(text).unwrap(),
            [(1, "a.b".to_owned()), (2, "d.e".to_owned()), (1, "f.g".to_owned())]
        );
    }

    #[test]
    fn a_name_says_what_is_so_then() {
        assert!(is_proper("release.made") && is_proper("job.due_again"));
        for bad in ["release", "Release.made", ".made", "release.", "release.made twice", "a.b.c"] {
            assert!(!is_proper(bad), "{bad}");
        }
    }
}
