//! Builds in real containers, and git over HTTP.

mod buildpacks;
mod builds;
mod git;
mod languages;
mod support;
