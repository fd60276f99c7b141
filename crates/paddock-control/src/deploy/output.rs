//! Output of builds and release phases, read by who has the address.

use bytes::Bytes;
use paddock_telemetry::{Follow, OutputError};
use uuid::Uuid;

use crate::deploy::Deploy;
use crate::deploy::stream_secret::Stream;
use crate::kernel::error::chain;
use crate::{Error, Result};

/// Reads one output until its end.
#[derive(Debug)]
pub struct OutputReader(Follow);

impl Deploy {
    /// Follows the output of a build.
    ///
    /// # Errors
    /// `not_found` for an address that opens nothing, or before the build has begun.
    pub async fn read_build_output(&self, secret: &str) -> Result<OutputReader> {
        self.follow(self.opened_by(Stream::Build, secret).await?)
    }

    /// Follows the output of a release phase.
    ///
    /// # Errors
    /// `not_found` for an address that opens nothing, or before the phase has begun.
    pub async fn read_release_output(&self, secret: &str) -> Result<OutputReader> {
        self.follow(self.opened_by(Stream::Release, secret).await?)
    }

    fn follow(&self, id: Uuid) -> Result<OutputReader> {
        match self.outputs.follow(id) {
            Ok(follow) => Ok(OutputReader(follow)),
            // Clients ask again until it has started.
            Err(OutputError::NotStarted(_)) => Err(Error::not_found("output_stream")),
            Err(error) => Err(Error::internal("open an output", error)),
        }
    }
}

impl OutputReader {
    /// The next bytes; `None` at the end. Dropping the future loses nothing.
    pub async fn next_chunk(&mut self) -> Option<Bytes> {
        self.0.next().await.unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "could not go on reading an output");
            None
        })
    }
}
