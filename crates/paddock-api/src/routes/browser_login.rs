//! The login broker that `heroku login` opens a browser through: not built, and said in a sentence it shows.

use paddock_core::ErrorId;

use super::{Access, Endpoint, post};
use crate::problem::Problem;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![post(Access::Public, "/auth", begin)]
}

async fn begin() -> Problem {
    Problem::new(
        ErrorId::NotFound,
        "Logging in by browser is not built on this server yet. Use: heroku login --interactive",
    )
}
