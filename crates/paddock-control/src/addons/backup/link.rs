//! The address that a backup can be downloaded at for an hour, by whoever has it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use paddock_core::event::Event;
use paddock_core::{AppRef, ErrorId, TransferId, UnixMicros};
use uuid::Uuid;

use super::super::Addons;
use super::is_good;
use super::list::missing;
use super::store::KeptDump;
use crate::{Actor, Error, Result};

/// Source: `docs/contract/platform-behaviour.md`, section 20.
const OPEN_FOR: Duration = Duration::from_secs(60 * 60);
/// What such a secret is sealed for: it opens nothing else.
const PLACE: &str = "backup-download";

/// Where a backup can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// The last part of the address.
    pub secret: String,
    pub expires_at: UnixMicros,
}

impl Addons {
    /// A secret that opens a backup for an hour. Who was given it is written down.
    ///
    /// # Errors
    /// `invalid_params` for what cannot be had.
    pub async fn share_backup(&self, actor: &Actor, app: &AppRef, identity: &str) -> Result<PublicUrl> {
        let row = self.transfer_row(actor, app, identity).await?;
        if !is_good(&row) {
            return Err(Error::invalid(format!("{} is no backup that can be downloaded.", row.name())));
        }
        let Some(app) = row.app_id else { return Err(missing()) };
        let expires_at = self.kernel.now() + OPEN_FOR;
        let clear = [&row.id.uuid().as_bytes()[..], &expires_at.0.to_be_bytes()].concat();
        let secret = URL_SAFE_NO_PAD.encode(self.kernel.store.sealer().seal(PLACE, &clear)?);
        let tx = self.kernel.record("write down who may download a backup").await?;
        tx.commit("transfer.shared", Event::TransferShared { app, name: row.name() }, actor).await?;
        Ok(PublicUrl { secret, expires_at })
    }

    /// The backup that a secret opens: its name for a file, what is in it, its length.
    ///
    /// # Errors
    /// `not_found`; `forbidden` after its time.
    pub async fn open_backup(&self, secret: &str) -> Result<(String, KeptDump, u64)> {
        let sealed = URL_SAFE_NO_PAD.decode(secret).map_err(|_| missing())?;
        let clear = self.kernel.store.sealer().unseal(PLACE, &sealed).map_err(|_| missing())?;
        let (id, expires_at) = clear.split_at_checked(16).ok_or_else(missing)?;
        let expires_at = i64::from_be_bytes(expires_at.try_into().map_err(|_| missing())?);
        if UnixMicros(expires_at) <= self.kernel.now() {
            let text = "This address was good for an hour. Get another one: heroku pg:backups:url.";
            return Err(Error::new(ErrorId::Forbidden, text));
        }
        let id = TransferId::from_uuid(Uuid::from_slice(id).map_err(|_| missing())?);
        let row = self.kernel.store.transfer(id).await?.filter(is_good).ok_or_else(missing)?;
        match self.backups.open(&row.object).await {
            Ok((file, bytes)) => Ok((format!("{}.dump", row.name()), file, bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(Error::internal("open a backup", error)),
        }
    }
}
