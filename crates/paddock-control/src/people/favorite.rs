//! Favorites: the apps that an account wants at hand.

use paddock_core::{AppRef, FavoriteId};
use uuid::Uuid;

use crate::people::People;
use crate::{Actor, Error, Result};

pub use paddock_store::Favorite;

impl People {
    /// The favorites of the account that asks, by the apps' names.
    pub async fn list_favorites(&self, actor: &Actor) -> Result<Vec<Favorite>> {
        Ok(self.kernel.store.favorites(actor.account_id).await?)
    }

    /// Makes an app a favorite of the account that asks; one that is a favorite already stays it.
    pub async fn add_favorite(&self, actor: &Actor, app: &AppRef) -> Result<Favorite> {
        let app = self.kernel.visible_app(actor, app).await?;
        let mut tx = self.kernel.change_platform("add a favorite").await?;
        let id = FavoriteId::from_uuid(Uuid::now_v7());
        tx.create_favorite(id, actor.account_id, app.id).await?;
        let favorites = tx.favorites(actor.account_id).await?;
        tx.commit_quietly("favorite.made").await?;
        let found = favorites.into_iter().find(|favorite| favorite.app_id == app.id);
        found.ok_or_else(|| Error::not_found("app"))
    }

    /// Takes a favorite off the account's that asks.
    pub async fn remove_favorite(&self, actor: &Actor, id: &str) -> Result<Favorite> {
        let favorites = self.list_favorites(actor).await?;
        let found = favorites.into_iter().find(|favorite| favorite.id.to_string() == id);
        let favorite = found.ok_or_else(|| Error::not_found("favorite"))?;
        let mut tx = self.kernel.change_platform("remove a favorite").await?;
        tx.delete_favorite(actor.account_id, favorite.id).await?;
        tx.commit_quietly("favorite.removed").await?;
        Ok(favorite)
    }
}
