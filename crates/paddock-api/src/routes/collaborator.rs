//! `/apps/{app}/collaborators`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::collaborator::Collaborator;
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, delete, get, post_once};
use crate::Api;
use crate::answer::{Asked, Reply, created, ok, page};
use crate::authentication::By;
use crate::body::Json;

const SORTED_BY: [Attribute<wire::Collaborator>; 1] =
    [Attribute { name: "id", key: |collaborator| Key::Text(collaborator.id.clone()) }];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/collaborators", list),
        post_once(Access::Token, "/apps/{app}/collaborators", create),
        get(Access::Token, "/apps/{app}/collaborators/{collaborator}", info),
        delete(Access::Token, "/apps/{app}/collaborators/{collaborator}", remove),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Collaborator>> {
    let collaborators = api.control.people.list_collaborators(&actor, &app).await?;
    page(collaborators.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), collaborator)): Segments<(AppPath, String)>,
) -> Reply<wire::Collaborator> {
    Ok(ok(view(api.control.people.collaborator(&actor, &app, &collaborator).await?)))
}

async fn create(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<wire::collaborator::Create>,
) -> Reply<wire::Collaborator> {
    Ok(created(view(api.control.people.create_collaborator(&actor, &app, body.user.as_str()).await?)))
}

async fn remove(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), collaborator)): Segments<(AppPath, String)>,
) -> Reply<wire::Collaborator> {
    Ok(ok(view(api.control.people.delete_collaborator(&actor, &app, &collaborator).await?)))
}

fn view(collaborator: Collaborator) -> wire::Collaborator {
    wire::Collaborator {
        app: wire::NamedRef { id: collaborator.app_id.to_string(), name: collaborator.app_name.to_string() },
        created_at: time(collaborator.created_at),
        id: collaborator.id.to_string(),
        permissions: collaborator.permissions.iter().map(permission).collect(),
        role: Some(collaborator.role.to_owned()),
        updated_at: time(collaborator.updated_at),
        user: wire::collaborator::User {
            email: collaborator.email,
            federated: false,
            id: collaborator.account_id.to_string(),
        },
    }
}

fn permission((name, description): &(&str, &str)) -> wire::collaborator::Permission {
    wire::collaborator::Permission { name: (*name).to_owned(), description: (*description).to_owned() }
}
