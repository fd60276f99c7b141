//! The lines of a Dockerfile: directives at its head, comments, continuations, and the texts of heredocs.

use super::heredoc::{self, Heredoc};
use super::{BYTES_MAX, DockerfileError, INSTRUCTIONS_MAX};
use crate::source::text;

/// What begins a comment.
const COMMENT: char = '#';

/// One instruction as it was written, without comments and ends of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it begins, from 1 on.
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) heredocs: Vec<Heredoc>,
}

/// A file taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines {
    /// What continues a line, and makes the next character an ordinary one.
    pub(super) escape: char,
    pub(super) lines: Vec<Line>,
}

/// What stands at the head of a file as a comment and is none.
#[derive(Default)]
struct Directives {
    seen: Vec<String>,
    are_over: bool,
    escape: Option<char>,
}

impl Directives {
    /// Reads a line of the file's head.
    fn read(&mut self, number: usize, line: &str) -> Result<(), DockerfileError> {
        if self.are_over {
            return Ok(());
        }
        let directive = line.strip_prefix(COMMENT).and_then(|rest| rest.split_once('='));
        let name = directive.map(|(name, _)| name.trim().to_ascii_lowercase()).unwrap_or_default();
        let value = directive.map(|(_, value)| value.trim()).unwrap_or_default();
        if !matches!(name.as_str(), "syntax" | "escape" | "check") || value.is_empty() {
            self.are_over = true;
            return Ok(());
        }
        if self.seen.contains(&name) {
            return Err(DockerfileError::at(number, format!("the directive \"{name}\" may occur once")));
        }
        if name == "escape" {
            self.escape = Some(match value {
                "\\" => '\\',
                "`" => '`',
                _ => return Err(DockerfileError::at(number, "the directive \"escape\" must be \\ or `")),
            });
        }
        self.seen.push(name);
        Ok(())
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Lines, DockerfileError> {
    if bytes.len() > BYTES_MAX {
        let problem = format!("a Dockerfile may have {} KB, this one has more", BYTES_MAX / 1024);
        return Err(DockerfileError::whole(problem));
    }
    let text = text::decode(bytes);
    if text.contains('\0') {
        return Err(DockerfileError::whole("it holds a zero byte, so it is no text"));
    }
    let mut file = Reader { rest: text.split_inclusive('\n'), number: 0 };
    let mut directives = Directives::default();
    let mut lines = Vec::new();
    while let Some((number, line)) = file.next() {
        let line = line.trim_start();
        directives.read(number, line)?;
        if line.is_empty() || line.starts_with(COMMENT) {
            continue;
        }
        let escape = directives.escape.unwrap_or('\\');
        let text = file.continued(line, escape);
        if text.trim().is_empty() {
            continue;
        }
        let mut line = Line { number, text, heredocs: Vec::new() };
        for begun in heredoc::begun_in(&line.text) {
            line.heredocs.push(file.heredoc(number, begun)?);
        }
        lines.push(line);
        if lines.len() > INSTRUCTIONS_MAX {
            let problem = format!("a Dockerfile may have {INSTRUCTIONS_MAX} instructions");
            return Err(DockerfileError::at(number, problem));
        }
    }
    Ok(Lines { escape: directives.escape.unwrap_or('\\'), lines })
}

struct Reader<'a> {
    rest: std::str::SplitInclusive<'a, char>,
    /// Of the line that was read last.
    number: usize,
}

impl<'a> Reader<'a> {
    /// The next line without its end.
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let line = self.whole_line()?;
        Some((self.number, line.trim_end_matches(['\r', '\n'])))
    }

    fn whole_line(&mut self) -> Option<&'a str> {
        self.number += 1;
        self.rest.next()
    }

    /// The line with what continues it. Comments and empty lines between are no part of it.
    fn continued(&mut self, line: &str, escape: char) -> String {
        let mut text = String::new();
        let (mut piece, mut goes_on) = continuation(line, escape);
        text.push_str(piece);
        while goes_on {
            let Some((_, line)) = self.next() else { break };
            let trimmed = line.trim_start();
            if trimmed.is_empty() || trimmed.starts_with(COMMENT) {
                continue;
            }
            (piece, goes_on) = continuation(line, escape);
            text.push_str(piece);
        }
        text
    }

    fn heredoc(&mut self, number: usize, begun: Heredoc) -> Result<Heredoc, DockerfileError> {
        let mut heredoc = begun;
        while let Some(line) = self.whole_line() {
            let end = line.trim_end_matches(['\r', '\n']);
            let end = if heredoc.strips_tabs { end.trim_start_matches('\t') } else { end };
            if end == heredoc.name {
                return Ok(heredoc);
            }
            heredoc.text.push_str(line);
        }
        let problem =
            format!("the text that begins with <<{0} has no end: a line with {0} alone", heredoc.name);
        Err(DockerfileError::at(number, problem))
    }
}

/// A line without what continues it, and whether that was there. An escape after an escape is an ordinary character.
fn continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(piece) if !piece.ends_with(escape) => (piece, true),
        _ => (line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<(usize, String)> {
        read(file.as_bytes()).unwrap().lines.into_iter().map(|line| (line.number, line.text)).collect()
    }

    fn problem(file: &str) -> String {
        read(file.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn lines_continue_over_comments_and_empty_lines() {
        let file = "# a comment\n\nRUN a \\\n  # between\n\n  b \\  \n\tc\r\nENV x=y\n";
        assert_eq!(texts(file), [(3, "RUN a   b \tc".to_owned()), (8, "ENV x=y".to_owned())]);
        assert_eq!(texts("RUN a \\\n  # no end"), [(1, "RUN a ".to_owned())]);
        assert_eq!(texts("  \tRUN a\\\\\nRUN b"), [(1, "RUN a\\\\".to_owned()), (2, "RUN b".to_owned())]);
        assert_eq!(texts("\\\nRUN a"), [(1, "RUN a".to_owned())]);
        assert_eq!(texts("\u{feff}RUN a # no comment"), [(1, "RUN a # no comment".to_owned())]);
        assert_eq!(texts("RUN a \\\n\n\n"), [(1, "RUN a ".to_owned())]);
    }

    #[test]
    fn directives_count_at_the_head_alone() {
        let file = "# syntax=docker/dockerfile:1\n#  ESCAPE = `\nRUN a `\n b\nRUN c \\\nRUN d\n";
        let read_file = read(file.as_bytes()).unwrap();
        assert_eq!(read_file.escape, '`');
        assert_eq!(texts(file)[0], (3, "RUN a  b".to_owned()));
        assert_eq!(texts(file).len(), 3);
        for file in
            ["# note\n# escape=`\n", "\n# escape=`\n", "RUN a\n# escape=`\n", "# escapes=`\n# escape=`\n"]
        {
            assert_eq!(read(file.as_bytes()).unwrap().escape, '\\', "{file:?}");
        }
        assert_eq!(problem("# escape=x\n"), "line 1: the directive \"escape\" must be \\ or `");
        assert_eq!(problem("#escape=`\n#escape=`\n"), "line 2: the directive \"escape\" may occur once");
    }

    #[test]
    fn heredocs_are_taken_out_of_the_lines() {
        let file =
            "RUN <<EOF\necho 1 \\\n# kept\n\n EOF\nEOF\nRUN cat <<-'A' <<B > /x\n\ta\n\tA\nb\nB\nCMD x\n";
        let lines = read(file.as_bytes()).unwrap().lines;
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].heredocs[0].text, "echo 1 \\\n# kept\n\n EOF\n");
        let both: Vec<_> = lines[1].heredocs.iter().map(|one| (one.text.as_str(), one.is_expanded)).collect();
        assert_eq!(both, [("\ta\n", false), ("b\n", true)]);
        assert_eq!(lines[2].number, 12);
        assert_eq!(
            problem("RUN <<EOF\nx\n EOF\n"),
            "line 1: the text that begins with <<EOF has no end: a line with EOF alone"
        );
    }

    #[test]
    fn what_is_no_text_or_too_long_is_refused() {
        assert_eq!(problem("RUN \0"), "it holds a zero byte, so it is no text");
        assert_eq!(problem(&"#".repeat(BYTES_MAX + 1)), "a Dockerfile may have 256 KB, this one has more");
        assert_eq!(
            problem(&"RUN a\n".repeat(INSTRUCTIONS_MAX + 1)),
            "line 1001: a Dockerfile may have 1000 instructions"
        );
    }
}
