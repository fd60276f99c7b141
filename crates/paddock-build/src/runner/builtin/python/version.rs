//! Which Python an app wants. Order, as Heroku's buildpack has it: `runtime.txt`, `.python-version`, `Pipfile.lock`, the
//! version of the app's last build; a new app that says nothing gets the default.

use std::fs;
use std::path::Path;

use super::super::semver::Version;
use super::manifest::{Manager, Manifest};
use super::pipfile;
use super::specifier::Specifiers;
use super::uv::DEFAULT_MINOR;
use crate::runner::screen;
use crate::source::text;

/// The longest file that is read for a version, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024;
/// The oldest minor version of Python 3 that apps may ask for, and the one whose time is nearly over.
pub(super) const OLDEST_MINOR: u64 = 10;
const DEPRECATED_MINOR: u64 = 10;

/// What an app asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing.
    Any,
    /// Nothing, and it was built with this before.
    Last { minor: u64 },
    /// A version, and what says so.
    Version { major: u64, minor: u64, patch: Option<u64>, file: &'static str },
}

impl Wanted {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Any => format!("3.{DEFAULT_MINOR}"),
            Self::Last { minor } => format!("3.{minor}"),
            Self::Version { major, minor, patch: None, .. } => format!("{major}.{minor}"),
            Self::Version { major, minor, patch: Some(patch), .. } => format!("{major}.{minor}.{patch}"),
        }
    }

    /// Says what was found.
    pub(super) fn say(&self, required: Option<&Specifiers>) {
        let text = self.text();
        match self {
            Self::Any => match required.filter(|required| !required.contains_minor(DEFAULT_MINOR)) {
                Some(required) => screen::step(&format!(
                    "No Python version was specified. Using the newest that pyproject.toml allows: {required}"
                )),
                None => screen::step(&format!(
                    "No Python version was specified. Using the buildpack default: Python {text}"
                )),
            },
            Self::Last { .. } => {
                screen::step(&format!(
                    "No Python version was specified. Using the same major version as the last build: Python {text}"
                ));
            }
            Self::Version { file, .. } => {
                screen::step(&format!("Using Python {text} specified in {file}"));
            }
        }
    }

    /// What is to be said of a choice that holds, when it is known what the app got.
    pub(super) fn warning(&self, manager: Option<Manager>, got: Version) -> Option<String> {
        let series = format!("{}.{}", got.0, got.1);
        let missing = |first: &str| {
            format!(
                "{first}\n\nCreate a file .python-version in the root directory of your app with the line\n{series}"
            )
        };
        match self {
            Self::Any | Self::Last { .. } => {
                let mut text = missing("Warning: No Python version was specified.");
                if manager == Some(Manager::Uv) {
                    text += "\nHeroku refuses an app that uses uv and has none.";
                }
                Some(text)
            }
            Self::Version { file: RUNTIME, .. } => Some(
                missing("Warning: The runtime.txt file is deprecated.")
                    + "\nand delete your runtime.txt file.",
            ),
            Self::Version { file, minor: DEPRECATED_MINOR, .. } => Some(format!(
                "Warning: Support for Python 3.{DEPRECATED_MINOR} is deprecated!\n\n\
                 Upgrade to a newer Python version as soon as possible, by changing the version in your {file} file."
            )),
            Self::Version { .. } => None,
        }
    }

    /// The minor version that is asked for, if one is.
    pub(super) fn minor(&self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Last { minor } | Self::Version { minor, .. } => Some(*minor),
        }
    }

    /// Whether a version of the right series is the one that is asked for.
    pub(super) fn is_met_by(&self, version: Version) -> bool {
        !matches!(self, Self::Version { patch: Some(patch), .. } if *patch != version.2)
    }
}

/// The older of the two files.
const RUNTIME: &str = "runtime.txt";

/// What the app asks for, or what is wrong with how it asks.
pub(super) fn wanted(build_dir: &Path, manifest: &Manifest) -> Result<Wanted, String> {
    if let Some(lines) = lines(build_dir, RUNTIME) {
        return read(RUNTIME, "python-", &lines);
    }
    if let Some(name) = misspelt(build_dir) {
        return Err(format!(
            "The file {name:?} is not read: rename it to .python-version, which is how it is spelt."
        ));
    }
    if let Some(lines) = lines(build_dir, ".python-version") {
        return read(".python-version", "", &lines);
    }
    match manifest.manager() {
        Some(Manager::Pipenv) => match pipfile::python(build_dir)? {
            Some(version) => of_pipfile(&version),
            None => Ok(Wanted::Any),
        },
        _ => Ok(Wanted::Any),
    }
}

fn of_pipfile(version: &str) -> Result<Wanted, String> {
    let Some((major, minor, patch)) = parse(version) else {
        return Err(format!(
            "Error: Invalid Python version in Pipfile.lock.\n\n\
             The following version was found:\n{}\n\n\
             However, the Python version must be specified as either:\n\
             1. The major version only, for example: 3.{DEFAULT_MINOR} (recommended)\n\
             2. An exact patch version, for example: 3.{DEFAULT_MINOR}.2\n\n\
             Update your Pipfile, and then run 'pipenv lock' to regenerate Pipfile.lock.",
            version.chars().take(100).collect::<String>()
        ));
    };
    Ok(Wanted::Version { major, minor, patch, file: Manager::Pipenv.lock() })
}

/// The lines of a file that say something; `None` without such a file.
fn lines(build_dir: &Path, name: &str) -> Option<Vec<String>> {
    let path = build_dir.join(name);
    let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    let text =
        if metadata.len() > FILE_BYTES_MAX { "too long".to_owned() } else { text::read(&path).ok()? };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Some(lines.map(Into::into).collect())
}

fn read(file: &'static str, prefix: &str, lines: &[String]) -> Result<Wanted, String> {
    let form = format!("It must be of the form {prefix}3.13 or {prefix}3.13.2");
    let versions: Option<Vec<_>> =
        lines.iter().map(|line| line.strip_prefix(prefix).and_then(parse)).collect();
    match versions.as_deref() {
        Some(&[(major, minor, patch)]) => Ok(Wanted::Version { major, minor, patch, file }),
        Some([]) => Err(format!("No Python version was found in {file}.\n{form}")),
        Some(_) => Err(format!(
            "Multiple Python versions were found in {file}: {}\nAn app runs on one: leave the others out.",
            lines.join(", ")
        )),
        None => Err(format!("The Python version in {file} cannot be read: {:?}\n{form}", lines.join(" "))),
    }
}

/// Two or three numbers.
fn parse(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let number = |part: &str| {
        let is_plain = part.bytes().all(|c| c.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        part.parse().ok().filter(|_| is_plain)
    };
    let mut parts = text.split('.');
    let (major, minor) = (number(parts.next()?)?, number(parts.next()?)?);
    let patch = match parts.next() {
        None => None,
        Some(patch) => Some(number(patch)?),
    };
    parts.next().is_none().then_some((major, minor, patch))
}

/// A file that was meant to be `.python-version`, such as `.python_version` or `python-version.txt`.
fn misspelt(build_dir: &Path) -> Option<String> {
    let entries = fs::read_dir(build_dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_misspelt(name))
        .collect();
    names.sort();
    names.into_iter().next()
}

fn is_misspelt(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    // A module of that name is no file of a version, unless it is hidden.
    let endings: &[&str] = if lower.starts_with('.') { &[".txt", ".rtf", ".py"] } else { &[".txt", ".rtf"] };
    let stem = endings.iter().find_map(|ending| lower.strip_suffix(ending)).unwrap_or(&lower);
    let letters: String = stem.chars().filter(char::is_ascii_alphanumeric).collect();
    name != ".python-version" && letters == "pythonversion" && stem.chars().count() <= letters.len() + 4
}

/// What `requires-python` of the app's `pyproject.toml` says, where it says it as it is usually written.
pub(super) fn required(build_dir: &Path) -> Option<Specifiers> {
    let text = text::read(&build_dir.join("pyproject.toml")).ok()?;
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[project]").skip(1);
    let value = lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix("requires-python")?.trim_start().strip_prefix('='))?;
    let value = value.trim();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    Specifiers::parse(value[1..].split(quote).next()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::builtin::python::requirements::Requirements;

    fn app(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_version_is_read_from_the_first_file_that_has_one() {
        let wanted = |files: &[_]| wanted(app(files).path(), &pip());
        let version = |minor, patch, file| Ok(Wanted::Version { major: 3, minor, patch, file });
        assert_eq!(wanted(&[]), Ok(Wanted::Any));
        let runtime = ("runtime.txt", "python-3.11.7\r\n");
        assert_eq!(wanted(&[runtime]), version(11, Some(7), "runtime.txt"));
        assert_eq!(wanted(&[runtime, (".python-version", "3.13")]), version(11, Some(7), "runtime.txt"));
        assert_eq!(wanted(&[runtime, ("python_version", "3.13")]), version(11, Some(7), "runtime.txt"));
        for text in ["# pinned\n\n3.13\n", "\u{feff}3.13\r\n", " 3.13 "] {
            assert_eq!(
                wanted(&[(".python-version", text)]),
                version(13, None, ".python-version"),
                "{text:?}"
            );
        }
        for bad in [
            "3",
            "3.x",
            "3.08",
            "3.+8",
            "4.",
            "3.11.2.1",
            "python-3.11",
            "pypy3.9",
            "3.12 # why",
            "3.12\nx",
            "'3.12'",
        ] {
            let said = wanted(&[(".python-version", bad)]).unwrap_err();
            assert!(
                said.starts_with("The Python version in .python-version cannot be read"),
                "{bad}: {said}"
            );
        }
        let several = wanted(&[(".python-version", "3.11\n3.12\n")]).unwrap_err();
        assert!(several.starts_with("Multiple Python versions were found in .python-version: 3.11, 3.12"));
        assert!(wanted(&[("runtime.txt", "python-3.11\npython-3.12")]).unwrap_err().starts_with("Multiple"));
        assert!(wanted(&[(".python-version", "# 3.12\n")]).unwrap_err().starts_with("No Python version"));
    }

    fn pip() -> Manifest {
        Manifest::Requirements(Requirements::default())
    }

    #[test]
    fn a_pipfile_asks_when_no_other_file_does() {
        let lock = |requires: &str| format!("{{\"_meta\":{{\"requires\":{{{requires}}}}}}}");
        let wanted = |lock: &str, files: &[(&str, &str)]| {
            let files = [files, &[("Pipfile.lock", lock)]].concat();
            wanted(app(&files).path(), &Manifest::Locked { manager: Manager::Pipenv, files: None })
        };
        let said = lock(r#""python_version":"3.12""#);
        assert_eq!(
            wanted(&said, &[]),
            Ok(Wanted::Version { major: 3, minor: 12, patch: None, file: "Pipfile.lock" })
        );
        assert_eq!(wanted(&said, &[(".python-version", "3.13")]).unwrap().text(), "3.13");
        assert_eq!(wanted(&lock(""), &[]), Ok(Wanted::Any));
        let bad = wanted(&lock(r#""python_version":"3.*""#), &[]).unwrap_err();
        assert!(bad.starts_with("Error: Invalid Python version in Pipfile.lock.\n"), "{bad}");
        assert!(wanted("{", &[]).unwrap_err().starts_with("Error: Can't parse Pipfile.lock."));
    }

    #[test]
    fn what_will_not_hold_for_ever_is_said() {
        let said = |wanted: Wanted, manager| wanted.warning(manager, Version(3, 11, 2));
        let version = |minor, file| Wanted::Version { major: 3, minor, patch: None, file };
        let any = said(Wanted::Any, None).unwrap();
        assert!(
            any.starts_with("Warning: No Python version was specified.\n") && any.ends_with("\n3.11"),
            "{any}"
        );
        assert!(said(Wanted::Last { minor: 11 }, Some(Manager::Uv)).unwrap().contains("Heroku refuses"));
        let runtime = said(version(11, RUNTIME), None).unwrap();
        assert!(runtime.starts_with("Warning: The runtime.txt file is deprecated.\n"), "{runtime}");
        let old = said(version(10, ".python-version"), None).unwrap();
        assert!(old.starts_with("Warning: Support for Python 3.10 is deprecated!\n"), "{old}");
        assert_eq!(said(version(11, ".python-version"), Some(Manager::Uv)), None);
    }

    #[test]
    fn a_misspelt_file_is_named() {
        for name in [
            ".python_version",
            "python-version",
            ".python-version.txt",
            " .python-version",
            ".Python-Version",
        ] {
            let said = wanted(app(&[(name, "3.12")]).path(), &pip()).unwrap_err();
            assert!(said.contains(&format!("{name:?}")), "{name}: {said}");
        }
        for name in ["python_version.py", "pythonversions", ".python-version", "version"] {
            assert!(wanted(app(&[(name, "3.12")]).path(), &pip()).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_a_project_requires_is_found() {
        let required = |text: &str| {
            required(app(&[("pyproject.toml", text)]).path()).map(|specifiers| specifiers.to_string())
        };
        let project = "[project]\nname = \"x\"\nrequires-python = \">=3.11, <3.14\" # why\n";
        assert_eq!(required(project).as_deref(), Some(">=3.11,<3.14"));
        assert_eq!(required(&format!("\u{feff}{project}")).as_deref(), Some(">=3.11,<3.14"));
        assert_eq!(required("[project]\nrequires-python='==3.12.*'").as_deref(), Some("==3.12.*"));
        for other in
            ["", "[project]\n[tool.x]\nrequires-python = '>=3'", "[project]\nrequires-python = [\"x\"]"]
        {
            assert_eq!(required(other), None, "{other}");
        }
    }
}
