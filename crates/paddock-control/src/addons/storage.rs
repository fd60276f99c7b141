//! How what an add-on stores stands to its plan, as the planner has it.

use paddock_core::plan::storage::StorageState as Planned;
use paddock_store::{Addon, StorageState};

pub(super) fn planned(addon: &Addon) -> Planned {
    let since = addon.storage_since;
    match addon.storage_state {
        StorageState::Available => Planned::Available,
        StorageState::Over => Planned::ActionRequired { since },
        StorageState::Restricted => Planned::Restricted { since },
    }
}
