//! Buildpacks that are not built in: the mirror of their archives, what a build is given of them, and what the operator puts in.

pub mod import;
pub(crate) mod mirror;
pub(crate) mod resolve;
