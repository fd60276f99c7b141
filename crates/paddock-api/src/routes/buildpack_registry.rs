//! The buildpack registry, as far as it is here: the built-in buildpacks. The client asks without a token.

use axum::extract::Query;
use axum::response::Response;
use http::StatusCode;
use paddock_control::buildpack_installation::Builtin;
use paddock_control::fixed_since;
use paddock_core::ErrorId;
use paddock_wire::buildpack_registry::{Buildpack, Readme, Revision, Source, Support};

use super::buildpack_installation::known;
use super::time::time;
use super::{Access, Endpoint, Segments, get};
use crate::json::json;
use crate::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Public, "/buildpacks", search),
        get(Access::Public, "/buildpacks/{buildpack}", info),
        get(Access::Public, "/buildpacks/{buildpack}/revisions", revisions),
        get(Access::Public, "/buildpacks/{buildpack}/readme", readme),
    ]
}

/// What a search asks for, as pairs of `in[namespace][]`, `in[name][]` or `like[description]` and a text.
async fn search(Query(wanted): Query<Vec<(String, String)>>) -> Response {
    let found: Vec<_> = Builtin::all().map(view).filter(|buildpack| is_wanted(buildpack, &wanted)).collect();
    json(StatusCode::OK, &found)
}

async fn info(Segments(name): Segments<String>) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &view(named(&name)?)))
}

/// A built-in buildpack changes with the server: there is one version of it here.
async fn revisions(Segments(name): Segments<String>) -> Result<Response, Problem> {
    named(&name)?;
    let only = Revision {
        release: 1,
        created_at: time(fixed_since()),
        status: "published".to_owned(),
        license: "Apache-2.0".to_owned(),
    };
    Ok(json(StatusCode::OK, &[only]))
}

async fn readme(Segments(name): Segments<String>) -> Result<Response, Problem> {
    let content = format!("{}\n", described(named(&name)?));
    Ok(json(StatusCode::OK, &Readme { content, encoding: "utf8".to_owned() }))
}

fn named(name: &str) -> Result<Builtin, Problem> {
    Builtin::from_name(name).ok_or_else(|| {
        let text = format!("There is no buildpack {name} on this server: {}.", known());
        Problem::new(ErrorId::NotFound, text)
    })
}

/// Every kind of condition must be met, by one of the texts given for it.
fn is_wanted(buildpack: &Buildpack, wanted: &[(String, String)]) -> bool {
    ["in[namespace][]", "in[name][]", "like[description]"].iter().all(|kind| {
        let mut texts = wanted.iter().filter(|(name, _)| name == kind).map(|(_, text)| text).peekable();
        let fits = |text: &String| match *kind {
            "in[namespace][]" => buildpack.namespace == *text,
            "in[name][]" => buildpack.name == *text,
            _ => buildpack.description.to_lowercase().contains(&text.to_lowercase()),
        };
        texts.peek().is_none() || texts.any(fits)
    })
}

fn described(builtin: Builtin) -> String {
    match builtin.language {
        "Procfile" => "Apps that need no compiling: a Procfile is all. Built into this server.".to_owned(),
        language => format!("{language} apps. Built into this server."),
    }
}

fn view(builtin: Builtin) -> Buildpack {
    let (namespace, name) = builtin.name.split_once('/').unwrap_or(("heroku", builtin.name));
    Buildpack {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        blob_url: format!("urn:buildpack:{}", builtin.name),
        description: described(builtin),
        category: "languages".to_owned(),
        support: Support { method: "website".to_owned(), address: "the operator of this server".to_owned() },
        source: Source { kind: "builtin".to_owned() },
    }
}
