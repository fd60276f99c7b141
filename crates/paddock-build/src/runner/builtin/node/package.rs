//! What a Node.js app says of itself: `package.json` and its lock file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::source::text;

/// A `package.json`.
pub(super) struct Package {
    /// Its bytes, for the key of the cache.
    pub(super) bytes: Vec<u8>,
    /// `engines.node`, when it says something.
    pub(super) node: Option<String>,
    /// `engines.npm`, when it says something.
    pub(super) npm: Option<String>,
    /// Whether there is anything to prune.
    pub(super) has_dev_dependencies: bool,
    scripts: BTreeSet<String>,
}

/// A lock file of npm.
pub(super) struct Lock {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) version: u64,
}

impl Package {
    /// Reads it, or says what is wrong with it.
    pub(super) fn read(build_dir: &Path) -> Result<Self, String> {
        let bytes = fs::read(build_dir.join("package.json"))
            .map_err(|error| format!("package.json cannot be read: {error}"))?;
        if text::is_utf_16(&bytes) {
            return Err("package.json is in UTF-16, which npm does not read: save it as UTF-8.".to_owned());
        }
        let json: Value = serde_json::from_str(&text::decode(&bytes))
            .map_err(|error| format!("package.json is not valid JSON: {error}"))?;
        let engine = |name: &str| {
            let range = json.pointer(&format!("/engines/{name}"))?.as_str()?.trim();
            (!range.is_empty()).then(|| range.to_owned())
        };
        let object = |name: &str| json.get(name).and_then(Value::as_object);
        let scripts = object("scripts").into_iter().flatten();
        Ok(Self {
            node: engine("node"),
            npm: engine("npm"),
            has_dev_dependencies: object("devDependencies").is_some_and(|packages| !packages.is_empty()),
            scripts: scripts.filter(|(_, line)| line.is_string()).map(|(name, _)| name.clone()).collect(),
            bytes,
        })
    }

    pub(super) fn has_script(&self, name: &str) -> bool {
        self.scripts.contains(name)
    }
}

/// The lock file, or what is wrong with those that are there.
pub(super) fn find_lock(build_dir: &Path) -> Result<Option<Lock>, String> {
    let exists = |name: &str| build_dir.join(name).is_file();
    let npm = ["npm-shrinkwrap.json", "package-lock.json"].into_iter().find(|name| exists(name));
    let other = ["yarn.lock", "pnpm-lock.yaml"].into_iter().find(|name| exists(name));
    match (npm, other) {
        (Some(npm), Some(other)) => Err(format!(
            "Two different lock files found: {npm} and {other}. Remove the one that is not used and commit."
        )),
        (None, Some(other)) => Err(format!(
            "This app is installed with {other}, which the built-in Node.js buildpack does not support.\n\
             Use npm, or Heroku's own buildpack, which fetches Node.js and what it needs from the internet:\n  \
             heroku buildpacks:set https://github.com/heroku/heroku-buildpack-nodejs"
        )),
        (None, None) => Ok(None),
        (Some(name), None) => {
            let bytes =
                fs::read(build_dir.join(name)).map_err(|error| format!("{name} cannot be read: {error}"))?;
            let json: Option<Value> = serde_json::from_str(&text::decode(&bytes)).ok();
            let version = json.and_then(|json| json.get("lockfileVersion")?.as_u64()).unwrap_or(1);
            Ok(Some(Lock { name, bytes, version }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_says_what_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "package.json",
            r#"{"engines":{"node":" 20.x "},"scripts":{"build":"x","n":1},"devDependencies":{"a":"1"}}"#,
        );
        let package = Package::read(folder.path()).unwrap();
        assert_eq!((package.node.as_deref(), package.npm.as_deref()), (Some("20.x"), None));
        assert!(package.has_script("build") && !package.has_script("n") && package.has_dev_dependencies);
        write("package.json", "{");
        assert!(Package::read(folder.path()).is_err_and(|problem| problem.contains("not valid JSON")));

        write("package.json", "\u{feff}{\"engines\":{\"node\":\"20.x\"}}");
        assert_eq!(Package::read(folder.path()).unwrap().node.as_deref(), Some("20.x"));
        fs::write(folder.path().join("package.json"), b"\xff\xfe{\0}\0").unwrap();
        assert!(Package::read(folder.path()).is_err_and(|problem| problem.contains("UTF-16")));

        assert!(find_lock(folder.path()).unwrap().is_none());
        write("yarn.lock", "");
        assert!(find_lock(folder.path()).is_err());
        write("package-lock.json", "\u{feff}{\"lockfileVersion\": 3}");
        assert!(
            find_lock(folder.path()).is_err_and(|problem| problem.starts_with("Two different lock files"))
        );
        fs::remove_file(folder.path().join("yarn.lock")).unwrap();
        assert_eq!(find_lock(folder.path()).unwrap().unwrap().version, 3);
    }
}
