//! The containers of a build: the one that builds, or unpacks what was built elsewhere, and the one that packs.

use std::collections::BTreeMap;
use std::time::Duration;

use paddock_core::artefact::ProgramUser;
use paddock_core::{BuildId, ContainerId, VolumeId};
use paddock_images::mkfs_erofs_command;
use paddock_runtime::{Access, ContainerSpec, Disk, Layer, Mount, MountSource, Network, Root, Share, Stdio};
use uuid::Uuid;

use super::workspace::{self, Workspace};
use super::{ARCHIVES, BUILDPACKS, BUILDS, BuildRequest, BuilderConfig, CACHES, cache};
use crate::plan;

/// The runner's program inside the container.
const RUNNER: &str = "/build/paddockd";
/// How long packing may take.
const PACK_TIME: Duration = Duration::from_secs(300);

/// The container that builds. Its id is the build's own.
pub(super) fn build_id(build: BuildId) -> ContainerId {
    ContainerId::from_uuid(build.uuid())
}

/// The container that packs.
pub(super) fn pack_id(build: BuildId) -> ContainerId {
    ContainerId::from_uuid(Uuid::from_u128(build.uuid().as_u128() ^ 1))
}

/// The disk of a build.
pub(super) fn volume_id(build: BuildId) -> VolumeId {
    VolumeId::from_uuid(build.uuid())
}

/// Runs the build runner with everything it may see.
pub(super) fn build(
    config: &BuilderConfig,
    request: &BuildRequest,
    plan: String,
    has_cache: bool,
) -> ContainerSpec {
    let mut mounts = vec![
        mount(MountSource::Program, RUNNER),
        mount(MountSource::Text(plan), plan::PLAN_FILE),
        of_share(BUILDS, workspace::source_place(request.build), plan::SOURCE_FILE),
        writable(request, workspace::RESULT, plan::RESULT_FOLDER),
        writable(request, workspace::TMP, "/tmp"),
    ];
    if has_cache {
        let cache = cache::place(request.app, &request.stack.stack);
        mounts.push(of_share(CACHES, cache, plan::SAVED_CACHE));
    }
    // Its own alone: another tenant's may not be for everybody.
    for digest in request.prepared.values().filter_map(|one| one.archive.as_ref()) {
        let place = format!("{}/{digest}", plan::ARCHIVES_FOLDER);
        if !mounts.iter().any(|mount| mount.target == place) {
            mounts.push(of_share(ARCHIVES, digest.clone(), &place));
        }
    }
    if let Some(folder) = &config.buildpack_folder {
        mounts.push(of_share(BUILDPACKS, String::new(), &folder.display().to_string()));
    }
    let mut env = vec![("PATH".to_owned(), b"/usr/bin:/bin".to_vec())];
    for (name, value) in &request.config_vars {
        env.push((format!("{}{name}", plan::CONFIG_VAR_PREFIX), value.as_bytes().to_vec()));
    }
    let command = vec![RUNNER.to_owned(), "build-runner".to_owned()];
    ContainerSpec {
        id: build_id(request.build),
        env,
        network: Network::Outbound,
        // The builder stops it in time; this is for a builder that is gone.
        time_limit: Some(request.time_limit + Duration::from_secs(60)),
        layers: Layer::of_stack(&request.base),
        ..base(config, request, "build", mounts, command)
    }
}

/// Read by bash inside the container: the archive and where its `app` is to be are arguments.
const UNPACK: &str = r#"
set -e
mkdir /tmp/unpacked
tar --extract --file "$1" --directory /tmp/unpacked --no-same-owner
if [ -L /tmp/unpacked/app ] || [ ! -d /tmp/unpacked/app ]; then
  echo "there is no folder ./app in the archive: the files of a slug lie below it"
  exit 1
fi
mv /tmp/unpacked/app "$2"
"#;

/// Unpacks a slug that was uploaded to where a build would leave its tree.
pub(super) fn unpack(config: &BuilderConfig, request: &BuildRequest, workspace: &Workspace) -> ContainerSpec {
    let source = of_share(BUILDS, workspace::source_place(request.build), plan::SOURCE_FILE);
    let mounts = vec![source, writable(request, workspace::TMP, "/tmp")];
    let tree = workspace.tree_inside();
    let command = ["bash", "-c", UNPACK, "bash", plan::SOURCE_FILE, &tree].map(str::to_owned).to_vec();
    ContainerSpec {
        env: vec![("PATH".to_owned(), b"/usr/bin:/bin".to_vec())],
        time_limit: Some(request.time_limit + Duration::from_secs(60)),
        ..base(config, request, "unpack", mounts, command)
    }
}

/// Turns the finished tree into a layer, seeing nothing else. It runs when the build's processes are gone.
pub(super) fn pack(config: &BuilderConfig, request: &BuildRequest, workspace: &Workspace) -> ContainerSpec {
    let mounts = vec![
        of_disk(request, workspace::PACKING, "/slug", Access::ReadOnly),
        of_disk(request, &workspace.tree_place(), "/slug/app", Access::ReadOnly),
        writable(request, workspace::SLUG, "/out"),
    ];
    ContainerSpec {
        id: pack_id(request.build),
        env: vec![("PATH".to_owned(), b"/usr/sbin:/usr/bin:/sbin:/bin".to_vec())],
        network: Network::None,
        time_limit: Some(PACK_TIME),
        ..base(config, request, "pack", mounts, mkfs_erofs_command("/slug", "/out/slug.erofs"))
    }
}

pub(super) fn base(
    config: &BuilderConfig,
    request: &BuildRequest,
    kind: &str,
    mounts: Vec<Mount>,
    command: Vec<String>,
) -> ContainerSpec {
    let labels =
        [("kind", kind.to_owned()), ("app", request.app.to_string()), ("build", request.build.to_string())];
    ContainerSpec {
        id: build_id(request.build),
        labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        hostname: format!("{kind}-1"),
        tenant: request.tenant,
        root: Root::Stack,
        layers: vec![Layer::Stack(config.host_stack.clone())],
        mounts,
        command,
        user: ProgramUser::DYNO,
        image_user: String::new(),
        env: Vec::new(),
        working_dir: "/".to_owned(),
        limits: request.limits,
        // Whatever it writes where nothing is mounted is on the build's disk as well.
        disk: Disk::Volume { id: volume_id(request.build), folder: format!("{kind}-root") },
        network: Network::None,
        stdio: Stdio::Output,
        time_limit: None,
        // A daemon that a buildpack left behind has nothing to finish, and the build is not to wait for it.
        leftover_grace: Duration::ZERO,
    }
}

pub(super) fn mount(source: MountSource, target: &str) -> Mount {
    Mount { target: target.to_owned(), source }
}

pub(super) fn of_share(share: Share, path: String, target: &str) -> Mount {
    mount(MountSource::Share { share, path }, target)
}

pub(super) fn of_disk(request: &BuildRequest, folder: &str, target: &str, access: Access) -> Mount {
    mount(MountSource::Volume { id: volume_id(request.build), folder: folder.to_owned(), access }, target)
}

fn writable(request: &BuildRequest, folder: &str, target: &str) -> Mount {
    of_disk(request, folder, target, Access::ReadWrite)
}
