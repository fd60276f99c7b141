//! The source comes in: unpacked, completed, narrowed and thinned. Source: `docs/contract/buildpacks.md`, section 1.

use std::fs;
use std::path::Path;

use super::fetch::Git;
use super::screen;
use super::session::{self, Session};
use super::stop::Stop;
use crate::plan::{ArchiveKind, BuildPlan, RunnerFailure};
use crate::source::slugignore::{self, Slugignore};
use crate::source::{lfs_pointers, project_folder, remove_any, single_folder};

/// Fills `build_dir`, which does not exist yet, and says what was done to the source.
pub(super) fn check_out(
    session: &Session,
    git: &Git,
    plan: &BuildPlan,
    source: &Path,
    project_path: Option<&str>,
    build_dir: &Path,
) -> Result<(), Stop> {
    unpack(session, source, build_dir)?;
    match plan.archive {
        ArchiveKind::GitTar => fetch_submodules(session, git, plan, build_dir)?,
        ArchiveKind::Uploaded => {
            if let Some(top) = single_folder(build_dir).map_err(Stop::io("could not read the source"))? {
                replace_by(build_dir, &top)?;
            }
        }
    }
    if let Some(path) = project_path.filter(|path| !path.is_empty()) {
        let Some(folder) = project_folder(build_dir, path) else {
            let problem = format!("PROJECT_PATH is set to {path:?}, which is not a folder of the source");
            return Err(Stop::told(RunnerFailure::Source, &problem));
        };
        screen::step(&format!("Building the folder {path} (PROJECT_PATH)"));
        replace_by(build_dir, &folder)?;
    }
    Ok(())
}

/// Tar finds out by itself how an archive is compressed.
fn unpack(session: &Session, source: &Path, build_dir: &Path) -> Result<(), Stop> {
    fs::create_dir(build_dir).map_err(Stop::io("could not make the build folder"))?;
    let mut tar = session.plain("tar");
    tar.args(["--extract", "--no-same-owner", "--no-same-permissions"]);
    tar.arg("--directory").arg(build_dir).arg("--file").arg(source);
    session::must(tar).map_err(|error| {
        Stop::told(RunnerFailure::Source, &format!("The source archive could not be unpacked: {error}"))
    })
}

/// Puts `inner`, a folder inside `folder`, into its place.
fn replace_by(folder: &Path, inner: &Path) -> Result<(), Stop> {
    let aside = folder.with_extension("inner");
    fs::rename(inner, &aside)
        .and_then(|()| fs::remove_dir_all(folder))
        .and_then(|()| fs::rename(&aside, folder))
        .map_err(Stop::io("could not narrow the source"))
}

pub(super) fn ignore(build_dir: &Path) -> Result<(), Stop> {
    let file = build_dir.join(slugignore::FILE_NAME);
    let Ok(metadata) = fs::metadata(&file) else { return Ok(()) };
    let too_large = || {
        let problem = "The .slugignore cannot be used: it may have 2,000 patterns and 64 KB";
        Stop::told(RunnerFailure::Source, problem)
    };
    if !metadata.is_file() || metadata.len() > slugignore::BYTES_MAX {
        return Err(too_large());
    }
    let Ok(patterns) = fs::read(&file).map(|text| Slugignore::parse(&text)) else { return Ok(()) };
    if patterns.count() > slugignore::PATTERNS_MAX {
        return Err(too_large());
    }
    let deleted = patterns.apply(build_dir).map_err(Stop::io("could not apply .slugignore"))?;
    if deleted > 0 {
        screen::step(&format!("Deleting {deleted} files matching .slugignore patterns."));
    }
    Ok(())
}

pub(super) fn warn_of_pointers(build_dir: &Path) -> Result<(), Stop> {
    let pointers = lfs_pointers(build_dir).map_err(Stop::io("could not read the source"))?;
    if !pointers.is_empty() {
        let names: Vec<_> = pointers.iter().map(|path| path.display().to_string()).collect();
        screen::warning(&format!(
            "Git LFS files are deployed as pointers, without their content: {}\nGit LFS is not supported by this platform.",
            names.join(", ")
        ));
    }
    Ok(())
}

/// Fetches what `.gitmodules` names, each at the commit that the tree has. A failing one rejects the push.
fn fetch_submodules(session: &Session, git: &Git, plan: &BuildPlan, build_dir: &Path) -> Result<(), Stop> {
    if plan.submodules.is_empty() {
        return Ok(());
    }
    screen::step("Fetching submodules");
    for submodule in &plan.submodules {
        let url = submodule_url(session, git, build_dir, &submodule.path).ok_or_else(|| {
            let problem = format!("Submodule {} has no URL in .gitmodules", submodule.path);
            Stop::told(RunnerFailure::Source, &problem)
        })?;
        if !url.starts_with("https://") && !git.is_insecure() {
            let problem = format!(
                "Submodule {} cannot be fetched: only https:// URLs are supported for submodules",
                submodule.path
            );
            return Err(Stop::told(RunnerFailure::Source, &problem));
        }
        // The URL may hold a password: it is not shown.
        screen::detail(&submodule.path);
        fetch_submodule(session, git, &url, &submodule.commit, &build_dir.join(&submodule.path)).map_err(
            |_| {
                let problem =
                    format!("Submodule {} could not be fetched at {}", submodule.path, submodule.commit);
                Stop::told(RunnerFailure::Source, &problem)
            },
        )?;
    }
    remove_any(&build_dir.join(".gitmodules")).map_err(Stop::io("could not remove .gitmodules"))
}

fn submodule_url(session: &Session, git: &Git, build_dir: &Path, path: &str) -> Option<String> {
    let config = |arguments: &[&str]| {
        let mut command = git.command(session);
        command.args(["config", "--file"]).arg(build_dir.join(".gitmodules")).args(arguments);
        let captured = session::capture(command).ok()?;
        captured.status.success().then(|| String::from_utf8_lossy(&captured.stdout).into_owned())
    };
    // KEY LF VALUE NUL: the section whose path is this one. Its name may hold anything but these two.
    let paths = config(&["--null", "--get-regexp", r"^submodule\..*\.path$"])?;
    let key = paths.split('\0').find_map(|entry| {
        let (key, value) = entry.split_once('\n')?;
        (value == path).then(|| key.strip_suffix(".path"))?
    })?;
    Some(config(&["--get", &format!("{key}.url")])?.trim_end().to_owned())
}

fn fetch_submodule(
    session: &Session,
    git: &Git,
    url: &str,
    commit: &str,
    folder: &Path,
) -> std::io::Result<()> {
    let _ = fs::remove_dir_all(folder);
    for arguments in [
        &["clone", "--quiet", "--no-checkout", "--", url][..],
        &["checkout", "--quiet", commit, "--"],
        &["submodule", "--quiet", "update", "--init", "--recursive"],
    ] {
        let mut command = git.command(session);
        if arguments[0] != "clone" {
            command.arg("-C").arg(folder);
        }
        command.args(arguments);
        if arguments[0] == "clone" {
            command.arg(folder);
        }
        session::must(command)?;
    }
    remove_git_folders(folder)
}

/// `.git` of a submodule and, as files, of those inside it.
fn remove_git_folders(folder: &Path) -> std::io::Result<()> {
    remove_any(&folder.join(".git"))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_git_folders(&entry.path())?;
        }
    }
    Ok(())
}
