//! What a Rust app says of its build: `rust-toolchain.toml`, `rust-toolchain` and `RustConfig`.
//! Names: rustup's documentation and emk's buildpack.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::source::text;

/// The largest of these files, in bytes.
const BYTES_MAX: u64 = 64 * 1024;
/// What is built with when nothing says more.
const DEFAULT: &str = "stable";

/// How an app is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) wanted: Wanted,
    pub(super) skips_build: bool,
    /// The folder of its `Cargo.toml`, below the app.
    pub(super) path: String,
    pub(super) flags: Vec<String>,
    /// Lines of `RustConfig` that could not be read.
    pub(super) skipped: Vec<usize>,
}

/// The Rust that it asks for, in rustup's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) channel: String,
    pub(super) components: Vec<String>,
    pub(super) targets: Vec<String>,
    /// What asks; `None` for the default.
    pub(super) file: Option<&'static str>,
}

/// Reads them, or says what is wrong.
pub(super) fn read(app: &Path) -> Result<Config, String> {
    let (settings, skipped) = settings(app)?;
    let setting = |name: &str| settings.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if ["URL", "CARGO_URL", "CARGO_VERSION"].iter().any(|name| setting(name).is_some()) {
        return Err("RustConfig has URL, CARGO_URL or CARGO_VERSION, of a time before rustup: take them away, and name\n\
                    the version of Rust alone, as in VERSION=1.96.0."
            .to_owned());
    }
    if setting("RUST_INSTALL_DIESEL") == Some("1") {
        return Err("RUST_INSTALL_DIESEL in RustConfig is not supported here: run migrations from the app's own binary\n\
                    (crate diesel_migrations), in a release process."
            .to_owned());
    }
    let path = setting("BUILD_PATH").unwrap_or("").trim_matches('/').to_owned();
    if path.split('/').any(|part| part == "..") {
        return Err(format!("BUILD_PATH in RustConfig leads out of the app: {path:?}"));
    }
    let wanted = match (setting("VERSION"), toolchain_file(app, &path)?) {
        (Some(version), _) => Wanted {
            channel: version.to_owned(),
            components: Vec::new(),
            targets: Vec::new(),
            file: Some("RustConfig"),
        },
        (None, Some(wanted)) => wanted,
        (None, None) => {
            Wanted { channel: DEFAULT.to_owned(), components: Vec::new(), targets: Vec::new(), file: None }
        }
    };
    let words = [&[wanted.channel.clone()][..], &wanted.components, &wanted.targets].concat();
    if let Some(odd) = words.iter().find(|word| !is_name(word)) {
        let file = wanted.file.unwrap_or_default();
        return Err(format!(
            "The version of Rust in {file} cannot be read: {odd:?}\nIt must be like stable, 1.96 or 1.96.0."
        ));
    }
    let flags = setting("RUST_CARGO_BUILD_FLAGS").unwrap_or("--release");
    Ok(Config {
        wanted,
        skips_build: setting("RUST_SKIP_BUILD") == Some("1"),
        path,
        flags: flags.split_whitespace().map(str::to_owned).collect(),
        skipped,
    })
}

/// What may be an argument of rustup, and is no option.
fn is_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(['-', '.'])
        && word.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

fn read_small(path: &Path) -> Result<Option<String>, String> {
    let Some(metadata) = fs::metadata(path).ok().filter(fs::Metadata::is_file) else { return Ok(None) };
    let name = path.file_name().unwrap_or_default().display().to_string();
    if metadata.len() > BYTES_MAX {
        return Err(format!("{name} is larger than 64 KB."));
    }
    text::read(path).map(Some).map_err(|error| format!("{name} cannot be read: {error}"))
}

/// The settings of `RustConfig`, a file for a shell of which assignments alone are read, and the lines that are none.
fn settings(app: &Path) -> Result<(BTreeMap<String, String>, Vec<usize>), String> {
    let text = read_small(&app.join("RustConfig"))?.unwrap_or_default();
    let (mut settings, mut skipped) = (BTreeMap::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match assignment(line.strip_prefix("export ").unwrap_or(line).trim()) {
            Some((name, value)) => drop(settings.insert(name, value)),
            None => skipped.push(number + 1),
        }
    }
    Ok((settings, skipped))
}

fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let is_variable = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].split(quote).next()?,
        _ => value.split_whitespace().next().unwrap_or_default(),
    };
    (is_variable && !value.contains(['$', '`'])).then(|| (name.to_owned(), value.to_owned()))
}

/// What the file of rustup says, of the package's folder or the app's.
fn toolchain_file(app: &Path, path: &str) -> Result<Option<Wanted>, String> {
    for folder in [app.join(path), app.to_owned()] {
        for file in ["rust-toolchain", "rust-toolchain.toml"] {
            let Some(text) = read_small(&folder.join(file))? else { continue };
            if !text.contains('[') {
                let wanted = Wanted {
                    channel: text.trim().to_owned(),
                    components: Vec::new(),
                    targets: Vec::new(),
                    file: Some(file),
                };
                return Ok(Some(wanted));
            }
            return toolchain_table(&text, file).map(Some);
        }
    }
    Ok(None)
}

/// The table `[toolchain]`, as far as it is written as it usually is.
fn toolchain_table(text: &str, file: &'static str) -> Result<Wanted, String> {
    let mut lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.by_ref().find(|line| *line == "[toolchain]");
    let table: String =
        lines.take_while(|line| !line.starts_with('[')).map(|line| format!("{line} ")).collect();
    let value = |name: &str| {
        let mut rest = table.as_str();
        loop {
            let (before, after) = rest.split_once(name)?;
            let is_key = before.trim_end().is_empty() || before.trim_end().ends_with(['"', '\'', ']']);
            if let Some(value) = after.trim_start().strip_prefix('=').filter(|_| is_key) {
                return Some(value.trim_start());
            }
            rest = after;
        }
    };
    let quoted = |text: &str| -> Vec<String> {
        text.split(['"', '\'']).skip(1).step_by(2).map(str::to_owned).collect()
    };
    let list = |name: &str| {
        value(name).map(|list| quoted(list.split(']').next().unwrap_or_default())).unwrap_or_default()
    };
    if value("path").is_some() {
        return Err(format!(
            "{file} names a Rust by its path, and there is none: name a channel, such as 1.96.0."
        ));
    }
    let channel = value("channel").and_then(|text| quoted(text).into_iter().next());
    Ok(Wanted {
        channel: channel.unwrap_or_else(|| DEFAULT.to_owned()),
        components: list("components"),
        targets: list("targets"),
        file: Some(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(files: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        read(folder.path())
    }

    #[test]
    fn a_version_is_read_from_each_file_that_has_one() {
        let channel = |files: &[_]| config(files).map(|config| (config.wanted.channel, config.wanted.file));
        let is = |channel: &str, file| Ok((channel.to_owned(), file));
        assert_eq!(channel(&[]), is("stable", None));
        let old = ("rust-toolchain", "1.25.0\n");
        assert_eq!(channel(&[old]), is("1.25.0", Some("rust-toolchain")));
        assert_eq!(channel(&[old, ("RustConfig", "VERSION=nightly\n")]), is("nightly", Some("RustConfig")));
        let table = "# pinned\n[toolchain]\nprofile = 'minimal'\nchannel = \"1.96.1\" # why\n\n[x]\nchannel = \"2\"\n";
        assert_eq!(channel(&[("rust-toolchain.toml", table)]), is("1.96.1", Some("rust-toolchain.toml")));
        assert_eq!(channel(&[("rust-toolchain", table)]), is("1.96.1", Some("rust-toolchain")));
        let lists = "[toolchain]\ncomponents = [\n \"rust-src\",\n 'clippy' ]\ntargets = [\"wasm32-unknown-unknown\"]\n";
        let wanted = config(&[("rust-toolchain.toml", lists)]).unwrap().wanted;
        assert_eq!(
            (wanted.components, wanted.targets),
            (vec!["rust-src".into(), "clippy".into()], vec!["wasm32-unknown-unknown".into()])
        );
        assert_eq!(wanted.channel, "stable");
        for (name, text) in [
            ("rust-toolchain", "--help"),
            ("rust-toolchain", "1.2 3"),
            ("rust-toolchain", ""),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"/x\""),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"stable\"\ncomponents = [\"-x\"]"),
        ] {
            let said = config(&[(name, text)]).unwrap_err();
            assert!(said.contains(&format!("in {name} cannot be read")), "{text}: {said}");
        }
        assert!(
            config(&[("rust-toolchain.toml", "[toolchain]\npath = \"/x\"")])
                .unwrap_err()
                .contains("by its path")
        );
    }

    #[test]
    fn rust_config_is_read_like_a_shell_would_its_assignments() {
        let text = "# mine\nexport RUST_SKIP_BUILD=1 # yes\nBUILD_PATH=\"backend/\"\nif true; then\nX=$(date)\nRUST_CARGO_BUILD_FLAGS='--release -p shop'\n";
        let config = config(&[("RustConfig", text)]).unwrap();
        assert!(config.skips_build);
        assert_eq!(config.path, "backend");
        assert_eq!(config.flags, ["--release", "-p", "shop"]);
        assert_eq!(config.skipped, [4, 5]);
        for (text, said) in [
            ("CARGO_URL=x", "before rustup"),
            ("RUST_INSTALL_DIESEL=1", "not supported"),
            ("BUILD_PATH=../x", "leads out of the app"),
        ] {
            let problem = self::config(&[("RustConfig", text)]).unwrap_err();
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }
}
