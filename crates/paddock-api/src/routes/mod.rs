//! Every route, one file per noun, and the order of the layers around them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{self, MethodRouter};
use http::request::Parts;
use paddock_core::{AppRef, ErrorId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::{Api, conditional, cors, layers, not_built, once};

mod account;
mod addon;
mod addon_attachment;
mod addon_service;
mod app;
mod authorization;
mod browser_login;
mod build;
mod build_record;
mod buildpack_installation;
mod buildpack_registry;
mod collaborator;
mod config_var;
mod domain;
mod dyno;
mod dyno_size;
mod favorite;
mod feature;
mod formation;
mod generation;
mod git;
mod hello;
mod key;
mod log_session;
mod metrics;
mod nothing_attached;
mod output;
mod platform_status;
mod postgres;
mod region;
mod registry;
mod release;
mod report;
mod schema;
mod slug;
mod source;
mod stack;
mod time;
mod transfer;
mod transfer_schedule;

pub use nothing_attached::EMPTY_LISTS;

/// A route, for walkers and for the coverage table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// `GET`, `POST` …
    pub method: &'static str,
    /// Its pattern; `{app}` stands for one segment.
    pub path: &'static str,
    /// What lets a client in.
    pub access: Access,
    /// Whether a repetition under the same request id is answered with what came of the first.
    pub is_once: bool,
}

/// What lets a client in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The token of an account; the handler shows what that account may see.
    Token,
    /// The path holds a secret of one purpose.
    Secret,
    /// Everybody: what is there is public.
    Public,
    /// A token as password, asked for by `WWW-Authenticate` (git).
    Challenge,
}

/// A route with its handler.
struct Endpoint {
    route: Route,
    handler: MethodRouter<Arc<Api>>,
}

#[must_use]
pub fn routes() -> Vec<Route> {
    platform().chain(open()).map(|endpoint| endpoint.route).collect()
}

/// Calls that ask for version 3 of the API with a token.
fn platform() -> impl Iterator<Item = Endpoint> {
    [
        account::endpoints(),
        addon::endpoints(),
        addon_attachment::endpoints(),
        addon_service::endpoints(),
        app::endpoints(),
        authorization::endpoints(),
        build::endpoints(),
        build_record::endpoints(),
        buildpack_installation::endpoints(),
        collaborator::endpoints(),
        config_var::endpoints(),
        domain::endpoints(),
        dyno::endpoints(),
        dyno_size::endpoints(),
        favorite::endpoints(),
        feature::endpoints(),
        formation::endpoints(),
        generation::endpoints(),
        key::endpoints(),
        log_session::endpoints(),
        nothing_attached::endpoints(),
        postgres::endpoints(),
        region::endpoints(),
        release::endpoints(),
        report::endpoints(),
        slug::endpoints(),
        source::endpoints(),
        stack::endpoints(),
        transfer::endpoints(),
        transfer_schedule::endpoints(),
    ]
    .into_iter()
    .flatten()
}

/// Addresses that are not API calls: secrets in the path, git, pages.
fn open() -> impl Iterator<Item = Endpoint> {
    [
        browser_login::endpoints(),
        buildpack_registry::endpoints(),
        git::endpoints(),
        hello::endpoints(),
        log_session::streams(),
        metrics::endpoints(),
        output::endpoints(),
        platform_status::endpoints(),
        registry::endpoints(),
        schema::endpoints(),
        slug::uploads(),
        source::uploads(),
        transfer::downloads(),
    ]
    .into_iter()
    .flatten()
}

/// The whole server. Layers are named from the inside out; a request passes them from the last to the first.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let platform = gathered(platform(), &api)
        .fallback(not_built::fallback)
        .method_not_allowed_fallback(not_built::fallback)
        // Innermost, so that only what an authenticated client gets is tagged, and 304 still counts as a request.
        .layer(from_fn(conditional::tag))
        // After Accept: a client of another version learns that before anything else.
        .layer(from_fn_with_state(api.clone(), layers::authenticate))
        .layer(from_fn(layers::accept_version))
        // A browser asks ahead of a call without token or version.
        .layer(from_fn(cors::share));
    gathered(open(), &api)
        // What is public and JSON is tagged like the rest; streams pass untouched.
        .layer(from_fn(conditional::tag))
        .merge(platform)
        // Before anybody is asked who they are: there is nothing to protect.
        .layer(from_fn(not_built::hosts))
        // What the registry's clients look for in every answer of it, also in those that say no.
        .layer(from_fn_with_state(api.clone(), registry::dress))
        // Inside the record, so that a panic is recorded like any other failure.
        .layer(from_fn(layers::guard))
        // Outermost: every answer has a request id and a record.
        .layer(from_fn(layers::record))
        .with_state(api)
}

fn gathered(endpoints: impl Iterator<Item = Endpoint>, api: &Arc<Api>) -> Router<Arc<Api>> {
    endpoints.fold(Router::new(), |router, Endpoint { route, handler }| {
        let handler = match route.is_once {
            true => handler.layer(from_fn_with_state(api.clone(), once::answer)),
            false => handler,
        };
        router.route(route.path, handler)
    })
}

macro_rules! methods {
    ($($name:ident $axum:ident $text:literal $is_once:literal;)*) => {$(
        fn $name<H, T>(access: Access, path: &'static str, handler: H) -> Endpoint
        where
            H: Handler<T, Arc<Api>>,
            T: 'static,
        {
            let route = Route { method: $text, path, access, is_once: $is_once };
            Endpoint { route, handler: routing::$axum(handler) }
        }
    )*};
}

methods! {
    get get "GET" false;
    post post "POST" false;
    // For what makes something: clients repeat a POST whose answer they lost.
    post_once post "POST" true;
    put put "PUT" false;
    patch patch "PATCH" false;
    delete delete "DELETE" false;
}

/// The segments of a path that stand for something.
struct Segments<T>(T);

/// The app that a path names.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
struct AppPath(AppRef);

impl From<String> for AppPath {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_) => Err(Problem::new(ErrorId::BadRequest, "The request's path cannot be read.")),
        }
    }
}
