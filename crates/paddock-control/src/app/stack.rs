//! Stacks: a fixed list.

use paddock_core::UnixMicros;
use paddock_core::stack::Stack;

use crate::app::Apps;
use crate::kernel::checked;
use crate::{Actor, Error, Result, fixed_since};

/// A stack, with what the API wants to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackRow {
    pub stack: Stack,
    /// When it was introduced.
    pub since: UnixMicros,
}

impl Apps {
    #[must_use]
    pub fn list_stacks(&self, _: &Actor) -> Vec<StackRow> {
        [Stack::HOST, Stack::CONTAINER].map(|stack| StackRow { stack, since: fixed_since() }).into()
    }

    /// One stack, by name or id.
    pub fn stack(&self, actor: &Actor, identity: &str) -> Result<StackRow> {
        let mut stacks = self.list_stacks(actor).into_iter();
        stacks.find(|row| checked::is_stack(&row.stack, identity)).ok_or_else(|| Error::not_found("stack"))
    }
}
