//! Stacks, as clients list them.

use crate::app::Apps;
pub use crate::kernel::stacks::StackRow;
use crate::{Actor, Error, Result};

impl Apps {
    pub async fn list_stacks(&self, _: &Actor) -> Result<Vec<StackRow>> {
        self.kernel.stacks().await
    }

    /// One stack, by name or id.
    pub async fn stack(&self, actor: &Actor, identity: &str) -> Result<StackRow> {
        let mut stacks = self.list_stacks(actor).await?.into_iter();
        stacks.find(|row| row.is(identity)).ok_or_else(|| Error::not_found("stack"))
    }
}
