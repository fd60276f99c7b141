//! What the operator asks about people and their apps.

use paddock_control::Control;
use paddock_control::operator::{KnownAccount, KnownApp};
use paddock_core::UnixMicros;
use paddock_ipc::admin::{AccountLine, AdminAnswer, AdminRequest, AppLine};

/// The answer to a request about accounts or apps.
pub(super) async fn answer(control: &Control, request: AdminRequest) -> AdminAnswer {
    let answered = match request {
        AdminRequest::CreateAccount { email, name } => {
            let made = control.people.create_account_with_random_password(&email, name).await;
            made.map(|password| AdminAnswer::Password { password, ended_tokens: 0 })
        }
        AdminRequest::ResetPassword { email } => {
            let reset = control.people.reset_password(&email).await;
            reset.map(|(password, ended_tokens)| AdminAnswer::Password { password, ended_tokens })
        }
        AdminRequest::LogOutAccount { email } => control.people.log_out_account(&email).await.map(done),
        AdminRequest::DisableAccount { email } => control.people.disable_account(&email).await.map(done),
        AdminRequest::EnableAccount { email } => {
            control.people.enable_account(&email).await.map(|()| done(0))
        }
        AdminRequest::DeleteAccount { email } => {
            control.people.remove_account(&email).await.map(|()| done(0))
        }
        AdminRequest::ListAccounts => {
            let known = control.people.known_accounts().await;
            known.map(|known| AdminAnswer::Accounts {
                accounts: known.into_iter().map(account_line).collect(),
            })
        }
        AdminRequest::ListApps => {
            let known = control.people.known_apps().await;
            known.map(|known| AdminAnswer::Apps { apps: known.into_iter().map(app_line).collect() })
        }
        other => return AdminAnswer::Refused { reason: format!("this is not about accounts: {other:?}") },
    };
    answered.unwrap_or_else(|error| AdminAnswer::Refused { reason: error.message })
}

fn done(ended_tokens: u64) -> AdminAnswer {
    AdminAnswer::Done { ended_tokens }
}

fn account_line(account: KnownAccount) -> AccountLine {
    AccountLine {
        email: account.email,
        name: account.name,
        enabled: account.disabled_at.is_none(),
        first: account.is_first,
        apps: account.apps,
        tokens: account.tokens,
        last_login_at: account.last_login_at.map(shown),
        created_at: shown(account.created_at),
    }
}

fn app_line(app: KnownApp) -> AppLine {
    AppLine {
        name: app.name.to_string(),
        owner: app.owner,
        dynos: app.dynos.into_iter().map(|(state, count)| (state.to_owned(), count)).collect(),
        released_at: app.released_at.map(shown),
        slug_bytes: app.slug_bytes,
    }
}

/// RFC 3339 in UTC, whole seconds.
pub(super) fn shown(at: UnixMicros) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
