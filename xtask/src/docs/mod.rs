//! `cargo xtask docs`: the documentation as a site of plain files, which needs no network to build or to read.
//!
//! Its navigation is the lists of `docs/index.md`; decision records are listed by themselves.

mod named_files;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Component, Path, PathBuf};

use page::{Page, Section};

use crate::{cargo, contract};

const INDEX: &str = "index.md";
/// Its records are listed without the index naming each.
const DECISIONS: &str = "decisions";
const STYLE: &str = include_str!("style.css");

/// Writes the site into a folder, by default one beside what cargo makes.
pub(crate) fn build(root: &Path, to: Option<&Path>) -> Result<bool, String> {
    let to = match to {
        Some(folder) => folder.to_owned(),
        None => cargo::target_directory(root)?.join("docs"),
    };
    let pages = pages(&root.join("docs"))?;
    if !complain(&problems(&pages)) {
        return Ok(false);
    }
    let sections = navigation(&pages);
    for page in pages.values() {
        let file = to.join(page.path.with_extension("html"));
        let folder = file.parent().unwrap_or(&to);
        let failed = |error| format!("could not write {}: {error}", file.display());
        fs::create_dir_all(folder).map_err(failed)?;
        fs::write(&file, rendered(page, &sections)).map_err(failed)?;
    }
    println!("docs: {} pages, begin with {}", pages.len(), to.join("index.html").display());
    Ok(true)
}

/// Whether every link leads somewhere, every page is in the index, and the files are there that guides and comments name.
pub(crate) fn check(root: &Path) -> Result<bool, String> {
    let pages = pages(&root.join("docs"))?;
    let mut problems = problems(&pages);
    problems.extend(named_files::problems(root)?);
    problems.extend(contract::problems(root)?);
    let well = complain(&problems);
    if well {
        println!(
            "docs: {} pages, every link leads somewhere, every file that is named is there, every line of the contract has a test",
            pages.len()
        );
    }
    Ok(well)
}

/// Has the server's own test write the page of its commands.
pub(crate) fn write_commands(root: &Path) -> Result<bool, String> {
    let arguments = ["test", "--quiet", "--package", "paddockd", "the_reference_page"];
    cargo::output_with(root, &arguments, &[("PADDOCK_WRITE_REFERENCE", "1")]).map(|_| true)
}

fn complain(problems: &[String]) -> bool {
    for problem in problems {
        println!("{problem}");
    }
    problems.is_empty()
}

type Pages = BTreeMap<PathBuf, Page>;

fn pages(docs: &Path) -> Result<Pages, String> {
    let mut pages = Pages::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let failed = |error| format!("could not list {}: {error}", docs.join(&folder).display());
        for entry in fs::read_dir(docs.join(&folder)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                let page = page::read(docs, &path)?;
                pages.insert(path, page);
            }
        }
    }
    Ok(pages)
}

fn problems(pages: &Pages) -> Vec<String> {
    let mut problems = Vec::new();
    for page in pages.values() {
        let here = page.path.display();
        if page.title.is_empty() {
            problems.push(format!("docs/{here}: no heading of the first level"));
        }
        for link in page.links.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            if let Err(reason) = follow(pages, &page.path, link) {
                problems.push(format!("docs/{here}: the link {link} {reason}"));
            }
        }
    }
    let Some(index) = pages.get(Path::new(INDEX)) else {
        problems.push(format!("docs/{INDEX} is missing: it is the site's first page and its navigation"));
        return problems;
    };
    let listed: BTreeSet<PathBuf> = index.links.iter().filter_map(|link| target(&index.path, link)).collect();
    for path in pages.keys().filter(|path| *path != &index.path && !path.starts_with(DECISIONS)) {
        if !listed.contains(path) {
            problems.push(format!("docs/{}: not in the lists of docs/{INDEX}", path.display()));
        }
    }
    problems
}

/// Why a link leads nowhere.
fn follow(pages: &Pages, from: &Path, link: &str) -> Result<(), &'static str> {
    let path = target(from, link).ok_or("leads out of the documentation")?;
    let page = pages.get(&path).ok_or("leads to no page")?;
    match link.split_once('#') {
        Some((_, place)) if !page.anchors.contains(place) => Err("names a heading that is not there"),
        _ => Ok(()),
    }
}

/// The page that a link in `from` names.
fn target(from: &Path, link: &str) -> Option<PathBuf> {
    let file = link.split('#').next().unwrap_or_default();
    if file.is_empty() {
        return Some(from.to_owned());
    }
    let mut path = from.parent()?.to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(path)
}

/// The index's sections that list pages, and the decision records.
fn navigation(pages: &Pages) -> Vec<Section> {
    let index = pages.get(Path::new(INDEX)).map(|page| page.sections.as_slice()).unwrap_or_default();
    let mut sections: Vec<Section> = index
        .iter()
        .filter(|section| !section.links.is_empty())
        .map(|section| Section { title: section.title.clone(), links: section.links.clone() })
        .collect();
    let records = pages.values().filter(|page| page.path.starts_with(DECISIONS));
    let links = records.map(|page| (page.title.clone(), page.path.to_string_lossy().into_owned())).collect();
    sections.push(Section { title: "Decisions".to_owned(), links });
    sections
}

fn rendered(page: &Page, sections: &[Section]) -> String {
    let up = "../".repeat(page.path.components().count().saturating_sub(1));
    let mut navigation = format!("<a class=\"home\" href=\"{up}index.html\">Paddock</a>");
    for section in sections {
        let open = section.links.iter().any(|(_, link)| Path::new(link) == page.path);
        let is_short = section.title != "Decisions";
        let state = if open || is_short { " open" } else { "" };
        let _ = write!(navigation, "<details{state}><summary>{}</summary><ul>", escaped(&section.title));
        for (title, link) in &section.links {
            let here = if Path::new(link) == page.path { " aria-current=\"page\"" } else { "" };
            let _ = write!(
                navigation,
                "<li><a href=\"{up}{}\"{here}>{}</a></li>",
                page::address(link),
                escaped(title)
            );
        }
        navigation.push_str("</ul></details>");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} · Paddock</title>\n<style>\n{STYLE}</style>\n<nav>{navigation}</nav>\n<main>\n{}</main>\n</html>\n",
        escaped(&page.title),
        page.html
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_from_where_they_stand() {
        let from = Path::new("how-to/a.md");
        assert_eq!(target(from, "b.md"), Some(PathBuf::from("how-to/b.md")));
        assert_eq!(target(from, "../index.md#x"), Some(PathBuf::from("index.md")));
        assert_eq!(target(from, "#x"), Some(PathBuf::from("how-to/a.md")));
        assert_eq!(target(from, "../../README.md"), None);
    }
}
