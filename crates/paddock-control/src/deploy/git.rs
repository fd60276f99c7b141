//! Git over HTTP: which app, which service, and may the actor.

use bytes::Bytes;
use paddock_build::git::{GitError, GitRequest, Pusher, Service};
use paddock_core::AppRef;
use paddock_core::ErrorId;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

use crate::deploy::Deploy;
use crate::{Actor, Error, Result};

/// A git client's request to a service.
pub struct GitCall<R> {
    /// The app, without `.git`.
    pub app: AppRef,
    /// `git-receive-pack` or `git-upload-pack`.
    pub service: String,
    /// The header `Git-Protocol`.
    pub git_protocol: Option<String>,
    /// Whether the body is gzipped.
    pub gzip: bool,
    /// The id of the HTTP request.
    pub request_id: String,
    pub body: R,
}

/// An answer to a git client. Dropping it does not end a push.
#[derive(Debug)]
pub struct GitAnswer {
    pub content_type: &'static str,
    /// The body, as it comes.
    pub body: mpsc::Receiver<Bytes>,
}

impl Deploy {
    /// What a service offers: the answer to `info/refs`, and its content type.
    ///
    /// # Errors
    /// `not_found`; `payload_too_large` for a push into a repository that is full.
    pub async fn advertise_git(
        &self,
        actor: &Actor,
        app: &AppRef,
        service: &str,
        git_protocol: Option<&str>,
    ) -> Result<(&'static str, Vec<u8>)> {
        let app = self.kernel.visible_app(actor, app).await?;
        let service = service_named(service)?;
        let refs = self.repositories.advertise(app.id, service, git_protocol).await.map_err(failed)?;
        Ok((service.advertisement_type(), refs))
    }

    /// Runs a service: a push or a fetch.
    ///
    /// # Errors
    /// As [`Control::advertise_git`].
    pub async fn serve_git<R>(&self, actor: &Actor, call: GitCall<R>) -> Result<GitAnswer>
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let app = self.kernel.visible_app(actor, &call.app).await?;
        let service = service_named(&call.service)?;
        let request = GitRequest { body: call.body, gzip: call.gzip, git_protocol: call.git_protocol };
        let pusher = Pusher { account: actor.account_id, request_id: call.request_id };
        let reply = self.repositories.serve(app.id, service, request, pusher).await.map_err(failed)?;
        Ok(GitAnswer { content_type: reply.content_type, body: reply.body })
    }
}

fn service_named(name: &str) -> Result<Service> {
    Service::from_name(name).ok_or_else(|| Error::not_found("git_service"))
}

fn failed(error: GitError) -> Error {
    match error {
        GitError::TooLarge { .. } => Error::new(ErrorId::PayloadTooLarge, format!("The {error}.")),
        GitError::Busy => Error::new(
            ErrorId::ServiceUnavailable,
            "Too many git transfers are going on. Try again in a moment.",
        ),
        error => Error::internal("serve git", error),
    }
}
