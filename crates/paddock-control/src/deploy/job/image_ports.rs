//! What a build of images asks of others: images to begin from, and what steps of earlier builds came to.

use std::time::Duration;

use async_trait::async_trait;
use paddock_build::BuildLog;
use paddock_build::image::{BaseImage, BaseImageError, BaseImages, DoneStep, StepCache, StepKey};
use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, ErrorId};
use paddock_store::BuildStep;

use crate::deploy::Deploy;
use crate::deploy::layers_in_use::Using;
use crate::{Error, Result};

/// How long a build waits for an image that was pushed just before.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How Heroku's images of stacks are named, and what the name of one for builds ends with.
const IMAGES_OF_HEROKU: &str = "heroku/heroku:";
const BUILD: &str = "-build";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Images that Dockerfiles of somebody's build begin from.
pub(super) struct Bases<'a> {
    pub(super) deploy: &'a Deploy,
    pub(super) account: AccountId,
    pub(super) app: AppId,
    pub(super) using: &'a Using<'a>,
}

#[async_trait]
impl BaseImages for Bases<'_> {
    async fn resolve(
        &self,
        reference: &str,
        log: &BuildLog,
    ) -> std::result::Result<BaseImage, BaseImageError> {
        let stack = self.stack(reference).await;
        if let Some(base) = stack.map_err(|error| BaseImageError::Platform(Box::new(error)))? {
            self.using.add(&base.layers);
            return Ok(base);
        }
        let images = &self.deploy.images;
        let found = match images.image_named(self.account, reference, PATIENCE).await {
            Ok(None) => images.image_elsewhere(self.app, reference, log).await,
            Ok(Some(image)) => Ok(image),
            Err(error) => Err(error),
        };
        match found {
            Ok(image) => {
                self.using.add(&image.layers);
                Ok(BaseImage { layers: image.layers, base: image.base, config: image.config })
            }
            Err(error) if error.id == ErrorId::InternalServerError => {
                Err(BaseImageError::Platform(Box::new(error)))
            }
            Err(error) => Err(BaseImageError::Refused(error.message.trim_end_matches('.').to_owned())),
        }
    }
}

impl Bases<'_> {
    /// The stack of this server that a name means: its own name, or that of Heroku's image of it.
    async fn stack(&self, reference: &str) -> Result<Option<BaseImage>> {
        let of_heroku = reference.strip_prefix(IMAGES_OF_HEROKU);
        let (name, is_to_build) = match of_heroku {
            Some(tag) => (format!("heroku-{}", tag.trim_end_matches(BUILD)), tag.ends_with(BUILD)),
            None => (reference.to_owned(), false),
        };
        if name == Stack::HOST.as_str() {
            let base = Some(self.deploy.kernel.config.present(&Stack::HOST));
            return Ok(Some(BaseImage { base, ..BaseImage::default() }));
        }
        // The newest comes first.
        let versions = self.deploy.kernel.store.added_versions().await?;
        let found = versions.into_iter().find(|version| version.name.as_str() == name);
        Ok(found.map(|version| BaseImage {
            layers: if is_to_build { version.build_layers } else { version.run_layers },
            ..BaseImage::default()
        }))
    }
}

/// What steps of an app's builds came to.
pub(super) struct Steps<'a> {
    pub(super) deploy: &'a Deploy,
    pub(super) app: AppId,
    pub(super) using: &'a Using<'a>,
}

#[async_trait]
impl StepCache for Steps<'_> {
    async fn get(&self, key: &StepKey) -> std::result::Result<Option<DoneStep>, BoxError> {
        Ok(self.find(&key.to_string()).await?)
    }

    async fn put(&self, key: &StepKey, step: &DoneStep) -> std::result::Result<(), BoxError> {
        let row = BuildStep {
            layer: step.layer.clone(),
            size_bytes: i64::try_from(step.size_bytes).unwrap_or(i64::MAX),
        };
        self.using.add(&step.layer);
        let mut tx = self.deploy.kernel.record("keep what a step came to").await?;
        tx.keep_build_step(self.app, &key.to_string(), &row).await?;
        Ok(tx.commit_quietly("build.step_kept").await?)
    }
}

impl Steps<'_> {
    async fn find(&self, key: &str) -> Result<Option<DoneStep>> {
        // Used now, it is among the last that are given up to make room.
        let mut tx = self.deploy.kernel.record("look for a step").await?;
        let Some(row) = tx.use_build_step(self.app, key).await? else { return Ok(None) };
        if let Some(layer) = &row.layer {
            self.using.add([layer]);
            let there = self.deploy.layers.has(layer).await;
            if !there.map_err(|error| Error::internal("look for a step's layer", error))? {
                return Ok(None);
            }
        }
        tx.commit_quietly("build.step_used").await?;
        Ok(Some(DoneStep { layer: row.layer, size_bytes: u64::try_from(row.size_bytes).unwrap_or(0) }))
    }
}
