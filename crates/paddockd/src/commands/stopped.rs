//! A server that does not run, for commands that then work on its store themselves.

use std::fs::File;
use std::path::Path;

use paddock_store::{DatabaseUrl, StoreConfig};

use crate::data_dir::take_lock;
use crate::database;
use crate::paths::Paths;
use crate::start_error::StartError;

/// No server starts on this data folder as long as this lives.
pub(super) struct StoppedServer {
    /// How its store is opened.
    pub(super) store: StoreConfig,
    _lock: File,
}

impl StoppedServer {
    /// Takes the lock of a data folder in which no server runs. The master key is where the operator says, or its usual place.
    pub(super) fn lock(
        paths: &Paths,
        master_key_file: Option<&Path>,
        url: Option<DatabaseUrl>,
    ) -> Result<Self, StartError> {
        if !paths.data.join("db").exists() {
            return Err(format!("{} is no data folder of a server", paths.data.display()).into());
        }
        let lock = take_lock(&paths.serve_lock())?;
        let database = database::choose(paths, url)?;
        let master_key_file = master_key_file.map_or_else(|| paths.master_key(), Path::to_owned);
        let store = StoreConfig::new(database, master_key_file, database::identity(paths)?);
        Ok(Self { store, _lock: lock })
    }
}
