//! Durable steps have names, so that a test can end the server before and after each of them.
//!
//! A step is durable when what it did outlives this process: on disk, in a repository, in the kernel. Each stands in a
//! [`durable!`](crate::durable), and `cargo xtask check-arch` finds those that do not. In what users run that is nothing
//! but the step; with the feature `fail-points` the two points around it, `NAME:before` and `NAME:after`, call the hook
//! that the server program has set. Nothing is read or written here.

#[cfg(feature = "fail-points")]
static HOOK: std::sync::OnceLock<fn(&'static str, Side)> = std::sync::OnceLock::new();

/// On which side of its step a point lies.
#[cfg(feature = "fail-points")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nothing of it was done.
    Before,
    /// All of it was.
    After,
}

/// Has `hook` called at each point from now on. The first hook stays.
#[cfg(feature = "fail-points")]
pub fn on_reached(hook: fn(&'static str, Side)) {
    let _ = HOOK.set(hook);
}

/// A point of the step with this name was reached. Called by [`durable!`](crate::durable).
#[cfg(feature = "fail-points")]
pub fn reached(name: &'static str, side: Side) {
    if let Some(hook) = HOOK.get() {
        hook(name, side);
    }
}

/// Carries out a step that was handed on with its name, between the two points around it: what a change does for a use
/// case. Elsewhere [`durable!`](crate::durable).
#[cfg(not(feature = "fail-points"))]
pub async fn step<T>(_: &'static str, step: impl Future<Output = T>) -> T {
    step.await
}

/// Carries out a step that was handed on with its name, between the two points around it.
#[cfg(feature = "fail-points")]
pub async fn step<T>(name: &'static str, step: impl Future<Output = T>) -> T {
    reached(name, Side::Before);
    let outcome = step.await;
    reached(name, Side::After);
    outcome
}

/// Names a durable step: `durable!("release.made", tx.commit().await)?`. Its value is the step's.
///
/// The name is `noun.what_is_so_then`, and no two steps share one. What `clippy.toml` keeps out of everything else may
/// stand in here.
#[cfg(not(feature = "fail-points"))]
#[macro_export]
macro_rules! durable {
    ($name:literal, $step:expr $(,)?) => {{
        #[allow(
            clippy::disallowed_methods,
            clippy::let_unit_value,
            reason = "this is where the step gets its name"
        )]
        let outcome = $step;
        outcome
    }};
}

/// Names a durable step, with a point before it and one after it.
#[cfg(feature = "fail-points")]
#[macro_export]
macro_rules! durable {
    ($name:literal, $step:expr $(,)?) => {{
        $crate::fail_point::reached($name, $crate::fail_point::Side::Before);
        #[allow(
            clippy::disallowed_methods,
            clippy::let_unit_value,
            reason = "this is where the step gets its name"
        )]
        let outcome = $step;
        $crate::fail_point::reached($name, $crate::fail_point::Side::After);
        outcome
    }};
}
