//! The door: who comes, what they speak, and who answers them.

pub(crate) mod accept;
pub(crate) mod http;
pub(crate) mod proxy_form;
