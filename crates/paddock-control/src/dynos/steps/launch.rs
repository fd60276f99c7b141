//! The start of a dyno's container: what it is made of, and what its program finds around it.

use std::time::Duration;

use paddock_core::artefact::{Artefact, ArtefactKind, PLATFORM_PROGRAM};
use paddock_core::buildpack::BuiltinBuildpack;
use paddock_core::durable;
use paddock_core::dyno::{DYNO_METADATA, DynoKind};
use paddock_runtime::{ContainerSpec, Layer, Mount, MountSource, Network, Root, RuntimeError, Stdio};
use paddock_store::{App, Dyno, Release, Slug};

use crate::Result;
use crate::dynos::Dynos;
use crate::dynos::launch;
use crate::kernel::error::{Error, chain};
use crate::kernel::label;

/// How long a dyno waits for its app's databases.
const DATA_PATIENCE: Duration = Duration::from_secs(20);

impl Dynos {
    /// Starts the container of a dyno that has a row.
    pub(crate) async fn launch_dyno(&self, app: &App, dyno: &Dyno) -> Result<()> {
        self.kernel.data_ready.wait(app.id, DATA_PATIENCE).await;
        let spec = match self.container_spec(app, dyno).await {
            Ok(spec) => spec,
            Err(error) if error.id == paddock_core::ErrorId::NotFound => {
                // Its slug or release is gone: it can never start.
                return self.fail_launch(app, dyno, &error.message).await;
            }
            Err(error) => return Err(error),
        };
        let name = dyno.name.to_string();
        self.kernel
            .log_dyno(app.id, &name, vec![format!("Starting process with command `{}`", dyno.command)])
            .await;
        match durable!("dyno.started", self.runtime.start(spec).await) {
            Ok(()) => {
                self.kernel.wakes.output.wake();
                Ok(())
            }
            Err(RuntimeError::Program { reason, .. }) => self.fail_launch(app, dyno, &reason).await,
            Err(error) => {
                tracing::error!(app.name = %app.name, dyno.name = name, error = chain(&error), "could not start a dyno");
                self.fail_launch(app, dyno, "the platform could not start it, see the server's log").await
            }
        }
    }

    async fn container_spec(&self, app: &App, dyno: &Dyno) -> Result<ContainerSpec> {
        let release = self.kernel.store.release(app.id, dyno.release_id).await?;
        let release = release.ok_or_else(|| Error::not_found("release"))?;
        let slug_id = release.slug_id.ok_or_else(|| Error::not_found("slug"))?;
        let slug = self.kernel.store.slug(slug_id).await?.ok_or_else(|| Error::not_found("slug"))?;
        let artefact = self.kernel.store.artefact(&slug, &dyno.process_type).await?;
        let command = match dyno.kind {
            DynoKind::OneOff => artefact.command(&dyno.command),
            DynoKind::Formation | DynoKind::Release => artefact.own_command(&dyno.command),
        };
        let env = self.environment(app, dyno, &release, &slug, &artefact).await?;
        let stdio = stdio_of(dyno);
        Ok(ContainerSpec {
            id: dyno.container_id.ok_or_else(|| Error::not_found("dyno"))?,
            labels: label::of_dyno(app.id, &dyno.name, stdio == Stdio::Output),
            hostname: dyno.id.to_string(),
            tenant: app.tenant(),
            root: root_of(artefact.kind),
            layers: Layer::of(&artefact),
            mounts: platform_program(&slug),
            command,
            user: artefact.user,
            image_user: artefact.image_user,
            env,
            working_dir: artefact.working_dir,
            limits: launch::dyno_limits(dyno.size),
            disk: launch::dyno_disk(dyno.size, self.kernel.config.dyno_disk),
            network: Network::Dyno,
            stdio,
            time_limit: None,
            leftover_grace: launch::STOP_GRACE,
        })
    }

    /// Config vars of the release, what `heroku run --env` said, and what the platform says.
    async fn environment(
        &self,
        app: &App,
        dyno: &Dyno,
        release: &Release,
        slug: &Slug,
        artefact: &Artefact,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let config = self.kernel.store.config_vars_of_release(app.id, release.id).await?;
        let extra = self.kernel.store.dyno_env(app.id, dyno.id).await?;
        let mut env = launch::dyno_env(artefact, &config, &dyno.name, dyno.port, &extra);
        let features = self.kernel.store.app_features(app.id).await?;
        if features.iter().any(|feature| feature.name == DYNO_METADATA && feature.enabled) {
            let metadata = launch::dyno_metadata(app, dyno, release, slug, &self.kernel.config.domain);
            env.retain(|(name, _)| metadata.iter().all(|(of_platform, _)| of_platform != name));
            env.extend(metadata);
        }
        Ok(env)
    }
}

/// A static site is served by the platform's own program, always the newest: it is no part of the slug.
fn platform_program(slug: &Slug) -> Vec<Mount> {
    let languages = slug.buildpack_description.as_deref().unwrap_or_default();
    let is_static = languages.split(", ").any(|language| language == BuiltinBuildpack::Static.language());
    let mount = Mount { target: PLATFORM_PROGRAM.to_owned(), source: MountSource::Program };
    if is_static { vec![mount] } else { Vec::new() }
}

fn root_of(kind: ArtefactKind) -> Root {
    match kind {
        ArtefactKind::Slug => Root::Stack,
        ArtefactKind::Image => Root::Image,
    }
}

fn stdio_of(dyno: &Dyno) -> Stdio {
    match (dyno.attach_secret_sha256, dyno.terminal_rows.zip(dyno.terminal_columns)) {
        (None, _) => Stdio::Output,
        (Some(_), Some((rows, columns))) => Stdio::Terminal { rows, columns },
        (Some(_), None) => Stdio::Pipe,
    }
}
