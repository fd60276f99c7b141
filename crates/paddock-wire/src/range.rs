//! The Range header of lists, and the pages it cuts (`docs/contract/platform-behaviour.md`, section 27, and
//! `docs/contract/heroku-cli.md`, 5.4).
//!
//! ```text
//! range   = "" / attribute [ "]" ] [ start ] ".." [ end ] *( ";" options )
//! options = "" / option *( "," option )
//! option  = "max=" number / "order=asc" / "order=desc"
//! ```
//! `]` leaves the start itself out. Start and end follow the order: `version 9..3; order=desc` goes down.

use std::fmt;

/// How many things a page has when the client names no number.
pub const MAX_DEFAULT: usize = 200;
/// The most things of a page; a larger `max` is cut to it, and Next-Range leads on.
pub const MAX_LIMIT: usize = 1000;

/// A Range header as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// What to sort by; `None` for the list's own first attribute.
    pub attribute: Option<String>,
    pub start: Option<Start>,
    /// Where to end, that one included.
    pub end: Option<String>,
    pub order: Order,
    /// Most things of a page, 1 to [`MAX_LIMIT`].
    pub max: usize,
}

/// The beginning of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// This one and what follows.
    At(String),
    /// What follows this one.
    After(String),
}

/// Which way a list runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// Why a Range header gets 416. The texts are for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// Not the grammar.
    #[error("The Range header cannot be read: it looks like `id ..; max=200, order=asc`")]
    Grammar,
    /// An option with a value that it cannot have, or an unknown option.
    #[error("The Range header has an option that cannot be used: `{0}`")]
    Option(String),
    /// An attribute that this list is not sorted by.
    #[error("This list cannot be sorted by `{asked}`, only by: {known}")]
    Attribute { asked: String, known: String },
    /// A bound of the wrong kind.
    #[error("`{value}` is not a value of `{attribute}`")]
    Value { attribute: &'static str, value: String },
}

impl Default for Range {
    fn default() -> Self {
        Self { attribute: None, start: None, end: None, order: Order::Ascending, max: MAX_DEFAULT }
    }
}

/// Reads a Range header. An empty or absent one asks for the first page in the list's own order.
///
/// # Errors
/// Where it leaves the grammar.
pub fn parse(header: Option<&str>) -> Result<Range, InvalidRange> {
    let mut range = Range::default();
    let mut parts = header.unwrap_or_default().split(';');
    let bounds = parts.next().unwrap_or_default().trim();
    if !bounds.is_empty() {
        read_bounds(bounds, &mut range)?;
    }
    for option in parts.flat_map(|group| group.split(',')).map(str::trim) {
        read_option(option, &mut range)?;
    }
    Ok(range)
}

fn read_bounds(text: &str, range: &mut Range) -> Result<(), InvalidRange> {
    let attribute_end =
        text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).ok_or(InvalidRange::Grammar)?;
    let (attribute, bounds) = text.split_at(attribute_end);
    let (start, end) = bounds.split_once("..").ok_or(InvalidRange::Grammar)?;
    if attribute.is_empty() || !bounds.starts_with([' ', '\t']) {
        return Err(InvalidRange::Grammar);
    }
    let (start, end) = (start.trim(), end.trim());
    range.attribute = Some(attribute.to_owned());
    range.start = match start.strip_prefix(']') {
        Some("") => return Err(InvalidRange::Grammar),
        Some(after) => Some(Start::After(after.to_owned())),
        None if start.is_empty() => None,
        None => Some(Start::At(start.to_owned())),
    };
    range.end = (!end.is_empty()).then(|| end.to_owned());
    Ok(())
}

fn read_option(option: &str, range: &mut Range) -> Result<(), InvalidRange> {
    let refused = || InvalidRange::Option(option.to_owned());
    match option.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
        None if option.is_empty() => {}
        Some(("max", value)) => {
            let max: usize = value.parse().map_err(|_| refused())?;
            range.max = if max == 0 { return Err(refused()) } else { max.min(MAX_LIMIT) };
        }
        Some(("order", "asc")) => range.order = Order::Ascending,
        Some(("order", "desc")) => range.order = Order::Descending,
        _ => return Err(refused()),
    }
    Ok(())
}

/// What a list can be sorted by. Things of one value stay on one page, which they may make longer than asked: else the
/// next page, which begins after a value, would leave some of them out.
#[derive(Debug)]
pub struct Attribute<T> {
    /// Its name in the header.
    pub name: &'static str,
    /// Its value of one thing.
    pub key: fn(&T) -> Key,
}

/// A value that things are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Compared as numbers.
    Number(i64),
    /// Compared byte by byte.
    Text(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// One page of a list and the headers that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// `Accept-Ranges`: what the list can be sorted by.
    pub accept_ranges: String,
    /// `Content-Range`: `id a..b`; `None` for an empty page.
    pub content_range: Option<String>,
    /// `Next-Range`: send this as Range to go on. `None` on the last page. With it, the status is 206.
    pub next_range: Option<String>,
}

/// What clients send without a bound where it is no attribute: heroku-client the first with every list, heroku3 the
/// second with domains.
const SENT_ANYWAY: [&str; 2] = ["id", "domain"];

/// Cuts the page that `range` asks for out of the whole list. The first of `attributes` is the list's own order.
///
/// # Errors
/// When the list has no such attribute, or a bound is not a value of it.
pub fn paginate<T>(
    items: Vec<T>,
    range: &Range,
    attributes: &[Attribute<T>],
) -> Result<Page<T>, InvalidRange> {
    let accept_ranges = attributes.iter().map(|a| a.name).collect::<Vec<_>>().join(", ");
    let attribute = match range.attribute.as_deref() {
        None => attributes.first(),
        Some(asked) => attributes.iter().find(|a| a.name == asked).or_else(|| {
            let is_whole = range.start.is_none() && range.end.is_none();
            attributes.first().filter(|_| SENT_ANYWAY.contains(&asked) && is_whole)
        }),
    };
    let attribute = attribute.ok_or_else(|| InvalidRange::Attribute {
        asked: range.attribute.clone().unwrap_or_default(),
        known: accept_ranges.clone(),
    })?;

    let mut keyed: Vec<(Key, T)> = items.into_iter().map(|item| ((attribute.key)(&item), item)).collect();
    let direct = |a: &Key, b: &Key| match range.order {
        Order::Ascending => a.cmp(b),
        Order::Descending => b.cmp(a),
    };
    keyed.sort_by(|(a, _), (b, _)| direct(a, b));
    let sample = keyed.first().map(|(key, _)| key.clone());
    let bound = |text: &str| read_key(text, sample.as_ref(), attribute.name);
    if let Some(start) = &range.start {
        let (text, exclusive) = match start {
            Start::At(text) => (text, false),
            Start::After(text) => (text, true),
        };
        let start = bound(text)?;
        keyed.retain(|(key, _)| {
            let place = direct(key, &start);
            place.is_gt() || (place.is_eq() && !exclusive)
        });
    }
    if let Some(end) = &range.end {
        let end = bound(end)?;
        keyed.retain(|(key, _)| direct(key, &end).is_le());
    }

    let mut length = range.max.min(keyed.len());
    while length > 0 && length < keyed.len() && keyed[length - 1].0 == keyed[length].0 {
        length += 1;
    }
    let more = keyed.len() > length;
    keyed.truncate(length);
    let ends = keyed.first().zip(keyed.last()).map(|((first, _), (last, _))| (first.clone(), last.clone()));
    Ok(Page {
        accept_ranges,
        content_range: ends.as_ref().map(|(first, last)| format!("{} {first}..{last}", attribute.name)),
        next_range: ends.filter(|_| more).map(|(_, last)| next_range(attribute.name, &last, range)),
        items: keyed.into_iter().map(|(_, item)| item).collect(),
    })
}

fn next_range(attribute: &str, last: &Key, range: &Range) -> String {
    let end = range.end.as_deref().unwrap_or_default();
    let order = match range.order {
        Order::Ascending => "",
        Order::Descending => ", order=desc",
    };
    format!("{attribute} ]{last}..{end}; max={}{order}", range.max)
}

/// Reads a bound as the same kind of key as `sample`; an empty list has none, and takes anything.
fn read_key(text: &str, sample: Option<&Key>, attribute: &'static str) -> Result<Key, InvalidRange> {
    match sample {
        Some(Key::Number(_)) => text
            .parse()
            .map(Key::Number)
            .map_err(|_| InvalidRange::Value { attribute, value: text.to_owned() }),
        Some(Key::Text(_)) | None => Ok(Key::Text(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VERSION: [Attribute<i64>; 2] = [
        Attribute { name: "id", key: |n| Key::Text(format!("{n:04}")) },
        Attribute { name: "version", key: |n| Key::Number(*n) },
    ];

    fn page(header: &str, count: i64) -> Result<Page<i64>, InvalidRange> {
        paginate((1..=count).collect(), &parse(Some(header))?, &VERSION)
    }

    #[test]
    fn every_form_of_the_official_client_is_read() {
        for (header, expected) in [
            ("version ..; max=10, order=desc", vec![12, 11, 10, 9, 8, 7, 6, 5, 4, 3]),
            ("version ..; order=desc,max=1", vec![12]),
            ("version ..; max=1, order=desc", vec![12]),
            ("version ..; order=desc", (1..=12).rev().collect()),
            ("id ..; max=1000;", (1..=12).collect()),
            ("", (1..=12).collect()),
            ("  ", (1..=12).collect()),
            ("; max=2", vec![1, 2]),
            ("version ]3..; max=2", vec![4, 5]),
            ("version 3..4", vec![3, 4]),
            ("version ]9..7; order=desc", vec![8, 7]),
            ("version ..2;", vec![1, 2]),
            ("id ]0003..0004; max=99999;order=asc;", vec![4]),
            ("version 50..", vec![]),
        ] {
            assert_eq!(page(header, 12).unwrap().items, expected, "{header}");
        }
        assert_eq!(parse(None), parse(Some("")));
    }

    #[test]
    fn what_leaves_the_grammar_is_refused() {
        for header in [
            "version",
            "version 1",
            "..",
            " ..; max=1",
            "version..",
            "bytes=0-99",
            "version ]..",
            "version ..; max=0",
            "version ..; max=-1",
            "version ..; max=x",
            "version ..; order=up",
            "version ..; what",
            "version ..; what=1",
            "undefined",
            "name ..",
            "version a..",
        ] {
            assert!(page(header, 12).is_err(), "{header}");
        }
    }

    #[test]
    fn headers_lead_through_the_whole_list() {
        for first in ["version ..; max=5", "version ..; order=desc, max=5", "version 3..11; max=2"] {
            let mut seen: Vec<i64> = vec![];
            let mut header = Some(first.to_owned());
            while let Some(asked) = header {
                let page = page(&asked, 12).unwrap();
                seen.extend(&page.items);
                header = page.next_range;
            }
            let mut all = page(&first.replace("max=5", "").replace("max=2", ""), 12).unwrap().items;
            assert_eq!(seen, all, "{first}");
            all.dedup();
            assert!(all.len() >= 9);
        }
        let page = page("version ..; order=desc, max=5", 12).unwrap();
        assert_eq!(page.content_range.as_deref(), Some("version 12..8"));
        assert_eq!(page.next_range.as_deref(), Some("version ]8..; max=5, order=desc"));
        assert_eq!(page.accept_ranges, "id, version");
    }

    #[test]
    fn things_of_one_value_stay_on_one_page() {
        let by_kind = [Attribute { name: "kind", key: |n: &i64| Key::Number(n / 3) }];
        let page =
            |header: &str| paginate((0..9).collect(), &parse(Some(header)).unwrap(), &by_kind).unwrap();
        let first = page("kind ..; max=1");
        assert_eq!((first.items, first.next_range.as_deref()), (vec![0, 1, 2], Some("kind ]0..; max=1")));
        let last = page("kind ]1..; max=2");
        assert_eq!((last.items, last.next_range), (vec![6, 7, 8], None));
    }

    #[test]
    fn a_list_without_ids_is_taken_whole_by_them_and_leads_on_by_its_own() {
        let by_place = [Attribute { name: "ordinal", key: |n: &i64| Key::Number(*n) }];
        let page = |header: &str| paginate((0..3).collect(), &parse(Some(header)).unwrap(), &by_place);
        assert_eq!(page("id ..; max=1000").unwrap().items, [0, 1, 2]);
        assert_eq!(page("id ..; order=desc").unwrap().items, [2, 1, 0]);
        assert_eq!(page("domain ..; ;").unwrap().items, [0, 1, 2]);
        assert_eq!(page("id ..; max=1").unwrap().next_range.as_deref(), Some("ordinal ]0..; max=1"));
        for bad in ["id 1..", "id ]1..; max=1", "id ..1", "name .."] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_list_has_no_ranges() {
        let page = page("version ]9..; max=1", 0).unwrap();
        assert_eq!((page.content_range, page.next_range), (None, None));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in ".*") {
            let _ = page(&header, 3);
        }

        #[test]
        fn near_headers_do_not_panic(header in "(id|version|x)? ?\\]?[0-9a]{0,3}(\\.\\.)?[0-9]{0,3}(; ?(max|order)=?[0-9a-z]{0,20},?){0,3};?") {
            let _ = page(&header, 3);
        }

        #[test]
        fn pages_join_to_the_list(count in 0i64..50, max in 1usize..12, descending: bool) {
            let order = if descending { "desc" } else { "asc" };
            let mut header = Some(format!("version ..; max={max}, order={order}"));
            let mut seen = vec![];
            while let Some(asked) = header {
                let page = page(&asked, count).unwrap();
                prop_assert!(page.items.len() <= max);
                seen.extend(page.items);
                header = page.next_range;
            }
            if descending { seen.reverse(); }
            prop_assert_eq!(seen, (1..=count).collect::<Vec<_>>());
        }
    }
}
