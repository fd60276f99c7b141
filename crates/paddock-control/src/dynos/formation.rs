//! The formation: how many dynos of which size each process type has.

use paddock_core::dyno::{DynoKind, DynoSize};
use paddock_core::event::Event;
use paddock_core::{AppId, AppName, AppRef, FormationId, ProcessType, UnixMicros};
use paddock_store::{App, DesiredDynoState, Formation as Row, Tx};

use crate::dynos::Dynos;
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
        let mut rows = tx.formation(app.id).await?;
        let before = rows.clone();
        for change in &changes {
            apply(&mut rows, change)?;
        }
        check_total(&rows)?;
        let changed: Vec<_> = rows.iter().filter(|row| !before.contains(row)).cloned().collect();
        for row in &changed {
            tx.scale_formation(app.id, &row.process_type, row.quantity, row.size).await?;
        }
        self.end_resized(&mut tx, &app, &before, &changed).await?;
        let named: Vec<_> = rows
            .iter()
            .filter(|row| changes.iter().any(|change| names(&change.process_type, &row.process_type, row.id)))
            .collect();
        let text = described(&named);
        let rows = tx.formation(app.id).await?;
        if !text.is_empty() {
            tx.say(app.id, format!("Scaled to {text} by user {}", actor.email));
        }
        let event = Event::FormationUpdated { app: app.id, scaled: text };
        tx.commit("formation.scaled", event, actor).await?;
        Ok(rows.into_iter().map(|row| view(&app, row)).collect())
    }
}

impl Dynos {
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
