//! The steps of a stage: done, or found among those that were done before.

use std::ffi::CStr;
use std::io;

use paddock_core::build_record::ToldBy;
use paddock_images::tree::{entries, open_folder};
use paddock_runtime::{Access, LAYERS_MAX, Mount, Network};
use rustix::fs::CWD;

use super::containers::{Over, Step, folder, result_place, root_place};
use super::fetched::{of_copy, of_mount};
use super::files::Files;
use super::key::{StepAction, StepInputs};
use super::making::{Job, Making};
use super::stages::Progress;
use super::{DoneStep, StepKey};
use crate::dockerfile::{
    Action, Base, Body, CopyStep, PlannedMount, PlannedSource, RunNetwork, RunStep, Stage,
};
use crate::heroku_yml::ImageBuild;
use crate::host::record::{self, Watch};
use crate::host::{BuildFailure, disk};
use crate::image_step::task::{self, BUNDLED_FILE, NewFolder, Pick, Selection, Source, StepResult, Task};

/// A step that writes.
struct Writing<'a> {
    build: &'a ImageBuild,
    stage: &'a Stage,
    /// Its place among the stage's steps.
    at: usize,
    line: usize,
    /// The folders that instructions before it want.
    before: Vec<NewFolder>,
    action: StepAction<'a>,
}

impl Making<'_> {
    /// Does the steps of a stage.
    pub(super) async fn stage(
        &mut self,
        build: &ImageBuild,
        progress: &mut Progress,
        number: usize,
    ) -> Result<Files, BuildFailure> {
        let stage = progress.plan.stages[number].clone();
        let mut files = progress.files_of(&stage.base)?;
        let mut before: Vec<NewFolder> = Vec::new();
        let mut last = 0;
        for (at, step) in stage.steps.iter().enumerate() {
            self.begin(progress, &step.text).await;
            let action = match &step.action {
                Action::None => None,
                Action::Folder { path, user } => {
                    // With the next step that writes: a layer of its own would have one folder.
                    before.push(NewFolder { path: path.clone(), user: user.clone() });
                    last = step.line;
                    None
                }
                Action::Run(run) => Some(StepAction::Run(run)),
                Action::Copy(copy) => Some(StepAction::Copy(copy)),
            };
            if let Some(action) = action {
                let before = std::mem::take(&mut before);
                let writing = Writing { build, stage: &stage, at, line: step.line, before, action };
                self.write(progress, &mut files, writing).await?;
            }
            self.came_to(progress, &step.text, &files).await;
        }
        if !before.is_empty() {
            let action = StepAction::Folders;
            let writing = Writing { build, stage: &stage, at: stage.steps.len(), line: last, before, action };
            self.write(progress, &mut files, writing).await?;
        }
        Ok(files)
    }

    /// Does a step that writes, unless it was done before.
    async fn write(
        &mut self,
        progress: &mut Progress,
        files: &mut Files,
        writing: Writing<'_>,
    ) -> Result<(), BuildFailure> {
        let content = match content(progress, &writing)? {
            Ok(content) => content,
            Err(problem) => return Err(self.refuse_step(writing.build, writing.line, &problem).await),
        };
        let inputs = StepInputs { files, before: &writing.before, action: writing.action, content };
        let key = inputs.key().map_err(BuildFailure::platform)?;
        let step = format!("{} line {}", writing.build.dockerfile, writing.line);
        let known = self.known(&key).await;
        self.note_reuse(&step, known.is_some());
        let done = match known {
            Some(done) => {
                self.screen.text(" ---> Using cache\n").await;
                done
            }
            None => {
                let mut clock = Watch::start();
                let done = self.perform(progress, files, &writing).await;
                clock.note(self.record, &step);
                let done = done?;
                self.remember(&key, &done).await;
                done
            }
        };
        if let Some(layer) = &done.layer {
            record::layer(self.record, &step, layer, done.size_bytes);
        }
        if let Some(layer) = done.layer {
            progress.sizes.insert(layer.clone(), done.size_bytes);
            files.lay(layer);
        }
        Ok(())
    }

    fn note_reuse(&mut self, step: &str, reused: bool) {
        let why = if reused {
            "it was done before upon the same, with the same instruction, variables and files"
        } else {
            "no earlier build of the app did it upon the same, with the same instruction, variables and files"
        };
        self.record.reuse(ToldBy::Server, step, reused, why);
    }

    async fn known(&self, key: &StepKey) -> Option<DoneStep> {
        self.ports.steps.get(key).await.unwrap_or_else(|error| {
            tracing::warn!(error = error.as_ref() as &dyn std::error::Error, build.id = %self.request.build, "could not look for a step");
            None
        })
    }

    async fn remember(&self, key: &StepKey, done: &DoneStep) {
        if let Err(error) = self.ports.steps.put(key, done).await {
            // The step is good; the next build does it again.
            tracing::warn!(error = error.as_ref() as &dyn std::error::Error, build.id = %self.request.build, "could not keep a step");
        }
    }

    async fn perform(
        &mut self,
        progress: &Progress,
        files: &Files,
        writing: &Writing<'_>,
    ) -> Result<DoneStep, BuildFailure> {
        if files.count() >= LAYERS_MAX {
            let problem = format!(
                "an image has {LAYERS_MAX} layers at most, and this would be one more: join RUNs with &&"
            );
            return Err(self.refuse_step(writing.build, writing.line, &problem).await);
        }
        let number = self.next_number();
        let mut used = vec![root_place(number), result_place(number)];
        match &writing.action {
            StepAction::Run(run) => self.run(progress, files, writing, run, number, &mut used).await?,
            StepAction::Copy(copy) => self.copy(progress, files, writing, copy, number, &mut used).await?,
            StepAction::Folders => {
                let task = Task::Folders(writing.before.clone());
                self.task_over(files, writing, task, Vec::new(), number).await?;
            }
        }
        let done = self.pack(writing, number).await?;
        self.remove(&used).await?;
        Ok(done)
    }

    /// Runs a task over the image's files; what it says is wrong ends the build.
    async fn task_over(
        &mut self,
        files: &Files,
        writing: &Writing<'_>,
        task: Task,
        mounts: Vec<Mount>,
        number: u32,
    ) -> Result<(), BuildFailure> {
        let job = Job { over: Over::Files(files.clone()), task, mounts, network: Network::None };
        let result = self.task(number, job).await?;
        self.warn(writing, &result).await;
        match result.problem {
            None => Ok(()),
            Some(problem) => Err(self.refuse_step(writing.build, writing.line, &problem).await),
        }
    }

    async fn warn(&mut self, writing: &Writing<'_>, result: &StepResult) {
        for left_out in &result.left_out {
            self.screen.text(&format!("[Warning] line {}: {left_out}\n", writing.line)).await;
        }
    }

    async fn copy(
        &mut self,
        progress: &Progress,
        files: &Files,
        writing: &Writing<'_>,
        copy: &CopyStep,
        number: u32,
        used: &mut Vec<String>,
    ) -> Result<(), BuildFailure> {
        let keyword = if copy.is_add { "ADD" } else { "COPY" };
        let mut mounts = vec![folder(self.request, &progress.context.place, task::CONTEXT, Access::ReadOnly)];
        let mut sources = Vec::new();
        for source in &copy.sources {
            match source {
                PlannedSource::Path(path) if copy.from.is_none() => sources.push(Source::Path(path.clone())),
                PlannedSource::Text { name, text } => {
                    sources.push(Source::Text { name: name.clone(), text: text.clone() });
                }
                _ => {}
            }
        }
        let mut bundle =
            progress.found.fetched.get(&(writing.stage.number, writing.at)).map(|(place, _)| place.clone());
        if let (Some(from), Some(selection)) = (&copy.from, of_copy(copy)) {
            let place = self.pick(progress, writing, Some(from), selection, keyword).await?;
            used.push(place.clone());
            bundle = Some(place);
        }
        if let Some(place) = bundle {
            sources.push(Source::Bundle);
            mounts.push(folder(self.request, &place, task::BUNDLE, Access::ReadOnly));
        }
        let task = task::Copy {
            before: writing.before.clone(),
            keyword: keyword.to_owned(),
            sources,
            // What was picked is without them already.
            excludes: if copy.from.is_some() { Vec::new() } else { copy.excludes.clone() },
            ignore: progress.context.ignore.clone(),
            to: copy.to.clone(),
            owner: copy.owner.clone(),
            mode: copy.mode.clone(),
            keeps_owners: copy.from.is_some(),
            unpacks: copy.unpacks,
        };
        self.task_over(files, writing, Task::Copy(Box::new(task)), mounts, number).await
    }

    /// Takes files out of a stage, an image or the context (`None`) into a folder of the volume.
    async fn pick(
        &mut self,
        progress: &Progress,
        writing: &Writing<'_>,
        from: Option<&Base>,
        selection: Selection,
        keyword: &str,
    ) -> Result<String, BuildFailure> {
        let place = format!("picked-{}", self.next_number());
        let mut mounts = vec![folder(self.request, &place, task::BUNDLE, Access::ReadWrite)];
        let (over, context) = match from {
            Some(from) => (Over::Files(progress.files_of(from)?), None),
            None => {
                mounts.push(folder(self.request, &progress.context.place, task::CONTEXT, Access::ReadOnly));
                (Over::Nothing, Some(progress.context.ignore.clone()))
            }
        };
        let job = Job { over, task: Task::Pick(Pick { context, selection }), mounts, network: Network::None };
        let whose = format!("{} line {}: {keyword}: ", writing.build.dockerfile, writing.line);
        self.look(job, &whose).await?;
        Ok(place)
    }

    async fn run(
        &mut self,
        progress: &Progress,
        files: &Files,
        writing: &Writing<'_>,
        run: &RunStep,
        number: u32,
        used: &mut Vec<String>,
    ) -> Result<(), BuildFailure> {
        let (mut mounts, mut own) = (Vec::new(), Vec::new());
        for mount in &run.mounts {
            let (place, target, access) = match mount {
                PlannedMount::Bind { from, source, is_writable, target } => {
                    let place =
                        self.pick(progress, writing, from.as_ref(), of_mount(source), "--mount").await?;
                    used.push(place.clone());
                    let Some(inner) = self.picked(&place).await? else {
                        let problem = format!("--mount: there is no {source} there");
                        return Err(self.refuse_step(writing.build, writing.line, &problem).await);
                    };
                    (inner, target, if *is_writable { Access::ReadWrite } else { Access::ReadOnly })
                }
                PlannedMount::Cache { id, target } => {
                    own.push(target.clone());
                    (format!("cache-{}", super::key::shown("cache", id)), target, Access::ReadWrite)
                }
                PlannedMount::Memory { target } => {
                    own.push(target.clone());
                    let place = format!("memory-{}", self.next_number());
                    used.push(place.clone());
                    (place, target, Access::ReadWrite)
                }
            };
            mounts.push(folder(self.request, &place, target, access));
        }
        self.screen.text(&format!(" ---> Running in {:012x}\n", u64::from(number) | self.short_id())).await;
        let (body, script) = body(&run.body);
        mounts.extend(script);
        let words = shown_words(&run.body);
        let task = task::Run {
            before: writing.before.clone(),
            body,
            user: run.user.clone(),
            working_dir: run.working_dir.clone(),
            own,
        };
        let mut variables = self.builder.config.site_env.clone();
        // What names a file of the server's is of use where the image lies on its stack.
        variables.retain(|_, value| files.base.is_some() || !value.starts_with('/'));
        variables.extend(run.env.clone());
        let step = Step {
            number,
            over: Over::Files(files.clone()),
            task: Task::Run(Box::new(task)),
            mounts,
            variables: variables.into_iter().collect(),
            network: if run.network == RunNetwork::None { Network::None } else { Network::Outbound },
        };
        let exit = self.shown(step).await?;
        if exit.status != 0 {
            return Err(self.refuse_status(&words, exit.status).await);
        }
        Ok(())
    }

    /// Digits of the build's id, for what people tell a container by.
    fn short_id(&self) -> u64 {
        let id = self.request.build.uuid().as_u128();
        u64::try_from(id & 0xffff_ffff).unwrap_or(0) << 16
    }

    /// What was picked for a mount: a folder, or the only file.
    async fn picked(&self, place: &str) -> Result<Option<String>, BuildFailure> {
        let (root, place) = (self.workspace().on_disk(place), place.to_owned());
        let found = disk::blocking(move || {
            let root = open_folder(CWD, &root)?;
            let Some((name, _)) = entries(&root)?.into_iter().next() else { return Ok(None) };
            let inner = entries(&open_folder(&root, &name)?)?.into_iter().next();
            let path = |name: &CStr| name.to_str().map(str::to_owned).map_err(io::Error::other);
            let place = format!("{place}/{}", path(&name)?);
            match inner {
                Some((file, _)) if name.to_bytes().starts_with(BUNDLED_FILE.as_bytes()) => {
                    Ok(Some(format!("{place}/{}", path(&file)?)))
                }
                _ => Ok(Some(place)),
            }
        });
        found.await.map_err(|error| crate::host::run::platform("could not look at what was picked", error))
    }

    /// Makes a layer of what a step has written, seeing nothing else.
    async fn pack(&mut self, writing: &Writing<'_>, written: u32) -> Result<DoneStep, BuildFailure> {
        let number = self.next_number();
        let (upper, place) = (format!("{}/upper", root_place(written)), format!("layer-{number}"));
        let mounts = vec![
            folder(self.request, &upper, task::UPPER, Access::ReadOnly),
            folder(self.request, &place, task::LAYER_FOLDER, Access::ReadWrite),
        ];
        let job = Job { over: Over::Nothing, task: Task::Pack, mounts, network: Network::None };
        let result = self.task(number, job).await?;
        if let Some(problem) = &result.problem {
            return Err(self.refuse_step(writing.build, writing.line, problem).await);
        }
        self.warn(writing, &result).await;
        let mut done = DoneStep::default();
        if result.entries > 0 {
            let file = self.workspace().on_disk(&place).join(task::LAYER_NAME);
            let size = file.symlink_metadata().map(|found| found.len());
            let size = size.map_err(|error| crate::host::run::platform("could not find a layer", error))?;
            let layer = self.builder.layers.add(&file).await.map_err(BuildFailure::platform)?;
            done = DoneStep { layer: Some(layer), size_bytes: size };
        }
        self.remove(&[root_place(number), result_place(number), place]).await?;
        Ok(done)
    }
}

/// What a step depends on besides what it says: digests, and the files of what it takes from elsewhere. Else why it cannot be
/// done.
fn content(progress: &Progress, writing: &Writing<'_>) -> Result<Result<Vec<String>, String>, BuildFailure> {
    let stage = writing.stage.number;
    let of_context = |place: usize| {
        let looked = progress.found.of_context.get(&(stage, writing.at, place));
        looked.cloned().unwrap_or_else(|| Ok(String::new()))
    };
    let of_files = |base: &Base| -> Result<String, BuildFailure> {
        serde_json::to_string(&progress.files_of(base)?).map_err(BuildFailure::platform)
    };
    let mut content = Vec::new();
    match &writing.action {
        StepAction::Folders => {}
        StepAction::Copy(copy) => match &copy.from {
            Some(from) => content.push(of_files(from)?),
            None => {
                match of_context(0) {
                    Ok(digest) => content.push(digest),
                    Err(problem) => {
                        let keyword = if copy.is_add { "ADD" } else { "COPY" };
                        return Ok(Err(format!("{keyword}: {problem}")));
                    }
                }
                content.extend(
                    progress.found.fetched.get(&(stage, writing.at)).map(|(_, digest)| digest.clone()),
                );
            }
        },
        StepAction::Run(run) => {
            for (place, mount) in run.mounts.iter().enumerate() {
                match mount {
                    PlannedMount::Bind { from: Some(from), .. } => content.push(of_files(from)?),
                    PlannedMount::Bind { from: None, .. } => match of_context(place) {
                        Ok(digest) => content.push(digest),
                        Err(problem) => return Ok(Err(format!("--mount: {problem}"))),
                    },
                    PlannedMount::Cache { .. } | PlannedMount::Memory { .. } => {}
                }
            }
        }
    }
    Ok(Ok(content))
}

/// What is run, and the file that it is if it is a text.
fn body(body: &Body) -> (task::Body, Option<Mount>) {
    match body {
        Body::Words(words) => (task::Body::Words(words.clone()), None),
        Body::Script(text) => {
            let first = text.lines().next().unwrap_or_default().trim_start_matches("#!").trim();
            let source = paddock_runtime::MountSource::Text(text.clone());
            let script = Mount { target: task::SCRIPT_FILE.to_owned(), source };
            (task::Body::Script(first.to_owned()), Some(script))
        }
    }
}

fn shown_words(body: &Body) -> Vec<String> {
    match body {
        Body::Words(words) => words.clone(),
        Body::Script(text) => text.lines().next().map(str::to_owned).into_iter().collect(),
    }
}
