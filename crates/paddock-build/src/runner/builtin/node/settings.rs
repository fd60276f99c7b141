//! What the settings of Yarn 2 and newer say of an app.

use std::fs;
use std::path::{Component, Path};

use super::files;

pub(super) const YARN_SETTINGS: &str = ".yarnrc.yml";
pub(super) const YARN_CACHE: &str = ".yarn/cache";

/// What `.yarnrc.yml` says, and what lies beside it.
#[derive(Debug, Default)]
pub(super) struct YarnSettings {
    /// `yarnPath`: the Yarn of the repository.
    pub(super) path: Option<String>,
    /// Packages are installed into `node_modules`, not loaded from archives.
    pub(super) has_node_modules: bool,
    /// The archives of all packages lie in the repository.
    pub(super) has_cache: bool,
}

impl YarnSettings {
    /// Reads them; or says that the Yarn is not there.
    pub(super) fn read(build_dir: &Path) -> Result<Self, String> {
        let bytes = files::settings(build_dir, YARN_SETTINGS);
        let path = files::yaml_value(&bytes, "yarnPath");
        if let Some(path) = &path {
            let is_inside = Path::new(path)
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if !is_inside || !build_dir.join(path).is_file() {
                return Err(format!(
                    "Yarn was not found\n\n\
                     yarnPath in {YARN_SETTINGS} is {path}, and there is no such file in the repository. Commit it\n\
                     (`yarn set version` writes it), or remove yarnPath and name a version in packageManager."
                ));
            }
        }
        let has_entries =
            fs::read_dir(build_dir.join(YARN_CACHE)).is_ok_and(|mut folder| folder.next().is_some());
        Ok(Self {
            path,
            has_node_modules: files::yaml_value(&bytes, "nodeLinker").as_deref() == Some("node-modules"),
            has_cache: has_entries,
        })
    }

    /// Whether dynos load packages from the folder of archives, so that it has to lie in the app.
    pub(super) const fn uses_cache_of_app(&self) -> bool {
        self.has_cache || !self.has_node_modules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_where_packages_come_from() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |text: &str| {
            fs::write(folder.path().join(YARN_SETTINGS), text).unwrap();
            YarnSettings::read(folder.path())
        };
        let modules = settings("nodeLinker: node-modules\n").unwrap();
        assert!(modules.has_node_modules && !modules.uses_cache_of_app());
        assert!(settings("nodeLinker: pnp\n").unwrap().uses_cache_of_app());
        assert!(
            settings("yarnPath: .yarn/releases/yarn-4.0.0.cjs\n")
                .unwrap_err()
                .starts_with("Yarn was not found\n")
        );
        assert!(settings("yarnPath: /bin/sh\n").is_err() && settings("yarnPath: ../yarn.cjs\n").is_err());
        fs::create_dir_all(folder.path().join(YARN_CACHE)).unwrap();
        fs::write(folder.path().join(YARN_CACHE).join("ms.zip"), "").unwrap();
        assert!(settings("nodeLinker: node-modules\n").unwrap().uses_cache_of_app());
    }
}
