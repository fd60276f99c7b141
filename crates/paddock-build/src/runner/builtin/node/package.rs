//! What a Node.js app says of itself in `package.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::declared::Declared;
use super::files;
use crate::source::text;

/// Scripts of a package that its manager runs when it installs.
const INSTALL_SCRIPTS: [&str; 5] = ["pnpm:devPreinstall", "preinstall", "install", "postinstall", "prepare"];

/// A `package.json`.
pub(super) struct Package {
    /// Its bytes, for the key of the cache.
    pub(super) bytes: Vec<u8>,
    /// `engines`, where they say something.
    pub(super) node: Option<String>,
    pub(super) npm: Option<String>,
    pub(super) yarn: Option<String>,
    pub(super) pnpm: Option<String>,
    pub(super) iojs: Option<String>,
    /// `packageManager`, when it names one of those that are known here.
    pub(super) declared: Option<Declared>,
    /// Whether there is anything to prune.
    pub(super) has_dev_dependencies: bool,
    /// Whether other packages of the repository belong to it.
    pub(super) has_workspaces: bool,
    scripts: BTreeSet<String>,
}

impl Package {
    /// Reads it, or says what is wrong with it.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let bytes = files::read(&folder.join("package.json"), files::PACKAGE_BYTES_MAX)
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
        let declared = json.get("packageManager").and_then(Value::as_str).map(Declared::parse).transpose()?;
        Ok(Self {
            node: engine("node"),
            npm: engine("npm"),
            yarn: engine("yarn"),
            pnpm: engine("pnpm"),
            iojs: engine("iojs"),
            declared: declared.flatten(),
            has_dev_dependencies: object("devDependencies").is_some_and(|packages| !packages.is_empty()),
            has_workspaces: json.get("workspaces").is_some_and(|value| value.is_array() || value.is_object()),
            scripts: scripts.filter(|(_, line)| line.is_string()).map(|(name, _)| name.clone()).collect(),
            bytes,
        })
    }

    pub(super) fn has_script(&self, name: &str) -> bool {
        self.scripts.contains(name)
    }

    /// Those that are run when it is installed.
    pub(super) fn install_scripts(&self) -> impl Iterator<Item = &'static str> {
        INSTALL_SCRIPTS.into_iter().filter(|name| self.has_script(name))
    }
}

/// Whether an app without a Procfile can be started.
pub(super) fn starts(build_dir: &Path, package: &Package) -> bool {
    package.has_script("start") || fs::metadata(build_dir.join("server.js")).is_ok_and(|file| file.is_file())
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
            r#"{"engines":{"node":" 20.x ","yarn":"1.x"},"scripts":{"build":"x","n":1},"devDependencies":{"a":"1"},
                "packageManager":"yarn@1.22.22","workspaces":{"packages":["a"]}}"#,
        );
        let package = Package::read(folder.path()).unwrap();
        assert_eq!((package.node.as_deref(), package.npm.as_deref()), (Some("20.x"), None));
        assert_eq!(package.yarn.as_deref(), Some("1.x"));
        assert_eq!(package.declared.as_ref().unwrap().version, "1.22.22");
        assert!(package.has_script("build") && !package.has_script("n") && package.has_dev_dependencies);
        assert!(package.has_workspaces && package.install_scripts().next().is_none());
        write("package.json", "{");
        assert!(Package::read(folder.path()).is_err_and(|problem| problem.contains("not valid JSON")));

        write("package.json", "\u{feff}{\"engines\":{\"node\":\"20.x\"}}");
        assert_eq!(Package::read(folder.path()).unwrap().node.as_deref(), Some("20.x"));
        fs::write(folder.path().join("package.json"), b"\xff\xfe{\0}\0").unwrap();
        assert!(Package::read(folder.path()).is_err_and(|problem| problem.contains("UTF-16")));
        fs::write(folder.path().join("package.json"), vec![b' '; 9 << 20]).unwrap();
        assert!(Package::read(folder.path()).is_err_and(|problem| problem.contains("larger than 8 MB")));
    }
}
