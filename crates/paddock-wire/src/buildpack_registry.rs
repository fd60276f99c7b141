//! The buildpack registry: what the client reads before it installs a buildpack by name.

use serde::Serialize;

/// A buildpack of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Buildpack {
    /// What comes before the slash.
    pub namespace: String,
    /// What comes after it.
    pub name: String,
    /// What to install.
    pub blob_url: String,
    /// What it is.
    pub description: String,
    /// Always `languages`.
    pub category: String,
}

impl Buildpack {
    /// A built-in buildpack, by its name with namespace.
    #[must_use]
    pub fn builtin(full_name: &str) -> Self {
        let (namespace, name) = full_name.split_once('/').unwrap_or(("heroku", full_name));
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            blob_url: format!("urn:buildpack:{full_name}"),
            description: format!("Built into this server: {full_name}"),
            category: "languages".to_owned(),
        }
    }
}
