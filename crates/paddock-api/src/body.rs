//! Request bodies: JSON with a limit on bytes and on time.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use paddock_core::ErrorId;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Most bytes of a JSON body. Config vars come to 64 KiB, escaped to a few times that.
const JSON_BYTES_MAX: usize = 1024 * 1024;
/// How long a JSON body may take, so that slow bodies do not pile up.
const JSON_TIME_MAX: Duration = Duration::from_secs(30);

/// A JSON body that must be there.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be absent: then everything in it is.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        parse(&read(request).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read(request).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

/// The whole body of a JSON request, read or not.
pub(crate) async fn read(request: Request) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), JSON_BYTES_MAX);
    match tokio::time::timeout(JSON_TIME_MAX, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            ErrorId::PayloadTooLarge,
            format!("The request's body is too large: at most {JSON_BYTES_MAX} bytes are taken."),
        )),
        Ok(Err(_)) => Err(Problem::new(ErrorId::BadRequest, "The request's body ended early.")),
        Err(_) => Err(Problem::new(ErrorId::BadRequest, "The request's body did not come in time.")),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => {
            return Err(Problem::new(ErrorId::BadRequest, "The request must have a body: a JSON object."));
        }
        // A list of the right length would be taken for an object without its names.
        Some(b'[') => {
            return Err(Problem::new(ErrorId::InvalidParams, "The request's body must be a JSON object."));
        }
        Some(_) => {}
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            let text = in_words(&error.to_string());
            Problem::new(ErrorId::InvalidParams, format!("The request's body is not acceptable: {text}."))
        }
        _ => Problem::new(ErrorId::BadRequest, format!("The request's body is not valid JSON: {error}.")),
    })
}

/// The reason without names of our types, which tell a user nothing.
fn in_words(error: &str) -> String {
    let untagged = "data did not match any variant of untagged enum ";
    if let Some((_, rest)) = error.split_once(untagged) {
        let place = rest.split_once(' ').map_or("", |(_, place)| place);
        return format!("a value is of a kind that does not belong there {place}").trim_end().to_owned();
    }
    match error.split_once("expected struct ") {
        Some((before, rest)) => {
            let place = rest.find(" at line ").map_or("", |at| &rest[at..]);
            format!("{before}expected an object{place}")
        }
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn reasons_name_no_type_of_ours() {
        assert_eq!(
            in_words("invalid type: string \"x\", expected struct Create at line 1 column 3"),
            "invalid type: string \"x\", expected an object at line 1 column 3"
        );
        assert_eq!(
            in_words("data did not match any variant of untagged enum Form at line 1 column 18"),
            "a value is of a kind that does not belong there at line 1 column 18"
        );
        assert_eq!(in_words("missing field `url`"), "missing field `url`");
    }
}
