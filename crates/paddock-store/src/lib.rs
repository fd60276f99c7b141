//! Durable state: the only crate with SQL of the platform's own.
//!
//! A use case is one transaction: [`Store::begin_for_app`] (or [`Store::begin_platform`]), changes, an event row,
//! perhaps a job row, [`Tx::commit`]; the wake-up follows. Reads are methods of [`Store`], and of [`Tx`] where a
//! change depends on what was read. Each file is about one noun: its rows, its statements, its questions.
//!
//! Stored: what was acknowledged to a user, what the reconcilers hold true, what jobs have still to do.
//! Not stored: log lines and numbers (telemetry), blobs and layers (images), git objects, which connections are
//! open. Secrets are stored sealed or as SHA-256 (see [`seal`]).
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

mod account;
mod addon;
mod app;
mod attachment;
mod authorization;
mod build;
mod build_record;
mod build_step;
mod buildpack;
mod buildpack_pin;
mod collaborator;
mod concern;
mod config;
mod copy;
mod count;
mod credential;
mod data_key;
mod data_server;
mod database;
mod domain;
mod dyno;
mod engine;
mod error;
mod event;
mod favorite;
mod feature;
mod formation;
mod image;
mod job;
mod key;
mod log_session;
mod login_failure;
mod migrate;
mod opening;
mod output;
mod owner;
mod platform;
mod process_image;
mod pulled_blob;
mod rate_limit;
mod registry_blob;
mod registry_manifest;
mod registry_upload;
mod release;
mod report;
mod request_outcome;
mod reuse;
pub mod seal;
mod server;
mod server_identity;
mod setting;
mod slug;
mod snapshot;
mod source;
mod span;
mod stack;
mod statistics;
mod store;
mod touched;
mod transfer;
mod transfer_schedule;
mod tx;

pub use account::{Account, NewAccount};
pub use addon::{Addon, ListedAddon, NewAddon, StorageState};
pub use app::{App, DeletedApp, ListedApp, NewApp};
pub use attachment::{Attachment, DataAddress, ListedAttachment, NewAttachment};
pub use authorization::{Authorization, NewAuthorization};
pub use build::{Build, NewBuild, SourceKind};
pub use build_record::KeptRecord;
pub use build_step::BuildStep;
pub use buildpack_pin::{BuildpackArchive, BuildpackPin};
pub use collaborator::{Collaborator, CollaboratorRole};
pub use concern::Concerns;
pub use copy::{Copied, CopiedTable, copy_to_postgres};
pub use count::{Count, Counted, OpenJobs};
pub use credential::{Credential, CredentialState, NewCredential, OpenCredential};
pub use data_key::MasterKeyRotation;
pub use data_server::{DataServer, DataServerState, NewDataServer};
pub use database::{Database, DatabaseUrl};
pub use domain::{Domain, DomainKind, NewDomain};
pub use dyno::{DesiredDynoState, Dyno};
pub use error::{Cause, Result, StoreError};
pub use event::Event;
pub use favorite::Favorite;
pub use feature::Feature;
pub use formation::{Formation, ProcessDefinition};
pub use image::{ConvertedLayer, ImageRow, ImageState};
pub use job::{Job, JobLease, JobState, NewJob};
pub use key::{Key, NewKey};
pub use log_session::{LogSession, NewLogSession};
pub use login_failure::LoginFailures;
pub use process_image::ProcessImages;
pub use rate_limit::RateLimit;
pub use registry_blob::RegistryBlob;
pub use registry_manifest::{ListedRepository, Manifest, NewManifest};
pub use registry_upload::RegistryUpload;
pub use release::{NewRelease, Order, Release, VersionRange};
pub use report::Report;
pub use request_outcome::RequestOutcome;
pub use seal::Sealer;
pub use server_identity::ServerIdentity;
pub use slug::{NewSlug, Slug};
pub use snapshot::WritesHeld;
pub use source::{NewSource, Source};
pub use span::AppSpan;
pub use stack::{AddedStack, AddedVersion, NewVersion};
pub use statistics::Statistics;
pub use store::{Store, StoreConfig};
pub use touched::{Looking, TouchedApps};
pub use transfer::{NewTransfer, Transfer, TransferEnd, TransferLog};
pub use transfer_schedule::{NewTransferSchedule, TransferSchedule};
pub use tx::Tx;

/// SHA-256 of a secret: what is stored of tokens and one-purpose URLs.
pub type SecretSha256 = [u8; 32];

/// Every statement of every noun, for the test that prepares them.
#[cfg(test)]
fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        account::STATEMENTS,
        addon::STATEMENTS,
        app::STATEMENTS,
        attachment::STATEMENTS,
        authorization::STATEMENTS,
        build::STATEMENTS,
        build_record::STATEMENTS,
        build_step::STATEMENTS,
        buildpack::STATEMENTS,
        buildpack_pin::STATEMENTS,
        collaborator::STATEMENTS,
        config::STATEMENTS,
        count::STATEMENTS,
        credential::STATEMENTS,
        data_server::STATEMENTS,
        domain::STATEMENTS,
        dyno::STATEMENTS,
        event::STATEMENTS,
        favorite::STATEMENTS,
        feature::STATEMENTS,
        formation::STATEMENTS,
        image::STATEMENTS,
        job::STATEMENTS,
        key::STATEMENTS,
        data_key::STATEMENTS,
        log_session::STATEMENTS,
        login_failure::STATEMENTS,
        output::STATEMENTS,
        platform::STATEMENTS,
        rate_limit::STATEMENTS,
        pulled_blob::STATEMENTS,
        registry_blob::STATEMENTS,
        registry_manifest::STATEMENTS,
        registry_upload::STATEMENTS,
        release::STATEMENTS,
        report::STATEMENTS,
        request_outcome::STATEMENTS,
        reuse::STATEMENTS,
        server::STATEMENTS,
        setting::STATEMENTS,
        slug::STATEMENTS,
        source::STATEMENTS,
        span::STATEMENTS,
        stack::STATEMENTS,
        transfer::STATEMENTS,
        transfer_schedule::STATEMENTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

#[cfg(test)]
mod tests;
