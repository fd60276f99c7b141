//! Accounts: who is asking.

use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::time::Time;

/// An account. Fields without meaning here carry the neutral value of the published schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Always true: nothing is sent to third parties either way.
    pub allow_tracking: bool,
    /// Always false.
    pub beta: bool,
    pub created_at: Time,
    /// E-mail address; unique on this server.
    pub email: String,
    /// Whether a federated identity provider owns it.
    pub federated: bool,
    pub id: String,
    /// Always null until single sign-on is built.
    pub identity_provider: Option<()>,
    pub last_login: Option<Time>,
    pub name: Option<String>,
    /// Always null.
    pub sms_number: Option<String>,
    pub suspended_at: Option<Time>,
    /// Always null: nothing is billed.
    pub delinquent_at: Option<Time>,
    /// Whether a second factor is asked for.
    pub two_factor_authentication: bool,
    pub updated_at: Time,
    /// Always true: there is no payment to verify.
    pub verified: bool,
    /// Always null.
    pub country_of_residence: Option<String>,
    /// Always false.
    pub eco_dynos_enabled: bool,
    /// Always null.
    pub eco_dynos_shutdown_at: Option<Time>,
    /// Always null.
    pub pipeline_cost_consent_at: Option<Time>,
    /// Always true: there is no agreement to accept.
    pub acknowledged_msa: bool,
    /// Always null.
    pub acknowledged_msa_at: Option<Time>,
    /// Always null.
    pub italian_customer_terms: Option<String>,
    /// Always null.
    pub italian_partner_terms: Option<String>,
    /// Whether a second factor is set up.
    pub mfa_enabled: bool,
    /// Always false.
    pub mfa_exemption: bool,
    /// Always null.
    pub mfa_exemption_reason: Option<String>,
    /// Always `legacy`: second factors are checked by this server.
    pub mfa_experience: String,
    /// Always null until teams are built.
    pub default_organization: Option<()>,
    /// Always null until teams are built.
    pub default_team: Option<()>,
}

/// Body of `PATCH /account`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Update {
    /// A new name; null for none.
    #[serde(default, deserialize_with = "lenient::nullable")]
    pub name: Option<Option<String>>,
    pub email: Option<String>,
    pub new_password: Option<String>,
    /// The password as it is; needed for the two above.
    pub password: Option<String>,
    /// Refused unless it is unchanged.
    #[serde(default, deserialize_with = "lenient::optional_boolean")]
    pub allow_tracking: Option<bool>,
    /// Refused unless it is unchanged.
    #[serde(default, deserialize_with = "lenient::optional_boolean")]
    pub beta: Option<bool>,
    /// Refused unless it is unchanged.
    #[serde(default, deserialize_with = "lenient::optional_boolean")]
    pub eco_dynos_enabled: Option<bool>,
}
