//! Durable steps have names, so that a test can end the server before and after each of them.
//!
//! A step is durable when what it did outlives this process: on disk, in a repository, in the kernel. Each stands in a
//! [`durable!`](crate::durable), and `cargo xtask check-arch` finds those that do not. In what users run that is nothing
//! but the step; with the feature `fail-points` the two points around it, `NAME:before` and `NAME:after`, call the hook
//! that the server program has set. Nothing is read or written here.

#[cfg(feature = "fail-points")]
static HOOK: std::sync::OnceLock<fn(&'static str)> = std::sync::OnceLock::new();

/// Has `hook` called at each point from now on. The first hook stays.
#[cfg(feature = "fail-points")]
pub fn on_reached(hook: fn(&'static str)) {
    let _ = HOOK.set(hook);
}

/// A point was reached. Called by [`durable!`](crate::durable).
#[cfg(feature = "fail-points")]
pub fn reached(point: &'static str) {
    if let Some(hook) = HOOK.get() {
        hook(point);
    }
}

/// Carries out a step that was handed on with its name, between the two points around it: what a change does for a use
/// case. Elsewhere [`durable!`](crate::durable).
pub async fn step<T>(name: &'static str, step: impl Future<Output = T>) -> T {
    #[cfg(feature = "fail-points")]
    reached_side(name, "before");
    let outcome = step.await;
    #[cfg(feature = "fail-points")]
    reached_side(name, "after");
    let _ = name;
    outcome
}

/// Points are few and live as long as the program.
#[cfg(feature = "fail-points")]
fn reached_side(name: &'static str, side: &'static str) {
    static POINTS: std::sync::Mutex<std::collections::BTreeMap<(&str, &str), &'static str>> =
        std::sync::Mutex::new(std::collections::BTreeMap::new());
    let mut points = POINTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let point: &'static str =
        points.entry((name, side)).or_insert_with(|| Box::leak(format!("{name}:{side}").into_boxed_str()));
    drop(points);
    reached(point);
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
        $crate::fail_point::reached(concat!($name, ":before"));
        #[allow(
            clippy::disallowed_methods,
            clippy::let_unit_value,
            reason = "this is where the step gets its name"
        )]
        let outcome = $step;
        $crate::fail_point::reached(concat!($name, ":after"));
        outcome
    }};
}
