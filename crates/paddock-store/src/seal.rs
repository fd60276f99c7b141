//! Secrets at rest: sealed under a data key, which is sealed under the master key.
//!
//! AES-256-GCM with a random nonce. What is sealed is bound to its *place* (`config:APP:RELEASE`) as associated
//! data: bytes moved to another row do not open. The master key lies in a file outside the database, so a copy of
//! the database alone tells nothing; the data key lies in the database, so a new master key means one new wrapping.
//! Tokens and secrets of one-purpose URLs are not sealed but stored as SHA-256: nobody needs them back.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::error::{Result, StoreError};

const KEY_BYTES: usize = 32;
/// First byte of everything sealed, so that another cipher can follow.
const FORMAT: u8 = 1;
const DATA_KEY_PLACE: &str = "data-key";

/// Seals and unseals under one key.
pub struct Sealer {
    key: LessSafeKey,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    fn new(key: [u8; KEY_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("the key has the cipher's length");
        Self { key: LessSafeKey::new(key) }
    }

    /// Seals `clear` for `place`: format byte, nonce, ciphertext with tag.
    ///
    /// # Errors
    /// `Seal` when the random number generator or the cipher fails.
    pub fn seal(&self, place: &str, clear: &[u8]) -> Result<Vec<u8>> {
        let failed = |_| StoreError::Seal { place: place.to_owned() };
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
        let mut text = clear.to_vec();
        let aad = Aad::from(place.as_bytes());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .map_err(failed)?;
        Ok([&[FORMAT][..], &nonce, &text].concat())
    }

    /// The clear bytes of what was sealed for `place`.
    ///
    /// # Errors
    /// `Unseal` when it was sealed with another key or for another place, or was changed.
    pub fn unseal(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let failed = || StoreError::Unseal { place: place.to_owned() };
        let (format, rest) = sealed.split_first().ok_or_else(failed)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
        if *format != FORMAT {
            return Err(failed());
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let mut text = text.to_vec();
        let aad = Aad::from(place.as_bytes());
        let clear = self.key.open_in_place(nonce, aad, &mut text).map_err(|_| failed())?;
        Ok(clear.to_vec())
    }
}

/// The sealer of the data key that `wrapped` holds.
pub(crate) fn unwrap_data_key(master_key_file: &Path, wrapped: &[u8]) -> Result<Sealer> {
    let Some(master) = read_master(master_key_file)? else {
        return Err(StoreError::MasterKeyMissing { path: master_key_file.to_owned() });
    };
    let key = Sealer::new(master).unseal(DATA_KEY_PLACE, wrapped)?;
    let key = key.try_into().map_err(|_| StoreError::Unseal { place: DATA_KEY_PLACE.to_owned() })?;
    Ok(Sealer::new(key))
}

/// A new data key, wrapped under the master key, which is made if there is none.
pub(crate) fn wrap_new_data_key(master_key_file: &Path) -> Result<Vec<u8>> {
    let master = match read_master(master_key_file)? {
        Some(master) => master,
        None => make_master(master_key_file)?,
    };
    Sealer::new(master).seal(DATA_KEY_PLACE, &random_key(DATA_KEY_PLACE)?)
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

/// Writes beside, syncs, then links into place: a crash leaves no short key, and an existing key is never replaced.
fn make_master(path: &Path) -> Result<[u8; KEY_BYTES]> {
    let key = random_key("master-key")?;
    let make = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        crate::open::make_private_folder(folder)?;
        let new = path.with_extension("new");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&key)?;
        file.sync_all()?;
        std::fs::hard_link(&new, path)?;
        std::fs::remove_file(&new)?;
        std::fs::File::open(folder)?.sync_all()
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
