//! Addresses of accounts, for lists.

use std::sync::Arc;

use paddock_core::AccountId;

use crate::Result;
use crate::kernel::Kernel;

/// Email addresses by account, looked up once for a whole list.
pub(crate) struct Emails<'a> {
    kernel: &'a Kernel,
    known: std::collections::HashMap<AccountId, Arc<str>>,
}

impl<'a> Emails<'a> {
    pub(crate) fn new(kernel: &'a Kernel) -> Self {
        Self { kernel, known: std::collections::HashMap::new() }
    }

    /// The address of an account; empty for one that is gone, which rows of the past may name.
    pub(crate) async fn of(&mut self, id: AccountId) -> Result<String> {
        if let Some(email) = self.known.get(&id) {
            return Ok(email.to_string());
        }
        let account = self.kernel.store.account(id).await?;
        let email = account.map(|account| account.email).unwrap_or_default();
        self.known.insert(id, email.as_str().into());
        Ok(email)
    }
}
