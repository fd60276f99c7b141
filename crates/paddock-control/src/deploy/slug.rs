//! Slugs: what builds made, and what clients packed themselves.
//!
//! A client makes the slug, puts its archive, and releases it. The archive becomes a layer before the put is answered:
//! when that says yes the slug can be released, and it never changes from then on. When the server ends in between, the
//! slug is as before and the client puts the archive again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use paddock_build::{BuildFailure, BuildRequest, FailureKind, Source, SourceArchive};
use paddock_core::durable;
use paddock_core::event::Event;
use paddock_core::hex;
use paddock_core::stack::{Stack, StackBase, StackVersion};
use paddock_core::{AppId, AppRef, BuildId, ErrorId, ProcessType, SlugId, UnixMicros};
use paddock_store::{App, NewSlug, Slug as Row};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use crate::deploy::Deploy;
use crate::deploy::job;
use crate::deploy::source::{Upload, in_time, write_all};
use crate::kernel::stacks::NamedStack;
use crate::kernel::{checked, secret};
use crate::{Actor, Error, Result};

const PROCESS_TYPES_MAX: usize = 500;
const COMMAND_BYTES_MAX: usize = 32 * 1024;
/// Unpacking and packing together.
const CONVERSION_TIME_MAX: Duration = Duration::from_secs(10 * 60);
/// One conversion at a time leaves the machine to dynos and builds.
static CONVERSIONS: Semaphore = Semaphore::const_new(1);

/// A slug of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug {
    pub id: SlugId,
    /// The app it was asked for.
    pub app_id: AppId,
    /// Bytes; none before it is uploaded.
    pub size_bytes: Option<u64>,
    /// `SHA256:` and the digest.
    pub checksum: Option<String>,
    /// The commit, or what the client called the source.
    pub commit: Option<String>,
    /// What the client said of the source.
    pub commit_description: Option<String>,
    /// Command by process type.
    pub process_types: BTreeMap<ProcessType, String>,
    /// What the last buildpack calls itself.
    pub buildpack_description: Option<String>,
    /// What it is laid upon.
    pub stack: Stack,
    pub created_at: UnixMicros,
}

/// A slug that a client wants to upload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlugOrder {
    /// Command by process type.
    pub process_types: BTreeMap<String, String>,
    /// `SHA256:` and the digest of the archive, if it is to be checked.
    pub checksum: Option<String>,
    /// The commit it was made from.
    pub commit: Option<String>,
    /// What is to be said of the commit.
    pub commit_description: Option<String>,
    /// What made it calls itself.
    pub buildpack_description: Option<String>,
    /// Name or id of the stack it was made for.
    pub stack: Option<String>,
}

impl Deploy {
    /// Makes a slug without content, and the secret that opens its upload.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for malformed process types or checksum, or an unknown stack.
    pub async fn create_slug(&self, actor: &Actor, app: &AppRef, order: SlugOrder) -> Result<(Slug, String)> {
        let app = self.kernel.visible_app(actor, app).await?;
        let NamedStack { stack, notice } = match order.stack {
            Some(name) => self.kernel.named_stack(&name).await?,
            None => NamedStack::usual(),
        };
        if stack.is_container() {
            return Err(Error::invalid(
                "A slug is laid upon a stack; what is released on container is an image.",
            ));
        }
        let (put_secret, id) = (secret::random(), SlugId::from_uuid(Uuid::now_v7()));
        let mut tx = self.kernel.change_app(app.id, "make a slug").await?;
        let new = NewSlug {
            id,
            app_id: app.id,
            layer: String::new(),
            put_secret_sha256: Some(secret::sha256(&put_secret)),
            size_bytes: 0,
            checksum: order.checksum.map(|checksum| checked::checksum(&checksum)).transpose()?,
            commit_id: checked::text("commit", order.commit)?,
            commit_description: checked::text("commit_description", order.commit_description)?,
            process_types: checked_process_types(order.process_types)?,
            buildpack_description: checked::text(
                "buildpack_provided_description",
                order.buildpack_description,
            )?,
            stack_version: self.kernel.version_to_build_on(&mut tx, &stack).await?,
            stack,
            images: Default::default(),
        };
        tx.create_slug(&new).await?;
        if let Some(notice) = notice {
            tx.say(app.id, notice);
        }
        let made = tx.slug(id).await?.ok_or_else(|| Error::not_found("slug"))?;
        tx.commit("slug.made", Event::SlugCreated { app: app.id, slug: id }, actor).await?;
        Ok((view(app.id, made), put_secret))
    }

    /// Takes the archive of a slug and makes its layer; both are done when this answers.
    ///
    /// # Errors
    /// `not_found` for a secret that opens nothing; `conflict` when it was uploaded before; `invalid_params` for an
    /// archive that is none, has no `./app`, or is not the one of the checksum; `payload_too_large`;
    /// `service_unavailable` while as many uploads go on as are allowed.
    pub async fn upload_slug(&self, put_secret: &str, body: Upload) -> Result<()> {
        let found = self.kernel.store.slug_by_put_secret(&secret::sha256(put_secret)).await?;
        let missing = || Error::not_found("slug");
        let row = found.ok_or_else(missing)?;
        let app = self.kernel.store.app(row.app_id.ok_or_else(missing)?).await?.ok_or_else(missing)?;
        if !row.layer.is_empty() {
            return Err(uploaded_before());
        }
        let _turn = self.turn_to_upload(app.owner_id)?;
        let file = self
            .kernel
            .config
            .data_dir
            .join("sources")
            .join(format!("slug-{}.part", Uuid::new_v4().simple()));
        let outcome = self.store_slug(&app, &row, body, &file).await;
        // A copy was taken; after a failure it is of no use.
        let _ = durable!("slug.archive_removed", tokio::fs::remove_file(&file).await);
        outcome
    }

    async fn store_slug(&self, app: &App, row: &Row, body: Upload, file: &Path) -> Result<()> {
        let disk = |error: std::io::Error| Error::internal("store a slug's archive", error);
        tokio::fs::create_dir_all(self.kernel.config.data_dir.join("sources")).await.map_err(disk)?;
        let (_, digest) = in_time(write_all(body, &file.to_owned())).await?;
        let hex = hex(&digest);
        let _turn = CONVERSIONS.acquire().await.map_err(|error| Error::internal("convert a slug", error))?;
        let made = self.convert_slug(app, row, file).await?;
        let size_bytes = i64::try_from(made.size_bytes).unwrap_or(i64::MAX);
        let checksum = format!("SHA256:{hex}");
        let mut tx = self.kernel.change_app(app.id, "note a slug's archive").await?;
        let is_first = tx.set_slug_uploaded(row.id, &made.layer.to_string(), size_bytes, &checksum).await?;
        tx.commit_quietly("slug.uploaded").await?;
        if is_first { Ok(()) } else { Err(uploaded_before()) }
    }

    async fn convert_slug(&self, app: &App, row: &Row, file: &Path) -> Result<paddock_build::SlugLayer> {
        // An id of its own for each attempt; containers and folders are named after it.
        let id = BuildId::from_uuid(Uuid::now_v7());
        let archive = SourceArchive::Uploaded { checksum: row.checksum.clone() };
        let request = BuildRequest {
            build: id,
            app: app.id,
            tenant: app.tenant(),
            source: Source { file: file.to_owned(), archive, version: String::new() },
            buildpacks: Vec::new(),
            prepared: Default::default(),
            config_vars: Default::default(),
            stack: StackVersion { stack: row.stack.clone(), version: row.stack_version.clone() },
            // Nothing of it is run.
            base: StackBase::Host(self.kernel.config.present(&Stack::HOST)),
            request_id: row.id.to_string(),
            limits: job::LIMITS,
            disk_bytes: self.kernel.config.build_disk.bytes(),
            time_limit: CONVERSION_TIME_MAX,
        };
        let (log, mut said) = mpsc::channel::<Bytes>(16);
        let listening = async {
            let mut last = Bytes::new();
            while let Some(words) = said.recv().await {
                if !words.trim_ascii().is_empty() {
                    last = words;
                }
            }
            last
        };
        let _kept = self.running_containers.begin(id);
        let (made, last) = tokio::join!(self.builder.convert_slug(request, log), listening);
        made.map_err(|failure| refusal(failure, &last))
    }

    /// A slug of an app.
    ///
    /// # Errors
    /// `not_found`, also for a slug of another app.
    pub async fn slug(&self, actor: &Actor, app: &AppRef, slug: &str) -> Result<Slug> {
        let app = self.kernel.visible_app(actor, app).await?;
        let missing = || Error::not_found("slug");
        let id: SlugId = slug.parse().map_err(|_| missing())?;
        let row = self.kernel.store.slug(id).await?;
        let row = row.filter(|row| row.app_id == Some(app.id)).ok_or_else(missing)?;
        Ok(view(app.id, row))
    }
}

fn view(app_id: AppId, row: Row) -> Slug {
    Slug {
        id: row.id,
        app_id,
        size_bytes: u64::try_from(row.size_bytes).ok().filter(|_| !row.layer.is_empty()),
        checksum: row.checksum,
        commit: row.commit_id,
        commit_description: row.commit_description,
        process_types: row.process_types,
        buildpack_description: row.buildpack_description,
        stack: row.stack,
        created_at: row.created_at,
    }
}

fn uploaded_before() -> Error {
    Error::new(
        ErrorId::Conflict,
        "This slug has been uploaded already, and slugs do not change. Make another.",
    )
}

/// What the converter said last is what is wrong with the archive, unless it is the platform's fault.
fn refusal(failure: BuildFailure, last: &[u8]) -> Error {
    match failure.kind {
        FailureKind::Platform => Error::internal("convert a slug", failure),
        FailureKind::TimedOut => Error::invalid("The slug took too long to unpack."),
        FailureKind::OutOfDisk => Error::invalid("The slug is too large when unpacked."),
        _ => {
            let said = String::from_utf8_lossy(last);
            let said = said.trim().trim_start_matches('!').trim().replace('\n', " ");
            // A builder's words, where nothing was pushed.
            let said = said.trim_start_matches("Push rejected, ");
            Error::invalid(format!("The slug cannot be used: {said}"))
        }
    }
}

fn checked_process_types(given: BTreeMap<String, String>) -> Result<BTreeMap<ProcessType, String>> {
    if given.is_empty() || given.len() > PROCESS_TYPES_MAX {
        return Err(Error::invalid(format!("A slug has 1 to {PROCESS_TYPES_MAX} process types.")));
    }
    let mut process_types = BTreeMap::new();
    for (name, command) in given {
        if command.is_empty() || command.len() > COMMAND_BYTES_MAX || command.contains('\0') {
            return Err(Error::invalid(format!("The command of process type {name:?} cannot be used.")));
        }
        let name = name.parse().map_err(|_| Error::invalid(format!("{name:?} is no process type.")))?;
        process_types.insert(name, command);
    }
    Ok(process_types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_types_are_checked() {
        let checked = |pairs: &[(&str, &str)]| {
            let given = pairs.iter().map(|(name, command)| ((*name).to_owned(), (*command).to_owned()));
            checked_process_types(given.collect())
        };
        assert_eq!(checked(&[("web", "serve"), ("a_b-c", "x")]).unwrap().len(), 2);
        for bad in [&[][..], &[("", "x")], &[("a b", "x")], &[("web", "")], &[("web", "x\0y")]] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }
}
