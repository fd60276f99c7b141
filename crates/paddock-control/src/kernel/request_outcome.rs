//! Requests that are carried out once, however often they are sent.
//!
//! Clients send a request again when its answer is lost, creations too (`docs/contract/heroku-cli.md`, 5.3), and there is no
//! idempotency key: but the first id of the Request-Id header is new for each call and the same for each retry of it.
//! So a call is known by the account, that id, the method, the path and the body. It is claimed before it is carried
//! out and its outcome is written down after; a repetition within some minutes is answered with that.
//!
//! * While the first is carried out, a repetition waits for it.
//! * When the server was killed between claim and outcome nobody knows whether it happened: the repetition is told so,
//!   rather than that something is made twice.
//! * What was refused (4xx) made nothing: the claim is given up, and a repetition is a new try.

use std::time::Duration;

use paddock_core::ErrorId;
use sha2::{Digest, Sha256};

use crate::kernel::Kernel;
use crate::kernel::error::chain;
use crate::{Actor, Error, Result};

/// How long an outcome is remembered: retries come within seconds, and who sends one id for several calls of his own
/// is held up no longer than this.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(5 * 60);
/// How long a repetition waits for the first: clients give up after a minute of silence.
const WAIT_MAX: Duration = Duration::from_secs(50);
/// The same when another run of the server claimed it. It is dead, or answers soon.
const WAIT_FOR_ANOTHER_RUN_MAX: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);

/// What makes two requests the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey([u8; 32]);

impl RequestKey {
    /// The key of a call; `path` with its query, `request_id` the first of its header.
    #[must_use]
    pub fn new(actor: &Actor, request_id: &str, method: &str, path: &str, body: &[u8]) -> Self {
        let mut digest = Sha256::new();
        for part in [
            actor.account_id.to_string().as_bytes(),
            request_id.as_bytes(),
            method.as_bytes(),
            path.as_bytes(),
            body,
        ] {
            // With lengths, so that no two lists of parts are one.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// What is to be done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is the first: carry it out, then say what came of it.
    First,
    /// It was carried out: answer this.
    Done { status: u16, body: Vec<u8> },
}

impl Kernel {
    /// Claims a request, or finds out what came of it; waits while it is carried out.
    ///
    /// # Errors
    /// `conflict` when the first did not come to an end that is known.
    pub async fn begin_request(&self, actor: &Actor, key: &RequestKey) -> Result<Turn> {
        let begun = tokio::time::Instant::now();
        let mut changes = self.wakes.changes.listen();
        loop {
            let now = self.now();
            let since = now - REMEMBERED_FOR;
            let Some(claim) = self.store.request_outcome(&key.0, since).await? else {
                let mut tx = self.record("claim a request").await?;
                let ours = tx.claim_request(&key.0, actor.account_id, &self.run_id, since).await?;
                tx.commit_quietly("request.claimed").await?;
                match ours {
                    true => return Ok(Turn::First),
                    false => continue,
                }
            };
            if let Some((status, body)) = claim.answer {
                return Ok(Turn::Done { status, body });
            }
            let is_ours = claim.owner == self.run_id;
            let patience = if is_ours { WAIT_MAX } else { WAIT_FOR_ANOTHER_RUN_MAX };
            if begun.elapsed() >= patience {
                return Err(unknown_outcome(is_ours));
            }
            changes.heard(POLL).await;
        }
    }

    /// Writes down what came of a request. Best effort: it was carried out, and its client gets the answer.
    pub async fn end_request(&self, key: &RequestKey, status: u16, body: &[u8]) {
        let result = async {
            let mut tx = self.record("keep the answer of a request").await?;
            match status {
                // Refused: nothing was made.
                400..=499 => tx.forget_request(&key.0).await?,
                _ => tx.finish_request(&key.0, status, body).await?,
            }
            tx.commit_quietly("request.answered").await
        };
        if let Err(error) = result.await {
            tracing::warn!(error = chain(&error), "could not write down what came of a request");
        }
    }
}

fn unknown_outcome(is_ours: bool) -> Error {
    let text = match is_ours {
        true => {
            "This request was sent before and is still being carried out. Look for what it makes in a while."
        }
        false => {
            "This request was sent before and the server was interrupted while carrying it out. Look whether it was \
             done before you send it again."
        }
    };
    Error::new(ErrorId::Conflict, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_same_only_if_every_part_is() {
        let actor = |id: &str| Actor {
            account_id: id.parse().unwrap(),
            email: "a@b.c".to_owned(),
            authorization_id: None,
        };
        let me = actor("01234567-0123-7123-8123-0123456789ab");
        let other = actor("01234567-0123-7123-8123-0123456789ac");
        let key = RequestKey::new(&me, "id", "POST", "/apps", b"{}");
        assert_eq!(key, RequestKey::new(&me, "id", "POST", "/apps", b"{}"));
        for different in [
            RequestKey::new(&other, "id", "POST", "/apps", b"{}"),
            RequestKey::new(&me, "ie", "POST", "/apps", b"{}"),
            RequestKey::new(&me, "id", "PUT", "/apps", b"{}"),
            RequestKey::new(&me, "id", "POST", "/apps?", b"{}"),
            RequestKey::new(&me, "id", "POST", "/apps", b"{ }"),
            RequestKey::new(&me, "idP", "OST", "/apps", b"{}"),
        ] {
            assert_ne!(key, different);
        }
    }
}
