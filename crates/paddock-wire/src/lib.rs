//! The Platform API v3 as JSON: what clients send, what they get, and the grammars of its headers.
//!
//! Only this crate derives serde for API JSON. It knows nothing of the domain: ids and names are text here, and the
//! server converts field by field. A field that may be empty is `null`, never absent, because the official client
//! dereferences some of them (`docs/contract/heroku-cli.md`, 5.6).
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

pub mod accept;
pub mod account;
pub mod addon;
pub mod addon_attachment;
pub mod addon_service;
pub mod app;
pub mod authorization;
pub mod build;
pub mod build_record;
pub mod buildpack_installation;
pub mod buildpack_registry;
pub mod collaborator;
pub mod config_var;
pub mod dated;
pub mod domain;
pub mod dyno;
pub mod dyno_size;
pub mod error;
pub mod etag;
pub mod favorite;
pub mod feature;
pub mod formation;
pub mod generation;
pub mod hyper_schema;
pub mod key;
pub mod lenient;
pub mod log_session;
pub mod named;
pub mod plan;
pub mod platform_status;
pub mod postgres;
pub mod range;
pub mod rate_limit;
pub mod region;
pub mod release;
pub mod report;
pub mod slug;
pub mod source;
pub mod stack;
pub mod time;
pub mod transfer;

pub use account::Account;
pub use addon::Addon;
pub use addon_attachment::AddonAttachment;
pub use addon_service::AddonService;
pub use app::App;
pub use authorization::Authorization;
pub use build::Build;
pub use buildpack_installation::BuildpackInstallation;
pub use collaborator::Collaborator;
pub use dated::Dated;
pub use domain::Domain;
pub use dyno::Dyno;
pub use dyno_size::DynoSize;
pub use error::ErrorBody;
pub use favorite::Favorite;
pub use feature::Feature;
pub use formation::Formation;
pub use generation::Generation;
pub use hyper_schema::HyperSchema;
pub use key::Key;
pub use log_session::LogSession;
pub use named::{Empty, IdOnly, NamedRef, UserRef};
pub use plan::Plan;
pub use platform_status::PlatformStatus;
pub use rate_limit::RateLimit;
pub use region::Region;
pub use release::Release;
pub use slug::Slug;
pub use source::Source;
pub use stack::Stack;
pub use time::Time;
