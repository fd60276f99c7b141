//! What the operator asks about stacks.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use paddock_control::added_stack::KnownStack;
use paddock_control::{Control, Error, added_stack};
use paddock_core::error::chain;
use paddock_core::{ErrorId, UnixMicros};
use paddock_ipc::admin::{AdminAnswer, AdminRequest, StackImage, StackLayer, StackLine};
use paddock_ipc::frame;

use super::accounts::shown;

/// How long the next layer may take to come.
const LAYER_TIMEOUT: Duration = Duration::from_secs(60);

/// A stack that is to be added.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) is_beta: bool,
    pub(super) layers: usize,
    pub(super) run: StackImage,
    pub(super) build: Option<StackImage>,
}

pub(super) async fn answer(control: &Control, request: AdminRequest) -> AdminAnswer {
    let deploy = &control.deploy;
    let answered = match request {
        AdminRequest::ListStacks => deploy.known_stacks().await.map(|known| {
            let stacks = known.into_iter().map(line).collect();
            AdminAnswer::Stacks { stacks }
        }),
        AdminRequest::RemoveStack { name } => deploy.remove_stack(&name).await.map(|()| done()),
        AdminRequest::DeprecateStack { name, ends_at } => {
            deploy.deprecate_stack(&name, ends_at.map(UnixMicros)).await.map(|()| done())
        }
        other => return AdminAnswer::Refused { reason: format!("this is not about stacks: {other:?}") },
    };
    answered.unwrap_or_else(refused)
}

/// Takes the layers as they come, and adds the stack. A client that is gone adds none.
pub(super) fn add(
    control: &Control,
    stream: &UnixStream,
    runtime: &tokio::runtime::Handle,
    wanted: Wanted,
) -> io::Result<AdminAnswer> {
    stream.set_read_timeout(Some(LAYER_TIMEOUT))?;
    let mut addition = match runtime.block_on(control.deploy.begin_stack(&wanted.name)) {
        Ok(addition) => addition,
        Err(error) => return Ok(refused(error)),
    };
    for number in 0..wanted.layers {
        frame::send(stream.as_fd(), &AdminAnswer::StackLayersTaken { layers: number }, &[])?;
        let (layer, descriptors): (StackLayer, _) =
            frame::receive(stream.as_fd())?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let Some(file) = descriptors.into_iter().next().filter(|_| layer.number == number) else {
            let reason = format!("layer {number} of the stack did not come with its number");
            return Ok(AdminAnswer::Refused { reason });
        };
        if let Err(error) = runtime.block_on(addition.add_layer(File::from(file))) {
            return Ok(refused(error));
        }
    }
    frame::send(stream.as_fd(), &AdminAnswer::StackLayersTaken { layers: wanted.layers }, &[])?;
    let (run, build) = (image(wanted.run), wanted.build.map(image));
    let added = runtime.block_on(addition.finish(&run, build.as_ref(), wanted.is_beta));
    Ok(match added {
        Ok(added) => {
            tracing::info!(stack.version = added.version, "the stack {} was added", wanted.name);
            AdminAnswer::StackAdded {
                version: added.version,
                system: added.system,
                was_there: added.was_there,
            }
        }
        Err(error) => refused(error),
    })
}

fn image(image: StackImage) -> added_stack::StackImage {
    match image {
        StackImage::Sent(layers) => added_stack::StackImage::Sent(layers),
        StackImage::Registered(name) => added_stack::StackImage::Registered(name),
    }
}

fn done() -> AdminAnswer {
    AdminAnswer::Done { ended_tokens: 0 }
}

/// The operator is told the cause of a failure, too.
pub(super) fn refused(error: Error) -> AdminAnswer {
    let reason = match error.id {
        ErrorId::InternalServerError => chain(&error),
        _ => error.message,
    };
    AdminAnswer::Refused { reason }
}

fn line(known: KnownStack) -> StackLine {
    let text = |text: String| (!text.is_empty()).then_some(text);
    StackLine {
        name: known.stack.as_str().to_owned(),
        state: known.state.as_str().to_owned(),
        ends_at: known.ends_at.map(shown),
        version: text(known.version),
        system: text(known.system),
        added_at: known.added_at.map(shown),
        size_bytes: known.size_bytes,
        kept_versions: known.kept_versions,
        apps: known.apps,
    }
}
