//! The source of images: it is unpacked, and what says how they are made is read, for the host to work out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use paddock_core::config::ConfigVars;

use super::places::Places;
use super::session::Session;
use super::stop::Stop;
use super::{check_out, checkout, screen};
use crate::heroku_yml::{self, HerokuYml};
use crate::plan::{BuildPlan, BuildResult, RunnerFailure};
use crate::source::text;
use crate::{dockerfile, dockerignore};

/// What names of files that belong to a Dockerfile end with.
pub(crate) const IGNORE_NAME: &str = ".dockerignore";
/// How much all texts may be together, in bytes.
const ALL_BYTES_MAX: usize = 2 * 1024 * 1024;

pub(super) fn prepare(
    places: &Places,
    plan: &BuildPlan,
    config_vars: &ConfigVars,
    result: &mut BuildResult,
) -> Result<(), Stop> {
    screen::write("=== Fetching app code\n");
    let session = Session::new(plan, places);
    let (_, source) = check_out(places, plan, config_vars, &session)?;
    checkout::warn_of_pointers(&source)?;
    let mut texts = Texts { source: &source, found: BTreeMap::new() };
    let mut contexts = BTreeMap::new();
    texts.read(heroku_yml::FILE_NAME)?;
    // What is wrong with it is said by the host, which reads it anyway.
    let manifest = match texts.found.get(heroku_yml::FILE_NAME) {
        Some(text) => HerokuYml::read(text.as_bytes()).ok(),
        None => Some(HerokuYml::of_dockerfile()),
    };
    for (_, image) in manifest.iter().flat_map(|manifest| &manifest.images) {
        texts.read(&image.dockerfile)?;
        if let Some(context) = context_of(&source, &image.dockerfile) {
            contexts.insert(image.dockerfile.clone(), context);
        }
        for ignore in ignores_of(&image.dockerfile) {
            texts.read(&ignore)?;
        }
    }
    (result.texts, result.contexts) = (texts.found, contexts);
    Ok(())
}

/// The folder of a Dockerfile, from the source's root on and without links.
fn context_of(source: &Path, dockerfile: &str) -> Option<String> {
    let root = source.canonicalize().ok()?;
    let folder = source.join(dockerfile).parent()?.canonicalize().ok()?;
    Some(folder.strip_prefix(root).ok()?.to_str()?.to_owned())
}

/// Where the `.dockerignore` of a Dockerfile may be: its own, or that of its folder.
pub(crate) fn ignores_of(dockerfile: &str) -> [String; 2] {
    let folder = dockerfile.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    [format!("{dockerfile}{IGNORE_NAME}"), format!("{folder}{IGNORE_NAME}")]
}

struct Texts<'a> {
    source: &'a Path,
    found: BTreeMap<String, String>,
}

impl Texts<'_> {
    /// Reads a file of the source, if it is one: no link leads out of it.
    fn read(&mut self, name: &str) -> Result<(), Stop> {
        let longest = dockerfile::BYTES_MAX.max(dockerignore::BYTES_MAX);
        let read = || -> io::Result<Option<Vec<u8>>> {
            let (root, path) = (self.source.canonicalize()?, self.source.join(name));
            let Ok(path) = path.canonicalize() else { return Ok(None) };
            if !path.starts_with(&root) || !path.is_file() {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            // One byte more shows that it is too long.
            File::open(path)?.take(longest as u64 + 1).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        };
        let Some(bytes) = read().map_err(Stop::io("could not read the source"))? else { return Ok(()) };
        self.found.insert(name.to_owned(), text::decode(&bytes));
        let all: usize = self.found.values().map(String::len).sum();
        if all > ALL_BYTES_MAX {
            let problem =
                format!("The Dockerfiles of this app have more than {} MB together", ALL_BYTES_MAX >> 20);
            return Err(Stop::told(RunnerFailure::Source, &problem));
        }
        Ok(())
    }
}
