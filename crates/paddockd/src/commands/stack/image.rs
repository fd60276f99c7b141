//! What a stack is made of, as mountable layers.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use paddock_core::BlobDigest;
use paddock_images::convert::{LayerLimits, LeftOut, convert_tar, convert_tree};
use paddock_images::oci::ImageLayer;
use paddock_images::users::unnamed_file;
use paddock_ipc::admin::StackImage;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::super::progress::ProgressLine;
use super::layout::LayoutImage;
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
    Layout(LayoutImage),
    /// One that the server has.
    Registered(String),
}

impl Image {
    pub(super) fn of(
        folder: Option<&Path>,
        oci: Option<&str>,
        reference: Option<&str>,
    ) -> Result<Option<Self>, StartError> {
        if let Some(reference) = reference {
            return Ok(Some(Self::Registered(reference.to_owned())));
        }
        if let Some(oci) = oci {
            return Ok(Some(Self::Layout(LayoutImage::named(oci)?)));
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
    /// The layers of images, by the digests of their tars.
    by_diff_id: BTreeMap<BlobDigest, usize>,
    warnings: Vec<String>,
}

impl Packed {
    /// Files are on the disk of this folder.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            layers: Vec::new(),
            images: Vec::new(),
            by_diff_id: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn layers(&self) -> &[PackedLayer] {
        &self.layers
    }

    /// What was left out, a sentence each.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Packs an image, unless the server has it.
    pub(super) fn add(&mut self, image: &Image) -> Result<StackImage, StartError> {
        if let Some((_, numbers)) = self.images.iter().find(|(known, _)| known == image) {
            return Ok(StackImage::Sent(numbers.clone()));
        }
        let numbers = match image {
            Image::Registered(name) => return Ok(StackImage::Registered(name.clone())),
            Image::Folder(folder) => vec![self.pack_folder(folder)?],
            Image::Layout(layout) => self.pack_layout(layout)?,
        };
        self.images.push((image.clone(), numbers.clone()));
        Ok(StackImage::Sent(numbers))
    }

    fn pack_layout(&mut self, image: &LayoutImage) -> Result<Vec<usize>, StartError> {
        let layers = image.layers()?;
        let mut numbers = Vec::new();
        for (place, layer) in layers.iter().enumerate() {
            let number = match self.by_diff_id.get(&layer.diff_id) {
                Some(number) => *number,
                None => self.pack_layer(image, layer, (place + 1, layers.len()))?,
            };
            numbers.push(number);
        }
        numbers.reverse();
        Ok(numbers)
    }

    fn pack_layer(
        &mut self,
        image: &LayoutImage,
        layer: &ImageLayer,
        place: (usize, usize),
    ) -> Result<usize, StartError> {
        let (blob, digest) = (image.blob(&layer.blob.digest)?, &layer.blob.digest);
        let file = self.new_file()?;
        let output = file.try_clone()?;
        let compression = layer.compression;
        let packed = watched(&file, place, || convert_tar(blob, compression, output, &LayerLimits::IMAGE));
        let packed = packed.map_err(|error| format!("layer {digest}: {error}"))?;
        if packed.blob != *digest || packed.diff_id != layer.diff_id {
            return Err(format!("layer {digest} is not what the image says it is").into());
        }
        self.warnings
            .extend(packed.warnings.sentences().into_iter().map(|what| format!("layer {digest}: {what}")));
        let number = self.push(file, packed.layer_bytes);
        self.by_diff_id.insert(packed.diff_id, number);
        Ok(number)
    }

    fn pack_folder(&mut self, root: &Path) -> Result<usize, StartError> {
        let file = self.new_file()?;
        let left_out = LeftOut { always: NOT_PACKED.map(PathBuf::from).into(), if_empty: Vec::new() };
        let output = file.try_clone()?;
        let packed = watched(&file, (1, 1), || convert_tree(root, &left_out, output, &LayerLimits::IMAGE));
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
fn watched<T: Send>(file: &File, (number, of): (usize, usize), work: impl FnOnce() -> T + Send) -> T {
    let mut line = ProgressLine::new("Packing");
    let (done, is_done) = mpsc::channel::<()>();
    let outcome = std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let outcome = work();
            drop(done);
            outcome
        });
        while is_done.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
            line.tell_part(
                "layer",
                number as u64,
                of as u64,
                file.metadata().map_or(0, |metadata| metadata.len()),
            );
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
