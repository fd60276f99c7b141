//! `/account/keys`. The published description has the reading calls alone; the client adds and removes as well.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::key::Key;
use paddock_wire as wire;
use paddock_wire::range;

use super::time::time;
use super::{Access, Endpoint, Segments, delete, get, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, created, ok, page};
use crate::authentication::By;
use crate::body::Json;

const SORTED_BY: [range::Attribute<wire::Key>; 2] = [
    range::Attribute { name: "id", key: |key| range::Key::Text(key.id.clone()) },
    range::Attribute { name: "fingerprint", key: |key| range::Key::Text(key.fingerprint.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/account/keys", list),
        post_once(Access::Token, "/account/keys", create),
        get(Access::Token, "/account/keys/{key}", info),
        delete(Access::Token, "/account/keys/{key}", remove),
    ]
}

async fn list(By(actor): By, Asked(range): Asked, State(api): State<Arc<Api>>) -> Reply<Vec<wire::Key>> {
    let keys = api.control.people.list_keys(&actor).await?;
    page(keys.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn create(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Json(body): Json<wire::key::Create>,
) -> Reply<wire::Key> {
    Ok(created(view(api.control.people.create_key(&actor, &body.public_key).await?)))
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
) -> Reply<wire::Key> {
    Ok(ok(view(api.control.people.key(&actor, &key).await?)))
}

async fn remove(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(key): Segments<String>,
) -> Reply<wire::Key> {
    Ok(ok(view(api.control.people.delete_key(&actor, &key).await?)))
}

fn view(key: Key) -> wire::Key {
    wire::Key {
        comment: key.comment,
        created_at: time(key.created_at),
        email: key.email,
        fingerprint: key.fingerprint,
        id: key.id.to_string(),
        public_key: key.public_key,
        updated_at: time(key.updated_at),
    }
}
