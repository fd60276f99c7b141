//! Layers, archives and host stacks, in real folders.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

mod archive;
mod archives;
mod blobs;
mod convert_command;
mod convert_tar;
mod convert_tree;
mod erofs;
mod host_stack;
mod layers;
mod mounted;
mod oci;
mod root;
