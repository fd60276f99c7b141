//! The proxy form: the names of Heroku's own that the official client asks for, which this server answers to whoever
//! made it their proxy.
//!
//! The list is fixed. Nothing here is ever dialled: a name outside it is refused, one inside is answered by this
//! server. Source: `docs/contract/heroku-cli.md`, 1.5 and 6.2.

/// What `HEROKU_HOST` is in the proxy form. The client attaches its token to names of Heroku's only.
pub const DOMAIN: &str = "paddock.herokudev.com";

/// A host of the proxy form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The Platform API.
    Api,
    /// Repositories.
    Git,
    /// The Data API.
    Data,
    /// The container registry.
    Registry,
    /// Favorites, and a second answer about the account.
    Particleboard,
    /// The link to GitHub.
    Kolkrabbi,
    /// Notifications.
    Telex,
    /// Metrics of apps.
    Metrics,
    /// Reports about databases.
    PgDiagnose,
}

/// Labels below [`DOMAIN`].
const OURS: [(&str, Host); 6] = [
    ("api", Host::Api),
    ("git", Host::Git),
    ("data", Host::Data),
    ("registry", Host::Registry),
    ("particleboard", Host::Particleboard),
    ("pgdiagnose", Host::PgDiagnose),
];

/// Names that no variable of the client changes.
const BUILT_IN: [(&str, Host); 5] = [
    ("particleboard.heroku.com", Host::Particleboard),
    ("kolkrabbi.heroku.com", Host::Kolkrabbi),
    ("telex.heroku.com", Host::Telex),
    ("api.metrics.heroku.com", Host::Metrics),
    ("api.metrics.herokai.com", Host::Metrics),
];

/// The host of this name (lower case, no port), if the proxy form has it.
#[must_use]
pub fn host(name: &str) -> Option<Host> {
    let label = name.strip_suffix(DOMAIN).and_then(|rest| rest.strip_suffix('.'));
    let ours = label.and_then(|label| OURS.iter().find(|(known, _)| *known == label));
    ours.or_else(|| BUILT_IN.iter().find(|(known, _)| *known == name)).map(|(_, host)| *host)
}

/// Every name, for the certificate.
pub fn names() -> impl Iterator<Item = String> {
    let ours = OURS.iter().map(|(label, _)| format!("{label}.{DOMAIN}"));
    ours.chain(BUILT_IN.iter().map(|(name, _)| (*name).to_owned()))
}

/// What a certificate authority for the proxy form may sign, names below included; nothing else.
pub fn subtrees() -> impl Iterator<Item = &'static str> {
    std::iter::once(DOMAIN).chain(BUILT_IN.iter().map(|(name, _)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_host_below_a_subtree_and_nothing_else_is_one() {
        for name in names() {
            assert!(host(&name).is_some(), "{name}");
            assert!(subtrees().any(|tree| name == tree || name.ends_with(&format!(".{tree}"))), "{name}");
        }
        for name in [
            "",
            "heroku.com",
            "api.heroku.com",
            DOMAIN,
            "x.particleboard.heroku.com",
            "evilparticleboard.heroku.com",
            "api.paddock.herokudev.com.",
            "xapi.paddock.herokudev.com",
            "a.api.paddock.herokudev.com",
            "localhost",
        ] {
            assert_eq!(host(name), None, "{name}");
        }
    }
}
