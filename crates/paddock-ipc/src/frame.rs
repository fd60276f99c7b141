//! Length-prefixed JSON messages over a Unix stream socket, with up to eight descriptors beside one.
//!
//! A frame is a big-endian `u32` length and that many bytes of JSON. Descriptors travel with the length's bytes.
//! The functions block; asynchronous callers run them where blocking is allowed, or use [`encode`] and [`decode`].

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message: a route table of some ten thousand apps fits.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most descriptors beside one message.
pub const DESCRIPTORS_MAX: usize = 8;

/// The bytes of a message with its length.
///
/// # Errors
/// When the message cannot be written as JSON or is too long.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length as usize <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "message is too long"))?;
    let mut frame = Vec::with_capacity(4 + json.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&json);
    Ok(frame)
}

/// Takes the first whole message off `buffer`; `None` when it is not all there yet.
///
/// # Errors
/// When the length is over [`MESSAGE_BYTES_MAX`] or the bytes are not this message.
pub fn decode<T: DeserializeOwned>(buffer: &mut Vec<u8>) -> io::Result<Option<T>> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is too long"));
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    let message = serde_json::from_slice(&buffer[4..4 + length])?;
    buffer.drain(..4 + length);
    Ok(Some(message))
}

/// Sends a message with descriptors beside it; blocks until it is sent.
///
/// # Errors
/// As the socket has them; a peer that is gone is `BrokenPipe`, never a signal.
pub fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let frame = encode(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let mut sent = sendmsg(socket, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL)?;
    while sent < frame.len() {
        sent += rustix::net::send(socket, &frame[sent..], SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives a message and the descriptors beside it; blocks. `None` at the end of the stream.
///
/// # Errors
/// As the socket has them; a message that is cut short, too long or not JSON of this shape is `InvalidData`.
pub fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut descriptors = Vec::new();
    let mut head = [0; 4];
    if !fill(socket, &mut head, &mut descriptors)? {
        return Ok(None);
    }
    let length = u32::from_be_bytes(head) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is too long"));
    }
    let mut json = vec![0; length];
    if length > 0 && !fill(socket, &mut json, &mut descriptors)? {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is cut short"));
    }
    Ok(Some((serde_json::from_slice(&json)?, descriptors)))
}

/// Fills `buffer`; false when the stream ended before its first byte.
fn fill(socket: BorrowedFd<'_>, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut buffer[filled..])];
        let received = match recvmsg(socket.as_fd(), &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => received.bytes,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        match received {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::Error::new(io::ErrorKind::InvalidData, "message is cut short")),
            received => filled += received,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;

    use super::*;
    use crate::routes::{RouteTable, ToRouter};

    #[test]
    fn a_message_and_its_descriptors_arrive() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send(ours.as_fd(), &vec![1, 2, 3], &[file.as_fd()]).unwrap();
        send(ours.as_fd(), &vec![4], &[]).unwrap();
        drop(ours);
        let (message, descriptors) = receive::<Vec<i32>>(theirs.as_fd()).unwrap().unwrap();
        assert_eq!((message, descriptors.len()), (vec![1, 2, 3], 1));
        let (message, descriptors) = receive::<Vec<i32>>(theirs.as_fd()).unwrap().unwrap();
        assert_eq!((message, descriptors.len()), (vec![4], 0));
        assert!(receive::<Vec<i32>>(theirs.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_part_of_a_message_is_not_a_message() {
        let mut frame = encode(&"hello").unwrap();
        let rest = frame.split_off(6);
        assert_eq!(decode::<String>(&mut frame).unwrap(), None);
        frame.extend(rest);
        assert_eq!(decode::<String>(&mut frame).unwrap().as_deref(), Some("hello"));
        assert!(frame.is_empty());
        assert!(decode::<String>(&mut vec![0xff; 8]).is_err());
    }

    proptest! {
        #[test]
        fn frames_are_found_wherever_the_stream_is_cut(
            texts in proptest::collection::vec(any::<String>(), 0..8),
            piece in 1usize..50,
        ) {
            let stream: Vec<u8> = texts.iter().flat_map(|text| encode(text).unwrap()).collect();
            let (mut buffer, mut read) = (Vec::new(), Vec::new());
            for part in stream.chunks(piece) {
                buffer.extend_from_slice(part);
                while let Some(text) = decode::<String>(&mut buffer).unwrap() {
                    read.push(text);
                }
            }
            prop_assert_eq!(read, texts);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn no_bytes_panic_or_are_kept_beyond_their_length(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let before = bytes.len();
            let mut buffer = bytes;
            let _ = decode::<ToRouter>(&mut buffer);
            prop_assert!(buffer.len() <= before);
        }

        #[test]
        fn no_text_in_the_place_of_a_table_panics(text in "[{}\\[\\]\":,0-9a-z.*_ -]{0,200}") {
            let _ = serde_json::from_str::<RouteTable>(&text);
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            let mut frame = [&length[..], text.as_bytes()].concat();
            let _ = decode::<ToRouter>(&mut frame);
        }
    }

    #[test]
    fn a_table_nested_too_deep_is_refused() {
        let deep = format!("{{\"message\":\"routes\",\"generation\":{}", "[".repeat(1_000_000));
        let length = u32::try_from(deep.len()).unwrap().to_be_bytes();
        assert!(decode::<ToRouter>(&mut [&length[..], deep.as_bytes()].concat()).is_err());
    }
}
