//! The formation: how many dynos of which size each process type has, and which images they run.

use paddock_core::dyno::{DynoKind, DynoSize};
use paddock_core::event::{By, Event};
use paddock_core::release::ReleaseStatus;
use paddock_core::{AppId, AppName, AppRef, FormationId, ProcessType, UnixMicros};
use paddock_store::{App, DesiredDynoState, Formation as Row, Release, Tx};
use uuid::Uuid;

use crate::deploy::image_release::{ImageOrder, add_release_of_images};
use crate::dynos::Dynos;
use crate::kernel::change::Change;
use crate::kernel::handover;
use crate::{Actor, Error, Result};

/// Most dynos of an app, all process types together.
const DYNOS_MAX: i64 = 100;

/// One process type of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formation {
    pub id: FormationId,
    pub app_id: AppId,
    pub app_name: AppName,
    pub process_type: ProcessType,
    pub quantity: u32,
    pub size: DynoSize,
    pub command: String,
    /// When it first came.
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

/// A wanted change of one process type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormationChange {
    /// The process type, or the id of its row.
    pub process_type: String,
    pub quantity: Option<QuantityChange>,
    /// Which size, in any case.
    pub size: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantityChange {
    Exact(i64),
    /// So many more, or fewer.
    Relative(i64),
}

impl Dynos {
    pub async fn list_formation(&self, actor: &Actor, app: &AppRef) -> Result<Vec<Formation>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let rows = self.kernel.store.formation(app.id).await?;
        Ok(rows.into_iter().map(|row| view(&app, row)).collect())
    }

    /// One process type, by name or id.
    pub async fn formation(&self, actor: &Actor, app: &AppRef, identity: &str) -> Result<Formation> {
        let formation = self.list_formation(actor, app).await?;
        let mut found = formation.into_iter().filter(|one| names(identity, &one.process_type, one.id));
        found.next().ok_or_else(|| missing(identity))
    }

    /// Scales and resizes, all of it or nothing. Answers the whole formation.
    ///
    /// # Errors
    /// `not_found` for an unknown process type; `invalid_params` for a quantity or size that cannot be.
    pub async fn update_formation(
        &self,
        actor: &Actor,
        app: &AppRef,
        changes: Vec<FormationChange>,
    ) -> Result<Vec<Formation>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let mut tx = self.kernel.change_app(app.id, "scale an app").await?;
        let scaled = self.scale(&mut tx, actor, &app, &changes).await?;
        let rows = tx.formation(app.id).await?;
        let event = Event::FormationUpdated { app: app.id, scaled };
        tx.commit("formation.scaled", event, actor).await?;
        Ok(rows.into_iter().map(|row| view(&app, row)).collect())
    }

    /// Makes a release of images, and scales and resizes what it has: all of it or nothing. Answers the whole formation, with
    /// the process types that come when its release phase has succeeded.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for an image that cannot be released, a quantity or size that cannot be, and for those of
    /// a process type that is not there before the release phase has succeeded; `service_unavailable` when images do not get
    /// ready in time.
    pub async fn release_images(
        &self,
        actor: &Actor,
        app: &AppRef,
        orders: Vec<ImageOrder>,
        changes: Vec<FormationChange>,
    ) -> Result<Vec<Formation>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let images = self.deploy.images_of(&app, orders).await?;
        let mut tx = self.kernel.change_app(app.id, "release images").await?;
        let release = add_release_of_images(&mut tx, actor, app.id, images).await?;
        let coming = coming(&mut tx, &release).await?;
        for change in &changes {
            if let Some(row) = coming.iter().find(|row| change.process_type == row.process_type.as_str()) {
                return Err(Error::invalid(format!(
                    "{} is there when the release phase has succeeded: release its image, and scale it then.",
                    row.process_type
                )));
            }
        }
        if !changes.is_empty() {
            let scaled = self.scale(&mut tx, actor, &app, &changes).await?;
            tx.event(&Event::FormationUpdated { app: app.id, scaled }, By::from(actor)).await?;
        }
        let rows = tx.formation(app.id).await?;
        let (version, description) = (release.version, release.description);
        let event = Event::ReleaseCreated { app: app.id, version, description };
        tx.commit("release.of_images_made", event, actor).await?;
        Ok(rows.into_iter().chain(coming).map(|row| view(&app, row)).collect())
    }
}

/// The process types of a release that waits for its release phase which the app does not have yet.
async fn coming(tx: &mut Tx, release: &Release) -> Result<Vec<Row>> {
    let slug = match release.slug_id.filter(|_| release.status == ReleaseStatus::Pending) {
        Some(slug) => tx.slug(slug).await?,
        None => None,
    };
    let there = tx.formation(release.app_id).await?;
    let new = slug.map(|slug| slug.process_types).unwrap_or_default().into_iter();
    let new = new.filter(|(process_type, _)| there.iter().all(|row| row.process_type != *process_type));
    let row = |(process_type, command)| Row {
        id: FormationId::from_uuid(Uuid::now_v7()),
        app_id: release.app_id,
        process_type,
        quantity: 0,
        size: DynoSize::DEFAULT,
        command,
        created_at: release.created_at,
        updated_at: release.created_at,
    };
    Ok(new.map(row).collect())
}

impl Dynos {
    /// Scales and resizes in the caller's transaction. What was scaled, in words.
    async fn scale(
        &self,
        tx: &mut Change<'_>,
        actor: &Actor,
        app: &App,
        changes: &[FormationChange],
    ) -> Result<String> {
        let mut rows = tx.formation(app.id).await?;
        let before = rows.clone();
        for change in changes {
            apply(&mut rows, change)?;
        }
        check_total(&rows)?;
        let changed: Vec<_> = rows.iter().filter(|row| !before.contains(row)).cloned().collect();
        for row in &changed {
            tx.scale_formation(app.id, &row.process_type, row.quantity, row.size).await?;
        }
        self.end_resized(tx, app, &before, &changed).await?;
        let named: Vec<_> = rows
            .iter()
            .filter(|row| changes.iter().any(|change| names(&change.process_type, &row.process_type, row.id)))
            .collect();
        let text = described(&named);
        if !text.is_empty() {
            tx.say(app.id, format!("Scaled to {text} by user {}", actor.email));
        }
        Ok(text)
    }

    /// Dynos of another size are other dynos: those of the old size end, and the formation brings new ones.
    async fn end_resized(&self, tx: &mut Tx, app: &App, before: &[Row], changed: &[Row]) -> Result<()> {
        let was = |row: &Row| before.iter().find(|old| old.id == row.id).map(|old| old.size);
        let resized: Vec<_> = changed.iter().filter(|row| was(row) != Some(row.size)).collect();
        if resized.is_empty() {
            return Ok(());
        }
        let current = tx.current_release(app.id).await?.map(|release| release.id);
        let dynos = tx.dynos(app.id).await?;
        for dyno in &dynos {
            let is_resized = resized.iter().any(|row| row.process_type == dyno.process_type);
            if is_resized
                && !handover::serves_in_place(dyno, current)
                && dyno.kind == DynoKind::Formation
                && dyno.desired == DesiredDynoState::Running
            {
                tx.set_dyno_desired(dyno.id, DesiredDynoState::Stopped).await?;
            }
        }
        Ok(())
    }
}

fn apply(rows: &mut [Row], change: &FormationChange) -> Result<()> {
    let found = rows.iter_mut().find(|row| names(&change.process_type, &row.process_type, row.id));
    let row = found.ok_or_else(|| missing(&change.process_type))?;
    if let Some(size) = &change.size {
        row.size = DynoSize::parse(size).ok_or_else(|| unknown_size(size))?;
    }
    let quantity = match change.quantity {
        None => return Ok(()),
        Some(QuantityChange::Exact(quantity)) => quantity,
        Some(QuantityChange::Relative(more)) => i64::from(row.quantity).saturating_add(more),
    };
    if row.process_type.is_release() && quantity != 0 {
        return Err(Error::invalid(
            "The release process type cannot be scaled: it runs once for each release.",
        ));
    }
    let in_range = u32::try_from(quantity).ok().filter(|_| quantity <= DYNOS_MAX);
    row.quantity = in_range.ok_or_else(|| {
        let name = &row.process_type;
        Error::invalid(format!(
            "Quantity {quantity} of {name} is invalid: it must be between 0 and {DYNOS_MAX}."
        ))
    })?;
    Ok(())
}

fn check_total(rows: &[Row]) -> Result<()> {
    let total: i64 = rows.iter().map(|row| i64::from(row.quantity)).sum();
    match total {
        0..=DYNOS_MAX => Ok(()),
        _ => {
            Err(Error::invalid(format!("The app would have {total} dynos: at most {DYNOS_MAX} are allowed.")))
        }
    }
}

/// `web@2:Basic worker@1:Basic`.
fn described(rows: &[&Row]) -> String {
    let one = |row: &&Row| format!("{}@{}:{}", row.process_type, row.quantity, row.size.as_str());
    rows.iter().map(one).collect::<Vec<_>>().join(" ")
}

pub(crate) fn unknown_size(size: &str) -> Error {
    let known = DynoSize::ALL.map(DynoSize::as_str).join(", ");
    Error::invalid(format!("Dyno size {size:?} does not exist. There are: {known}."))
}

fn names(identity: &str, process_type: &ProcessType, id: FormationId) -> bool {
    identity == process_type.as_str() || identity == id.to_string()
}

fn missing(identity: &str) -> Error {
    Error::not_found_because("formation", format!("Couldn't find that process type ({identity})."))
}

fn view(app: &App, row: Row) -> Formation {
    Formation {
        id: row.id,
        app_id: row.app_id,
        app_name: app.name.clone(),
        process_type: row.process_type,
        quantity: row.quantity,
        size: row.size,
        command: row.command,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(types: &[(&str, u32)]) -> Vec<Row> {
        let row = |(name, quantity): &(&str, u32)| Row {
            id: FormationId::from_uuid(uuid::Uuid::now_v7()),
            app_id: AppId::from_uuid(uuid::Uuid::nil()),
            process_type: name.parse().unwrap(),
            quantity: *quantity,
            size: DynoSize::Basic,
            command: "x".into(),
            created_at: UnixMicros(0),
            updated_at: UnixMicros(0),
        };
        types.iter().map(row).collect()
    }

    fn change(process_type: &str, quantity: QuantityChange, size: Option<&str>) -> FormationChange {
        FormationChange {
            process_type: process_type.into(),
            quantity: Some(quantity),
            size: size.map(str::to_owned),
        }
    }

    #[test]
    fn quantities_are_exact_or_relative_and_within_limits() {
        use QuantityChange::{Exact, Relative};
        for (start, wanted, expected) in [
            (1, Exact(2), Some(2)),
            (1, Relative(1), Some(2)),
            (1, Relative(-1), Some(0)),
            (0, Relative(-1), None),
            (1, Exact(-1), None),
            (1, Exact(100), Some(100)),
            (1, Exact(101), None),
            (1, Relative(i64::MAX), None),
        ] {
            let mut rows = rows(&[("web", start)]);
            let outcome = apply(&mut rows, &change("web", wanted, None));
            assert_eq!(outcome.ok().map(|()| rows[0].quantity), expected, "{start} {wanted:?}");
        }
    }

    #[test]
    fn types_sizes_and_totals_are_checked() {
        let mut rows = rows(&[("web", 1), ("worker", 60), ("release", 0)]);
        let one = QuantityChange::Exact(1);
        assert!(apply(&mut rows, &change("nope", one, None)).unwrap_err().message.contains("(nope)"));
        assert!(apply(&mut rows, &change("web", one, Some("huge"))).is_err());
        assert!(apply(&mut rows, &change("release", one, None)).is_err());
        apply(&mut rows, &change("web", QuantityChange::Exact(40), Some("standard-2x"))).unwrap();
        assert!(check_total(&rows).is_ok());
        apply(&mut rows, &change("web", QuantityChange::Relative(1), None)).unwrap();
        assert!(check_total(&rows).is_err());
        assert_eq!(described(&[&rows[0]]), "web@41:Standard-2X");
    }
}
