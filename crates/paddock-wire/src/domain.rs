//! Domains of an app.

use serde::{Deserialize, Serialize};

use crate::named::{Identity, NamedRef};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Domain {
    /// Always null until certificates are managed.
    pub acm_status: Option<String>,
    /// Always null until certificates are managed.
    pub acm_status_reason: Option<String>,
    pub app: NamedRef,
    /// What the domain's own DNS entry must point at; null for the default domain.
    pub cname: Option<String>,
    pub created_at: Time,
    pub hostname: String,
    pub id: String,
    /// `heroku` for the default domain, `custom` for the others.
    pub kind: String,
    pub updated_at: Time,
    /// `none`: ready.
    pub status: String,
    /// Always null until certificates can be uploaded.
    pub sni_endpoint: Option<NamedRef>,
}

/// Body of `POST /apps/{app}/domains`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    pub hostname: String,
    /// The certificate; the client always sends the key, mostly null.
    pub sni_endpoint: Option<Identity>,
}

/// Body of `PATCH /apps/{app}/domains/{domain}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Update {
    /// The certificate; null for none.
    pub sni_endpoint: Option<Identity>,
}
