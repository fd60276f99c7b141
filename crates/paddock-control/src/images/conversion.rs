//! The job of an image: each of its layers becomes one that can be mounted, and then the image can be run.
//!
//! ```text
//! converting ──all layers are there──▶ ready
//!      │ ◀── cut off by an end of the server: what was converted stays, the rest is begun anew, a few times
//!      └──▶ failed, with a sentence for whoever wants to run it
//! ```

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use paddock_core::{AppId, BlobDigest, LayerDigest};
use paddock_images::oci::{ImageLayer, Manifest};
use paddock_store::{App, ConvertedLayer, ImageRow, ImageState, Job, JobLease, StoreError};

use super::Images;
use crate::kernel::error::chain;
use crate::kernel::job::{Phase, Work};
use crate::{Error, Result};

pub(super) const KIND: &str = "image";
/// Layers of one image that are converted at a time, where there are places.
pub(super) const LAYERS_AT_ONCE: usize = 4;
/// How long all layers of one image may take together: others wait for their turns.
const TIME_MAX: Duration = Duration::from_secs(45 * 60);
/// After this many attempts it is given up: it may be what ends the server.
const ATTEMPTS_MAX: i64 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImagePhase {
    Converting,
}

impl Phase for ImagePhase {
    const ALL: &'static [Self] = &[Self::Converting];

    fn as_str(self) -> &'static str {
        match self {
            Self::Converting => "converting",
        }
    }
}

/// Images that are made ready, as a kind of job.
pub(crate) struct Conversions(pub(crate) Arc<Images>);

#[async_trait]
impl Work for Conversions {
    const KIND: &'static str = KIND;
    type Phase = ImagePhase;

    async fn run(&self, job: &Job, _: ImagePhase, lease: &JobLease) -> Result<()> {
        run(&self.0, job, lease).await
    }
}

/// Why an image is not made ready.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is the image's: a sentence for whoever wants to run it.
    Told(String),
    /// Ours: it is tried again.
    Host(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Host(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Host(error.into())
    }
}

pub(super) type Outcome<T> = std::result::Result<T, Trouble>;

/// Runs the job of an image from wherever it is.
pub(crate) async fn run(images: &Images, job: &Job, lease: &JobLease) -> Result<()> {
    let id: BlobDigest =
        job.subject_id.parse().map_err(|error| Error::internal("read the job of an image", error))?;
    let Some(app) = job.app_id else {
        return Err(Error::internal("read the job of an image", "it is of no app"));
    };
    let Some(app) = images.kernel.store.app(app).await? else { return Ok(()) };
    let waiting = images.kernel.store.image(app.id, &id).await?;
    let Some(image) = waiting.filter(|row| row.state == ImageState::Pending) else {
        return conclude(images, app.id, &id, lease, None).await;
    };
    images.clear_slots(app.id).await?;
    let outcome = if lease.attempt > ATTEMPTS_MAX {
        let text = "The platform could not prepare it, and has tried several times. Push it again, or give the \
            operator its digest.";
        Err(Trouble::Told(text.to_owned()))
    } else {
        let converted = tokio::time::timeout(TIME_MAX, images.convert(&app, &image)).await;
        converted.unwrap_or_else(|_| {
            Err(Trouble::Told(format!("Preparing it takes longer than {} minutes.", TIME_MAX.as_secs() / 60)))
        })
    };
    match outcome {
        Err(Trouble::Host(error)) => Err(error),
        Err(Trouble::Told(why)) => conclude(images, app.id, &id, lease, Some(Err(why))).await,
        Ok(layers) => conclude(images, app.id, &id, lease, Some(Ok((image, layers)))).await,
    }
}

type Ended = std::result::Result<(ImageRow, Vec<ConvertedLayer>), String>;

/// Writes down what an image came to, with the end of its job.
async fn conclude(
    images: &Images,
    app: AppId,
    id: &BlobDigest,
    lease: &JobLease,
    ended: Option<Ended>,
) -> Result<()> {
    let mut tx = images.kernel.observe_app(app, "end the job of an image").await?;
    match &ended {
        None => tx.succeed_job(lease).await?,
        Some(Ok((image, layers))) => {
            let size_bytes = layers.iter().map(|layer| layer.size_bytes).sum();
            tx.set_image_ready(app, id, &image.config, &from_above(layers), size_bytes).await?;
            tx.succeed_job(lease).await?;
        }
        Some(Err(why)) => {
            tx.set_image_failed(app, id, why).await?;
            tx.fail_job(lease, why).await?;
            tx.say(app, format!("Image {id} cannot be run. {why}"));
        }
    }
    tx.commit_quietly("image.concluded").await
}

/// The layers of an image, the uppermost first. Of one that it has several times the uppermost is enough: it hides whatever the
/// same layer has below, and no file system is mounted upon itself.
pub(super) fn from_above(layers: &[ConvertedLayer]) -> Vec<LayerDigest> {
    let mut from_above = Vec::new();
    for layer in layers.iter().rev() {
        if !from_above.contains(&layer.layer) {
            from_above.push(layer.layer.clone());
        }
    }
    from_above
}

impl Images {
    /// Converts what is not converted yet: the layers of an image, the lowest first.
    async fn convert(&self, app: &App, image: &ImageRow) -> Outcome<Vec<ConvertedLayer>> {
        let layers = self.layers_of(app.id, &image.id).await?;
        let count = layers.len();
        let layers = layers.into_iter().enumerate();
        let layers = layers.map(|(number, layer)| self.layer_of(app, layer, (number + 1, count)));
        stream::iter(layers).buffered(LAYERS_AT_ONCE).try_collect().await
    }

    /// A layer of an image; `place` says which of how many.
    pub(super) async fn layer_of(
        &self,
        app: &App,
        layer: ImageLayer,
        place: (usize, usize),
    ) -> Outcome<ConvertedLayer> {
        let ImageLayer { blob, diff_id, .. } = layer;
        let said = |why| format!("Layer {} of {}{why}", place.0, place.1);
        match self.layer(app, &blob).await {
            Ok(layer) if layer.diff_id == diff_id => Ok(layer),
            Ok(layer) => Err(Trouble::Told(said(format!(
                " is {}, and its configuration names {diff_id}: they are not of the same image.",
                layer.diff_id
            )))),
            Err(Trouble::Told(why)) => Err(Trouble::Told(said(format!(" cannot be used: {why}.")))),
            Err(trouble) => Err(trouble),
        }
    }

    /// The layers of an image, the lowest first.
    async fn layers_of(&self, app: AppId, id: &BlobDigest) -> Outcome<Vec<ImageLayer>> {
        let row = self.kernel.store.manifest_of_image(app, id).await?;
        let row = row.ok_or_else(|| Trouble::Told("It was deleted before it was ready.".to_owned()))?;
        let read = Manifest::read(row.content.as_bytes(), row.media_type.as_str());
        let Ok(Manifest::Image(manifest)) = read else {
            return Err(Error::internal("read the manifest of an image", "it is none").into());
        };
        let (_, parts) = self.parts_of(&manifest, &row.digest).await?;
        Ok(parts.map_err(Trouble::Told)?.layers)
    }

    /// Clears away what conversions of an app left that nobody waits for any more.
    pub(super) async fn clear_slots(&self, app: AppId) -> Result<()> {
        let observed = self.runtime.observe().await;
        let observed = observed.map_err(|error| Error::internal("list containers", error))?;
        for held in self.converting.take_unused(app) {
            let slot = held.slot;
            if observed.iter().any(|container| container.id == slot.container()) {
                self.remove_converter(slot).await?;
            }
            self.remove_disk(slot).await?;
        }
        Ok(())
    }

    pub(super) fn warn_left(error: &Error) {
        tracing::warn!(error = chain(error), "could not clear away a conversion, will be tried again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_comes_twice_is_where_it_is_seen() {
        let layer = |number: u8| ConvertedLayer {
            diff_id: BlobDigest::of_sha256([number; 32]),
            layer: LayerDigest::of_sha256([number; 32]),
            size_bytes: 1,
            used_at: paddock_core::UnixMicros(0),
        };
        let layers = [1, 2, 1, 3].map(layer);
        let expected = [3, 1, 2].map(|number| LayerDigest::of_sha256([number; 32]));
        assert_eq!(from_above(&layers), expected);
    }
}
