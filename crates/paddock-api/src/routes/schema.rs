//! `/schema`: the API's description of itself, made from the routes that are served. The published description of
//! Heroku's API is not ours to hand out; the shapes of bodies are its, and are not repeated here.

use std::collections::BTreeMap;

use axum::response::Response;
use http::StatusCode;
use paddock_wire::hyper_schema::{Definition, HyperSchema, Link, Reference};

use super::{Access, Endpoint, Route, get, platform};
use crate::json::json;

const PATH: &str = "/schema";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![get(Access::Public, PATH, schema)]
}

async fn schema() -> Response {
    json(StatusCode::OK, &document())
}

fn document() -> HyperSchema {
    let mut definitions = BTreeMap::new();
    for route in platform().map(|endpoint| endpoint.route) {
        let noun = noun(route.path);
        let definition = definitions.entry(noun.clone()).or_insert_with(|| Definition {
            title: noun,
            kind: vec!["object".to_owned()],
            links: Vec::new(),
        });
        definition.links.push(link(route));
    }
    let reference = |noun: &String| Reference { to: format!("#/definitions/{noun}") };
    HyperSchema {
        dialect: "http://interagent.github.io/interagent-hyper-schema".to_owned(),
        title: "Paddock Platform API".to_owned(),
        description: "What this server answers of Heroku's Platform API, version 3.".to_owned(),
        kind: vec!["object".to_owned()],
        properties: definitions.keys().map(|noun| (noun.clone(), reference(noun))).collect(),
        definitions,
        links: vec![link(Route { method: "GET", path: PATH, access: Access::Public, is_once: false })],
    }
}

/// The noun of a path is its last plain segment that is no action: `/apps/{app}/dynos/{dyno}/actions/stop` is about
/// dynos.
fn noun(path: &str) -> String {
    let path = path.split("/actions/").next().unwrap_or(path);
    let plain = path.rsplit('/').find(|segment| !segment.is_empty() && !segment.starts_with('{'));
    plain.unwrap_or("schema").to_owned()
}

fn link(route: Route) -> Link {
    let one = route.path.ends_with('}') || route.path == "/account";
    let (rel, verb) = match (route.method, one) {
        ("GET", true) => ("self", "Info"),
        ("GET", false) => ("instances", "List"),
        ("POST", _) => ("create", "Create"),
        ("DELETE", _) => ("destroy", "Delete"),
        _ => ("update", "Update"),
    };
    Link {
        href: route.path.to_owned(),
        method: route.method.to_owned(),
        rel: rel.to_owned(),
        title: format!("{verb} {}", route.path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_about_its_last_noun() {
        assert_eq!(noun("/apps/{app}/dynos/{dyno}/actions/stop"), "dynos");
        assert_eq!(noun("/apps/{app}"), "apps");
        assert_eq!(noun("/account/rate-limits"), "rate-limits");
    }

    #[test]
    fn every_call_is_in_it_once() {
        let document = document();
        let mut calls: Vec<_> = document
            .definitions
            .values()
            .flat_map(|definition| &definition.links)
            .map(|link| (link.href.clone(), link.method.clone()))
            .collect();
        assert_eq!(calls.len(), platform().count());
        calls.sort();
        calls.dedup();
        assert_eq!(calls.len(), platform().count());
    }
}
