//! The stages of a Dockerfile: which begins from which, and which of them a target needs.

use std::collections::{BTreeMap, BTreeSet};

use paddock_core::image::ImageConfig;

use super::expand::Expander;
use super::instruction::{Copy, From, Instruction, Kind};
use super::{DockerfileError, lines, mount, read};

/// The image without anything in it.
pub(super) const SCRATCH: &str = "scratch";

/// A Dockerfile that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    pub(super) escape: char,
    /// The ARGs before the first stage.
    pub(super) globals: Vec<Instruction>,
    pub(super) stages: Vec<WrittenStage>,
}

/// A stage as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenStage {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) from: From,
    pub(super) instructions: Vec<Instruction>,
}

/// What a target needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Its stages by number, each after those that it needs; the last one is the target.
    pub stages: Vec<usize>,
    /// The images that they begin from or copy from, as they are written there, and where they are first named.
    pub images: BTreeMap<String, Mention>,
}

/// Where an image is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mention {
    pub line: usize,
    /// In `--from` or `from=`, where the name may be meant for a stage.
    pub is_copied_from: bool,
}

/// What a stage begins from, or a file is copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Scratch,
    Stage(usize),
    Image(String),
}

impl Dockerfile {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence for its author.
    pub fn read(bytes: &[u8]) -> Result<Self, DockerfileError> {
        let file = lines::read(bytes)?;
        let mut dockerfile = Self { escape: file.escape, globals: Vec::new(), stages: Vec::new() };
        for line in &file.lines {
            let instruction = read::instruction(line, file.escape)?;
            dockerfile.add(instruction)?;
        }
        if dockerfile.stages.is_empty() {
            let problem = "it has no FROM, which says what image it begins from";
            return Err(DockerfileError::whole(problem));
        }
        Ok(dockerfile)
    }

    fn add(&mut self, instruction: Instruction) -> Result<(), DockerfileError> {
        match (instruction.kind, self.stages.last_mut()) {
            (Kind::From(from), _) => self.stages.push(WrittenStage {
                line: instruction.line,
                text: instruction.text,
                from,
                instructions: Vec::new(),
            }),
            (kind, Some(stage)) => stage.instructions.push(Instruction { kind, ..instruction }),
            (kind @ Kind::Arg(_), None) => self.globals.push(Instruction { kind, ..instruction }),
            (_, None) => {
                let (keyword, _) = super::words::first(&instruction.text);
                let keyword = keyword.to_ascii_uppercase();
                let problem = format!("{keyword} stands before the first FROM, where only ARG may");
                return Err(DockerfileError::at(instruction.line, problem));
            }
        }
        Ok(())
    }

    /// What a target needs: a stage's name or number, or the last stage. `arguments` are the build's.
    ///
    /// # Errors
    /// A sentence for the author: no such stage, a stage that needs a later one.
    pub fn needed(
        &self,
        target: Option<&str>,
        arguments: &BTreeMap<String, String>,
    ) -> Result<Needed, DockerfileError> {
        let target = match target {
            None => self.stages.len() - 1,
            Some(name) => self.stage_named(name, self.stages.len()).ok_or_else(|| {
                let problem = format!("it has no stage {name}, which is to be built");
                DockerfileError::whole(problem)
            })?,
        };
        let globals = self.global_arguments(arguments)?;
        let mut needed = Needed { stages: Vec::new(), images: BTreeMap::new() };
        let (mut seen, mut waiting) = (BTreeSet::from([target]), vec![target]);
        while let Some(stage) = waiting.pop() {
            for (source, mention) in self.sources_of(stage, &globals)? {
                match source {
                    Source::Scratch => {}
                    Source::Image(image) => {
                        needed.images.entry(image).or_insert(mention);
                    }
                    Source::Stage(other) => {
                        if seen.insert(other) {
                            waiting.push(other);
                        }
                    }
                }
            }
        }
        // A stage needs earlier ones alone.
        needed.stages = seen.into_iter().collect();
        Ok(needed)
    }

    /// Everything that a stage begins or copies from.
    fn sources_of(
        &self,
        stage: usize,
        globals: &BTreeMap<String, String>,
    ) -> Result<Vec<(Source, Mention)>, DockerfileError> {
        let from = Mention { line: self.stages[stage].line, is_copied_from: false };
        let mut sources = vec![(self.base_of(stage, globals)?, from)];
        for instruction in self.instructions_of(stage, globals)? {
            let at = |problem| DockerfileError::at(instruction.line, problem);
            let names = match &instruction.kind {
                Kind::Copy(copy) => copy.from.iter().cloned().collect(),
                Kind::Run(run) => {
                    let froms = run.mounts.iter().map(|text| mount::from_of(text));
                    froms.filter_map(Result::transpose).collect::<Result<_, _>>().map_err(at)?
                }
                _ => Vec::new(),
            };
            for name in names {
                let mention = Mention { line: instruction.line, is_copied_from: true };
                sources.push((self.source(stage, &name).map_err(at)?, mention));
            }
        }
        Ok(sources)
    }

    /// What a stage begins from.
    pub(super) fn base_of(
        &self,
        stage: usize,
        globals: &BTreeMap<String, String>,
    ) -> Result<Source, DockerfileError> {
        let WrittenStage { line, from, .. } = &self.stages[stage];
        let at = |problem| DockerfileError::at(*line, problem);
        let value = |name: &str| globals.get(name).map(String::as_str);
        let expander = Expander { escape: self.escape, value: &value };
        let base = expander.word(&from.base).map_err(at)?;
        if base.is_empty() {
            let problem = format!("FROM {} names nothing: an ARG before it needs a value", from.base);
            return Err(at(problem));
        }
        if let Some(platform) = &from.platform {
            check_platform(&expander.word(platform).map_err(at)?).map_err(at)?;
        }
        Ok(match self.stage_named(&base, stage) {
            Some(earlier) => Source::Stage(earlier),
            None if base == SCRATCH => Source::Scratch,
            None => Source::Image(base),
        })
    }

    /// What the instructions of a stage call by this name or number.
    pub(super) fn source(&self, stage: usize, name: &str) -> Result<Source, String> {
        if name.contains('$') {
            return Err("--from takes no variable: name a stage FROM it".to_owned());
        }
        if let Ok(number) = name.parse::<usize>() {
            if number < stage {
                return Ok(Source::Stage(number));
            }
            return Err(format!("there is no stage {number} before this one, which is stage {stage}"));
        }
        match self.stage_named(name, self.stages.len()) {
            Some(other) if other < stage => Ok(Source::Stage(other)),
            Some(_) => Err(format!("the stage {name} has to come before the one that takes something of it")),
            None if name == SCRATCH => Ok(Source::Scratch),
            None => Ok(Source::Image(name.to_owned())),
        }
    }

    /// The last stage before `end` that is called so; for a target, a number is a name, too.
    fn stage_named(&self, name: &str, end: usize) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        let named = self.stages[..end].iter().rposition(|stage| stage.from.name.as_ref() == Some(&lower));
        let is_target = end == self.stages.len();
        named.or_else(|| name.parse().ok().filter(|number| is_target && *number < end))
    }

    /// The instructions of a stage, after those that the stage it begins from has for it.
    pub(super) fn instructions_of(
        &self,
        stage: usize,
        globals: &BTreeMap<String, String>,
    ) -> Result<Vec<&Instruction>, DockerfileError> {
        let mut all = Vec::new();
        if let Source::Stage(base) = self.base_of(stage, globals)? {
            all.extend(self.stages[base].instructions.iter().filter_map(
                |instruction| match &instruction.kind {
                    Kind::Onbuild(inner) => Some(inner.as_ref()),
                    _ => None,
                },
            ));
        }
        all.extend(&self.stages[stage].instructions);
        Ok(all)
    }

    /// The instructions that an image has for whoever begins with it.
    pub(super) fn triggers(
        &self,
        stage: usize,
        image: &str,
        config: &ImageConfig,
    ) -> Result<Vec<Instruction>, DockerfileError> {
        let line = self.stages[stage].line;
        let read = |text: &String| {
            let wrong = |problem: &str| {
                let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
                DockerfileError::at(line, format!("{image} has ONBUILD {shown}: {problem}"))
            };
            let lines = lines::read(text.as_bytes()).map_err(|error| wrong(&error.problem))?;
            let [only] = &lines.lines[..] else { return Err(wrong("it is not one instruction")) };
            let read = read::instruction(only, lines.escape).map_err(|error| wrong(&error.problem))?;
            match &read.kind {
                Kind::From(_) | Kind::Onbuild(_) => Err(wrong("that cannot stand in an ONBUILD")),
                // Its names would be those of stages and images that nobody looked for.
                Kind::Copy(Copy { from: Some(_), .. }) => Err(wrong("--from is not built there")),
                Kind::Run(run) if run.mounts.iter().any(|mount| mount.contains("from=")) => {
                    Err(wrong("from= is not built there"))
                }
                _ => Ok(Instruction { line, ..read }),
            }
        };
        config.on_build.iter().map(read).collect()
    }

    /// The arguments before the first stage, and those that every build has.
    pub(super) fn global_arguments(
        &self,
        arguments: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, DockerfileError> {
        let platform = format!("linux/{}", architecture());
        let mut globals = BTreeMap::new();
        for prefix in ["TARGET", "BUILD"] {
            globals.insert(format!("{prefix}PLATFORM"), platform.clone());
            globals.insert(format!("{prefix}OS"), "linux".to_owned());
            globals.insert(format!("{prefix}ARCH"), architecture().to_owned());
            globals.insert(format!("{prefix}VARIANT"), String::new());
        }
        for instruction in &self.globals {
            let Kind::Arg(args) = &instruction.kind else { continue };
            for (name, default) in args {
                let value = match (arguments.get(name), default) {
                    (Some(value), _) => value.clone(),
                    (None, Some(default)) => {
                        let value = |name: &str| globals.get(name).map(String::as_str);
                        let expanded = Expander { escape: self.escape, value: &value }.word(default);
                        expanded.map_err(|problem| DockerfileError::at(instruction.line, problem))?
                    }
                    (None, None) => continue,
                };
                globals.insert(name.clone(), value);
            }
        }
        Ok(globals)
    }
}

/// This machine's, in the words of images.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn check_platform(platform: &str) -> Result<(), String> {
    let mut parts = platform.split('/').map(str::to_ascii_lowercase);
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let ours = |arch: &str| arch == architecture() || arch == std::env::consts::ARCH;
    let fits = match second {
        Some(arch) => first == "linux" && ours(&arch),
        None => first == "linux" || ours(&first),
    };
    if fits {
        return Ok(());
    }
    Err(format!("the platform {platform:?} is not built: this server builds for linux/{}", architecture()))
}
