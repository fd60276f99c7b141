//! What a new data directory is given, and what its owner may ask for without logging in.

use std::io;
use std::path::Path;

use paddock_core::durable;
use paddock_core::event::{By, Event};
use paddock_core::{AccountId, AuthorizationId};
use paddock_files::{Beside, make_private_folder};
use paddock_store::{NewAccount, NewAuthorization};
use uuid::Uuid;

use crate::kernel::error::{Error, Result};
use crate::kernel::secret;
use crate::people::People;
use crate::people::authorization;

impl People {
    /// Makes the first account if there is none; its random password goes to `password_file` (0600) and nowhere else.
    pub async fn ensure_first_account(&self, email: &str, password_file: &Path) -> Result<()> {
        if !self.kernel.store.accounts().await?.is_empty() {
            return Ok(());
        }
        let password = secret::random();
        // The file first: an account whose password nobody has would be of no use.
        write_private(password_file, &format!("{password}\n"))
            .map_err(|error| Error::internal("write the first password", error))?;
        let hash = authorization::hash_password(&password).await?;
        let mut tx = self.kernel.change_platform("make the first account").await?;
        let id = AccountId::from_uuid(Uuid::now_v7());
        tx.create_account(&NewAccount { id, email: email.to_owned(), name: None, password_hash: Some(hash) })
            .await?;
        tx.commit("account.first_made", Event::AccountCreated { account: id }, By::Operator).await?;
        tracing::info!("made the first account, {email}; its password is in {}", password_file.display());
        Ok(())
    }

    /// The token of the command line on this machine: of the first account, made once and kept in `file` (0600), or of the
    /// account with that address, kept in `folder`.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for an account that is disabled; when a file or the store cannot be read or written.
    pub async fn command_line_token(
        &self,
        account: Option<&str>,
        file: &Path,
        folder: &Path,
    ) -> Result<String> {
        let first = self.kernel.store.accounts().await?.into_iter().next();
        let first = first.ok_or_else(|| Error::not_found("account"))?;
        let owner = match account {
            Some(email) => self.known_account(email).await?,
            None => first.clone(),
        };
        if !owner.is_enabled() {
            return Err(Error::invalid(format!(
                "Account {} is disabled. Name another one (--account EMAIL), or: paddockd account enable {}",
                owner.email, owner.email
            )));
        }
        let file = if owner.id == first.id { file.to_owned() } else { folder.join(owner.id.to_string()) };
        if let Ok(token) = std::fs::read_to_string(&file) {
            let token = token.trim().to_owned();
            let kept = self.kernel.store.authorization_by_token(&secret::sha256(&token)).await?;
            if kept.is_some_and(|kept| kept.account_id == owner.id) {
                return Ok(token);
            }
        }
        let token = secret::access_token();
        let written = match owner.id == first.id {
            true => Ok(()),
            false => make_private_folder(folder),
        };
        written
            .and_then(|()| write_private(&file, &format!("{token}\n")))
            .map_err(|error| Error::internal("write the token", error))?;
        let mut tx = self.kernel.change_platform("make the token of the command line").await?;
        let id = AuthorizationId::from_uuid(Uuid::now_v7());
        tx.create_authorization(&NewAuthorization {
            id,
            account_id: owner.id,
            token_sha256: secret::sha256(&token),
            token_hint: secret::hint(&token),
            description: "Command line on the server's machine".into(),
            scope: "global".into(),
            expires_at: None,
        })
        .await?;
        tx.commit(
            "authorization.command_line_made",
            Event::AuthorizationCreated { authorization: id },
            By::Operator,
        )
        .await?;
        Ok(token)
    }
}

/// Writes a whole file that only its owner reads, or none.
fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let file = Beside::write(path, content)?.synced()?;
    durable!("bootstrap.secret_written", file.replace())
}
