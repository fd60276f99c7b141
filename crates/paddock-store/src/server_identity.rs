//! Who a server is in its database.

use paddock_core::ServerId;

/// Which server opens the store.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    /// The id of its data folder.
    pub id: ServerId,
    /// Differs with each start.
    pub incarnation: String,
    /// Whether it has used this very database before; then it is an error if the database does not know it.
    pub known: bool,
}
