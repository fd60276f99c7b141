//! Who is asking: the Authorization header, read; the use case decides what it is worth.

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use paddock_control::Actor;

use crate::problem::Problem;

/// What an Authorization header holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// `Bearer TOKEN`.
    Bearer(String),
    /// `Basic`: a token as password with any user name (clients send it empty, git sends `heroku` or an e-mail
    /// address, docker `_`), or, for making an authorization and nothing else, an e-mail address and its password.
    Basic {
        user: String,
        /// Password or token.
        password: String,
    },
}

impl Credentials {
    /// The token, if that is what it is.
    pub(crate) fn token(&self) -> &str {
        match self {
            Self::Bearer(token) | Self::Basic { password: token, .. } => token,
        }
    }
}

/// Reads the Authorization header; `None` when there is none that can be read. `Bearer undefined`, which a client
/// without a login sends, is a token like any other and belongs to nobody.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let (scheme, value) = headers.get(AUTHORIZATION).map(HeaderValue::to_str)?.ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!value.is_empty()).then(|| Credentials::Bearer(value.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value)).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let basic = || Credentials::Basic { user: user.to_owned(), password: password.to_owned() };
    (!password.is_empty()).then(basic)
}

/// The account that asks, put there by the authentication layer.
pub(crate) struct By(pub(crate) Actor);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Actor>().cloned().map(Self).ok_or_else(Problem::unauthorized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        credentials(&headers)
    }

    #[test]
    fn every_form_that_clients_send_is_read() {
        assert_eq!(read("Bearer HRKU-1"), Some(Credentials::Bearer("HRKU-1".into())));
        for user in ["", "heroku", "_", "a@b.c"] {
            let read = read(&format!("Basic {}", STANDARD.encode(format!("{user}:p:q")))).unwrap();
            assert_eq!(read, Credentials::Basic { user: user.into(), password: "p:q".into() });
            assert_eq!(read.token(), "p:q");
        }
        for bad in ["Bearer", "Bearer ", "Basic !!!", "Basic Og==", "Digest x", "x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
