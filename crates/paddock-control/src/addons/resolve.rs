//! Which add-on or attachment somebody means: by name, by id, by the name of a config var, with or without an app.

use paddock_core::{AppRef, ErrorId};

use super::Addons;
use super::view::{Addon, Attachment};
use crate::{Actor, Error, Result};

impl Addons {
    /// The add-on that is meant: by its name or id among all that the actor may see, by its name or an attachment's of
    /// `app`. Exactly one.
    ///
    /// # Errors
    /// `not_found`; `multiple_matches` where it is not clear.
    pub async fn resolve_addons(
        &self,
        actor: &Actor,
        named: &str,
        app: Option<&AppRef>,
        service: Option<&str>,
    ) -> Result<Vec<Addon>> {
        let (app, named) = split(app, named);
        let all = self.reachable_addons(actor).await?;
        let of_service = |addon: &Addon| service.is_none_or(|service| addon.plan.service.name == service);
        let own_name = |addon: &Addon| addon.name == named || addon.id.to_string() == named;
        let mut found: Vec<_> =
            all.iter().filter(|addon| of_service(addon) && own_name(addon)).cloned().collect();
        if found.is_empty()
            && let Some(app) = &app
        {
            let attachments = self.list_attachments_of_app(actor, app).await?;
            let of = |means: &dyn Fn(&Attachment) -> bool| -> Vec<_> {
                let ids: Vec<_> =
                    attachments.iter().filter(|one| means(one)).map(|one| one.addon.id).collect();
                all.iter().filter(|addon| of_service(addon) && ids.contains(&addon.id)).cloned().collect()
            };
            found = of(&|one| names(one, &named));
            if found.is_empty() {
                found = of(&|one| self.is_colour(one, &named));
            }
            if found.is_empty() {
                // `heroku addons:info heroku-postgresql`: the service, where the app has one of it.
                let app = self.kernel.visible_app(actor, app).await?;
                let of_app =
                    self.list_addons(actor).await?.into_iter().filter(|addon| addon.app_id == app.id);
                found = of_app
                    .filter(|addon| addon.plan.service.name == named || addon.plan.name == named)
                    .collect();
            }
        }
        only_some(found, "add-on", &named)
    }

    /// The attachments that are meant: by name, config var or id, or by the name or id of the add-on; of `app`, or of all
    /// that the actor may see.
    ///
    /// # Errors
    /// `not_found`; `multiple_matches` where it is not clear.
    pub async fn resolve_attachments(
        &self,
        actor: &Actor,
        named: &str,
        app: Option<&AppRef>,
        service: Option<&str>,
    ) -> Result<Vec<Attachment>> {
        let (app, named) = split(app, named);
        let all = match &app {
            Some(app) => self.list_attachments_of_app(actor, app).await?,
            None => self.list_attachments(actor).await?,
        };
        let of_service =
            |one: &&Attachment| service.is_none_or(|service| one.addon.plan.service.name == service);
        let exact: Vec<_> = all.iter().filter(of_service).filter(|one| names(one, &named)).cloned().collect();
        let of_addon = |one: &&Attachment| one.addon.name == named || one.addon.id.to_string() == named;
        let of_colour = |one: &&Attachment| self.is_colour(one, &named);
        let mut found = exact;
        if found.is_empty() {
            found = all.iter().filter(of_service).filter(of_addon).cloned().collect();
        }
        if found.is_empty() {
            found = all.iter().filter(of_service).filter(of_colour).cloned().collect();
        }
        // Several names of one add-on in one app are no question: the client takes any that is not of a credential.
        let one_addon = found.windows(2).all(|pair| pair[0].addon.id == pair[1].addon.id);
        match (app.is_some() && one_addon, found.is_empty()) {
            (true, false) => Ok(found),
            _ => only_some(found, "add-on attachment", &named),
        }
    }

    /// Whether this is the last part of a name that was given without anybody asking for one: `amber` or `AMBER_URL` of
    /// `HEROKU_POSTGRESQL_AMBER`, as people have typed it since they had to. What is named so in full comes first.
    fn is_colour(&self, attachment: &Attachment, named: &str) -> bool {
        let service = &attachment.addon.plan.service.name;
        let Some(prefix) = self.catalogue.service(service).map(|one| one.info().colour_prefix) else {
            return false;
        };
        names(attachment, &format!("{prefix}_{named}"))
    }
}

/// `app::NAME` is the name within that app.
fn split(app: Option<&AppRef>, named: &str) -> (Option<AppRef>, String) {
    match named.split_once("::") {
        Some((of, name)) if !of.is_empty() => (Some(AppRef::from(of.to_owned())), name.to_owned()),
        _ => (app.cloned(), named.to_owned()),
    }
}

/// Whether this is what an app calls an attachment. Names of variables and attachments may be typed in lower case.
fn names(attachment: &Attachment, named: &str) -> bool {
    attachment.name.eq_ignore_ascii_case(named)
        || attachment.id.to_string() == named
        || attachment.config_vars.iter().any(|var| var.eq_ignore_ascii_case(named))
}

fn only_some<T>(found: Vec<T>, what: &'static str, named: &str) -> Result<Vec<T>> {
    match found.len() {
        0 => Err(Error::not_found_because(
            if what == "add-on" { "add_on" } else { "add_on attachment" },
            format!("Couldn't find that {what}."),
        )),
        1 => Ok(found),
        _ => Err(Error::new(
            ErrorId::MultipleMatches,
            format!(
                "Ambiguous identifier {named:?}; multiple matching {what}s found. Name the app (--app), or the add-on itself."
            ),
        )),
    }
}
