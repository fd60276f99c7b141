//! `/dyno-sizes`: a fixed table.

use paddock_control::fixed_id;
use paddock_core::ErrorId;
use paddock_core::dyno::DynoSize;
use paddock_wire as wire;
use paddock_wire::range::{Attribute, Key};

use super::{Access, AppPath, Endpoint, Segments, generation, get};
use crate::answer::{Asked, Reply, ok, page};
use crate::authentication::By;
use crate::problem::Problem;

const SORTED_BY: [Attribute<wire::DynoSize>; 2] = [
    Attribute { name: "id", key: |size| Key::Text(size.id.clone()) },
    Attribute { name: "name", key: |size| Key::Text(size.name.clone()) },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(Access::Token, "/dyno-sizes", list),
        get(Access::Token, "/dyno-sizes/{size}", info),
        get(Access::Token, "/apps/{app}/available-dyno-sizes", list_for_app),
    ]
}

async fn list(By(_): By, Asked(range): Asked) -> Reply<Vec<wire::DynoSize>> {
    page(DynoSize::ALL.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn list_for_app(
    By(actor): By,
    Asked(range): Asked,
    axum::extract::State(api): axum::extract::State<std::sync::Arc<crate::Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::DynoSize>> {
    api.control.apps.app(&actor, &app).await?;
    page(DynoSize::ALL.into_iter().map(view).collect(), &range, &SORTED_BY)
}

async fn info(By(_): By, Segments(name): Segments<String>) -> Reply<wire::DynoSize> {
    let found = DynoSize::ALL
        .into_iter()
        .find(|size| size.as_str().eq_ignore_ascii_case(&name) || reference(*size).id == name);
    let size = found.ok_or_else(|| Problem::new(ErrorId::NotFound, "Couldn't find that dyno size."))?;
    Ok(ok(view(size)))
}

/// A size as other nouns refer to it.
pub(super) fn reference(size: DynoSize) -> wire::NamedRef {
    let name = size.as_str().to_owned();
    wire::NamedRef { id: fixed_id("dyno-size", &name).to_string(), name }
}

fn view(size: DynoSize) -> wire::DynoSize {
    let wire::NamedRef { id, name } = reference(size);
    #[expect(clippy::cast_precision_loss, reason = "sizes are whole numbers of megabytes")]
    let memory = size.memory_bytes() as f64 / f64::from(1u32 << 30);
    wire::DynoSize {
        architecture: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }.to_owned(),
        compute: i64::from(size.compute()),
        can_autoscale: false,
        cost: None,
        dedicated: size.dedicated(),
        precise_dyno_units: match size {
            DynoSize::Eco | DynoSize::Basic => 0.28,
            DynoSize::Standard1X => 1.0,
            DynoSize::Standard2X => 2.0,
            DynoSize::PerformanceM => 8.0,
            DynoSize::PerformanceL => 16.0,
        },
        id,
        memory,
        product_dyno_tier: name.split('-').next().unwrap_or_default().to_ascii_lowercase(),
        name,
        private_space_only: false,
        generation: generation::reference(),
        infrastructure_tier: "production".to_owned(),
    }
}
