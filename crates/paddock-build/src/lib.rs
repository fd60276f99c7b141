//! Source to slug layer: git receive, sources, buildpacks.
//!
//! * [`git`]: one bare repository an app, with the installed git as engine, and our `proc-receive` hook.
//! * [`Builder`]: runs one build in a container of its own through the runtime port and adds the slug as a layer.
//! * [`runner`]: what runs inside that container: everything that touches a tenant's bytes.
//! * [`Builder::build_images`]: the same for images, by a [`dockerfile`] that [`heroku_yml`] names; [`image_step`] is what runs
//!   inside the containers of its steps.
//!
//! Rules: `docs/contract/buildpacks.md`; text of errors that people see: its sections 5, 7 and 8.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

pub mod dockerfile;
pub mod dockerignore;
pub mod git;
pub mod glob;
pub mod heroku_yml;
mod host;
pub mod image_step;
pub mod output;
pub mod plan;
pub mod runner;
pub mod source;

pub use host::image;
pub use host::{
    BuildFailure, BuildLog, BuildOutcome, BuildRequest, Builder, BuilderConfig, FailureKind,
    ProgramLibraries, SlugLayer, Source, SourceArchive,
};
