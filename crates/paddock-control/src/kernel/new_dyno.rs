//! The row of a dyno that is about to be.

use paddock_core::dyno::{DynoKind, DynoName, DynoSize, DynoState};
use paddock_core::{ContainerId, DynoId, UnixMicros};
use paddock_store::{DesiredDynoState, Dyno, Release};
use uuid::Uuid;

/// Ports that web dynos are told to bind: high, and below the kernel's own choice.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// The row of a dyno that is to be started.
pub(crate) fn new_dyno(
    release: &Release,
    name: &DynoName,
    kind: DynoKind,
    command: String,
    size: DynoSize,
    now: UnixMicros,
) -> Dyno {
    let id = DynoId::from_uuid(Uuid::now_v7());
    Dyno {
        id,
        app_id: release.app_id,
        name: name.clone(),
        process_type: name.process_type.clone(),
        kind,
        command,
        size,
        release_id: release.id,
        release_version: release.version,
        generation: 0,
        state: DynoState::Starting,
        desired: DesiredDynoState::Running,
        container_id: Some(ContainerId::from_uuid(Uuid::now_v7())),
        address: None,
        port: name.process_type.is_web().then(|| random_port(id)),
        attach_secret_sha256: None,
        terminal_rows: None,
        terminal_columns: None,
        time_to_live_seconds: None,
        crash_count: 0,
        exit_status: None,
        created_at: now,
        state_changed_at: now,
        updated_at: now,
        retry_at: None,
        hang_ups: 0,
        hung_up_at: None,
        remark: String::new(),
    }
}

/// A port by the dyno's own id: nothing else listens in its network, so any will do.
fn random_port(id: DynoId) -> u16 {
    let entropy = u16::from_le_bytes([id.uuid().as_bytes()[14], id.uuid().as_bytes()[15]]);
    PORTS.start + entropy % (PORTS.end - PORTS.start)
}
