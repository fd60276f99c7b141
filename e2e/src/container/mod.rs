//! Images made from nothing, and a stand-in for docker's client where no engine runs.

mod docker;
mod image;

pub use docker::Docker;
pub use image::{Image, Root};
