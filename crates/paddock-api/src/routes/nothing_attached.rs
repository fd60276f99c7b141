//! Lists of things that no app can have yet: add-ons, attachments, certificates. They are truly empty, and the
//! client's `apps:info` and `domains:add` fail without them. Making one of these answers that it is not built.

use std::sync::Arc;

use axum::extract::State;
use paddock_wire as wire;

use super::{Access, Endpoint, Segments, get};
use crate::Api;
use crate::answer::{Reply, ok};
use crate::authentication::By;

pub(super) fn endpoints() -> Vec<Endpoint> {
    ["/apps/{app}/addons", "/apps/{app}/addon-attachments", "/apps/{app}/sni-endpoints"]
        .map(|path| get(Access::Token, path, nothing))
        .into()
}

async fn nothing(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(app): Segments<String>,
) -> Reply<Vec<wire::IdOnly>> {
    api.control.app(&actor, &app).await?;
    Ok(ok(Vec::new()))
}
