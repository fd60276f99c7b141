//! Apps and what is set on them. A change of an app's config vars is a release, so this area may call `deploy`.

#[expect(clippy::module_inception, reason = "the area is named after its first noun")]
mod app;
pub mod buildpack_installation;
mod config_var;
pub mod feature;
pub mod platform_status;
pub mod stack;

pub use app::{App, AppChange, AppOrder};

use std::sync::Arc;

use paddock_runtime::Runtime;

use crate::deploy::Deploy;
use crate::kernel::Kernel;
use crate::kernel::end_of_app::EndOfApp;

/// The use cases of apps.
pub struct Apps {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) deploy: Arc<Deploy>,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Lets go of what an app has besides.
    pub(crate) addons: Arc<dyn EndOfApp>,
}
