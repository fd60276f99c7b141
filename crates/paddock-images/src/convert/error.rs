//! Why something is not converted.

use std::io;

use crate::erofs::WriteError;

/// Why a layer is not converted: a sentence for whoever sent it.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// An entry is refused.
    #[error("layer: {} {reason}", quoted(.entry))]
    Entry {
        /// The entry's path.
        entry: Vec<u8>,
        /// What is wrong with it.
        reason: Refused,
    },
    /// There are more entries than the limit.
    #[error("layer: more than {0} files, folders and links")]
    TooManyEntries(u64),
    /// It is larger than the limit when unpacked.
    #[error("layer: more than {0} bytes when unpacked")]
    TooLarge(u64),
    /// Its names are longer than the limit, all together.
    #[error("layer: names of more than {0} bytes")]
    TooManyNames(u64),
    /// It cannot be decompressed.
    #[error("layer: it cannot be decompressed: {0}")]
    Compression(String),
    /// It cannot be read: truncated, damaged, not a tar.
    #[error("layer: {}: {source}", unreadable_place(.after))]
    Unreadable {
        /// The last entry that was begun; empty before the first.
        after: Vec<u8>,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The mountable file cannot be written.
    #[error("the layer's file could not be written: {0}")]
    Output(#[source] io::Error),
}

impl ConvertError {
    /// Whether the layer is at fault, rather than the machine.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Output(_))
    }
}

/// How far a layer could be read.
fn unreadable_place(after: &[u8]) -> String {
    match after {
        [] => "it is no whole tar archive".to_owned(),
        after => format!("it could not be read after {}", quoted(after)),
    }
}

/// A path for people: its end where it is long.
pub(super) fn quoted(path: &[u8]) -> String {
    const SHOWN: usize = 200;
    match path.len().checked_sub(SHOWN) {
        None | Some(0) => format!("{:?}", String::from_utf8_lossy(path)),
        Some(hidden) => format!("...{:?}", String::from_utf8_lossy(&path[hidden..])),
    }
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its path has a component `..`.
    #[error("has a path with \"..\"")]
    ParentPath,
    /// It has no path, or one with a NUL in it.
    #[error("has no proper path")]
    BadPath,
    /// A component of its path has more bytes than a name may have.
    #[error("has a name of more than 255 bytes")]
    LongName,
    /// Its path has too many bytes.
    #[error("has a path of more than 4096 bytes")]
    LongPath,
    /// Its path has too many components.
    #[error("lies deeper than {0} folders")]
    DeepPath(usize),
    /// It would be in something that is no folder.
    #[error("lies below {}, which is no folder in this layer", quoted(.0))]
    BelowFile(Vec<u8>),
    /// It is the root, and no folder.
    #[error("is the root, but no folder")]
    RootFile,
    /// It is a hard link to something that is not an earlier file of the layer.
    #[error("is a hard link to {}, which is no earlier file of this layer", quoted(.0))]
    ForeignLink(Vec<u8>),
    /// It is a symbolic link to nothing, to a NUL, or to more than a path can be.
    #[error("is a symbolic link that leads nowhere")]
    BadTarget,
    /// It hides no name, or lies in what it would hide.
    #[error("is a whiteout (.wh.) of nothing that could be")]
    BadWhiteout,
    /// It hides all of the root.
    #[error("hides all lower layers: an image does without them instead")]
    OpaqueRoot,
    /// It is of a kind that no layer has (multi-volume, vendor's).
    #[error("is of an unknown kind ({0:?})")]
    UnknownKind(char),
    /// A number in its header is none.
    #[error("has a header with a number that is none")]
    BadNumber,
    /// Its extended header is too long, malformed, or says two things of one entry.
    #[error("has a bad extended header")]
    BadExtension,
    /// It is a sparse file whose parts contradict each other.
    #[error("is a sparse file whose parts do not fit together")]
    BadSparse,
    /// A part of it lies in lower layers alone.
    #[error("is stored in part only")]
    Partial,
}

/// Why a layer could not be read, in words for people.
pub(super) fn told(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off"),
        _ => error,
    }
}

impl From<WriteError> for ConvertError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Output(source) => Self::Output(source),
            // Content is read, and names are looked at, where the entry is known.
            other => Self::Output(io::Error::other(other)),
        }
    }
}
