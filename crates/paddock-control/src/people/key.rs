//! SSH keys of accounts. They are kept and checked; git over SSH, which they are for, is not built yet.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use paddock_core::event::Event;
use paddock_core::{KeyId, UnixMicros};
use paddock_store::{Key as Row, NewKey};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, Mpint, PublicKey};
use uuid::Uuid;

use crate::people::People;
use crate::{Actor, Error, Result};

/// Longer than any key: RSA of 16,384 bits comes to 2,800 characters.
const PUBLIC_KEY_BYTES_MAX: usize = 8 * 1024;
/// Most keys of an account.
const KEYS_MAX: usize = 100;
const RSA_BITS_MIN: usize = 2048;

/// An SSH key of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    /// The whole line: type, key, comment.
    pub public_key: String,
    /// What follows the key in its line.
    pub comment: String,
    /// `SHA256:` and the digest, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    pub email: String,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

impl People {
    /// The keys of the account that asks.
    pub async fn list_keys(&self, actor: &Actor) -> Result<Vec<Key>> {
        let rows = self.kernel.store.keys(actor.account_id).await?;
        Ok(rows.into_iter().map(|row| view(actor, row)).collect())
    }

    /// One key of the account that asks, by id or fingerprint.
    pub async fn key(&self, actor: &Actor, identity: &str) -> Result<Key> {
        let keys = self.list_keys(actor).await?;
        let named = |key: &Key| key.id.to_string() == identity || key.fingerprint == identity;
        keys.into_iter().find(named).ok_or_else(|| Error::not_found("key"))
    }

    /// Adds a key.
    ///
    /// # Errors
    /// `invalid_params` for what is no public key of OpenSSH, is too weak, or is some account's already.
    pub async fn create_key(&self, actor: &Actor, public_key: &str) -> Result<Key> {
        let line = parse(public_key).map_err(Error::invalid)?;
        let id = KeyId::from_uuid(Uuid::now_v7());
        let mut tx = self.kernel.change_platform("add a key").await?;
        if tx.keys(actor.account_id).await?.len() >= KEYS_MAX {
            return Err(Error::invalid(format!("An account can have at most {KEYS_MAX} keys.")));
        }
        let new = NewKey {
            id,
            account_id: actor.account_id,
            public_key: line.to_string(),
            comment: line.comment().to_owned(),
            fingerprint: line.fingerprint(HashAlg::Sha256).to_string(),
        };
        tx.create_key(&new).await?;
        tx.commit("key.added", Event::KeyCreated { fingerprint: new.fingerprint }, actor).await?;
        self.key(actor, &id.to_string()).await
    }

    pub async fn delete_key(&self, actor: &Actor, identity: &str) -> Result<Key> {
        let key = self.key(actor, identity).await?;
        let mut tx = self.kernel.change_platform("remove a key").await?;
        tx.delete_key(key.id).await?;
        tx.commit("key.removed", Event::KeyDestroyed { fingerprint: key.fingerprint.clone() }, actor).await?;
        Ok(key)
    }
}

fn view(actor: &Actor, row: Row) -> Key {
    Key {
        id: row.id,
        public_key: row.public_key,
        comment: row.comment,
        fingerprint: row.fingerprint,
        email: actor.email.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// Reads a line of a `.pub` file of OpenSSH, `ssh-ed25519 AAAA… comment`; the error is a sentence for the user. The key
/// itself must be of the kind that the line says, whole, and followed by nothing.
fn parse(text: &str) -> std::result::Result<PublicKey, String> {
    let text = text.trim();
    if text.contains("PRIVATE KEY") {
        return Err(
            "This is a private key. Keep it to yourself and add the file that ends in .pub.".to_owned()
        );
    }
    if text.len() > PUBLIC_KEY_BYTES_MAX || text.contains(char::is_control) {
        return Err("A key is one line, as in the .pub files of OpenSSH.".to_owned());
    }
    let mut words = text.splitn(3, ' ').map(str::trim);
    let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let blob = STANDARD.decode(key).or_else(|_| STANDARD_NO_PAD.decode(key)).unwrap_or_default();
    if blob.is_empty() {
        return Err("A key looks like: ssh-ed25519 AAAA… name@machine".to_owned());
    }
    let mut key = checked(kind, &blob)?;
    key.set_comment(words.next().unwrap_or_default());
    Ok(key)
}

fn checked(kind: &str, blob: &[u8]) -> std::result::Result<PublicKey, String> {
    let algorithm = match Algorithm::new(kind) {
        Ok(Algorithm::Dsa) => {
            return Err("DSA keys are too weak and are not taken: make one of type ed25519.".to_owned());
        }
        // With a hash it names a signature, not a key.
        Ok(Algorithm::Other(_) | Algorithm::Rsa { hash: Some(_) }) | Err(_) => {
            return Err(format!("Keys of type {kind:?} are not known: make one of type ed25519."));
        }
        Ok(algorithm) => algorithm,
    };
    let broken = || format!("The key is cut off or damaged: it is not a whole {kind} key.");
    let key = PublicKey::from_bytes(blob).map_err(|_| broken())?;
    // What is stored is written anew: it must be what was given.
    let is_whole = key.algorithm() == algorithm
        && key.to_bytes().is_ok_and(|bytes| bytes == blob)
        && match key.key_data() {
            KeyData::Rsa(rsa) => {
                let number = |number: &Mpint| number.as_positive_bytes().map(bits);
                let (exponent, modulus) = number(&rsa.e).zip(number(&rsa.n)).ok_or_else(broken)?;
                if modulus < RSA_BITS_MIN {
                    return Err(format!(
                        "RSA keys need at least {RSA_BITS_MIN} bits, this one has {modulus}."
                    ));
                }
                exponent > 0
            }
            KeyData::Ecdsa(point) => is_uncompressed(point.as_sec1_bytes()),
            KeyData::SkEcdsaSha2NistP256(key) => is_uncompressed(key.ec_point().as_bytes()),
            _ => true,
        };
    is_whole.then_some(key).ok_or_else(broken)
}

/// OpenSSH takes no other points (RFC 5656, 3.1, leaves them to choice).
fn is_uncompressed(point: &[u8]) -> bool {
    point.first() == Some(&4)
}

/// Bits of a positive number, big end first.
fn bits(number: &[u8]) -> usize {
    number.len() * 8 - number.first().map_or(0, |byte| byte.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn field(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn line(kind: &str, fields: &[&[u8]]) -> String {
        let blob = fields.iter().fold(field(kind.as_bytes()), |blob, next| [blob, field(next)].concat());
        format!("{kind} {}", STANDARD.encode(blob))
    }

    #[test]
    fn a_line_of_a_pub_file_is_a_key() {
        let key = parse(&format!("  {ED25519}   somebody at home \n")).unwrap();
        assert_eq!(key.comment(), "somebody at home");
        assert_eq!(key.to_string(), format!("{ED25519} somebody at home"));
        assert_eq!(key.fingerprint(HashAlg::Sha256), parse(ED25519).unwrap().fingerprint(HashAlg::Sha256));
        assert_eq!(parse(ED25519).unwrap().to_string(), ED25519);
    }

    #[test]
    fn every_kind_that_is_safe_is_taken() {
        let rsa = [&[0][..], &[0x80; 256]].concat();
        for good in [
            line("ssh-rsa", &[&[1, 0, 1], &rsa]),
            line("ssh-ed25519", &[&[1; 32]]),
            line("ecdsa-sha2-nistp256", &[b"nistp256", &[4; 65]]),
            line("ecdsa-sha2-nistp384", &[b"nistp384", &[4; 97]]),
            line("ecdsa-sha2-nistp521", &[b"nistp521", &[4; 133]]),
            line("sk-ssh-ed25519@openssh.com", &[&[1; 32], b"ssh:"]),
            line("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp256", &[4; 65], b"ssh:"]),
        ] {
            assert!(parse(&good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_no_key_or_a_weak_one_is_refused_in_words() {
        let weak = line("ssh-rsa", &[&[1, 0, 1], &[0x7f; 256]]);
        for (bad, word) in [
            (String::new(), "ssh-ed25519"),
            ("ssh-ed25519".to_owned(), "looks like"),
            ("ssh-ed25519 !!!".to_owned(), "looks like"),
            (format!("{ED25519}\n{ED25519}"), "one line"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "private"),
            (ED25519[..ED25519.len() - 4].to_owned(), "cut off"),
            (ED25519.replace("ssh-ed25519", "ssh-rsa"), "not a whole ssh-rsa key"),
            (line("ssh-ed25519", &[&[1; 31]]), "cut off"),
            (line("ssh-ed25519", &[&[1; 32], b"more"]), "cut off"),
            (line("ecdsa-sha2-nistp256", &[b"nistp384", &[4; 65]]), "cut off"),
            (line("ecdsa-sha2-nistp256", &[b"nistp256", &[2; 33]]), "cut off"),
            (line("sk-ecdsa-sha2-nistp256@openssh.com", &[b"nistp256", &[2; 33], b"ssh:"]), "cut off"),
            (line("ssh-rsa", &[b"", &[0x7f; 257]]), "cut off"),
            (line("ssh-rsa", &[&[1, 0, 1], &[0xff; 257]]), "cut off"),
            (line("rsa-sha2-256", &[&[1, 0, 1], &[0x7f; 257]]), "not known"),
            (line("ssh-dss", &[b"x"]), "DSA"),
            (line("ssh-none", &[b"x"]), "not known"),
            (weak, "2048 bits, this one has 2047"),
            ("x".repeat(9000), "one line"),
        ] {
            let said = parse(&bad).unwrap_err();
            assert!(said.contains(word), "{bad}: {said}");
        }
    }
}
