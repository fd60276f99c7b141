//! Bodies on their way: to the dyno as they come from the client, and back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use paddock_core::code::RouterCode;
use tokio::time::{Instant, Sleep};

use crate::dyno::Sender;
use crate::exchange::{Exchange, Upload};

/// Why a body ended early. The client's connection is closed: that is how it learns of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The sender broke off.
    #[error("the body was broken off")]
    Broken(#[source] hyper::Error),
    /// Neither side sent anything for too long.
    #[error("neither side sent anything for too long")]
    Idle,
}

/// The body of a request on its way to a dyno.
pub(crate) enum RequestBody {
    /// There is none, and the request can be sent again.
    Empty,
    /// It is passed on as it comes.
    Streaming { body: Incoming, upload: Arc<Upload> },
}

impl RequestBody {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Streaming { body, upload } = self.get_mut() else { return Poll::Ready(None) };
        Poll::Ready(match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                upload.touch();
                if body.is_end_stream() {
                    upload.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                upload.break_off();
                Some(Err(BodyError::Broken(error)))
            }
            None => {
                upload.finish();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { body, .. } => body.size_hint(),
        }
    }
}

/// The body of a response on its way to a client.
pub(crate) enum ResponseBody {
    /// The router's own words, or nothing.
    Whole(Option<Bytes>),
    /// From a dyno.
    Dyno(DynoBody),
    /// From `serve`.
    Platform(Incoming),
    /// Server-sent events from `serve`. Broken off, they end as if they were complete: to a client that is an
    /// invitation to come back with the last id it saw, where an error would end `logs --tail`.
    PlatformEvents(Incoming),
}

impl ResponseBody {
    pub(crate) fn empty() -> Self {
        Self::Whole(None)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Dyno(body) => body.poll_frame(cx),
            Self::Platform(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::Broken),
            Self::PlatformEvents(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
                Some(Err(_)) | None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Dyno(body) => body.body.is_end_stream(),
            Self::Platform(body) | Self::PlatformEvents(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Dyno(body) => body.body.size_hint(),
            Self::Platform(body) | Self::PlatformEvents(body) => body.size_hint(),
        }
    }
}

/// The body of a dyno's response. It ends the exchange, and gives the connection back when it was read to its end.
pub(crate) struct DynoBody {
    body: Incoming,
    /// Taken when the exchange has ended.
    exchange: Option<Box<Exchange>>,
    sender: Option<Sender>,
    /// The body of the request, which may still be on its way.
    upload: Option<Arc<Upload>>,
    silence: Option<Pin<Box<Sleep>>>,
}

impl DynoBody {
    pub(crate) fn new(
        body: Incoming,
        exchange: Box<Exchange>,
        sender: Sender,
        upload: Option<Arc<Upload>>,
    ) -> Self {
        Self { body, exchange: Some(exchange), sender: Some(sender), upload, silence: None }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silence = None;
                if let (Some(exchange), Some(data)) = (self.exchange.as_mut(), frame.data_ref()) {
                    exchange.bytes += data.len() as u64;
                }
                if self.body.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                if self.upload.as_ref().is_some_and(|upload| upload.is_broken()) {
                    // The client broke off its own request, and the connection to the dyno went with it.
                    self.abandon();
                } else {
                    self.fail(RouterCode::H18);
                }
                Poll::Ready(Some(Err(BodyError::Broken(error))))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.poll_silence(cx));
                self.fail(RouterCode::H15);
                Poll::Ready(Some(Err(BodyError::Idle)))
            }
        }
    }

    /// Ready when neither the dyno nor the client sent anything for as long as is allowed.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(exchange) = &self.exchange else { return Poll::Pending };
        let limit = exchange.connection.router.config.limits.idle;
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        loop {
            ready!(silence.as_mut().poll(cx));
            let sent = self.upload.as_ref().map_or(limit, |upload| upload.silent_for());
            let left = limit.saturating_sub(sent);
            if left.is_zero() {
                return Poll::Ready(());
            }
            silence.as_mut().reset(Instant::now() + left);
        }
    }

    fn end(&mut self) {
        if let Some(exchange) = self.exchange.take()
            && let (Some(sender), Some(dyno)) = (self.sender.take(), &exchange.dyno)
        {
            dyno.keep(sender);
        }
    }

    fn abandon(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.abandoned();
        }
    }

    fn fail(&mut self, code: RouterCode) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.failed(code, None);
        }
    }
}

impl Drop for DynoBody {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            // Nothing to read (HEAD, 204, 304): the server does not ask for it.
            self.end();
        } else {
            self.abandon();
        }
    }
}
