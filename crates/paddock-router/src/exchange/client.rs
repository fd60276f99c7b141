//! The client's side of a connection: its requests one after the other, and the answers to them.

use std::io;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use paddock_http1::{Body, Progress, Refused, Request, RequestReader, Response, Version};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use crate::connection::Connection;
use crate::connection::stream::{Prefixed, Stream};
use crate::exchange::header::{self, Protocol};
use crate::exchange::page::{self, Page};
use crate::relay::Passing;
use crate::relay::reader::Reader;

/// How long a client that was answered may go on sending what nobody reads before its connection is reset, and how much.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// A client that speaks HTTP.
pub(crate) struct Client {
    pub(crate) reader: Reader<ReadHalf<Stream>>,
    pub(crate) writer: WriteHalf<Stream>,
    head: RequestReader,
}

/// A request whose head has come.
pub(crate) struct Asked {
    /// With its target in origin form.
    pub(crate) request: Request,
    pub(crate) host: Bytes,
    pub(crate) body: Body,
    pub(crate) manner: Manner,
    /// It waits for `100 Continue` before it sends its body.
    pub(crate) expects_continue: bool,
    /// It expects something else.
    pub(crate) expects_more: bool,
}

/// How a client takes its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) is_head: bool,
    /// It would send another request.
    keeps_alive: bool,
    takes_chunks: bool,
}

impl Asked {
    pub(crate) fn new(request: Request, host: Bytes, body: Body) -> Self {
        let is_continue = |expect: &Bytes| expect.eq_ignore_ascii_case(b"100-continue");
        let expect = request.fields.get("expect");
        let is_new = request.version == Version::Http11;
        let manner = Manner {
            is_head: &request.method[..] == b"HEAD",
            keeps_alive: request.keeps_alive(),
            takes_chunks: is_new,
        };
        Self {
            expects_continue: is_new && expect.is_some_and(is_continue),
            expects_more: expect.is_some_and(|expect| !is_continue(expect)),
            manner,
            request,
            host,
            body,
        }
    }
}

/// What comes after an answer.
pub(crate) enum Next {
    /// The next request.
    Again,
    /// The end. Whether the client may still be sending.
    Close { is_unread: bool },
    /// The connection breaks off: that is the answer.
    Broken,
}

/// What a request became.
pub(crate) enum Became<T> {
    Answered(Next),
    /// Who answers it agreed to another protocol.
    Tunnel(T),
}

impl Client {
    pub(crate) fn new(stream: Stream) -> Self {
        let (read, writer) = tokio::io::split(stream);
        Self { reader: Reader::new(read), writer, head: RequestReader::default() }
    }

    /// The next request, if it has come.
    pub(crate) fn take_head(&mut self) -> Progress<Result<Request, Refused>> {
        self.head.take(&mut self.reader.buffer)
    }

    /// Whether a request has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.head.has_begun() || !self.reader.buffer.is_empty()
    }

    /// Answers with a page.
    pub(crate) async fn say(&mut self, page: Page, asked: &mut Asked, connection: &Connection) -> Next {
        // Usually all of a small body has come with its head.
        let _ = asked.body.take(&mut self.reader.buffer, &mut BytesMut::new());
        let is_whole = asked.body.is_complete();
        let closes = !is_whole || asked.manner.is_last(connection);
        if self.write(page, asked.manner.is_head, asked.manner.word(closes)).await.is_err() {
            return Next::Broken;
        }
        if closes { Next::Close { is_unread: !is_whole } } else { Next::Again }
    }

    /// Answers a request that is refused.
    pub(crate) async fn refuse(&mut self, page: Page, is_head: bool) -> Next {
        match self.write(page, is_head, Some("close")).await {
            Ok(()) => Next::Close { is_unread: true },
            Err(_) => Next::Broken,
        }
    }

    async fn write(&mut self, page: Page, is_head: bool, connection: Option<&'static str>) -> io::Result<()> {
        let mut response = Response::new(page.status, page::reason(page.status));
        let fields = &mut response.fields;
        fields.push("Content-Type", page.content_type);
        fields.push("Server", "Paddock");
        fields.push("Cache-Control", "no-cache, no-store");
        fields.push("Content-Length", page.body.len().to_string());
        fields.push("Date", date());
        if let Some(word) = connection {
            fields.push("Connection", word);
        }
        let mut out = BytesMut::new();
        response.write(&mut out);
        if !is_head {
            out.extend_from_slice(page.body.as_bytes());
        }
        self.send(&mut out).await
    }

    /// Sends all of it.
    pub(crate) async fn send(&mut self, out: &mut BytesMut) -> io::Result<()> {
        self.writer.write_all_buf(out).await?;
        self.writer.flush().await
    }

    /// Says that the body may come.
    pub(crate) async fn say_continue(&mut self) -> io::Result<()> {
        self.send(&mut BytesMut::from("HTTP/1.1 100 Continue\r\n\r\n")).await
    }

    /// Says that what follows is another protocol.
    pub(crate) async fn switch(&mut self, mut response: Response) -> io::Result<()> {
        header::strip_hop_by_hop(&mut response.fields, Protocol::Upgrade);
        let mut out = BytesMut::new();
        response.write(&mut out);
        self.send(&mut out).await
    }

    /// Ends the connection. One that may still be sending is read for a while, or its answer would be lost with the
    /// reset.
    pub(crate) async fn close(mut self, is_unread: bool) {
        let goodbye = async {
            if self.writer.shutdown().await.is_err() || !(is_unread || self.has_begun()) {
                return;
            }
            let mut left = LINGER_BYTES_MAX;
            while let Ok(read @ 1..) = self.reader.fill().await {
                self.reader.buffer.clear();
                let Some(rest) = left.checked_sub(read) else { return };
                left = rest;
            }
        };
        // Too slow: then it is closed as it is.
        let _ = tokio::time::timeout(LINGER, goodbye).await;
    }

    /// The stream, with what was read ahead.
    pub(crate) fn into_stream(self) -> Stream {
        let (read, buffer) = self.reader.into_parts();
        Box::new(Prefixed::new(buffer.freeze(), read.unsplit(self.writer)))
    }
}

impl Manner {
    /// Whether the answer is the connection's last.
    fn is_last(self, connection: &Connection) -> bool {
        !self.keeps_alive || connection.is_last()
    }

    /// What the answer says of the connection.
    fn word(self, closes: bool) -> Option<&'static str> {
        match (closes, self.takes_chunks) {
            (true, _) => Some("close"),
            // An old client expects the end unless it is told.
            (false, false) => Some("keep-alive"),
            (false, true) => None,
        }
    }
}

/// A response as the client gets it, from its head on; whether it is the connection's last.
pub(crate) fn pass_on<'a>(
    mut response: Response,
    body: Body,
    manner: Manner,
    connection: &Connection,
    bytes: &'a AtomicU64,
    idle: Duration,
) -> (Passing<'a>, bool) {
    let fields = &mut response.fields;
    header::strip_hop_by_hop(fields, Protocol::Http);
    let is_chunked = header::frame(fields, &body, manner.takes_chunks);
    if response.status == 204 {
        fields.remove("content-length");
    }
    if !fields.contains("date") {
        fields.push("Date", date());
    }
    let ends_with_connection = matches!(body, Body::Chunked(_) | Body::Close) && !is_chunked;
    let closes = ends_with_connection || manner.is_last(connection);
    if let Some(word) = manner.word(closes) {
        fields.push("Connection", word);
    }
    let mut out = BytesMut::new();
    response.write(&mut out);
    (Passing { out, body, is_chunked, has_begun: false, bytes, idle }, closes)
}

/// Now, as the header `Date` has it.
#[expect(clippy::disallowed_methods, reason = "the header Date is the time of this machine")]
fn date() -> String {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
