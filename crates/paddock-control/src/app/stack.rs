//! Stacks: a fixed list.

use paddock_core::UnixMicros;
use paddock_core::stack::Stack;

use crate::{Actor, Control, Error, Result, fixed_id, fixed_since};

/// A stack, with what the API wants to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackRow {
    /// Which.
    pub stack: Stack,
    /// Since when there is it.
    pub since: UnixMicros,
}

impl Control {
    /// Every stack.
    #[must_use]
    pub fn list_stacks(&self, _: &Actor) -> Vec<StackRow> {
        vec![StackRow { stack: Stack::Host, since: fixed_since() }]
    }

    /// One stack, by name or id.
    ///
    /// # Errors
    /// `not_found`.
    pub fn stack(&self, actor: &Actor, identity: &str) -> Result<StackRow> {
        let mut stacks = self.list_stacks(actor).into_iter();
        stacks.find(|row| is_named(row.stack, identity)).ok_or_else(|| Error::not_found("stack"))
    }
}

/// The stack with this name or id.
pub(crate) fn named(identity: &str) -> Result<Stack> {
    let by_id = Some(Stack::Host).filter(|stack| is_named(*stack, identity));
    Stack::from_name(identity).or(by_id).ok_or_else(|| {
        let name = Stack::DEFAULT.as_str();
        Error::invalid(format!("Stack {identity} is not available on this server. Available: {name}."))
    })
}

fn is_named(stack: Stack, identity: &str) -> bool {
    identity == stack.as_str() || identity == fixed_id("stack", stack.as_str()).to_string()
}
