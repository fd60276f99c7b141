//! The steps of the stages that a target needs, with variables put in.

use std::collections::{BTreeMap, BTreeSet};

use paddock_core::image::ImageConfig;
use serde::Serialize;

use super::DockerfileError;
use super::heredoc;
use super::instruction::{Copy, CopySource, Instruction, Kind, Run, RunNetwork, Words};
use super::mount::MountKind;
use super::stages::{Dockerfile, Source};
use super::state::State;

/// What is to be done for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Each after those that it needs; the last one is the target.
    pub stages: Vec<Stage>,
    /// What is left out of it and somebody might miss.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its number in the file.
    pub number: usize,
    pub base: Base,
    pub steps: Vec<Step>,
    /// What its image says of how it is run.
    pub config: ImageConfig,
}

/// Where files come from that are there before a step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage, by its number.
    Stage(usize),
    /// An image, as it is written.
    Image(String),
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub line: usize,
    /// As it was written: values of arguments are not in it.
    pub text: String,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing that touches files.
    None,
    Run(RunStep),
    Copy(CopyStep),
    /// A folder is there afterwards.
    Folder {
        path: String,
        /// Whose it is if it is made.
        user: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunStep {
    pub body: Body,
    pub env: BTreeMap<String, String>,
    pub user: String,
    pub working_dir: String,
    pub mounts: Vec<PlannedMount>,
    pub network: RunNetwork,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A program and its arguments.
    Words(Vec<String>),
    /// A file with this text, which says itself what reads it.
    Script(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedMount {
    Bind {
        /// `None` is the context.
        from: Option<Base>,
        source: String,
        is_writable: bool,
        target: String,
    },
    Cache {
        id: String,
        target: String,
    },
    Memory {
        target: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyStep {
    pub is_add: bool,
    /// `None` is the context.
    pub from: Option<Base>,
    pub sources: Vec<PlannedSource>,
    /// An absolute path; with a slash at its end a folder.
    pub to: String,
    pub owner: Option<String>,
    pub mode: Option<String>,
    pub excludes: Vec<String>,
    /// Whether archives are unpacked.
    pub unpacks: bool,
    pub checksum: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedSource {
    /// A path or a pattern, from the root of where it comes from on; without a slash at its beginning.
    Path(String),
    Url(String),
    Text {
        name: String,
        text: String,
    },
}

/// What a plan is made with.
struct Planner<'a> {
    file: &'a Dockerfile,
    arguments: &'a BTreeMap<String, String>,
    globals: BTreeMap<String, String>,
    warnings: Vec<String>,
}

/// What is wrong with an instruction: a sentence without its full stop.
type Result<T> = std::result::Result<T, String>;

impl Dockerfile {
    /// The steps for a target. `arguments` are the build's, `images` what the images say that [`Self::needed`] names.
    ///
    /// # Errors
    /// A sentence for the author.
    pub fn plan(
        &self,
        target: Option<&str>,
        arguments: &BTreeMap<String, String>,
        images: &BTreeMap<String, ImageConfig>,
    ) -> std::result::Result<Plan, DockerfileError> {
        let needed = self.needed(target, arguments)?;
        let globals = self.global_arguments(arguments)?;
        let mut planner = Planner { file: self, arguments, globals, warnings: Vec::new() };
        let mut states: BTreeMap<usize, State> = BTreeMap::new();
        let mut stages = Vec::new();
        for number in needed.stages {
            let base = self.base_of(number, &planner.globals)?;
            let mut triggers = Vec::new();
            let state = match &base {
                Source::Scratch => State::beginning_from(ImageConfig::default()),
                Source::Image(image) => {
                    let config = images.get(image).cloned().unwrap_or_default();
                    triggers = self.triggers(number, image, &config)?;
                    State::beginning_from(config)
                }
                Source::Stage(earlier) => states
                    .get(earlier)
                    .map(State::inherited)
                    .ok_or_else(|| DockerfileError::whole("a stage begins from one that is not built"))?,
            };
            let (stage, state) = planner.stage(number, base, &triggers, state)?;
            states.insert(number, state);
            stages.push(stage);
        }
        planner.unused_arguments();
        Ok(Plan { stages, warnings: planner.warnings })
    }
}

impl Planner<'_> {
    fn stage(
        &mut self,
        number: usize,
        base: Source,
        triggers: &[Instruction],
        mut state: State,
    ) -> std::result::Result<(Stage, State), DockerfileError> {
        let written = &self.file.stages[number];
        let mut steps = vec![Step { line: written.line, text: written.text.clone(), action: Action::None }];
        let own = self.file.instructions_of(number, &self.globals)?;
        for instruction in triggers.iter().chain(own) {
            let action = self.action(number, instruction, &mut state);
            let action = action.map_err(|problem| DockerfileError::at(instruction.line, problem))?;
            steps.push(Step { line: instruction.line, text: instruction.text.clone(), action });
        }
        let stage = Stage { number, base: base.into(), steps, config: state.config.clone() };
        Ok((stage, state))
    }

    fn action(&mut self, stage: usize, instruction: &Instruction, state: &mut State) -> Result<Action> {
        let escape = self.file.escape;
        match &instruction.kind {
            Kind::Arg(args) => state.set_arguments(escape, args, self.arguments, &self.globals)?,
            Kind::Env(pairs) => state.set_env(escape, pairs)?,
            Kind::User(user) => state.set_user(escape, user)?,
            Kind::Shell(shell) => state.shell.clone_from(shell),
            Kind::Entrypoint(words) => state.set_entrypoint(words),
            Kind::Cmd(words) => state.set_command(words),
            Kind::Expose(ports) => state.expose(escape, ports)?,
            Kind::Workdir(path) => {
                let path = state.set_working_dir(escape, path)?;
                if path != "/" {
                    return Ok(Action::Folder { path, user: state.config.user.clone() });
                }
            }
            Kind::Run(run) => return self.run(stage, instruction.line, run, state).map(Action::Run),
            Kind::Copy(copy) => return self.copy(stage, copy, state).map(Action::Copy),
            Kind::From(_) | Kind::Onbuild(_) | Kind::LeftOut => {}
        }
        Ok(Action::None)
    }

    fn run(&mut self, stage: usize, line: usize, run: &Run, state: &State) -> Result<RunStep> {
        let mut mounts = Vec::new();
        for text in &run.mounts {
            let mount = state.mount(self.file.escape, text)?;
            let target = match mount.kind {
                MountKind::Secret { .. } => String::new(),
                _ => state.absolute(&mount.target)?.trim_end_matches('/').to_owned(),
            };
            let is_taken = |taken: &str| target == taken || target.starts_with(&format!("{taken}/"));
            if !matches!(mount.kind, MountKind::Secret { .. })
                && (target.is_empty() || ["/dev", "/proc", "/sys"].into_iter().any(is_taken))
            {
                return Err(format!("--mount cannot lie over {}", mount.target));
            }
            mounts.push(match mount.kind {
                MountKind::Bind { from, source, is_writable } => {
                    let from = from.map(|from| self.file.source(stage, &from)).transpose()?.map(Base::from);
                    PlannedMount::Bind { from, source: relative(&source)?, is_writable, target }
                }
                MountKind::Cache { id } => {
                    self.warn_of_caches(line);
                    PlannedMount::Cache { id, target }
                }
                MountKind::Memory => PlannedMount::Memory { target },
                MountKind::Secret { what, is_required: true } => {
                    return Err(format!(
                        "--mount=type={what} with required is not built: no build has one here"
                    ));
                }
                MountKind::Secret { what, .. } => {
                    let warning =
                        format!("line {line}: --mount=type={what} is not built, so nothing is mounted");
                    self.warnings.push(warning);
                    continue;
                }
            });
        }
        Ok(RunStep {
            body: body(run, state),
            env: state.environment(),
            user: state.config.user.clone(),
            working_dir: state.config.working_dir.clone(),
            mounts,
            network: run.network,
        })
    }

    /// Once is enough.
    fn warn_of_caches(&mut self, line: usize) {
        let warning = "--mount=type=cache is an empty folder at the start of each build: nothing is kept in it for the next";
        if !self.warnings.iter().any(|there| there.ends_with(warning)) {
            self.warnings.push(format!("line {line}: {warning}"));
        }
    }

    fn copy(&self, stage: usize, copy: &Copy, state: &State) -> Result<CopyStep> {
        let word = |text: &String| state.word(self.file.escape, text);
        let from = copy.from.as_ref().map(|from| self.file.source(stage, from)).transpose()?;
        let mut sources = Vec::new();
        for source in &copy.sources {
            sources.push(match source {
                CopySource::Path(path) => self.planned(copy, from.is_some(), &word(path)?)?,
                CopySource::Text { name, text, is_expanded } => {
                    let text = if *is_expanded { state.text(text)? } else { text.clone() };
                    PlannedSource::Text { name: file_name(name)?, text }
                }
            });
        }
        let fetched = sources.iter().filter(|source| matches!(source, PlannedSource::Url(_))).count();
        if copy.checksum.is_some() && (fetched != 1 || sources.len() != 1) {
            return Err("ADD --checksum is for one address, and nothing else to add".to_owned());
        }
        let to = word(&copy.to)?;
        let absolute = state.absolute(&to)?;
        let optional = |text: &Option<String>| text.as_ref().map(word).transpose();
        let owner = optional(&copy.owner)?.filter(|owner| !owner.is_empty());
        let mode = optional(&copy.mode)?.filter(|mode| !mode.is_empty());
        if let Some(mode) = &mode {
            check_mode(mode)?;
        }
        Ok(CopyStep {
            is_add: copy.is_add,
            from: from.map(Base::from),
            sources,
            to: absolute,
            owner,
            mode,
            excludes: copy.excludes.iter().map(word).collect::<Result<_>>()?,
            unpacks: copy.unpack.unwrap_or(copy.is_add && fetched == 0),
            checksum: optional(&copy.checksum)?,
        })
    }

    fn planned(&self, copy: &Copy, is_from: bool, path: &str) -> Result<PlannedSource> {
        let lower = path.to_ascii_lowercase();
        let is_url = lower.starts_with("http://") || lower.starts_with("https://");
        let is_git = lower.starts_with("git@")
            || lower.starts_with("git://")
            || lower.starts_with("ssh://")
            || (is_url && lower.split('#').next().is_some_and(|url| url.ends_with(".git")));
        match (copy.is_add, is_url, is_git) {
            (true, _, true) => {
                Err("ADD of a git repository is not built: fetch it with RUN git clone".to_owned())
            }
            (true, true, false) => Ok(PlannedSource::Url(path.to_owned())),
            (false, true, _) => Err("COPY takes files alone; ADD fetches an address".to_owned()),
            _ if is_from => Ok(PlannedSource::Path(relative(path)?)),
            _ => {
                if climbs(path) {
                    return Err(format!(
                        "{} {path} leads out of the folder that is built, the one with the Dockerfile",
                        copy.keyword()
                    ));
                }
                Ok(PlannedSource::Path(relative(path)?))
            }
        }
    }

    /// Docker says so, too: a name that was written wrong is found by it.
    fn unused_arguments(&mut self) {
        let mut declared = BTreeSet::new();
        let stages = self.file.stages.iter().flat_map(|stage| &stage.instructions);
        for instruction in self.file.globals.iter().chain(stages) {
            if let Kind::Arg(args) = &instruction.kind {
                declared.extend(args.iter().map(|(name, _)| name.as_str()));
            }
        }
        let unused: Vec<_> =
            self.arguments.keys().map(String::as_str).filter(|name| !declared.contains(name)).collect();
        if !unused.is_empty() {
            self.warnings.push(format!("One or more build-args [{}] were not consumed", unused.join(" ")));
        }
    }
}

impl From<Source> for Base {
    fn from(source: Source) -> Self {
        match source {
            Source::Scratch => Self::Scratch,
            Source::Stage(number) => Self::Stage(number),
            Source::Image(image) => Self::Image(image),
        }
    }
}

fn body(run: &Run, state: &State) -> Body {
    let (Words::Line(line), Some(text)) = (&run.words, run.texts.first()) else {
        return Body::Words(state.words(&run.words));
    };
    // A text and nothing else is what is run; with a command before it, it is the shell's.
    if run.texts.len() == 1 && line.split_whitespace().count() == 1 && heredoc::parse(line.trim()).is_some() {
        let content = text.content();
        if content.starts_with("#!") {
            return Body::Script(content);
        }
        return Body::Words(state.words(&Words::Line(content)));
    }
    let mut whole = line.clone();
    for text in &run.texts {
        whole.push_str(&format!("\n{}{}", text.text, text.name));
    }
    Body::Words(state.words(&Words::Line(whole)))
}

/// A path from a root on, without `.`, and `..` goes no higher than that. A slash at its end stays.
fn relative(path: &str) -> Result<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    Ok(parts.join("/") + slash)
}

/// Whether a path leads out of where it begins.
fn climbs(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

fn file_name(name: &str) -> Result<String> {
    let name = name.rsplit('/').next().unwrap_or_default();
    if matches!(name, "" | "." | "..") {
        return Err("a text that follows needs the name of a file".to_owned());
    }
    Ok(name.to_owned())
}

/// Octal digits, or words such as `u=rwX,go-w`, which are read where files have modes.
fn check_mode(mode: &str) -> Result<()> {
    if crate::image_step::Mode::parse(mode).is_some() {
        return Ok(());
    }
    Err(format!("--chmod takes a mode such as 755 or u=rwX,go=rX, not {mode}"))
}

impl PlannedSource {
    /// Whether it may be several files.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        matches!(self, Self::Path(path) if path.contains(['*', '?', '[']))
    }
}
