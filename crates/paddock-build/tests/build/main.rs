//! Builds in real containers, and git over HTTP.
#![allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")]

mod buildpacks;
mod builds;
mod compiled;
mod contract;
mod git;
mod gradle;
mod hostile_images;
mod images;
mod java;
mod languages;
mod node;
mod php;
mod python;
mod records;
mod ruby;
mod sites;
mod support;
