//! What a registry has: tags of a repository, repositories that one may see, manifests that are about another.

use paddock_core::BlobDigest;
use paddock_images::oci::Manifest;
use paddock_store::Manifest as Row;
use serde_json::{Value, json};

use super::Images;
use super::access::{Action, Caller, RepositoryName};
use super::error::RegistryResult;
use super::manifest::unpushed;

/// The most that one answer names.
const PAGE_MAX: u32 = 1000;

/// The manifests that one list of referrers is made of come to about as much: what is said of each is listed with it.
const REFERRERS_BYTES_MAX: u32 = 4 << 20;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub names: Vec<String>,
    /// How many were asked for, if there are more of them.
    pub next: Option<u32>,
}

/// A part of the manifests that are about another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrers {
    /// As an index of images.
    pub index: Value,
    /// The last one, if there may be more after it.
    pub next: Option<BlobDigest>,
}

impl Page {
    /// The first `max` of these, which may be one more.
    fn of(mut names: Vec<String>, max: u32) -> Self {
        let length = as_length(max);
        let has_more = names.len() > length;
        names.truncate(length);
        Self { next: (has_more && !names.is_empty()).then_some(max), names }
    }
}

impl Images {
    /// The tags of a repository in order, those after `last`, at most `max`.
    ///
    /// # Errors
    /// `NAME_UNKNOWN`, `NAME_INVALID`.
    pub async fn tags(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        max: Option<u32>,
        last: &str,
    ) -> RegistryResult<Page> {
        let opened = self.open(caller, name, Action::Pull).await?;
        let (app, repository) = (opened.app.id, &opened.repository);
        let max = max.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let tags = self.kernel.store.registry_tags(app, repository, last, max + 1).await?;
        if tags.is_empty() && !self.kernel.store.has_repository(app, repository).await? {
            return Err(unpushed(name));
        }
        Ok(Page::of(tags.into_iter().map(|tag| tag.to_string()).collect(), max))
    }

    /// The repositories of the apps that the caller works on, in order, those after `last`, at most `max`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn catalog(&self, caller: &Caller, max: Option<u32>, last: &str) -> RegistryResult<Page> {
        let max = max.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let listed = self.kernel.store.repositories_of(caller.actor.account_id).await?;
        let mut names: Vec<_> =
            listed.into_iter().map(|listed| format!("{}/{}", listed.app, listed.repository)).collect();
        names.sort_unstable();
        let more = names.into_iter().filter(|name| name.as_str() > last);
        Ok(Page::of(more.take(usize::try_from(max).unwrap_or(0) + 1).collect(), max))
    }

    /// The manifests of the repository that are about this one, as an index; of one kind, if that is asked for. Those after
    /// `last`, and of many a part, which may have none of that kind.
    ///
    /// # Errors
    /// `NAME_UNKNOWN`, `NAME_INVALID`.
    pub async fn referrers(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        digest: &BlobDigest,
        kind: Option<&str>,
        last: &str,
    ) -> RegistryResult<Referrers> {
        let opened = self.open(caller, name, Action::Pull).await?;
        let (app, repository) = (opened.app.id, &opened.repository);
        let store = &self.kernel.store;
        let about =
            store.manifests_about(app, repository, digest, last, (PAGE_MAX, REFERRERS_BYTES_MAX)).await?;
        let bytes: usize = about.iter().map(|manifest| manifest.content.len()).sum();
        let is_full = about.len() >= as_length(PAGE_MAX) || bytes >= as_length(REFERRERS_BYTES_MAX);
        let next = about.last().filter(|_| is_full).map(|manifest| manifest.digest.clone());
        let descriptors: Vec<_> = about.iter().filter_map(|manifest| descriptor(manifest, kind)).collect();
        let index = json!({
            "schemaVersion": 2,
            "mediaType": paddock_core::registry::MediaType::OciIndex.as_str(),
            "manifests": descriptors,
        });
        Ok(Referrers { index, next })
    }
}

fn as_length(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A manifest as an index names it, if it is of this kind.
fn descriptor(row: &Row, kind: Option<&str>) -> Option<Value> {
    let manifest = Manifest::read(row.content.as_bytes(), row.media_type.as_str()).ok()?;
    if kind.is_some_and(|kind| manifest.artifact_type() != Some(kind)) {
        return None;
    }
    let mut descriptor = json!({
        "mediaType": row.media_type.as_str(),
        "digest": row.digest.to_string(),
        "size": row.content.len(),
    });
    if let Some(artifact_type) = manifest.artifact_type() {
        descriptor["artifactType"] = artifact_type.into();
    }
    if !manifest.annotations().is_empty() {
        descriptor["annotations"] = json!(manifest.annotations());
    }
    Some(descriptor)
}
