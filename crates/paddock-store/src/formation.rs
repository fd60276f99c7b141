//! Formation: how many dynos of each process type an app wants, and of which size.

use paddock_core::dyno::DynoSize;
use paddock_core::{AppId, FormationId, ProcessType, UnixMicros};
use uuid::Uuid;

use crate::engine::{reads, row, statements, values};
use crate::error::Result;
use crate::{AppSpan, Store, Tx};

/// One process type of an app's formation, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formation {
    /// Its id; kept while the process type stays.
    pub id: FormationId,
    pub app_id: AppId,
    pub process_type: ProcessType,
    pub quantity: u32,
    pub size: DynoSize,
    /// The command of the current release: a bash line for the dyno.
    pub command: String,
    /// When the process type first came.
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(Formation { id, app_id, process_type, quantity, size, command, created_at, updated_at } optional {});

/// A process type that a new release declares.
#[derive(Debug, Clone)]
pub struct ProcessDefinition {
    pub process_type: ProcessType,
    pub command: String,
    /// How many dynos, if the app did not have the type before.
    pub quantity_if_new: u32,
    /// Which size, if the app did not have the type before.
    pub size_if_new: DynoSize,
}

statements! {
    OF_APP = "SELECT * FROM formation WHERE app_id = $1 ORDER BY process_type";
    WITHIN = "SELECT formation.* FROM formation JOIN apps ON apps.id = formation.app_id \
        WHERE apps.server_id = $1 AND apps.id >= $2 AND apps.id <= $3 \
        ORDER BY formation.app_id, formation.process_type";
    ONE = "SELECT * FROM formation WHERE app_id = $1 AND process_type = $2";
    SCALE = "UPDATE formation SET quantity = $3, size = $4, updated_at = $5 \
        WHERE app_id = $1 AND process_type = $2";
    PUT = "INSERT INTO formation (id, app_id, process_type, quantity, size, command, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (app_id, process_type) \
        DO UPDATE SET command = excluded.command, updated_at = excluded.updated_at \
        WHERE formation.command <> excluded.command";
    DELETE = "DELETE FROM formation WHERE app_id = $1 AND process_type = $2";
}

reads! {
    /// The formation of an app, by process type.
    formation(app_id: AppId) -> all Formation: OF_APP [app_id];
    /// One process type of an app's formation.
    formation_of(app_id: AppId, process_type: &ProcessType) -> one Formation: ONE [app_id, *process_type];
}

impl Store {
    /// The formations of the apps of a span, in one list.
    pub async fn formations_within(&self, span: AppSpan) -> Result<Vec<Formation>> {
        self.within(span, WITHIN).await
    }
}

impl Tx {
    /// Sets quantity and size of a process type.
    ///
    /// # Errors
    /// `Gone` when the app's current release has no such process type.
    pub async fn scale_formation(
        &mut self,
        app_id: AppId,
        process_type: &ProcessType,
        quantity: u32,
        size: DynoSize,
    ) -> Result<()> {
        let values = values![app_id, *process_type, quantity, size, self.now];
        self.change("process type", process_type, SCALE, values).await
    }

    /// Makes the formation follow a new release: types that vanished are dropped, those that stay keep quantity,
    /// size and id and get the new command, new ones are added as their definition says.
    pub async fn replace_process_types(
        &mut self,
        app_id: AppId,
        definitions: &[ProcessDefinition],
    ) -> Result<()> {
        for old in self.formation(app_id).await? {
            if !definitions.iter().any(|new| new.process_type == old.process_type) {
                self.execute(DELETE, values![app_id, old.process_type]).await?;
            }
        }
        for new in definitions {
            let id = FormationId::from_uuid(Uuid::now_v7());
            let values = values![
                id,
                app_id,
                new.process_type,
                new.quantity_if_new,
                new.size_if_new,
                new.command,
                self.now
            ];
            self.execute(PUT, values).await?;
        }
        Ok(())
    }
}
