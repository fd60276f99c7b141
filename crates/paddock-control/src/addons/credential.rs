//! Credentials of a database: made, rotated, destroyed. A rotation makes a further login; both work until nobody uses the old
//! one any more, or half an hour has passed.
//!
//! A verb writes down what is wanted, and waits for a moment; the reconciler makes it so (`Addons::advance_credentials`).

use std::collections::BTreeMap;
use std::time::Duration;

use paddock_addons::{Credential, Resource, ServerAccess};
use paddock_core::event::Event;
use paddock_core::{AddonId, CredentialId, UnixMicros, durable};
use paddock_store::{Addon, Credential as Row, CredentialState, NewCredential, StorageState};
use uuid::Uuid;

use super::attached::{Told, credential_of};
use super::server::{role_key, secrets_with_role};
use super::{Addons, DEFAULT, RESTRICTED};
use crate::kernel::error::chain;
use crate::{Actor, Error, Result};

/// How long an old login works while somebody uses it. Source: `docs/contract/platform-behaviour.md`, section 20.
const OLD_LOGIN_LIFE: Duration = Duration::from_secs(30 * 60);
/// How long it works although nobody is connected: dynos that were told the new one are only just starting.
const OLD_LOGIN_LIFE_UNUSED: Duration = Duration::from_secs(60);
/// How long an answer waits for what was asked for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most credentials of a database.
const CREDENTIALS_MAX: usize = 64;

impl Addons {
    /// Makes a further credential, which may connect and nothing else.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for a name that is taken or none, or a plan without credentials.
    pub async fn create_credential(&self, actor: &Actor, identity: &str, name: &str) -> Result<()> {
        let row = self.managed_postgres_row(actor, identity).await?;
        self.check_has_credentials(&row)?;
        check_name(name)?;
        let made = self.postgres.new_credential(name, &mut |bytes| crate::kernel::secret::fill(bytes));
        let mut tx = self.kernel.record("make a credential").await?;
        let known = tx.credentials_of_addon(row.id).await?;
        if known.iter().any(|one| one.name == name) {
            return Err(Error::invalid(format!("Credential {name} already exists.")));
        }
        if known.len() >= CREDENTIALS_MAX {
            return Err(Error::invalid(format!(
                "A database can have at most {CREDENTIALS_MAX} credentials."
            )));
        }
        let secrets = tx.addon_secrets(row.id).await?;
        // Its role has its name.
        let is_a_role =
            |role: &str| known.iter().any(|one| one.login == role) || secrets.values().any(|one| one == role);
        if is_a_role(name) {
            return Err(Error::invalid(format!(
                "Credential name {name:?} is invalid: a role of the database has it."
            )));
        }
        let secrets = secrets_with_role(secrets, name, &made.role);
        tx.set_addon_secrets(row.id, &secrets).await?;
        let mut ids = Vec::new();
        for login in &made.logins {
            let new = super::server::new_credential(row.id, name, login);
            ids.push(new.id);
            tx.create_credential(&new).await?;
        }
        tx.commit("credential.ordered", self.touched(&row, &format!("create credential {name}"))?, actor)
            .await?;
        self.wait_for(&ids).await;
        Ok(())
    }

    /// Gives a credential another password, or all of them, by another login. With `forced` the old one ends at once.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` while an earlier rotation goes on.
    pub async fn rotate_credential(
        &self,
        actor: &Actor,
        identity: &str,
        name: Option<&str>,
        forced: bool,
    ) -> Result<()> {
        let row = self.managed_postgres_row(actor, identity).await?;
        if row.storage_state == StorageState::Restricted {
            return Err(Error::invalid(format!(
                "{} is over the capacity of its plan: its credentials rotate when it is smaller.",
                row.name
            )));
        }
        let mut tx = self.kernel.record("rotate credentials").await?;
        let known = tx.credentials_of_addon(row.id).await?;
        let mut names: Vec<String> = known.iter().map(|one| one.name.clone()).collect();
        names.dedup();
        names.retain(|known| known != RESTRICTED);
        names.retain(|known| name.is_none_or(|wanted| wanted == known));
        if names.is_empty() {
            return Err(no_such(name.unwrap_or_default()));
        }
        let mut ids = Vec::new();
        for name in &names {
            if known.iter().any(|one| one.name == *name && one.state == CredentialState::Enabling) {
                return Err(Error::invalid(format!("Credential {name} is being rotated already.")));
            }
            let new = self.further_login(row.id, name);
            ids.push(new.id);
            tx.create_credential(&new).await?;
            if forced {
                for old in known.iter().filter(|one| one.name == *name) {
                    tx.revoke_credential(old.id, UnixMicros(0)).await?;
                }
            }
        }
        tx.commit("credential.rotation_ordered", self.touched(&row, "rotate credentials")?, actor).await?;
        self.wait_for(&ids).await;
        Ok(())
    }

    /// Destroys a credential; what it owned is the default one's.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for the default one, and for one that an app has attached.
    pub async fn destroy_credential(&self, actor: &Actor, identity: &str, name: &str) -> Result<()> {
        let row = self.managed_postgres_row(actor, identity).await?;
        if name == DEFAULT {
            return Err(Error::invalid(
                "The default credential cannot be destroyed. Rotate it instead (heroku pg:credentials:rotate).",
            ));
        }
        let ready = self.ready(&row).await?;
        let credential = self.credential(row.id, name).await?;
        if credential.logins.is_empty() {
            return Err(no_such(name));
        }
        let attached = self.kernel.store.attachments_of_addon(row.id).await?;
        let of = |namespace: Option<&str>| credential_of(namespace) == name;
        if let Some(one) = attached.iter().find(|one| of(one.attachment.namespace.as_deref())) {
            return Err(Error::invalid(format!(
                "Credential {name} is attached to {} as {}. Detach it first (heroku addons:detach).",
                one.app_name, one.attachment.name
            )));
        }
        // Its rows go last: whoever asks again after a kill goes on from where it was.
        let step = self.postgres.destroy_credential(&ready.access, &ready.resource, &credential);
        self.done("destroy the credential", durable!("credential.destroyed_on_server", step.await))?;
        let mut tx = self.kernel.record("destroy a credential").await?;
        for one in tx.credentials_named(row.id, name).await? {
            tx.delete_credential(one.id).await?;
        }
        let mut secrets = tx.addon_secrets(row.id).await?;
        secrets.remove(&role_key(name));
        tx.set_addon_secrets(row.id, &secrets).await?;
        tx.commit("credential.destroyed", self.touched(&row, &format!("destroy credential {name}"))?, actor)
            .await
    }

    /// Gives everything that other credentials own to the default one, and makes it their master.
    pub async fn repair_default_credential(&self, actor: &Actor, identity: &str) -> Result<()> {
        let row = self.managed_postgres_row(actor, identity).await?;
        self.check_has_credentials(&row)?;
        let ready = self.ready(&row).await?;
        let step = self.postgres.repair_default(&ready.access, &ready.resource);
        self.done("repair the default credential", durable!("credential.default_repaired", step.await))
    }

    fn check_has_credentials(&self, row: &Addon) -> Result<()> {
        match row.plan.starts_with("essential") {
            true => Err(Error::invalid("You can't create a custom credential on Essential-tier databases.")),
            false => Ok(()),
        }
    }

    /// A further login of a credential.
    fn further_login(&self, addon: AddonId, name: &str) -> NewCredential {
        let login = paddock_addons::Service::new_login(&*self.postgres, &mut |bytes| {
            crate::kernel::secret::fill(bytes);
        });
        NewCredential {
            id: CredentialId::from_uuid(Uuid::now_v7()),
            ..super::server::new_credential(addon, name, &login)
        }
    }

    pub(super) async fn put_credential(
        &self,
        access: &ServerAccess,
        resource: &Resource,
        credential: &Credential,
    ) -> Result<()> {
        let step = self.postgres.put_credential(access, resource, credential);
        let done = durable!("credential.made_on_server", step.await);
        done.map_err(|error| Error::internal("make a login", error))
    }

    /// The credentials of an add-on besides the default one.
    pub(super) async fn further_credentials(&self, addon: AddonId) -> Result<Vec<Credential>> {
        let mut names: Vec<String> =
            self.kernel.store.credentials_of_addon(addon).await?.into_iter().map(|row| row.name).collect();
        names.dedup();
        names.retain(|name| name != DEFAULT && name != RESTRICTED);
        let mut found = Vec::new();
        for name in names {
            found.push(self.credential(addon, &name).await?);
        }
        Ok(found)
    }

    /// A credential as the service's steps know it.
    async fn credential(&self, addon: AddonId, name: &str) -> Result<Credential> {
        let secrets = self.kernel.store.addon_secrets(addon).await?;
        let role = secrets.get(&role_key(name)).cloned().unwrap_or_default();
        Ok(Credential { role, logins: self.logins(addon, name).await? })
    }

    fn touched(&self, row: &Addon, what: &str) -> Result<Event> {
        let app = row.app_id.ok_or_else(|| no_such(""))?;
        Ok(Event::DatabaseTouched { app, addon: row.id, what: what.to_owned() })
    }

    /// Waits until these are enabled.
    async fn wait_for(&self, ids: &[CredentialId]) {
        let mut changes = self.kernel.wakes.changes.listen();
        let all = async {
            for id in ids {
                while let Ok(Some(row)) = self.kernel.store.credential(*id).await {
                    if row.state != CredentialState::Enabling {
                        break;
                    }
                    changes.heard(Duration::from_millis(250)).await;
                }
            }
        };
        // What is not there in time is there later: pg:credentials says so.
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }

    /// Brings logins on that are to be enabled, or to end. How soon to look again.
    pub(super) async fn advance_credentials(
        &self,
        access: &ServerAccess,
        addon: &Addon,
        moving: &[Row],
    ) -> Result<Option<Duration>> {
        let resource = self.resource(addon).await?;
        let mut by_name: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in moving.iter().filter(|row| row.name != RESTRICTED) {
            by_name.entry(&row.name).or_default().push(row);
        }
        let mut again = None;
        for (name, rows) in by_name {
            let credential = self.credential(addon.id, name).await?;
            if rows.iter().any(|row| row.state == CredentialState::Enabling) {
                self.put_credential(access, &resource, &credential).await?;
                self.record_enabled(addon.id, name).await?;
            }
            for row in rows.iter().filter(|row| row.state == CredentialState::Revoking) {
                match self.is_due(access, row).await {
                    Some(wait) => again = [again, Some(wait)].into_iter().flatten().min(),
                    None => {
                        let step = self.postgres.revoke_login(access, &resource, &credential, &row.login);
                        let done = durable!("credential.revoked_on_server", step.await);
                        done.map_err(|error| Error::internal("end a login", error))?;
                        let mut tx = self.kernel.record("forget a login").await?;
                        tx.delete_credential(row.id).await?;
                        tx.commit_quietly("credential.revoked").await?;
                    }
                }
            }
        }
        Ok(again)
    }

    /// `None` when a login is to end now, else how soon to look again.
    async fn is_due(&self, access: &ServerAccess, row: &Row) -> Option<Duration> {
        let now = self.kernel.now();
        if row.revoke_at.is_none_or(|at| at <= now) {
            return None;
        }
        let unused_from = row.updated_at + OLD_LOGIN_LIFE_UNUSED;
        if unused_from > now {
            return Some(Duration::from_micros(u64::try_from(unused_from.0 - now.0).unwrap_or(0)));
        }
        match self.postgres.sessions_of(access, &row.login).await {
            Ok(0) => None,
            Ok(_) => Some(Duration::from_secs(10)),
            Err(error) => {
                tracing::info!(error = chain(&error), "could not count the sessions of a login");
                Some(Duration::from_secs(10))
            }
        }
    }

    /// A login works: those of its credential before it are on their way out, and every attachment of it is released with it.
    pub(super) async fn record_enabled(&self, addon: AddonId, name: &str) -> Result<()> {
        let mut tx = self.kernel.change_platform("write down that a login works").await?;
        let known = tx.credentials_named(addon, name).await?;
        let Some(newest) = known.last() else { return Ok(()) };
        let revoke_at = tx.now() + OLD_LOGIN_LIFE;
        tx.enable_credential(newest.id).await?;
        for old in known.iter().filter(|old| old.id != newest.id && old.state != CredentialState::Revoking) {
            tx.revoke_credential(old.id, revoke_at).await?;
        }
        self.follow(&mut tx, addon, Told::Changed).await?;
        tx.commit_quietly("credential.enabled").await
    }
}

pub(super) fn no_such(name: &str) -> Error {
    Error::not_found_because(
        "credential",
        format!("Couldn't find that credential: there is none called {name:?}. See heroku pg:credentials."),
    )
}

/// As Heroku has it, because clients type it, and a name that its role can have: some PostgreSQL keeps for itself, and some are
/// like those of logins that are there while a transfer is.
fn check_name(name: &str) -> Result<()> {
    if name.starts_with("pg_") || ["postgres", "public", "none"].contains(&name) {
        return Err(Error::invalid(format!(
            "Credential name {name:?} is invalid: PostgreSQL keeps it for itself."
        )));
    }
    let rest = name.strip_prefix(['s', 't']).unwrap_or_default();
    if rest.len() == 13 && rest.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Error::invalid(format!(
            "Credential name {name:?} is invalid: backups and restores log in by such names."
        )));
    }
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
    let shaped = (1..=50).contains(&name.len()) && name.bytes().all(allowed);
    match shaped {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "Credential name {name:?} is invalid: it must have 1 to 50 letters, digits, dashes and underscores."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_have_are_refused() {
        for (name, said) in [
            ("pg_reader", "PostgreSQL keeps it"),
            ("none", "PostgreSQL keeps it"),
            ("s0123456789abc", "backups and restores"),
            ("tfedcba9876543", "backups and restores"),
            ("a b", "letters, digits"),
            ("", "letters, digits"),
        ] {
            let refused = check_name(name).unwrap_err().to_string();
            assert!(refused.contains(said), "{name}: {refused}");
        }
        for name in ["reporting", "Read-Only", "s0123456789ab", "s0123456789abcd", "t0123456789abg", "team"] {
            check_name(name).unwrap();
        }
    }
}
