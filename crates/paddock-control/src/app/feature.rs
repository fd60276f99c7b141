//! Features: switches of apps, from a fixed table. Accounts have none yet.

use paddock_core::AppRef;
use paddock_core::UnixMicros;
use paddock_core::dyno::DYNO_METADATA;
use paddock_core::event::Event;
use paddock_store::{App, Feature as Row};
use uuid::Uuid;

use crate::app::Apps;
use crate::kernel::access::Permitted;
use crate::{Actor, Error, Result, fixed_id, fixed_since};

/// A feature with its switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    pub id: Uuid,
    pub name: &'static str,
    pub display_name: &'static str,
    pub description: &'static str,
    /// `general`, or `beta` for what `labs` lists.
    pub state: &'static str,
    pub doc_url: String,
    /// Where to send what one thinks of it.
    pub feedback_email: String,
    pub enabled: bool,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

pub(crate) struct Definition {
    name: &'static str,
    display_name: &'static str,
    description: &'static str,
    state: &'static str,
    is_built: bool,
}

const fn not_built(
    name: &'static str,
    display_name: &'static str,
    state: &'static str,
    description: &'static str,
) -> Definition {
    Definition { name, display_name, description, state, is_built: false }
}

const fn feature(
    name: &'static str,
    display_name: &'static str,
    state: &'static str,
    description: &'static str,
) -> Definition {
    Definition { name, display_name, description, state, is_built: true }
}

/// Features of apps. Those that are not built are listed, so that people see where they are, and cannot be enabled.
const OF_APPS: [Definition; 8] = [
    not_built(
        "http-end-to-end-continue",
        "Expect: 100-continue end to end",
        "general",
        "Passes Expect: 100-continue through to the dyno. Not built on this server yet.",
    ),
    not_built(
        "http-session-affinity",
        "Session affinity",
        "general",
        "Sends each client to the same dyno. Not built on this server yet.",
    ),
    not_built(
        "log-runtime-metrics",
        "Runtime metrics in the log",
        "beta",
        "Writes memory and load of each dyno into the log. Not built on this server yet.",
    ),
    feature(
        "preboot",
        "Preboot",
        "general",
        "Starts new web dynos before old ones stop. Here every deploy does that already.",
    ),
    not_built(
        "runtime-dyno-build-metadata",
        "Build metadata",
        "beta",
        "Gives dynos variables about their build. Not built on this server yet.",
    ),
    feature(
        DYNO_METADATA,
        "Dyno metadata",
        "beta",
        "Gives dynos variables about app, release and dyno. From the next deploy or restart on.",
    ),
    not_built(
        "runtime-heroku-exec",
        "Heroku Exec",
        "beta",
        "Allows shells into running dynos. Not built on this server yet.",
    ),
    not_built(
        "spaces-dns-discovery",
        "DNS discovery",
        "general",
        "Lets dynos find each other by name. Not built on this server yet.",
    ),
];

impl Apps {
    /// The features of an app, by name.
    pub async fn list_app_features(&self, actor: &Actor, app: &AppRef) -> Result<Vec<Feature>> {
        self.features_of(&self.kernel.visible_app(actor, app).await?).await
    }

    async fn features_of(&self, app: &Permitted<App>) -> Result<Vec<Feature>> {
        let rows = self.kernel.store.app_features(app.id).await?;
        Ok(OF_APPS.iter().map(|definition| view(definition, &rows)).collect())
    }

    /// One feature of an app, by name or id.
    pub async fn app_feature(&self, actor: &Actor, app: &AppRef, identity: &str) -> Result<Feature> {
        one_of(self.list_app_features(actor, app).await?, identity)
    }

    /// Switches a feature of an app.
    pub async fn set_app_feature(
        &self,
        actor: &Actor,
        app: &AppRef,
        identity: &str,
        enabled: bool,
    ) -> Result<Feature> {
        let app = self.kernel.visible_app(actor, app).await?;
        let feature = one_of(self.features_of(&app).await?, identity)?;
        let is_built =
            OF_APPS.iter().any(|definition| definition.name == feature.name && definition.is_built);
        if enabled && !is_built {
            return Err(Error::invalid(format!("Feature {} is not built on this server yet.", feature.name)));
        }
        let mut tx = self.kernel.change_app(app.id, "switch a feature").await?;
        tx.set_app_feature(app.id, feature.name, enabled).await?;
        let what = if enabled { "Enable" } else { "Disable" };
        tx.say(app.id, format!("{what} {} feature by user {}", feature.name, actor.email));
        tx.commit(
            "feature.of_app_set",
            Event::FeatureUpdated { app: app.id, feature: feature.name.to_owned(), enabled },
            actor,
        )
        .await?;
        one_of(self.features_of(&app).await?, feature.name)
    }

    /// The features of the account that asks: none is built yet.
    #[must_use]
    pub fn list_account_features(&self, _: &Actor) -> Vec<Feature> {
        Vec::new()
    }

    /// One feature of the account that asks, by name or id.
    ///
    /// # Errors
    /// `not_found`, exactly: the client then looks at the app's features.
    pub fn account_feature(&self, actor: &Actor, identity: &str) -> Result<Feature> {
        one_of(self.list_account_features(actor), identity)
    }
}

/// Whether apps have a feature of this name.
pub(crate) fn of_apps(name: &str) -> Result<()> {
    match OF_APPS.iter().any(|definition| definition.name == name) {
        true => Ok(()),
        false => Err(Error::invalid(format!("Feature {name} does not exist."))),
    }
}

fn one_of(features: Vec<Feature>, identity: &str) -> Result<Feature> {
    let mut found =
        features.into_iter().filter(|feature| feature.name == identity || feature.id.to_string() == identity);
    found.next().ok_or_else(|| Error::not_found("feature"))
}

fn view(definition: &Definition, rows: &[Row]) -> Feature {
    let row = rows.iter().find(|row| row.name == definition.name);
    Feature {
        id: fixed_id("feature", definition.name),
        name: definition.name,
        display_name: definition.display_name,
        description: definition.description,
        state: definition.state,
        doc_url: format!("https://devcenter.heroku.com/articles/{}", definition.name),
        feedback_email: "feedback@localhost".to_owned(),
        enabled: row.is_some_and(|row| row.enabled),
        created_at: fixed_since(),
        updated_at: row.map_or_else(fixed_since, |row| row.updated_at),
    }
}
