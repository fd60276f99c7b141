//! The C library that this program is linked with. Steps of images run the program over files that have another one, or none.

use std::io;
use std::path::{Path, PathBuf};

/// Where the libraries are that the program was linked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramLibraries {
    /// A folder of the host that everybody may read.
    pub folder: PathBuf,
    /// The program's loader, a file in it.
    pub loader: String,
}

impl ProgramLibraries {
    /// Those of this process; `None` for one that is linked with none.
    ///
    /// # Errors
    /// When the kernel does not say, or they are not where they can be shown.
    pub fn of_this_process() -> io::Result<Option<Self>> {
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        let Some(library) = maps.lines().filter_map(path_of).find(|path| is_named(path, "libc.so.")) else {
            return Ok(None);
        };
        let folder = library.parent().map(Path::to_owned).unwrap_or_default();
        let loader = maps.lines().filter_map(path_of).find(|path| is_named(path, "ld-"));
        let loader = loader.and_then(|path| path.file_name()?.to_str().map(str::to_owned));
        match loader.filter(|loader| folder.join(loader).is_file()) {
            Some(loader) => Ok(Some(Self { folder, loader })),
            None => Err(io::Error::other(format!("there is no loader beside {}", library.display()))),
        }
    }
}

/// The file that a line of `/proc/self/maps` is about.
fn path_of(line: &str) -> Option<&Path> {
    line.find('/').map(|at| Path::new(&line[at..]))
}

fn is_named(path: &Path, start: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_a_process_are_found() {
        let found = ProgramLibraries::of_this_process().unwrap().unwrap();
        assert!(found.folder.join("libc.so.6").is_file() && found.folder.join(&found.loader).is_file());
    }
}
