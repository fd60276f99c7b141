//! The log plane: lines of apps are accepted, kept and read; output of builds and releases is kept and followed.
//!
//! * [`LogPlane`]: durable log lines per app, without loss or repeats across crashes.
//! * [`Tail`]: live reading, without gap or repeat after a backlog.
//! * [`OutputLogs`]: one text per build or release phase, followed while it grows.
//! * [`render`], [`sse_event`]: the form in which clients get lines.

mod blocking;
mod error;
mod output;
mod plane;
mod record;
mod render;
mod segment;
mod tail;

pub use error::LogError;
pub use output::{
    Follow, OUTPUT_BYTES_MAX, OutputError, OutputLogs, OutputSeen, OutputWriter, SpooledOutputWriter,
};
pub use plane::{Backlog, LogPlane, Retention};
pub use record::LineNumber;
pub use render::{render, sse_event};
pub use tail::Tail;
