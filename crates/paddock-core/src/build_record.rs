//! What a build used, did and made: written down with it, so that two builds can be told apart afterwards.
//!
//! Some of it the server knows, some of it the build's own container said. The latter shares its user with the tenant's code,
//! so it is bounded, has no control characters, and says by whom it was told.

use std::time::Duration;

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// Where the source came from, and its version.
    Source,
    /// The program of the server: the version of what is built into it.
    Server,
    /// What the build was laid upon.
    Stack,
    /// What was asked for: purpose, choices of the operator's.
    Argument,
    /// A buildpack that ran, and which of its versions.
    Buildpack,
    /// A program that the build used.
    Tool,
    /// A file that pins dependencies, by its digest.
    LockFile,
    /// A config var by its name; its value is a keyed digest, never the value.
    Config,
    /// What `bin/report` said.
    Report,
    /// A base image that a Dockerfile begins from.
    Base,
    /// What was made: a layer, an image, a size.
    Made,
}

impl FactKind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Source,
        Self::Server,
        Self::Stack,
        Self::Argument,
        Self::Buildpack,
        Self::Tool,
        Self::LockFile,
        Self::Config,
        Self::Base,
        Self::Report,
        Self::Made,
    ];

    /// The word in rows and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Server => "server",
            Self::Stack => "stack",
            Self::Argument => "argument",
            Self::Buildpack => "buildpack",
            Self::Tool => "tool",
            Self::LockFile => "lock_file",
            Self::Config => "config",
            Self::Report => "report",
            Self::Base => "base",
            Self::Made => "made",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether a build's own container is heard on it. Of the others the server knows better.
    #[must_use]
    pub const fn is_the_builds_to_tell(self) -> bool {
        matches!(self, Self::Buildpack | Self::Tool | Self::LockFile | Self::Report)
    }
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ToldBy {
    /// The server, which knows.
    Server,
    /// The build's own container: a tenant's word.
    Build,
}

impl ToldBy {
    /// The word in rows and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Build => "build",
        }
    }

    /// Who has this word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Server, Self::Build].into_iter().find(|one| one.as_str() == text)
    }
}

/// One thing that a build used or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub kind: FactKind,
    /// Its name among those of the kind.
    pub name: String,
    /// Its version, digest or text.
    pub value: String,
    /// Who said so.
    pub told_by: ToldBy,
}

/// How long a part of a build took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Took {
    /// The part.
    pub step: String,
    /// Whole milliseconds.
    pub millis: u64,
    /// Who measured.
    pub told_by: ToldBy,
}

/// Whether something of an earlier build was used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reuse {
    /// What.
    pub what: String,
    /// Whether it was.
    pub reused: bool,
    /// Why, or why not.
    pub why: String,
    /// Who said so.
    pub told_by: ToldBy,
}

/// Everything that is known of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildRecord {
    /// What it used and made.
    pub facts: Vec<Fact>,
    /// Its parts, in order.
    pub took: Vec<Took>,
    /// What was used again, and what was not.
    pub reuse: Vec<Reuse>,
    /// How many things did not fit.
    pub left_out: u64,
}

/// The longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 200;
/// The longest value, in characters.
const VALUE_CHARACTERS_MAX: usize = 500;
/// How many facts, steps and reuses are kept of a build, each.
const ENTRIES_MAX: usize = 1000;
/// How many bytes of them all.
const BYTES_MAX: usize = 256 * 1024;

impl BuildRecord {
    /// Notes a fact; the first of a kind and name counts, so that a build cannot say again what the server has said.
    pub fn note(&mut self, told_by: ToldBy, kind: FactKind, name: &str, value: &str) {
        if told_by == ToldBy::Build && !kind.is_the_builds_to_tell() {
            self.left_out += 1;
            return;
        }
        let (name, value) = (shown(name, NAME_CHARACTERS_MAX), shown(value, VALUE_CHARACTERS_MAX));
        if self.facts.iter().any(|fact| fact.kind == kind && fact.name == name) {
            return;
        }
        if self.facts.len() < ENTRIES_MAX && self.has_room(name.len() + value.len()) {
            self.facts.push(Fact { kind, name, value, told_by });
        } else {
            self.left_out += 1;
        }
    }

    /// Notes how long a part took.
    pub fn took(&mut self, told_by: ToldBy, step: &str, time: Duration) {
        let step = shown(step, NAME_CHARACTERS_MAX);
        if self.took.len() < ENTRIES_MAX && self.has_room(step.len()) {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            self.took.push(Took { step, millis, told_by });
        } else {
            self.left_out += 1;
        }
    }

    /// Notes whether something was used again. What is said last of a thing counts: it was looked for twice.
    pub fn reuse(&mut self, told_by: ToldBy, what: &str, reused: bool, why: &str) {
        let (what, why) = (shown(what, NAME_CHARACTERS_MAX), shown(why, VALUE_CHARACTERS_MAX));
        if let Some(before) = self.reuse.iter_mut().find(|one| one.what == what && one.told_by == told_by) {
            *before = Reuse { what, reused, why, told_by };
        } else if self.reuse.len() < ENTRIES_MAX && self.has_room(what.len() + why.len()) {
            self.reuse.push(Reuse { what, reused, why, told_by });
        } else {
            self.left_out += 1;
        }
    }

    /// Adds what another one knows, after what this one does.
    pub fn append(&mut self, other: Self) {
        for fact in other.facts {
            self.note(fact.told_by, fact.kind, &fact.name, &fact.value);
        }
        for one in other.took {
            self.took(one.told_by, &one.step, Duration::from_millis(one.millis));
        }
        for one in other.reuse {
            self.reuse(one.told_by, &one.what, one.reused, &one.why);
        }
        self.left_out += other.left_out;
    }

    fn has_room(&self, more: usize) -> bool {
        let facts: usize = self.facts.iter().map(|fact| fact.name.len() + fact.value.len()).sum();
        let took: usize = self.took.iter().map(|one| one.step.len()).sum();
        let reuse: usize = self.reuse.iter().map(|one| one.what.len() + one.why.len()).sum();
        facts + took + reuse + more <= BYTES_MAX
    }
}

/// A text of one line without what a terminal takes for orders.
fn shown(text: &str, characters: usize) -> String {
    let mut kept = text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter });
    let mut result: String = kept.by_ref().take(characters).collect();
    if kept.next().is_some() {
        result.push('…');
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_heard_on_what_it_used_alone() {
        let mut record = BuildRecord::default();
        record.note(ToldBy::Server, FactKind::Source, "version", "abc");
        for kind in FactKind::ALL {
            record.note(ToldBy::Build, kind, "version", "forged\u{1b}[2J\nReleased v99");
        }
        let heard: Vec<_> = record.facts.iter().filter(|fact| fact.told_by == ToldBy::Build).collect();
        let kinds: Vec<_> = heard.iter().map(|fact| fact.kind.as_str()).collect();
        assert_eq!(kinds, ["buildpack", "tool", "lock_file", "report"]);
        assert!(heard.iter().all(|fact| fact.value == "forged\u{fffd}[2J\u{fffd}Released v99"));
        assert_eq!((record.facts.len(), record.left_out), (5, 7));
    }

    #[test]
    fn the_servers_word_comes_first_and_stays() {
        let mut record = BuildRecord::default();
        record.note(ToldBy::Server, FactKind::Buildpack, "1. a/b", "git 1");
        record.append({
            let mut told = BuildRecord::default();
            told.note(ToldBy::Build, FactKind::Buildpack, "1. a/b", "git 2");
            told.reuse(ToldBy::Build, "packages", false, "first");
            told.reuse(ToldBy::Build, "packages", true, "second");
            told
        });
        assert_eq!(record.facts[0].value, "git 1");
        assert_eq!(record.facts.len(), 1);
        assert!(record.reuse.len() == 1 && record.reuse[0].reused);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut record = BuildRecord::default();
        let long = "ä".repeat(10_000);
        for number in 0..3000 {
            record.note(ToldBy::Build, FactKind::Tool, &format!("{number} {long}"), &long);
            record.took(ToldBy::Build, &long, Duration::MAX);
            record.reuse(ToldBy::Build, &format!("{number}"), true, &long);
        }
        assert!(record.facts.len() <= ENTRIES_MAX && record.took.len() <= ENTRIES_MAX);
        assert!(record.has_room(0) && !record.has_room(BYTES_MAX));
        let kept = record.facts.len() + record.took.len() + record.reuse.len();
        assert_eq!(record.left_out, 9000 - u64::try_from(kept).unwrap());
        assert_eq!(record.facts[0].value.chars().count(), VALUE_CHARACTERS_MAX + 1);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for kind in FactKind::ALL {
            assert_eq!(FactKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ToldBy::parse("build"), Some(ToldBy::Build));
        assert_eq!(FactKind::parse("other"), None);
    }
}
