//! What the API does whichever engine its store is on. The module's name says the engine: see [`support`].

mod accounts;
mod addons;
mod apps;
mod bad_input;
mod collaborators;
mod config_vars;
mod conventions;
mod databases;
mod domains;
mod dynos;
mod favorites;
mod formation;
mod git;
mod images;
mod keys;
mod logs;
mod metrics;
mod once;
mod releases;
mod rendezvous;
mod schema;
mod shutdown;
mod small_nouns;
mod sources_and_builds;
pub(crate) mod support;
mod walkers;
