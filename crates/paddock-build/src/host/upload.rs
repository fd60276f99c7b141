//! A slug that somebody packed themselves: the same layer as after a build, without buildpacks.

use paddock_core::LayerDigest;
use tokio_util::sync::CancellationToken;

use super::screen::Screen;
use super::watch::Bounds;
use super::{BuildFailure, BuildLog, BuildRequest, Builder, FailureKind, container, run};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlugLayer {
    pub layer: LayerDigest,
    pub size_bytes: u64,
}

impl Builder {
    /// Makes a layer of an uploaded slug, whose files lie below `./app`. It is unpacked in a container of the app, and
    /// packed by another that sees the finished tree alone, as after a build. What is wrong with it goes to `log`.
    ///
    /// # Errors
    /// When the archive is not usable or too large, or the platform could not run the conversion.
    pub async fn convert_slug(
        &self,
        request: BuildRequest,
        log: BuildLog,
    ) -> Result<SlugLayer, BuildFailure> {
        let mut screen = Screen::new(log);
        let result = self.convert(&request, &mut screen).await;
        if let Err(error) = self.abandon(request.build).await {
            tracing::warn!(error = error.as_ref() as &dyn std::error::Error, build.id = %request.build, "could not clean up after a conversion");
        }
        result
    }

    async fn convert(&self, request: &BuildRequest, screen: &mut Screen) -> Result<SlugLayer, BuildFailure> {
        run::check_upload(request, screen).await?;
        let workspace = self.make_workspace(request).await?;
        let spec = container::unpack(&self.config, request, &workspace);
        // Nobody cancels it: it is a matter of seconds, and of the request's time limit.
        let never = CancellationToken::new();
        let bounds = Bounds::of(request, &never);
        let exit = self.watch(spec, request, screen, bounds).await?;
        if exit.status != 0 {
            return Err(BuildFailure::of(FailureKind::Source));
        }
        let (layer, size_bytes) = self.pack(request, &workspace, screen, bounds).await?;
        Ok(SlugLayer { layer, size_bytes })
    }
}
