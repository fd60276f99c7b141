//! Why a bucket did not do it, in words that say what to do; no signature and no key is in them.

use std::time::Duration;

use crate::OutboundError;

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// There is no such object.
    #[error("there is no such object")]
    NoObject,
    /// There is no such bucket.
    #[error("there is no bucket {bucket} at {host}: make it, or name another one")]
    NoBucket {
        /// Its name.
        bucket: String,
        /// The store.
        host: String,
    },
    /// The key is not known, or does not fit.
    #[error(
        "{host} does not take the access key ({code}): look at the key's id and at the secret that belongs to it"
    )]
    Keys {
        /// The store.
        host: String,
        /// As the store says it.
        code: String,
    },
    /// The key's owner may not.
    #[error(
        "the access key may not {doing} in the bucket {bucket}: allow s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, \
         s3:AbortMultipartUpload and s3:ListBucketMultipartUploads"
    )]
    Denied {
        /// What was tried.
        doing: &'static str,
        /// Where.
        bucket: String,
    },
    /// A signature is good for a few minutes.
    #[error(
        "{host} says that this machine's clock is wrong: set it, by timedatectl set-ntp true for instance"
    )]
    Clock {
        /// The store.
        host: String,
    },
    /// The bucket is elsewhere.
    #[error("the bucket {bucket} is in another region than {region}: say in which")]
    Region {
        /// Its name.
        bucket: String,
        /// What was said.
        region: String,
    },
    /// No connection, or it broke off.
    #[error("{host} could not be reached")]
    Unreachable {
        /// The store.
        host: String,
        /// Why.
        #[source]
        source: OutboundError,
    },
    /// Nothing came in time.
    #[error("{host} did not answer within {} seconds", .limit.as_secs())]
    Silent {
        /// The store.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// The store cannot now.
    #[error("{host} cannot {doing} now (status {status} {code})")]
    Busy {
        /// The store.
        host: String,
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        status: u16,
        /// As the store says it.
        code: String,
    },
    /// Anything else.
    #[error("{host} would not {doing} (status {status} {code}): {message}")]
    Refused {
        /// The store.
        host: String,
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        status: u16,
        /// As the store says it.
        code: String,
        /// As the store says it.
        message: String,
    },
    /// It answered something that cannot be read.
    #[error("{host} does not answer as S3 has it: {what}")]
    Unreadable {
        /// The store.
        host: String,
        /// What is missing.
        what: &'static str,
    },
    /// The file that is to be kept.
    #[error("the file that is to be kept could not be read")]
    File(#[source] std::io::Error),
}

impl S3Error {
    /// Whether the same may succeed a moment later.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. } | Self::Busy { .. })
    }
}
