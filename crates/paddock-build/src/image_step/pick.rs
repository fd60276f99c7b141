//! What is copied from a stage or an image is first taken out of it, by a container over its layers, into a folder that the
//! container which copies sees.

use std::fs;
use std::path::Path;

use super::copy::Places;
use super::look::digest_of;
use super::put::{self, Dates, Manner};
use super::sources::{Entry, Result, Root, below};
use super::task::{BUNDLED_FILE, BUNDLED_FOLDER, Look, Pick, Selection};
use crate::dockerignore::Dockerignore;

/// Fills the bundle. Files of a context become root's, others keep their owners.
pub(super) fn pick(places: &Places, pick: &Pick) -> Result<()> {
    let root = || match &pick.context {
        Some(ignore) => Root::context(&places.context, ignore),
        None => Ok(Root::of_container()),
    };
    let manner = Manner { owner: pick.context.is_some().then_some((0, 0)), mode: None };
    let excludes = Dockerignore::of(&pick.selection.excludes)?;
    let (root, mut dates, mut number) = (root()?, Dates::default(), 0_usize);
    for path in &pick.selection.paths {
        for found in root.find(path)? {
            let kind = if found.is_folder { BUNDLED_FOLDER } else { BUNDLED_FILE };
            let mut base = places.bundle.join(format!("{kind}{number}"));
            number += 1;
            if !found.is_folder {
                fs::create_dir(&base).map_err(put::failed(&base))?;
                base.push(&found.name);
            }
            for entry in root.entries(&found, &excludes)? {
                let place = below(&found.path, &entry.path);
                let target = below(&base, &entry.path);
                put::put(&below(&root.path, &place), &entry, &target, &manner, &mut dates)?;
            }
        }
    }
    dates.set()
}

/// What each selection of a context is: a digest of names, permissions and contents. Dates do not count.
pub(super) fn look(context: &Path, look: &Look) -> Vec<std::result::Result<String, String>> {
    let of = |selection: &Selection| {
        let root = Root::context(context, &look.ignore)?;
        let excludes = Dockerignore::of(&selection.excludes)?;
        let mut entries: Vec<(String, Entry, std::path::PathBuf)> = Vec::new();
        for path in &selection.paths {
            for found in root.find(path)? {
                for entry in root.entries(&found, &excludes)? {
                    let place = below(&below(&root.path, &found.path), &entry.path);
                    entries.push((found.name.to_string_lossy().into_owned(), entry, place));
                }
            }
        }
        digest_of(&entries)
    };
    look.selections.iter().map(of).collect()
}
