//! What the operator asks of the disk.

use paddock_control::Control;
use paddock_control::platform::storage::{Storage, StorageKind, StorageOfApp};
use paddock_ipc::admin::{AdminAnswer, AppStorageLine, StorageLine};

pub(super) async fn answer(control: &Control) -> AdminAnswer {
    match control.platform.storage().await {
        Ok(Storage { kinds, apps }) => AdminAnswer::Storage {
            kinds: kinds.into_iter().map(line).collect(),
            apps: apps.into_iter().map(app_line).collect(),
        },
        Err(error) => AdminAnswer::Refused { reason: error.message },
    }
}

fn line(kind: StorageKind) -> StorageLine {
    let StorageKind { what, count, bytes, freed_bytes, why } = kind;
    StorageLine { what: what.to_owned(), count, bytes, freed_bytes, why }
}

fn app_line(of_app: StorageOfApp) -> AppStorageLine {
    let StorageOfApp { app, layer_bytes, registry_bytes, repository_bytes, build_cache_bytes } = of_app;
    AppStorageLine { app, layer_bytes, registry_bytes, repository_bytes, build_cache_bytes }
}
