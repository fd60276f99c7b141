//! What the pusher and the app's log are told of a build.

use paddock_core::release::ReleaseStatus;
use paddock_core::{AccountId, BuildId};
use paddock_store::{App, Build, Release};

use crate::deploy::Deploy;
use crate::deploy::release::announce;
use crate::kernel::error::chain;

/// The end of a build's output: `Launching…`, the version and the address.
pub(super) async fn tell_release(
    deploy: &Deploy,
    app: &App,
    build: &Build,
    release: &Release,
    notices: &[String],
) {
    let mut text: String = notices.iter().map(|notice| format!("{notice}\n")).collect();
    text.push_str("-----> Launching...\n");
    if release.status == ReleaseStatus::Pending {
        text.push_str(" !     Release command declared: this new release will not be available until the command succeeds.\n");
    }
    text.push_str(&format!("       Released v{}\n", release.version));
    text.push_str(&format!("       {} deployed to Paddock\n\n", deploy.kernel.config.web_url(&app.name)));
    if let Ok(mut output) = deploy.outputs.writer(build.id.uuid())
        && let Err(error) = output.append(text).await
    {
        tracing::error!(build.id = %build.id, error = chain(&error), "could not keep a build's output");
    }
    let by = user_of(deploy, release.account_id).await;
    deploy.kernel.log_api(app.id, format!("{} by user {by}", release.description)).await;
    deploy.kernel.log_api(app.id, announce(release, &by)).await;
}

/// Ends the output after the build's row says how it ended: who follows it then finds the answer.
pub(super) async fn finish_output(deploy: &Deploy, id: BuildId) {
    if let Err(error) = deploy.outputs.abandon(id.uuid()).await {
        tracing::error!(build.id = %id, error = chain(&error), "could not finish a build's output");
    }
}

pub(super) async fn user_of(deploy: &Deploy, account: AccountId) -> String {
    match deploy.kernel.store.account(account).await {
        Ok(Some(account)) => account.email,
        Ok(None) | Err(_) => "unknown".into(),
    }
}
