//! `paddockd stack add`: layers are made here, with the operator's rights to read what they are made of; the server takes them
//! in, tries what comes of them, and adds the stack.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use paddock_ipc::admin::{self, AdminAnswer, AdminRequest, StackLayer};
use paddock_ipc::frame;

use super::super::progress::ProgressLine;
use super::super::stop::not_running;
use super::image::{Image, Packed};
use crate::paths::Paths;
use crate::start_error::StartError;

/// The longest between two words of the server: it copies a layer in that time, or tries the stack.
const SILENCE: Duration = Duration::from_secs(600);

/// Adds a stack, or a further version of one: builds take the version that was added last, releases stay on theirs.
///
/// It is made of a root file system: in a folder, as debootstrap makes one, or of an image. What builds need besides
/// (compilers, git, curl) may be in a second one. Programs in it run as the user with the number 1000, without setuid bits. The server
/// tries it first, and refuses one that lacks what dynos or builds need.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("run").required(true).args(["folder", "oci", "image"]))]
#[command(group = clap::ArgGroup::new("build").args(["build_folder", "build_oci", "build_image"]))]
pub(super) struct AddArgs {
    /// Name of the stack, as in heroku stack:set NAME
    name: String,
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Root file system in a folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Image in an OCI layout, as skopeo writes one; with :TAG if there are several
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    oci: Option<String>,
    /// Image of this server's own registry, as registry.DOMAIN/APP/TYPE
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Root file system in a folder, for builds alone
    #[arg(long, value_name = "FOLDER")]
    build_folder: Option<PathBuf>,
    /// Image in an OCI layout, for builds alone
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    build_oci: Option<String>,
    /// Image of this server's own registry, for builds alone
    #[arg(long, value_name = "IMAGE")]
    build_image: Option<String>,
    /// Mark it as one that may change or go
    #[arg(long)]
    beta: bool,
}

impl AddArgs {
    /// What to tell of it.
    pub(super) fn add(&self) -> Result<String, StartError> {
        let paths = Paths::new(self.data.clone());
        let run = Image::of(self.folder.as_deref(), self.oci.as_deref(), self.image.as_deref())?;
        let build =
            Image::of(self.build_folder.as_deref(), self.build_oci.as_deref(), self.build_image.as_deref())?;
        let run = run.ok_or("no image was named")?;
        // Nothing is packed for a server that is not there, or for somebody who may not ask it.
        self.ask_first(&paths)?;
        let mut packed = Packed::in_folder(&paths.data.join("layers"));
        let run = packed.add(&run)?;
        let build = build.map(|build| packed.add(&build)).transpose()?;
        for warning in packed.warnings() {
            crate::remark(warning);
        }
        let request = AdminRequest::AddStack {
            name: self.name.clone(),
            is_beta: self.beta,
            layers: packed.layers().len(),
            run,
            build,
        };
        let stream = admin::send(&paths.admin_socket(), &request, &[], SILENCE);
        self.hand_over(&stream.map_err(|error| unreachable(&paths, error))?, &packed)
    }

    fn ask_first(&self, paths: &Paths) -> Result<(), StartError> {
        match admin::ask(&paths.admin_socket(), &AdminRequest::ListStacks, SILENCE) {
            Ok((AdminAnswer::Refused { reason }, _)) => Err(reason.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(unreachable(paths, error)),
        }
    }

    fn hand_over(&self, stream: &UnixStream, packed: &Packed) -> Result<String, StartError> {
        let count = packed.layers().len();
        let mut line = ProgressLine::new("Handing over");
        let outcome = loop {
            match admin::receive(stream) {
                Ok(AdminAnswer::StackLayersTaken { layers: number }) if number < count => {
                    let layer = &packed.layers()[number];
                    line.tell_part("layer", number as u64 + 1, count as u64, layer.bytes);
                    let sent = frame::send(stream.as_fd(), &StackLayer { number }, &[layer.file.as_fd()]);
                    if let Err(error) = sent {
                        break Err(format!("the server takes no more: {error}").into());
                    }
                }
                Ok(AdminAnswer::StackLayersTaken { .. }) => {
                    line.end();
                    line = ProgressLine::new("Trying it");
                }
                Ok(AdminAnswer::StackAdded { version, system, was_there }) => {
                    break Ok(self.told(&version, &system, was_there));
                }
                Ok(AdminAnswer::Refused { reason }) => break Err(reason.into()),
                Ok(other) => {
                    break Err(format!("the server gave an answer that does not fit: {other:?}").into());
                }
                Err(error) => break Err(format!("the server did not answer: {error}").into()),
            }
        };
        line.end();
        outcome
    }

    fn told(&self, version: &str, system: &str, was_there: bool) -> String {
        let name = &self.name;
        let system = if system.is_empty() { String::new() } else { format!(", {system}") };
        let what = match was_there {
            true => "was there already, and is what builds take from now on",
            false => "is added",
        };
        format!(
            "The stack {name} (version {version}{system}) {what}.\nAn app's next build takes it after: heroku stack:set {name} -a APP"
        )
    }
}

fn unreachable(paths: &Paths, error: std::io::Error) -> StartError {
    if !not_running(&error) {
        return format!("could not ask the server: {error}").into();
    }
    let data = paths.data.display();
    format!("no server answers for {data} ({error}). Start one with: paddockd serve --data {data}").into()
}
