//! A build of images, from the source of an app on the stack `container` to what its processes run.
//!
//! The first container unpacks the source, as for a slug, and reads what says how images are made; the host works out the steps.
//! Each step that writes is a container over the layers so far, with its writable layer in a folder of the build's volume, and one
//! more that makes a layer of that folder: it sees nothing else. What a step came to is kept by what it began with and did.

mod containers;
mod fetched;
mod files;
mod key;
mod making;
mod outcome;
mod source;
mod stages;
mod steps;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use paddock_core::build_record::{BuildRecord, FactKind, ToldBy};
use paddock_core::image::{ImageCommand, ImageConfig};
use paddock_core::stack::StackVersion;
use paddock_core::{BlobDigest, LayerDigest, ProcessType};
use tokio_util::sync::CancellationToken;

use self::making::Making;
use super::record;
use super::screen::Screen;
use super::watch::Bounds;
use super::{BuildFailure, BuildLog, BuildRequest, Builder, FailureKind};
use crate::heroku_yml::Setup;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The images that Dockerfiles begin from.
#[async_trait]
pub trait BaseImages: Send + Sync {
    /// The image that a FROM or a `--from` names, ready to be laid upon. What takes long is told in `log`.
    ///
    /// # Errors
    /// When there is none, or not for this app.
    async fn resolve(&self, reference: &str, log: &BuildLog) -> Result<BaseImage, BaseImageError>;
}

/// An image that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BaseImage {
    /// Its layers, the uppermost first; they are kept while the build runs.
    pub layers: Vec<LayerDigest>,
    /// What its layers lie on, if that is a stack.
    pub base: Option<StackVersion>,
    pub config: ImageConfig,
}

#[derive(Debug, thiserror::Error)]
pub enum BaseImageError {
    /// A sentence for the author of the Dockerfile, without its full stop.
    #[error("{0}")]
    Refused(String),
    #[error("find a base image")]
    Platform(#[source] BoxError),
}

/// What steps of an app's earlier builds came to. One that is missing is done again.
#[async_trait]
pub trait StepCache: Send + Sync {
    /// What the step with this key came to, if its layer is there; it is kept while the build runs.
    async fn get(&self, key: &StepKey) -> Result<Option<DoneStep>, BoxError>;

    /// Keeps what a step came to.
    async fn put(&self, key: &StepKey, step: &DoneStep) -> Result<(), BoxError>;
}

/// A digest of everything that makes a step what it is: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepKey(String);

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DoneStep {
    /// `None` for a step that wrote nothing.
    pub layer: Option<LayerDigest>,
    pub size_bytes: u64,
}

/// What a build of images made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOutcome {
    /// By process type, `release` among them if there is a release command.
    pub processes: BTreeMap<ProcessType, BuiltProcess>,
    /// What the app gets if this is its first release and it was made with the manifest.
    pub setup: Setup,
    /// Of all layers that were made or used again, each counted once.
    pub size_bytes: u64,
    /// What it used and did.
    pub record: BuildRecord,
}

/// What a process type runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltProcess {
    pub image: BuiltImage,
    pub command: ImageCommand,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// The digest of its configuration.
    pub id: BlobDigest,
    /// Its layers, the uppermost first; they are in the store.
    pub layers: Vec<LayerDigest>,
    /// What its layers lie on, if that is a stack.
    pub base: Option<StackVersion>,
    pub config: ImageConfig,
}

/// What a build of images asks of others.
#[derive(Clone, Copy)]
pub struct ImagePorts<'a> {
    pub bases: &'a dyn BaseImages,
    pub steps: &'a dyn StepCache,
}

impl Builder {
    /// Builds the images of an app on the stack `container`. Its containers' own tools are those of the request's stack; of the
    /// config vars only `PROJECT_PATH` is looked at. Everything the user is to see goes to `log`. Dropping the future leaves
    /// containers and folders to [`Self::abandon`].
    ///
    /// # Errors
    /// When the build failed, was cancelled, or the platform could not run it.
    pub async fn build_images(
        &self,
        request: BuildRequest,
        ports: ImagePorts<'_>,
        log: BuildLog,
        cancel: CancellationToken,
    ) -> Result<ImageOutcome, BuildFailure> {
        let mut screen = Screen::new(log.clone());
        let bounds = Bounds::of(&request, &cancel);
        let mut record = BuildRecord::default();
        let result = self.make_images(&request, ports, &log, &mut screen, bounds, &mut record).await;
        drop(log);
        if let Err(failure) = &result {
            screen.end_of_images(failure, &request).await;
        }
        let result = record::kept(result, record, |outcome| &mut outcome.record);
        if let Err(error) = self.abandon(request.build).await {
            tracing::warn!(error = error.as_ref() as &dyn std::error::Error, build.id = %request.build, "could not clean up after a build of images");
        }
        result
    }

    async fn make_images(
        &self,
        request: &BuildRequest,
        ports: ImagePorts<'_>,
        log: &BuildLog,
        screen: &mut Screen,
        bounds: Bounds<'_>,
        record: &mut BuildRecord,
    ) -> Result<ImageOutcome, BuildFailure> {
        let mut clock = record::Watch::start();
        let source = self.unpack_images(request, screen, bounds).await?;
        clock.note(record, "unpack the source");
        let mut making = Making::new(self, request, ports, log, (screen, record), bounds, &source);
        let mut built = BTreeMap::new();
        for (name, build) in &source.manifest.images {
            let done = making.image(name, build, built.get(build)).await?;
            clock.note(making.record, &format!("make the image {name}"));
            let id = done.image.id.to_string();
            making.record.note(ToldBy::Server, FactKind::Made, &format!("image {name}"), &id);
            built.insert(build.clone(), done);
        }
        let outcome = outcome::of(&source.manifest, &built)?;
        let idle = outcome.processes.iter().find(|(_, process)| !process.image.config.runs(&process.command));
        match idle {
            None => Ok(outcome),
            Some((name, _)) => {
                Err(making.refuse(FailureKind::ProcessTypes, &ImageConfig::no_command(name)).await)
            }
        }
    }
}
