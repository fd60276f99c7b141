//! Headers between client, router and dyno. Source: `docs/contract/platform-behaviour.md`, section 1, "Headers to the
//! dyno".

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use paddock_http1::{Body, Fields, Request, Version};
use uuid::Uuid;

use crate::connection::forwarded::Forwarded;

/// Whether both sides are to become a tunnel, which keeps `Upgrade` and `Connection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The message stays HTTP.
    Http,
    /// It asks for, or agrees to, another protocol.
    Upgrade,
}

/// Whether a request asks for another protocol.
pub(crate) fn protocol(request: &Request) -> Protocol {
    let fields = &request.fields;
    let asked = request.version == Version::Http11
        && fields.words("upgrade").next().is_some()
        // HTTP/2 would carry requests that nobody here has read.
        && !fields.words("upgrade").any(|word| word.eq_ignore_ascii_case(b"h2c"))
        && fields.words("connection").any(|word| word.eq_ignore_ascii_case(b"upgrade"));
    if asked { Protocol::Upgrade } else { Protocol::Http }
}

/// Header names in `Connection`: nobody needs more, and each is looked for.
const NAMED_MAX: usize = 100;

/// Takes off what concerns one connection only.
pub(crate) fn strip_hop_by_hop(fields: &mut Fields, protocol: Protocol) {
    // Framing and routing are not the client's to take off.
    const KEPT: [&[u8]; 4] = [b"host", b"content-length", b"transfer-encoding", b"upgrade"];
    let lower = |word: &[u8]| word.to_ascii_lowercase();
    let mut named: Vec<Vec<u8>> = fields.words("connection").take(NAMED_MAX).map(lower).collect();
    named.retain(|word| !KEPT.contains(&&word[..]));
    named.sort_unstable();
    for own in [
        "connection",
        "transfer-encoding",
        "keep-alive",
        "proxy-connection",
        "te",
        "proxy-authorization",
        "http2-settings",
    ] {
        fields.remove(own);
    }
    if !named.is_empty() {
        fields.retain(|field| named.binary_search(&lower(&field.name)).is_err());
    }
    match protocol {
        Protocol::Http => fields.remove("upgrade"),
        Protocol::Upgrade => fields.push("Connection", "upgrade"),
    }
}

/// Says anew where the body ends. True when it is to be sent in chunks, which not everybody takes: then it ends with
/// the connection.
pub(crate) fn frame(fields: &mut Fields, body: &Body, takes_chunks: bool) -> bool {
    match body {
        Body::Empty => return false,
        Body::Length(length) => {
            fields.set("Content-Length", length.to_string());
            return false;
        }
        Body::Chunked(_) | Body::Close => fields.remove("content-length"),
    }
    if takes_chunks {
        fields.push("Transfer-Encoding", "chunked");
    }
    takes_chunks
}

/// The id of a request: the client's if it is one, else a new one.
pub(crate) fn request_id(fields: &Fields) -> Bytes {
    if let Some(id) = fields.get("x-request-id")
        && (20..=200).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-".contains(byte))
    {
        return id.clone();
    }
    Uuid::new_v4().as_hyphenated().to_string().into()
}

/// Makes the head of the request as the dyno gets it.
pub(crate) fn for_dyno(
    request: &mut Request,
    body: &Body,
    protocol: Protocol,
    request_id: &Bytes,
    forwarded: &Forwarded,
) {
    let fields = &mut request.fields;
    strip_hop_by_hop(fields, protocol);
    frame(fields, body, true);
    // The router answers 100 itself.
    fields.remove("expect");
    fields.set("X-Forwarded-For", forwarded.list.clone());
    fields.set("X-Forwarded-Proto", if forwarded.is_https { "https" } else { "http" });
    fields.set("X-Forwarded-Port", forwarded.port.clone());
    fields.set("X-Request-Id", request_id.clone());
    #[expect(
        clippy::disallowed_methods,
        reason = "apps are told when a request began by the clock of this machine"
    )]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    fields.set("X-Request-Start", now.as_millis().to_string());
    via(fields);
    request.version = Version::Http11;
}

/// Says that this router passed it on.
pub(crate) fn via(fields: &mut Fields) {
    fields.push("Via", "1.1 paddock-router");
}

/// Whether a request may be sent a second time when nothing of a response came.
pub(crate) fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&'static str, &'static str)]) -> Fields {
        list.iter().copied().collect()
    }

    #[test]
    fn what_concerns_one_connection_is_taken_off() {
        let sent = [
            ("connection", "close, X-Secret, host, content-length"),
            ("x-secret", "1"),
            ("host", "a"),
            ("te", "trailers"),
            ("content-length", "3"),
            ("content-length", "3"),
            ("upgrade", "foo"),
            ("keep-alive", "1"),
            ("proxy-authorization", "x"),
            ("accept", "x"),
        ];
        let mut stripped = fields(&sent);
        strip_hop_by_hop(&mut stripped, Protocol::Http);
        assert!(!frame(&mut stripped, &Body::Length(3), true));
        assert_eq!(stripped, fields(&[("host", "a"), ("accept", "x"), ("Content-Length", "3")]));

        let fields_of =
            |connection| fields(&[("Connection", connection), ("upgrade", "websocket"), ("te", "x")]);
        let request = |connection, version| Request {
            method: "GET".into(),
            target: "/".into(),
            version,
            fields: fields_of(connection),
        };
        assert_eq!(protocol(&request("x, Upgrade", Version::Http11)), Protocol::Upgrade);
        assert_eq!(protocol(&request("x, Upgrade", Version::Http10)), Protocol::Http);
        assert_eq!(protocol(&request("x", Version::Http11)), Protocol::Http);
        let mut stripped = fields_of("Upgrade");
        strip_hop_by_hop(&mut stripped, Protocol::Upgrade);
        assert_eq!(stripped, fields(&[("upgrade", "websocket"), ("Connection", "upgrade")]));
    }

    #[test]
    fn a_request_id_is_taken_over_only_in_its_form() {
        for (sent, taken) in [
            ("0123456789abcdefghi", false),
            ("0123456789abcdefghij", true),
            ("+/=-0123456789abcdefghij", true),
            ("0123456789_abcdefghij", false),
            ("0123456789 abcdefghij", false),
            (&"a".repeat(200), true),
            (&"a".repeat(201), false),
        ] {
            let mut fields = Fields::default();
            fields.push("x-request-id", sent.to_owned());
            let id = request_id(&fields);
            assert_eq!(id == sent, taken, "{sent}");
            assert!(taken || Uuid::try_parse(std::str::from_utf8(&id).unwrap()).is_ok());
        }
    }
}
