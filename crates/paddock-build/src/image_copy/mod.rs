//! Programs of a Dockerfile's steps, run inside a container over the layers of an image, as its root.
mod mode;

pub use mode::Mode;
