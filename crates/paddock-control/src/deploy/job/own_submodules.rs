//! Submodules with a relative address: repositories of other apps of this server. They are taken from disk, with the
//! rights of who pushed, and never asked for over the network, where a build has no rights at all.

use std::path::Path;

use bytes::Bytes;
use paddock_build::BuildLog;
use paddock_build::git::{GitError, Submodule};
use paddock_core::ErrorId;
use paddock_store::{App, Build};

use crate::deploy::Deploy;
use crate::{Error, Result};

/// Adds them to the source in `tar`, and returns the other ones, which the build fetches by itself.
///
/// # Errors
/// `invalid_params` with a sentence for the output when one leads nowhere that the pusher may see.
pub(super) async fn add(
    deploy: &Deploy,
    app: &App,
    build: &Build,
    submodules: Vec<Submodule>,
    tar: &Path,
    log: &BuildLog,
) -> Result<Vec<Submodule>> {
    if submodules.is_empty() {
        return Ok(submodules);
    }
    let urls = deploy.repositories.submodule_urls(app.id, &build.source).await;
    let urls = urls.map_err(|error| Error::internal("read .gitmodules", error))?;
    let mut elsewhere = Vec::new();
    for submodule in submodules {
        let url = urls.get(&submodule.path).map(String::as_str).unwrap_or_default();
        if !url.starts_with("./") && !url.starts_with("../") {
            elsewhere.push(submodule);
            continue;
        }
        let other = named_app(url).ok_or_else(|| {
            Error::invalid(format!(
                "Submodule {} cannot be fetched: a relative address must be ../NAME.git, an app of this server",
                submodule.path
            ))
        })?;
        add_one(deploy, build, &submodule, other, tar).await?;
        let text = format!("-----> Submodule {} from {other}, an app of this server\n", submodule.path);
        // Nobody needs to read for the build to go on.
        let _ = log.send(Bytes::from(text)).await;
    }
    Ok(elsewhere)
}

async fn add_one(
    deploy: &Deploy,
    build: &Build,
    submodule: &Submodule,
    name: &str,
    tar: &Path,
) -> Result<()> {
    let Submodule { path, commit } = submodule;
    let other = match deploy.kernel.app_visible_to(build.account_id, name).await {
        Ok(other) => other,
        Err(error) if error.id == ErrorId::InternalServerError => return Err(error),
        Err(_) => {
            return Err(Error::invalid(format!(
                "Submodule {path} cannot be fetched: there is no app {name} on this server that you may see"
            )));
        }
    };
    let found = deploy.repositories.resolve(other.id, commit).await;
    let found = found.map_err(|error| Error::internal("look for a submodule's commit", error))?;
    if found.as_ref() != Some(commit) {
        return Err(Error::invalid(format!(
            "Submodule {path} could not be fetched at {commit}: push that commit to {name} first"
        )));
    }
    match deploy.repositories.add_to_archive(other.id, commit, path, tar).await {
        Ok(()) => Ok(()),
        Err(error @ GitError::Failed { .. }) => Err(Error::internal("read the commit of a submodule", error)),
        Err(error) => Err(unreadable("add a submodule to the source", error)),
    }
}

/// The app that a relative address names. It is relative to this repository's own, `https://HOST/APP.git`.
fn named_app(url: &str) -> Option<&str> {
    let name = url.strip_prefix("../")?;
    let name = name.strip_suffix('/').unwrap_or(name);
    let name = name.strip_suffix(".git").unwrap_or(name);
    (!name.is_empty() && !name.contains('/') && name != "..").then_some(name)
}

/// What is too large is the pusher's to mend.
pub(super) fn unreadable(doing: &'static str, error: GitError) -> Error {
    match error {
        GitError::ArchiveTooLarge { limit, .. } => Error::invalid(format!(
            "The files of this commit, with its submodules, have more than {} MB. Take large files out of the repository: a slug \
             holds at most 500 MB compressed",
            limit >> 20
        )),
        error => Error::internal(doing, error),
    }
}

#[cfg(test)]
mod tests {
    use super::named_app;

    #[test]
    fn a_relative_address_names_an_app_beside_this_one() {
        for url in ["../lib.git", "../lib", "../lib.git/"] {
            assert_eq!(named_app(url), Some("lib"), "{url}");
        }
        for url in ["./lib.git", "../../lib.git", "../", "../..", "../a/b.git", "../.git"] {
            assert_eq!(named_app(url), None, "{url}");
        }
    }
}
