//! Headers between client, router and dyno. Source: contract `platform-behaviour.md`, section 1, "Headers to the
//! dyno". What a client says of where it comes from is passed on and believed by nobody here.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use uuid::Uuid;

/// What is added to `Via` both ways.
const VIA_ROUTER: HeaderValue = HeaderValue::from_static("1.1 paddock-router");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const WEBSOCKET_OR_ANY: HeaderValue = HeaderValue::from_static("upgrade");

/// Whether both sides are to become a tunnel, which keeps `Upgrade` and `Connection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The message stays HTTP.
    Http,
    /// It asks for, or agrees to, another protocol.
    Upgrade,
}

/// Which limit of the contract a request breaks.
pub(crate) fn broken_limit<B>(request: &Request<B>) -> Option<&'static str> {
    const LINE: usize = 8192;
    let line = request.method().as_str().len() + uri_bytes(request.uri()) + " HTTP/1.1".len() + 1;
    if request.method().as_str().len() > 127 {
        return Some("method name");
    }
    if line > LINE {
        return Some("request line");
    }
    if request.headers().len() > 1000 {
        return Some("number of headers");
    }
    for (name, value) in request.headers() {
        if name.as_str().len() > 1000 {
            return Some("header name");
        }
        if name.as_str().len() + ": ".len() + value.len() > LINE {
            return Some("header line");
        }
    }
    None
}

fn uri_bytes(uri: &Uri) -> usize {
    let origin = uri.authority().map_or(0, |authority| authority.as_str().len() + "https://".len());
    origin + uri.path_and_query().map_or(1, |path| path.as_str().len())
}

/// The one `Host` of a request: that of an absolute target, else that of the header.
pub(crate) fn host<B>(request: &Request<B>) -> Option<HeaderValue> {
    let mut values = request.headers().get_all(HOST).iter();
    let value = values.next();
    if values.next().is_some() {
        return None;
    }
    match request.uri().authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => value.cloned(),
    }
}

/// Whether a request asks for another protocol.
pub(crate) fn protocol(headers: &HeaderMap) -> Protocol {
    let asked = headers.contains_key(UPGRADE) && connection_tokens(headers).any(|token| token == "upgrade");
    if asked { Protocol::Upgrade } else { Protocol::Http }
}

/// Takes off what concerns one connection only.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap, protocol: Protocol) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> =
            connection_tokens(headers).filter_map(|token| token.parse().ok()).collect();
        for name in named {
            // Framing and routing are not the client's to take off.
            if name != HOST && name != CONTENT_LENGTH && name != TRANSFER_ENCODING && name != UPGRADE {
                headers.remove(name);
            }
        }
        headers.remove(CONNECTION);
    }
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // Chunked wins over a length; the body is framed anew.
        headers.remove(CONTENT_LENGTH);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, PROXY_AUTHORIZATION] {
        headers.remove(name);
    }
    match protocol {
        Protocol::Http => drop(headers.remove(UPGRADE)),
        Protocol::Upgrade => drop(headers.insert(CONNECTION, WEBSOCKET_OR_ANY)),
    }
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|token| token.trim().to_ascii_lowercase())
}

/// The id of a request: the client's if it is one, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    if let Some(id) = headers.get(X_REQUEST_ID)
        && (20..=200).contains(&id.len())
        && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-".contains(byte))
    {
        return id.clone();
    }
    let mut buffer = Uuid::encode_buffer();
    HeaderValue::from_str(Uuid::new_v4().as_hyphenated().encode_lower(&mut buffer))
        .expect("a UUID is a header value")
}

/// The client's list with the address of the peer at its end; only that one is known.
pub(crate) fn forwarded_for(headers: &HeaderMap, peer: SocketAddr) -> HeaderValue {
    let mut list = Vec::with_capacity(48);
    for value in headers.get_all(X_FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(canonical_ip(peer).to_string().as_bytes());
    HeaderValue::from_bytes(&list).expect("values joined by commas are a value")
}

/// An IPv4 address as such also on a socket that takes both families.
pub(crate) fn canonical_ip(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

/// What the dyno is told of the client's connection.
pub(crate) struct Forwarded<'a> {
    pub(crate) host: &'a HeaderValue,
    pub(crate) request_id: &'a HeaderValue,
    pub(crate) forwarded_for: &'a HeaderValue,
    pub(crate) tls: bool,
    pub(crate) port: u16,
}

/// Makes the head of the request as the dyno gets it.
pub(crate) fn for_dyno(parts: &mut http::request::Parts, protocol: Protocol, forwarded: &Forwarded<'_>) {
    let headers = &mut parts.headers;
    strip_hop_by_hop(headers, protocol);
    // The router answers 100 itself.
    headers.remove(EXPECT);
    headers.insert(HOST, forwarded.host.clone());
    headers.insert(X_FORWARDED_FOR, forwarded.forwarded_for.clone());
    let proto = if forwarded.tls { "https" } else { "http" };
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(X_FORWARDED_PORT, HeaderValue::from(forwarded.port));
    headers.insert(X_REQUEST_ID, forwarded.request_id.clone());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    headers.insert(X_REQUEST_START, HeaderValue::from(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)));
    headers.append(VIA, VIA_ROUTER);
    origin_form(parts);
}

/// The target without scheme and host, and HTTP/1.1 whatever the client speaks.
pub(crate) fn origin_form(parts: &mut http::request::Parts) {
    parts.version = Version::HTTP_11;
    if parts.uri.authority().is_some() {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = path.parse().unwrap_or_default();
    }
}

/// Makes the head of the response as the client gets it.
pub(crate) fn for_client(parts: &mut http::response::Parts, protocol: Protocol) {
    strip_hop_by_hop(&mut parts.headers, protocol);
    parts.headers.append(VIA, VIA_ROUTER);
    parts.version = Version::HTTP_11;
}

/// Which limit of the contract a response breaks (H25).
pub(crate) fn broken_response_limit(headers: &HeaderMap) -> Option<&'static str> {
    let oversized = |(name, value): (&HeaderName, &HeaderValue)| {
        if name == SET_COOKIE && value.len() > 8192 {
            Some("oversized cookie")
        } else if value.len() > 512 * 1024 {
            Some("oversized header")
        } else {
            None
        }
    };
    headers.iter().find_map(oversized)
}

/// Whether a request may be sent a second time when nothing of a response came.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn what_concerns_one_connection_is_taken_off() {
        let sent = [
            ("connection", "close, X-Secret, host, content-length"),
            ("x-secret", "1"),
            ("host", "a"),
            ("te", "trailers"),
            ("content-length", "3"),
            ("upgrade", "foo"),
            ("keep-alive", "1"),
            ("proxy-authorization", "x"),
            ("accept", "x"),
        ];
        let mut map = headers(&sent);
        strip_hop_by_hop(&mut map, Protocol::Http);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-length", "host"]);

        let mut map = headers(&[("connection", "Upgrade"), ("upgrade", "websocket"), ("te", "x")]);
        assert_eq!(protocol(&map), Protocol::Upgrade);
        strip_hop_by_hop(&mut map, Protocol::Upgrade);
        assert_eq!(map, headers(&[("connection", "upgrade"), ("upgrade", "websocket")]));

        let mut map = headers(&[("transfer-encoding", "chunked"), ("content-length", "3")]);
        strip_hop_by_hop(&mut map, Protocol::Http);
        assert!(map.is_empty());
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
            let id = request_id(&headers(&[("x-request-id", sent)]));
            assert_eq!(id == sent, taken, "{sent}");
            assert!(taken || Uuid::try_parse(id.to_str().unwrap()).is_ok());
        }
    }

    #[test]
    fn the_peer_is_last_in_the_list() {
        let sent = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2, 3.3.3.3")]);
        let list = forwarded_for(&sent, "[::ffff:10.0.0.9]:1".parse().unwrap());
        assert_eq!(list, "1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9");
    }
}
