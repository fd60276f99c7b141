//! Which host is which app, and which dynos answer for it, as the router is told.
//!
//! The whole table is sent with a generation that grows across restarts; the router refuses smaller ones. A table
//! that is equal to the last one acknowledged is not sent again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use paddock_core::ReleaseId;
use paddock_core::config::ConfigVars;
use paddock_core::dyno::{DynoKind, DynoState};
use paddock_ipc::routes::{AppRoute, DynoRoute, RouteTable, Web};
use paddock_store::{App, DesiredDynoState, Dyno, Formation, Store};

use crate::kernel::error::{Error, chain};
use crate::kernel::handover::gets_requests;
use crate::kernel::reconcile::by_app;
use crate::kernel::routes::PublishRoutes;
use crate::kernel::wake::Wakes;
use crate::routing::proxy_form::Offer;
use crate::routing::router_link::RouterLink;
use crate::{ControlConfig, Result};

/// Tells the router what changed.
pub(crate) struct Publisher {
    pub(super) config: ControlConfig,
    pub(super) store: Store,
    pub(super) wakes: Arc<Wakes>,
    /// The router; `None` where nothing is routed (tests of use cases).
    pub(super) router: Option<Arc<RouterLink>>,
    pub(super) last: LastRoutes,
    pub(super) proxy_form: Offer,
}

impl Publisher {
    pub(crate) fn new(
        config: ControlConfig,
        store: Store,
        wakes: Arc<Wakes>,
        router: Option<Arc<RouterLink>>,
    ) -> Self {
        Self { config, store, wakes, router, last: LastRoutes::default(), proxy_form: Offer::default() }
    }
}

#[async_trait]
impl PublishRoutes for Publisher {
    async fn publish(&self) {
        self.publish_now().await;
    }
}

/// The last table the router took, but for its generation; also the lock that keeps tables in order.
pub(crate) type LastRoutes = tokio::sync::Mutex<Option<RouteTable>>;

impl Publisher {
    /// Sends the routes as they are now and waits until the router uses them. What fails is tried again by the
    /// reconciler.
    async fn publish_now(&self) {
        let Some(link) = self.router.clone() else { return };
        if let Err(error) = self.send_routes(&link).await {
            tracing::debug!(error = chain(&error), "routes wait for the next pass");
            self.wakes.routes.wake();
        }
    }

    /// Has the router read its certificates again: it does with each table, and gets the same one once more.
    pub(super) async fn have_certificates_read(&self) {
        *self.last.lock().await = None;
        self.publish_now().await;
    }

    /// Whether a table had to be sent.
    pub(super) async fn send_routes(&self, link: &RouterLink) -> Result<bool> {
        let mut last = self.last.lock().await;
        let mut table = self.route_table().await?;
        if let Some(last) = last.as_ref() {
            table.generation = last.generation;
            if *last == table {
                return Ok(false);
            }
        }
        // The router's own number is the greater one where the database was brought back to an earlier time. It has no
        // rights, and is not believed what no server ever counted to.
        let known = i64::try_from(link.generation()).ok().filter(|known| *known < 1 << 53).unwrap_or(0);
        let generation = self.store.next_routes_generation(known).await?;
        table.generation = u64::try_from(generation).unwrap_or(0);
        link.send_routes(table.clone()).await.map_err(|error| Error::internal("send the routes", error))?;
        *last = Some(table);
        Ok(true)
    }

    /// Reads of all apps at once: this is asked for at every change of any dyno.
    pub(crate) async fn route_table(&self) -> Result<RouteTable> {
        let apps = self.store.apps().await?;
        let mut dynos = by_app(self.store.all_dynos().await?, |dyno| dyno.app_id);
        let mut formations = by_app(self.store.formations().await?, |row| row.app_id);
        let releases = self.store.current_releases().await?;
        let releases: HashMap<_, _> = releases
            .into_iter()
            .filter_map(|release| Some((release.app_id, release.slug_id.map(|_| release.id)?)))
            .collect();
        let config = self.store.all_config_vars().await?;
        let mut table = RouteTable {
            generation: 0,
            domain: self.config.domain.clone(),
            resolvers: self.config.resolvers.clone(),
            hosts: BTreeMap::new(),
            apps: BTreeMap::new(),
            proxy_form: self.proxy_form.route(),
            trusted_proxies: self.config.trusted_proxies.clone(),
        };
        let ours: HashSet<_> = apps.iter().map(|app| app.id).collect();
        for domain in self.store.all_domains().await? {
            // Domains of apps on other servers of this database are theirs to route.
            if ours.contains(&domain.app_id) {
                table.hosts.insert(domain.hostname, domain.app_id.to_string());
            }
        }
        for app in apps {
            table.hosts.insert(format!("{}.{}", app.name, self.config.domain), app.id.to_string());
            let release = releases.get(&app.id).copied();
            let formation = formations.remove(&app.id).unwrap_or_default();
            let web = web_of(release, &formation, dynos.remove(&app.id).unwrap_or_default());
            let pages = error_pages(config.get(&app.id));
            table.apps.insert(app.id.to_string(), route_of(&app, web, pages));
        }
        Ok(table)
    }
}

/// The addresses of an app's own error and maintenance pages.
fn error_pages(config: Option<&ConfigVars>) -> [Option<String>; 2] {
    ["ERROR_PAGE_URL", "MAINTENANCE_PAGE_URL"].map(|key| config?.get(key).cloned())
}

fn route_of(app: &App, web: Web, [error_page_url, maintenance_page_url]: [Option<String>; 2]) -> AppRoute {
    AppRoute {
        name: app.name.to_string(),
        // In the table's one list.
        hosts: Vec::new(),
        maintenance: app.maintenance,
        web,
        error_page_url,
        maintenance_page_url,
    }
}

/// What there is to route to. Precedence of the answers: contract `platform-behaviour.md`, end of the H table.
fn web_of(release: Option<ReleaseId>, formation: &[Formation], dynos: Vec<Dyno>) -> Web {
    let Some(release) = release else { return Web::Blank };
    let wanted = formation.iter().any(|row| row.process_type.is_web() && row.quantity > 0);
    let web: Vec<_> = dynos
        .into_iter()
        .filter(|dyno| dyno.kind == DynoKind::Formation && dyno.name.process_type.is_web())
        .filter(|dyno| dyno.desired == DesiredDynoState::Running)
        .collect();
    let up: Vec<_> = web.iter().filter(|dyno| gets_requests(dyno, &web)).filter_map(dyno_route).collect();
    if !wanted {
        Web::None
    } else if !up.is_empty() {
        Web::Up { dynos: up }
    } else {
        // What an older release's dynos came to says nothing of this one's, which may not have begun yet.
        let mut current = web.iter().filter(|dyno| dyno.release_id == release).peekable();
        let has_crashed = current.peek().is_some() && current.all(waits_after_a_crash);
        if has_crashed { Web::Crashed } else { Web::Starting }
    }
}

/// Whether it crashed and is not tried again at once, as it is after its first crash and after a reboot of the machine:
/// clients wait for that.
fn waits_after_a_crash(dyno: &Dyno) -> bool {
    dyno.state == DynoState::Crashed && dyno.retry_at.is_none_or(|at| at > dyno.state_changed_at)
}

fn dyno_route(dyno: &Dyno) -> Option<DynoRoute> {
    let address = SocketAddr::new(dyno.address?, dyno.port?);
    Some(DynoRoute { name: dyno.name.to_string(), id: dyno.id.to_string(), address })
}
