//! What is on offer.

use crate::Refusal;

/// A service as users and catalogues see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceInfo {
    /// `heroku-postgresql`.
    pub name: &'static str,
    /// `Heroku Postgres`.
    pub human_name: &'static str,
    /// The beginning of names that nobody chose: `postgresql`.
    pub addon_prefix: &'static str,
    /// What the first attachment of an app is called: `DATABASE`.
    pub first_attachment: &'static str,
    /// What further ones begin with, before a colour: `HEROKU_POSTGRESQL`.
    pub colour_prefix: &'static str,
    /// What the config vars of an attachment end in: `URL`.
    pub config_suffixes: &'static [&'static str],
    /// The plans, the default one first.
    pub plans: &'static [Plan],
    /// Plans that Heroku has and we have not.
    pub families: &'static [Family],
    /// Whether an add-on can be attached to several apps.
    pub supports_sharing: bool,
}

/// Plans that are not built, by the beginning of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// `premium`.
    pub prefix: &'static str,
    /// What whoever asks for one is told.
    pub refusal: &'static str,
}

/// Where what was ordered lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// In a server that it shares with others.
    Shared,
    /// In a server of its own, with what that brings: further credentials, a look at the server.
    Own,
}

/// One plan. Limits and prices: `docs/contract/data-services.md`, section 2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// `essential-0`.
    pub name: &'static str,
    /// Names that are understood, and never printed.
    pub aliases: &'static [&'static str],
    /// `Essential 0`.
    pub human_name: &'static str,
    /// Cents a month. Shown, never charged.
    pub price_cents: u32,
    /// Where it lies.
    pub placement: Placement,
    /// Memory of a server of its own, before an installation scales it down; 0 in a shared one.
    pub memory_bytes: u64,
    /// Thousandths of a core for a server of its own; 0 in a shared one.
    pub cpu_millicores: u32,
    /// What may be stored.
    pub storage_bytes: u64,
    /// How many clients at a time.
    pub connections: u32,
    /// How many tables, where they are counted.
    pub tables: Option<u32>,
}

impl ServiceInfo {
    /// The plan that is meant by a name or an alias; without one, the default.
    ///
    /// # Errors
    /// Not built, or none at all: a sentence for the user.
    pub fn plan(&self, name: Option<&str>) -> Result<&'static Plan, Refusal> {
        let plans: &'static [Plan] = self.plans;
        let Some(name) = name else {
            return plans.first().ok_or_else(|| Refusal::new(format!("{} has no plans.", self.human_name)));
        };
        if let Some(plan) = plans.iter().find(|plan| plan.name == name || plan.aliases.contains(&name)) {
            return Ok(plan);
        }
        let family = self.families.iter().find(|family| {
            name.strip_prefix(family.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        });
        Err(Refusal::new(match family {
            Some(family) => family.refusal.to_owned(),
            None => format!(
                "Couldn't find either the add-on service or the add-on plan of \"{}:{}\". See heroku addons:plans {} for the plans there are.",
                self.name,
                printable(name),
                self.name
            ),
        }))
    }
}

/// What somebody typed, as part of a sentence.
pub(crate) fn printable(text: &str) -> String {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if shown.len() == text.len() { shown } else { format!("{shown}…") }
}
