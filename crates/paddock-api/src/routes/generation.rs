//! `/generations`: this server's apps are of the classic one. Images of the other are not built.

use paddock_control::{fixed_id, fixed_since};
use paddock_core::ErrorId;
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, Endpoint, Segments, get};
use crate::answer::{Asked, Reply, ok, page};
use crate::authentication::By;
use crate::problem::Problem;

const NAME: &str = "cedar";

const SORTED_BY: [Attribute<wire::Generation>; 2] = [
    Attribute { name: "id", key: |generation| Key::Text(generation.id.clone()) },
    Attribute { name: "name", key: |generation| Key::Text(generation.name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![get(Access::Token, "/generations", list), get(Access::Token, "/generations/{generation}", info)]
}

async fn list(By(_): By, Asked(range): Asked) -> Reply<Vec<wire::Generation>> {
    page(vec![view()], &range, &SORTED_BY)
}

async fn info(By(_): By, Segments(generation): Segments<String>) -> Reply<wire::Generation> {
    let view = view();
    match generation == view.name || generation == view.id {
        true => Ok(ok(view)),
        false => {
            Err(Problem::new(ErrorId::NotFound, "Couldn't find that generation: the only one is cedar."))
        }
    }
}

/// The generation as other nouns refer to it.
pub(super) fn reference() -> wire::NamedRef {
    wire::NamedRef { id: fixed_id("generation", NAME).to_string(), name: NAME.to_owned() }
}

fn view() -> wire::Generation {
    let wire::NamedRef { id, name } = reference();
    wire::Generation {
        created_at: time(fixed_since()),
        id,
        name,
        updated_at: time(fixed_since()),
        unsupported_features: Vec::new(),
        expanded_supported_features: Vec::new(),
    }
}
