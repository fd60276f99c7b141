//! Buildpack installations: which buildpacks the next build of an app uses.

use paddock_core::AppRef;
use paddock_core::buildpack::BuiltinBuildpack;
use paddock_core::event::Event;
use paddock_store::App;

use crate::app::Apps;
use crate::kernel::access::Permitted;
use crate::kernel::checked::{buildpack_name, parse_buildpack};
use crate::kernel::config::ControlConfig;
use crate::{Actor, Error, Result};

/// Most buildpacks of an app.
const BUILDPACKS_MAX: usize = 20;

/// A buildpack of an app at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildpackInstallation {
    /// Its place, from 0.
    pub ordinal: i64,
    /// Name, address or URN, as it was given.
    pub url: String,
    pub name: String,
}

/// A buildpack that is part of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// Its name with namespace, `heroku/python`.
    pub name: &'static str,
    pub language: &'static str,
}

impl Builtin {
    pub fn all() -> impl Iterator<Item = Self> {
        BuiltinBuildpack::DETECTION_ORDER.into_iter().map(Self::of)
    }

    fn of(builtin: BuiltinBuildpack) -> Self {
        Self { name: builtin.name(), language: builtin.language() }
    }

    /// The built-in buildpack of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        BuiltinBuildpack::from_name(name).map(Self::of)
    }
}

impl Apps {
    /// The buildpacks of an app, in order.
    pub async fn list_buildpack_installations(
        &self,
        actor: &Actor,
        app: &AppRef,
    ) -> Result<Vec<BuildpackInstallation>> {
        self.buildpacks_of(&self.kernel.visible_app(actor, app).await?).await
    }

    async fn buildpacks_of(&self, app: &Permitted<App>) -> Result<Vec<BuildpackInstallation>> {
        let urls = self.kernel.store.buildpacks(app.id).await?;
        Ok((0..).zip(urls).map(|(ordinal, url)| view(ordinal, url, &self.kernel.config)).collect())
    }

    /// Replaces the buildpacks of an app; the next build uses them.
    ///
    /// # Errors
    /// `not_found`; `invalid_params` for a text that is no buildpack, or too many.
    pub async fn replace_buildpack_installations(
        &self,
        actor: &Actor,
        app: &AppRef,
        buildpacks: Vec<String>,
    ) -> Result<Vec<BuildpackInstallation>> {
        let app = self.kernel.visible_app(actor, app).await?;
        if buildpacks.len() > BUILDPACKS_MAX {
            return Err(Error::invalid(format!("An app can have at most {BUILDPACKS_MAX} buildpacks.")));
        }
        let parsed = buildpacks
            .iter()
            .map(|text| parse_buildpack(text, &self.kernel.config))
            .collect::<Result<Vec<_>>>()?;
        let urls: Vec<String> = parsed.iter().map(|buildpack| buildpack.as_str().to_owned()).collect();
        let mut tx = self.kernel.change_app(app.id, "change buildpacks").await?;
        tx.replace_buildpacks(app.id, &urls).await?;
        tx.name_buildpacks(app.id).await?;
        tx.commit(
            "buildpack.installed",
            Event::BuildpacksUpdated {
                app: app.id,
                buildpacks: parsed.iter().map(|buildpack| buildpack.name().to_owned()).collect(),
            },
            actor,
        )
        .await?;
        self.buildpacks_of(&app).await
    }
}

fn view(ordinal: i64, url: String, config: &ControlConfig) -> BuildpackInstallation {
    BuildpackInstallation { ordinal, name: buildpack_name(&url, config), url }
}
