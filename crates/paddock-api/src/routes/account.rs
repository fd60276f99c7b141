//! `/account`: who is asking. The client's second call to its notification service gets the same answer.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::account::{Account, AccountChange};
use paddock_core::ErrorId;
use paddock_wire as wire;

use super::time::time;
use super::{Access, Endpoint, Segments, delete, get, patch};
use crate::Api;
use crate::answer::{Reply, ok};
use crate::authentication::By;
use crate::body::Json;
use crate::client::Client;
use crate::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/account", whoami),
        patch(Access::Token, "/account", update),
        delete(Access::Token, "/account", destroy),
        get(Access::Token, "/account/rate-limits", rate_limit),
        get(Access::Token, "/users/{user}", info),
        patch(Access::Token, "/users/{user}", update_user),
        delete(Access::Token, "/users/{user}", destroy_user),
    ]
}

async fn whoami(By(actor): By, State(api): State<Arc<Api>>) -> Reply<wire::Account> {
    Ok(ok(view(api.control.people.whoami(&actor).await?)))
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(user): Segments<String>,
) -> Reply<wire::Account> {
    Ok(ok(view(api.control.people.account(&actor, &user).await?)))
}

async fn update(
    By(actor): By,
    client: Client,
    State(api): State<Arc<Api>>,
    Json(body): Json<wire::account::Update>,
) -> Reply<wire::Account> {
    let change = change(body)?;
    Ok(ok(view(api.control.people.update_account(&actor, change, client.ip()).await?)))
}

async fn update_user(
    By(actor): By,
    client: Client,
    State(api): State<Arc<Api>>,
    Segments(user): Segments<String>,
    Json(body): Json<wire::account::Update>,
) -> Reply<wire::Account> {
    api.control.people.account(&actor, &user).await?;
    update(By(actor), client, State(api), Json(body)).await
}

async fn destroy(By(actor): By, State(api): State<Arc<Api>>) -> Reply<wire::Account> {
    Ok(ok(view(api.control.people.delete_account(&actor).await?)))
}

async fn destroy_user(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(user): Segments<String>,
) -> Reply<wire::Account> {
    api.control.people.account(&actor, &user).await?;
    destroy(By(actor), State(api)).await
}

async fn rate_limit(By(actor): By, State(api): State<Arc<Api>>) -> Reply<wire::RateLimit> {
    Ok(ok(wire::RateLimit { remaining: api.control.kernel.requests_left(&actor).await? }))
}

/// What an account has no say in here may be sent as it is, and is refused otherwise: a change that is dropped in
/// silence is no answer.
fn change(body: wire::account::Update) -> Result<AccountChange, Problem> {
    let fixed = [
        ("allow_tracking", body.allow_tracking, true),
        ("beta", body.beta, false),
        ("eco_dynos_enabled", body.eco_dynos_enabled, false),
    ];
    if let Some((name, ..)) = fixed.iter().find(|(_, sent, is)| sent.is_some_and(|sent| sent != *is)) {
        let text = format!("{name} cannot be changed on this server.");
        return Err(Problem::new(ErrorId::InvalidParams, text));
    }
    Ok(AccountChange {
        name: body.name,
        email: body.email,
        new_password: body.new_password,
        password: body.password,
    })
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
