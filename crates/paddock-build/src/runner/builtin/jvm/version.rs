//! Versions of Java, and which of them an app asks for.

use std::fmt;

/// `17` for the newest of a release, `17.0.5` for that one; `1.8.0_362` is 8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JavaVersion(Vec<u32>);

/// Releases that are supported for long, the newest first.
const LONG_TERM: [u32; 5] = [25, 21, 17, 11, 8];

/// How well an installed one does for what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Same,
    /// Of the same release, with mended faults.
    Newer,
    No,
}

impl JavaVersion {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |part: &str| {
            let is_number = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            is_number.then(|| part.parse::<u32>().ok()).flatten()
        };
        // What follows a plus is the number of a build.
        let text = text.split('+').next()?;
        let mut parts = text.split(['.', '_', 'u']).map(number).collect::<Option<Vec<_>>>()?;
        if parts.len() > 1 && parts.first() == Some(&1) {
            parts.remove(0);
        }
        while parts.len() > 1 && parts.last() == Some(&0) {
            parts.pop();
        }
        (parts.len() <= 5 && parts.first() != Some(&0)).then_some(Self(parts))
    }

    /// The release, as in `17`.
    pub(super) fn major(&self) -> u32 {
        self.0.first().copied().unwrap_or_default()
    }

    /// How well an installed one does for this.
    pub(super) fn fit_of(&self, installed: &Self) -> Fit {
        if self.major() != installed.major() {
            return Fit::No;
        }
        match installed.cmp(self) {
            _ if self.0.len() == 1 => Fit::Same,
            std::cmp::Ordering::Equal => Fit::Same,
            std::cmp::Ordering::Greater => Fit::Newer,
            std::cmp::Ordering::Less => Fit::No,
        }
    }

    /// The one of these that is least far from this; of two that are as far the newer.
    pub(super) fn nearest_of<'a>(&self, installed: &'a [Self]) -> Option<&'a Self> {
        installed.iter().min_by_key(|one| (one.major().abs_diff(self.major()), u32::MAX - one.major()))
    }

    /// The one that is taken when none is asked for: the newest that is supported for long.
    pub(super) fn default_of(installed: &[Self]) -> Option<&Self> {
        let newest = |major: u32| installed.iter().filter(|one| one.major() == major).max();
        LONG_TERM.into_iter().find_map(newest).or_else(|| installed.iter().max())
    }
}

impl fmt::Display for JavaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

/// What an app asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Version(JavaVersion),
    /// A build of Java by somebody whose builds are not to be had.
    Distribution {
        name: String,
        version: String,
    },
    Unreadable,
}

/// Reads `java.runtime.version`. Azul's builds are Heroku's own, and any OpenJDK does for them.
pub(super) fn wanted(text: &str) -> Wanted {
    let (distribution, version) = match text.split_once('-') {
        Some((name, version)) if name.bytes().all(|c| c.is_ascii_alphabetic()) => (name, version),
        _ => ("", text),
    };
    match JavaVersion::parse(version) {
        None => Wanted::Unreadable,
        Some(version) if matches!(distribution, "" | "zulu" | "openjdk") => Wanted::Version(version),
        Some(_) => Wanted::Distribution { name: distribution.to_owned(), version: version.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> JavaVersion {
        JavaVersion::parse(text).unwrap()
    }

    #[test]
    fn versions_are_read_as_people_write_them() {
        for (text, read) in [
            ("1.8", Some("8")),
            ("8", Some("8")),
            ("1.8.0_362", Some("8.0.362")),
            ("8u362", Some("8.362")),
            ("17.0.0", Some("17")),
            ("17.0.15+6", Some("17.0.15")),
            ("21", Some("21")),
            ("1", Some("1")),
            ("0", None),
            ("", None),
            ("17.", None),
            ("seventeen", None),
            ("99999999999", None),
            ("17.0.1.2.3.4.5.6", None),
            ("-17", None),
        ] {
            let said = JavaVersion::parse(text).map(|version| version.to_string());
            assert_eq!(said.as_deref(), read, "{text}");
        }
        for (text, read) in [
            ("17", Wanted::Version(of("17"))),
            ("zulu-17.0.5", Wanted::Version(of("17.0.5"))),
            ("openjdk-11", Wanted::Version(of("11"))),
            ("heroku-17", Wanted::Distribution { name: "heroku".into(), version: "17".into() }),
            ("17-ea", Wanted::Unreadable),
            ("openjdk-", Wanted::Unreadable),
        ] {
            assert_eq!(wanted(text), read, "{text}");
        }
    }

    #[test]
    fn an_installed_one_fits_what_is_no_newer() {
        for (wanted, installed, fit) in [
            ("17", "17.0.15", Fit::Same),
            ("17.0.15", "17.0.15", Fit::Same),
            ("17.0.5", "17.0.15", Fit::Newer),
            ("17.0.16", "17.0.15", Fit::No),
            ("21", "17.0.15", Fit::No),
            ("1.8", "1.8.0_362", Fit::Same),
        ] {
            assert_eq!(of(wanted).fit_of(&of(installed)), fit, "{wanted} {installed}");
        }
        let installed = ["11.0.2", "17.0.15", "23.0.1"].map(of);
        assert_eq!(of("14").nearest_of(&installed), Some(&installed[1]), "the newer of two");
        assert_eq!(of("1.8").nearest_of(&installed), Some(&installed[0]));
        assert_eq!(of("99").nearest_of(&[]), None);
        assert_eq!(JavaVersion::default_of(&installed), Some(&installed[1]), "supported for long");
        assert_eq!(JavaVersion::default_of(&installed[2..]), Some(&installed[2]));
    }
}
