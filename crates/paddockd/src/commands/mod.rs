//! The commands of `paddockd`, one file each.

pub(crate) mod account;
pub(crate) mod apps;
mod ask;
pub(crate) mod backup;
pub(crate) mod buildpacks;
pub(crate) mod database;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod keys;
pub(crate) mod metrics;
mod progress;
pub(crate) mod restore;
mod retention;
pub(crate) mod serve;
pub(crate) mod stack;
pub(crate) mod stop;
mod stopped;
pub(crate) mod storage;
mod table;
