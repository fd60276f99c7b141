//! What the platform has and this server does not yet: an honest 404 that names it. Lists of such things are empty:
//! `routes/nothing_attached.rs`.
//!
//! Written by hand from the published schema's list of resources.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use paddock_core::ErrorId;
use paddock_core::proxy_form::Host;

use crate::client::proxied_host;
use crate::json::json;
use crate::problem::Problem;

/// Paths of the platform that are not built, and what each is. `{}` stands for one segment; what follows a path
/// belongs to it. The first that fits counts.
pub const NOT_BUILT: &[(&str, &str)] = &[
    ("/account/app-transfers", "App transfers are"),
    ("/account/credits", "Billing is"),
    ("/account/delinquency", "Billing is"),
    ("/account/invoice-address", "Billing is"),
    ("/account/invoices", "Billing is"),
    ("/account/payment-method", "Billing is"),
    ("/account/payments", "Billing is"),
    ("/account/sms-number", "Text messages are"),
    ("/accounts", "Dyno hour quotas are"),
    ("/addon-attachments/{}/telemetry-ingress-info", "Telemetry drains are"),
    ("/addon-region-capabilities", "Regions of add-ons are"),
    ("/addon-services/{}/region-capabilities", "Regions of add-ons are"),
    ("/addons/{}/actions", "Add-ons of others are"),
    ("/addons/{}/log-drains", "Log drains are"),
    ("/addons/{}/sso", "Pages of add-ons are"),
    ("/addons/{}/webhook-deliveries", "Webhooks are"),
    ("/addons/{}/webhook-events", "Webhooks are"),
    ("/addons/{}/webhooks", "Webhooks are"),
    ("/app-setups", "App setups are"),
    ("/apps/{}/acm", "Automatic certificates are"),
    ("/apps/{}/addons/{}/sso", "Pages of add-ons are"),
    ("/apps/{}/app-setups", "App setups are"),
    ("/apps/{}/config-vars-settings", "Settings of single config vars are"),
    ("/apps/{}/dynos/{}", "Running inside a dyno is"),
    ("/apps/{}/log-drains", "Log drains are"),
    ("/apps/{}/metrics", "Metrics are"),
    ("/apps/{}/oci-images", "Cloud native images are"),
    ("/apps/{}/pipeline-couplings", "Pipelines are"),
    ("/apps/{}/pre-authorizations", "Two-factor authentication is"),
    ("/apps/{}/review-app", "Review apps are"),
    ("/apps/{}/slugs", "Fetching slugs is"),
    ("/apps/{}/sni-endpoints", "Certificates are"),
    ("/apps/{}/telemetry-drains", "Telemetry drains are"),
    ("/apps/{}/usage", "Usage reports are"),
    ("/apps/{}/webhook-deliveries", "Webhooks are"),
    ("/apps/{}/webhook-events", "Webhooks are"),
    ("/apps/{}/webhooks", "Webhooks are"),
    ("/client", "This part of data services is"),
    ("/data", "This part of data services is"),
    ("/enterprise-accounts", "Enterprise accounts are"),
    ("/identity-providers", "Single sign-on is"),
    ("/invoice-address", "Billing is"),
    ("/oauth/clients", "OAuth clients are"),
    ("/oauth/tokens", "OAuth clients are"),
    ("/password-resets", "Resetting passwords by mail is"),
    ("/pipeline-couplings", "Pipelines are"),
    ("/pipeline-promotions", "Pipelines are"),
    ("/pipeline-transfers", "Pipelines are"),
    ("/pipelines", "Pipelines are"),
    ("/plans/{}/meters", "Metered plans are"),
    ("/postgres", "This part of data services is"),
    ("/redis", "Key-value stores are"),
    ("/regions/{}/addon-region-capabilities", "Regions of add-ons are"),
    ("/resource/{}/usage-history", "Usage reports are"),
    ("/review-apps", "Review apps are"),
    ("/spaces", "Spaces are"),
    ("/team", "Teams are"),
    ("/teams", "Teams are"),
    ("/telemetry-drains", "Telemetry drains are"),
    ("/test-cases", "CI is"),
    ("/test-nodes", "CI is"),
    ("/test-runs", "CI is"),
    ("/users/{}/capabilities", "The dashboard is"),
    ("/users/{}/gateway-tokens", "The dashboard is"),
    ("/users/{}/invoices", "Billing is"),
    ("/users/{}/pipeline-couplings", "Pipelines are"),
    ("/users/{}/preferences", "The dashboard is"),
    ("/users/{}/sms-number", "Text messages are"),
];

/// Nobody is notified of anything yet, so the list is truly empty.
const NOTIFICATIONS: &str = "/user/notifications";

/// Answers for hosts of the proxy form that are not built, whatever the path.
pub(crate) async fn hosts(request: Request, next: Next) -> Response {
    let what = match proxied_host(request.headers()) {
        None | Some(Host::Api | Host::Git | Host::Data | Host::Particleboard | Host::PgDiagnose) => {
            return next.run(request).await;
        }
        Some(Host::Registry) if is_of_registry(request.uri().path()) => return next.run(request).await,
        Some(Host::Registry) => return registry(),
        Some(Host::Kolkrabbi) => "The link to GitHub is",
        Some(Host::Telex) if request.method() == Method::GET && request.uri().path() == NOTIFICATIONS => {
            return json(StatusCode::OK, &[(); 0]);
        }
        Some(Host::Telex) => "Notifications are",
        Some(Host::Metrics) => "Metrics are",
    };
    Problem::new(ErrorId::NotFound, format!("{what} not built on this server yet.")).into_response()
}

fn is_of_registry(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/")
}

/// By the registry's own name there is nothing else.
fn registry() -> Response {
    let text = "This is the container registry of Paddock: everything of it is below /v2/.";
    Problem::new(ErrorId::NotFound, text).into_response()
}

/// Answers every path that no route has.
pub(crate) async fn fallback(request: Request) -> Response {
    let path = request.uri().path();
    let message = match what_is_not_built(path) {
        Some(what) => format!("{what} not built on this server yet."),
        None => {
            "The requested API endpoint was not found. Are you using the right HTTP verb and path?".to_owned()
        }
    };
    Problem::new(ErrorId::NotFound, message).into_response()
}

fn what_is_not_built(path: &str) -> Option<&'static str> {
    NOT_BUILT.iter().find(|(pattern, _)| covers(pattern, path)).map(|(_, what)| *what)
}

fn covers(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    pattern.split('/').all(|wanted| match segments.next() {
        Some(segment) => wanted == segment || (wanted == "{}" && !segment.is_empty()),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_paths_are_named_and_unknown_ones_are_not() {
        assert_eq!(what_is_not_built("/pipelines/x/stage/test/config-vars"), Some("Pipelines are"));
        assert_eq!(what_is_not_built("/apps/a/addons/b/sso"), Some("Pages of add-ons are"));
        assert_eq!(what_is_not_built("/apps//addons/b/sso"), None);
        assert_eq!(what_is_not_built("/pipelinesx"), None);
        assert_eq!(what_is_not_built("/"), None);
    }

    #[test]
    fn a_later_entry_is_never_hidden_by_an_earlier_one() {
        for (index, (pattern, _)) in NOT_BUILT.iter().enumerate() {
            assert_eq!(NOT_BUILT.iter().position(|(earlier, _)| covers(earlier, pattern)), Some(index));
        }
    }
}
