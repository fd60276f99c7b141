//! Config vars: one flat object of names and values.

use std::collections::BTreeMap;

/// The answer: every value is text (`docs/contract/heroku-cli.md`, 5.7).
pub type ConfigVars = BTreeMap<String, String>;

/// Body of `PATCH /apps/{app}/config-vars`: null removes.
pub type Update = BTreeMap<String, Option<String>>;
