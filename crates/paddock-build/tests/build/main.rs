//! Builds in real containers, and git over HTTP.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]

mod buildpacks;
mod builds;
mod compiled;
mod git;
mod hostile_images;
mod images;
mod languages;
mod node;
mod php;
mod python;
mod sites;
mod support;
