//! Layers, archives and host stacks, in real folders.

#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod archive;
mod host_stack;
mod layers;
mod root;
