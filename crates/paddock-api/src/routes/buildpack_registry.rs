//! The buildpack registry, as far as it is here: the built-in buildpacks, and what the operator imported. The client asks without a token.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use paddock_control::buildpack_installation::Builtin;
use paddock_control::fixed_since;
use paddock_control::import::BuildpackArchive;
use paddock_core::ErrorId;
use paddock_wire::buildpack_registry::{Buildpack, Readme, Revision, Source, Support};

use super::buildpack_installation::known;
use super::time::time;
use super::{Access, Endpoint, Segments, get};
use crate::Api;
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
async fn search(
    State(api): State<Arc<Api>>,
    Query(wanted): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let mut all: Vec<_> = Builtin::all().map(view).collect();
    let mut names: Vec<_> = imported(&api).await?.into_iter().map(|one| one.name).collect();
    names.dedup();
    names.retain(|name| Builtin::from_name(name).is_none());
    all.extend(names.iter().map(|name| imported_view(name)));
    all.retain(|buildpack| is_wanted(buildpack, &wanted));
    Ok(json(StatusCode::OK, &all))
}

/// What the operator imported, by name.
async fn imported(api: &Api) -> Result<Vec<BuildpackArchive>, Problem> {
    let mut archives = api.control.deploy.mirrored_buildpacks().await?;
    archives.retain(|one| one.number > 0);
    Ok(archives)
}

async fn versions_of(api: &Api, name: &str) -> Result<Vec<BuildpackArchive>, Problem> {
    let mut archives = imported(api).await?;
    archives.retain(|one| one.name == name);
    Ok(archives)
}

async fn info(State(api): State<Arc<Api>>, Segments(name): Segments<String>) -> Result<Response, Problem> {
    let found = match Builtin::from_name(&name) {
        Some(builtin) => view(builtin),
        None if versions_of(&api, &name).await?.is_empty() => return Err(unknown(&name)),
        None => imported_view(&name),
    };
    Ok(json(StatusCode::OK, &found))
}

/// What was imported has a version each; a built-in buildpack changes with the server, and there is one version of it here.
async fn revisions(
    State(api): State<Arc<Api>>,
    Segments(name): Segments<String>,
) -> Result<Response, Problem> {
    let archives = versions_of(&api, &name).await?;
    if archives.is_empty() && Builtin::from_name(&name).is_none() {
        return Err(unknown(&name));
    }
    let revision = |release, created_at, license: &str| Revision {
        release,
        created_at: time(created_at),
        status: "published".to_owned(),
        license: license.to_owned(),
    };
    let mut list: Vec<_> = archives
        .iter()
        .map(|one| revision(u32::try_from(one.number).unwrap_or(u32::MAX), one.created_at, "unknown"))
        .collect();
    if list.is_empty() {
        list.push(revision(1, fixed_since(), "Apache-2.0"));
    }
    Ok(json(StatusCode::OK, &list))
}

async fn readme(State(api): State<Arc<Api>>, Segments(name): Segments<String>) -> Result<Response, Problem> {
    let text = match Builtin::from_name(&name) {
        Some(builtin) => described(builtin),
        None if versions_of(&api, &name).await?.is_empty() => return Err(unknown(&name)),
        None => IMPORTED.to_owned(),
    };
    Ok(json(StatusCode::OK, &Readme { content: format!("{text}\n"), encoding: "utf8".to_owned() }))
}

fn unknown(name: &str) -> Problem {
    Problem::new(ErrorId::NotFound, format!("There is no buildpack {name} on this server: {}.", known()))
}

/// What is known of what the operator imported.
const IMPORTED: &str = "Imported by the operator of this server.";

fn imported_view(name: &str) -> Buildpack {
    of_name(name, IMPORTED.to_owned(), "imported")
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
    of_name(builtin.name, described(builtin), "builtin")
}

fn of_name(whole: &str, description: String, kind: &str) -> Buildpack {
    let (namespace, name) = whole.split_once('/').unwrap_or(("heroku", whole));
    Buildpack {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        blob_url: format!("urn:buildpack:{whole}"),
        description,
        category: "languages".to_owned(),
        support: Support { method: "website".to_owned(), address: "the operator of this server".to_owned() },
        source: Source { kind: kind.to_owned() },
    }
}
