//! What an app's source says of its images: read by the first container, worked out here.

use std::collections::BTreeMap;

use crate::heroku_yml::{DEFAULT_DOCKERFILE, FILE_NAME, HerokuYml, ImageBuild};
use crate::host::screen::Screen;
use crate::host::watch::Bounds;
use crate::host::workspace::Workspace;
use crate::host::{BuildFailure, BuildRequest, Builder, FailureKind, container, run};
use crate::output;
use crate::plan::{BuildResult, Purpose};
use crate::runner::image_source::ignores_of;

/// A source that lies on the build's volume.
pub(super) struct Source {
    pub(super) manifest: HerokuYml,
    pub(super) workspace: Workspace,
    texts: BTreeMap<String, String>,
    contexts: BTreeMap<String, String>,
}

/// What a Dockerfile is built with.
pub(super) struct Context {
    /// The Dockerfile.
    pub(super) text: String,
    /// The `.dockerignore`.
    pub(super) ignore: String,
    /// Its folder, on the volume.
    pub(super) place: String,
}

impl Builder {
    /// Unpacks the source and reads its manifest.
    pub(super) async fn unpack_images(
        &self,
        request: &BuildRequest,
        screen: &mut Screen,
        bounds: Bounds<'_>,
    ) -> Result<Source, BuildFailure> {
        run::check_upload(request, screen).await?;
        let workspace = self.make_workspace(request).await?;
        let plan = workspace.plan(&self.config, request, Purpose::Image, false);
        let plan = plan.map_err(|error| run::platform("could not write the plan of a build", error))?;
        let spec = container::build(&self.config, request, plan, false);
        let exit = self.watch(spec, request, screen, bounds).await?;
        let BuildResult { texts, contexts, .. } = run::conclude(exit, workspace.result())?;
        let read = match texts.get(FILE_NAME) {
            Some(text) => HerokuYml::read(text.as_bytes()).map_err(|error| error.to_string()),
            None if texts.contains_key(DEFAULT_DOCKERFILE) => Ok(HerokuYml::of_dockerfile()),
            None => Err(format!(
                "This app is on the stack container, and its source has no {FILE_NAME} and no {DEFAULT_DOCKERFILE}.\n\n\
                 Add a {DEFAULT_DOCKERFILE} to its root, or a {FILE_NAME} that says where one is, or let\n\
                 buildpacks build it:  heroku stack:set host"
            )),
        };
        match read {
            Ok(manifest) => Ok(Source { manifest, workspace, texts, contexts }),
            Err(problem) => {
                screen.text(&output::problem(&problem)).await;
                Err(BuildFailure::of(FailureKind::Manifest))
            }
        }
    }
}

impl Source {
    /// What a Dockerfile is built with; `None` if there is no such file.
    pub(super) fn context(&self, build: &ImageBuild) -> Option<Context> {
        let text = self.texts.get(&build.dockerfile)?.clone();
        let ignore = ignores_of(&build.dockerfile).iter().find_map(|name| self.texts.get(name));
        let folder = self.contexts.get(&build.dockerfile)?;
        let tree = self.workspace.tree_place();
        let place = if folder.is_empty() { tree } else { format!("{tree}/{folder}") };
        Some(Context { text, ignore: ignore.cloned().unwrap_or_default(), place })
    }
}
