//! Pure planners: what to do next, from what is wanted, what is seen, and what time it is.

pub mod backoff;
pub mod backup_retention;
pub mod backup_schedule;
pub mod data_server;
pub mod errands;
pub mod explain;
pub mod formation;
pub mod one_off;
pub mod reuse;
pub mod routes;
pub mod storage;
