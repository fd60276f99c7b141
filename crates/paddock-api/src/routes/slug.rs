//! `/apps/{app}/slugs`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::slug::Slug;
use paddock_wire as wire;

use super::time::time;
use super::{Access, Endpoint, Segments, get, stack};
use crate::Api;
use crate::answer::{Reply, ok};
use crate::authentication::By;
use crate::client::Origin;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![get(Access::Token, "/apps/{app}/slugs/{slug}", info)]
}

async fn info(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments((app, slug)): Segments<(String, String)>,
) -> Reply<wire::Slug> {
    Ok(ok(view(api.control.slug(&actor, &app, &slug).await?, &origin)))
}

/// The archive of a slug cannot be fetched yet: its address answers that in a sentence.
fn view(slug: Slug, origin: &Origin) -> wire::Slug {
    let url = origin.url(&format!("/apps/{}/slugs/{}/blob", slug.app_id, slug.id));
    wire::Slug {
        blob: wire::slug::Blob { method: "get".to_owned(), url },
        buildpack_provided_description: slug.buildpack_description,
        checksum: slug.checksum,
        commit: slug.commit,
        commit_description: slug.commit_description,
        created_at: time(slug.created_at),
        id: slug.id.to_string(),
        process_types: slug
            .process_types
            .into_iter()
            .map(|(name, command)| (name.to_string(), command))
            .collect(),
        size: Some(slug.size_bytes),
        stack: stack::reference(slug.stack),
        updated_at: time(slug.created_at),
        deleted_at: None,
    }
}
