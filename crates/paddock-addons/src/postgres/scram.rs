//! What a server keeps of a password (RFC 5802, SCRAM-SHA-256). Computed here, so that no password is in a statement, and so
//! in no log of one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// PostgreSQL's own number. Passwords are 256 random bits: nothing is gained by more.
const ITERATIONS: u32 = 4096;
const BLOCK: usize = 64;

type Hash = [u8; 32];

/// The verifier as `ALTER ROLE … PASSWORD` takes it. The same password and salt give the same one.
pub(super) fn verifier(password: &str, salt: &[u8; 16]) -> String {
    let salted = salted(password.as_bytes(), salt);
    let client_key: Hash = hmac(&salted, b"Client Key");
    let stored_key = STANDARD.encode(Sha256::digest(client_key));
    let server_key = STANDARD.encode(hmac(&salted, b"Server Key"));
    format!("SCRAM-SHA-256${ITERATIONS}:{}${stored_key}:{server_key}", STANDARD.encode(salt))
}

/// A salt that belongs to a password of ours. It keeps tables of likely passwords from being made, and ours are none.
pub(super) fn salt(user: &str, password: &str) -> [u8; 16] {
    let hash = hmac(password.as_bytes(), user.as_bytes());
    let mut salt = [0; 16];
    salt.copy_from_slice(hash.split_at(16).0);
    salt
}

fn salted(password: &[u8], salt: &[u8]) -> Hash {
    let mut round = hmac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = round;
    for _ in 1..ITERATIONS {
        round = hmac(password, &round);
        for (total, byte) in sum.iter_mut().zip(round) {
            *total ^= byte;
        }
    }
    sum
}

fn hmac(key: &[u8], message: &[u8]) -> Hash {
    let mut block = [0; BLOCK];
    let short = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
    block.iter_mut().zip(&short).for_each(|(to, from)| *to = *from);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_what_the_standard_says() {
        // RFC 7677, section 3: user "user", password "pencil".
        let salt: [u8; 16] = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        assert_eq!(
            verifier("pencil", &salt),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn a_long_key_is_hashed_first() {
        // RFC 4231, test case 6.
        let hash = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(
            paddock_core::hex(&hash),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
