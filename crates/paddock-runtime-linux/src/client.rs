//! The runtime's side of a shim's socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::Bytes;
use paddock_ipc::frame;
use paddock_runtime::{Attached, Input};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::protocol::{FromShim, INPUT_BYTES_MAX, InputFrame, ToShim};
use crate::record::Folder;

/// Messages on their way between a client and a program.
const MESSAGES_AHEAD: usize = 16;
/// Bytes taken from a program at once.
const READ_BYTES: usize = 32 * 1024;

/// Connects to a container's shim; does not wait for one that hangs. `NotFound` and `ConnectionRefused` mean that
/// there is none.
pub(crate) fn connect(folder: &Folder) -> io::Result<UnixStream> {
    // By descriptor: a socket's address holds 107 bytes, and a data directory may be deep.
    let opened =
        rustix::fs::open(&folder.0, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/shim.sock", opened.as_raw_fd()))?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// Whether somebody listens, if only with so many waiting that no more are let in. Where it cannot be asked, for want of
/// descriptors say, somebody does: a container that runs is not given up for that.
pub(crate) fn is_answered(folder: &Folder) -> bool {
    connect(folder).map_or_else(|error| !is_nobody(&error), |_| true)
}

/// Whether an error says that nobody listens.
pub(crate) fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Sends a request and waits for its answer; blocks.
pub(crate) fn ask(folder: &Folder, request: &ToShim, patience: Duration) -> io::Result<FromShim> {
    Ok(open(folder, request, patience)?.1)
}

/// Sends a request and waits for its answer; also gives the connection, for what follows.
pub(crate) fn open(
    folder: &Folder,
    request: &ToShim,
    patience: Duration,
) -> io::Result<(UnixStream, FromShim)> {
    let socket = connect(folder)?;
    socket.set_read_timeout(Some(patience))?;
    frame::send(socket.as_fd(), request, &[])?;
    let (answer, _) = frame::receive(socket.as_fd())?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((socket, answer))
}

/// Makes the port's two-way connection of a socket that a shim has connected to a program.
pub(crate) fn attached(socket: UnixStream) -> io::Result<Attached> {
    socket.set_nonblocking(true)?;
    let (read, write) = tokio::io::split(tokio::net::UnixStream::from_std(socket)?);
    let (input, inputs) = mpsc::channel(MESSAGES_AHEAD);
    let (outputs, output) = mpsc::channel(MESSAGES_AHEAD);
    #[expect(clippy::disallowed_methods, reason = "it ends with the socket")]
    tokio::spawn(carry_input(inputs, write));
    #[expect(clippy::disallowed_methods, reason = "it ends with the socket")]
    tokio::spawn(carry_output(read, outputs));
    Ok(Attached { input, output })
}

/// Two tasks, so that a program that is blocked on its output can still be fed and the other way round.
async fn carry_input(mut inputs: mpsc::Receiver<Input>, mut socket: WriteHalf<tokio::net::UnixStream>) {
    while let Some(input) = inputs.recv().await {
        let frames = match input {
            Input::Bytes(bytes) => bytes
                .chunks(INPUT_BYTES_MAX)
                .flat_map(|part| InputFrame::Bytes(part.to_vec()).encode())
                .collect(),
            Input::Resize { rows, columns } => InputFrame::Resize { rows, columns }.encode(),
            Input::End => InputFrame::End.encode(),
        };
        if socket.write_all(&frames).await.is_err() {
            return;
        }
    }
}

async fn carry_output(mut socket: ReadHalf<tokio::net::UnixStream>, outputs: mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = tokio::select! {
            () = outputs.closed() => return,
            read = socket.read(&mut buffer) => read.unwrap_or(0),
        };
        if count == 0 || outputs.send(Bytes::copy_from_slice(&buffer[..count])).await.is_err() {
            return;
        }
    }
}
