//! Log lines of apps: what one is, and which of them a reader asked for.

use std::fmt;

use crate::UnixMicros;

/// Who wrote a line: the first word before the brackets of `app[web.1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The app's own output, and what people did to it (`app[api]`).
    App,
    /// The platform: router, dyno manager, log plane.
    Heroku,
}

impl Source {
    /// The word users see and filter by.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Heroku => "heroku",
        }
    }

    /// The source with this name; nothing was ever written by any other.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::App, Self::Heroku].into_iter().find(|source| source.as_str() == name)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of an app's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was made.
    pub at: UnixMicros,
    /// Who wrote it.
    pub source: Source,
    /// Which process: `web.1`, `router`, `api`, `build`. Chosen by us, never by a tenant.
    pub process: String,
    /// The text, without a newline at its end.
    pub text: String,
}

/// Which lines a reader wants; the default is all. Every part that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// `--source`.
    pub source: Option<Source>,
    /// `--dyno-name`: a process (`web.1`, `router`), or a process type, since for Cedar apps the CLI sends
    /// `--process-type` in the same field.
    pub dyno: Option<String>,
    /// `--process-type`: `web` stands for every `web.N`.
    pub process_type: Option<String>,
}

impl LogFilter {
    /// Whether lines of this source and process are wanted.
    #[must_use]
    pub fn matches(&self, source: Source, process: &str) -> bool {
        let process_type = process.rsplit_once('.').map(|(process_type, _)| process_type);
        self.source.is_none_or(|wanted| wanted == source)
            && self.dyno.as_deref().is_none_or(|dyno| dyno == process || Some(dyno) == process_type)
            && self.process_type.as_deref().is_none_or(|wanted| Some(wanted) == process_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(source: Option<Source>, dyno: Option<&str>, process_type: Option<&str>) -> LogFilter {
        LogFilter { source, dyno: dyno.map(Into::into), process_type: process_type.map(Into::into) }
    }

    #[test]
    fn filters_mean_what_the_cli_means() {
        use Source::{App, Heroku};
        let table = [
            (filter(None, None, None), [true, true, true, true]),
            (filter(Some(App), None, None), [true, true, false, false]),
            (filter(Some(Heroku), None, None), [false, false, true, true]),
            (filter(None, Some("web.1"), None), [true, false, false, true]),
            (filter(None, Some("router"), None), [false, false, true, false]),
            (filter(None, Some("web"), None), [true, true, false, true]),
            (filter(None, None, Some("web")), [true, true, false, true]),
            (filter(None, None, Some("router")), [false; 4]),
            (filter(None, Some("we"), None), [false; 4]),
            (filter(Some(Heroku), Some("web.1"), None), [false, false, false, true]),
        ];
        for (filter, expected) in table {
            let lines = [(App, "web.1"), (App, "web.10"), (Heroku, "router"), (Heroku, "web.1")];
            assert_eq!(
                lines.map(|(source, process)| filter.matches(source, process)),
                expected,
                "{filter:?}"
            );
        }
    }

    #[test]
    fn sources_have_names() {
        assert_eq!(Source::from_name("app"), Some(Source::App));
        assert_eq!(Source::from_name("heroku"), Some(Source::Heroku));
        assert_eq!(Source::from_name("logplex"), None);
    }
}
