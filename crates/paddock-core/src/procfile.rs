//! The Procfile: process types and the commands that run them.
//!
//! Grammar, from `docs/contract/buildpacks.md` section 6: a line is `TYPE`, an optional colon, white space, a command;
//! other lines are skipped; CRLF is tolerated; the last of a duplicate wins. Behind a colon the white space may be
//! missing, as other readers of Procfiles have it: no line means anything else then.

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
    // Some editors put a byte order mark first; it is no part of a name.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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
    // No program can be given a NUL.
    let line = Some(line.trim()).filter(|line| !line.contains('\0'))?;
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))?;
    let (name, rest) = line.split_at(end);
    let process_type = name.parse().ok()?;
    let command = match rest.strip_prefix(':') {
        Some(command) => command,
        // Without a colon the name ends in white space.
        None => rest.strip_prefix(char::is_whitespace)?,
    };
    Some(command.trim_start())
        .filter(|command| !command.is_empty())
        .map(|command| (process_type, command.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn types(text: &str) -> Vec<(String, String)> {
        parse(text).process_types.into_iter().map(|(t, c)| (t.to_string(), c)).collect()
    }

    // buildpacks.md 6.1
    #[test]
    fn declarations_follow_the_classic_pattern() {
        assert_eq!(
            types("web: node a.js\nworker:  x --y  \r\n"),
            [("web".into(), "node a.js".into()), ("worker".into(), "x --y".into()),]
        );
        assert_eq!(types("web node a.js"), [("web".into(), "node a.js".into())], "the colon is optional");
        assert_eq!(types("web: a\nweb: b"), [("web".into(), "b".into())], "the last duplicate wins");
        assert_eq!(
            types("web:a\nrelease:./a --b: c\n"),
            [("release".into(), "./a --b: c".into()), ("web".into(), "a".into())],
            "behind a colon the white space may be missing"
        );
        assert_eq!(types("web;a\nweb,a\nweb.a: b\nweb:\nweb"), []);
        assert_eq!(types("web: FOO=$PORT a && b; c"), [("web".into(), "FOO=$PORT a && b; c".into())]);
    }

    #[test]
    fn lines_that_say_nothing_are_listed() {
        let procfile = parse("# comment\n\nweb: a\n!!! what\nworker\n");
        assert_eq!(procfile.skipped_lines, [4, 5]);
        assert_eq!(procfile.process_types.len(), 1);
    }

    #[test]
    fn odd_files_are_read_as_far_as_they_go() {
        assert_eq!(types("web: a"), [("web".into(), "a".into())], "no newline at the end");
        assert_eq!(
            types("web: a\r\nworker: b\r"),
            [("web".into(), "a".into()), ("worker".into(), "b".into())]
        );
        assert_eq!(
            types("\u{feff}web: a"),
            [("web".into(), "a".into())],
            "a byte order mark is no part of a name"
        );
        assert_eq!(types("web: a\0b\nworker: c"), [("worker".into(), "c".into())], "no command holds a NUL");
        assert_eq!(types("wéb: a\nweb\u{202e}: b\n😀: c"), []);
        assert_eq!(types(&format!("{}: a", "x".repeat(129))), [], "a name has a limit");
        let long = "x".repeat(1 << 20);
        assert_eq!(types(&format!("web: {long}\n")), [("web".into(), long)]);
    }

    proptest! {
        #[test]
        fn whatever_it_says_types_are_names_and_commands_one_line(text in "(([a-z_-]{0,5}|\\PC{0,5}):?[ \t]{0,2}\\PC{0,20}\r?\n?){0,10}") {
            let procfile = parse(&text);
            for (name, command) in &procfile.process_types {
                prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
                prop_assert!(!command.contains('\n') && command.trim() == command && !command.is_empty());
                prop_assert!(text.contains(command.as_str()));
            }
            let lines = text.lines().count();
            prop_assert!(procfile.skipped_lines.iter().all(|line| (1..=lines).contains(line)));
            prop_assert!(procfile.process_types.len() + procfile.skipped_lines.len() <= lines);
        }

        #[test]
        fn what_was_written_is_read(types in proptest::collection::btree_map("[a-zA-Z0-9_-]{1,20}", "[!-~]([ -~]{0,30}[!-~])?", 0..8)) {
            let text: String = types.iter().map(|(name, command)| format!("{name}: {command}\n")).collect();
            prop_assert_eq!(super::tests::types(&text), types.into_iter().collect::<Vec<_>>());
        }
    }
}
