//! Images of other registries for builds that begin with one: asked for each time, by the outbound rule, and what of their layers is
//! known from before is not fetched again by an app that was given it once. That somebody knows the digest of a layer, or has a
//! registry that names it, gives nobody the layer of another.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use paddock_build::BuildLog;
use paddock_core::AppId;
use paddock_core::image::Image;
use paddock_core::registry::Reference;
use paddock_core::remote_image::RemoteImage;
use paddock_images::oci::{CONFIG_BYTES_MAX, ConfigFile, ImageLayer, ImageParts, Manifest};
use paddock_store::{App, ConvertedLayer};

use super::Images;
use super::conversion::{LAYERS_AT_ONCE, Outcome, Trouble, from_above};
use super::of_image::checked;
use super::remote::{RemoteManifest, RemoteRegistry};
use crate::{Error, Result};

impl Images {
    /// The image of another registry that a name means, for a build of that app.
    ///
    /// # Errors
    /// `invalid_params` for a name that is none, a registry that does not give it, and an image that cannot be run, with why.
    pub(super) async fn pull(&self, app: AppId, name: &str, log: &BuildLog) -> Result<Image> {
        let remote: RemoteImage = name.parse().map_err(|error| Error::invalid(format!("{error}.")))?;
        let app = self.kernel.store.app(app).await?.ok_or_else(|| Error::not_found("app"))?;
        self.clear_slots(app.id).await?;
        match self.pulled(&app, &remote, log).await {
            Ok(image) => Ok(image),
            Err(Trouble::Host(error)) => Err(error),
            Err(Trouble::Told(why)) => Err(Error::invalid(why)),
        }
    }

    async fn pulled(&self, app: &App, remote: &RemoteImage, log: &BuildLog) -> Outcome<Image> {
        let registry = RemoteRegistry::new(&self.outbound, remote);
        say(log, format!("Pulling from {}/{}\n", remote.registry(), remote.repository())).await;
        let (id, parts) = parts_of(&registry, remote).await?;
        let bytes = parts.layers.iter().map(|layer| layer.blob.size).sum::<u64>();
        if bytes > self.kernel.config.registry_bytes {
            let most = self.kernel.config.registry_bytes >> 20;
            return Err(Trouble::Told(format!(
                "{remote} has more than {most} MB, the most that an app may have"
            )));
        }
        let mut tx = self.kernel.record("look which blobs were pulled").await?;
        let mut given = HashSet::new();
        for layer in &parts.layers {
            if tx.use_pulled_blob(app.id, &layer.blob.digest).await? {
                given.insert(layer.blob.digest.clone());
            }
        }
        tx.commit_quietly("pulled_blob.used").await?;
        let count = parts.layers.len();
        let pulling = parts.layers.into_iter().enumerate().map(|(number, layer)| {
            let was_given = given.contains(&layer.blob.digest);
            self.pulled_layer(app, &registry, layer, was_given, (number + 1, count), log)
        });
        let layers: Vec<_> = stream::iter(pulling).buffered(LAYERS_AT_ONCE).try_collect().await?;
        Ok(Image { id, layers: from_above(&layers), base: None, config: parts.config.image })
    }

    /// A layer of an image: fetched, unless the app was given it before and it is still there, and converted.
    async fn pulled_layer(
        &self,
        app: &App,
        registry: &RemoteRegistry<'_>,
        layer: ImageLayer,
        was_given: bool,
        place: (usize, usize),
        log: &BuildLog,
    ) -> Outcome<ConvertedLayer> {
        let digest = &layer.blob.digest;
        // While somebody has it the blob is not swept away.
        let _turn = self.converting.turn_of(digest);
        if !was_given || self.known_layer(digest).await?.is_none() {
            let megabytes = layer.blob.size.saturating_mul(10).div_ceil(1_000_000);
            let said = format!("{}.{} MB", megabytes / 10, megabytes % 10);
            say(log, format!("{}: layer {} of {}, {said}\n", &digest.hex()[..12], place.0, place.1)).await;
            registry.store_blob(digest, layer.blob.size, &self.blobs).await?;
            let mut tx = self.kernel.record("keep that a blob was pulled").await?;
            tx.keep_pulled_blob(app.id, digest).await?;
            tx.commit_quietly("pulled_blob.kept").await?;
        }
        self.layer_of(app, layer, place).await
    }
}

/// What an image for this machine is made of, and its digest.
async fn parts_of(
    registry: &RemoteRegistry<'_>,
    remote: &RemoteImage,
) -> Outcome<(paddock_core::BlobDigest, ImageParts)> {
    let wrong = |error: &dyn std::fmt::Display| Trouble::Told(format!("{remote} cannot be used: {error}"));
    let reference = match remote.reference() {
        Reference::Tag(tag) => tag.to_string(),
        Reference::Digest(digest) => digest.to_string(),
    };
    let read = |found: &RemoteManifest| {
        Manifest::read(&found.content, &found.media_type).map_err(|error| wrong(&error))
    };
    let mut found = registry.manifest(&reference).await?;
    let mut manifest = read(&found)?;
    if let Manifest::Index(index) = &manifest {
        let chosen = index.choose(&found.digest).map_err(|error| wrong(&error))?.digest.clone();
        found = registry.manifest(&chosen.to_string()).await?;
        manifest = read(&found)?;
    }
    let Manifest::Image(manifest) = manifest else {
        return Err(wrong(&"it is a list of lists of images"));
    };
    let id = manifest.config.digest.clone();
    let config = registry.small_blob(&id, CONFIG_BYTES_MAX).await?;
    let parts = ConfigFile::read(&config)
        .and_then(|config| ImageParts::new(&manifest, &found.digest, config))
        .map_err(|error| wrong(&error))?;
    let parts = checked(parts).map_err(|why| wrong(&why))?;
    Ok((id, parts))
}

async fn say(log: &BuildLog, text: String) {
    // Nobody needs to read for the build to go on.
    let _ = log.send(Bytes::from(text)).await;
}
