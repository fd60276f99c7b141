//! The containers of a step.

use paddock_core::LayerDigest;
use paddock_core::artefact::ProgramUser;
use paddock_core::stack::StackVersion;
use paddock_runtime::{Access, ContainerSpec, Disk, Layer, Mount, MountSource, Network, Root};

use super::files::Files;
use crate::host::container::{base, build_id, mount, of_disk, of_share, volume_id};
use crate::host::watch::Bounds;
use crate::host::{BuildRequest, BuilderConfig, LIBRARIES};
use crate::image_step::task::{self, Task};

/// How much longer than its build a container may live: the builder ends it in time, this is for a builder that is gone.
const LONGER: std::time::Duration = std::time::Duration::from_secs(60);

/// What a container of a step is.
pub(super) struct Step {
    /// Names its folders on the volume: the build's containers have each another one.
    pub(super) number: u32,
    pub(super) over: Over,
    pub(super) task: Task,
    pub(super) mounts: Vec<Mount>,
    /// Of the image.
    pub(super) variables: Vec<(String, String)>,
    pub(super) network: Network,
}

/// What its root is.
pub(super) enum Over {
    /// Nothing: the program brings what it needs.
    Nothing,
    /// The stack's tools.
    Stack(StackVersion),
    /// The layers of an image.
    Files(Files),
}

impl Over {
    fn layers(self) -> Vec<Layer> {
        let stored = |layers: Vec<LayerDigest>| layers.into_iter().map(Layer::Stored);
        match self {
            Self::Nothing => Vec::new(),
            Self::Stack(stack) => vec![Layer::Stack(stack)],
            Self::Files(files) => stored(files.layers).chain(files.base.map(Layer::Stack)).collect(),
        }
    }
}

/// Where a container writes to its root; `upper` in it is what it wrote.
pub(super) fn root_place(number: u32) -> String {
    format!("step-{number}")
}

pub(super) fn result_place(number: u32) -> String {
    format!("result-{number}")
}

/// A folder of the volume that is mounted.
pub(super) fn folder(request: &BuildRequest, place: &str, target: &str, access: Access) -> Mount {
    of_disk(request, place, target, access)
}

pub(super) fn spec(
    config: &BuilderConfig,
    request: &BuildRequest,
    bounds: Bounds<'_>,
    step: Step,
) -> serde_json::Result<ContainerSpec> {
    let task = serde_json::to_string(&step.task)?;
    let mut mounts =
        vec![mount(MountSource::Program, task::PROGRAM), mount(MountSource::Text(task), task::TASK_FILE)];
    let mut command = Vec::new();
    if let Some(libraries) = &config.libraries {
        mounts.push(of_share(LIBRARIES, String::new(), task::LIBRARIES));
        let loader = format!("{}/{}", task::LIBRARIES, libraries.loader);
        command.extend([loader, "--library-path".to_owned(), task::LIBRARIES.to_owned()]);
    }
    command.extend([task::PROGRAM.to_owned(), "image-step".to_owned()]);
    // What a RUN runs is not shown where the platform looks for results.
    if !matches!(step.task, Task::Run(_)) {
        mounts.push(folder(request, &result_place(step.number), task::RESULT_FOLDER, Access::ReadWrite));
    }
    mounts.extend(step.mounts);
    let variables = step.variables.into_iter();
    let env = variables.map(|(name, value)| (format!("{}{name}", task::VARIABLE_PREFIX), value.into_bytes()));
    Ok(ContainerSpec {
        id: build_id(request.build),
        root: Root::Build,
        layers: step.over.layers(),
        user: ProgramUser::ROOT,
        image_user: String::new(),
        env: env.collect(),
        disk: Disk::Volume { id: volume_id(request.build), folder: root_place(step.number) },
        network: step.network,
        time_limit: Some(bounds.left() + LONGER),
        ..base(config, request, "build", mounts, command)
    })
}
