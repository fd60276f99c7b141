//! `heroku.yml`: what an app of the stack `container` is built of, and what its processes run.
//! Source: `docs/contract/platform-behaviour.md`, section 11; `docs/contract/buildpacks.md`, section 9.

mod yaml;

use std::collections::BTreeMap;
use std::fmt;

use paddock_core::ProcessType;

use self::yaml::{Key, Node, Value};

/// Its name, at the root of the source.
pub const FILE_NAME: &str = "heroku.yml";
/// What is built of a source without one.
pub const DEFAULT_DOCKERFILE: &str = "Dockerfile";
/// The most images of an app.
const IMAGES_MAX: usize = 50;
/// The most entries of every other kind.
const ENTRIES_MAX: usize = 500;
/// The longest command, and the longest value, in bytes.
const TEXT_BYTES_MAX: usize = 32 * 1024;

/// What is wrong with a `heroku.yml`, for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// The line that it is about, from 1 on; `None` if it is about the whole file.
    pub line: Option<usize>,
    /// A sentence without its full stop.
    pub problem: String,
}

impl ManifestError {
    fn at(line: usize, problem: impl Into<String>) -> Self {
        Self { line: Some(line), problem: problem.into() }
    }

    fn whole(problem: impl Into<String>) -> Self {
        Self { line: None, problem: problem.into() }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{FILE_NAME} line {line}: {}", self.problem),
            None => write!(f, "{FILE_NAME}: {}", self.problem),
        }
    }
}

impl std::error::Error for ManifestError {}

/// A manifest that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HerokuYml {
    pub setup: Setup,
    /// What each image is built of, in order of the file.
    pub images: Vec<(ProcessType, ImageBuild)>,
    /// Arguments of every build.
    pub arguments: BTreeMap<String, String>,
    pub release: Option<Process>,
    /// What processes run. Without it, each image is a process that runs what the image says.
    pub run: Option<BTreeMap<ProcessType, Process>>,
}

/// What an app gets that is created with this manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setup {
    pub addons: Vec<Addon>,
    pub config: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addon {
    pub plan: String,
    /// What it is attached as.
    pub attached_as: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageBuild {
    /// From the root of the source on.
    pub dockerfile: String,
    pub target: Option<String>,
}

/// What a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// `None` is what the image says.
    pub command: Option<Command>,
    /// The process type whose image it runs on, where it says so.
    pub image: Option<ProcessType>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// For the image's shell.
    Line(String),
    /// A program and its arguments.
    Words(Vec<String>),
}

type Result<T> = std::result::Result<T, ManifestError>;

impl HerokuYml {
    /// Reads a file.
    ///
    /// # Errors
    /// A sentence for its author.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let root = yaml::read(bytes)?;
        if root.value == Value::Nothing {
            return Err(ManifestError::whole("it is empty: build.docker says what is built"));
        }
        let mut manifest = Self::default();
        for (key, node) in mapping(&root, "it")? {
            match key.name.as_str() {
                "setup" => manifest.setup = setup(node)?,
                "build" => manifest.read_build(node)?,
                "release" => manifest.release = Some(release(node)?),
                "run" => manifest.run = Some(run(node)?),
                _ => return Err(unknown(key, "", "setup, build, release and run")),
            }
        }
        if manifest.images.is_empty() {
            return Err(ManifestError::whole(
                "build.docker has to say what is built, such as web: Dockerfile",
            ));
        }
        manifest.check_images(&root)?;
        Ok(manifest)
    }

    /// What is built of a source that has a Dockerfile at its root and no manifest.
    #[must_use]
    pub fn of_dockerfile() -> Self {
        let image = ImageBuild { dockerfile: DEFAULT_DOCKERFILE.to_owned(), target: None };
        Self { images: vec![(ProcessType::web(), image)], ..Self::default() }
    }

    fn read_build(&mut self, node: &Node) -> Result<()> {
        for (key, node) in mapping(node, "build")? {
            match key.name.as_str() {
                "docker" => self.images = images(node)?,
                "config" => self.arguments = values(node, "build.config")?,
                "languages" | "packages" | "pipeline" => {
                    let problem =
                        format!("build.{} is not built: list what is built below build.docker", key.name);
                    return Err(ManifestError::at(key.line, problem));
                }
                _ => return Err(unknown(key, "build.", "docker and config")),
            }
        }
        Ok(())
    }

    /// The image of a process: the one that it names, its own, that of web, or the only one.
    #[must_use]
    pub fn image_of(
        &self,
        process: Option<&ProcessType>,
        named: Option<&ProcessType>,
    ) -> Option<&ProcessType> {
        let built =
            |name: &ProcessType| self.images.iter().map(|(built, _)| built).find(|built| *built == name);
        if let Some(named) = named {
            return built(named);
        }
        let only = || if let [(only, _)] = &self.images[..] { Some(only) } else { None };
        process.and_then(built).or_else(|| built(&ProcessType::web())).or_else(only)
    }

    /// Every process has an image that is built.
    fn check_images(&self, root: &Node) -> Result<()> {
        let release = self.release.iter().map(|release| (None, "release".to_owned(), release));
        let run = self.run.iter().flatten();
        let run = run.map(|(name, process)| (Some(name), format!("run.{name}"), process));
        for (name, place, process) in release.chain(run) {
            if self.image_of(name, process.image.as_ref()).is_some() {
                continue;
            }
            return Err(ManifestError {
                line: line_of(root, &place),
                problem: match &process.image {
                    Some(image) => {
                        format!("{place} runs on the image {image}, which build.docker does not have")
                    }
                    None => format!("{place} has to say on which image it runs: image: …"),
                },
            });
        }
        Ok(())
    }
}

/// The line of what is at this place.
fn line_of(root: &Node, place: &str) -> Option<usize> {
    let mut node = root;
    let mut line = None;
    for name in place.split('.') {
        let Value::Mapping(pairs) = &node.value else { return line };
        let (key, inner) = pairs.iter().find(|(key, _)| key.name == name)?;
        (node, line) = (inner, Some(key.line));
    }
    line
}

fn unknown(key: &Key, place: &str, known: &str) -> ManifestError {
    let name: String = key.name.chars().filter(|c| !c.is_control()).take(40).collect();
    ManifestError::at(key.line, format!("{place}{name} is no key that is known here: there are {known}"))
}

fn mapping<'a>(node: &'a Node, place: &str) -> Result<&'a [(Key, Node)]> {
    match &node.value {
        Value::Mapping(pairs) if pairs.len() <= ENTRIES_MAX => Ok(pairs),
        Value::Mapping(_) => {
            Err(ManifestError::at(node.line, format!("{place} may have {ENTRIES_MAX} keys")))
        }
        Value::Nothing => Ok(&[]),
        _ => Err(ManifestError::at(
            node.line,
            format!("{place} has to be a mapping, KEY: VALUE on lines of their own"),
        )),
    }
}

fn text<'a>(node: &'a Node, place: &str) -> Result<&'a str> {
    match &node.value {
        Value::Text(text) if text.contains('\0') => {
            Err(ManifestError::at(node.line, format!("{place} holds a zero byte")))
        }
        Value::Text(text) if text.len() <= TEXT_BYTES_MAX => Ok(text),
        Value::Text(_) => {
            let problem = format!("{place} may have {} KB, and has more", TEXT_BYTES_MAX / 1024);
            Err(ManifestError::at(node.line, problem))
        }
        Value::Nothing => Err(ManifestError::at(node.line, format!("{place} is empty"))),
        _ => Err(ManifestError::at(node.line, format!("{place} has to be a text"))),
    }
}

fn values(node: &Node, place: &str) -> Result<BTreeMap<String, String>> {
    let pairs = mapping(node, place)?.iter().map(|(key, node)| {
        let place = format!("{place}.{}", key.name);
        let is_name = !key.name.is_empty() && !key.name.contains(['=', '\0']);
        if !is_name {
            return Err(ManifestError::at(key.line, format!("{place} is no name of a variable")));
        }
        let value = if node.value == Value::Nothing { "" } else { text(node, &place)? };
        Ok((key.name.clone(), value.to_owned()))
    });
    pairs.collect()
}

fn process_type(key: &Key, place: &str) -> Result<ProcessType> {
    key.name.parse().map_err(|_| {
        let name: String = key.name.chars().filter(|c| !c.is_control()).take(40).collect();
        let problem =
            format!("{place}.{name} is no process type: it has letters, digits, - and _, up to 128");
        ManifestError::at(key.line, problem)
    })
}

fn setup(node: &Node) -> Result<Setup> {
    let mut setup = Setup::default();
    for (key, node) in mapping(node, "setup")? {
        match key.name.as_str() {
            "addons" => setup.addons = addons(node)?,
            "config" => setup.config = values(node, "setup.config")?,
            _ => return Err(unknown(key, "setup.", "addons and config")),
        }
    }
    Ok(setup)
}

fn addons(node: &Node) -> Result<Vec<Addon>> {
    let nodes = match &node.value {
        Value::List(nodes) if nodes.len() <= ENTRIES_MAX => nodes.as_slice(),
        Value::Nothing => &[],
        _ => {
            return Err(ManifestError::at(
                node.line,
                "setup.addons has to be a list, - plan: … on lines of their own",
            ));
        }
    };
    nodes.iter().map(addon).collect()
}

fn addon(node: &Node) -> Result<Addon> {
    if let Value::Text(_) = node.value {
        return Ok(Addon { plan: text(node, "an add-on's plan")?.to_owned(), attached_as: None });
    }
    let (mut plan, mut attached_as) = (None, None);
    for (key, node) in mapping(node, "an add-on")? {
        match key.name.as_str() {
            "plan" => plan = Some(text(node, "an add-on's plan")?.to_owned()),
            "as" => attached_as = Some(text(node, "an add-on's as")?.to_owned()),
            _ => return Err(unknown(key, "setup.addons.", "plan and as")),
        }
    }
    let plan = plan.ok_or_else(|| ManifestError::at(node.line, "an add-on needs a plan: - plan: …"))?;
    Ok(Addon { plan, attached_as })
}

fn images(node: &Node) -> Result<Vec<(ProcessType, ImageBuild)>> {
    let pairs = mapping(node, "build.docker")?;
    if pairs.len() > IMAGES_MAX {
        return Err(ManifestError::at(node.line, format!("build.docker may have {IMAGES_MAX} images")));
    }
    let images = pairs.iter().map(|(key, node)| {
        let name = process_type(key, "build.docker")?;
        Ok((name, image(node, &format!("build.docker.{}", key.name))?))
    });
    images.collect()
}

fn image(node: &Node, place: &str) -> Result<ImageBuild> {
    let (mut dockerfile, mut target) = (None, None);
    if let Value::Mapping(pairs) = &node.value {
        for (key, node) in pairs {
            let place = format!("{place}.{}", key.name);
            match key.name.as_str() {
                "dockerfile" => dockerfile = Some(self::dockerfile(node, &place)?),
                "target" => target = Some(text(node, &place)?.to_owned()),
                _ => {
                    return Err(unknown(
                        key,
                        &format!("{}.", place.trim_end_matches(&format!(".{}", key.name))),
                        "dockerfile and target",
                    ));
                }
            }
        }
    } else {
        dockerfile = Some(self::dockerfile(node, place)?);
    }
    let dockerfile = dockerfile.unwrap_or_else(|| DEFAULT_DOCKERFILE.to_owned());
    Ok(ImageBuild { dockerfile, target })
}

/// A path below the root of the source, without `.` in it.
fn dockerfile(node: &Node, place: &str) -> Result<String> {
    let path = text(node, place)?;
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() || parts.contains(&"..") || path.starts_with('/') {
        let problem = format!("{place} has to be a Dockerfile below the root of the source");
        return Err(ManifestError::at(node.line, problem));
    }
    Ok(parts.join("/"))
}

fn release(node: &Node) -> Result<Process> {
    let process = process(node, "release")?;
    if process.command.is_none() {
        return Err(ManifestError::at(node.line, "release needs a command: command: …"));
    }
    Ok(process)
}

fn run(node: &Node) -> Result<BTreeMap<ProcessType, Process>> {
    let processes = mapping(node, "run")?.iter().map(|(key, node)| {
        let name = process_type(key, "run")?;
        Ok((name, process(node, &format!("run.{}", key.name))?))
    });
    processes.collect()
}

fn process(node: &Node, place: &str) -> Result<Process> {
    let Value::Mapping(pairs) = &node.value else {
        return Ok(Process { command: Some(command(node, place)?), image: None });
    };
    let (mut said, mut image) = (None, None);
    for (key, node) in pairs {
        match key.name.as_str() {
            "command" => said = Some(command(node, &format!("{place}.command"))?),
            "image" => {
                let name = text(node, &format!("{place}.image"))?.to_owned();
                image = Some(process_type(&Key { line: node.line, name }, &format!("{place}.image"))?);
            }
            _ => return Err(unknown(key, &format!("{place}."), "command and image")),
        }
    }
    Ok(Process { command: said, image })
}

/// A line, or a list: of one line, of lines to be run one after the other, or of a program with its arguments.
fn command(node: &Node, place: &str) -> Result<Command> {
    let words = match &node.value {
        Value::List(nodes) => nodes.iter().map(|node| text(node, place)).collect::<Result<Vec<_>>>()?,
        _ => return Ok(Command::Line(line(text(node, place)?, node, place)?)),
    };
    match words[..] {
        [] => Err(ManifestError::at(node.line, format!("{place} is empty"))),
        // Needs no shell, which the image may not have.
        [word] if !needs_shell(word) && !word.is_empty() => Ok(Command::Words(vec![word.to_owned()])),
        [first, ..] if words.len() == 1 || first.contains(char::is_whitespace) => {
            let lines = words.iter().map(|word| line(word, node, place)).collect::<Result<Vec<_>>>()?;
            Ok(Command::Line(lines.join(" && ")))
        }
        _ => Ok(Command::Words(words.into_iter().map(str::to_owned).collect())),
    }
}

fn line(text: &str, node: &Node, place: &str) -> Result<String> {
    let line = text.trim();
    if line.is_empty() {
        return Err(ManifestError::at(node.line, format!("{place} is empty")));
    }
    Ok(line.to_owned())
}

fn needs_shell(word: &str) -> bool {
    !word.chars().all(|c| c.is_ascii_alphanumeric() || "_./:@%+,-".contains(c))
}

#[cfg(test)]
mod tests;
