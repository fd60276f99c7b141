//! What `bin/report` prints: JSON, or YAML of lines `key: value`. Read loosely, for what cannot be read is nobody's fault.
//! Source: `docs/contract/buildpacks.md`, section 5.5.

use serde_json::Value;

/// How deep maps of maps are read.
const DEPTH_MAX: usize = 4;
/// How many values are read.
const VALUES_MAX: usize = 200;

/// Keys and values; those of maps in maps with dots between their keys.
pub(super) fn parse(text: &str) -> Vec<(String, String)> {
    let mut said = Vec::new();
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(map)) => {
            for (key, value) in &map {
                add(&mut said, key, value, 1);
            }
        }
        _ => said.extend(text.lines().filter_map(line)),
    }
    said.truncate(VALUES_MAX);
    said
}

fn add(said: &mut Vec<(String, String)>, key: &str, value: &Value, depth: usize) {
    if said.len() >= VALUES_MAX {
        return;
    }
    match value {
        Value::Object(map) if depth < DEPTH_MAX => {
            for (inner, value) in map {
                add(said, &format!("{key}.{inner}"), value, depth + 1);
            }
        }
        Value::String(text) => said.push((key.to_owned(), text.clone())),
        other => said.push((key.to_owned(), other.to_string())),
    }
}

/// A line of the first level; comments, lists, document marks and what goes on below a key say nothing here.
fn line(text: &str) -> Option<(String, String)> {
    if text.starts_with([' ', '\t', '#', '-']) {
        return None;
    }
    let (key, value) = text.split_once(':')?;
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let (key, value) = (key.trim(), inner.unwrap_or(value));
    (!key.is_empty() && !value.is_empty()).then(|| (key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        parse(text).into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn json_and_lines_are_read() {
        assert_eq!(
            shown(
                r#"{"ruby_version": "3.3.1", "n": 2, "cache": {"hit": true, "of": {"a": null}}, "l": [1]}"#
            ),
            ["cache.hit=true", "cache.of.a=null", "l=[1]", "n=2", "ruby_version=3.3.1"]
        );
        assert_eq!(
            shown(
                "---\n# of\npython_version: '3.13.1'\npip: \"a: b\"\nlist:\n  - x\n  inner: y\nurl: https://a:1/b\n: z\n"
            ),
            ["python_version=3.13.1", "pip=a: b", "url=https://a:1/b"]
        );
        assert_eq!(shown("[1, 2]"), [""; 0]);
        assert_eq!(shown("no report today"), [""; 0]);
    }

    #[test]
    fn what_is_read_is_bounded() {
        let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
        assert_eq!(parse(&deep)[0].0, "a.a.a.a");
        assert_eq!(parse(&"k: v\n".repeat(10_000)).len(), VALUES_MAX);
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "[-:{}\\[\\]'\"#a1 ä\n,]{0,80}") {
            let _ = parse(&text);
        }
    }
}
