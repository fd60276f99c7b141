//! Keeps the router's table true, and a router running: a pass tells it of the apps that were touched and not told, and
//! now and then looks at all of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Result;
use crate::kernel::error::{Error, chain};
use crate::kernel::reconcile::{PassReport, Reconciler};
use crate::kernel::round::Round;
use crate::kernel::wake::{Wake, Wakes};
use crate::routing::Routing;
use crate::routing::router_link::{RouterError, RouterLink, RouterStarter};

/// Keeps the router's table true, and a router running.
pub(crate) struct RouteReconciler {
    routing: Arc<Routing>,
    starter: Arc<dyn RouterStarter>,
    round: Round,
}

impl RouteReconciler {
    /// For this control plane; `starter` brings back a router that is gone.
    #[must_use]
    pub(crate) fn new(routing: Arc<Routing>, starter: Arc<dyn RouterStarter>) -> Self {
        Self { routing, starter, round: Round::slowly() }
    }

    /// Talks to the router that runs, or starts one.
    async fn revive(&self, link: &RouterLink) -> Result<()> {
        match link.adopt().await {
            Ok(_) => return Ok(()),
            Err(RouterError::Away { .. }) => {}
            Err(error) => return Err(Error::internal("talk to the router", error)),
        }
        tracing::warn!("the router is gone: starting another on the same sockets");
        link.start(self.starter.as_ref())
            .await
            .map_err(|error| Error::internal("start the router", error))?;
        Ok(())
    }
}

#[async_trait]
impl Reconciler for RouteReconciler {
    const NAME: &'static str = "routes";
    const INTERVAL: Duration = Duration::from_secs(2);

    fn wake(wakes: &Wakes) -> Option<&Wake> {
        Some(&wakes.routes)
    }

    async fn pass(&mut self) -> Result<PassReport> {
        let Some(link) = self.routing.publisher.router.clone() else { return Ok(PassReport::default()) };
        let again_in = Some(Duration::from_millis(100));
        let publisher = &self.routing.publisher;
        if link.ping().await.is_err() {
            publisher.forget_told().await;
            self.revive(&link).await?;
        }
        if let Some(page) = self.round.page() {
            let next = publisher.sweep(page).await?;
            self.round.stepped(next);
        }
        match publisher.send_touched(&link).await {
            Ok(done) => Ok(PassReport { done, ..PassReport::default() }),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "the router did not take the routes, will be tried again"
                );
                Ok(PassReport { failed: 1, again_in, ..PassReport::default() })
            }
        }
    }
}
