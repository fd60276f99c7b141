//! Dynos: how many there shall be, what each runs, its start, its end, and who is attached to it. The pass of the
//! formation carries the release phase, so this area may call `deploy`.

pub(crate) mod attached;
pub mod dyno;
mod dyno_crash;
mod dyno_steps;
mod errands;
pub mod formation;
mod handover;
mod hang_up;
pub(crate) mod launch;
pub(crate) mod reconcile;
mod sight;
