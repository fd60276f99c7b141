//! What is left out of a layer.

use serde::{Deserialize, Serialize};

/// How many things a layer had that no container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Warnings {
    /// Devices.
    pub devices: u64,
    /// Fifos and sockets.
    pub fifos: u64,
    /// Files and folders that would have run as, or belonged to, their owner or group.
    pub setuid: u64,
    /// Extended attributes, capabilities and access lists among them.
    pub attributes: u64,
    /// Files whose owner or group has a number that containers do not have.
    pub ids: u64,
    /// Remains of another engine's layers.
    pub marks: u64,
}

impl Warnings {
    /// A sentence for each kind.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let all = [
            (self.devices, "device", "left out"),
            (self.fifos, "fifo or socket", "left out"),
            (self.setuid, "setuid or setgid bit", "cleared"),
            (self.attributes, "extended attribute", "left out"),
            (self.ids, "owner above 65535", "made 0"),
            (self.marks, "mark of another engine", "left out"),
        ];
        let some = all.iter().filter(|(count, ..)| *count > 0);
        some.map(|(count, what, done)| format!("{what}: {count} {done}")).collect()
    }
}
