//! The main packages of a module, the binaries that they become, and what they run as.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use paddock_core::hex;
use sha2::{Digest, Sha256};

use crate::runner::screen;
use crate::runner::stop::Stop;

/// For `go list`: the path and the file of each main package.
pub(super) const FORMAT: &str = r#"{{if eq .Name "main"}}{{.ImportPath}}{{"\t"}}{{.Target}}{{end}}"#;

/// A main package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Main {
    pub(super) path: String,
    /// The name of its binary.
    pub(super) name: String,
}

/// Reads what `go list` said.
pub(super) fn parse(said: &str) -> Vec<Main> {
    let main = |line: &str| {
        let (path, target) = line.split_once('\t')?;
        let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        // One that cannot be installed has no file.
        let name = if target.trim().is_empty() { file(path) } else { file(target.trim()) };
        (!name.is_empty()).then(|| Main { path: path.trim().to_owned(), name })
    };
    said.lines().filter_map(main).collect()
}

/// Writes the Procfile of an app that has none: a single main package is the web process, several are what they are called.
pub(super) fn write_procfile(build_dir: &Path, mains: &[Main]) -> Result<(), Stop> {
    let path = build_dir.join("Procfile");
    if path.exists() || mains.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = match mains {
        [one] => vec![format!("web: bin/{}", one.name)],
        several => several.iter().map(|main| format!("{0}: bin/{0}", main.name)).collect(),
    };
    screen::step("Created a Procfile with the following entries:");
    for line in &lines {
        screen::detail(line);
    }
    screen::detail("");
    screen::detail(
        "If these entries look incomplete or incorrect please create a\nProcfile with the required entries.",
    );
    fs::write(path, lines.join("\n") + "\n").map_err(Stop::io("could not write the Procfile"))
}

/// What is in the folder `bin`, by its content.
pub(super) struct Binaries(BTreeMap<String, String>);

impl Binaries {
    pub(super) fn of(build_dir: &Path) -> Self {
        let entries = fs::read_dir(build_dir.join("bin")).into_iter().flatten().flatten();
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let named =
            files.filter_map(|entry| Some((entry.file_name().into_string().ok()?, hash(&entry.path())?)));
        Self(named.collect())
    }

    /// Those that are new or changed.
    pub(super) fn not_in(&self, before: &Self) -> Vec<&str> {
        let changed = self.0.iter().filter(|(name, hash)| before.0.get(*name) != Some(hash));
        changed.map(|(name, _)| name.as_str()).collect()
    }
}

fn hash(path: &Path) -> Option<String> {
    let mut hash = Sha256::new();
    io::copy(&mut fs::File::open(path).ok()?, &mut hash).ok()?;
    Some(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_lists_becomes_process_types() {
        let mains = parse(
            "example.com/shop/cmd/web\t/b/bin/web\n\nexample.com/shop/v2\t/b/bin/shop\nexample.com/x\t\n",
        );
        let names: Vec<_> = mains.iter().map(|main| main.name.as_str()).collect();
        assert_eq!(names, ["web", "shop", "x"]);
        let folder = tempfile::tempdir().unwrap();
        let procfile = || fs::read_to_string(folder.path().join("Procfile")).unwrap();
        write_procfile(folder.path(), &mains).unwrap();
        assert_eq!(procfile(), "web: bin/web\nshop: bin/shop\nx: bin/x\n");
        write_procfile(folder.path(), &mains[1..2]).unwrap();
        assert!(procfile().starts_with("web: bin/web"), "one that is there stays");
        fs::remove_file(folder.path().join("Procfile")).unwrap();
        write_procfile(folder.path(), &mains[1..2]).unwrap();
        assert_eq!(procfile(), "web: bin/shop\n");
    }

    #[test]
    fn new_binaries_are_known_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join("bin").join(name), text).unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        write("same", "1");
        write("changed", "1");
        let before = Binaries::of(folder.path());
        write("changed", "2");
        write("new", "1");
        assert_eq!(Binaries::of(folder.path()).not_in(&before), ["changed", "new"]);
    }
}
