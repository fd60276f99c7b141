//! `Gemfile.lock`, as far as the build has to know it: the gems with their versions, the Ruby and the Bundler it names.

use std::collections::BTreeMap;

/// The most bytes that are read of one.
pub(super) const BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lock {
    /// Version by name.
    gems: BTreeMap<String, String>,
    /// The engine and its version, as in `ruby 3.3.1` or `jruby 9.4.8.0`.
    pub(super) ruby: Option<Ruby>,
    pub(super) bundled_with: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ruby {
    pub(super) engine: String,
    pub(super) version: String,
}

impl Lock {
    /// Reads what Bundler wrote; lines that mean nothing here are skipped.
    pub(super) fn parse(text: &str) -> Self {
        let mut lock = Self::default();
        let mut section = "";
        for line in text.lines() {
            if !line.starts_with(' ') {
                section = line.trim();
            } else if let Some(entry) = line.strip_prefix("    ").filter(|entry| !entry.starts_with(' ')) {
                lock.gem(entry.trim());
            } else if section == "RUBY VERSION" {
                lock.ruby = ruby(line.trim()).or(lock.ruby);
            } else if section == "BUNDLED WITH" {
                lock.bundled_with = Some(line.trim().to_owned());
            }
        }
        lock
    }

    /// `rails (7.0.4)`, and `nokogiri (1.15.0-x86_64-linux)` for one platform of several.
    fn gem(&mut self, entry: &str) {
        let Some((name, rest)) = entry.split_once(" (") else { return };
        let Some(version) = rest.strip_suffix(')') else { return };
        if version.starts_with(|first: char| first.is_ascii_digit()) {
            let version = version.split('-').next().unwrap_or(version);
            self.gems.insert(name.to_owned(), version.to_owned());
        }
    }

    pub(super) fn has(&self, gem: &str) -> bool {
        self.gems.contains_key(gem)
    }

    /// Whether a gem is in the bundle in this version or a later one.
    pub(super) fn has_from(&self, gem: &str, major: u32, minor: u32) -> bool {
        self.gems
            .get(gem)
            .and_then(|version| major_and_minor(version))
            .is_some_and(|has| has >= (major, minor))
    }
}

/// `ruby 3.1.2p20`, or `ruby 2.5.9p229 (jruby 9.3.0.0)` where another engine stands in.
fn ruby(text: &str) -> Option<Ruby> {
    let text = text.split_once('(').map_or(text, |(_, engine)| engine.trim_end_matches(')'));
    let (engine, version) = text.trim().split_once(' ')?;
    let end = version.find('p').filter(|_| engine == "ruby").unwrap_or(version.len());
    let whole = version.contains("preview").then_some(version);
    Some(Ruby { engine: engine.to_owned(), version: whole.unwrap_or(&version[..end]).to_owned() })
}

/// The first two numbers of a version.
pub(super) fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "GIT\n  remote: https://h/x.git\n  revision: abc\n  specs:\n    inside (0.1.0)\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n    \
        nokogiri (1.15.0-x86_64-linux)\n      racc (~> 1.4)\n    railties (7.0.4)\n    rake (13.0.6)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  rake\n\n\
        RUBY VERSION\n   ruby 3.1.2p20\n\nBUNDLED WITH\n   2.3.15\n";

    #[test]
    fn gems_ruby_and_bundler_are_read() {
        for text in [TEXT.to_owned(), TEXT.replace('\n', "\r\n")] {
            let lock = Lock::parse(&text);
            let gems: Vec<_> = lock.gems.iter().map(|(name, version)| format!("{name} {version}")).collect();
            assert_eq!(gems, ["inside 0.1.0", "nokogiri 1.15.0", "railties 7.0.4", "rake 13.0.6"]);
            assert_eq!(lock.ruby, Some(Ruby { engine: "ruby".into(), version: "3.1.2".into() }));
            assert_eq!(lock.bundled_with.as_deref(), Some("2.3.15"));
            assert!(
                lock.has_from("railties", 4, 2) && !lock.has_from("railties", 7, 1) && !lock.has("rails")
            );
        }
    }

    #[test]
    fn a_ruby_of_any_kind_is_known() {
        for (text, engine, version) in [
            ("ruby 3.4.1", "ruby", "3.4.1"),
            ("ruby 3.5.0preview1", "ruby", "3.5.0preview1"),
            ("ruby 2.5.9p229 (jruby 9.3.0.0)", "jruby", "9.3.0.0"),
        ] {
            assert_eq!(ruby(text), Some(Ruby { engine: engine.into(), version: version.into() }), "{text}");
        }
        assert_eq!(ruby("3.4.1"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ a-z0-9().\r\n-]{0,60}(RUBY VERSION|BUNDLED WITH)?\n *[a-z(]{0,8} ?[p0-9.é]{0,8}") {
            let _ = Lock::parse(&text);
        }
    }
}
