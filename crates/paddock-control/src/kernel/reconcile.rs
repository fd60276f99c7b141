//! Reconcilers hold things true. A pass takes no input: wake-ups say "look", never "what", so there is one code path
//! after a crash, on another machine and on an ordinary day.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use paddock_core::AppId;
use tokio_util::sync::CancellationToken;

use crate::kernel::Kernel;
use crate::kernel::error::chain;
use crate::kernel::wake::{Listener, Wake, Wakes};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PassReport {
    pub done: usize,
    /// Steps that failed; they are tried again in a later pass.
    pub failed: usize,
    /// How soon to look again without a wake-up, when sooner than usual.
    pub again_in: Option<Duration>,
}

/// Holds one thing true.
#[async_trait]
pub trait Reconciler: Send {
    /// What it keeps true, for logs and metrics.
    const NAME: &'static str;
    /// How long it may go without looking when nothing wakes it.
    const INTERVAL: Duration;

    /// What tells it to look before its time, if anything does.
    fn wake(_: &Wakes) -> Option<&Wake> {
        None
    }

    /// Looks, plans, acts, records.
    async fn pass(&mut self) -> crate::Result<PassReport>;

    /// Waits for what its passes have begun and that goes on beside them. No pass follows.
    async fn end(&mut self) {}
}

/// A reconciler that is ready to run.
pub struct Task {
    /// What it keeps true.
    pub name: &'static str,
    run: Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>,
}

impl Task {
    /// Hears wake-ups from now on, and does nothing yet.
    #[must_use]
    pub fn new<R: Reconciler + 'static>(kernel: Arc<Kernel>, reconciler: R) -> Self {
        let wake = R::wake(&kernel.wakes).map_or_else(Listener::of_nothing, Wake::listen);
        Self { name: R::NAME, run: Box::new(move |stop| keep_true(kernel, reconciler, wake, stop).boxed()) }
    }

    /// Runs it until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        (self.run)(stop).await;
    }
}

/// Runs a reconciler until `stop`: a pass at once, then one for each wake-up and at least one for each interval. What
/// the passes began is waited for.
async fn keep_true<R: Reconciler>(
    kernel: Arc<Kernel>,
    mut reconciler: R,
    mut wake: Listener,
    stop: CancellationToken,
) {
    kernel.numbers.begun(R::NAME);
    loop {
        let began = Instant::now();
        let passed = reconciler.pass().await;
        kernel.numbers.pass(R::NAME, began.elapsed(), passed.as_ref());
        let wait = match passed {
            Ok(report) => {
                if report.done + report.failed > 0 {
                    tracing::debug!(reconciler = R::NAME, done = report.done, failed = report.failed, "pass");
                }
                report.again_in.unwrap_or(R::INTERVAL).min(R::INTERVAL)
            }
            Err(error) => {
                tracing::error!(
                    reconciler = R::NAME,
                    error = chain(&error),
                    "pass failed, will be tried again"
                );
                R::INTERVAL
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = wake.heard(wait) => {}
        }
    }
    reconciler.end().await;
}

/// What was read of all apps, app by app.
pub(crate) fn by_app<T>(rows: Vec<T>, app_of: impl Fn(&T) -> AppId) -> HashMap<AppId, Vec<T>> {
    let mut apps: HashMap<_, Vec<T>> = HashMap::new();
    for row in rows {
        apps.entry(app_of(&row)).or_default().push(row);
    }
    apps
}
