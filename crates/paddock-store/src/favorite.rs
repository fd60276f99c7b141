//! Favorites: the apps that an account wants at hand. An app is one at most once, and only while the account sees it.

use paddock_core::{AccountId, AppId, AppName, FavoriteId, UnixMicros};

use crate::Tx;
use crate::engine::{reads, row, statements, values};
use crate::error::Result;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Favorite {
    pub id: FavoriteId,
    pub app_id: AppId,
    pub app_name: AppName,
    pub created_at: UnixMicros,
}

row!(Favorite { id, app_id, app_name, created_at } optional {});

statements! {
    OF_ACCOUNT = "SELECT favorites.id, favorites.app_id, apps.name AS app_name, favorites.created_at \
        FROM favorites JOIN apps ON apps.id = favorites.app_id \
        WHERE favorites.account_id = $1 AND (apps.owner_id = $1 OR EXISTS (SELECT 1 FROM collaborators \
        WHERE collaborators.app_id = apps.id AND collaborators.account_id = $1)) ORDER BY apps.name";
    CREATE = "INSERT INTO favorites (id, account_id, app_id, created_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (account_id, app_id) DO NOTHING";
    DELETE = "DELETE FROM favorites WHERE account_id = $1 AND id = $2";
}

reads! {
    /// The favorites of an account, by the apps' names.
    favorites(account_id: AccountId) -> all Favorite: OF_ACCOUNT [account_id];
}

impl Tx {
    /// Makes an app a favorite of an account, if it is none yet.
    pub async fn create_favorite(
        &mut self,
        id: FavoriteId,
        account_id: AccountId,
        app_id: AppId,
    ) -> Result<()> {
        self.execute(CREATE, values![id, account_id, app_id, self.now]).await.map(drop)
    }

    /// Takes a favorite off an account's. Whether it was one.
    pub async fn delete_favorite(&mut self, account_id: AccountId, id: FavoriteId) -> Result<bool> {
        Ok(self.execute(DELETE, values![account_id, id]).await? > 0)
    }
}
