//! Domains: the host names of apps. A host name belongs to one app.

use paddock_core::{AccountId, AppId, DomainId, UnixMicros};

use crate::engine::{Number, reads, row, statements, values, word_columns};
use crate::error::{Result, StoreError};
use crate::{AppSpan, Store, Tx};

/// Who owns a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DomainKind {
    /// The platform's own, by the app's name.
    Heroku,
    /// The user's.
    Custom,
}

impl DomainKind {
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub id: DomainId,
    pub app_id: AppId,
    /// The host name, in the form that the caller compares with.
    pub hostname: String,
    /// Who owns the name.
    pub kind: DomainKind,
    /// Where the user's DNS should point.
    pub cname: Option<String>,
    /// The status as the API says it.
    pub status: String,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

row!(Domain { id, app_id, hostname, kind, status, created_at, updated_at } optional { cname });

/// What a new domain is made of; fields as in [`Domain`].
#[derive(Debug, Clone)]
pub struct NewDomain {
    pub id: DomainId,
    pub app_id: AppId,
    pub hostname: String,
    /// Who owns the name.
    pub kind: DomainKind,
    /// Where the user's DNS should point.
    pub cname: Option<String>,
    /// The status as the API says it.
    pub status: String,
}

statements! {
    BY_ID = "SELECT * FROM domains WHERE app_id = $1 AND id = $2";
    OF_APP = "SELECT * FROM domains WHERE app_id = $1 ORDER BY hostname";
    WITHIN = "SELECT domains.* FROM domains JOIN apps ON apps.id = domains.app_id \
        WHERE apps.server_id = $1 AND apps.id >= $2 AND apps.id <= $3 ORDER BY domains.hostname";
    COUNT = "SELECT COUNT(*) AS number FROM domains WHERE app_id = $1";
    NAMED_OF_OTHERS = "SELECT domains.* FROM domains JOIN apps ON apps.id = domains.app_id \
        WHERE domains.hostname = $1 AND apps.owner_id <> $2";
    BELOW_OF_OTHERS = "SELECT domains.* FROM domains JOIN apps ON apps.id = domains.app_id \
        WHERE domains.from_end > $1 AND domains.from_end < $2 AND domains.hostname <> $3 AND apps.owner_id <> $4 \
        ORDER BY domains.from_end LIMIT 1";
    CREATE = "INSERT INTO domains (id, app_id, hostname, from_end, kind, cname, status, created_at, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    SET_HOSTNAME = "UPDATE domains SET hostname = $2, from_end = $3, updated_at = $4 WHERE id = $1";
    DELETE = "DELETE FROM domains WHERE app_id = $1 AND id = $2";
}

reads! {
    /// The domain of an app with this id.
    domain(app_id: AppId, id: DomainId) -> one Domain: BY_ID [app_id, id];
    /// The domains of an app, by host name.
    domains(app_id: AppId) -> all Domain: OF_APP [app_id];
}

/// A host name from its last letter to its first.
fn from_end(hostname: &str) -> String {
    hostname.chars().rev().collect()
}

impl Store {
    /// The domains of the apps of a span, by host name.
    pub async fn domains_within(&self, span: AppSpan) -> Result<Vec<Domain>> {
        self.within(span, WITHIN).await
    }
}

impl Tx {
    /// How many domains an app has, its default one included.
    pub async fn count_domains(&mut self, app_id: AppId) -> Result<i64> {
        let count = self.one::<Number>(COUNT, values![app_id]).await?;
        Ok(count.map_or(0, |Number(number)| number))
    }

    /// A domain of another owner that overlaps with this host name: a wildcard above it or, where it is a wildcard itself,
    /// anything below it. The host name itself is none.
    pub async fn overlapping_domain(
        &mut self,
        hostname: &str,
        owner_id: AccountId,
    ) -> Result<Option<Domain>> {
        let parents = hostname.match_indices('.').map(|(dot, _)| format!("*{}", &hostname[dot..]));
        for wildcard in parents.filter(|wildcard| wildcard != hostname) {
            let above = self.one(NAMED_OF_OTHERS, values![wildcard, owner_id]).await?;
            if above.is_some() {
                return Ok(above);
            }
        }
        let Some(suffix) = hostname.strip_prefix('*') else { return Ok(None) };
        // All that begins with `moc.elpmaxe.` lies before `moc.elpmaxe/`, which has the next letter at its end.
        let first = from_end(suffix);
        let end = first.strip_suffix('.').map(|name| format!("{name}/")).unwrap_or_default();
        self.one(BELOW_OF_OTHERS, values![first, end, hostname, owner_id]).await
    }

    /// Adds a domain.
    ///
    /// # Errors
    /// `HostnameTaken`.
    pub async fn create_domain(&mut self, new: &NewDomain) -> Result<()> {
        self.touch(new.app_id);
        let from_end = from_end(&new.hostname);
        let values =
            values![new.id, new.app_id, new.hostname, from_end, new.kind, new.cname, new.status, self.now];
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
        match self.execute_unique(SET_HOSTNAME, values![id, hostname, from_end(hostname), self.now]).await? {
            true => Ok(()),
            false => Err(StoreError::HostnameTaken(hostname.to_owned())),
        }
    }

    /// Removes a domain from an app. Whether there was one.
    pub async fn delete_domain(&mut self, app_id: AppId, id: DomainId) -> Result<bool> {
        Ok(self.execute(DELETE, values![app_id, id]).await? > 0)
    }
}
