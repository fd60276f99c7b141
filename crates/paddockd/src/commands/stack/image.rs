//! What a stack is made of, as mountable layers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use paddock_images::convert::{LayerLimits, LeftOut, convert_tree};
use paddock_images::users::unnamed_file;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::super::progress::ProgressLine;
use crate::start_error::StartError;

/// What of a root file system is the machine's that it was made on, or of the moment.
const NOT_PACKED: [&str; 4] = ["dev", "proc", "sys", "tmp"];
/// The shells, one of which every root file system has.
const SHELLS: [&str; 2] = ["bin/sh", "bin/bash"];
/// How often it is looked how far the packing is.
const LOOK: Duration = Duration::from_millis(200);

/// What the operator named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Image {
    Folder(PathBuf),
}

impl Image {
    pub(super) fn of(
        folder: Option<&Path>,
        oci: Option<&str>,
        reference: Option<&str>,
    ) -> Result<Option<Self>, StartError> {
        if let Some(reference) = reference {
            return Err(format!(
                "pulling {reference} from a registry is not built yet. Fetch it with skopeo copy docker://{reference} oci:FOLDER, \
                 and say --oci FOLDER"
            )
            .into());
        }
        if oci.is_some() {
            return Err(
                "OCI layouts are not built yet: unpack the image into a folder, and say --folder FOLDER"
                    .into(),
            );
        }
        folder.map(|folder| root_file_system(folder).map(Self::Folder)).transpose()
    }
}

/// A folder that can be the root of something.
fn root_file_system(folder: &Path) -> Result<PathBuf, StartError> {
    let shown = folder.display();
    let canonical = folder.canonicalize().map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if canonical == Path::new("/") {
        return Err("/ is this machine itself, which every server has as the stack host".into());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&canonical, flags, Mode::empty())
        .map_err(|error| format!("{shown} is no folder that can be read: {error}"))?;
    let has = |name: &&str| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        openat2(&root, *name, flags, Mode::empty(), ResolveFlags::IN_ROOT).is_ok()
    };
    if let Some(missing) = SHELLS.iter().find(|name| !has(name)) {
        return Err(format!(
            "{shown} has no /{missing}, so nothing can be run on it: give the folder of a whole root file system, as debootstrap makes one"
        )
        .into());
    }
    Ok(canonical)
}

/// A mountable layer in a file without a name.
#[derive(Debug)]
pub(super) struct PackedLayer {
    pub(super) file: File,
    pub(super) bytes: u64,
}

/// The layers of all images of a stack, each once.
#[derive(Debug)]
pub(super) struct Packed {
    folder: PathBuf,
    layers: Vec<PackedLayer>,
    /// What was packed already.
    images: Vec<(Image, Vec<usize>)>,
    warnings: Vec<String>,
}

impl Packed {
    /// Files are on the disk of this folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), layers: Vec::new(), images: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn layers(&self) -> &[PackedLayer] {
        &self.layers
    }

    /// What was left out, a sentence each.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Packs an image. The numbers of its layers, the uppermost first.
    pub(super) fn add(&mut self, image: &Image) -> Result<Vec<usize>, StartError> {
        if let Some((_, numbers)) = self.images.iter().find(|(known, _)| known == image) {
            return Ok(numbers.clone());
        }
        let numbers = match image {
            Image::Folder(folder) => vec![self.pack_folder(folder)?],
        };
        self.images.push((image.clone(), numbers.clone()));
        Ok(numbers)
    }

    fn pack_folder(&mut self, root: &Path) -> Result<usize, StartError> {
        let file = self.new_file()?;
        let left_out = LeftOut { always: NOT_PACKED.map(PathBuf::from).into(), if_empty: Vec::new() };
        let output = file.try_clone()?;
        let packed = watched(&file, || convert_tree(root, &left_out, output, &LayerLimits::IMAGE));
        let packed = packed.map_err(|error| format!("could not pack {}: {error}", root.display()))?;
        let shown = root.display();
        self.warnings.extend(packed.warnings.sentences().into_iter().map(|what| format!("{shown}: {what}")));
        Ok(self.push(file, packed.layer_bytes))
    }

    fn new_file(&self) -> Result<File, StartError> {
        let file = unnamed_file(&self.folder);
        Ok(file.map_err(|error| format!("could not write to {}: {error}", self.folder.display()))?)
    }

    fn push(&mut self, file: File, bytes: u64) -> usize {
        self.layers.push(PackedLayer { file, bytes });
        self.layers.len() - 1
    }
}

/// Does something that writes to a file, and tells how that grows.
fn watched<T: Send>(file: &File, work: impl FnOnce() -> T + Send) -> T {
    let mut line = ProgressLine::new("Packing");
    let (done, is_done) = mpsc::channel::<()>();
    let outcome = std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let outcome = work();
            drop(done);
            outcome
        });
        while is_done.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
            line.tell_part("layer", 1, 1, file.metadata().map_or(0, |metadata| metadata.len()));
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    line.end();
    outcome
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refused(folder: &Path) -> String {
        root_file_system(folder).unwrap_err().to_string()
    }

    #[test]
    fn a_root_file_system_has_shells_within_itself() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(refused(&root.join("none")).contains("cannot be read"));
        assert!(refused(Path::new("/usr/..")).contains("the stack host"));
        std::fs::create_dir_all(root.join("usr/bin")).unwrap();
        // A link that would leave it leads back into it.
        symlink("/usr/bin", root.join("bin")).unwrap();
        assert!(refused(root).contains("has no /bin/sh"));
        symlink("../../../usr/bin/bash", root.join("usr/bin/sh")).unwrap();
        std::fs::write(root.join("usr/bin/bash"), "").unwrap();
        assert_eq!(root_file_system(root).unwrap(), root.canonicalize().unwrap());
        std::fs::remove_file(root.join("usr/bin/bash")).unwrap();
        assert!(refused(root).contains("has no /bin/sh"));
        assert!(refused(&root.join("usr/bin/sh")).contains("cannot be read"));
    }

    #[test]
    fn what_is_not_built_says_what_to_do() {
        for (oci, reference, word) in
            [(Some("x:1"), None, "--folder"), (None, Some("debian:12"), "skopeo copy docker://debian:12")]
        {
            let error = Image::of(None, oci, reference).unwrap_err().to_string();
            assert!(error.contains("not built yet") && error.contains(word), "{error}");
        }
    }

    #[test]
    fn an_image_is_packed_once() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::Folder(folder.path().join("root"));
        std::fs::create_dir_all(folder.path().join("root/proc/1")).unwrap();
        std::fs::write(folder.path().join("root/file"), "content").unwrap();
        let mut packed = Packed::in_folder(folder.path());
        let first = packed.add(&image).unwrap();
        assert_eq!((packed.add(&image).unwrap(), packed.layers().len()), (first, 1));
        let layer = &packed.layers()[0];
        assert_eq!(layer.file.metadata().unwrap().len(), layer.bytes);
    }
}
