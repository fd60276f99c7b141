//! New keys for what is sealed.

use std::path::Path;

use paddock_store::{MasterKeyRotation, StoreError};

use crate::platform::Platform;

/// What becomes of the key that secrets are sealed with when the master key, which wraps it, is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKey {
    /// It stays.
    Kept,
    /// Every secret is sealed again with another.
    Replaced,
}

impl Platform {
    /// Makes a new master key, in the place of the old one or in `new_file`, and if asked for a new data key; how many
    /// values were sealed again. No backup is made meanwhile.
    ///
    /// # Errors
    /// When a key file or the database could not be written; asking again goes on.
    pub async fn rotate_keys(
        &self,
        master_key_file: &Path,
        new_file: Option<&Path>,
        data_key: DataKey,
    ) -> std::result::Result<(MasterKeyRotation, Option<u64>), StoreError> {
        if data_key == DataKey::Replaced && self.kernel.store.is_shared() {
            let doing = "replace the data key while servers run";
            let instead = "Stop every server that uses this database, then ask again with --database-url";
            return Err(StoreError::OnServer { doing, instead });
        }
        let _one_at_a_time = self.garbage.lock().await;
        let rotation = self.kernel.store.rotate_master_key(master_key_file, new_file).await?;
        let resealed = match data_key {
            DataKey::Kept => None,
            DataKey::Replaced => {
                Some(self.kernel.store.rotate_data_key(new_file.unwrap_or(master_key_file)).await?)
            }
        };
        Ok((rotation, resealed))
    }
}
