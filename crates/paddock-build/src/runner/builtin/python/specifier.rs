//! Ranges as `requires-python` of a `pyproject.toml` has them: `>=3.11,<3.14`. Source: Python's own rules of version
//! specifiers, for released versions.

use std::fmt;

use super::super::semver::Version;

/// A range: all of its parts have to be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Specifiers(Vec<Specifier>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Specifier {
    operator: &'static str,
    numbers: Vec<u64>,
    /// It ends in `.*`.
    is_open: bool,
}

/// The longer ones first.
const OPERATORS: [&str; 7] = ["~=", "==", "!=", ">=", "<=", ">", "<"];

impl Specifiers {
    /// Reads a range; `None` when it is none, or says more than released versions.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(Specifier::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether the newest of a series of Python 3 is in it.
    pub(super) fn contains_minor(&self, minor: u64) -> bool {
        self.contains(Version(3, minor, u64::from(u32::MAX)))
    }

    /// Whether a version is in it.
    pub(super) fn contains(&self, version: Version) -> bool {
        self.0.iter().all(|specifier| specifier.contains(version))
    }
}

impl fmt::Display for Specifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Specifier { operator, numbers, is_open }) in self.0.iter().enumerate() {
            let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
            let comma = if index == 0 { "" } else { "," };
            let star = if *is_open { ".*" } else { "" };
            write!(f, "{comma}{operator}{}{star}", numbers.join("."))?;
        }
        Ok(())
    }
}

impl Specifier {
    fn parse(text: &str) -> Option<Self> {
        let operator = OPERATORS.into_iter().find(|operator| text.starts_with(operator))?;
        let version = text[operator.len()..].trim();
        let is_open = version.ends_with(".*");
        let numbers = version.strip_suffix(".*").unwrap_or(version).split('.');
        let numbers = numbers.map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let fits = match operator {
            "==" | "!=" => true,
            "~=" => !is_open && numbers.len() > 1,
            _ => !is_open,
        };
        fits.then_some(Self { operator, numbers, is_open })
    }

    fn contains(&self, version: Version) -> bool {
        let found = [version.0, version.1, version.2];
        let number = |index: usize| self.numbers.get(index).copied().unwrap_or(0);
        let length = self.numbers.len().max(found.len());
        let order = (0..length)
            .map(|index| found.get(index).copied().unwrap_or(0).cmp(&number(index)))
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal);
        let begins_with = |numbers: &[u64]| {
            numbers.iter().enumerate().all(|(index, number)| found.get(index).unwrap_or(&0) == number)
        };
        let is_equal = if self.is_open { begins_with(&self.numbers) } else { order.is_eq() };
        match self.operator {
            "==" => is_equal,
            "!=" => !is_equal,
            ">=" => order.is_ge(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            "<" => order.is_lt(),
            _ => order.is_ge() && begins_with(&self.numbers[..self.numbers.len() - 1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_mean_what_python_says() {
        for (version, range, expected) in [
            ("3.11.2", "", true),
            ("3.11.2", ">=3.11", true),
            ("3.11.2", ">=3.12", false),
            ("3.11.2", ">= 3.8, < 3.12", true),
            ("3.12.0", ">=3.8,<3.12", false),
            ("3.11.2", "<=3.11", false),
            ("3.11.0", "<=3.11", true),
            ("3.11.2", ">3.11", true),
            ("3.11.2", "==3.11.*", true),
            ("3.12.2", "==3.11.*", false),
            ("3.11.2", "==3.11.2", true),
            ("3.11.2", "==3.11", false),
            ("3.11.2", "!=3.11.*", false),
            ("3.11.2", "!=3.11.1", true),
            ("3.13.1", "~=3.11", true),
            ("4.0.0", "~=3.11", false),
            ("3.12.0", "~=3.11.2", false),
            ("3.11.9", "~=3.11.2", true),
            ("3.11.2", ">=3", true),
            ("3.11.2", "==3.11.2.0", true),
        ] {
            let specifiers = Specifiers::parse(range).unwrap();
            assert_eq!(
                specifiers.contains(Version::parse(version).unwrap()),
                expected,
                "{version} in {range:?}"
            );
        }
        for bad in ["3.11", "^3.11", "~=3", ">=3.11.*", ">=3.x", ">=3.12rc1", "==", ">=3.11;x"] {
            assert_eq!(Specifiers::parse(bad), None, "{bad}");
        }
        assert_eq!(Specifiers::parse(" >= 3.8 , !=3.9.* ").unwrap().to_string(), ">=3.8,!=3.9.*");
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "((~=|[=!<>]=|[<>]) ?[0-9]{1,2}(\\.[0-9]{1,2}){0,3}(\\.\\*)?,? ?){0,3}", minor in 0u64..20) {
            if let Some(specifiers) = Specifiers::parse(&text) {
                prop_assert_eq!(Specifiers::parse(&specifiers.to_string()), Some(specifiers.clone()));
                let _ = specifiers.contains(Version(3, minor, 0));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = Specifiers::parse(&text).map(|specifiers| specifiers.contains(Version(3, 11, 2)));
        }
    }
}
