//! Git over smart HTTP: `/APP.git/info/refs` and the two services.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use paddock_control::Actor;
use paddock_control::git::GitCall;
use paddock_core::{AppRef, ErrorId};
use serde::Deserialize;
use tokio_util::io::StreamReader;

use super::{Access, Endpoint, Segments, get, post};
use crate::Api;
use crate::authentication::credentials;
use crate::layers::RequestId;
use crate::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Challenge, "/{repository}/info/refs", advertise),
        post(Access::Challenge, "/{repository}/git-receive-pack", receive_pack),
        post(Access::Challenge, "/{repository}/git-upload-pack", upload_pack),
    ]
}

#[derive(Debug, Deserialize)]
struct Asked {
    service: Option<String>,
}

async fn advertise(
    State(api): State<Arc<Api>>,
    Segments(repository): Segments<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let app = app_of(&repository)?;
    let actor = authenticate(&api, &headers).await?;
    let service = asked.service.ok_or_else(|| {
        Problem::new(ErrorId::Forbidden, "Only smart HTTP is served: use git 1.6.6 or newer.")
    })?;
    let protocol = protocol(&headers);
    let (content_type, refs) =
        api.control.deploy.advertise_git(&actor, &app, &service, protocol.as_deref()).await?;
    Ok(([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")], refs).into_response())
}

async fn receive_pack(
    state: State<Arc<Api>>,
    repository: Segments<String>,
    id: RequestId,
    request: Request,
) -> Result<Response, Refusal> {
    serve(state, repository, "git-receive-pack", id, request).await
}

async fn upload_pack(
    state: State<Arc<Api>>,
    repository: Segments<String>,
    id: RequestId,
    request: Request,
) -> Result<Response, Refusal> {
    serve(state, repository, "git-upload-pack", id, request).await
}

async fn serve(
    State(api): State<Arc<Api>>,
    Segments(repository): Segments<String>,
    service: &str,
    RequestId(request_id): RequestId,
    request: Request,
) -> Result<Response, Refusal> {
    let app = app_of(&repository)?;
    let actor = authenticate(&api, request.headers()).await?;
    let call = GitCall {
        app,
        service: service.to_owned(),
        git_protocol: protocol(request.headers()),
        gzip: request.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip"),
        request_id,
        body: StreamReader::new(request.into_body().into_data_stream().map_err(std::io::Error::other)),
    };
    let answer = api.control.deploy.serve_git(&actor, call).await?;
    let body = futures_util::stream::unfold(answer.body, |mut body| async {
        body.recv().await.map(|bytes| (bytes, body))
    });
    let body = Body::from_stream(body.map(Ok::<_, std::convert::Infallible>));
    Ok(([(CONTENT_TYPE, answer.content_type), (CACHE_CONTROL, "no-cache")], body).into_response())
}

fn app_of(repository: &str) -> Result<AppRef, Problem> {
    let app = repository.strip_suffix(".git").ok_or_else(|| {
        Problem::new(ErrorId::NotFound, "The requested API endpoint was not found: repositories end in .git.")
    })?;
    Ok(app.to_owned().into())
}

fn protocol(headers: &HeaderMap) -> Option<String> {
    headers.get("git-protocol").and_then(|value| value.to_str().ok()).map(str::to_owned)
}

async fn authenticate(api: &Api, headers: &HeaderMap) -> Result<Actor, Refusal> {
    let credentials = credentials(headers).ok_or(Refusal::Challenge)?;
    match api.control.people.authenticate_token(credentials.token()).await {
        Ok(actor) => Ok(actor),
        Err(error) if error.id == ErrorId::Unauthorized => Err(Refusal::Challenge),
        Err(error) => Err(Problem::from(error).into()),
    }
}

/// Why a git client does not get what it wants. Git shows plain text to its user, not JSON.
enum Refusal {
    Challenge,
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<paddock_control::Error> for Refusal {
    fn from(error: paddock_control::Error) -> Self {
        Self::Problem(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_plain_response(),
            Self::Challenge => {
                let text = "Log in with any user name and an access token as password.\n";
                let mut response = (StatusCode::UNAUTHORIZED, text).into_response();
                let realm = HeaderValue::from_static("Basic realm=\"Paddock\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, realm);
                response
            }
        }
    }
}
