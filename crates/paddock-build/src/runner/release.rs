//! What `bin/release` prints: the small part of YAML that buildpacks use.
//!
//! A mapping of `default_process_types` and `config_vars` (mappings of scalars) and `addons` (a list of scalars);
//! `--- {}`, nothing at all, quotes, comments and folded plain lines occur. Source: `docs/contract/buildpacks.md` 5.4.

use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Release {
    /// Command by process type.
    pub(super) default_process_types: BTreeMap<String, String>,
    pub(super) addons: Vec<String>,
    pub(super) config_vars: BTreeMap<String, String>,
}

/// One line that says something.
struct Line<'a> {
    indent: usize,
    text: &'a str,
}

/// Reads the output of `bin/release`. Keys that mean nothing to us are skipped.
///
/// # Errors
/// The number of the first line that is not of the part of YAML described above.
pub(super) fn parse(text: &str) -> Result<Release, usize> {
    let mut release = Release::default();
    let mut section = "";
    // Where a plain scalar that goes on in the next line was put: section, key, indent.
    let mut open: Option<(String, usize)> = None;
    for (index, line) in text.lines().enumerate() {
        let Some(line) = meaning(line) else { continue };
        if let Some((key, indent)) = open.take_if(|(_, indent)| line.indent > *indent) {
            if let Some(value) = target(&mut release, section).and_then(|map| map.get_mut(&key)) {
                value.push(' ');
                value.push_str(line.text);
            }
            open = Some((key, indent));
            continue;
        }
        open = None;
        if line.indent == 0 && !line.text.starts_with('-') {
            section = begin_section(line.text).ok_or(index + 1)?;
        } else if let Some(item) = line.text.strip_prefix("- ") {
            if section == "addons" {
                release.addons.push(scalar(item).ok_or(index + 1)?);
            }
        } else if let Some(map) = target(&mut release, section) {
            let (key, value) = entry(line.text).ok_or(index + 1)?;
            let is_plain = !value.starts_with(['"', '\'']);
            map.insert(key.clone(), scalar(value).ok_or(index + 1)?);
            open = is_plain.then_some((key, line.indent));
        }
    }
    Ok(release)
}

/// The line without document marks and comments; `None` when nothing is left.
fn meaning(line: &str) -> Option<Line<'_>> {
    let line = line.strip_prefix("---").unwrap_or(line);
    let text = line.trim();
    let says_something = !text.is_empty() && !text.starts_with('#') && text != "..." && text != "{}";
    says_something.then(|| Line { indent: line.len() - line.trim_start_matches(' ').len(), text })
}

/// `key:`, `key: {}`, `key: []` or `key: scalar`; a scalar of an unknown key is skipped.
fn begin_section(text: &str) -> Option<&str> {
    let (key, value) = text.split_once(':')?;
    let key = key.trim().trim_matches(['"', '\'']);
    match value.trim() {
        "" | "{}" | "[]" | "null" | "~" => Some(key),
        _ if matches!(key, "default_process_types" | "addons" | "config_vars") => None,
        _ => Some("unknown"),
    }
}

fn target<'a>(release: &'a mut Release, section: &str) -> Option<&'a mut BTreeMap<String, String>> {
    match section {
        "default_process_types" => Some(&mut release.default_process_types),
        "config_vars" => Some(&mut release.config_vars),
        _ => None,
    }
}

fn entry(text: &str) -> Option<(String, &str)> {
    let (key, value) = text.split_once(": ").or_else(|| text.strip_suffix(':').map(|key| (key, "")))?;
    Some((scalar(key)?, value.trim()))
}

/// A plain, single-quoted or double-quoted scalar.
fn scalar(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(quoted) = text.strip_prefix('\'') {
        return quoted.strip_suffix('\'').map(|inner| inner.replace("''", "'"));
    }
    if text.starts_with('"') {
        // The escapes of JSON are those that occur.
        return serde_json::from_str(text).ok();
    }
    if text.starts_with(['|', '>', '{', '[', '&', '*', '!']) {
        return None;
    }
    Some(text.split_once(" #").map_or(text, |(value, _)| value.trim_end()).to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn types(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().default_process_types.into_iter().collect()
    }

    #[test]
    fn nothing_is_said_in_many_ways() {
        for text in ["", "--- {}\n", "---\n", "---\n{}\n", "--- \naddons: []\nconfig_vars: {}\n", "# x\n"] {
            assert_eq!(parse(text), Ok(Release::default()), "{text:?}");
        }
    }

    #[test]
    fn what_buildpacks_print_is_read() {
        let release = parse(
            "---\naddons:\n- heroku-postgresql\n  - other:plan # why\nconfig_vars:\n  LANG: en_US.UTF-8\n\
             default_process_types:\n  web: bin/rails server -p ${PORT:-5000} -e $RAILS_ENV\n  'rake': \"a \\\"b\\\"\"\n\
             unknown: 3\n",
        )
        .unwrap();
        assert_eq!(release.addons, ["heroku-postgresql", "other:plan"]);
        assert_eq!(release.config_vars["LANG"], "en_US.UTF-8");
        assert_eq!(release.default_process_types["web"], "bin/rails server -p ${PORT:-5000} -e $RAILS_ENV");
        assert_eq!(release.default_process_types["rake"], "a \"b\"");
    }

    #[test]
    fn long_plain_lines_are_folded() {
        let text = "default_process_types:\n  web: a b\n    c: d\n    e\n  worker: f\n";
        assert_eq!(types(text), [("web".into(), "a b c: d e".into()), ("worker".into(), "f".into())]);
    }

    #[test]
    fn other_text_is_refused_by_its_line() {
        assert_eq!(parse("default_process_types:\n  web: |\n    x\n"), Err(2));
        assert_eq!(parse("no yaml at all"), Err(1));
        assert_eq!(parse("default_process_types:\n  web\n"), Err(2));
        assert_eq!(parse("addons: a\n"), Err(1));
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "[-:{}\\[\\]'\"#a ä\n]{0,80}") {
            let _ = parse(&text);
        }
    }
}
