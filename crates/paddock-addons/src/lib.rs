//! Add-ons: what they are, what they cost, and the steps by which one is made, changed and taken down.
//!
//! Nothing here keeps state or calls anybody above: a [`Service`] answers with plans of what to run ([`ServerPlan`]) and with
//! steps that may be repeated after a crash at any point. Who has which add-on, what is due and what becomes of a failure is
//! control's.
//!
//! Services: [`postgres`]; a fake in [`fake`].
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests look at files, processes and the clock themselves")
)]

mod catalogue;
#[cfg(feature = "contract")]
pub mod contract;
mod error;
pub mod fake;
mod plan;
pub mod postgres;
mod resource;
mod secret;
mod server;
mod service;

pub use catalogue::Catalogue;
pub use error::{Refusal, StepError};
pub use plan::{Family, Placement, Plan, ServiceInfo};
pub use resource::{Credential, Login, Order, Resource, Used};
pub use secret::{Random, Secret};
pub use server::{Certificate, File, ServerAccess, ServerOrder, ServerPlan};
pub use service::Service;
