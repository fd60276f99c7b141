//! What a client asks to be shown besides: `Accept-Expansion: plan` for the whole of what is otherwise a reference,
//! `Accept-Inclusion: config_vars` for what is otherwise left out.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The words of both headers.
#[derive(Debug, Clone, Default)]
pub(crate) struct AskedMore(Vec<String>);

impl AskedMore {
    pub(crate) fn names(&self, what: &str) -> bool {
        self.0.iter().any(|word| word == what)
    }
}

impl<S: Sync> FromRequestParts<S> for AskedMore {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let headers = ["accept-expansion", "accept-inclusion"];
        let values = headers.iter().flat_map(|name| parts.headers.get_all(*name));
        let words = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        Ok(Self(words.map(|word| word.trim().to_ascii_lowercase()).collect()))
    }
}
