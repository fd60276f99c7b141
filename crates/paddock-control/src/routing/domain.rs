//! Domains: the host names that lead to an app.

use std::net::IpAddr;

use paddock_core::event::Event;
use paddock_core::{AppId, AppName, AppRef, DomainId, UnixMicros};
use paddock_store::{App, Domain as Row, DomainKind, NewDomain};
use uuid::Uuid;

use crate::routing::Routing;
use crate::{Actor, Error, Result};

/// Most custom domains of an app.
const DOMAINS_MAX: i64 = 1000;

/// A domain of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub id: DomainId,
    pub app_id: AppId,
    pub app_name: AppName,
    pub hostname: String,
    /// `heroku` or `custom`.
    pub kind: &'static str,
    /// What the user's DNS should point at.
    pub cname: Option<String>,
    /// `none`: ready.
    pub status: String,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

impl Routing {
    /// The domains of an app, its default one among them.
    pub async fn list_domains(&self, actor: &Actor, app: &AppRef) -> Result<Vec<Domain>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let rows = self.kernel.store.domains(app.id).await?;
        Ok(rows.into_iter().map(|row| view(&app, row)).collect())
    }

    /// One domain, by id or host name.
    pub async fn domain(&self, actor: &Actor, app: &AppRef, identity: &str) -> Result<Domain> {
        let domains = self.list_domains(actor, app).await?;
        let named =
            |one: &Domain| one.hostname.eq_ignore_ascii_case(identity) || one.id.to_string() == identity;
        domains.into_iter().find(named).ok_or_else(|| Error::not_found("domain"))
    }

    /// Adds a custom domain; requests for it reach the app once the user's DNS points here.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for a name that is malformed, the platform's or taken, or for a wildcard that would cover
    /// a name of another owner.
    pub async fn add_domain(&self, actor: &Actor, app: &AppRef, hostname: &str) -> Result<Domain> {
        let app = self.kernel.visible_app(actor, app).await?;
        let hostname = hostname.trim().to_ascii_lowercase();
        check_hostname(&hostname, &self.kernel.config.domain).map_err(Error::invalid)?;
        let cname = app_hostname(&self.kernel.store.domains(app.id).await?);
        let new = NewDomain {
            id: DomainId::from_uuid(Uuid::now_v7()),
            app_id: app.id,
            hostname: hostname.clone(),
            kind: DomainKind::Custom,
            cname,
            status: "none".to_owned(),
        };
        // The platform's lock: of two names that overlap the second one sees the first.
        let mut tx = self.kernel.change_platform("add a domain").await?;
        if tx.count_domains(app.id).await? > DOMAINS_MAX {
            return Err(Error::invalid(format!("An app can have at most {DOMAINS_MAX} custom domains.")));
        }
        if tx.overlapping_domain(&hostname, app.owner_id).await?.is_some() {
            return Err(Error::invalid(format!("{hostname} overlaps with a domain of another owner.")));
        }
        tx.create_domain(&new).await?;
        let added = tx.domain(app.id, new.id).await?;
        tx.say(app.id, format!("Add {hostname} domain by user {}", actor.email));
        tx.commit("domain.added", Event::DomainCreated { app: app.id, hostname }, actor).await?;
        added.map(|row| view(&app, row)).ok_or_else(|| Error::not_found("domain"))
    }

    /// Removes a custom domain.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for the default domain.
    pub async fn remove_domain(&self, actor: &Actor, app: &AppRef, identity: &str) -> Result<Domain> {
        let domain = self.domain(actor, app, identity).await?;
        if domain.kind == DomainKind::Heroku.as_str() {
            return Err(Error::invalid("The app's default domain cannot be removed."));
        }
        let mut tx = self.kernel.change_app(domain.app_id, "remove a domain").await?;
        tx.delete_domain(domain.app_id, domain.id).await?;
        tx.say(domain.app_id, format!("Remove {} domain by user {}", domain.hostname, actor.email));
        tx.commit(
            "domain.removed",
            Event::DomainDestroyed { app: domain.app_id, hostname: domain.hostname.clone() },
            actor,
        )
        .await?;
        Ok(domain)
    }
}

fn app_hostname(rows: &[Row]) -> Option<String> {
    rows.iter().find(|row| row.kind == DomainKind::Heroku).map(|row| row.hostname.clone())
}

/// The rules on a name by itself. Source: design, section 7, "Names".
fn check_hostname(hostname: &str, platform: &str) -> std::result::Result<(), String> {
    let named = hostname.strip_prefix("*.").unwrap_or(hostname);
    let refused = |why: &str| Err(format!("Domain {hostname:?} is invalid: {why}."));
    // Before its shape is looked at: a platform below localhost is no full domain name either.
    let platform = platform.to_ascii_lowercase();
    if named == platform || named.ends_with(&format!(".{platform}")) {
        return Err(format!(
            "Domain {hostname:?} is the platform's own: an app has the name below {platform} that it is called. Rename \
             the app for another (heroku apps:rename), or add a domain of yours."
        ));
    }
    if named.parse::<IpAddr>().is_ok() {
        return refused("an IP address is no domain");
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if named.len() > 253 || !named.split('.').all(label) {
        return refused(
            "it must be a host name of letters, digits, dashes and dots (international names as xn--)",
        );
    }
    let last = named.rsplit('.').next().unwrap_or_default();
    if !named.contains('.') || last.bytes().all(|c| c.is_ascii_digit()) || last == "localhost" {
        return refused("it must be a full domain name such as www.example.com");
    }
    if hostname.starts_with("*.") && platform.ends_with(&format!(".{named}")) {
        return refused("it would cover the platform's own names");
    }
    Ok(())
}

fn view(app: &App, row: Row) -> Domain {
    Domain {
        id: row.id,
        app_id: row.app_id,
        app_name: app.name.clone(),
        hostname: row.hostname,
        kind: row.kind.as_str(),
        cname: row.cname,
        status: row.status,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

#[cfg(test)]
mod tests {
    use super::check_hostname;

    #[test]
    fn only_full_names_of_others_are_taken() {
        for good in ["www.example.com", "*.example.com", "xn--bcher-kva.example", "a-b.c.d"] {
            assert_eq!(check_hostname(good, "paddock.localhost"), Ok(()), "{good}");
        }
        for bad in [
            "",
            "example",
            "localhost",
            "x.localhost",
            "192.0.2.1",
            "::1",
            "1.2.3.4.5",
            "*.com",
            "a..b",
            "-a.b",
            "a_b.c",
            "paddock.example",
            "my.paddock.example",
            "*.paddock.example",
            "*.example",
            "a.*.b",
            "exämple.com",
            "a b.c",
        ] {
            assert!(check_hostname(bad, "paddock.example").is_err(), "{bad}");
        }
    }
}
