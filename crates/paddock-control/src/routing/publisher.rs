//! Which host is which app, and which dynos answer for it, as the router is told.
//!
//! One app's route is one message, with a generation that grows across restarts: what changed is read of one app and told
//! of one app. The whole table is for a router that we meet, or that has another generation than we think.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use paddock_core::config::ConfigVars;
use paddock_core::dyno::{DynoKind, DynoState};
use paddock_core::plan::routes::{self, WebSeen};
use paddock_core::{AppId, ReleaseId};
use paddock_ipc::routes::{AppChange, AppRoute, DataNames, DynoRoute, RouteTable, Web};
use paddock_store::{
    App, AppSpan, DataAddress, DesiredDynoState, Domain, Dyno, Formation, Release, Store, TouchedApps,
};
use tokio::sync::Mutex;

use crate::kernel::error::{Error, chain};
use crate::kernel::reconcile::by_app;
use crate::kernel::round::Page;
use crate::kernel::routes::PublishRoutes;
use crate::kernel::wake::Wakes;
use crate::routing::proxy_form::Offer;
use crate::routing::router_link::RouterLink;
use crate::{ControlConfig, Result};

/// How long a use case waits for the router to use what changed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tells the router what changed.
pub(crate) struct Publisher {
    config: ControlConfig,
    store: Store,
    wakes: Arc<Wakes>,
    /// The router; `None` where nothing is routed (tests of use cases).
    pub(super) router: Option<Arc<RouterLink>>,
    /// What the router uses, as far as we know; also the lock that keeps messages in order. `None` while one is on its
    /// way: who is cut off in the middle leaves the whole table to the next.
    told: Mutex<Option<Arc<RouteTable>>>,
    /// Apps whose routes may have changed since they were told.
    touched: Arc<TouchedApps>,
    /// Whether the last message failed: until a pass has found the router again no use case waits for it.
    is_away: AtomicBool,
    pub(super) proxy_form: Offer,
}

#[async_trait]
impl PublishRoutes for Publisher {
    async fn publish(&self, app: AppId) {
        let Some(link) = self.router.clone() else { return };
        if self.is_away.load(Ordering::Relaxed) {
            // Nobody there: the reconciler brings one back and tells it everything, this app's change as well.
            return self.wakes.routes.wake();
        }
        match tokio::time::timeout(PATIENCE, self.send_app(&link, app)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.try_again(&error),
            Err(error) => self.try_again(&Error::internal("tell the router in time", error)),
        }
    }
}

impl Publisher {
    pub(crate) fn new(
        config: ControlConfig,
        store: Store,
        wakes: Arc<Wakes>,
        router: Option<Arc<RouterLink>>,
    ) -> Self {
        let (told, touched) = (Mutex::default(), store.touched_apps());
        Self {
            config,
            store,
            wakes,
            router,
            told,
            touched,
            is_away: AtomicBool::new(false),
            proxy_form: Offer::default(),
        }
    }

    /// Sends the whole table, as when what concerns no single app changed. The router reads its certificates again.
    pub(super) async fn publish_all(&self) {
        let Some(link) = self.router.clone() else { return };
        let mut told = self.told.lock().await;
        if let Err(error) = self.send_all(&link, &mut told).await {
            self.try_again(&error);
        }
    }

    /// Nobody says what was touched until now.
    #[cfg(test)]
    pub(crate) fn forget_touched(&self) -> std::collections::BTreeSet<AppId> {
        self.touched.take()
    }

    fn try_again(&self, error: &Error) {
        self.is_away.store(true, Ordering::Relaxed);
        tracing::debug!(error = chain(error), "routes wait for the next pass");
        self.wakes.routes.wake();
    }

    /// Nobody knows what the router uses.
    pub(super) async fn forget_told(&self) {
        *self.told.lock().await = None;
    }

    /// Sends the routes of apps that were touched, or everything where nobody knows what the router uses. How many
    /// messages that were.
    pub(super) async fn send_touched(&self, link: &RouterLink) -> Result<usize> {
        let mut sent = 0;
        {
            let mut told = self.told.lock().await;
            if told.is_none() {
                self.send_all(link, &mut told).await?;
                sent += 1;
            }
        }
        let mut left = self.touched.take();
        while let Some(app) = left.pop_first() {
            match self.send_app(link, app).await {
                Ok(was_sent) => sent += usize::from(was_sent),
                Err(error) => {
                    self.touched.put_back(left);
                    return Err(error);
                }
            }
        }
        self.is_away.store(false, Ordering::Relaxed);
        Ok(sent)
    }

    /// Reads the next apps of a round through all of them, and has sent what the router should have been told.
    pub(crate) async fn sweep(&self, page: Page) -> Result<Page> {
        let mut told = self.told.lock().await;
        let Some(table) = told.as_ref() else { return Ok(page) };
        let found = self.store.apps_after(page.after, page.max).await?;
        let next = page.next(&found);
        let now = self.routes_of(found).await?;
        let begin = page.after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.to_string()));
        let end = next.after.map_or(Bound::Unbounded, |last| Bound::Included(last.to_string()));
        let gone = table.apps.range((begin, end)).map(|(id, _)| id).filter(|id| !now.contains_key(*id));
        let differs = |id: &&String| table.apps.get(*id) != now.get(*id);
        let missed: Vec<AppId> =
            now.keys().filter(differs).chain(gone).filter_map(|id| id.parse().ok()).collect();
        if !missed.is_empty() {
            tracing::info!(apps = missed.len(), "routes were not told when they changed");
            self.touched.put_back(missed);
        }
        if !is_platform_equal(table, &self.empty_table()) {
            *told = None;
        }
        Ok(next)
    }

    /// Whether the app's route had to be sent.
    async fn send_app(&self, link: &RouterLink, app: AppId) -> Result<bool> {
        let mut told = self.told.lock().await;
        let Some(table) = told.as_ref() else { return self.send_all(link, &mut told).await.map(|()| true) };
        // What touches it from here on is looked at again: this may read it before.
        let looking = self.touched.look_at(app);
        let route = self.route(app).await?;
        let id = app.to_string();
        if table.apps.get(&id) == route.as_ref() {
            looking.seen();
            return Ok(false);
        }
        let change = AppChange { after: table.generation, generation: self.number(link).await?, id, route };
        let Some(mut table) = told.take().filter(|table| change.follows(table.generation)) else {
            return self.send_all(link, &mut told).await.map(|()| true);
        };
        // No copy: nobody else has it between two messages.
        let is_next = Arc::make_mut(&mut table).change(change.clone());
        debug_assert!(is_next, "it follows");
        link.send_routes(table.clone(), Some(change)).await.map_err(not_sent)?;
        *told = Some(table);
        looking.seen();
        Ok(true)
    }

    async fn send_all(&self, link: &RouterLink, told: &mut Option<Arc<RouteTable>>) -> Result<()> {
        *told = None;
        let touched = self.touched.take();
        let sent = async {
            let table = RouteTable { generation: self.number(link).await?, ..self.route_table().await? };
            let table = Arc::new(table);
            link.send_routes(table.clone(), None).await.map_err(not_sent)?;
            Ok(table)
        };
        match sent.await {
            Ok(table) => *told = Some(table),
            Err(error) => {
                self.touched.put_back(touched);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The next generation.
    async fn number(&self, link: &RouterLink) -> Result<u64> {
        // The router's own number is the greater one where the database was brought back to an earlier time. It has no
        // rights, and is not believed what no server ever counted to.
        let known = i64::try_from(link.generation()).ok().filter(|known| *known < 1 << 53).unwrap_or(0);
        let generation = self.store.next_routes_generation(known).await?;
        Ok(u64::try_from(generation).unwrap_or(0))
    }

    /// How requests of one app are answered; `None` when it is gone or another server's.
    pub(crate) async fn route(&self, id: AppId) -> Result<Option<AppRoute>> {
        let found = self.store.apps_within(AppSpan::of_one(id)).await?;
        Ok(self.routes_of(found).await?.remove(&id.to_string()))
    }

    /// The routes of all apps, without a generation.
    pub(crate) async fn route_table(&self) -> Result<RouteTable> {
        let mut table = self.empty_table();
        let mut page = Page::first();
        loop {
            let found = self.store.apps_after(page.after, page.max).await?;
            page = page.next(&found);
            table.apps.extend(self.routes_of(found).await?);
            if page.after.is_none() {
                return Ok(table);
            }
        }
    }

    fn empty_table(&self) -> RouteTable {
        RouteTable {
            generation: 0,
            domain: self.config.domain.clone(),
            resolvers: self.config.resolvers.clone(),
            hosts: BTreeMap::new(),
            apps: BTreeMap::new(),
            proxy_form: self.proxy_form.route(),
            trusted_proxies: self.config.trusted_proxies.clone(),
        }
    }

    /// The routes of apps that were read before, and come by id: of one, or of a page of them.
    async fn routes_of(&self, apps: Vec<App>) -> Result<BTreeMap<String, AppRoute>> {
        let Some(span) = AppSpan::of_page(&apps) else { return Ok(BTreeMap::new()) };
        let store = &self.store;
        let mut domains = by_app(store.domains_within(span).await?, |domain| domain.app_id);
        let releases = store.current_releases_within(span).await?;
        let releases: HashMap<_, _> =
            releases.iter().filter_map(|release| Some((release.app_id, deployed(release)?))).collect();
        let mut formations = by_app(store.formations_within(span).await?, |row| row.app_id);
        let mut dynos = by_app(store.dynos_within(span).await?, |dyno| dyno.app_id);
        let config = store.config_vars_within(span).await?;
        let mut data = by_app(store.data_addresses_within(span).await?, |one| one.app_id);
        let routes = apps.iter().map(|app| {
            let parts = RouteParts {
                domains: domains.remove(&app.id).unwrap_or_default(),
                release: releases.get(&app.id).copied(),
                formation: formations.remove(&app.id).unwrap_or_default(),
                dynos: dynos.remove(&app.id).unwrap_or_default(),
                pages: error_pages(config.get(&app.id)),
                data: data.remove(&app.id).unwrap_or_default(),
            };
            (app.id.to_string(), route_of(app, parts, &self.config.domain))
        });
        Ok(routes.collect())
    }
}

fn not_sent(error: super::router_link::RouterError) -> Error {
    Error::internal("send the routes", error)
}

/// Whether two tables say the same but of apps.
fn is_platform_equal(told: &RouteTable, now: &RouteTable) -> bool {
    (&told.domain, &told.resolvers, &told.proxy_form, &told.trusted_proxies)
        == (&now.domain, &now.resolvers, &now.proxy_form, &now.trusted_proxies)
}

/// What a route is made of besides its app.
struct RouteParts {
    domains: Vec<Domain>,
    /// The current one, if it has anything to run.
    release: Option<ReleaseId>,
    formation: Vec<Formation>,
    dynos: Vec<Dyno>,
    pages: [Option<String>; 2],
    data: Vec<DataAddress>,
}

fn deployed(release: &Release) -> Option<ReleaseId> {
    release.slug_id.map(|_| release.id)
}

/// The addresses of an app's own error and maintenance pages.
fn error_pages(config: Option<&ConfigVars>) -> [Option<String>; 2] {
    ["ERROR_PAGE_URL", "MAINTENANCE_PAGE_URL"].map(|key| config?.get(key).cloned())
}

fn route_of(app: &App, parts: RouteParts, platform: &str) -> AppRoute {
    let own = format!("{}.{platform}", app.name);
    let mut hosts: Vec<_> = parts.domains.into_iter().map(|domain| domain.hostname).chain([own]).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let [error_page_url, maintenance_page_url] = parts.pages;
    AppRoute {
        name: app.name.to_string(),
        hosts,
        maintenance: app.maintenance,
        data: data_names(parts.data, &parts.dynos),
        web: web_of(parts.release, &parts.formation, parts.dynos),
        error_page_url,
        maintenance_page_url,
    }
}

/// What dynos are told of by name: of every kind, and as soon as their address is known.
fn data_names(data: Vec<DataAddress>, dynos: &[Dyno]) -> DataNames {
    if data.is_empty() {
        return DataNames::default();
    }
    let runs = |dyno: &&Dyno| matches!(dyno.state, DynoState::Starting | DynoState::Up);
    let mut askers: Vec<_> = dynos.iter().filter(runs).filter_map(|dyno| dyno.address).collect();
    askers.sort_unstable();
    let addresses = data.into_iter().map(|one| (one.addon_id.to_string(), one.address)).collect();
    DataNames { addresses, askers }
}

/// What there is to route to.
fn web_of(release: Option<ReleaseId>, formation: &[Formation], dynos: Vec<Dyno>) -> Web {
    let is_wanted = formation.iter().any(|row| row.process_type.is_web() && row.quantity > 0);
    let web: Vec<_> = dynos
        .into_iter()
        .filter(|dyno| dyno.kind == DynoKind::Formation && dyno.name.process_type.is_web())
        .filter(|dyno| dyno.desired == DesiredDynoState::Running)
        .collect();
    let seen = web.iter().map(|dyno| WebSeen {
        name: dyno.name.clone(),
        release: dyno.release_id,
        version: dyno.release_version,
        state: dyno.state,
        state_since: dyno.state_changed_at,
        retry_at: dyno.retry_at,
    });
    match routes::web(release, is_wanted, &seen.collect::<Vec<_>>()) {
        routes::Web::Blank => Web::Blank,
        routes::Web::None => Web::None,
        routes::Web::Up(places) => {
            Web::Up { dynos: places.into_iter().filter_map(|place| dyno_route(&web[place])).collect() }
        }
        routes::Web::Crashed => Web::Crashed,
        routes::Web::Starting => Web::Starting,
    }
}

fn dyno_route(dyno: &Dyno) -> Option<DynoRoute> {
    let address = SocketAddr::new(dyno.address?, dyno.port?);
    Some(DynoRoute { name: dyno.name.to_string(), id: dyno.id.to_string(), address })
}
