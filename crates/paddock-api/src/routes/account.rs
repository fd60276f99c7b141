//! `/account`: who is asking. The client's second call to its notification service gets the same answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use paddock_control::account::Account;
use paddock_wire as wire;

use super::time::time;
use super::{Access, Endpoint, Segments, get};
use crate::Api;
use crate::answer::{Reply, ok};
use crate::authentication::By;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/account", whoami),
        get(Access::Token, "/account/rate-limits", rate_limit),
        get(Access::Token, "/users/{user}", info),
    ]
}

async fn whoami(By(actor): By, State(api): State<Arc<Api>>) -> Reply<wire::Account> {
    Ok(ok(view(api.control.whoami(&actor).await?)))
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(user): Segments<String>,
) -> Reply<wire::Account> {
    Ok(ok(view(api.control.account(&actor, &user).await?)))
}

async fn rate_limit(By(actor): By, State(api): State<Arc<Api>>) -> Reply<wire::RateLimit> {
    let remaining = api.rate_limits.remaining(actor.account_id(), Instant::now());
    Ok(ok(wire::RateLimit { remaining }))
}

fn view(account: Account) -> wire::Account {
    wire::Account {
        allow_tracking: true,
        beta: false,
        created_at: time(account.created_at),
        email: account.email,
        federated: false,
        id: account.id.to_string(),
        identity_provider: None,
        last_login: account.last_login_at.map(time),
        name: account.name,
        sms_number: None,
        suspended_at: None,
        delinquent_at: None,
        two_factor_authentication: false,
        updated_at: time(account.updated_at),
        verified: true,
        country_of_residence: None,
        eco_dynos_enabled: false,
        eco_dynos_shutdown_at: None,
        pipeline_cost_consent_at: None,
        acknowledged_msa: true,
        acknowledged_msa_at: None,
        italian_customer_terms: None,
        italian_partner_terms: None,
        mfa_enabled: false,
        mfa_exemption: false,
        mfa_exemption_reason: None,
        mfa_experience: "legacy".to_owned(),
        default_organization: None,
        default_team: None,
    }
}
