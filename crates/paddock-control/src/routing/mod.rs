//! Which hosts lead to which dynos: domains, the router and what it tells, the platform's own certificates.

pub mod certificate_authority;
pub mod domain;
pub mod proxy_form;
pub(crate) mod router_lines;
pub mod router_link;
pub(crate) mod routes;
