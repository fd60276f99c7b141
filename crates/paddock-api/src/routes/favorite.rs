//! `/favorites`: the apps that an account wants at hand. Clients know them at a host of their own, particleboard.

use std::sync::Arc;

use axum::extract::{Query, State};
use paddock_control::favorite::Favorite;
use paddock_core::ErrorId;
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, Endpoint, Segments, delete, get, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, created, ok, page};
use crate::authentication::By;
use crate::body::Json;
use crate::problem::Problem;

const SORTED_BY: [Attribute<wire::Favorite>; 2] = [
    Attribute { name: "id", key: |favorite| Key::Text(favorite.id.clone()) },
    Attribute { name: "resource_name", key: |favorite| Key::Text(favorite.resource_name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/favorites", list),
        post_once(Access::Token, "/favorites", add),
        delete(Access::Token, "/favorites/{favorite}", remove),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Query(asked): Query<wire::favorite::Asked>,
) -> Reply<Vec<wire::Favorite>> {
    of_apps(asked.kind.as_deref().unwrap_or(APP))?;
    page(api.control.people.list_favorites(&actor).await?.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn add(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Json(body): Json<wire::favorite::Create>,
) -> Reply<wire::Favorite> {
    of_apps(&body.kind)?;
    Ok(created(view(api.control.people.add_favorite(&actor, &body.resource_id.into()).await?)))
}

async fn remove(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(favorite): Segments<String>,
) -> Reply<wire::Favorite> {
    Ok(ok(view(api.control.people.remove_favorite(&actor, &favorite).await?)))
}

const APP: &str = "app";

fn of_apps(kind: &str) -> Result<(), Problem> {
    match kind {
        APP => Ok(()),
        _ => Err(Problem::new(
            ErrorId::NotFound,
            "Favorites other than apps are not built on this server yet.",
        )),
    }
}

fn view(favorite: Favorite) -> wire::Favorite {
    wire::Favorite {
        created_at: time(favorite.created_at),
        id: favorite.id.to_string(),
        resource_id: favorite.app_id.to_string(),
        resource_name: favorite.app_name.to_string(),
        kind: APP.to_owned(),
    }
}
