//! HTTP/1.1 messages as bytes: heads, where bodies end, chunks. No I/O, no clock, no panics on input.
//!
//! Everything that a peer sends has a bound, and each byte of it is looked at once: what it costs to read a message is
//! what its bytes cost, in whatever pieces they come. Requests are read strictly, because two programs that read one
//! request in two ways are led astray by it; responses come from the app that they harm, and bare line feeds are taken.
//!
//! * [`RequestReader`], [`ResponseReader`]: heads out of bytes as they come.
//! * [`Body`]: what of the bytes that follow is the body's.
//! * [`Fields`]: header fields, in their order and with their bytes.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

mod body;
mod chunks;
mod defect;
mod fields;
mod line;
#[cfg(test)]
mod pieces;
mod request;
mod response;

pub use body::{Body, write_chunk, write_last_chunk};
pub use chunks::Malformed;
pub use defect::Defect;
pub use fields::{Field, Fields};
pub use request::{Form, Refused, Request, RequestReader, Version};
pub use response::{BadResponse, Response, ResponseReader};

/// What became of the bytes so far.
#[derive(Debug)]
pub enum Progress<T> {
    /// More bytes are needed.
    More,
    /// The head is complete; what follows it is left in the buffer.
    Done(T),
}
