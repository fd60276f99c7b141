//! One signed request, and its answer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use jiff::Timestamp;
use rusty_s3::{Method, signing};

use super::xml::text;
use super::{Bucket, S3Error};
use crate::OutboundError;
use crate::address::Network;
use crate::connection::{self, Driver};
use crate::target::Target;

/// How long a signature is good: for the request that is made with it.
const SIGNED_FOR_SECONDS: u64 = 15 * 60;
/// The slowest way that a body may take without being given up, in bytes a second.
const SLOWEST: u64 = 64 * 1024;
/// How much of a file is read at a time.
const CHUNK_BYTES: u64 = 256 * 1024;
/// The longest answer that is no object: a page of a list.
const TEXT_BYTES_MAX: usize = 8 << 20;
/// What is waited for before what may pass is tried again.
const WAITS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(8)];

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What is sent.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Nothing,
    Text(String),
    /// From a place of a file, so many bytes.
    OfFile(Arc<File>, u64, u64),
}

impl Part {
    fn bytes(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Text(text) => text.len() as u64,
            Self::OfFile(_, _, bytes) => *bytes,
        }
    }

    fn body(self) -> Body {
        match self {
            Self::Nothing => Full::default().map_err(|never| match never {}).boxed_unsync(),
            Self::Text(text) => Full::from(text).map_err(|never| match never {}).boxed_unsync(),
            Self::OfFile(file, from, bytes) => {
                let end = from + bytes;
                let pieces = try_unfold((file, from), move |(file, at)| async move {
                    if at == end {
                        return Ok(None);
                    }
                    let (read, many) = (file.clone(), CHUNK_BYTES.min(end - at));
                    // By its place: an attempt that was given up may still be reading.
                    let piece = tokio::task::spawn_blocking(move || {
                        let mut piece = vec![0; usize::try_from(many).unwrap_or_default()];
                        read.read_exact_at(&mut piece, at).map(|()| piece)
                    });
                    let piece = piece.await.map_err(io::Error::other)??;
                    Ok::<_, io::Error>(Some((Frame::data(Bytes::from(piece)), (file, at + many))))
                });
                StreamBody::new(pieces).boxed_unsync()
            }
        }
    }
}

/// An answer whose body is still to come.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) driver: Driver,
}

impl Bucket {
    /// Tries again what may pass.
    pub(super) async fn tried<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, S3Error>
    where
        F: Future<Output = Result<T, S3Error>>,
    {
        for wait in WAITS {
            match attempt().await {
                Err(error) if error.may_pass() => {
                    tokio::time::sleep(wait.min(self.patience)).await;
                }
                outcome => return outcome,
            }
        }
        attempt().await
    }

    /// Asks for something; what is no success is an error.
    pub(super) async fn answered(
        &self,
        method: Method,
        name: &str,
        query: &[(&str, &str)],
        part: Part,
        doing: &'static str,
    ) -> Result<Answer, S3Error> {
        let limit = self.patience + Duration::from_secs(part.bytes() / SLOWEST);
        let silent = |_| S3Error::Silent { host: self.host(), limit };
        let asked = tokio::time::timeout(limit, self.ask(method, name, query, part));
        let answer = asked.await.map_err(silent)?.map_err(|source| self.unreachable(source))?;
        match answer.response.status().is_success() {
            true => Ok(answer),
            false => Err(self.refusal(answer, name, doing).await),
        }
    }

    async fn ask(
        &self,
        method: Method,
        name: &str,
        query: &[(&str, &str)],
        part: Part,
    ) -> Result<Answer, OutboundError> {
        let target = Target::parse(&self.signed(method, name, query))?;
        // The operator's own choice.
        let anywhere =
            ["0.0.0.0/0", "::/0"].map(str::parse::<Network>).into_iter().flatten().collect::<Vec<_>>();
        let stream = connection::open(&target, &anywhere, &self.tls).await?;
        let (mut sender, driver) = connection::begin(&target, stream).await?;
        let request = Request::builder()
            .method(method.to_str())
            .uri(target.path_and_query())
            .header(HOST, target.authority())
            .header(USER_AGENT, concat!("paddock/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_LENGTH, part.bytes())
            .body(part.body())
            .map_err(|_| OutboundError::Address)?;
        let response = sender.send_request(request).await;
        let broken = |source| OutboundError::Http { shown: target.shown(), source };
        Ok(Answer { response: response.map_err(broken)?, driver })
    }

    /// The address of an object, or of the bucket, with a signature that is good for a few minutes.
    fn signed(&self, method: Method, name: &str, query: &[(&str, &str)]) -> String {
        let mut url = self.url.clone();
        if !name.is_empty() {
            let path = format!("{}/{}", url.path().trim_end_matches('/'), self.key(name));
            url.set_path(&path);
        }
        #[expect(clippy::disallowed_methods, reason = "a signature is of the machine's own time")]
        let now = Timestamp::now();
        let (id, secret, token) = (&self.keys.id, &self.keys.secret, self.keys.token.as_deref());
        let (region, headers) = (&self.place.region, std::iter::empty());
        let query = query.iter().copied();
        signing::sign(&now, method, url, id, secret, token, region, SIGNED_FOR_SECONDS, query, headers).into()
    }

    /// An answer that is text, whole.
    pub(super) async fn text_of(&self, answer: Answer) -> Result<String, S3Error> {
        let body = Limited::new(answer.response.into_body(), TEXT_BYTES_MAX);
        let limit = self.patience;
        let read = tokio::time::timeout(limit, body.collect()).await;
        let read = read.map_err(|_| S3Error::Silent { host: self.host(), limit })?;
        let bytes = read.map_err(|_| self.unreadable("its answer broke off"))?.to_bytes();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn refusal(&self, answer: Answer, name: &str, doing: &'static str) -> S3Error {
        let status = answer.response.status();
        let said = self.text_of(answer).await.unwrap_or_default();
        self.meant(status, &said, name, doing)
    }

    /// What an answer without success means.
    pub(super) fn meant(&self, status: StatusCode, said: &str, name: &str, doing: &'static str) -> S3Error {
        let (host, bucket) = (self.host(), self.place.bucket.clone());
        let code = text(said, "Code").unwrap_or_default();
        match (code.as_str(), status.as_u16()) {
            ("NoSuchBucket", _) => S3Error::NoBucket { bucket, host },
            ("NoSuchKey" | "NoSuchUpload", _) => S3Error::NoObject,
            ("RequestTimeTooSkewed" | "RequestExpired", _) => S3Error::Clock { host },
            (
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "ExpiredToken"
                | "InvalidClientTokenId",
                _,
            ) => S3Error::Keys { host, code },
            (
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
                _,
            )
            | (_, 301 | 307) => S3Error::Region { bucket, region: self.place.region.clone() },
            ("AccessDenied" | "AllAccessDisabled", _) | (_, 401 | 403) => S3Error::Denied { doing, bucket },
            (_, 404) if !name.is_empty() => S3Error::NoObject,
            (_, 404) => S3Error::NoBucket { bucket, host },
            ("SlowDown" | "InternalError" | "RequestTimeout", _) | (_, 429 | 500..) => {
                S3Error::Busy { host, doing, status: status.as_u16(), code }
            }
            (_, status) => {
                let message = text(said, "Message").unwrap_or_else(|| "it does not say why".to_owned());
                S3Error::Refused { host, doing, status, code, message }
            }
        }
    }

    pub(super) fn unreachable(&self, source: OutboundError) -> S3Error {
        S3Error::Unreachable { host: self.host(), source }
    }

    pub(super) fn unreadable(&self, what: &'static str) -> S3Error {
        S3Error::Unreadable { host: self.host(), what }
    }

    pub(super) fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }

    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }
}
