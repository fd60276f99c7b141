//! A line of a server's log: which process of it said what.

/// A line of a server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// The process, for the log plane's `postgres.PID`; `None` for a line that goes on with the one before.
    pub process: Option<u32>,
    /// The rest, `[5-1] sql_error_code = 00000 LOG:  …`.
    pub text: &'a str,
}

impl<'a> LogLine<'a> {
    /// Takes a line apart that begins as `log_line_prefix` says: `[123] [5-1] …`.
    #[must_use]
    pub fn parse(line: &'a str) -> Self {
        let parts = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        match parts.and_then(|(process, text)| Some((process.parse().ok()?, text))) {
            Some((process, text)) => Self { process: Some(process), text },
            None => Self { process: None, text: line },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_process() {
        let line = LogLine::parse("[41] [5-1] sql_error_code = 00000 LOG:  checkpoint starting: time");
        assert_eq!(line.process, Some(41));
        assert_eq!(line.text, "[5-1] sql_error_code = 00000 LOG:  checkpoint starting: time");
        for text in ["\tSELECT 1", "[x] [5-1] y", "[4", "", "[99999999999] z"] {
            assert_eq!(LogLine::parse(text), LogLine { process: None, text });
        }
    }
}
