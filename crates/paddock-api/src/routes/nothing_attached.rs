//! Lists of things that no app can have yet: add-ons, attachments, certificates. They are truly empty, and the
//! client's `apps:info` and `domains:add` fail without them. Making one of these answers that it is not built.

use std::sync::Arc;

use axum::extract::State;
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::{Access, Endpoint, Segments, get};
use crate::Api;
use crate::answer::{Asked, Reply, page};
use crate::authentication::By;

/// What lists of things that are only known by their id are sorted by.
pub(super) const BY_ID: Attribute<wire::IdOnly> =
    Attribute { name: "id", key: |thing| Key::Text(thing.id.clone()) };

pub(super) fn endpoints() -> Vec<Endpoint> {
    ["/apps/{app}/addons", "/apps/{app}/addon-attachments", "/apps/{app}/sni-endpoints"]
        .map(|path| get(Access::Token, path, nothing))
        .into()
}

async fn nothing(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(app): Segments<String>,
) -> Reply<Vec<wire::IdOnly>> {
    api.control.app(&actor, &app).await?;
    page(Vec::new(), &range, &[BY_ID])
}
