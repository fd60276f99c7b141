//! What clients can be connected to in the place of a log.

use super::streams::ShimStreams;

/// What the program of a container that is not of lines is connected to.
#[derive(Debug)]
pub(super) struct Attachable {
    pub(super) streams: ShimStreams,
    /// Output that a client went away without.
    pub(super) held: Vec<u8>,
    /// Nobody inside can write any more.
    pub(super) output_ended: bool,
}

impl Attachable {
    pub(super) fn new(streams: ShimStreams) -> Self {
        Self { streams, held: Vec::new(), output_ended: false }
    }
}
