//! The platform's own state, for `heroku status`: looked at when asked, not remembered.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use paddock_control::platform_status::Part;
use paddock_wire as wire;

use super::time::time;
use super::{Access, Endpoint, get};
use crate::Api;
use crate::client::Origin;
use crate::json::json;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![get(Access::Public, "/api/v4/current-status", current)]
}

async fn current(State(api): State<Arc<Api>>, origin: Origin) -> Response {
    let parts = api.control.apps.platform_status().await;
    let system = |part: &Part| wire::platform_status::System {
        system: part.name.to_owned(),
        status: if part.works { "green" } else { "red" }.to_owned(),
    };
    let incident = |part: &Part| wire::platform_status::Incident {
        title: format!("{} do not work", part.name),
        created_at: time(api.control.now()),
        full_url: origin.url("/"),
        updates: vec![wire::platform_status::Update {
            update_type: "issue".to_owned(),
            updated_at: time(api.control.now()),
            contents: part.trouble.to_owned(),
        }],
    };
    let body = wire::PlatformStatus {
        status: parts.iter().map(system).collect(),
        incidents: parts.iter().filter(|part| !part.works).map(incident).collect(),
        scheduled: Vec::new(),
    };
    json(StatusCode::OK, &body)
}
