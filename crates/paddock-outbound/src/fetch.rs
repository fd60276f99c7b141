//! One GET, its redirects, and its body as it comes.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, USER_AGENT,
    WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::address::Network;
use crate::connection::Driver;
use crate::target::Target;
use crate::{OutboundError, Roots, connection};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// The client.
#[derive(Clone)]
pub struct Outbound {
    allowed: Vec<Network>,
    tls: TlsConnector,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

/// What a fetch may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Bytes of the body.
    pub bytes_max: u64,
    /// From the first step to the last byte.
    pub time_max: Duration,
    /// The longest silence.
    pub idle_max: Duration,
}

/// What a request says beside its address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// `Accept`: media types; anything where it is `None`.
    pub accept: Option<&'a str>,
    /// A token, sent as `Authorization: Bearer` to the origin of the address alone; instead of credentials in the address.
    pub token: Option<&'a str>,
}

impl Outbound {
    /// A client that may also connect to `allowed`, and trusts `roots`.
    #[must_use]
    pub fn new(allowed: Vec<Network>, roots: Roots) -> Self {
        Self { allowed, tls: TlsConnector::from(roots.client()) }
    }

    /// Asks for what is at `url`, which a tenant may have chosen, and follows redirects.
    ///
    /// # Errors
    /// [`OutboundError`]; nothing but 200 is a success.
    pub async fn get(&self, url: &str, limits: FetchLimits) -> Result<Fetched, OutboundError> {
        self.get_as(url, Asked::default(), limits).await
    }

    /// The same, with more said.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_as(
        &self,
        url: &str,
        asked: Asked<'_>,
        limits: FetchLimits,
    ) -> Result<Fetched, OutboundError> {
        let mut target = Target::parse(url)?;
        if let Some(token) = asked.token {
            target = target.with_token(token)?;
        }
        let deadline = Instant::now() + limits.time_max;
        for _ in 0..=REDIRECTS_MAX {
            let slow = || OutboundError::Slow { shown: target.shown(), limit: limits.time_max };
            let answer = self.ask(&target, asked.accept, limits.idle_max);
            let answer = tokio::time::timeout_at(deadline, answer).await;
            let (response, driver) = answer.map_err(|_| slow())??;
            match response.status() {
                StatusCode::OK => return Fetched::begin(response, driver, &target, limits, deadline),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    target = target.redirected(location(&target, &response)?)?;
                }
                status => {
                    let challenge = header(&response, &WWW_AUTHENTICATE);
                    let shown = target.shown();
                    return Err(OutboundError::Status { shown, status: status.as_u16(), challenge });
                }
            }
        }
        Err(OutboundError::Redirect { shown: target.shown(), why: "more than five times: it may be a loop" })
    }

    /// One request on a connection of its own, to the head of its response.
    async fn ask(
        &self,
        target: &Target,
        accept: Option<&str>,
        idle: Duration,
    ) -> Result<(Response<Incoming>, Driver), OutboundError> {
        let broken = |source| OutboundError::Http { shown: target.shown(), source };
        let stream = connection::open(target, &self.allowed, &self.tls).await?;
        let (mut sender, driver) = connection::begin(target, stream).await?;
        let answered = tokio::time::timeout(idle, sender.send_request(request(target, accept)?)).await;
        let silent = |_| OutboundError::Idle { shown: target.shown(), idle };
        Ok((answered.map_err(silent)?.map_err(broken)?, driver))
    }
}

fn request(target: &Target, accept: Option<&str>) -> Result<Request<Empty<Bytes>>, OutboundError> {
    let mut request = Request::get(target.path_and_query())
        .header(HOST, target.authority())
        .header(USER_AGENT, concat!("paddock/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, accept.unwrap_or("*/*"))
        // An archive is wanted as it is: what is compressed on the way would not have its checksum.
        .header(ACCEPT_ENCODING, "identity");
    if let Some(credentials) = target.credentials() {
        request = request.header(AUTHORIZATION, credentials);
    }
    request.body(Empty::new()).map_err(|_| OutboundError::Address)
}

fn header(response: &Response<Incoming>, name: &HeaderName) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn location<'a>(target: &Target, response: &'a Response<Incoming>) -> Result<&'a str, OutboundError> {
    let nowhere = || OutboundError::Redirect { shown: target.shown(), why: "without saying where to" };
    response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(nowhere)
}

/// A body that is coming.
pub struct Fetched {
    shown: String,
    media_type: Option<String>,
    length: Option<u64>,
    body: Incoming,
    received: u64,
    limits: FetchLimits,
    deadline: Instant,
    _driver: Driver,
}

impl Fetched {
    fn begin(
        response: Response<Incoming>,
        driver: Driver,
        target: &Target,
        limits: FetchLimits,
        deadline: Instant,
    ) -> Result<Self, OutboundError> {
        let length = response.headers().get(CONTENT_LENGTH).map(HeaderValue::to_str);
        let length = length.and_then(|text| text.ok()?.parse().ok());
        let fetched = Self {
            shown: target.shown(),
            media_type: header(&response, &CONTENT_TYPE),
            length,
            body: response.into_body(),
            received: 0,
            limits,
            deadline,
            _driver: driver,
        };
        // Not worth beginning.
        if length.is_some_and(|bytes: u64| bytes > limits.bytes_max) {
            Err(fetched.too_large())
        } else {
            Ok(fetched)
        }
    }

    /// Where it comes from in the end, without what may be a secret.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// `Content-Type`, with its parameters, if the server said one.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// How many bytes it will have, if the server said so.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When a limit is reached or the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        loop {
            let silence = Instant::now() + self.limits.idle_max;
            let next = tokio::time::timeout_at(silence.min(self.deadline), self.body.frame()).await;
            let frame = match next {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(source))) => {
                    return Err(OutboundError::Http { shown: self.shown.clone(), source });
                }
                Err(_) if Instant::now() >= self.deadline => {
                    return Err(OutboundError::Slow {
                        shown: self.shown.clone(),
                        limit: self.limits.time_max,
                    });
                }
                Err(_) => {
                    return Err(OutboundError::Idle {
                        shown: self.shown.clone(),
                        idle: self.limits.idle_max,
                    });
                }
            };
            // A drip that never pauses long enough is found here.
            if Instant::now() >= self.deadline {
                return Err(OutboundError::Slow { shown: self.shown.clone(), limit: self.limits.time_max });
            }
            let Ok(bytes) = frame.into_data() else { continue };
            self.received += bytes.len() as u64;
            if self.received > self.limits.bytes_max {
                return Err(self.too_large());
            }
            return Ok(Some(bytes));
        }
    }

    fn too_large(&self) -> OutboundError {
        OutboundError::TooLarge { shown: self.shown.clone(), bytes_max: self.limits.bytes_max }
    }
}
