//! A commit that was built before, of the same buildpacks, stack and config vars: what that build made is released at once.
//!
//! It counts only where all that a build is made of is known before it begins: what is fetched for an archive is, and a repository
//! is another one by now, unless it is named by its commit. `builds:cache:purge` has the next build do everything anew.

use std::collections::BTreeMap;

use paddock_core::config::ConfigVars;
use paddock_store::{Build, Slug, SourceKind};
use sha2::{Digest, Sha256};

use crate::deploy::Deploy;
use crate::deploy::buildpack::resolve::{self, Resolved};
use crate::{Error, Result};

/// What a build was made of before.
pub(super) struct Before {
    pub(super) slug: Slug,
    /// The release that the build was of.
    pub(super) version: Option<i64>,
}

/// A key of everything that a build is made of in which this ran for its buildpacks, by [`resolve::texts`]; `None` where something
/// of it is not known.
pub(super) async fn key_of(
    deploy: &Deploy,
    build: &Build,
    config: &ConfigVars,
    buildpacks: &[String],
) -> Result<Option<String>> {
    if build.source_kind != SourceKind::Git || build.stack.is_container() {
        return Ok(None);
    }
    let stack = deploy.kernel.version_of_build(build);
    let mut hash = Sha256::new();
    let words = [&deploy.kernel.config.program[..], &build.source, stack.stack.as_str(), &stack.version];
    let config = config.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let buildpacks = buildpacks.iter().map(String::as_bytes);
    for part in words.into_iter().map(str::as_bytes).chain(buildpacks).chain([&b""[..]]).chain(config) {
        // Each part with its length: moving bytes between parts makes another key.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    // Config vars are secrets: without the server's key nobody finds out by trying.
    let mac = aws_lc_rs::hmac::sign(&deploy.stream_key().await?, &[b"build", &hash.finalize()[..]].concat());
    Ok(Some(paddock_core::hex(mac.as_ref())))
}

/// What a build of the same made before, if that is still there.
pub(super) async fn find(
    deploy: &Deploy,
    build: &Build,
    config: &ConfigVars,
    resolved: &Resolved,
) -> Result<Option<Before>> {
    let store = &deploy.kernel.store;
    let detects = resolved.references.is_empty();
    let ran = if detects { Some(Vec::new()) } else { resolved.ran(&BTreeMap::new()) };
    let Some(ran) = ran else { return Ok(None) };
    let Some(key) = key_of(deploy, build, config, &resolve::texts(&ran)).await? else { return Ok(None) };
    let Some(before) = store.build_made_of(build.app_id, &key).await? else { return Ok(None) };
    let Some(slug) = before.slug_id else { return Ok(None) };
    let Some(slug) = store.slug(slug).await? else { return Ok(None) };
    let Ok(layer) = slug.layer.parse() else { return Ok(None) };
    let is_there = deploy.layers.has(&layer).await;
    if !is_there.map_err(|error| Error::internal("look for a slug", error))? {
        return Ok(None);
    }
    let release = match before.release_id {
        Some(id) => store.release(build.app_id, id).await?,
        None => None,
    };
    Ok(Some(Before { slug, version: release.map(|release| release.version) }))
}

/// What its pusher reads.
pub(super) fn told(build: &Build, before: &Before) -> String {
    let commit: String = build.source.chars().take(8).collect();
    let release = before.version.map(|version| format!(" for v{version}")).unwrap_or_default();
    format!(
        "-----> Commit {commit} was built before{release}\n       \
         Buildpacks, stack and config vars are the same: what that build made is used.\n       \
         To build it anew: heroku builds:cache:purge, and push again.\n\n"
    )
}
