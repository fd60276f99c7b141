//! An object as it comes.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::request::Answer;
use super::{Bucket, S3Error};
use crate::OutboundError;
use crate::connection::Driver;

/// An object whose bytes are coming.
pub struct Object {
    bytes: u64,
    left: u64,
    body: Incoming,
    host: String,
    patience: Duration,
    _driver: Driver,
}

impl Object {
    pub(super) fn of(answer: Answer, bucket: &Bucket) -> Result<Self, S3Error> {
        let length = answer.response.headers().get(CONTENT_LENGTH).map(HeaderValue::to_str);
        let length = length.and_then(|text| text.ok()?.parse().ok());
        let bytes = length.ok_or_else(|| bucket.unreadable("it does not say how long an object is"))?;
        Ok(Self {
            bytes,
            left: bytes,
            body: answer.response.into_body(),
            host: bucket.host(),
            patience: bucket.patience(),
            _driver: answer.driver,
        })
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next bytes; `None` at the end, when all of them have come.
    ///
    /// # Errors
    /// The connection breaks, or nothing comes for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, S3Error> {
        loop {
            let next = tokio::time::timeout(self.patience, self.body.frame()).await;
            let next = next.map_err(|_| S3Error::Silent { host: self.host.clone(), limit: self.patience })?;
            let Some(frame) = next else {
                return match self.left {
                    0 => Ok(None),
                    _ => Err(S3Error::Unreadable { host: self.host.clone(), what: "an object broke off" }),
                };
            };
            let broken = |source| OutboundError::Http { shown: self.host.clone(), source };
            let unreachable = |source| S3Error::Unreachable { host: self.host.clone(), source };
            let Ok(bytes) = frame.map_err(broken).map_err(unreachable)?.into_data() else { continue };
            self.left = self.left.saturating_sub(bytes.len() as u64);
            return Ok(Some(bytes));
        }
    }
}
