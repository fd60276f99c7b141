//! `/apps/{app}/config-vars`. A change is finished as a release before the answer: the client reads it at once.

use std::sync::Arc;

use axum::extract::State;
use paddock_wire::config_var::{ConfigVars, Update};

use super::{Access, AppPath, Endpoint, Segments, get, patch};
use crate::Api;
use crate::answer::{Reply, ok};
use crate::authentication::By;
use crate::body::Json;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/config-vars", info),
        patch(Access::Token, "/apps/{app}/config-vars", update),
        get(Access::Token, "/apps/{app}/releases/{release}/config-vars", info_of_release),
    ]
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<ConfigVars> {
    Ok(ok(api.control.apps.config_vars(&actor, &app).await?))
}

async fn update(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(changes): Json<Update>,
) -> Reply<ConfigVars> {
    Ok(ok(api.control.apps.update_config_vars(&actor, &app, changes).await?))
}

async fn info_of_release(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), release)): Segments<(AppPath, String)>,
) -> Reply<ConfigVars> {
    Ok(ok(api.control.apps.release_config_vars(&actor, &app, &release).await?))
}
