//! Credentials: logins to add-ons. Those of one name are one credential to its users; while it is rotated it has two logins.

use paddock_core::{AddonId, CredentialId, UnixMicros};

use crate::engine::{self, FromRow, Row, reads, row, statements, values, word_columns};
use crate::error::{Result, StoreError};
use crate::{Sealer, Store, Tx};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialState {
    /// It is being made.
    Enabling,
    Active,
    /// It works until nobody uses it, or until its time comes.
    Revoking,
}

impl CredentialState {
    pub const ALL: [Self; 3] = [Self::Enabling, Self::Active, Self::Revoking];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabling => "enabling",
            Self::Active => "active",
            Self::Revoking => "revoking",
        }
    }

    /// The state with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

word_columns!(CredentialState = CredentialState::parse);

/// A login without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub id: CredentialId,
    pub addon_id: AddonId,
    /// What its users call it: `default`.
    pub name: String,
    /// Who logs in.
    pub login: String,
    pub state: CredentialState,
    /// When it ends, whoever uses it then.
    pub revoke_at: Option<UnixMicros>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(Credential { id, addon_id, name, login, state, created_at, updated_at } optional { revoke_at });

/// A login with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenCredential {
    pub credential: Credential,
    pub password: String,
}

/// The same as it is stored.
struct SealedCredential {
    credential: Credential,
    password: Vec<u8>,
}

impl FromRow for SealedCredential {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { credential: Credential::from_row(row)?, password: row.get("password")? })
    }
}

/// What a new login is made of; fields as in [`Credential`]. It is still to be enabled.
#[derive(Clone)]
pub struct NewCredential {
    pub id: CredentialId,
    pub addon_id: AddonId,
    pub name: String,
    pub login: String,
    /// Stored sealed.
    pub password: String,
}

statements! {
    BY_ID = "SELECT * FROM credentials WHERE id = $1";
    OF_ADDON = "SELECT * FROM credentials WHERE addon_id = $1 ORDER BY name, created_at, id";
    NAMED = "SELECT * FROM credentials WHERE addon_id = $1 AND name = $2 ORDER BY created_at, id";
    OF_SERVER = "SELECT credentials.* FROM credentials JOIN addons ON addons.id = credentials.addon_id \
        WHERE addons.server_id = $1 ORDER BY credentials.addon_id, credentials.name, credentials.created_at, credentials.id";
    IN_MOTION = "SELECT credentials.* FROM credentials JOIN addons ON addons.id = credentials.addon_id \
        WHERE addons.server_id = $1 AND addons.state = 'provisioned' AND credentials.state <> 'active' \
        ORDER BY credentials.addon_id, credentials.name, credentials.created_at, credentials.id";
    CREATE = "INSERT INTO credentials (id, addon_id, name, login, password, state, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, 'enabling', $6, $6)";
    ENABLE = "UPDATE credentials SET state = 'active', revoke_at = NULL, updated_at = $2 WHERE id = $1";
    REVOKE = "UPDATE credentials SET state = 'revoking', revoke_at = $2, updated_at = $3 WHERE id = $1";
    DELETE = "DELETE FROM credentials WHERE id = $1";
}

/// Where the password of a login belongs.
pub(crate) fn password_place(id: CredentialId) -> String {
    format!("credential:{id}")
}

reads! {
    credential(id: CredentialId) -> one Credential: BY_ID [id];
    /// The logins to an add-on, by name, oldest first.
    credentials_of_addon(addon_id: AddonId) -> all Credential: OF_ADDON [addon_id];
    /// The logins that one credential of an add-on has, oldest first.
    credentials_named(addon_id: AddonId, name: &str) -> all Credential: NAMED [addon_id, name];
}

impl Store {
    /// The logins to all add-ons that this server looks after, by name and oldest first for each add-on.
    pub async fn credentials(&self) -> Result<Vec<Credential>> {
        engine::all(&mut *self.reader().await?, OF_SERVER, values![self.server.id]).await
    }

    /// Those of add-ons of this server that can be used, which are still to be enabled, or to end.
    pub async fn credentials_in_motion(&self) -> Result<Vec<Credential>> {
        engine::all(&mut *self.reader().await?, IN_MOTION, values![self.server.id]).await
    }

    /// As [`Store::credentials_of_addon`], with their passwords.
    ///
    /// # Errors
    /// `Unseal`, or the database could not be read.
    pub async fn open_credentials_of_addon(&self, addon_id: AddonId) -> Result<Vec<OpenCredential>> {
        let rows = engine::all(&mut *self.reader().await?, OF_ADDON, values![addon_id]).await?;
        rows.into_iter().map(|row| open(self.sealer(), row)).collect()
    }
}

impl Tx {
    /// As [`Store::open_credentials_of_addon`].
    pub async fn open_credentials_of_addon(&mut self, addon_id: AddonId) -> Result<Vec<OpenCredential>> {
        let doing = self.doing();
        let rows = engine::all(self.connection(), OF_ADDON, values![addon_id]).await;
        let rows = rows.map_err(|error| error.during(doing))?;
        rows.into_iter().map(|row| open(&self.sealer, row)).collect()
    }

    /// Makes a login, which is still to be enabled.
    ///
    /// # Errors
    /// `LoginTaken`.
    pub async fn create_credential(&mut self, new: &NewCredential) -> Result<()> {
        let sealed = self.sealer.seal_text(&password_place(new.id), &new.password)?;
        let values = values![new.id, new.addon_id, new.name, new.login, sealed, self.now];
        match self.execute_unique(CREATE, values).await? {
            true => Ok(()),
            false => Err(StoreError::LoginTaken(new.login.clone())),
        }
    }

    /// Notes that a login works.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn enable_credential(&mut self, id: CredentialId) -> Result<()> {
        let values = values![id, self.now];
        self.change("credential", id, ENABLE, values).await
    }

    /// Lets a login end: at that time at the latest.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn revoke_credential(&mut self, id: CredentialId, at: UnixMicros) -> Result<()> {
        let values = values![id, at, self.now];
        self.change("credential", id, REVOKE, values).await
    }

    /// Deletes the row of a login that is no more.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn delete_credential(&mut self, id: CredentialId) -> Result<()> {
        self.change("credential", id, DELETE, values![id]).await
    }
}

fn open(sealer: &Sealer, row: SealedCredential) -> Result<OpenCredential> {
    let SealedCredential { credential, password } = row;
    let password = sealer.unseal_text(&password_place(credential.id), &password)?;
    Ok(OpenCredential { credential, password })
}
