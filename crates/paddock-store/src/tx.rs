//! A transaction: everything one use case changes, or nothing of it.

use std::sync::Arc;

use paddock_core::{AppId, ServerId, UnixMicros};
use sqlx::any::Any;
use sqlx::{AnyConnection, Transaction};

use crate::concern::{self, Concerns};
use crate::engine::{self, Number, Value, values};
use crate::error::{Result, StoreError};
use crate::owner::{self, Owner, Purpose};
use crate::seal::Sealer;
use crate::statistics::Turn;
use crate::touched::Touching;

/// A transaction that has bumped the generation of its owner. Dropped without [`Tx::commit`] it leaves nothing.
///
/// Its methods are beside their nouns. Only one exists at a time: do nothing slow while holding it, and never
/// begin another.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Any>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) now: UnixMicros,
    pub(crate) server_id: ServerId,
    generation: i64,
    turn: Turn,
    doing: &'static str,
    concerns: Concerns,
    touching: Touching,
}

impl Tx {
    /// The first statement is the lock on every engine, and the number that everyone waits for.
    pub(crate) async fn begun(
        inner: Transaction<'static, Any>,
        sealer: Arc<Sealer>,
        server_id: ServerId,
        turn: Turn,
        touching: Touching,
        Purpose { owner, now, doing }: Purpose,
    ) -> Result<Self> {
        let (generation, concerns) = (0, Concerns::default());
        let mut tx = Self { inner, sealer, now, server_id, generation, turn, touching, doing, concerns };
        let bumped = match owner {
            Owner::App(id) => tx.one::<Number>(owner::BUMP_APP, values![id]).await?,
            Owner::ObservedApp(id) => tx.one::<Number>(owner::LOCK_APP, values![id]).await?,
            Owner::Platform => tx.one::<Number>(owner::BUMP_PLATFORM, values![]).await?,
            Owner::Nobody => Some(Number(0)),
        };
        match (bumped, owner) {
            (Some(Number(generation)), owner) => {
                tx.generation = generation;
                if let Owner::App(id) | Owner::ObservedApp(id) = owner {
                    tx.touch(id);
                }
            }
            (None, Owner::App(id) | Owner::ObservedApp(id)) => return Err(StoreError::AppGone(id)),
            (None, Owner::Platform | Owner::Nobody) => {
                return Err(StoreError::Gone { noun: "platform", id: "1".to_owned() });
            }
        }
        // The number itself concerns nobody.
        tx.concerns = Concerns::default();
        Ok(tx)
    }

    /// The owner's generation that this transaction makes (for an observation: the one it is about).
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// The time that every row of this transaction carries.
    #[must_use]
    pub fn now(&self) -> UnixMicros {
        self.now
    }

    /// Everybody that what was written so far concerns.
    #[must_use]
    pub fn concerns(&self) -> Concerns {
        self.concerns
    }

    /// Commits: when this answers, all is on disk. Answers the generation; wake those now whom it concerns.
    ///
    /// # Errors
    /// `Commit`; then nothing was kept. `Unavailable` when a server's answer did not come; then all was kept or nothing.
    pub async fn commit(mut self) -> Result<i64> {
        let doing = self.doing;
        #[expect(clippy::disallowed_methods, reason = "each use case names its own commit")]
        self.inner.commit().await.map_err(|error| match engine::is_away(&error) {
            true => StoreError::Unavailable(error.into()).during(doing),
            false => StoreError::Commit(error.into()).during(doing),
        })?;
        self.turn.committed();
        Ok(self.generation)
    }

    /// What is wanted of a further app changes with this, too, as with its owner: it is locked, and its generation bumped.
    /// Who changes several apps takes them in the order of their ids, so that no two wait for each other.
    ///
    /// # Errors
    /// `AppGone`.
    pub async fn also_for_app(&mut self, app_id: AppId) -> Result<()> {
        let concerns = self.concerns;
        let bumped = self.one::<Number>(owner::BUMP_APP, values![app_id]).await?;
        // As at the beginning: the number itself concerns nobody.
        self.concerns = concerns;
        bumped.ok_or(StoreError::AppGone(app_id))?;
        self.touch(app_id);
        Ok(())
    }

    /// The apps that it writes to.
    #[must_use]
    pub fn apps(&self) -> &std::collections::BTreeSet<AppId> {
        self.touching.apps()
    }

    /// What the transaction is for, to say what failed.
    pub(crate) fn doing(&self) -> &'static str {
        self.doing
    }

    /// Something of an app changes that is not this transaction's owner.
    pub(crate) fn touch(&mut self, app: AppId) {
        self.touching.touch(app);
    }

    pub(crate) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    pub(crate) async fn one<T: engine::FromRow>(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<T>> {
        self.concerns |= concern::of(sql);
        engine::one(&mut self.inner, sql, values).await.map_err(|error| error.during(self.doing))
    }

    pub(crate) async fn execute(&mut self, sql: &'static str, values: Vec<Value>) -> Result<u64> {
        self.concerns |= concern::of(sql);
        engine::execute(&mut self.inner, sql, values).await.map_err(|error| error.during(self.doing))
    }

    /// Whether a unique index let it pass.
    pub(crate) async fn execute_unique(&mut self, sql: &'static str, values: Vec<Value>) -> Result<bool> {
        self.concerns |= concern::of(sql);
        let changed = engine::execute_unique(&mut self.inner, sql, values).await;
        Ok(changed.map_err(|error| error.during(self.doing))?.is_some())
    }

    /// Changes exactly one row, or says that it is gone.
    pub(crate) async fn change(
        &mut self,
        noun: &'static str,
        id: impl std::fmt::Display,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<()> {
        match self.execute(sql, values).await? {
            0 => Err(StoreError::Gone { noun, id: id.to_string() }),
            _ => Ok(()),
        }
    }
}
