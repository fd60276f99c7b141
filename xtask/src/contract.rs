//! Which test holds which line of the buildpack contract, from marks above the tests: `// buildpacks.md 5.3, 12.1`.
//!
//! The items of a section are numbered as they come: rows of tables, points of lists, blocks of text. A paragraph that ends in
//! a colon only leads to what follows. So the points of a section that is one numbered list keep their numbers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::rust_files::rust_files;

const CONTRACT: &str = "docs/contract/buildpacks.md";
const PAGE: &str = "docs/reference/buildpack-contract.md";
/// The sections that tests hold line by line.
const SECTIONS: [u32; 8] = [3, 4, 5, 6, 7, 8, 11, 12];
const SOURCES: [&str; 2] = ["crates", "e2e"];
const MARK: &str = "// buildpacks.md ";
/// How far below its mark a test may begin, in lines.
const MARK_LINES_MAX: usize = 12;
/// Characters of a line of the contract that the page shows.
const SHOWN_CHARACTERS: usize = 110;

/// Section and number in it.
type Place = (u32, u32);

/// Whether every line has a test, no mark is astray, and the page says so.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>, String> {
    let (items, tests, mut problems) = read(root)?;
    let there = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    if problems.is_empty() && there != page(&items, &tests) {
        problems.push(format!("{PAGE} is not what the tests' marks say: cargo xtask docs --write"));
    }
    Ok(problems)
}

/// Writes the page.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let (items, tests, _) = read(root)?;
    let failed = |error| format!("could not write {PAGE}: {error}");
    fs::write(root.join(PAGE), page(&items, &tests)).map_err(failed)
}

type Tests = BTreeMap<Place, Vec<String>>;
/// The lines, their tests, and what is wrong with the marks.
type Marked = (BTreeMap<Place, String>, Tests, Vec<String>);

fn read(root: &Path) -> Result<Marked, String> {
    let contract = root.join(CONTRACT);
    let contract =
        fs::read_to_string(&contract).map_err(|error| format!("could not read {CONTRACT}: {error}"))?;
    let items = items(&contract);
    let (mut tests, mut problems) = (Tests::new(), Vec::new());
    for folder in SOURCES {
        for file in rust_files(&root.join(folder))? {
            let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let text =
                fs::read_to_string(&file).map_err(|error| format!("could not read {name}: {error}"))?;
            for mark in marks(&text) {
                match mark {
                    Ok((place, test)) if items.contains_key(&place) => {
                        tests.entry(place).or_default().push(format!("`{test}` ({name})"));
                    }
                    Ok(((section, number), test)) => {
                        problems.push(format!("{name}: {test}: {CONTRACT} has no {section}.{number}"));
                    }
                    Err(problem) => problems.push(format!("{name}: {problem}")),
                }
            }
        }
    }
    let without = items.keys().filter(|place| !tests.contains_key(place));
    problems.extend(without.map(|place| format!("{CONTRACT} {}.{}: no test", place.0, place.1)));
    Ok((items, tests, problems))
}

/// The marks of a file: a place and the test below it, or what is wrong.
fn marks(text: &str) -> Vec<Result<(Place, String), String>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (at, places) in lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.strip_prefix(MARK)?)))
    {
        let below = lines[at + 1..].iter().take(MARK_LINES_MAX);
        let above = lines[..at].iter().rev().take_while(|line| !line.is_empty());
        let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let name = below.clone().find_map(|line| name_of(line));
        let to_name = below.take_while(|line| name_of(line).is_none());
        let Some(name) = name.filter(|_| to_name.chain(above).any(is_test)) else {
            found.push(Err(format!("line {}: no test follows the mark", at + 1)));
            continue;
        };
        for place in places.split(',').map(str::trim) {
            let numbers = place
                .split_once('.')
                .and_then(|(section, number)| Some((section.parse().ok()?, number.parse().ok()?)));
            found.push(match numbers {
                Some(numbers) => Ok((numbers, name.clone())),
                None => Err(format!("line {}: {place:?} is no place such as 5.3", at + 1)),
            });
        }
    }
    found
}

fn name_of(line: &str) -> Option<String> {
    let line = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    Some(line.split('(').next()?.to_owned())
}

/// The lines of the contract, by section and number.
fn items(contract: &str) -> BTreeMap<Place, String> {
    let mut items = BTreeMap::new();
    let mut section = 0;
    let mut number = 0;
    let mut block = String::new();
    let mut is_code = false;
    for line in contract.lines().chain([""]) {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            number = 0;
            block.clear();
            continue;
        }
        if !SECTIONS.contains(&section) {
            continue;
        }
        let mut end = |block: &mut String| {
            let text = std::mem::take(block);
            let leads = text.ends_with(':') && !is_point(&text);
            if !text.is_empty() && !leads && !is_head_of_table(&text) {
                number += 1;
                items.insert((section, number), text);
            }
        };
        if line.trim_start().starts_with("```") {
            let belongs = line.starts_with(' ') || (!block.is_empty() && is_point(&block));
            if !is_code && !belongs {
                end(&mut block);
            }
            is_code = !is_code;
            if !is_code && !belongs {
                end(&mut block);
            }
        } else if is_code || (line.starts_with(' ') && !block.is_empty()) {
            push(&mut block, line);
        } else if line.is_empty() {
            end(&mut block);
        } else if is_point(line) || line.starts_with('|') {
            end(&mut block);
            push(&mut block, line);
        } else {
            push(&mut block, line);
        }
    }
    items
}

fn push(block: &mut String, line: &str) {
    if !block.is_empty() {
        block.push(' ');
    }
    block.push_str(line.trim());
}

fn is_point(line: &str) -> bool {
    let after = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    line.starts_with("- ") || (after.len() < line.len() && after.starts_with(". "))
}

fn is_head_of_table(line: &str) -> bool {
    line.starts_with("|---") || line.starts_with("| what | value") || line.starts_with("|-")
}

fn page(items: &BTreeMap<Place, String>, tests: &Tests) -> String {
    let mut text = String::from(
        "# The buildpack contract, line by line\n\n\
         Generated by `cargo xtask docs --write` from the marks above tests (`// buildpacks.md 5.3`); do not edit. The lines are\n\
         those of [buildpacks.md](../contract/buildpacks.md), sections 3 to 8, 11 and 12, numbered as they come.\n",
    );
    let mut section = 0;
    for ((of, number), line) in items {
        if *of != section {
            section = *of;
            let _ = write!(text, "\n## Section {section}\n\n| | line | tests |\n|---|---|---|\n");
        }
        let named = tests.get(&(*of, *number)).map(|tests| tests.join(", ")).unwrap_or_default();
        let _ = writeln!(text, "| {of}.{number} | {} | {named} |", shown(line));
    }
    text
}

/// The beginning of a line, as a cell of a table.
fn shown(line: &str) -> String {
    let plain: String =
        line.chars().filter(|letter| !matches!(letter, '`' | '*' | '[' | ']' | '<' | '>')).collect();
    let plain = plain.trim_start_matches(|letter: char| letter.is_ascii_digit() || "|-. ".contains(letter));
    let plain = plain.replace('|', "·");
    let mut cut: String = plain.chars().take(SHOWN_CHARACTERS).collect();
    if cut.len() < plain.len() {
        cut.push('…');
    }
    cut.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_points_and_blocks_are_numbered_as_they_come() {
        let contract = "## 2. Other\n1. no\n## 3. Places\n\n| what | value |\n|---|---|\n| A | b |\n| C | d |\n\nA word\nof two lines.\n\n\
            ## 5. Phases\n\nFor each:\n\n1. first\n   goes on\n2. second:\n   ```\n   code\n   ```\n- point\n\n## 4. Env\n\nThis:\n\n```\nPATH=x\n\nHOME=y\n```\n\n- more\n";
        let items = items(contract);
        let shown: Vec<_> =
            items.iter().map(|((of, number), line)| format!("{of}.{number} {line}")).collect();
        assert_eq!(
            shown,
            [
                "3.1 | A | b |",
                "3.2 | C | d |",
                "3.3 A word of two lines.",
                "4.1 PATH=x  HOME=y",
                "4.2 - more",
                "5.1 1. first goes on",
                "5.2 2. second: code",
                "5.3 - point",
            ]
        );
    }

    #[test]
    fn a_mark_belongs_to_the_test_below_it() {
        let text = format!(
            "{MARK}5.1, 5.2\n#[test]\nfn one() {{}}\n\n/// Words.\n#[tokio::test(flavor = \"multi_thread\")]\n{MARK}6.1\nasync fn two() {{}}\n\n{MARK}7.1\nfn helper() {{}}\n\n{MARK}x\n#[test]\nfn three() {{}}\n"
        );
        let found = marks(&text);
        let places: Vec<_> = found.iter().filter_map(|mark| mark.as_ref().ok()).collect();
        let expected = [((5, 1), "one".to_owned()), ((5, 2), "one".to_owned()), ((6, 1), "two".to_owned())];
        assert_eq!(places, expected.iter().collect::<Vec<_>>());
        let problems: Vec<_> = found.iter().filter_map(|mark| mark.as_ref().err()).collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
