//! `/regions`: this server is one, under the name that clients ask for by default.

use paddock_control::{fixed_id, fixed_since};
use paddock_core::ErrorId;
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::time::time;
use super::{Access, Endpoint, Segments, get};
use crate::answer::{Asked, Reply, ok, page};
use crate::authentication::By;
use crate::problem::Problem;

const NAME: &str = paddock_control::REGION;

const SORTED_BY: [Attribute<wire::Region>; 2] = [
    Attribute { name: "id", key: |region| Key::Text(region.id.clone()) },
    Attribute { name: "name", key: |region| Key::Text(region.name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![get(Access::Token, "/regions", list), get(Access::Token, "/regions/{region}", info)]
}

async fn list(By(_): By, Asked(range): Asked) -> Reply<Vec<wire::Region>> {
    page(vec![view()], &range, &SORTED_BY)
}

async fn info(By(_): By, Segments(region): Segments<String>) -> Reply<wire::Region> {
    named(&region).map(|()| ok(view()))
}

/// Whether this is the region, by name or id.
pub(super) fn named(region: &str) -> Result<(), Problem> {
    let wire::NamedRef { id, name } = reference();
    match region == name || region == id {
        true => Ok(()),
        false => Err(Problem::new(ErrorId::NotFound, "Couldn't find that region.")),
    }
}

/// The region as other nouns refer to it.
pub(super) fn reference() -> wire::NamedRef {
    wire::NamedRef { id: fixed_id("region", NAME).to_string(), name: NAME.to_owned() }
}

fn view() -> wire::Region {
    let wire::NamedRef { id, name } = reference();
    wire::Region {
        country: "This server".to_owned(),
        created_at: time(fixed_since()),
        description: "This server".to_owned(),
        id,
        locale: "This server".to_owned(),
        name,
        private_capable: false,
        provider: wire::region::Provider {
            name: "paddock".to_owned(),
            // The published schema allows only one provider's names here, and typed clients check it.
            region: "us-east-1".to_owned(),
        },
        updated_at: time(fixed_since()),
    }
}
