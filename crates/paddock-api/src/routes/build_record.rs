//! What is written down of builds: `/apps/{app}/builds/{build}/record` and `/explain`, which are this server's own, and
//! `/apps/{app}/build-metadata`.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use paddock_control::build_record::{Explained, Recorded};
use paddock_core::build_record::{Fact, Reuse, Took};
use paddock_core::plan::explain::Difference;
use paddock_wire as wire;
use paddock_wire::build_record::{BuildExplanation, BuildMetadata, BuildRecord};
use serde::Deserialize;

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, get};
use crate::Api;
use crate::answer::{Reply, ok};
use crate::authentication::By;
use crate::client::Origin;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
struct Asked {
    /// The id of another build of the app.
    compare: Option<String>,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/build-metadata", metadata),
        get(Access::Token, "/apps/{app}/builds/{build}/record", record),
        get(Access::Token, "/apps/{app}/builds/{build}/explain", explain),
    ]
}

async fn metadata(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<BuildMetadata> {
    let about = api.control.deploy.build_metadata(&actor, &app).await?;
    let (id, name) = (about.app_id.to_string(), about.app_name.to_string());
    Ok(ok(BuildMetadata {
        cache_delete_url: origin.url(&format!("/apps/{id}/build-cache")),
        cache_get_url: None,
        cache_put_url: None,
        repo_delete_url: None,
        repo_put_url: None,
        repo_get_url: origin.url(&format!("/{name}.git")),
        app: wire::NamedRef { id, name },
    }))
}

async fn record(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), build)): Segments<(AppPath, String)>,
) -> Reply<BuildRecord> {
    Ok(ok(view(api.control.deploy.build_record(&actor, &app, &build).await?)))
}

/// JSON, or the same as a text for who asks for that.
async fn explain(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), build)): Segments<(AppPath, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let other = asked.compare.as_deref();
    let explained = api.control.deploy.explain_build(&actor, &app, &build, other).await?;
    if !wants_text(&headers) {
        return Ok(ok(explanation(explained)).into_response());
    }
    let other = explained.other.map(|id| id.to_string());
    let text = explained.explanation.text(&explained.build.to_string(), other.as_deref());
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

fn wants_text(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types = named.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    types.map(str::trim).any(|name| name.eq_ignore_ascii_case("text/plain"))
}

fn view(recorded: Recorded) -> BuildRecord {
    let record = recorded.record;
    BuildRecord {
        app: wire::IdOnly { id: recorded.app_id.to_string() },
        build: wire::IdOnly { id: recorded.build.to_string() },
        status: recorded.status.as_str().to_owned(),
        failure: recorded.failure,
        created_at: time(recorded.created_at),
        finished_at: recorded.finished_at.map(time),
        facts: record.facts.into_iter().map(fact).collect(),
        steps: record.took.into_iter().map(|took| step(took, None)).collect(),
        reuse: record.reuse.into_iter().map(reuse).collect(),
        left_out: record.left_out,
    }
}

fn explanation(explained: Explained) -> BuildExplanation {
    let Explained { build, other, explanation } = explained;
    let difference = |one: Difference| wire::build_record::Difference {
        is_cause: one.is_cause(),
        kind: one.kind.as_str().to_owned(),
        name: one.name,
        before: one.before,
        after: one.after,
    };
    BuildExplanation {
        build: wire::IdOnly { id: build.to_string() },
        compared_with: other.map(|id| wire::IdOnly { id: id.to_string() }),
        steps: explanation.steps.into_iter().map(|one| step(one.took, one.before)).collect(),
        reuse: explanation.reuse.into_iter().map(reuse).collect(),
        differences: explanation.differences.map(|all| all.into_iter().map(difference).collect()),
        left_out: explanation.left_out,
    }
}

fn fact(fact: Fact) -> wire::build_record::Fact {
    wire::build_record::Fact {
        kind: fact.kind.as_str().to_owned(),
        name: fact.name,
        value: fact.value,
        told_by: fact.told_by.as_str().to_owned(),
    }
}

fn step(took: Took, before: Option<u64>) -> wire::build_record::Step {
    wire::build_record::Step {
        name: took.step,
        milliseconds: took.millis,
        milliseconds_before: before,
        told_by: took.told_by.as_str().to_owned(),
    }
}

fn reuse(one: Reuse) -> wire::build_record::Reuse {
    wire::build_record::Reuse {
        what: one.what,
        reused: one.reused,
        why: one.why,
        told_by: one.told_by.as_str().to_owned(),
    }
}
