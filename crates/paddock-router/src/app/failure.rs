//! Why an app's dyno did not answer.

use paddock_core::code::RouterCode;
use paddock_http1::Defect;

/// Why a dyno's answer did not come.
pub(crate) enum Failure {
    /// The router answers with this code.
    Code(RouterCode, Option<&'static str>),
    /// The request turned out malformed.
    Refused(Defect),
    /// It expects what no router does.
    ExpectsTooMuch,
    /// The client broke off: nobody to answer.
    ClientGone,
    /// The app was destroyed while the request waited.
    AppGone,
}

impl From<RouterCode> for Failure {
    fn from(code: RouterCode) -> Self {
        Self::Code(code, None)
    }
}
