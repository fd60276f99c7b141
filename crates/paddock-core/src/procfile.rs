//! The Procfile: process types and the commands that run them.
//!
//! Grammar, from contract `buildpacks.md` section 6: a line is `TYPE`, an optional colon, white space, a command;
//! other lines are skipped; CRLF is tolerated; the last of a duplicate wins.

use std::collections::BTreeMap;

use crate::process::ProcessType;

/// What a Procfile says, and which of its lines it does not say anything with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Procfile {
    /// Command by process type. A command is a bash line; it is never read on the host.
    pub process_types: BTreeMap<ProcessType, String>,
    /// Line numbers, from 1, of lines that are neither blank, comment nor declaration.
    pub skipped_lines: Vec<usize>,
}

/// Reads a Procfile. Never fails: what is not a declaration is skipped and listed.
#[must_use]
pub fn parse(text: &str) -> Procfile {
    let mut procfile = Procfile::default();
    for (index, line) in text.lines().enumerate() {
        match declaration(line) {
            Some((process_type, command)) => {
                procfile.process_types.insert(process_type, command);
            }
            None if line.trim().is_empty() || line.trim_start().starts_with('#') => {}
            None => procfile.skipped_lines.push(index + 1),
        }
    }
    procfile
}

fn declaration(line: &str) -> Option<(ProcessType, String)> {
    let line = line.trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))?;
    let (name, rest) = line.split_at(end);
    let process_type = name.parse().ok()?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let command = rest.trim_start();
    // The classic pattern wants white space between the type and the command.
    (command.len() < rest.len() && !command.is_empty()).then(|| (process_type, command.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(text: &str) -> Vec<(String, String)> {
        parse(text).process_types.into_iter().map(|(t, c)| (t.to_string(), c)).collect()
    }

    #[test]
    fn declarations_follow_the_classic_pattern() {
        assert_eq!(
            types("web: node a.js\nworker:  x --y  \r\n"),
            [("web".into(), "node a.js".into()), ("worker".into(), "x --y".into()),]
        );
        assert_eq!(types("web node a.js"), [("web".into(), "node a.js".into())], "the colon is optional");
        assert_eq!(types("web: a\nweb: b"), [("web".into(), "b".into())], "the last duplicate wins");
        assert_eq!(types("web:a"), [], "white space is needed");
        assert_eq!(types("web: FOO=$PORT a && b; c"), [("web".into(), "FOO=$PORT a && b; c".into())]);
    }

    #[test]
    fn lines_that_say_nothing_are_listed() {
        let procfile = parse("# comment\n\nweb: a\n!!! what\nworker\n");
        assert_eq!(procfile.skipped_lines, [4, 5]);
        assert_eq!(procfile.process_types.len(), 1);
    }
}
