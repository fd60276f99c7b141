//! `/apps/{app}/formation`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::deploy::image_release::ImageOrder;
use paddock_control::formation::{Formation, FormationChange, QuantityChange};
use paddock_core::ErrorId;
use paddock_wire as wire;
use paddock_wire::formation::{BatchUpdate, Quantity, Update};
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, dyno_size, get, patch};
use crate::Api;
use crate::answer::{Asked, Reply, ok, page};
use crate::authentication::By;
use crate::body::Json;
use crate::problem::Problem;

const SORTED_BY: [Attribute<wire::Formation>; 2] = [
    Attribute { name: "id", key: |formation| Key::Text(formation.id.clone()) },
    Attribute { name: "type", key: |formation| Key::Text(formation.process_type.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/apps/{app}/formation", list),
        patch(Access::Token, "/apps/{app}/formation", update_batch),
        get(Access::Token, "/apps/{app}/formation/{formation}", info),
        patch(Access::Token, "/apps/{app}/formation/{formation}", update),
    ]
}

async fn list(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Formation>> {
    let formation = api.control.dynos.list_formation(&actor, &app).await?;
    page(formation.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), formation)): Segments<(AppPath, String)>,
) -> Reply<wire::Formation> {
    Ok(ok(view(api.control.dynos.formation(&actor, &app, &formation).await?)))
}

async fn update_batch(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
    Json(body): Json<BatchUpdate>,
) -> Reply<Vec<wire::Formation>> {
    let mut orders = Vec::new();
    let mut changes = Vec::new();
    for update in body.updates {
        let (order, change) = split(update, None)?;
        orders.extend(order);
        changes.extend(change);
    }
    let dynos = &api.control.dynos;
    let formation = match (orders.is_empty(), changes.is_empty()) {
        (false, _) => dynos.release_images(&actor, &app, orders, changes).await?,
        (true, true) => dynos.list_formation(&actor, &app).await?,
        (true, false) => dynos.update_formation(&actor, &app, changes).await?,
    };
    Ok(ok(formation.into_iter().map(view).collect()))
}

async fn update(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((AppPath(app), formation)): Segments<(AppPath, String)>,
    Json(body): Json<Update>,
) -> Reply<wire::Formation> {
    let (order, change) = split(body, Some(formation.clone()))?;
    // A process type that goes is shown as it was.
    let goes = order.as_ref().is_some_and(|order| order.image.is_none());
    let dynos = &api.control.dynos;
    let before = if goes { Some(dynos.formation(&actor, &app, &formation).await?) } else { None };
    let change = change.into_iter().collect();
    let after = match order {
        Some(order) => dynos.release_images(&actor, &app, vec![order], change).await?,
        None => dynos.update_formation(&actor, &app, change).await?,
    };
    let is_named =
        |one: &Formation| one.process_type.as_str() == formation || one.id.to_string() == formation;
    let shown = match before {
        Some(before) => before,
        None => match after.into_iter().find(is_named) {
            Some(shown) => shown,
            None => dynos.formation(&actor, &app, &formation).await?,
        },
    };
    Ok(ok(view(shown)))
}

/// What an update asks for: another image, or another quantity or size.
fn split(
    update: Update,
    process_type: Option<String>,
) -> Result<(Option<ImageOrder>, Option<FormationChange>), Problem> {
    let size = update.wanted_size().map(str::to_owned);
    let missing = || Problem::new(ErrorId::InvalidParams, "Each update must have a \"type\".");
    let process_type = process_type.or(update.process_type).ok_or_else(missing)?;
    let quantity = update.quantity.map(|quantity| match quantity {
        Quantity::Exact(number) => QuantityChange::Exact(number),
        Quantity::Relative(number) => QuantityChange::Relative(number),
    });
    let order = update.docker_image.map(|image| ImageOrder { process_type: process_type.clone(), image });
    let scales = order.is_none() || quantity.is_some() || size.is_some();
    Ok((order, scales.then_some(FormationChange { process_type, quantity, size })))
}

fn view(formation: Formation) -> wire::Formation {
    wire::Formation {
        app: wire::NamedRef { id: formation.app_id.to_string(), name: formation.app_name.to_string() },
        command: formation.command,
        created_at: time(formation.created_at),
        dyno_size: dyno_size::reference(formation.size),
        id: formation.id.to_string(),
        quantity: formation.quantity,
        size: formation.size.as_str().to_owned(),
        process_type: formation.process_type.to_string(),
        updated_at: time(formation.updated_at),
    }
}
