//! What a Go app says of itself: `go.mod`, and the files of tools that came before it.
//! Comments and messages: Heroku's Go buildpack.

use std::fs;
use std::path::Path;

use super::version::GoVersion;
use crate::source::text;

/// How far below `src` a Go file of an old workspace is looked for.
const DEPTH_MAX: usize = 8;
/// The largest `go.mod`, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;
/// What is built with when nothing says more.
const DEFAULT: &str = "go1.25";
/// The first with modules.
const FIRST_WITH_MODULES: u64 = 11;

/// A `go.mod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) name: String,
    /// `// +heroku install`.
    pub(super) install: Option<String>,
    pub(super) wanted: Wanted,
}

/// The Go that an app asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) version: GoVersion,
    pub(super) origin: Origin,
}

/// What asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Variable,
    Comment,
    /// The `toolchain` or `go` line: the oldest that the module can be built with.
    Line,
    Default,
}

impl Wanted {
    /// Whether no other will do.
    pub(super) fn is_firm(&self) -> bool {
        matches!(self.origin, Origin::Variable | Origin::Comment)
    }
}

/// Whether an app is one of Go, if only by the files of a tool that is not supported any more: then compiling says so.
pub(super) fn is_go(app: &Path) -> bool {
    app.join("go.mod").is_file() || old_tool(app).is_some()
}

/// The tool of before modules.
fn old_tool(app: &Path) -> Option<&'static str> {
    let files = [
        ("Gopkg.lock", "dep"),
        ("Godeps/Godeps.json", "godep"),
        ("vendor/vendor.json", "govendor"),
        ("glide.yaml", "glide"),
    ];
    let known = files.into_iter().find(|(file, _)| app.join(file).is_file()).map(|(_, tool)| tool);
    let old = || folders(&app.join("src")).iter().any(|folder| has_go_file(folder, DEPTH_MAX));
    known.or_else(|| old().then_some("gb"))
}

fn has_go_file(folder: &Path, depth: usize) -> bool {
    let is_go = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".go");
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| is_go(&entry.file_name()) && entry.path().is_file())
        || (depth > 0 && folders(folder).iter().any(|inner| has_go_file(inner, depth - 1)))
}

/// The folders in a folder, links left out.
fn folders(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Reads it, or says what is wrong. `variable` is `GOVERSION`.
pub(super) fn read(app: &Path, variable: Option<&str>) -> Result<Module, String> {
    let path = app.join("go.mod");
    if !path.is_file() {
        return Err(match old_tool(app) {
            Some(tool) => format!(
                "Error: Your app appears to use '{tool}' for dependency management,\nbut support for {tool} has been removed.\n\n\
                 Go modules (go.mod) is now the only supported dependency\nmanagement solution on Heroku.\n\n\
                 To migrate, run 'go mod init <module-name>' in your project\ndirectory and commit the resulting go.mod file."
            ),
            None => "Error: A go.mod file is required.".to_owned(),
        });
    }
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > BYTES_MAX) {
        return Err("go.mod is larger than 1 MB.".to_owned());
    }
    let text = text::read(&path).map_err(|error| format!("go.mod cannot be read: {error}"))?;
    let words = |line: &'_ str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = text.lines().map(words).collect();
    let after = |first: &[&str]| {
        lines.iter().find(|line| {
            line.len() > first.len() && line.iter().zip(first).all(|(word, wanted)| word == wanted)
        })
    };
    let name = after(&["module"]).map_or("", |line| line[1].trim_matches(['"', '`'])).to_owned();
    let install = after(&["//", "+heroku", "install"]).map(|line| line[3..].join(" "));
    let line = |first: &[&str]| after(first).map(|line| line[first.len()].as_str());
    let comment = line(&["//", "+heroku", "goVersion"]);
    let (text, origin) = match (variable, comment) {
        (Some(variable), _) => (variable, Origin::Variable),
        (None, Some(comment)) => (comment, Origin::Comment),
        (None, None) => match newest(line(&["toolchain"]), line(&["go"])) {
            Some(text) => (text, Origin::Line),
            None => (DEFAULT, Origin::Default),
        },
    };
    let version = GoVersion::parse(text).ok_or_else(|| unreadable(text, origin))?;
    if version.minor < FIRST_WITH_MODULES {
        return Err(format!(
            "Error: You are using {version}, which does not support Go modules.\n\nGo modules are supported by go1.11 and above.\n\n\
             Please add/update the comment in your go.mod file to specify\na Go version >= go1.11 like so:\n// +heroku goVersion {DEFAULT}\n\n\
             Then commit and push again."
        ));
    }
    Ok(Module { name, install, wanted: Wanted { version, origin } })
}

/// Of the two lines the later one: `go` itself would take that.
fn newest<'a>(toolchain: Option<&'a str>, go: Option<&'a str>) -> Option<&'a str> {
    match (toolchain.filter(|name| *name != "default"), go) {
        (Some(toolchain), Some(go)) => match (GoVersion::parse(toolchain), GoVersion::parse(go)) {
            (Some(one), Some(other)) if one.order() > other.order() => Some(toolchain),
            _ => Some(go),
        },
        (toolchain, go) => go.or(toolchain),
    }
}

fn unreadable(text: &str, origin: Origin) -> String {
    let place = match origin {
        Origin::Variable => "the config var GOVERSION",
        Origin::Comment => "// +heroku goVersion of go.mod",
        Origin::Line | Origin::Default => "go.mod",
    };
    format!("The Go version in {place} cannot be read: {text:?}\nIt must be of the form go1.25 or go1.25.3.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, variable: Option<&str>) -> Result<Module, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("go.mod"), text).unwrap();
        read(folder.path(), variable)
    }

    #[test]
    fn a_module_says_its_name_its_version_and_what_is_installed() {
        let version = |text: &str, variable| {
            read_text(text, variable).map(|module| (module.wanted.version.to_string(), module.wanted.origin))
        };
        let is = |version: &str, origin| Ok((version.to_owned(), origin));
        assert_eq!(version("module x\n", None), is("go1.25", Origin::Default));
        assert_eq!(version("module x\ngo 1.13\n", None), is("go1.13", Origin::Line));
        assert_eq!(version("module x\n\tgo 1.24.0 // why\r\n", None), is("go1.24.0", Origin::Line));
        let commented = "// +heroku goVersion go1.24\n// +scalingo goVersion go1.1\ngo 1.25.0";
        assert_eq!(version(commented, None), is("go1.24", Origin::Comment));
        assert_eq!(version(commented, Some("1.26.1")), is("go1.26.1", Origin::Variable));
        assert_eq!(version("go 1.21\ntoolchain go1.22.1\n", None), is("go1.22.1", Origin::Line));
        assert_eq!(version("go 1.23.4\ntoolchain go1.22.1\n", None), is("go1.23.4", Origin::Line));
        assert_eq!(version("go 1.23\ntoolchain default\n", None), is("go1.23", Origin::Line));
        assert!(version("go one", None).unwrap_err().contains("cannot be read"));
        assert!(version("go 1.25", Some("devel")).unwrap_err().contains("GOVERSION"));
        assert!(version("go 1.10", None).unwrap_err().contains("does not support Go modules"));
        let module = read_text("// +heroku install ./cmd/... ./x\nmodule \"example.com/a\"\n", None).unwrap();
        assert_eq!(
            (module.name.as_str(), module.install.as_deref()),
            ("example.com/a", Some("./cmd/... ./x"))
        );
    }

    #[test]
    fn tools_of_before_modules_are_refused_in_herokus_words() {
        for (file, tool) in [
            ("Gopkg.lock", "dep"),
            ("Godeps/Godeps.json", "godep"),
            ("vendor/vendor.json", "govendor"),
            ("glide.yaml", "glide"),
            ("src/example.com/cmd/main.go", "gb"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
            assert!(is_go(folder.path()), "{file}");
            let said = read(folder.path(), None).unwrap_err();
            assert!(said.contains(&format!("appears to use '{tool}'")), "{said}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(!is_go(empty.path()));
        assert_eq!(read(empty.path(), None), Err("Error: A go.mod file is required.".to_owned()));
    }
}
