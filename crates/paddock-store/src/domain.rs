//! Domains: the host names of apps. A host name belongs to one app.

use paddock_core::{AppId, DomainId, UnixMicros};

use crate::Tx;
use crate::engine::{reads, row, statements, values, word_columns};
use crate::error::{Result, StoreError};

/// Whose a host name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DomainKind {
    /// The platform's own, by the app's name.
    Heroku,
    /// The user's.
    Custom,
}

impl DomainKind {
    /// The text in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heroku => "heroku",
            Self::Custom => "custom",
        }
    }

    /// The kind with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Heroku, Self::Custom].into_iter().find(|kind| kind.as_str() == text)
    }
}

word_columns!(DomainKind = DomainKind::parse);

/// A domain as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Of which app.
    pub app_id: AppId,
    /// The host name, in the form that the caller compares with.
    pub hostname: String,
    /// Whose the name is.
    pub kind: DomainKind,
    /// Where the user's DNS should point.
    pub cname: Option<String>,
    /// The status as the API says it.
    pub status: String,
    /// When it was added.
    pub created_at: UnixMicros,
    /// When it was last changed.
    pub updated_at: UnixMicros,
}

row!(Domain { id, app_id, hostname, kind, status, created_at, updated_at } optional { cname });

/// What a new domain is made of; fields as in [`Domain`].
#[derive(Debug, Clone)]
pub struct NewDomain {
    /// Its id.
    pub id: DomainId,
    /// Of which app.
    pub app_id: AppId,
    /// The host name.
    pub hostname: String,
    /// Whose the name is.
    pub kind: DomainKind,
    /// Where the user's DNS should point.
    pub cname: Option<String>,
    /// The status as the API says it.
    pub status: String,
}

statements! {
    BY_ID = "SELECT * FROM domains WHERE app_id = $1 AND id = $2";
    OF_APP = "SELECT * FROM domains WHERE app_id = $1 ORDER BY hostname";
    ALL = "SELECT * FROM domains ORDER BY hostname";
    CREATE = "INSERT INTO domains (id, app_id, hostname, kind, cname, status, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7)";
    SET_HOSTNAME = "UPDATE domains SET hostname = $2, updated_at = $3 WHERE id = $1";
    DELETE = "DELETE FROM domains WHERE app_id = $1 AND id = $2";
}

reads! {
    /// The domain of an app with this id.
    domain(app_id: AppId, id: DomainId) -> one Domain: BY_ID [app_id, id];
    /// The domains of an app, by host name.
    domains(app_id: AppId) -> all Domain: OF_APP [app_id];
    /// The domains of all apps, by host name.
    all_domains() -> all Domain: ALL [];
}

impl Tx {
    /// Adds a domain.
    ///
    /// # Errors
    /// `HostnameTaken`.
    pub async fn create_domain(&mut self, new: &NewDomain) -> Result<()> {
        self.touch(new.app_id);
        let values = values![new.id, new.app_id, new.hostname, new.kind, new.cname, new.status, self.now];
        match self.execute_unique(CREATE, values).await? {
            true => Ok(()),
            false => Err(StoreError::HostnameTaken(new.hostname.clone())),
        }
    }

    /// Gives a domain another host name, as when its app is renamed.
    ///
    /// # Errors
    /// `HostnameTaken`.
    pub async fn set_domain_hostname(&mut self, id: DomainId, hostname: &str) -> Result<()> {
        match self.execute_unique(SET_HOSTNAME, values![id, hostname, self.now]).await? {
            true => Ok(()),
            false => Err(StoreError::HostnameTaken(hostname.to_owned())),
        }
    }

    /// Removes a domain from an app. Whether there was one.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn delete_domain(&mut self, app_id: AppId, id: DomainId) -> Result<bool> {
        Ok(self.execute(DELETE, values![app_id, id]).await? > 0)
    }
}
