//! COPY and ADD: which files, and where they go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use paddock_core::image_users::Users;
use paddock_images::convert::Warnings;

use super::mode::Mode;
use super::put::{self, Dates, Manner};
use super::sources::{Entry, Found, Result, Root, below, resolve};
use super::task::{self, BUNDLED_FOLDER, Copy, NewFolder, Source};
use super::unpack;
use super::users::users_of;
use crate::dockerignore::Dockerignore;

/// Where files are looked for and put; tests put them elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) context: PathBuf,
    pub(super) bundle: PathBuf,
    /// The root of the image.
    pub(super) root: PathBuf,
}

impl Places {
    pub(super) fn container() -> Self {
        Self { context: task::CONTEXT.into(), bundle: task::BUNDLE.into(), root: "/".into() }
    }
}

/// Makes the folders that instructions before this one want.
pub(super) fn make_folders(root: &Path, new: &[NewFolder], users: &Users) -> Result<()> {
    for folder in new {
        let user = users.program(&folder.user)?;
        put::folders(&root.join(folder.path.trim_start_matches('/')), (user.uid, user.gid))?;
    }
    Ok(())
}

/// One thing to be put.
struct Part {
    /// Where it is found, and what.
    root: Root,
    found: Found,
    /// Whose its files are, if whose they were does not count.
    owner: Option<(u32, u32)>,
}

/// Copies what the task says. What an archive has that no container gets.
pub(super) fn copy(places: &Places, copy: &Copy) -> Result<Warnings> {
    let users = users_of(&places.root);
    make_folders(&places.root, &copy.before, &users)?;
    let owner = copy.owner.as_deref().map(|owner| users.owner(owner)).transpose()?;
    let mode = copy.mode.as_deref().and_then(Mode::parse);
    let excludes = Dockerignore::of(&copy.excludes)?;
    let (mut parts, mut texts) = (Vec::new(), Vec::new());
    for source in &copy.sources {
        match source {
            Source::Path(path) => {
                let root = || Root::context(&places.context, &copy.ignore);
                for found in root()?.find(path).map_err(|why| format!("{} {path}: {why}", copy.keyword))? {
                    parts.push(Part { root: root()?, found, owner: Some(owner.unwrap_or_default()) });
                }
            }
            Source::Bundle => {
                let kept = if copy.keeps_owners { owner } else { Some(owner.unwrap_or_default()) };
                parts.extend(bundled(&places.bundle, kept)?);
            }
            Source::Text { name, text } => texts.push((name, text)),
        }
    }
    if parts.is_empty() && texts.is_empty() {
        return Ok(Warnings::default());
    }
    let to = target(places, copy, parts.len() + texts.len(), owner.unwrap_or_default())?;
    let (mut dates, mut warnings) = (Dates::default(), Warnings::default());
    for part in &parts {
        let manner = Manner { owner: part.owner, mode: mode.clone() };
        warnings.ids += put_part(part, &excludes, &to, copy, &manner, &mut dates)?;
    }
    let manner = Manner { owner, mode };
    for (name, text) in texts {
        put::text(text, &to.of(Path::new(name)), &manner)?;
    }
    dates.set()?;
    Ok(warnings)
}

/// Where things go.
struct Target {
    path: PathBuf,
    /// Whether a file goes into it, with its own name, and not into its place.
    is_folder: bool,
}

impl Target {
    fn of(&self, name: &Path) -> PathBuf {
        if self.is_folder { self.path.join(name) } else { self.path.clone() }
    }
}

fn target(places: &Places, copy: &Copy, things: usize, owner: (u32, u32)) -> Result<Target> {
    let said = Path::new(copy.to.trim_start_matches('/'));
    // As far as it is there, so that no link is written over that leads to it.
    let real = resolve(&places.root, said).unwrap_or_else(|_| said.to_owned());
    let path = places.root.join(real);
    let is_folder = copy.to.ends_with('/') || fs::metadata(&path).is_ok_and(|found| found.is_dir());
    if things > 1 && !is_folder {
        return Err(format!(
            "{} of more than one file needs a folder to copy to: a path that ends with /",
            copy.keyword
        ));
    }
    let made = if is_folder { Some(path.as_path()) } else { path.parent() };
    put::folders(made.unwrap_or(&places.root), owner)?;
    Ok(Target { path, is_folder })
}

/// What other containers have put into the bundle, in order.
fn bundled(bundle: &Path, owner: Option<(u32, u32)>) -> Result<Vec<Part>> {
    let unreadable = |error: io::Error| format!("what was to be copied is not there: {error}");
    let mut names: Vec<String> = fs::read_dir(bundle)
        .and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        })
        .map_err(unreadable)?;
    names.sort_by_key(|name| name[1..].parse::<usize>().unwrap_or(usize::MAX));
    let mut parts = Vec::new();
    for name in names {
        let root = Root { path: bundle.join(&name), ..Root::default() };
        if name.starts_with(BUNDLED_FOLDER) {
            let found = Found { path: PathBuf::new(), name: name.into(), is_folder: true };
            parts.push(Part { root, found, owner });
            continue;
        }
        for entry in fs::read_dir(bundle.join(&name)).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let found = Found { path: name.clone().into(), name, is_folder: false };
            parts.push(Part { root: Root { path: root.path.clone(), ..Root::default() }, found, owner });
        }
    }
    Ok(parts)
}

/// How many of an archive's files are root's because containers have no such owner.
fn put_part(
    part: &Part,
    excludes: &Dockerignore,
    to: &Target,
    copy: &Copy,
    manner: &Manner,
    dates: &mut Dates,
) -> Result<u64> {
    let from = below(&part.root.path, &part.found.path);
    if copy.unpacks && !part.found.is_folder && unpack::is_archive(&from)? {
        let owner = copy.owner.is_some().then(|| manner.owner.unwrap_or_default());
        put::folders(&to.path, manner.owner.unwrap_or_default())?;
        return unpack::unpack(&from, &to.path, owner);
    }
    // A folder's content goes where it is said to, a file into a folder there.
    let base = if part.found.is_folder { to.path.clone() } else { to.of(Path::new(&part.found.name)) };
    for Entry { path, metadata } in part.root.entries(&part.found, excludes)? {
        let (source, target) = (below(&from, &path), below(&base, &path));
        put::put(&source, &Entry { path, metadata }, &target, manner, dates)?;
    }
    Ok(0)
}
