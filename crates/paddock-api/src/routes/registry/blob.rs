//! Blobs, whole or in part.

use std::io::SeekFrom;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RANGE,
};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use paddock_control::images::Blob;
use paddock_core::registry::RegistryCode;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::caller::RegistryBy;
use super::problem::RegistryProblem;
use super::{In, RegistryReply, digest};
use crate::Api;

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// How much of a file is read at a time.
const READ_AT_ONCE: usize = 256 * 1024;
/// What goes by its digest never changes.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

pub(super) async fn read(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, wanted): In<String>,
    method: Method,
    headers: HeaderMap,
) -> RegistryReply {
    let Blob { digest, file, length } = api.control.images.blob(&caller, &name, &digest(&wanted)?).await?;
    let tag = format!("\"{digest}\"");
    let common = [
        (CONTENT_DIGEST, digest.to_string()),
        (ETAG, tag.clone()),
        (CACHE_CONTROL, FOR_EVER.to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
    ];
    if has_it(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let asked = headers.get(RANGE).filter(|_| method == Method::GET).and_then(|range| range.to_str().ok());
    let (status, first, count) = match asked.map_or(Asked::Whole, |range| part(range, length)) {
        Asked::Whole => (StatusCode::OK, 0, length),
        Asked::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Asked::Nothing => {
            let refusal = RegistryProblem::new(
                RegistryCode::RangeInvalid,
                format!("The blob has {length} bytes, and none of the range."),
            );
            return Ok(([(CONTENT_RANGE, format!("bytes */{length}"))], refusal).into_response());
        }
    };
    let body = match method == Method::HEAD {
        true => Body::empty(),
        false => body_of(file, first, count).await?,
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let own = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, count.to_string())];
    let mut response = (common, own, response).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {first}-{}/{length}", first + count - 1);
        response.headers_mut().extend(http::HeaderValue::try_from(text).map(|value| (CONTENT_RANGE, value)));
    }
    Ok(response)
}

async fn body_of(file: std::fs::File, first: u64, count: u64) -> Result<Body, RegistryProblem> {
    let mut file = File::from_std(file);
    if first > 0 {
        let sought = file.seek(SeekFrom::Start(first)).await;
        sought.map_err(|error| paddock_control::Error::internal("read a blob", error))?;
    }
    Ok(Body::from_stream(ReaderStream::with_capacity(file.take(count), READ_AT_ONCE)))
}

pub(super) async fn remove(
    RegistryBy(caller): RegistryBy,
    State(api): State<Arc<Api>>,
    In(name, wanted): In<String>,
) -> Result<StatusCode, RegistryProblem> {
    api.control.images.delete_blob(&caller, &name, &digest(&wanted)?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Whether the client has what goes by this tag.
pub(super) fn has_it(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.into_iter().any(|known| paddock_wire::etag::if_none_match(known, tag))
}

/// What of a blob is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part {
        first: u64,
        last: u64,
    },
    /// A part that it does not have.
    Nothing,
}

/// What a Range header asks for of so many bytes; several parts, and what is none, is asking for all of it.
fn part(range: &str, length: u64) -> Asked {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::Whole;
    };
    let end = length.saturating_sub(1);
    let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(end)),
        (Ok(first), Err(_)) if last.is_empty() => (first, end),
        (Err(_), Ok(0)) if first.is_empty() => return Asked::Nothing,
        (Err(_), Ok(count)) if first.is_empty() => (length.saturating_sub(count), end),
        _ => return Asked::Whole,
    };
    if first >= length { Asked::Nothing } else { Asked::Part { first, last } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read() {
        let some = |first, last| Asked::Part { first, last };
        for (range, expected) in [
            ("bytes=0-0", some(0, 0)),
            ("bytes=2-99", some(2, 9)),
            ("bytes=9-", some(9, 9)),
            ("bytes=-3", some(7, 9)),
            ("bytes=-99", some(0, 9)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=3-2", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("bytes=x-", Asked::Whole),
            ("lines=0-1", Asked::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(part("bytes=0-0", 0), Asked::Nothing);
    }
}
