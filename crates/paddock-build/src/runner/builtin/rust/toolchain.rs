//! Which Rust builds an app: that of the app's last build, the stack's if it is the one, what rustup fetches, and else
//! the stack's if it is new enough.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::BuiltinBuild;
use super::super::semver::Version;
use super::config::Wanted;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;
use crate::source::{remove_any, single_folder};

/// Where it is kept, in the cache.
const KEPT: &str = "rust/toolchain";
/// What the kept one was fetched for, and whether it is the stack's.
const KEPT_FOR: &str = "rust/toolchain.for";
/// Where rustup is, if the operator names no other place in `RUSTUP_UPDATE_ROOT`.
const DOWNLOADS: &str = "https://static.rust-lang.org/rustup";

/// How long rustup itself may take to come.
const DOWNLOAD_SECONDS: u32 = 120;

/// A Rust.
#[derive(Debug, Clone)]
pub(super) struct Toolchain {
    /// As cargo says it.
    pub(super) version: Version,
    /// The folder of its programs.
    pub(super) programs: PathBuf,
}

/// Chooses; `None` when there is none that fits, which the user has been told.
pub(super) fn choose(build: &BuiltinBuild<'_>, wanted: &Wanted) -> Result<Option<Toolchain>, Stop> {
    let stacks = stacks(build);
    if let Some(kept) = kept(build, wanted, stacks.as_ref()) {
        screen::step(&format!("Using Rust {}, as in the last build", kept.version));
        return Ok(Some(kept));
    }
    if let Some(stacks) = stacks.as_ref().filter(|stacks| is_exactly(wanted, stacks.version)) {
        screen::step(&format!("Using the stack's Rust {}", stacks.version));
        return Ok(stacks.clone().into());
    }
    let said = match fetch(build, wanted)? {
        Ok(found) => {
            note(build, wanted, "rustup")?;
            return Ok(Some(found));
        }
        Err(said) => said,
    };
    match stacks.filter(|stacks| stands_in(wanted, stacks.version)) {
        Some(stacks) => {
            screen::warning(&format!(
                "rustup and Rust {} could not be fetched: the stack's Rust {} builds the app instead.",
                wanted.channel, stacks.version
            ));
            note(build, wanted, "stack")?;
            Ok(Some(stacks))
        }
        None => {
            refuse(build, wanted, &said);
            Ok(None)
        }
    }
}

fn refuse(build: &BuiltinBuild<'_>, wanted: &Wanted, said: &str) {
    let Some(stacks) = stacks(build) else {
        screen::warning(
            "This stack has no Rust, and rustup could not fetch one: its operator has to install the packages cargo and\n\
             rustc, or give builds a way to static.rust-lang.org.",
        );
        screen::detail(said.trim());
        return;
    };
    let asks =
        wanted.file.map_or_else(String::new, |file| format!("{file} asks for Rust {}, ", wanted.channel));
    screen::warning(&format!(
        "{asks}which could not be fetched; the stack has {}. Ask for that one, or push again when rustup can be reached.",
        stacks.version
    ));
    screen::detail(said.trim());
}

/// Whether a version is the one that is asked for by its number.
fn is_exactly(wanted: &Wanted, version: Version) -> bool {
    let plain = wanted.components.is_empty() && wanted.targets.is_empty();
    let text = version.to_string();
    plain
        && (wanted.channel == text
            || text.rsplit_once('.').is_some_and(|(series, _)| wanted.channel == series))
}

/// Whether a version builds what is written for the one that is asked for, as later ones do.
fn stands_in(wanted: &Wanted, version: Version) -> bool {
    if !wanted.targets.is_empty() {
        return false;
    }
    let mut numbers = wanted.channel.split('.').map(str::parse::<u64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor)), patch) => {
            Version(major, minor, patch.and_then(Result::ok).unwrap_or(0)) <= version
        }
        _ => wanted.channel == "stable",
    }
}

fn key(build: &BuiltinBuild<'_>, wanted: &Wanted, from: &str) -> String {
    let Wanted { channel, components, targets, .. } = wanted;
    format!("{from} {channel} {components:?} {targets:?} {}", build.build.plan.stack_version)
}

fn note(build: &BuiltinBuild<'_>, wanted: &Wanted, from: &str) -> Result<(), Stop> {
    build.cache("rust")?;
    fs::write(build.build.cache.cache_dir().join(KEPT_FOR), key(build, wanted, from))
        .map_err(Stop::io("could not keep Rust"))
}

/// The one of the app's last build.
fn kept(build: &BuiltinBuild<'_>, wanted: &Wanted, stacks: Option<&Toolchain>) -> Option<Toolchain> {
    let kept_for = fs::read_to_string(build.build.cache.find(KEPT_FOR)?).ok()?;
    if kept_for == key(build, wanted, "stack") {
        return stacks.filter(|stacks| stands_in(wanted, stacks.version)).cloned();
    }
    if kept_for != key(build, wanted, "rustup") {
        return None;
    }
    at(build, build.build.cache.find(KEPT)?.join("bin"))
}

/// The Rust whose programs are in a folder, if it runs.
fn at(build: &BuiltinBuild<'_>, programs: PathBuf) -> Option<Toolchain> {
    let program = programs.join("cargo");
    if !program.is_file() || !programs.join("rustc").is_file() {
        return None;
    }
    let mut cargo = build.build.session.plain(program);
    cargo.arg("--version");
    let captured = session::capture(cargo).ok().filter(|captured| captured.status.success())?;
    let said = String::from_utf8_lossy(&captured.stdout).into_owned();
    Some(Toolchain { version: Version::parse(said.split_whitespace().nth(1)?)?, programs })
}

fn stacks(build: &BuiltinBuild<'_>) -> Option<Toolchain> {
    build.build.session.path().split(':').find_map(|folder| at(build, Path::new(folder).to_owned()))
}

/// Has rustup fetch it; or what was said.
fn fetch(build: &BuiltinBuild<'_>, wanted: &Wanted) -> Result<Result<Toolchain, String>, Stop> {
    let cache = build.cache("rust")?;
    let (next, folder) = (cache.join("next"), cache.join("toolchain"));
    remove_any(&next)
        .and_then(|()| remove_any(&folder))
        .and_then(|()| fs::create_dir(&next))
        .map_err(Stop::io("could not prepare Rust's folder"))?;
    let fetched = install(build, wanted, &next);
    let got = match fetched {
        Ok(toolchain) => {
            fs::rename(toolchain, &folder).map_err(Stop::io("could not keep Rust"))?;
            at(build, folder.join("bin"))
                .ok_or_else(|| "The Rust that was fetched does not run here.".to_owned())
        }
        Err(error) => Err(error.to_string()),
    };
    remove_any(&next).map_err(Stop::io("could not remove what was fetched"))?;
    Ok(got)
}

/// Gives the folder of the one toolchain that was installed.
fn install(build: &BuiltinBuild<'_>, wanted: &Wanted, next: &Path) -> io::Result<PathBuf> {
    let site = &build.build.plan.site_env;
    let root = site.get("RUSTUP_UPDATE_ROOT").map_or(DOWNLOADS, |root| root.trim_end_matches('/'));
    let program = next.join("rustup-init");
    screen::step("Downloading rustup");
    let protocols = if root.starts_with("http:") { "=https,http" } else { "=https" };
    let address = format!("{root}/dist/{}-unknown-linux-gnu/rustup-init", std::env::consts::ARCH);
    build.download(&address, &program, protocols, DOWNLOAD_SECONDS)?;
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    screen::step(&format!("Using rustup to install Rust channel {}", wanted.channel));
    let mut rustup = build.build.session.plain(&program);
    rustup
        .args(["-y", "--no-modify-path", "--profile", "minimal", "--default-toolchain", &wanted.channel])
        .args(wanted.components.iter().flat_map(|name| ["--component", name]))
        .args(wanted.targets.iter().flat_map(|name| ["--target", name]))
        .env("RUSTUP_HOME", next.join("rustup"))
        .env("CARGO_HOME", next.join("cargo"))
        .env("RUSTUP_INIT_SKIP_PATH_CHECK", "yes")
        .env("RUSTUP_USE_CURL", "1");
    session::must(rustup)?;
    single_folder(&next.join("rustup/toolchains"))?
        .ok_or_else(|| io::Error::other("rustup installed no toolchain, or several"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_rust_stands_in_for_an_earlier_one() {
        let wanted = |channel: &str| Wanted {
            channel: channel.to_owned(),
            components: Vec::new(),
            targets: Vec::new(),
            file: None,
        };
        let version = Version(1, 96, 1);
        for (channel, exactly, instead) in [
            ("stable", false, true),
            ("1.96.1", true, true),
            ("1.96", true, true),
            ("1.25.0", false, true),
            ("1.96.2", false, false),
            ("1.97", false, false),
            ("nightly", false, false),
            ("nightly-2026-01-01", false, false),
        ] {
            assert_eq!(is_exactly(&wanted(channel), version), exactly, "{channel}");
            assert_eq!(stands_in(&wanted(channel), version), instead, "{channel}");
        }
        let other = Wanted { targets: vec!["wasm32-unknown-unknown".into()], ..wanted("1.96") };
        assert!(!is_exactly(&other, version) && !stands_in(&other, version));
    }
}
