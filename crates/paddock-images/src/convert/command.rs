//! The converter's program, `paddockd convert`: it runs in a container of the tenant's, since what it reads is the tenant's, and needs nothing
//! there but the files that it is told.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::OFlags;

use super::{
    Compression, ConversionReport, ConvertError, LayerLimits, LeftOut, UnknownMediaType, convert_tar,
    convert_tree,
};

const USAGE: &str = "usage: paddockd convert --tar FILE --media-type TYPE --out FILE --report FILE [LIMIT]...
       paddockd convert --tree FOLDER [--leave-out PATH]... [--leave-out-empty PATH]... --out FILE --report FILE [LIMIT]...

LIMIT is --max-entries, --max-bytes, --max-name-bytes or --max-depth and a number.
Ends with 0 and a report, with 1 and a sentence on standard error where the input is refused, with 2 where
something else is amiss.";

/// The program's only failures: the input's, and all others.
const REFUSED: u8 = 1;
const FAILED: u8 = 2;

/// Converts what the arguments name, which are those after `convert`.
pub fn convert_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let ended = Arguments::read(arguments).and_then(|arguments| arguments.run());
    let Err(stop) = ended else { return ExitCode::SUCCESS };
    let (status, sentence) = match stop {
        Stop::Refused(sentence) => (REFUSED, sentence),
        Stop::Failed(sentence) => (FAILED, sentence),
    };
    let _ = writeln!(io::stderr(), "{sentence}");
    ExitCode::from(status)
}

/// Arguments of the program that convert a tar.
#[must_use]
pub fn convert_tar_arguments(tar: &Path, media_type: &str, files: &ConvertedFiles<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        vec!["--tar".into(), tar.into(), "--media-type".into(), media_type.into()];
    files.name(&mut arguments);
    arguments
}

/// Arguments of the program that convert a tree.
#[must_use]
pub fn convert_tree_arguments(tree: &Path, left_out: &LeftOut, files: &ConvertedFiles<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--tree".into(), tree.into()];
    for path in &left_out.always {
        arguments.extend(["--leave-out".into(), path.into()]);
    }
    for path in &left_out.if_empty {
        arguments.extend(["--leave-out-empty".into(), path.into()]);
    }
    files.name(&mut arguments);
    arguments
}

/// Where the program writes, and how much it reads.
#[derive(Debug, Clone, Copy)]
pub struct ConvertedFiles<'a> {
    /// The mountable file.
    pub out: &'a Path,
    /// The report, [`ConversionReport::read`].
    pub report: &'a Path,
    /// Bounds of the layer.
    pub limits: LayerLimits,
}

impl ConvertedFiles<'_> {
    fn name(&self, arguments: &mut Vec<OsString>) {
        let LayerLimits { entries, bytes, name_bytes, depth } = self.limits;
        arguments.extend(["--out".into(), self.out.into(), "--report".into(), self.report.into()]);
        for (option, limit) in [
            ("--max-entries", entries),
            ("--max-bytes", bytes),
            ("--max-name-bytes", name_bytes),
            ("--max-depth", depth as u64),
        ] {
            arguments.extend([option.into(), limit.to_string().into()]);
        }
    }
}

/// Why the program ends without a layer.
enum Stop {
    /// The input is refused.
    Refused(String),
    /// Something of ours is amiss.
    Failed(String),
}

impl From<ConvertError> for Stop {
    fn from(error: ConvertError) -> Self {
        if error.is_refusal() { Self::Refused(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

impl From<UnknownMediaType> for Stop {
    fn from(error: UnknownMediaType) -> Self {
        Self::Refused(error.to_string())
    }
}

fn failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Stop {
    move |error| Stop::Failed(format!("could not {doing} {}: {error}", path.display()))
}

#[derive(Default)]
struct Arguments {
    tar: Option<PathBuf>,
    media_type: Option<String>,
    tree: Option<PathBuf>,
    out: Option<PathBuf>,
    report: Option<PathBuf>,
    left_out: LeftOut,
    limits: Option<LayerLimits>,
}

impl Arguments {
    fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        let mut read = Self::default();
        let mut limits = LayerLimits::IMAGE;
        let mut arguments = arguments.into_iter();
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(usage)?;
            let limit = || value.to_str().and_then(|value| value.parse().ok()).ok_or_else(usage);
            match option.to_str().unwrap_or_default() {
                "--tar" => read.tar = Some(value.into()),
                "--media-type" => read.media_type = Some(text(&value)),
                "--tree" => read.tree = Some(value.into()),
                "--out" => read.out = Some(value.into()),
                "--report" => read.report = Some(value.into()),
                "--leave-out" => read.left_out.always.push(value.into()),
                "--leave-out-empty" => read.left_out.if_empty.push(value.into()),
                "--max-entries" => limits.entries = limit()?,
                "--max-bytes" => limits.bytes = limit()?,
                "--max-name-bytes" => limits.name_bytes = limit()?,
                "--max-depth" => limits.depth = usize::try_from(limit()?).map_err(|_| usage())?,
                _ => return Err(usage()),
            }
        }
        read.limits = Some(limits);
        Ok(read)
    }

    fn run(self) -> Result<(), Stop> {
        let limits = self.limits.unwrap_or(LayerLimits::IMAGE);
        let (Some(out), Some(report)) = (&self.out, &self.report) else { return Err(usage()) };
        let converted = match (&self.tar, &self.media_type, &self.tree) {
            (Some(tar), Some(media_type), None) => {
                let compression = Compression::of_media_type(media_type)?;
                let input = open(tar).map_err(failed("open", tar))?;
                let output = create(out).map_err(failed("write", out))?;
                ConversionReport::from(convert_tar(input, compression, output, &limits)?)
            }
            (None, None, Some(tree)) => {
                let output = create(out).map_err(failed("write", out))?;
                ConversionReport::from(convert_tree(tree, &self.left_out, output, &limits)?)
            }
            _ => return Err(usage()),
        };
        let written = create(report).and_then(|file| Ok(serde_json::to_writer(file, &converted)?));
        written.map_err(failed("write", report))
    }
}

fn usage() -> Stop {
    Stop::Failed(USAGE.to_owned())
}

fn text(value: &OsStr) -> String {
    value.to_string_lossy().into_owned()
}

/// Opens a plain file, by no link.
fn open(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no plain file")),
    }
}

/// An empty file, by no link; what a run that was ended has left goes.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(flags(OFlags::NOFOLLOW)).open(path)
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}
