//! What a build is made of: its source, where it comes from, and the limits it runs in.

use std::path::PathBuf;

use paddock_build::{BuildLog, BuildRequest, Source, SourceArchive};
use paddock_core::buildpack::BuildpackRef;
use paddock_core::stack::{Stack, StackBase};
use paddock_core::{BuildId, SourceId, durable};
use paddock_runtime::Limits;
use paddock_store::{App, Build, Job, SourceKind};

use crate::deploy::Deploy;
use crate::deploy::buildpack::resolve::Resolved;
use crate::deploy::job::own_submodules::unreadable;
use crate::deploy::job::{fetched_source, own_submodules};
use crate::{Error, Result};

/// The longest build. Source: `docs/contract/buildpacks.md`, section 12.
const TIME_LIMIT: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// A build's share of the machine: less than any dyno under contention. Memory: what Node's buildpack assumes.
pub(crate) const LIMITS: Limits =
    Limits { memory_bytes: 2560 * 1024 * 1024, cpu_millicores: 100_000, cpu_weight: 50, pids: 4096 };

pub(super) async fn request_of(
    deploy: &Deploy,
    app: &App,
    build: &Build,
    job: &Job,
    resolved: &Resolved,
    log: &BuildLog,
) -> Result<BuildRequest> {
    if let Some(warning) = deploy.kernel.warning_of_stack(&build.stack).await? {
        let _ = log.send(format!(" !     {warning}\n").into()).await;
    }
    let source = match build.source_kind {
        SourceKind::Git => git_source(deploy, app, build, log).await?,
        SourceKind::Archive => archive_source(deploy, build, job, log).await?,
    };
    let buildpacks =
        build.buildpacks.iter().map(|url| BuildpackRef::parse(url, deploy.kernel.config.buildpack_urls));
    let buildpacks = buildpacks.collect::<std::result::Result<Vec<_>, _>>();
    let buildpacks = buildpacks.map_err(|error| Error::invalid(error.to_string()))?;
    Ok(BuildRequest {
        build: build.id,
        app: app.id,
        tenant: app.tenant(),
        source,
        buildpacks,
        prepared: resolved.prepared.clone(),
        config_vars: deploy.kernel.store.config_vars(app.id).await?,
        stack: deploy.kernel.version_of_build(build),
        base: match build.stack.is_container() {
            // What is unpacked and fetched for a Dockerfile is so by the server's own tools.
            true => StackBase::Host(deploy.kernel.config.present(&Stack::HOST)),
            false => deploy.kernel.base_of_build(build).await?,
        },
        request_id: build.id.to_string(),
        limits: LIMITS,
        disk_bytes: deploy.kernel.config.build_disk.bytes(),
        time_limit: TIME_LIMIT,
    })
}

async fn git_source(deploy: &Deploy, app: &App, build: &Build, log: &BuildLog) -> Result<Source> {
    let file = source_file(deploy, build.id);
    let _ = durable!("build.source_made_anew", tokio::fs::remove_file(&file).await);
    let commit = &build.source;
    let repositories = &deploy.repositories;
    repositories
        .archive(app.id, commit, &file)
        .await
        .map_err(|error| unreadable("read the pushed commit", error))?;
    let submodules = repositories.submodules(app.id, commit).await;
    let submodules =
        submodules.map_err(|error| Error::internal("read the submodules of the pushed commit", error))?;
    let submodules = own_submodules::add(deploy, app, build, submodules, &file, log).await?;
    Ok(Source { file, archive: SourceArchive::Git { submodules }, version: commit.clone() })
}

/// An uploaded source, when `source` is the id of one of our own `/sources`; else one to be fetched from elsewhere.
async fn archive_source(deploy: &Deploy, build: &Build, job: &Job, log: &BuildLog) -> Result<Source> {
    let file = match build.source.parse::<SourceId>() {
        Ok(id) => deploy.source_blob_path(id),
        Err(_) => {
            let file = source_file(deploy, build.id);
            fetched_source::fetch(deploy, build, job.id, &file, log).await?;
            file
        }
    };
    if !file.exists() {
        return Err(Error::invalid("The source blob was not uploaded. PUT it to the source's put_url first"));
    }
    let archive = SourceArchive::Uploaded { checksum: build.source_checksum.clone() };
    Ok(Source { file, archive, version: build.source_version.clone().unwrap_or_default() })
}

/// Where a git build's source is put for its container.
pub(super) fn source_file(deploy: &Deploy, id: BuildId) -> PathBuf {
    deploy.kernel.config.data_dir.join("sources").join(format!("build-{id}.tar"))
}
