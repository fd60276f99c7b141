//! What lies in the data directory, why, and what of it the next clean-up takes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use paddock_core::plan::reuse;
use paddock_core::{AppId, LayerDigest};

use crate::Result;
use crate::kernel::config::BUILD_CACHE_BYTES_MAX;
use crate::kernel::error::Error;
use crate::platform::Platform;

/// One kind of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageKind {
    pub what: &'static str,
    /// Files, apps or layers.
    pub count: u64,
    pub bytes: u64,
    /// How much of it the next clean-up takes.
    pub freed_bytes: u64,
    /// Until when it is kept.
    pub why: String,
}

/// What one app holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageOfApp {
    pub app: String,
    /// Layers that its releases need; those that it shares with others are counted by each.
    pub layer_bytes: u64,
    pub registry_bytes: u64,
    pub repository_bytes: u64,
    pub build_cache_bytes: u64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    pub kinds: Vec<StorageKind>,
    /// Those that hold the most first.
    pub apps: Vec<StorageOfApp>,
}

impl Platform {
    /// What holds how much of the data directory.
    ///
    /// # Errors
    /// When database or disk cannot be read.
    pub async fn storage(&self) -> Result<Storage> {
        let sizes: BTreeMap<_, _> = self.layer_sizes().await?.into_iter().collect();
        let needed: BTreeSet<LayerDigest> = parsed(self.kernel.store.needed_layers().await?);
        let mut kinds = self.layer_kinds(&sizes, &needed).await?;
        let data = self.kernel.config.data_dir.clone();
        let folders = tokio::task::spawn_blocking(move || folder_kinds(&data)).await;
        let folders = folders.map_err(|error| Error::internal("measure the data directory", error))?;
        kinds.extend(folders.map_err(|error| Error::internal("measure the data directory", error))?);
        Ok(Storage { kinds, apps: self.storage_of_apps(&sizes).await? })
    }

    async fn layer_sizes(&self) -> Result<Vec<(LayerDigest, u64)>> {
        self.layers.list().await.map_err(|error| Error::internal("list layers", error))
    }

    async fn layer_kinds(
        &self,
        sizes: &BTreeMap<LayerDigest, u64>,
        needed: &BTreeSet<LayerDigest>,
    ) -> Result<Vec<StorageKind>> {
        let mut reusable = self.kernel.store.reusable_layers().await?;
        reusable.retain(|one| !needed.contains(&one.layer) && sizes.contains_key(&one.layer));
        let quota = self.kernel.config.layer_cache_bytes;
        let beyond = reuse::beyond(&reusable, quota, self.kernel.now());
        let reusable: BTreeSet<_> = reusable.into_iter().map(|one| one.layer).collect();
        let of = |is_meant: &dyn Fn(&LayerDigest) -> bool| {
            let meant = sizes.iter().filter(|(layer, _)| is_meant(layer));
            meant.fold((0, 0), |(count, bytes), (_, size)| (count + 1, bytes + size))
        };
        let (freed, unnamed) = (
            of(&|layer| beyond.contains(layer)),
            of(&|layer| !needed.contains(layer) && !reusable.contains(layer)),
        );
        let of_stacks: BTreeSet<LayerDigest> = parsed(self.kernel.store.layers_of_stacks().await?);
        let (stacks, kept) = (of(&|layer| of_stacks.contains(layer)), of(&|layer| reusable.contains(layer)));
        let used = of(&|layer| needed.contains(layer) && !of_stacks.contains(layer));
        let kind = |what, (count, bytes), freed_bytes, why: String| StorageKind {
            what,
            count,
            bytes,
            freed_bytes,
            why,
        };
        Ok(vec![
            kind("layers of releases", used, 0, "as long as a release or a pushed image needs them".into()),
            kind(
                "layers of stacks",
                stacks,
                0,
                "the newest version, and earlier ones as long as a slug needs them".into(),
            ),
            kind(
                "layers to use again",
                kept,
                freed.1,
                format!("for the next build or push, the longest unused go beyond {}", shown(quota)),
            ),
            kind("layers of nobody", unnamed, unnamed.1, "ten minutes, then they go".into()),
        ])
    }

    async fn storage_of_apps(&self, sizes: &BTreeMap<LayerDigest, u64>) -> Result<Vec<StorageOfApp>> {
        let store = &self.kernel.store;
        let mut apps = Vec::new();
        for app in store.apps().await? {
            let layers: BTreeSet<LayerDigest> = parsed(store.layers_of_app(app.id).await?);
            let cache = self.kernel.config.data_dir.join("caches").join(app.id.to_string());
            let cached = tokio::task::spawn_blocking(move || held(&cache)).await;
            let cached = cached.map_err(|error| Error::internal("measure a build cache", error))?;
            let (_, build_cache_bytes) =
                cached.map_err(|error| Error::internal("measure a build cache", error))?;
            apps.push(StorageOfApp {
                app: app.name.to_string(),
                layer_bytes: layers.iter().filter_map(|layer| sizes.get(layer)).sum(),
                registry_bytes: self.registry_bytes(app.id).await?,
                repository_bytes: app.repo_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
                build_cache_bytes,
            });
        }
        apps.sort_by_key(|app| (std::cmp::Reverse(app.bytes()), app.app.clone()));
        Ok(apps)
    }

    async fn registry_bytes(&self, app: AppId) -> Result<u64> {
        let bytes = self.kernel.store.registry_blob_bytes(app).await?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

impl StorageOfApp {
    /// All together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.layer_bytes + self.registry_bytes + self.repository_bytes + self.build_cache_bytes
    }
}

fn parsed(layers: BTreeSet<String>) -> BTreeSet<LayerDigest> {
    layers.iter().filter_map(|layer| layer.parse().ok()).collect()
}

/// What lies beside layers, by the folder that it is in.
fn folder_kinds(data: &Path) -> io::Result<Vec<StorageKind>> {
    let caches = format!("those of the longest unbuilt apps go beyond {}", shown(BUILD_CACHE_BYTES_MAX));
    let folders: [(&str, &str, String); 9] = [
        ("blobs of registries", "blobs/sha256", "as long as a manifest names them, else a day".into()),
        ("uploads to registries", "blobs/uploads", "a day after the last byte".into()),
        ("build caches", "caches", caches),
        ("archives of buildpacks", "buildpacks", "as long as an app pins them, else thirty days".into()),
        ("repositories", "repos", "as long as their apps".into()),
        ("stacks", "stacks", "as long as a release needs them".into()),
        ("logs", "logs", "the newest of each app".into()),
        ("output of builds and releases", "outputs", "as long as they".into()),
        ("backups of databases", "backups", "as their plans say".into()),
    ];
    let mut kinds = Vec::new();
    for (what, folder, why) in folders {
        let (count, bytes) = held(&data.join(folder))?;
        let freed_bytes = if folder == "caches" { bytes.saturating_sub(BUILD_CACHE_BYTES_MAX) } else { 0 };
        kinds.push(StorageKind { what, count, bytes, freed_bytes, why });
    }
    Ok(kinds)
}

/// Files below a folder and the bytes that they take on the disk; no link is followed. What goes meanwhile is not counted.
fn held(folder: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let (mut files, mut bytes) = (0, 0);
    let mut waiting: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if gone(&error) => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let found = match entry.path().symlink_metadata() {
                Err(error) if gone(&error) => continue,
                found => found?,
            };
            bytes += found.blocks() * 512;
            if found.is_dir() { waiting.push(entry.path()) } else { files += 1 }
        }
    }
    Ok((files, bytes))
}

fn shown(bytes: u64) -> String {
    format!("{} GB", bytes >> 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_what_is_below_it_and_nothing_that_links_lead_to() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/b/file"), [1; 10_000]).unwrap();
        std::os::unix::fs::symlink("/usr", root.path().join("link")).unwrap();
        let (files, bytes) = held(root.path()).unwrap();
        assert_eq!(files, 2);
        assert!((10_000..100_000).contains(&bytes), "{bytes}");
        assert_eq!(held(&root.path().join("none")).unwrap(), (0, 0));
    }
}
