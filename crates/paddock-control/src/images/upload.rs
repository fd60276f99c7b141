//! Blobs on their way in: begun, gone on with chunk by chunk, ended by the digest of the whole.
//!
//! What is acknowledged is on disk. A client whose connection broke asks how much has come, and goes on there; one whose end of
//! an upload was not answered sends it again.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use paddock_core::registry::RegistryCode;
use paddock_core::{AccountId, AppId, BlobDigest, UploadId};
use paddock_images::{Appending, BlobError};
use paddock_store::RegistryUpload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::access::{Action, Caller, Opened, RepositoryName};
use super::error::{RegistryError, RegistryResult};
use super::{Images, blocking};
use crate::kernel::error::chain;

/// So much is gathered before it is written, while what came before is on its way to the disk.
const WRITTEN_AT_ONCE: usize = 512 * 1024;
/// How much of an upload may come until it is looked again whether the app's quota has room for it.
const LOOKED_AT_EACH: u64 = 64 << 20;
/// Uploads of an app that go on or wait to be gone on with.
const OF_AN_APP: i64 = 500;
/// Bodies of an account that are taken in at a time; more wait for their turn.
const AT_A_TIME: usize = 32;
/// How long one waits for its turn.
const TURN_TIME: Duration = Duration::from_secs(5 * 60);
/// How long a body may pause.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How stale it may be when something last came of an upload.
const TOUCHED_EACH: Duration = Duration::from_secs(60 * 60);

/// The body of a request.
pub type UploadBody = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// A chunk of an upload, or all of it.
pub struct Chunk {
    /// Where it begins, if the client says so.
    pub offset: Option<u64>,
    /// How long it is, if the client says so.
    pub length: Option<u64>,
    pub body: UploadBody,
}

/// An upload under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    pub id: UploadId,
    /// How much of it is on disk.
    pub length: u64,
}

/// What came of the wish to bring a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The repository has it already, or has it now from another one.
    Mounted(BlobDigest),
    /// It is to be sent.
    Upload(Upload),
}

/// Whose bodies are taken in.
#[derive(Debug, Default)]
pub(crate) struct UploadTurns(Mutex<HashMap<AccountId, Arc<Semaphore>>>);

impl UploadTurns {
    async fn begin(&self, account: AccountId) -> RegistryResult<OwnedSemaphorePermit> {
        let turns = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(account)
            .or_insert_with(|| Arc::new(Semaphore::new(AT_A_TIME)))
            .clone();
        match tokio::time::timeout(TURN_TIME, turns.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(error)) => Err(RegistryError::internal("take a turn", error)),
            Err(_) => {
                let text = "Too many uploads of yours go on. Try again when some of them have ended.";
                Err(RegistryError::new(RegistryCode::TooManyRequests, text))
            }
        }
    }
}

impl Images {
    /// Begins to bring a blob. With a digest that the app has, or that `from` has and the caller may pull from there, nothing
    /// is to be sent; a repository that one may not pull from is as one that does not have it.
    ///
    /// # Errors
    /// `DENIED`, `NAME_INVALID`; `TOOMANYREQUESTS` when as many are under way as an app may have.
    pub async fn begin_upload(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        mount: Option<(&BlobDigest, Option<&str>)>,
    ) -> RegistryResult<Begun> {
        let opened = self.open(caller, name, Action::Push).await?;
        if let Some((digest, from)) = mount
            && self.mount(caller, &opened, digest, from).await?
        {
            return Ok(Begun::Mounted(digest.clone()));
        }
        let id = UploadId::from_uuid(Uuid::now_v7());
        let mut tx = self.kernel.observe_app(opened.app.id, "begin an upload").await?;
        if tx.count_registry_uploads(opened.app.id).await? >= OF_AN_APP {
            let text =
                format!("{OF_AN_APP} uploads into this app's registry are under way: end or cancel some.");
            return Err(RegistryError::new(RegistryCode::TooManyRequests, text));
        }
        tx.create_registry_upload(id, opened.app.id, &opened.repository).await?;
        tx.commit_quietly("registry_upload.begun").await?;
        Ok(Begun::Upload(Upload { id, length: 0 }))
    }

    /// Whether the app has the blob, or has it now.
    async fn mount(
        &self,
        caller: &Caller,
        to: &Opened,
        digest: &BlobDigest,
        from: Option<&str>,
    ) -> RegistryResult<bool> {
        if self.kernel.store.registry_blob(to.app.id, digest).await?.is_some() {
            return Ok(true);
        }
        let Some(Ok(from)) = from.map(RepositoryName::parse) else { return Ok(false) };
        let Ok(from) = self.open(caller, &from, Action::Pull).await else { return Ok(false) };
        let Some(blob) = self.kernel.store.registry_blob(from.app.id, digest).await? else {
            return Ok(false);
        };
        let size_bytes = u64::try_from(blob.size_bytes).unwrap_or(u64::MAX);
        if self.room_of(to.app.id).await? < size_bytes {
            return Ok(false);
        }
        let mut tx = self.kernel.observe_app(to.app.id, "mount a blob").await?;
        // It may have gone from there meanwhile, and from the disk with that.
        if tx.registry_blob(from.app.id, digest).await?.is_none() {
            return Ok(false);
        }
        tx.add_registry_blob(to.app.id, digest, blob.size_bytes).await?;
        tx.commit_quietly("registry_blob.mounted").await?;
        Ok(true)
    }

    /// How much of an upload has come.
    ///
    /// # Errors
    /// `BLOB_UPLOAD_UNKNOWN`.
    pub async fn upload(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        id: UploadId,
    ) -> RegistryResult<Upload> {
        let (_, upload) = self.upload_of(caller, name, id).await?;
        let blobs = self.blobs.clone();
        let length = blocking(move || blobs.length_of_upload(upload.id)).await?;
        Ok(Upload { id, length })
    }

    /// Takes in more of an upload: it is on disk when this answers.
    ///
    /// # Errors
    /// `BLOB_UPLOAD_UNKNOWN`; `RANGE_INVALID` where it does not begin at the upload's end; `SIZE_INVALID` when the body is not
    /// as long as was said or breaks off (what has come of it stays); `DENIED` when the app's quota has no room for it.
    pub async fn append_upload(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        id: UploadId,
        chunk: Chunk,
    ) -> RegistryResult<Upload> {
        let (_, upload) = self.upload_of(caller, name, id).await?;
        let length = self.take_in(caller, &upload, chunk).await?;
        Ok(Upload { id, length })
    }

    /// Ends an upload, perhaps with the last of it: the app has the blob when this answers.
    ///
    /// # Errors
    /// As [`Self::append_upload`]; `DIGEST_INVALID` when what came is not what was said to come, and the upload is over.
    pub async fn finish_upload(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        id: UploadId,
        last: Option<Chunk>,
        digest: &BlobDigest,
    ) -> RegistryResult<()> {
        let (opened, upload) = self.upload_of(caller, name, id).await?;
        if let Some(chunk) = last {
            self.take_in(caller, &upload, chunk).await?;
        }
        let (blobs, wanted) = (self.blobs.clone(), digest.clone());
        let size_bytes = match blocking(move || blobs.store(id, &wanted)).await {
            Ok(size_bytes) => size_bytes,
            Err(error) => {
                if let BlobError::Digest { .. } = &error {
                    self.end_upload(id).await?;
                }
                return Err(error.into());
            }
        };
        let mut tx = self.kernel.observe_app(opened.app.id, "keep a blob").await?;
        tx.add_registry_blob(opened.app.id, digest, i64::try_from(size_bytes).unwrap_or(i64::MAX)).await?;
        tx.delete_registry_upload(id).await?;
        tx.commit_quietly("registry_blob.kept").await?;
        self.remove_upload_file(id).await;
        Ok(())
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// `BLOB_UPLOAD_UNKNOWN`.
    pub async fn cancel_upload(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        id: UploadId,
    ) -> RegistryResult<()> {
        self.upload_of(caller, name, id).await?;
        self.end_upload(id).await
    }

    async fn end_upload(&self, id: UploadId) -> RegistryResult<()> {
        let mut tx = self.kernel.record("end an upload").await?;
        tx.delete_registry_upload(id).await?;
        tx.commit_quietly("registry_upload.ended").await?;
        self.remove_upload_file(id).await;
        Ok(())
    }

    /// What does not go now, the sweep removes.
    async fn remove_upload_file(&self, id: UploadId) {
        let blobs = self.blobs.clone();
        if let Err(error) = blocking(move || blobs.remove_upload(id)).await {
            tracing::warn!(upload.id = %id, error = chain(&error), "could not remove what came of an upload, will be tried again");
        }
    }

    async fn upload_of(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        id: UploadId,
    ) -> RegistryResult<(Opened, RegistryUpload)> {
        let opened = self.open(caller, name, Action::Push).await?;
        let upload = self.kernel.store.registry_upload(id).await?;
        let upload = upload.filter(|row| row.app_id == opened.app.id && row.repository == opened.repository);
        upload.map(|upload| (opened, upload)).ok_or_else(|| {
            let text =
                "There is no such upload: it has ended, or nothing came of it for a day. Begin another.";
            RegistryError::new(RegistryCode::BlobUploadUnknown, text)
        })
    }

    /// Takes in a body: the length of the upload then, on disk.
    async fn take_in(&self, caller: &Caller, upload: &RegistryUpload, chunk: Chunk) -> RegistryResult<u64> {
        let _turn = self.upload_turns.begin(caller.actor.account_id).await?;
        if upload.updated_at + TOUCHED_EACH < self.kernel.now() {
            let mut tx = self.kernel.record("note that an upload goes on").await?;
            tx.touch_registry_upload(upload.id).await?;
            tx.commit_quietly("registry_upload.touched").await?;
        }
        let (blobs, id, offset) = (self.blobs.clone(), upload.id, chunk.offset);
        let appending = blocking(move || blobs.append(id, offset)).await?;
        let begin = appending.length();
        let mut file = Writing::Idle(appending);
        let received = self.receive(upload.app_id, chunk.body, &mut file).await;
        // Also of a body that broke off: what is on disk need not be sent again.
        let synced = file.sync().await;
        received?;
        let length = synced?;
        match chunk.length {
            Some(said) if said != length - begin => {
                let text = format!("The body has {} bytes, and not {said} as was said.", length - begin);
                Err(RegistryError::new(RegistryCode::SizeInvalid, text))
            }
            _ => Ok(length),
        }
    }

    /// Writes a body, each part while the next one comes in.
    async fn receive(&self, app: AppId, mut body: UploadBody, file: &mut Writing) -> RegistryResult<()> {
        let mut room = 0;
        loop {
            let Gathered { parts, length, end } = gather(&mut body).await;
            if room < length {
                room = self.room_of(app).await?.min(LOOKED_AT_EACH);
                if room < length {
                    return Err(self.is_full(app).await);
                }
            }
            room -= length;
            file.write(parts).await?;
            let broken = match end {
                None => continue,
                Some(End::Whole) => return Ok(()),
                Some(End::Broken) => "The body broke off: ask how much of it has come, and go on there.",
                Some(End::Paused) => {
                    "The body paused for too long: ask how much of it has come, and go on there."
                }
            };
            return Err(RegistryError::new(RegistryCode::SizeInvalid, broken));
        }
    }
}

/// What came of a body until it was enough.
struct Gathered {
    parts: Vec<Bytes>,
    length: u64,
    /// `None` where more may come.
    end: Option<End>,
}

enum End {
    Whole,
    Broken,
    Paused,
}

async fn gather(body: &mut UploadBody) -> Gathered {
    let (mut parts, mut length) = (Vec::new(), 0);
    let end = loop {
        match tokio::time::timeout(IDLE_MAX, body.next()).await {
            Ok(Some(Ok(part))) => {
                length += part.len();
                parts.push(part);
            }
            Ok(Some(Err(_))) => break Some(End::Broken),
            Ok(None) => break Some(End::Whole),
            Err(_) => break Some(End::Paused),
        }
        if length >= WRITTEN_AT_ONCE {
            break None;
        }
    };
    Gathered { parts, length: length as u64, end }
}

/// An upload that is written beside what comes in.
enum Writing {
    Idle(Appending),
    Busy(JoinHandle<Result<Appending, BlobError>>),
    /// A write failed.
    Broken,
}

impl Writing {
    /// Waits for what is being written.
    async fn idle(&mut self) -> RegistryResult<Appending> {
        match std::mem::replace(self, Self::Broken) {
            Self::Idle(appending) => Ok(appending),
            Self::Busy(task) => {
                let written =
                    task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                Ok(written?)
            }
            Self::Broken => Err(RegistryError::internal("write an upload", "a write before it failed")),
        }
    }

    async fn write(&mut self, parts: Vec<Bytes>) -> RegistryResult<()> {
        let mut appending = self.idle().await?;
        *self = Self::Busy(tokio::task::spawn_blocking(move || {
            parts.iter().try_for_each(|part| appending.write(part)).map(|()| appending)
        }));
        Ok(())
    }

    async fn sync(&mut self) -> RegistryResult<u64> {
        let appending = self.idle().await?;
        Ok(blocking(move || appending.sync()).await?)
    }
}
