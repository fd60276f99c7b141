//! `packageManager` of a `package.json`: `name@version` or `name@version+algorithm.hash`.

use paddock_core::hex;
use sha2::{Digest, Sha224, Sha256, Sha512};

/// A package manager that an app declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: Name,
    /// Without the hash.
    pub(super) version: String,
    pub(super) hash: Option<Hash>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Npm,
    Yarn,
    Pnpm,
}

/// What the manager's archive is to hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hash {
    pub(super) algorithm: String,
    pub(super) value: String,
}

/// What a hash says about bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// It is of another kind than those that are known here.
    Unknown,
}

impl Declared {
    /// Reads it; `None` for a manager that nobody here knows, such as bun: then it says nothing, as on Heroku.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let text = text.trim();
        let (name, rest) = text.split_once('@').unwrap_or((text, ""));
        let name = match name {
            "npm" => Name::Npm,
            "yarn" => Name::Yarn,
            "pnpm" => Name::Pnpm,
            _ => return Ok(None),
        };
        let (version, hash) = match rest.split_once(['+', '#']) {
            Some((version, hash)) => (version, Some(hash)),
            None => (rest, None),
        };
        let is_version = version
            .starts_with(|first: char| first.is_ascii_digit() || "^~<>=v".contains(first))
            && version.chars().all(|c| c.is_ascii_alphanumeric() || "^~<>=.-".contains(c));
        if !is_version {
            return Err(format!(
                "packageManager in package.json cannot be read: {text:?}\n\
                 It has to be a name and a version such as \"{}\".",
                match name {
                    Name::Npm => "npm@11.0.0",
                    Name::Yarn => "yarn@4.5.0",
                    Name::Pnpm => "pnpm@10.12.1",
                }
            ));
        }
        let hash = hash.map(|hash| {
            let (algorithm, value) = hash.split_once('.').unwrap_or((hash, ""));
            Hash { algorithm: algorithm.to_owned(), value: value.to_ascii_lowercase() }
        });
        Ok(Some(Self { name, version: version.to_owned(), hash }))
    }

    /// The first number of the version.
    pub(super) fn major(&self) -> Option<u64> {
        first_number(&self.version)
    }
}

impl std::fmt::Display for Declared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.name {
            Name::Npm => "npm",
            Name::Yarn => "yarn",
            Name::Pnpm => "pnpm",
        };
        write!(f, "{name}@{}", self.version)
    }
}

impl Hash {
    pub(super) fn check(&self, bytes: &[u8]) -> Verdict {
        let actual = match self.algorithm.as_str() {
            "sha224" => hex(&Sha224::digest(bytes)),
            "sha256" => hex(&Sha256::digest(bytes)),
            "sha512" => hex(&Sha512::digest(bytes)),
            _ => return Verdict::Unknown,
        };
        if actual == self.value { Verdict::Right } else { Verdict::Wrong }
    }
}

/// The first number in a version or range.
pub(super) fn first_number(range: &str) -> Option<u64> {
    let start = range.find(|c: char| c.is_ascii_digit())?;
    let digits = range[start..].split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_manager_is_declared_with_version_and_hash() {
        let read = |text| Declared::parse(text).unwrap().unwrap();
        let pnpm = read("pnpm@10.12.1+sha512.F0dd");
        assert_eq!((pnpm.name, pnpm.version.as_str(), pnpm.major()), (Name::Pnpm, "10.12.1", Some(10)));
        assert_eq!(pnpm.hash, Some(Hash { algorithm: "sha512".into(), value: "f0dd".into() }));
        assert_eq!(read("pnpm@10.0.0-alpha.0+sha1.ab").version, "10.0.0-alpha.0");
        assert_eq!(read("yarn@4.5.0").hash, None);
        assert_eq!(read("npm@^10").major(), Some(10));
        for bad in
            ["yarn", "pnpm@", "yarn@latest", "pnpm@file:../x", "yarn@https://example.com/y.js", "npm@ 1"]
        {
            let problem = Declared::parse(bad).unwrap_err();
            assert!(problem.starts_with("packageManager in package.json cannot be read"), "{problem}");
        }
        assert_eq!(Declared::parse("bun@1.2.0"), Ok(None));
    }

    #[test]
    fn a_hash_is_right_wrong_or_of_a_kind_that_is_not_known() {
        let check = |text: &str| {
            let (algorithm, value) = text.split_once('.').unwrap();
            Hash { algorithm: algorithm.into(), value: value.into() }.check(b"")
        };
        assert_eq!(check("sha224.d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"), Verdict::Right);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(check(&format!("sha256.{empty}")), Verdict::Right);
        assert_eq!(check(&format!("sha512.{empty}")), Verdict::Wrong);
        assert_eq!(check("sha1.da39a3ee5e6b4b0d3255bfef95601890afd80709"), Verdict::Unknown);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(npm|yarn|pnpm|)[@+.0-9a-zä^]{0,20}") {
            let _ = Declared::parse(&text);
        }
    }
}
