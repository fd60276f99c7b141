//! An image: its Dockerfile, the images that it begins from, and its stages one after the other.

use std::collections::BTreeMap;

use paddock_core::build_record::{BuildRecord, FactKind, ToldBy};
use paddock_core::{LayerDigest, ProcessType, hex};
use sha2::{Digest, Sha256};

use super::fetched::Found;
use super::files::{Built, Files};
use super::making::Making;
use super::source::Context;
use super::{BaseImage, BaseImageError, key, outcome};
use crate::dockerfile::{Base, Dockerfile, DockerfileError, Mention, Plan};
use crate::heroku_yml::ImageBuild;
use crate::host::{BuildFailure, FailureKind};
use crate::output;

/// The argument that every build has, where a Dockerfile declares it.
const SOURCE_VERSION: &str = "SOURCE_VERSION";
/// The longest text of an instruction that is shown, in characters.
const SHOWN_CHARACTERS_MAX: usize = 1_000;

/// What the steps of one Dockerfile have come to so far.
pub(super) struct Progress {
    pub(super) plan: Plan,
    pub(super) context: Context,
    pub(super) found: Found,
    pub(super) bases: BTreeMap<String, BaseImage>,
    /// Of stages that are done.
    pub(super) stages: BTreeMap<usize, Files>,
    pub(super) sizes: BTreeMap<LayerDigest, u64>,
    /// How many steps there are in all, and how many were begun.
    pub(super) total: usize,
    pub(super) begun: usize,
    /// What people tell the last step by.
    pub(super) shown: String,
}

impl Progress {
    /// The files that a stage begins from, or something is copied from.
    pub(super) fn files_of(&self, base: &Base) -> Result<Files, BuildFailure> {
        match base {
            Base::Scratch => Ok(Files::default()),
            Base::Image(image) => self.bases.get(image).map(files).ok_or_else(|| missing(image)),
            Base::Stage(number) => {
                self.stages.get(number).cloned().ok_or_else(|| missing(&number.to_string()))
            }
        }
    }
}

fn files(image: &BaseImage) -> Files {
    Files { layers: image.layers.clone(), base: image.base.clone() }
}

/// An image that a Dockerfile begins from, by all that lies in it.
fn note_base(record: &mut BuildRecord, name: &str, base: &BaseImage) {
    let stack = base.base.iter().map(|stack| format!("{} {}", stack.stack.as_str(), stack.version));
    let all: Vec<_> = stack.chain(base.layers.iter().map(ToString::to_string)).collect();
    let digest = hex(&Sha256::digest(all.join("\n")));
    let value = format!("sha256:{digest} of {} layers", all.len());
    record.note(ToldBy::Server, FactKind::Base, name, &value);
}

fn missing(what: &str) -> BuildFailure {
    BuildFailure::platform(format!("what a step begins from is not there: {what}"))
}

impl Making<'_> {
    /// Builds an image, or says that it was built before under another name.
    pub(super) async fn image(
        &mut self,
        name: &ProcessType,
        build: &ImageBuild,
        before: Option<&Built>,
    ) -> Result<Built, BuildFailure> {
        let header = format!("\n=== Building {name} ({})\n", build.dockerfile);
        self.screen.text(&header).await;
        if let Some(built) = before {
            self.end(built).await;
            return Ok(built.clone());
        }
        let mut progress = self.plan(build).await?;
        let numbers: Vec<_> = progress.plan.stages.iter().map(|stage| stage.number).collect();
        for (at, number) in numbers.iter().enumerate() {
            let files = self.stage(build, &mut progress, at).await?;
            progress.stages.insert(*number, files);
        }
        let last = progress.plan.stages.last().map(|stage| stage.config.clone()).unwrap_or_default();
        let files = numbers.last().and_then(|number| progress.stages.remove(number)).unwrap_or_default();
        let built = Built { image: outcome::image(files, last), sizes: progress.sizes };
        self.end(&built).await;
        Ok(built)
    }

    async fn end(&mut self, built: &Built) {
        let id = &built.image.id.hex()[..12];
        self.screen.text(&format!("Successfully built {id}\n")).await;
    }

    /// Works out the steps of an image.
    async fn plan(&mut self, build: &ImageBuild) -> Result<Progress, BuildFailure> {
        let path = &build.dockerfile;
        let Some(context) = self.source.context(build) else {
            let problem = format!("There is no {path} in the source, which is to be built");
            return Err(self.refuse(FailureKind::Dockerfile, &problem).await);
        };
        let mut arguments = self.source.manifest.arguments.clone();
        let version = &self.request.source.version;
        let says_version = context.text.contains(SOURCE_VERSION) && !version.is_empty();
        if says_version {
            arguments.entry(SOURCE_VERSION.to_owned()).or_insert_with(|| version.clone());
        }
        let target = build.target.as_deref();
        let read = Dockerfile::read(context.text.as_bytes())
            .and_then(|file| Ok((file.needed(target, &arguments)?, file)));
        let (needed, file) = match read {
            Ok(read) => read,
            Err(error) => return Err(self.refuse_file(path, &error).await),
        };
        let mut bases = BTreeMap::new();
        for (image, mention) in needed.images {
            let base = self.base(path, &image, mention).await?;
            bases.insert(image, base);
        }
        let configs = bases.iter().map(|(name, base)| (name.clone(), base.config.clone())).collect();
        let mut plan = match file.plan(target, &arguments, &configs) {
            Ok(plan) => plan,
            Err(error) => return Err(self.refuse_file(path, &error).await),
        };
        plan.warnings.retain(|warning| !(says_version && warning.contains(&format!("[{SOURCE_VERSION}]"))));
        for warning in &plan.warnings {
            self.screen.text(&format!("[Warning] {warning}\n")).await;
        }
        let found = self.find_out(&plan, &context).await?;
        let total = plan.stages.iter().map(|stage| stage.steps.len()).sum();
        let (stages, sizes, shown) = (BTreeMap::new(), BTreeMap::new(), String::new());
        Ok(Progress { plan, context, found, bases, stages, sizes, total, begun: 0, shown })
    }

    async fn refuse_file(&mut self, path: &str, error: &DockerfileError) -> BuildFailure {
        self.refuse(FailureKind::Dockerfile, &format!("{path} {error}")).await
    }

    async fn base(
        &mut self,
        path: &str,
        image: &str,
        Mention { line, is_copied_from }: Mention,
    ) -> Result<BaseImage, BuildFailure> {
        let resolved = tokio::select! {
            resolved = self.ports.bases.resolve(image, self.log) => resolved,
            () = self.bounds.cancel.cancelled() => return Err(BuildFailure::of(FailureKind::Canceled)),
            () = tokio::time::sleep_until(self.bounds.until) => return Err(BuildFailure::of(FailureKind::TimedOut)),
        };
        match resolved {
            Ok(base) => {
                note_base(self.record, image, &base);
                Ok(base)
            }
            Err(BaseImageError::Refused(problem)) => {
                let problem = match is_copied_from {
                    true => format!("no stage before it is called {image}, and as an image: {problem}"),
                    false => format!("FROM {image}: {problem}"),
                };
                Err(self.refuse(FailureKind::BaseImage, &format!("{path} line {line}: {problem}")).await)
            }
            Err(BaseImageError::Platform(error)) => Err(BuildFailure::platform(error)),
        }
    }

    /// Says which step begins.
    pub(super) async fn begin(&mut self, progress: &mut Progress, text: &str) {
        progress.begun += 1;
        let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut cut: String = shown.chars().take(SHOWN_CHARACTERS_MAX).collect();
        if cut.len() < shown.len() {
            cut.push('…');
        }
        self.screen.text(&format!("Step {}/{} : {cut}\n", progress.begun, progress.total)).await;
    }

    /// Says what a step has come to.
    pub(super) async fn came_to(&mut self, progress: &mut Progress, text: &str, files: &Files) {
        let layers = files.layers.first().map(ToString::to_string).unwrap_or_default();
        progress.shown = key::shown(&progress.shown, &format!("{text}\n{layers}"));
        self.screen.text(&format!(" ---> {}\n", progress.shown)).await;
    }

    /// The failure of a step: a sentence about a line of its Dockerfile.
    pub(super) async fn refuse_step(
        &mut self,
        build: &ImageBuild,
        line: usize,
        problem: &str,
    ) -> BuildFailure {
        let problem = format!("{} line {line}: {problem}", build.dockerfile);
        self.refuse(FailureKind::Step, &problem).await
    }

    /// What a command that failed is called, as Docker has it.
    pub(super) async fn refuse_status(&mut self, words: &[String], status: i32) -> BuildFailure {
        let shown: String = words.join(" ").chars().take(SHOWN_CHARACTERS_MAX).collect();
        let shown = shown.lines().next().unwrap_or_default();
        let problem = format!("The command '{shown}' returned a non-zero code: {status}");
        self.screen.text(&output::problem(&problem)).await;
        BuildFailure::of(FailureKind::Step)
    }
}
