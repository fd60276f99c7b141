//! Secrets in the URLs of outputs: made anew from the id whenever the URL is shown, never stored.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use paddock_core::UnixMicros;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::deploy::Deploy;
use crate::{Error, Result};

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;
const STREAM_KEY_SETTING: &str = "stream_key";
const MAC_BYTES: usize = 32;

/// What the secret in a stream's URL opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// The output of a build.
    Build,
    /// The output of a release phase.
    Release,
}

impl Stream {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Release => "release",
        }
    }
}

/// The key of stream secrets, once read.
#[derive(Debug, Default)]
pub(crate) struct StreamKey(OnceCell<[u8; 32]>);

/// The URL of an output is shown whenever its build or release is, so its secret is not stored but made again: id,
/// day of expiry and a keyed digest of both. The same within a day, so that entity tags hold.
impl Deploy {
    /// The secret that opens the output with this id for one to two days.
    pub(crate) async fn stream_secret(&self, stream: Stream, id: Uuid) -> Result<String> {
        let expires_on = self.kernel.now().0.div_euclid(DAY_MICROS) + 2;
        let mut bytes = id.as_bytes().to_vec();
        bytes.extend(expires_on.to_be_bytes());
        let mac = hmac::sign(&self.stream_key().await?, &message(stream, &bytes));
        bytes.extend(mac.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The id that a secret opens.
    pub(crate) async fn opened_by(&self, stream: Stream, secret: &str) -> Result<Uuid> {
        let missing = || Error::not_found("output_stream");
        let bytes = URL_SAFE_NO_PAD.decode(secret).map_err(|_| missing())?;
        let (signed, mac) =
            bytes.len().checked_sub(MAC_BYTES).map(|at| bytes.split_at(at)).ok_or_else(missing)?;
        hmac::verify(&self.stream_key().await?, &message(stream, signed), mac).map_err(|_| missing())?;
        let (id, expires_on) = signed.split_at_checked(16).ok_or_else(missing)?;
        let expires_on = i64::from_be_bytes(expires_on.try_into().map_err(|_| missing())?);
        let expires_at = UnixMicros(expires_on.saturating_mul(DAY_MICROS));
        if expires_at <= self.kernel.now() {
            return Err(missing());
        }
        Uuid::from_slice(id).map_err(|_| missing())
    }

    pub(crate) async fn stream_key(&self) -> Result<hmac::Key> {
        let bytes = self.stream_key.0.get_or_try_init(|| self.read_stream_key()).await?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    async fn read_stream_key(&self) -> Result<[u8; 32]> {
        let doing = "read the key of stream addresses";
        let mut fresh = [0; 32];
        aws_lc_rs::rand::fill(&mut fresh).map_err(|_| Error::internal(doing, "no random numbers"))?;
        let sealer = self.kernel.store.sealer();
        let sealed = sealer.seal(STREAM_KEY_SETTING, &fresh)?;
        let stored =
            self.kernel.store.get_or_insert_setting(STREAM_KEY_SETTING, &STANDARD.encode(sealed)).await;
        let stored = STANDARD.decode(stored?).map_err(|error| Error::internal(doing, error))?;
        let clear = sealer.unseal(STREAM_KEY_SETTING, &stored)?;
        clear.try_into().map_err(|_| Error::internal(doing, "the stored key has another length"))
    }
}

fn message(stream: Stream, signed: &[u8]) -> Vec<u8> {
    [stream.as_str().as_bytes(), b":", signed].concat()
}

impl Deploy {
    /// Makes the key of the addresses of outputs if there is none: a server that cannot read its own says so at its start.
    ///
    /// # Errors
    /// When the store cannot be read or written, or the key was sealed with another data key.
    pub async fn ensure_stream_key(&self) -> Result<()> {
        self.stream_key().await.map(drop)
    }
}
