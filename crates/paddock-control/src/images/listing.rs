//! What a registry has: tags of a repository, repositories that one may see, manifests that are about another.

use paddock_core::BlobDigest;
use paddock_images::oci::Manifest;
use serde_json::{Value, json};

use super::Images;
use super::access::{Action, Caller, RepositoryName};
use super::error::RegistryResult;
use super::manifest::unpushed;

/// The most that one answer names.
const PAGE_MAX: u32 = 1000;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub names: Vec<String>,
    /// How many were asked for, if there are more of them.
    pub next: Option<u32>,
}

impl Page {
    /// The first `max` of these, which may be one more.
    fn of(mut names: Vec<String>, max: u32) -> Self {
        let length = usize::try_from(max).unwrap_or(usize::MAX);
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

    /// The manifests of the repository that are about this one, as an index; of one kind, if that is asked for.
    ///
    /// # Errors
    /// `NAME_UNKNOWN`, `NAME_INVALID`.
    pub async fn referrers(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        digest: &BlobDigest,
        kind: Option<&str>,
    ) -> RegistryResult<Value> {
        let opened = self.open(caller, name, Action::Pull).await?;
        let naming = self.kernel.store.manifests_naming(opened.app.id, &opened.repository, digest).await?;
        let mut about = Vec::new();
        for manifest in naming {
            let Ok(read) = Manifest::read(manifest.content.as_bytes(), manifest.media_type.as_str()) else {
                continue;
            };
            if read.subject().is_none_or(|subject| subject.digest != *digest)
                || kind.is_some_and(|kind| read.artifact_type() != Some(kind))
            {
                continue;
            }
            let mut descriptor = json!({
                "mediaType": manifest.media_type.as_str(),
                "digest": manifest.digest.to_string(),
                "size": manifest.content.len(),
            });
            if let Some(artifact_type) = read.artifact_type() {
                descriptor["artifactType"] = artifact_type.into();
            }
            if !read.annotations().is_empty() {
                descriptor["annotations"] = json!(read.annotations());
            }
            about.push(descriptor);
        }
        Ok(json!({
            "schemaVersion": 2,
            "mediaType": paddock_core::registry::MediaType::OciIndex.as_str(),
            "manifests": about,
        }))
    }
}
