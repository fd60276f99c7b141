//! `/oauth/authorizations` and the logout call of `/oauth/sessions`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::authorization::{Authorization, AuthorizationChange, AuthorizationOrder};
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, Endpoint, Segments, delete, get, patch, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, created, ok, page};
use crate::authentication::By;
use crate::body::{Json, OptionalJson};

const SORTED_BY: [Attribute<wire::Authorization>; 1] =
    [Attribute { name: "id", key: |authorization| Key::Text(authorization.id.clone()) }];

pub(super) fn endpoints() -> Vec<Endpoint> {
    const ONE: &str = "/oauth/authorizations/{authorization}";
    vec![
        post_once(Access::Token, "/oauth/authorizations", create),
        get(Access::Token, "/oauth/authorizations", list),
        get(Access::Token, ONE, info),
        patch(Access::Token, ONE, update),
        delete(Access::Token, ONE, revoke),
        post_once(
            Access::Token,
            "/oauth/authorizations/{authorization}/actions/regenerate-tokens",
            regenerate,
        ),
        delete(Access::Token, "/oauth/sessions/{session}", end_session),
    ]
}

async fn create(
    By(actor): By,
    State(api): State<Arc<Api>>,
    OptionalJson(body): OptionalJson<wire::authorization::Create>,
) -> Reply<wire::Authorization> {
    let order = AuthorizationOrder {
        description: body.description,
        expires_in_seconds: body.expires_in,
        scope: body.scope,
    };
    Ok(created(view(api.control.people.create_authorization(&actor, order).await?)))
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
) -> Reply<Vec<wire::Authorization>> {
    let authorizations = api.control.people.list_authorizations(&actor).await?;
    page(authorizations.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
) -> Reply<wire::Authorization> {
    Ok(ok(view(api.control.people.authorization(&actor, &id).await?)))
}

async fn update(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    Json(body): Json<wire::authorization::Update>,
) -> Reply<wire::Authorization> {
    let change = AuthorizationChange { description: body.description };
    Ok(ok(view(api.control.people.update_authorization(&actor, &id, change).await?)))
}

async fn revoke(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
) -> Reply<wire::Authorization> {
    Ok(ok(view(api.control.people.revoke_authorization(&actor, &id).await?)))
}

async fn regenerate(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
) -> Reply<wire::Authorization> {
    Ok(ok(view(api.control.people.regenerate_authorization(&actor, &id).await?)))
}

/// The logout command calls this and wants exactly "no such session" (`docs/contract/heroku-cli.md`, 2).
async fn end_session(By(actor): By, State(api): State<Arc<Api>>) -> Reply<wire::IdOnly> {
    Err(api.control.people.end_session(&actor).await.into())
}

fn view(authorization: Authorization) -> wire::Authorization {
    let id = authorization.id.to_string();
    wire::Authorization {
        access_token: Some(wire::authorization::AccessToken {
            expires_in: authorization.expires_in_seconds,
            id: id.clone(),
            token: authorization.token,
            version: 1,
        }),
        client: None,
        created_at: time(authorization.created_at),
        description: authorization.description,
        grant: None,
        id,
        refresh_token: None,
        scope: authorization.scope,
        session: None,
        updated_at: time(authorization.updated_at),
        user: wire::authorization::User {
            id: authorization.account_id.to_string(),
            email: authorization.email,
            full_name: authorization.name,
        },
    }
}
