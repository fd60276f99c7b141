//! `/stacks`.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::{fixed_id, stack::StackRow};
use paddock_core::stack::Stack;
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, get};
use crate::Api;
use crate::answer::{Asked, Reply, ok, page};
use crate::authentication::By;

const SORTED_BY: [Attribute<wire::Stack>; 2] = [
    Attribute { name: "id", key: |stack| Key::Text(stack.id.clone()) },
    Attribute { name: "name", key: |stack| Key::Text(stack.name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/stacks", list),
        get(Access::Token, "/stacks/{stack}", info),
        get(Access::Token, "/apps/{app}/available-stacks", list_for_app),
    ]
}

async fn list(By(actor): By, Asked(range): Asked, State(api): State<Arc<Api>>) -> Reply<Vec<wire::Stack>> {
    page(api.control.apps.list_stacks(&actor).await?.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn list_for_app(
    By(actor): By,
    Asked(range): Asked,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Stack>> {
    api.control.apps.app(&actor, &app).await?;
    page(api.control.apps.list_stacks(&actor).await?.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(stack): Segments<String>,
) -> Reply<wire::Stack> {
    Ok(ok(view(api.control.apps.stack(&actor, &stack).await?)))
}

/// A stack as other nouns refer to it.
pub(super) fn reference(stack: &Stack) -> wire::NamedRef {
    let name = stack.as_str();
    wire::NamedRef { id: fixed_id("stack", name).to_string(), name: name.to_owned() }
}

fn view(row: StackRow) -> wire::Stack {
    let wire::NamedRef { id, name } = reference(&row.stack);
    wire::Stack {
        default: row.stack == Stack::DEFAULT,
        created_at: time(row.since),
        id,
        name,
        state: row.support.state().as_str().to_owned(),
        updated_at: time(row.updated_at),
    }
}
