//! Accounts, what they are recognised by, and who works on which app.

pub mod account;
pub mod authorization;
mod bootstrap;
pub mod collaborator;
pub mod favorite;
pub mod key;
pub mod operator;

use std::sync::Arc;

use crate::kernel::Kernel;

/// The use cases of accounts.
pub struct People {
    pub(crate) kernel: Arc<Kernel>,
}
