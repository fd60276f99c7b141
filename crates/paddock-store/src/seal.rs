//! Secrets at rest: sealed under a data key, which is sealed under the master key.
//!
//! AES-256-GCM with a random nonce. What is sealed is bound to its *place* (`config:APP:RELEASE`) as associated
//! data: bytes moved to another row do not open. The master key lies in a file outside the database, so a copy of
//! the database alone tells nothing; the data key lies in the database, so a new master key means one new wrapping.
//! Tokens and secrets of one-purpose URLs are not sealed but stored as SHA-256: nobody needs them back.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use paddock_core::durable;
use paddock_files::{Beside, make_private_folder, sync_folder_of};

use crate::error::{Result, StoreError};

const KEY_BYTES: usize = 32;
/// First byte of everything sealed, so that another cipher can follow.
const FORMAT: u8 = 1;
const DATA_KEY_PLACE: &str = "data-key";

/// Seals and unseals under the data key; while that is being replaced, the one before it opens what it sealed.
pub struct Sealer {
    keys: RwLock<Keys>,
}

#[derive(Clone)]
struct Keys {
    current: Arc<LessSafeKey>,
    previous: Option<Arc<LessSafeKey>>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// What a sealer had before its key was replaced.
pub(crate) struct Replaced(Keys);

impl Sealer {
    pub(crate) fn new(key: [u8; KEY_BYTES]) -> Self {
        Self { keys: RwLock::new(Keys { current: Arc::new(key_of(key)), previous: None }) }
    }

    /// One that keeps the keys of now, whatever becomes of these.
    #[must_use]
    pub fn of_now(&self) -> Self {
        Self { keys: RwLock::new(self.keys()) }
    }

    /// From now on this key opens as well.
    pub(crate) fn also_opens(&self, key: [u8; KEY_BYTES]) {
        self.write().previous = Some(Arc::new(key_of(key)));
    }

    /// From now on this key seals, and the one before it still opens.
    pub(crate) fn replace(&self, key: &[u8; KEY_BYTES]) -> Replaced {
        let mut keys = self.write();
        let before = keys.clone();
        *keys = Keys { current: Arc::new(key_of(*key)), previous: Some(before.current.clone()) };
        Replaced(before)
    }

    /// Takes [`Self::replace`] back.
    pub(crate) fn put_back(&self, before: Replaced) {
        *self.write() = before.0;
    }

    /// What the previous key sealed, sealed with the current one; `None` when the current one opens it already.
    pub(crate) fn reseal(&self, place: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        let keys = self.keys();
        match open(&keys.current, place, sealed) {
            Ok(_) => Ok(None),
            Err(_) => self.seal(place, &self.unseal(place, sealed)?).map(Some),
        }
    }

    /// Seals `clear` for `place`: format byte, nonce, ciphertext with tag.
    ///
    /// # Errors
    /// `Seal` when the random number generator or the cipher fails.
    pub fn seal(&self, place: &str, clear: &[u8]) -> Result<Vec<u8>> {
        seal(&self.keys().current, place, clear)
    }

    /// The clear bytes of what was sealed for `place`.
    ///
    /// # Errors
    /// `Unseal` when it was sealed with another key or for another place, or was changed.
    pub fn unseal(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let keys = self.keys();
        let opened = open(&keys.current, place, sealed);
        match keys.previous {
            Some(previous) if opened.is_err() => open(&previous, place, sealed),
            _ => opened,
        }
    }

    pub(crate) fn seal_text(&self, place: &str, clear: &str) -> Result<Vec<u8>> {
        self.seal(place, clear.as_bytes())
    }

    pub(crate) fn unseal_text(&self, place: &str, sealed: &[u8]) -> Result<String> {
        let clear = self.unseal(place, sealed)?;
        String::from_utf8(clear).map_err(|_| StoreError::Unseal { place: place.to_owned() })
    }

    fn keys(&self) -> Keys {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(key: [u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("the key has the cipher's length"))
}

fn seal(key: &LessSafeKey, place: &str, clear: &[u8]) -> Result<Vec<u8>> {
    let failed = |_| StoreError::Seal { place: place.to_owned() };
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
    let mut text = clear.to_vec();
    let aad = Aad::from(place.as_bytes());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).map_err(failed)?;
    Ok([&[FORMAT][..], &nonce, &text].concat())
}

fn open(key: &LessSafeKey, place: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    let failed = || StoreError::Unseal { place: place.to_owned() };
    let (format, rest) = sealed.split_first().ok_or_else(failed)?;
    let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
    if *format != FORMAT {
        return Err(failed());
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
    let mut text = text.to_vec();
    let aad = Aad::from(place.as_bytes());
    let clear = key.open_in_place(nonce, aad, &mut text).map_err(|_| failed())?;
    Ok(clear.to_vec())
}

/// The master key, which wraps data keys.
pub(crate) struct Master(LessSafeKey);

impl Master {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let key = read_master(path)?;
        let key = key.ok_or_else(|| StoreError::MasterKeyMissing { path: path.to_owned() })?;
        Ok(Self(key_of(key)))
    }

    /// The key in the file, which is made if there is none.
    pub(crate) fn read_or_make(path: &Path) -> Result<Self> {
        match read_master(path)? {
            Some(master) => Ok(Self(key_of(master))),
            None => make_master(path).map(|master| Self(key_of(master))),
        }
    }

    pub(crate) fn wrap(&self, data_key: &[u8; KEY_BYTES]) -> Result<Vec<u8>> {
        seal(&self.0, DATA_KEY_PLACE, data_key)
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Result<[u8; KEY_BYTES]> {
        let key = open(&self.0, DATA_KEY_PLACE, wrapped)?;
        key.try_into().map_err(|_| StoreError::Unseal { place: DATA_KEY_PLACE.to_owned() })
    }
}

/// A data key that never was.
pub(crate) fn new_data_key() -> Result<[u8; KEY_BYTES]> {
    random_key(DATA_KEY_PLACE)
}

/// Whether two paths lead to one file.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// Gives a master key that waits the place of the one before it; durable when this returns.
pub(crate) fn move_master(from: &Path, to: &Path) -> Result<()> {
    let moved = durable!("master_key.moved", std::fs::rename(from, to)).and_then(|()| sync_folder_of(to));
    moved.map_err(|source| StoreError::MasterKey { path: to.to_owned(), source })
}

/// Removes a master key file; removing what is gone succeeds.
pub(crate) fn remove_master(path: &Path) -> Result<()> {
    let removed = match durable!("master_key.removed", std::fs::remove_file(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder_of(path),
    };
    removed.map_err(|source| StoreError::MasterKey { path: path.to_owned(), source })
}

fn random_key(place: &str) -> Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| StoreError::Seal { place: place.to_owned() })?;
    Ok(key)
}

fn read_master(path: &Path) -> Result<Option<[u8; KEY_BYTES]>> {
    let mut bytes = Vec::new();
    match std::fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::MasterKey { path: path.to_owned(), source }),
    }
    let length = bytes.len();
    let key =
        bytes.try_into().map_err(|_| StoreError::MasterKeyLength { path: path.to_owned(), bytes: length })?;
    Ok(Some(key))
}

/// Writes beside, syncs, then moves into place: a crash leaves no short key, and an existing key is never replaced.
fn make_master(path: &Path) -> Result<[u8; KEY_BYTES]> {
    let key = random_key("master-key")?;
    let make = || -> std::io::Result<()> {
        make_private_folder(path.parent().unwrap_or(Path::new(".")))?;
        let file = Beside::write(path, key)?.synced()?;
        durable!("store.master_key_made", file.place())
    };
    make().map_err(|source| StoreError::MasterKey { path: path.to_owned(), source })?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_in_their_place_only() {
        let sealer = Sealer::new([7; 32]);
        let sealed = sealer.seal("config:a:b", b"secret").unwrap();
        assert_eq!(sealer.unseal("config:a:b", &sealed).unwrap(), b"secret");
        assert!(matches!(sealer.unseal("config:a:c", &sealed), Err(StoreError::Unseal { .. })));
        assert!(Sealer::new([8; 32]).unseal("config:a:b", &sealed).is_err());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(sealer.unseal("config:a:b", &changed).is_err(), "byte {index}");
            assert!(sealer.unseal("config:a:b", &sealed[..index]).is_err(), "cut at {index}");
        }
        assert_ne!(sealer.seal("config:a:b", b"secret").unwrap(), sealed, "a nonce is never used twice");
    }
}
