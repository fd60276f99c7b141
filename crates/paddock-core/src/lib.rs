//! The domain of Paddock in Heroku's words: nouns, ids, rules, state machines and pure planners.
//!
//! Nothing here does I/O, is async, derives serde or reads a clock: `now` is always a parameter.
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

pub mod addon;
pub mod app;
pub mod artefact;
pub mod build;
pub mod build_record;
pub mod buildpack;
pub mod buildpack_meaning;
pub mod code;
pub mod config;
pub mod digest;
pub mod dyno;
pub mod error;
pub mod event;
pub mod fail_point;
pub mod hex;
pub mod id;
pub mod image;
pub mod image_users;

pub mod log;
pub mod plan;
pub mod process;
pub mod procfile;
pub mod proxy_form;
pub mod rate_limit;
pub mod registry;
pub mod release;
pub mod remote_image;
pub mod stack;
pub mod tenant;
pub mod time;
pub mod transfer;
pub mod turns;

pub use addon::{AddonName, AttachmentName};
pub use app::{AppName, AppRef};
pub use digest::{BlobDigest, LayerDigest};
pub use error::ErrorId;
pub use hex::hex;
pub use id::*;
pub use process::ProcessType;
pub use tenant::Tenant;
pub use time::UnixMicros;
