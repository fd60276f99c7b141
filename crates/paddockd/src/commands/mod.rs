//! The commands of `paddockd`, one file each.

pub(crate) mod database;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod serve;
pub(crate) mod stop;
