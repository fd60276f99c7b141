//! Messages between the runtime and a shim: `paddock_ipc::frame` over the shim's socket.
//!
//! Each connection carries one request and its answers. After [`ToShim::Attach`] and [`ToShim::Exec`] were answered
//! with [`FromShim::Done`] the connection carries the program's bytes: raw towards the client, and [`InputFrame`]s
//! towards the shim. After [`ToShim::Subscribe`] it carries [`FromShim::Wake`]s.

use serde::{Deserialize, Serialize};

use crate::record::StdioRecord;

/// Environment of a program. Never written to disk.
pub(crate) type Environment = Vec<(String, Vec<u8>)>;

/// The first message to a new shim, over its standard input.
#[derive(Serialize, Deserialize)]
pub(crate) struct Handover {
    pub(crate) env: Environment,
}

/// A request to a shim.
#[derive(Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(crate) enum ToShim {
    /// SIGTERM now, SIGKILL after the grace.
    Stop { grace_ms: u64 },
    /// SIGHUP now. Shims of earlier builds do not know it.
    HangUp,
    /// Forget output up to this number.
    Ack { seq: u64 },
    /// Send wake-ups on this connection.
    Subscribe,
    /// Connect this connection to the program.
    Attach,
    /// Run another program inside, connected to this connection.
    Exec { command: Vec<String>, env: Environment, working_dir: String, stdio: StdioRecord },
    /// Kill what is left, clean up, and end.
    Quit,
}

/// An answer of a shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum FromShim {
    Done,
    /// The program cannot be run: the user's fault.
    ProgramFailed {
        program: String,
        reason: String,
    },
    /// Something of the host failed.
    HostFailed {
        reason: String,
    },
    /// There is new output, or with `ended` the program has ended.
    Wake {
        ended: bool,
    },
}

/// What a client sends to an attached program: a head of one byte for the kind and a big-endian length, then bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputFrame {
    Bytes(Vec<u8>),
    Resize { rows: u16, columns: u16 },
    End,
}

/// Longest input frame; longer input is sent as several.
pub(crate) const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Kind and length.
const HEAD: usize = 5;

impl InputFrame {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Bytes(bytes) => (0, bytes.clone()),
            Self::Resize { rows, columns } => (1, [rows.to_be_bytes(), columns.to_be_bytes()].concat()),
            Self::End => (2, Vec::new()),
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        [&[kind], length.to_be_bytes().as_slice(), &payload].concat()
    }

    /// Takes the first whole frame off `buffer`; `Err` when it is none.
    pub(crate) fn decode(buffer: &mut Vec<u8>) -> Result<Option<Self>, ()> {
        let Some(head) = buffer.first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > INPUT_BYTES_MAX {
            return Err(());
        }
        let Some(payload) = buffer.get(HEAD..HEAD + length) else { return Ok(None) };
        let frame = match (head[0], payload) {
            (0, bytes) => Self::Bytes(bytes.to_vec()),
            (1, [a, b, c, d]) => {
                Self::Resize { rows: u16::from_be_bytes([*a, *b]), columns: u16::from_be_bytes([*c, *d]) }
            }
            (2, []) => Self::End,
            _ => return Err(()),
        };
        buffer.drain(..HEAD + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_frames_survive_any_cut() {
        let frames = [
            InputFrame::Bytes(b"hello".to_vec()),
            InputFrame::Resize { rows: 40, columns: 120 },
            InputFrame::End,
        ];
        let stream: Vec<u8> = frames.iter().flat_map(InputFrame::encode).collect();
        for cut in 0..stream.len() {
            let (mut buffer, mut seen) = (stream[..cut].to_vec(), Vec::new());
            while let Some(frame) = InputFrame::decode(&mut buffer).unwrap() {
                seen.push(frame);
            }
            buffer.extend(&stream[cut..]);
            while let Some(frame) = InputFrame::decode(&mut buffer).unwrap() {
                seen.push(frame);
            }
            assert_eq!(seen, frames);
        }
        assert!(InputFrame::decode(&mut vec![9, 0, 0, 0, 0]).is_err());
    }
}
