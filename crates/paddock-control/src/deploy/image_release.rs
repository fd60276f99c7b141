//! Releases of images: what `heroku container:release` and `container:rm` ask for.
//!
//! A release of images has, by process type, all that is needed to run. A new one is the one before it with some process types
//! changed; the first moves the app to the stack `container`.

use std::collections::BTreeMap;
use std::time::Duration;

use paddock_core::image::{Image, ImageCommand, ImageConfig, ProcessImage};
use paddock_core::stack::Stack;
use paddock_core::{AppId, BlobDigest, ErrorId, ProcessType, SlugId};
use paddock_store::{App, ImageState, NewSlug, ProcessImages, Release, Tx};
use tokio::time::Instant;
use uuid::Uuid;

use crate::deploy::Deploy;
use crate::deploy::release::announce;
use crate::deploy::release_steps::{ReleaseDraft, add_release, base_slug};
use crate::kernel::change::Change;
use crate::{Actor, Error, Result};

/// How long a release waits for images that were pushed just before.
const CONVERSION_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How often they are looked at when nothing tells of a change.
const LOOK: Duration = Duration::from_secs(1);

/// What becomes of a process type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOrder {
    pub process_type: String,
    /// The image's id; `None` removes the process type.
    pub image: Option<String>,
}

/// What becomes of process types; each is that of an image that is ready, or goes.
pub(crate) type ImageChanges = BTreeMap<ProcessType, Option<Image>>;

impl Deploy {
    /// The images that are to be released. Those that are still being made ready are waited for.
    ///
    /// # Errors
    /// `invalid_params` for a malformed process type or id, an image that the app does not have, that cannot be run or has no
    /// command; `service_unavailable` when images do not get ready in time.
    pub(crate) async fn images_of(&self, app: &App, orders: Vec<ImageOrder>) -> Result<ImageChanges> {
        let mut changes = BTreeMap::new();
        for order in orders {
            let name = &order.process_type;
            let process_type: ProcessType =
                name.parse().map_err(|_| Error::invalid(format!("{name:?} is no process type.")))?;
            let image = match &order.image {
                Some(id) => Some(self.ready_image(app, &process_type, id).await?),
                None => None,
            };
            if image.as_ref().is_some_and(|image| !image.config.runs(&ImageCommand::OfImage)) {
                return Err(Error::invalid(ImageConfig::no_command(&process_type)));
            }
            changes.insert(process_type, image);
        }
        Ok(changes)
    }

    /// The image with this id, once it can be run.
    async fn ready_image(&self, app: &App, process_type: &ProcessType, id: &str) -> Result<Image> {
        let digest: BlobDigest = id.parse().map_err(|_| {
            Error::invalid(format!(
                "{id:?} is no image: docker_image is the id of one, sha256: and 64 digits."
            ))
        })?;
        let until = Instant::now() + CONVERSION_PATIENCE;
        let mut woken = self.kernel.wakes.changes.listen();
        loop {
            let found = self.kernel.store.image(app.id, &digest).await?;
            let row = found.ok_or_else(|| not_pushed(app, process_type, &digest))?;
            match row.state {
                ImageState::Ready => {
                    return Ok(Image { id: row.id, layers: row.layers, base: None, config: row.config });
                }
                ImageState::Failed => {
                    let why = row.failure.unwrap_or_default();
                    return Err(Error::invalid(format!("The image of {process_type} cannot be run: {why}")));
                }
                ImageState::Pending if Instant::now() < until => {
                    woken.heard(LOOK).await;
                }
                ImageState::Pending => {
                    let text = "The image is still being made ready. Try again in a minute.";
                    return Err(Error::new(ErrorId::ServiceUnavailable, text));
                }
            }
        }
    }
}

/// Makes a release of images in the caller's transaction, all of the changes or none.
///
/// # Errors
/// `not_found` for a process type that is to go and is not there.
pub(crate) async fn add_release_of_images(
    tx: &mut Change<'_>,
    actor: &Actor,
    app: AppId,
    changes: ImageChanges,
) -> Result<Release> {
    let description = described(&changes);
    let images = changed(tx, app, changes).await?;
    let slug = slug_of(app, images, &description);
    tx.create_slug(&slug).await?;
    tx.set_build_stack(app, &Stack::CONTAINER).await?;
    let draft = ReleaseDraft {
        description: description.clone(),
        account_id: actor.account_id,
        slug_id: Some(slug.id),
        rollback_of: None,
    };
    let row = add_release(tx, app, draft).await?;
    tx.say(app, format!("{description} by user {}", actor.email));
    tx.say(app, announce(&row, &actor.email));
    Ok(row)
}

fn not_pushed(app: &App, process_type: &ProcessType, id: &BlobDigest) -> Error {
    let name = &app.name;
    Error::invalid(format!(
        "{name} has no image {id}. Push it first: heroku container:push {process_type} -a {name}, or docker push of \
         {name}/{process_type} to this server's registry. An image for linux/amd64 is needed."
    ))
}

/// What process types run after the change, beginning with what they would run without it.
async fn changed(tx: &mut Tx, app: AppId, changes: ImageChanges) -> Result<ProcessImages> {
    let before = match base_slug(tx, app).await? {
        Some(id) => tx.slug(id).await?,
        None => None,
    };
    let mut images = before.map(|slug| slug.images).unwrap_or_default();
    for (process_type, image) in changes {
        match image {
            Some(image) => {
                images.0.insert(process_type, ProcessImage { image, command: ImageCommand::OfImage });
            }
            None if images.0.remove(&process_type).is_some() => {}
            None => {
                let text = format!("Couldn't find that process type ({process_type}).");
                return Err(Error::not_found_because("formation", text));
            }
        }
    }
    Ok(images)
}

/// A row of images, which nothing was built for here.
fn slug_of(app: AppId, images: ProcessImages, description: &str) -> NewSlug {
    NewSlug {
        id: SlugId::from_uuid(Uuid::now_v7()),
        app_id: app,
        layer: String::new(),
        put_secret_sha256: None,
        size_bytes: 0,
        checksum: None,
        commit_id: None,
        commit_description: Some(description.to_owned()),
        process_types: shown_commands(&images),
        buildpack_description: Some("container".to_owned()),
        stack: Stack::CONTAINER,
        stack_version: String::new(),
        images,
    }
}

/// The commands of process types, as people see them.
pub(crate) fn shown_commands(images: &ProcessImages) -> BTreeMap<ProcessType, String> {
    images.0.iter().map(|(process_type, process)| (process_type.clone(), process.shown())).collect()
}

/// `Deployed web (0123456789ab), worker (...)`; `Removed worker`.
fn described(changes: &ImageChanges) -> String {
    let deployed: Vec<_> = changes
        .iter()
        .filter_map(|(name, image)| image.as_ref().map(|image| format!("{name} ({})", &image.id.hex()[..12])))
        .collect();
    let removed: Vec<_> =
        changes.iter().filter(|(_, image)| image.is_none()).map(|(name, _)| name.to_string()).collect();
    let parts = [("Deployed", deployed), ("Removed", removed)];
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    parts.map(|(verb, names)| format!("{verb} {}", names.join(", "))).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_says_what_it_changes() {
        let image = |byte| {
            let (id, config) = (BlobDigest::of_sha256([byte; 32]), ImageConfig::default());
            Some(Image { id, layers: Vec::new(), base: None, config })
        };
        let said = |changes: Vec<(&str, Option<Image>)>| {
            described(&changes.into_iter().map(|(name, image)| (name.parse().unwrap(), image)).collect())
        };
        assert_eq!(said(vec![("web", image(0xab))]), "Deployed web (abababababab)");
        assert_eq!(
            said(vec![("web", image(1)), ("clock", None), ("release", image(2))]),
            "Deployed release (020202020202), web (010101010101); Removed clock"
        );
    }
}
