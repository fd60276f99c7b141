//! The steps of a dyno's life, carried out for the formation reconciler. Each may be repeated after a crash.
//!
//! ```text
//! (row) starting ──launch──▶ starting ──listens──▶ up ──asked to end──▶ SIGTERM ──exit──▶ (no row)
//!           │                   │ R10, exit         │ exit
//!           └───────────────────┴──────▶ crashed ◀──┘ ──retry time──▶ (no row; a new dyno of that name is made)
//! ```
//!
//! `make` writes the row, `launch` starts its container, `observe` writes what is seen of it, `crash` and `end` how it ends;
//! `hang_up` is for one-off dynos, `handover` tells who serves from one release to the next.

mod crash;
mod end;
mod handover;
mod hang_up;
mod launch;
mod make;
mod observe;
