//! Which Python an app wants. Order, as Heroku's buildpack has it: `runtime.txt`, `.python-version`, the version of the
//! app's last build; a new app that says nothing gets the newest that can be had.

use std::fs;
use std::path::Path;

use super::super::semver::Version;
use super::specifier::Specifiers;
use crate::runner::screen;
use crate::source::text;

/// The longest file that is read for a version, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024;

/// What an app asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing.
    Any,
    /// Nothing, and it was built with this before.
    Last { minor: u64 },
    /// A version, and what says so.
    Version { minor: u64, patch: Option<u64>, file: &'static str },
}

impl Wanted {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Any => "3".to_owned(),
            Self::Last { minor } | Self::Version { minor, patch: None, .. } => format!("3.{minor}"),
            Self::Version { minor, patch: Some(patch), .. } => format!("3.{minor}.{patch}"),
        }
    }

    /// Says what was found.
    pub(super) fn say(&self) {
        match self {
            Self::Any => {
                screen::step("No Python version was specified. Using the newest that can be had.");
                screen::detail(
                    "To use a specific version, add a .python-version file, e.g. with the line 3.13",
                );
            }
            Self::Last { .. } => {
                let text = self.text();
                screen::step(&format!(
                    "No Python version was specified. Using that of the last build: Python {text}"
                ));
                screen::detail(&format!("To keep it, add a .python-version file with the line {text}"));
            }
            Self::Version { file, .. } => {
                screen::step(&format!("Using Python {} specified in {file}", self.text()));
            }
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

/// What the app asks for, or what is wrong with how it asks.
pub(super) fn wanted(build_dir: &Path) -> Result<Wanted, String> {
    if let Some(lines) = lines(build_dir, "runtime.txt") {
        return read("runtime.txt", "python-", &lines);
    }
    if let Some(name) = misspelt(build_dir) {
        return Err(format!(
            "The file {name:?} is not read: rename it to .python-version, which is how it is spelt."
        ));
    }
    match lines(build_dir, ".python-version") {
        Some(lines) => read(".python-version", "", &lines),
        None => Ok(Wanted::Any),
    }
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
        Some([(minor, patch)]) => Ok(Wanted::Version { minor: *minor, patch: *patch, file }),
        Some([]) => Err(format!("No Python version was found in {file}.\n{form}")),
        Some(_) => Err(format!(
            "Multiple Python versions were found in {file}: {}\nAn app runs on one: leave the others out.",
            lines.join(", ")
        )),
        None => Err(format!("The Python version in {file} cannot be read: {:?}\n{form}", lines.join(" "))),
    }
}

fn parse(text: &str) -> Option<(u64, Option<u64>)> {
    let mut parts = text.strip_prefix("3.")?.split('.');
    let minor = parts.next()?.parse().ok()?;
    let patch = parts.next().map(|patch| patch.parse().ok());
    match (patch, parts.next()) {
        (None, None) => Some((minor, None)),
        (Some(Some(patch)), None) => Some((minor, Some(patch))),
        _ => None,
    }
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

    fn app(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_version_is_read_from_the_first_file_that_has_one() {
        let wanted = |files: &[_]| wanted(app(files).path());
        let version = |minor, patch, file| Ok(Wanted::Version { minor, patch, file });
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
        for bad in
            ["2.7", "3", "3.x", "3.11.2.1", "python-3.11", "pypy3.9", "3.12 # why", "3.12\nx", "'3.12'"]
        {
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

    #[test]
    fn a_misspelt_file_is_named() {
        for name in [
            ".python_version",
            "python-version",
            ".python-version.txt",
            " .python-version",
            ".Python-Version",
        ] {
            let said = wanted(app(&[(name, "3.12")]).path()).unwrap_err();
            assert!(said.contains(&format!("{name:?}")), "{name}: {said}");
        }
        for name in ["python_version.py", "pythonversions", ".python-version", "version"] {
            assert!(wanted(app(&[(name, "3.12")]).path()).is_ok(), "{name}");
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
