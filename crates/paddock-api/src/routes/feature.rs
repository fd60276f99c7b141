//! `/apps/{app}/features` and `/account/features`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::feature::Feature;
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, get, patch};
use crate::Api;
use crate::answer::{Asked, Reply, ok, page};
use crate::authentication::By;
use crate::body::Json;

const SORTED_BY: [Attribute<wire::Feature>; 2] = [
    Attribute { name: "id", key: |feature| Key::Text(feature.id.clone()) },
    Attribute { name: "name", key: |feature| Key::Text(feature.name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/features", list),
        get(Access::Token, "/apps/{app}/features/{feature}", info),
        patch(Access::Token, "/apps/{app}/features/{feature}", update),
        get(Access::Token, "/account/features", list_of_account),
        get(Access::Token, "/account/features/{feature}", info_of_account),
        // Accounts have no feature that could be switched: the answer is the same as to who only asks.
        patch(Access::Token, "/account/features/{feature}", info_of_account),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Feature>> {
    let features = api.control.apps.list_app_features(&actor, &app).await?;
    page(features.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), feature)): Segments<(AppPath, String)>,
) -> Reply<wire::Feature> {
    Ok(ok(view(api.control.apps.app_feature(&actor, &app, &feature).await?)))
}

async fn update(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), feature)): Segments<(AppPath, String)>,
    Json(body): Json<wire::feature::Update>,
) -> Reply<wire::Feature> {
    Ok(ok(view(api.control.apps.set_app_feature(&actor, &app, &feature, body.enabled).await?)))
}

async fn list_of_account(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
) -> Reply<Vec<wire::Feature>> {
    let features = api.control.apps.list_account_features(&actor);
    page(features.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn info_of_account(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(feature): Segments<String>,
) -> Reply<wire::Feature> {
    Ok(ok(view(api.control.apps.account_feature(&actor, &feature)?)))
}

fn view(feature: Feature) -> wire::Feature {
    wire::Feature {
        created_at: time(feature.created_at),
        description: feature.description.to_owned(),
        doc_url: feature.doc_url,
        enabled: feature.enabled,
        id: feature.id.to_string(),
        name: feature.name.to_owned(),
        state: feature.state.to_owned(),
        updated_at: time(feature.updated_at),
        display_name: feature.display_name.to_owned(),
        feedback_email: feature.feedback_email,
    }
}
