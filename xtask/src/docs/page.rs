//! One page of the documentation: Markdown in, HTML out, with its headings and links known.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

pub(crate) struct Page {
    /// Where its source lies, below the documentation's folder.
    pub(crate) path: PathBuf,
    /// Its first heading.
    pub(crate) title: String,
    /// What a link to a place in it may name.
    pub(crate) anchors: BTreeSet<String>,
    /// Where its links lead, as written.
    pub(crate) links: Vec<String>,
    /// Its headings of the second level, each with the links below it.
    pub(crate) sections: Vec<Section>,
    pub(crate) html: String,
}

/// A heading of the second level.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// Links below it: their text and where they lead.
    pub(crate) links: Vec<(String, String)>,
}

/// Reads a page; `path` is relative to `docs`.
pub(crate) fn read(docs: &Path, path: &Path) -> Result<Page, String> {
    let file = docs.join(path);
    let text =
        fs::read_to_string(&file).map_err(|error| format!("could not read {}: {error}", file.display()))?;
    Ok(parse(path, &text))
}

fn parse(path: &Path, text: &str) -> Page {
    let mut events: Vec<Event> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let mut page = Page {
        path: path.to_owned(),
        title: String::new(),
        anchors: BTreeSet::new(),
        links: Vec::new(),
        sections: Vec::new(),
        html: String::new(),
    };
    for index in 0..events.len() {
        let words = match &events[index] {
            Event::Start(Tag::Heading { .. }) => {
                words_until(&events[index..], |end| matches!(end, TagEnd::Heading(_)))
            }
            Event::Start(Tag::Link { .. }) => words_until(&events[index..], |end| *end == TagEnd::Link),
            _ => continue,
        };
        match &mut events[index] {
            Event::Start(Tag::Heading { level, id, .. }) => {
                let anchor = anchor(&words);
                *id = Some(CowStr::from(anchor.clone()));
                page.anchors.insert(anchor);
                page.heading(*level, words);
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                page.link(words, dest_url.to_string());
                *dest_url = CowStr::from(address(dest_url));
            }
            _ => {}
        }
    }
    html::push_html(&mut page.html, events.into_iter());
    page
}

impl Page {
    fn heading(&mut self, level: HeadingLevel, words: String) {
        if level == HeadingLevel::H1 && self.title.is_empty() {
            self.title = words;
        } else if level == HeadingLevel::H2 {
            self.sections.push(Section { title: words, links: Vec::new() });
        }
    }

    fn link(&mut self, words: String, to: String) {
        if let Some(section) = self.sections.last_mut() {
            section.links.push((words, to.clone()));
        }
        self.links.push(to);
    }
}

/// The text between a tag's start and its end.
fn words_until(events: &[Event], is_end: impl Fn(&TagEnd) -> bool) -> String {
    let inside = events.iter().take_while(|event| !matches!(event, Event::End(end) if is_end(end)));
    inside
        .filter_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
            _ => None,
        })
        .collect()
}

/// What a heading is called in an address: as code forges do it, so that links work in both places.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.flat_map(char::to_lowercase).map(|char| if char == ' ' { '-' } else { char }).collect()
}

/// Where a link to a source leads on the site.
pub(crate) fn address(link: &str) -> String {
    let (file, place) = link.split_once('#').map_or((link, None), |(file, place)| (file, Some(place)));
    let file = match file.strip_suffix(".md") {
        Some(stem) if !link.contains("://") => format!("{stem}.html"),
        _ => file.to_owned(),
    };
    place.map_or(file.clone(), |place| format!("{file}#{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_knows_its_headings_and_links() {
        let page = parse(
            Path::new("a.md"),
            "# Title `x`\n\n## Go on, now!\n\n- [One](b/one.md#two)\n- <https://example.com/a.md>\n",
        );
        assert_eq!(page.title, "Title x");
        assert!(page.anchors.contains("go-on-now"), "{:?}", page.anchors);
        assert_eq!(page.links, ["b/one.md#two", "https://example.com/a.md"]);
        assert_eq!(page.sections[0].links[0], ("One".to_owned(), "b/one.md#two".to_owned()));
        assert!(page.html.contains(r#"<a href="b/one.html#two">One</a>"#), "{}", page.html);
        assert!(page.html.contains(r#"<h2 id="go-on-now">"#), "{}", page.html);
        assert!(page.html.contains(r#"href="https://example.com/a.md""#), "{}", page.html);
    }
}
