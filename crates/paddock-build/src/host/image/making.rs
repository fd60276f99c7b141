//! Containers of a build of images, run one after the other.

use bytes::Bytes;
use paddock_core::build_record::BuildRecord;
use paddock_runtime::{ContainerSpec, Exit, Network, RuntimeError};
use tokio::sync::mpsc;

use super::ImagePorts;
use super::containers::{self, Over, Step, result_place, root_place};
use super::source::Source;
use crate::host::screen::Screen;
use crate::host::watch::Bounds;
use crate::host::workspace::Workspace;
use crate::host::{BuildFailure, BuildLog, BuildRequest, Builder, FailureKind, disk, run};
use crate::image_step::task::{self, StepResult, Task};
use crate::output;

/// A build of images under way.
pub(super) struct Making<'a> {
    pub(super) builder: &'a Builder,
    pub(super) request: &'a BuildRequest,
    pub(super) ports: ImagePorts<'a>,
    pub(super) log: &'a BuildLog,
    pub(super) screen: &'a mut Screen,
    pub(super) bounds: Bounds<'a>,
    pub(super) source: &'a Source,
    pub(super) record: &'a mut BuildRecord,
    /// How many containers and folders there have been.
    numbers: u32,
}

/// What a container is to do, and what it sees besides.
pub(super) struct Job {
    pub(super) over: Over,
    pub(super) task: Task,
    pub(super) mounts: Vec<paddock_runtime::Mount>,
    pub(super) network: Network,
}

impl<'a> Making<'a> {
    pub(super) fn new(
        builder: &'a Builder,
        request: &'a BuildRequest,
        ports: ImagePorts<'a>,
        log: &'a BuildLog,
        (screen, record): (&'a mut Screen, &'a mut BuildRecord),
        bounds: Bounds<'a>,
        source: &'a Source,
    ) -> Self {
        Self { builder, request, ports, log, screen, bounds, source, record, numbers: 0 }
    }

    pub(super) fn workspace(&self) -> &'a Workspace {
        &self.source.workspace
    }

    pub(super) fn next_number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    /// A sentence for the author, and the end of the build.
    pub(super) async fn refuse(&mut self, kind: FailureKind, problem: &str) -> BuildFailure {
        self.screen.text(&output::problem(problem)).await;
        BuildFailure::of(kind)
    }

    fn spec(&self, step: Step) -> Result<ContainerSpec, BuildFailure> {
        let spec = containers::spec(&self.builder.config, self.request, self.bounds, step);
        spec.map_err(BuildFailure::platform)
    }

    /// Whether the build may begin one more container.
    fn check(&self) -> Result<(), BuildFailure> {
        if self.bounds.cancel.is_cancelled() {
            return Err(BuildFailure::of(FailureKind::Canceled));
        }
        if self.bounds.left().is_zero() {
            return Err(BuildFailure::of(FailureKind::TimedOut));
        }
        Ok(())
    }

    /// Runs a program of the tenant's, with its output on the screen. What it wrote is in the folder of this number.
    pub(super) async fn shown(&mut self, step: Step) -> Result<Exit, BuildFailure> {
        self.check()?;
        let spec = self.spec(step)?;
        let exit = self.builder.watch(spec, self.request, self.screen, self.bounds).await?;
        if exit.status != 0 && exit.out_of_memory {
            return Err(BuildFailure::of(FailureKind::OutOfMemory));
        }
        Ok(exit)
    }

    /// Runs a task of ours and hears what came of it. A problem of the tenant's is a result, too; what was written to the root
    /// is in the folder of the number.
    pub(super) async fn task(&mut self, number: u32, job: Job) -> Result<StepResult, BuildFailure> {
        self.check()?;
        let Job { over, task, mounts, network } = job;
        let spec = self.spec(Step { number, over, task, mounts, variables: Vec::new(), network })?;
        let (log, mut said) = mpsc::channel(16);
        let (builder, request, bounds) = (self.builder, self.request, self.bounds);
        let working = async move {
            // Dropped at the end, which ends the listening.
            let mut silent = Screen::new(log);
            builder.watch(spec, request, &mut silent, bounds).await
        };
        let listening = async {
            let mut last = Bytes::new();
            while let Some(line) = said.recv().await {
                last = line;
            }
            last
        };
        let (exit, last) = tokio::join!(working, listening);
        let exit = exit?;
        if exit.out_of_memory {
            return Err(BuildFailure::of(FailureKind::OutOfMemory));
        }
        if exit.status != 0 {
            let said = String::from_utf8_lossy(&last).trim().to_owned();
            return Err(BuildFailure::platform(format!("a task ended with {}: {said}", exit.status)));
        }
        let (workspace, place) = (self.workspace().clone(), result_place(number));
        let result: StepResult =
            disk::blocking(move || workspace.read(&place, task::RESULT_NAME)).await.map_err(|error| {
                BuildFailure::platform(RuntimeError::host("read the result of a task", error))
            })?;
        if result.problem.is_some() && self.builder.disk_is_full(self.request).await {
            return Err(BuildFailure::of(FailureKind::OutOfDisk));
        }
        Ok(result)
    }

    /// The same for a task whose root nobody looks at; a problem ends the build.
    pub(super) async fn look(&mut self, job: Job, where_from: &str) -> Result<StepResult, BuildFailure> {
        let number = self.next_number();
        let result = self.task(number, job).await?;
        self.remove(&[root_place(number), result_place(number)]).await?;
        match &result.problem {
            None => Ok(result),
            Some(problem) => Err(self.refuse(FailureKind::Step, &format!("{where_from}{problem}")).await),
        }
    }

    /// Removes folders of the volume: what steps leave shares the build's disk.
    pub(super) async fn remove(&self, places: &[String]) -> Result<(), BuildFailure> {
        let folders: Vec<_> = places.iter().map(|place| self.workspace().on_disk(place)).collect();
        disk::blocking(move || {
            folders.iter().try_for_each(|folder| paddock_images::tree::remove_tree(folder))
        })
        .await
        .map_err(|error| run::platform("could not remove what a step has left", error))
    }
}
