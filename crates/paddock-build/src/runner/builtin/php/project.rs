//! What an app's `composer.json` and `composer.lock` say, as far as a build has to know before Composer reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path};

use serde_json::{Map, Value};

/// What Heroku calls it in its refusal; a lock file of a big app has a megabyte.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Project {
    /// `composer.json`, or what `COMPOSER` names.
    pub(super) file: String,
    pub(super) lock_file: String,
    /// What lies there; nothing of an app that is only an `index.php`.
    pub(super) origin: Origin,
    json: Map<String, Value>,
    lock: Option<Map<String, Value>>,
    pub(super) vendor_dir: String,
    pub(super) bin_dir: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Written,
    Empty,
    Missing,
}

/// Who asks for a version of PHP or for an extension.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) constraint: String,
    pub(super) by: String,
}

/// Reads both files.
///
/// # Errors
/// What is wrong with them, for the user.
pub(super) fn read(app: &Path, named: Option<&str>, vendor_dir: Option<&str>) -> Result<Project, String> {
    let file = named.map(str::trim).filter(|name| !name.is_empty()).unwrap_or("composer.json");
    if !is_inside(file) {
        return Err(
            "The config var COMPOSER has to name a file of the app, such as composer.json.".to_owned()
        );
    }
    let lock_file = match file.strip_suffix(".json") {
        Some(stem) => format!("{stem}.lock"),
        None => format!("{file}.lock"),
    };
    let text = text_of(app, file)?;
    let origin = match &text {
        None if named.is_some() && file != "composer.json" => {
            return Err(format!("COMPOSER names {file:?}, and there is no such file."));
        }
        None => Origin::Missing,
        Some(text) if text.is_empty() => Origin::Empty,
        Some(_) => Origin::Written,
    };
    let json = match text.filter(|text| !text.is_empty()) {
        Some(text) => object(&text).map_err(|problem| invalid_json(file, &problem))?,
        None => Map::new(),
    };
    let lock = match text_of(app, &lock_file)? {
        Some(text) => Some(object(&text).map_err(|problem| invalid_lock(&lock_file, &problem))?),
        None => None,
    };
    if lock.is_none() && has_content(json.get("require")) {
        return Err(without_lock(file, &lock_file));
    }
    let (vendor_dir, bin_dir) = folders(&json, vendor_dir)?;
    Ok(Project { file: file.to_owned(), lock_file, origin, json, lock, vendor_dir, bin_dir })
}

fn text_of(app: &Path, name: &str) -> Result<Option<Vec<u8>>, String> {
    let path = app.join(name);
    match fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => Err(format!("{name} is not a file.")),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            Err(format!("{name} is larger than {} MB.", FILE_BYTES_MAX >> 20))
        }
        Ok(_) => fs::read(&path).map(Some).map_err(|error| format!("{name} cannot be read: {error}")),
        Err(_) => Ok(None),
    }
}

fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Ok(object),
        // PHP writes an empty object so.
        Ok(Value::Array(array)) if array.is_empty() => Ok(Map::new()),
        Ok(_) => Err("it is not an object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn has_content(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Object(object)) => !object.is_empty(),
        Some(Value::Array(array)) => !array.is_empty(),
        _ => false,
    }
}

/// The folders of packages and of their programs, relative to the app.
fn folders(json: &Map<String, Value>, variable: Option<&str>) -> Result<(String, String), String> {
    let setting = |name: &str| json.get("config").and_then(|config| config.get(name)).and_then(Value::as_str);
    let folder = |name: &str, value: String| {
        let value = value.trim_end_matches('/').to_owned();
        let problem =
            || format!("{name} is {value:?}, which is no folder of the app: name one, such as \"vendor\".");
        if is_inside(&value) { Ok(value.clone()) } else { Err(problem()) }
    };
    let vendor =
        folder("vendor-dir", variable.or_else(|| setting("vendor-dir")).unwrap_or("vendor").to_owned())?;
    let bin = setting("bin-dir").unwrap_or("{$vendor-dir}/bin").replace("{$vendor-dir}", &vendor);
    Ok((vendor, folder("bin-dir", bin)?))
}

/// Whether a path stays below the app and can stand in a script as it is.
fn is_inside(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    !path.is_empty()
        && !path.starts_with('-')
        && path.chars().all(plain)
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

impl Project {
    /// Whether Composer has anything to do.
    pub(super) fn is_installed_by_composer(&self) -> bool {
        !self.json.is_empty()
    }

    /// Whether it has the script that Heroku runs when all is installed.
    pub(super) fn has_compile_script(&self) -> bool {
        self.json.get("scripts").and_then(|scripts| scripts.get("compile")).is_some()
    }

    /// Whether a package lies in the app itself, so that the lock does not say what it is made of.
    pub(super) fn has_local_packages(&self) -> bool {
        self.packages().any(|package| {
            let kind = |of: &str| package.get(of).and_then(|of| of.get("type")).and_then(Value::as_str);
            kind("dist") == Some("path") || kind("source") == Some("path")
        })
    }

    pub(super) fn has_package(&self, name: &str) -> bool {
        self.packages().any(|package| package.get("name").and_then(Value::as_str) == Some(name))
    }

    fn packages(&self) -> impl Iterator<Item = &Map<String, Value>> {
        let packages = self.lock.as_ref().and_then(|lock| lock.get("packages")).and_then(Value::as_array);
        packages.into_iter().flatten().filter_map(Value::as_object)
    }

    /// What is asked of PHP itself.
    pub(super) fn php(&self) -> Vec<Requirement> {
        self.required(|name| name == "php").remove("php").unwrap_or_default()
    }

    /// What is asked of extensions that no package stands in for, by `ext-` name.
    pub(super) fn extensions(&self) -> BTreeMap<String, Vec<Requirement>> {
        let provided: BTreeSet<String> = self
            .packages()
            .flat_map(|package| ["provide", "replace"].map(|of| package.get(of)))
            .filter_map(|of| of.and_then(Value::as_object))
            .flat_map(|of| of.keys().map(|name| name.to_ascii_lowercase()))
            .collect();
        self.required(|name| name.starts_with("ext-") && !provided.contains(name))
    }

    fn required(&self, is_meant: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<Requirement>> {
        let mut found = BTreeMap::<String, Vec<Requirement>>::new();
        let mut read = |of: Option<&Value>, by: &str| {
            for (name, constraint) in of.and_then(Value::as_object).into_iter().flatten() {
                let name = name.to_ascii_lowercase();
                if let Some(constraint) = constraint.as_str().filter(|_| is_meant(&name)) {
                    let requirement = Requirement { constraint: constraint.to_owned(), by: by.to_owned() };
                    found.entry(name).or_default().push(requirement);
                }
            }
        };
        match &self.lock {
            Some(lock) => read(lock.get("platform"), &self.file),
            None => read(self.json.get("require"), &self.file),
        }
        for package in self.packages() {
            let name = package.get("name").and_then(Value::as_str).unwrap_or("a package");
            read(package.get("require"), name);
        }
        found
    }
}

fn invalid_json(file: &str, problem: &str) -> String {
    format!(
        "Basic validation for '{file}' failed!\n\nIt must be a valid JSON document compatible with Composer.\n\n\
         The following syntax error was reported:\n> {problem}\n\n\
         You can run 'composer validate' locally on your computer for\nfurther diagnosis."
    )
}

fn invalid_lock(lock_file: &str, problem: &str) -> String {
    format!(
        "Failed to parse '{lock_file}'!\n\nThe lock file is not in a valid JSON format.\n\n\
         The following syntax error was reported:\n> {problem}\n\n\
         Please perform the following steps locally on your computer to\nresolve this issue before attempting another deploy:\n\
         1) Run 'composer update' to re-generate the lock file\n\
         2) stage the lock file changes using 'git add {lock_file}'\n\
         3) commit the change using 'git commit'"
    )
}

fn without_lock(file: &str, lock_file: &str) -> String {
    format!(
        "No '{lock_file}' found!\n\nA '{lock_file}' file was not found in your project, but there\n\
         is a '{file}' file with dependencies inside 'require'.\n\n\
         Please perform the following steps locally on your computer to\nresolve this issue before attempting another deploy:\n\
         1) remove '{lock_file}' from file '.gitignore', if present\n\
         2) if no '{lock_file}' exists, run 'composer update'\n\
         3) stage the lock file changes using 'git add {lock_file}'\n\
         4) if you edited '.gitignore', also run 'git add .gitignore'\n\
         5) commit the change using 'git commit'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(files: &[(&str, &str)]) -> Result<Project, String> {
        let app = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(app.path().join(name), text).unwrap();
        }
        read(app.path(), None, None)
    }

    #[test]
    fn files_that_cannot_be_meant_are_refused() {
        for (files, said) in [
            (vec![("composer.json", "{")], "Basic validation for 'composer.json' failed!"),
            (vec![("composer.json", "\"text\"")], "> it is not an object"),
            (vec![("composer.json", r#"{"require":{"a/b":"*"}}"#)], "No 'composer.lock' found!"),
            (
                vec![("composer.json", "{}"), ("composer.lock", "<<<<<<< HEAD")],
                "Failed to parse 'composer.lock'!",
            ),
            (vec![("composer.json", r#"{"config":{"vendor-dir":"../x"}}"#)], "vendor-dir is \"../x\""),
            (vec![("composer.json", r#"{"config":{"bin-dir":"$(id)\nx"}}"#)], "bin-dir is \"$(id)\\nx\""),
        ] {
            let problem = read_files(&files).unwrap_err();
            assert!(problem.starts_with(said) || problem.contains(said), "{files:?}: {problem}");
        }
        let folder = tempfile::tempdir().unwrap();
        for name in ["/etc/passwd", "../composer.json", "-x"] {
            assert!(read(folder.path(), Some(name), None).is_err(), "{name}");
        }
    }

    #[test]
    fn what_composer_has_nothing_to_do_for_needs_no_lock() {
        assert_eq!(read_files(&[("index.php", "")]).unwrap().origin, Origin::Missing);
        assert_eq!(read_files(&[("composer.json", "")]).unwrap().origin, Origin::Empty);
        for text in ["{}", "[]", r#"{"require":{}}"#, r#"{"require":[]}"#] {
            let project = read_files(&[("composer.json", text)]).unwrap();
            assert_eq!((project.origin, project.vendor_dir.as_str()), (Origin::Written, "vendor"), "{text}");
        }
    }

    #[test]
    fn requirements_of_all_packages_count_but_not_those_that_a_polyfill_meets() {
        let lock = r#"{"packages":[{"name":"a/b","require":{"php":">=7","ext-Redis":"*","ext-ctype":"*"}},
            {"name":"p/ctype","provide":{"ext-ctype":"*"},"dist":{"type":"path"}}, 7],
            "packages-dev":[{"name":"d/d","require":{"ext-xdebug":"*"}}],"platform":{"php":"^8.1","ext-gd":"*"}}"#;
        let json = r#"{"require":{"php":"^8.1"},"config":{"bin-dir":"bin"},"scripts":{"compile":"x"}}"#;
        let project = read_files(&[("composer.json", json), ("composer.lock", lock)]).unwrap();
        let asked: Vec<_> =
            project.php().into_iter().map(|one| format!("{} {}", one.by, one.constraint)).collect();
        assert_eq!(asked, ["composer.json ^8.1", "a/b >=7"]);
        assert_eq!(project.extensions().into_keys().collect::<Vec<_>>(), ["ext-gd", "ext-redis"]);
        assert!(project.has_local_packages() && project.has_compile_script() && project.has_package("a/b"));
        assert_eq!(project.bin_dir, "bin");
    }
}
