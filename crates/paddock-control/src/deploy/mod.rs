//! From source to a release: pushes, uploads, builds, slugs, releases and what they said.

pub mod build;
pub(crate) mod cancel;
pub(crate) mod conversions;
pub mod git;
pub(crate) mod job;
pub mod output;
pub mod push;
pub mod release;
pub(crate) mod release_steps;
pub mod slug;
pub mod source;
pub(crate) mod stream_secret;
mod verify;
