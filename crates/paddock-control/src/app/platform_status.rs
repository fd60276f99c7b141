//! How the platform itself is, for everybody who asks: looked at now, and nothing that a stranger should not know.

use std::time::Duration;

use crate::app::Apps;

/// How long a part may take to show that it works.
const PATIENCE: Duration = Duration::from_secs(5);

/// A part of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// `Apps`, `Tools`.
    pub name: &'static str,
    pub works: bool,
    /// What it means for users when it does not.
    pub trouble: &'static str,
}

impl Apps {
    /// Apps work while their containers can be seen, tools (the API, git) while the database can be read. It tells no
    /// cause: who asks need not be anybody.
    pub async fn platform_status(&self) -> Vec<Part> {
        let containers = tokio::time::timeout(PATIENCE, self.runtime.observe());
        let database = tokio::time::timeout(PATIENCE, self.kernel.store.platform_generation());
        let (containers, database) = tokio::join!(containers, database);
        vec![
            Part {
                name: "Apps",
                works: matches!(containers, Ok(Ok(_))),
                trouble: "Dynos cannot be started, stopped or looked at.",
            },
            Part {
                name: "Tools",
                works: matches!(database, Ok(Ok(_))),
                trouble: "The database cannot be read.",
            },
        ]
    }
}
