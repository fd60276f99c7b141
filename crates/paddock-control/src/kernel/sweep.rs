//! What an area does about what it left behind: each sweeps what it makes.

use async_trait::async_trait;
use paddock_core::AppId;

use crate::Result;

/// One area's part of the garbage pass.
#[async_trait]
pub(crate) trait Sweep: Send + Sync {
    /// Removes the files of an app that was destroyed and of which nothing runs any more. It is asked again for a day: what
    /// comes late is removed as well.
    async fn remove_app(&mut self, app: AppId) -> Result<()>;

    /// Removes what nobody can reach any more: what each part came to, in things removed. One that fails does not keep the
    /// others from their turn.
    async fn sweep(&mut self) -> Vec<Result<u64>>;
}
