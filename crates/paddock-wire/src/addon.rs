//! Add-ons: resources of a service, billed to one app.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::named::{IdOnly, Identity, NamedRef};
use crate::plan::{Plan, Price};
use crate::time::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Addon {
    /// Always empty: no service has pages of its own.
    pub actions: Vec<IdOnly>,
    pub addon_service: ServiceOf,
    pub billing_entity: BillingEntity,
    /// The app that it is billed to.
    pub app: NamedRef,
    pub billed_price: Option<Price>,
    /// Names of the config vars that it gives the app that it is billed to.
    pub config_vars: Vec<String>,
    pub created_at: Time,
    pub id: String,
    pub name: String,
    pub plan: PlanOf,
    pub provider_id: String,
    /// `provisioning`, `provisioned`, `deprovisioning`, `deprovisioned`.
    pub state: String,
    pub updated_at: Time,
    pub web_url: Option<String>,
    /// What the service says of it; empty for nothing. The published schema has no `null` here.
    pub provision_message: String,
}

/// Its service: a reference, or all of it for who asks by `Accept-Expansion`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ServiceOf {
    Named(NamedRef),
    Whole(Box<crate::AddonService>),
}

/// Its plan: a reference, or all of it for who asks by `Accept-Expansion`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PlanOf {
    Named(PlanRef),
    Whole(Box<Plan>),
}

/// A plan by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanRef {
    pub id: String,
    pub name: String,
    /// Always empty: nothing is metered.
    pub meters: Vec<IdOnly>,
}

/// Who it is billed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BillingEntity {
    pub id: String,
    pub name: String,
    /// Always `app`.
    #[serde(rename = "type")]
    pub entity_type: String,
}

/// Body of `POST /apps/{app}/addons`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Create {
    pub attachment: Option<Named>,
    /// Options of the service: `--version=15` is `{"version": "15"}`, `--fast` is `{"fast": true}`.
    #[serde(default, deserialize_with = "options")]
    pub config: BTreeMap<String, String>,
    /// The name of the app, where the service wants to be sure.
    pub confirm: Option<String>,
    pub name: Option<String>,
    pub plan: Identity,
}

/// `{"name": ..}`, where the name may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Named {
    pub name: Option<String>,
}

/// Body of `PATCH /apps/{app}/addons/{addon}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Update {
    pub name: Option<String>,
    pub plan: Option<Identity>,
}

/// Body of `DELETE /apps/{app}/addons/{addon}`; many clients send none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Destroy {
    /// Also where other apps have it attached.
    pub force: Option<bool>,
    /// The name of the app, instead of `force`.
    pub confirm: Option<String>,
}

/// Body of `POST /actions/addons/resolve`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Resolve {
    pub addon: String,
    pub app: Option<String>,
    pub addon_service: Option<String>,
}

/// One config var of an add-on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub name: String,
    pub value: String,
}

/// Values of options are text; clients also send switches and numbers.
fn options<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Switch(bool),
        Number(i64),
        Nothing(()),
    }
    let given: Option<BTreeMap<String, Value>> = Option::deserialize(deserializer)?;
    let text = |value| match value {
        Value::Text(text) => text,
        Value::Switch(on) => on.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Nothing(()) => String::new(),
    };
    Ok(given.unwrap_or_default().into_iter().map(|(name, value)| (name, text(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_text_however_they_are_sent() {
        let body = r#"{"plan":"heroku-postgresql","config":{"version":"15","fast":true,"n":3,"x":null}}"#;
        let create: Create = serde_json::from_str(body).unwrap();
        let options: Vec<_> = create.config.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(options, ["fast=true", "n=3", "version=15", "x="]);
        let bare: Create = serde_json::from_str(r#"{"plan":{"name":"heroku-postgresql"}}"#).unwrap();
        assert_eq!((bare.plan.as_str(), bare.config.len()), ("heroku-postgresql", 0));
    }
}
