//! A server of its own for each test: given an app, when a call is made, then an answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use paddock_addons::Catalogue;
use paddock_addons::fake::FakeService;
use paddock_addons::postgres::Postgres;
use paddock_api::{Api, serve, serve_rendezvous};
use paddock_build::git::{GitConfig, Repositories};
use paddock_build::{Builder, BuilderConfig};
use paddock_control::{Clock, Control, ControlConfig, Machine, Parts};
use paddock_core::addon::AddonState;
use paddock_core::buildpack::BuildpackUrls;
use paddock_core::stack::{Stack, StackVersion};
use paddock_core::{
    AddonId, AttachmentId, CredentialId, DataServerId, ServerId, SlugId, UnixMicros, VolumeId,
};
use paddock_images::{Blobs, layer_store};
use paddock_outbound::{Outbound, Roots};
use paddock_runtime::Runtime;
use paddock_runtime::fake::FakeRuntime;
use paddock_store::{
    Database, DatabaseUrl, NewAddon, NewAttachment, NewCredential, NewDataServer, NewSlug, ServerIdentity,
    Store, StoreConfig,
};
use paddock_telemetry::{LogPlane, OutputLogs, Retention};
use paddock_testkit::postgres::{PostgresServer, TestDatabase};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const OWNER: &str = "owner@example.com";
pub(crate) const STRANGER: &str = "stranger@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const VERSION_3: &str = "application/vnd.heroku+json; version=3";
/// What the registry of an app may hold.
pub(crate) const REGISTRY_BYTES: u64 = 4 << 20;
/// How long a test waits for a state before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The machine's clock, which a test can move on, or hold where it is.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    moved_on: AtomicI64,
    /// Microseconds; 0 while it runs.
    held_at: AtomicI64,
}

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.moved_on.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// From now on it stands still but for [`TestClock::advance`].
    pub(crate) fn hold(&self) {
        self.held_at.store(machine_time(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMicros {
        let now = match self.held_at.load(Ordering::SeqCst) {
            0 => machine_time(),
            held_at => held_at,
        };
        UnixMicros(now + self.moved_on.load(Ordering::SeqCst))
    }
}

fn machine_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// Whether this is the suite on PostgreSQL: it is included once for each engine, as a module of that name.
fn on_postgres() -> bool {
    match module_path!() {
        "api::postgres::support" => true,
        "api::sqlite::support" => false,
        other => unreachable!("{other} names no engine"),
    }
}

/// What stays of a server between two of its processes: its data folder, its database, its containers.
#[derive(Clone)]
pub(crate) struct Place {
    folder: Arc<TempDir>,
    database: Option<Arc<TestDatabase>>,
    runtime: FakeRuntime,
    number: u128,
    /// How long the store waits for its database; the product's own time unless a test has less.
    patience: Option<Duration>,
}

impl Place {
    /// A new server; servers of one database have different numbers.
    pub(crate) fn new(database: Option<Arc<TestDatabase>>, number: u128) -> Self {
        let folder = Arc::new(TempDir::new_in(paddock_testkit::place::in_memory()).unwrap());
        Self { folder, database, runtime: FakeRuntime::new(), number, patience: None }
    }

    /// A second server on the database of this one, which is given the master key as an operator would.
    #[allow(dead_code, reason = "several servers share a database on PostgreSQL alone")]
    pub(crate) fn beside(&self) -> Self {
        let other = Self::new(self.database.clone(), self.number + 1);
        std::fs::create_dir(other.folder.path().join("keys")).unwrap();
        let key = "keys/master";
        std::fs::copy(self.folder.path().join(key), other.folder.path().join(key)).unwrap();
        other
    }

    /// The same with less patience for the database.
    #[allow(dead_code, reason = "databases restart on PostgreSQL alone")]
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    fn config(&self) -> StoreConfig {
        let data = self.folder.path();
        let database = match &self.database {
            Some(database) => Database::Postgres(DatabaseUrl::new(database.url())),
            None => Database::Sqlite(data.join("db/paddock.sqlite")),
        };
        let server = ServerIdentity {
            id: ServerId::from_uuid(Uuid::from_u128(self.number)),
            incarnation: Uuid::new_v4().to_string(),
            known: false,
        };
        let mut config = StoreConfig::new(database, data.join("keys/master"), server);
        config.patience = self.patience.unwrap_or(config.patience);
        config
    }
}

/// A server with two accounts: the owner, whose token calls carry, and a stranger.
pub(crate) struct TestPaddock {
    pub(crate) control: Arc<Control>,
    pub(crate) store: Store,
    pub(crate) runtime: FakeRuntime,
    pub(crate) outputs: Arc<OutputLogs>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) token: String,
    pub(crate) stranger: String,
    socket: PathBuf,
    rendezvous: PathBuf,
    stop: CancellationToken,
    server: Option<JoinHandle<()>>,
    #[allow(dead_code, reason = "started again on PostgreSQL alone; goes with the server everywhere")]
    pub(crate) place: Place,
}

impl Drop for TestPaddock {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TestPaddock {
    pub(crate) async fn start() -> Self {
        let server = if on_postgres() { PostgresServer::shared() } else { None };
        let database = server.map(|server| Arc::new(server.database()));
        Self::start_with_accounts(Place::new(database, 1)).await
    }

    /// A server on an empty database.
    pub(crate) async fn start_with_accounts(place: Place) -> Self {
        let paddock = Self::open(place, Arc::new(TestClock::default())).await;
        for email in [OWNER, STRANGER] {
            paddock.control.people.create_account(email, None, PASSWORD).await.unwrap();
        }
        paddock.with_tokens().await
    }

    #[allow(dead_code, reason = "several servers share a database on PostgreSQL alone")]
    /// Another process of a server, or another server of a database that has accounts.
    pub(crate) async fn start_at(place: Place) -> Self {
        Self::open(place, Arc::new(TestClock::default())).await.with_tokens().await
    }

    async fn with_tokens(mut self) -> Self {
        self.token = self.log_in(OWNER).await;
        self.stranger = self.log_in(STRANGER).await;
        self
    }

    /// Another run of the server on what this one left on disk, with the same tokens. To end this one in an orderly
    /// way is the caller's choice.
    pub(crate) async fn another_run(&self) -> Self {
        let mut paddock = Self::open(self.place.clone(), self.clock.clone()).await;
        paddock.token = self.token.clone();
        paddock.stranger = self.stranger.clone();
        paddock
    }

    async fn open(place: Place, clock: Arc<TestClock>) -> Self {
        let data = place.folder.path().to_owned();
        let outputs = Arc::new(OutputLogs::open(data.join("outputs")).unwrap());
        let store = Store::open(&place.config()).await.unwrap();
        let port = Arc::new(place.runtime.clone());
        let parts = parts(&data, store.clone(), port, outputs.clone(), clock.clone());
        let control = Arc::new(Control::new(parts));
        let (socket, rendezvous) = (data.join("serve.sock"), data.join("rendezvous.sock"));
        for left in [&socket, &rendezvous] {
            let _ = std::fs::remove_file(left);
        }
        let stop = CancellationToken::new();
        let api = Arc::new(Api::new(control.clone()));
        let server = tokio::spawn(serve(UnixListener::bind(&socket).unwrap(), api.clone(), stop.clone()));
        tokio::spawn(serve_rendezvous(UnixListener::bind(&rendezvous).unwrap(), api, stop.clone()));
        Self {
            control,
            store,
            runtime: place.runtime.clone(),
            outputs,
            clock,
            token: String::new(),
            stranger: String::new(),
            socket,
            rendezvous,
            stop,
            server: Some(server),
            place,
        }
    }

    /// As [`Self::start`], with everything that acts by itself: jobs, formation, output; and web dynos that listen.
    pub(crate) async fn start_alive() -> Self {
        let paddock = Self::start().await;
        paddock.act_by_itself();
        paddock
    }

    /// Starts jobs, formation, output; and web dynos listen.
    pub(crate) fn act_by_itself(&self) {
        let (control, stop) = (self.control.clone(), self.stop.clone());
        for reconciler in control.reconcilers(None) {
            if ["addons", "formation", "output", "rate_limits"].contains(&reconciler.name) {
                tokio::spawn(reconciler.run(stop.clone()));
            }
        }
        let (jobs, token) = (control.clone(), stop.clone());
        tokio::spawn(async move { jobs.run_jobs(Uuid::new_v4().to_string(), token).await });
        tokio::spawn(let_web_dynos_listen(self.runtime.clone(), control, stop));
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        self.place.folder.path()
    }

    /// Logs in by password, as the official client does; a new token.
    pub(crate) async fn log_in(&self, email: &str) -> String {
        let call = self.post("/oauth/authorizations").basic(email, PASSWORD);
        let answer = call.json(json!({ "description": "test", "scope": ["global"] })).send().await;
        answer.expect(201)["access_token"]["token"].as_str().unwrap().to_owned()
    }

    /// Makes an app.
    pub(crate) async fn app(&self, name: &str) -> Value {
        self.post("/apps").json(json!({ "name": name })).send().await.expect(201).clone()
    }

    /// Makes an app and releases a slug with these process types, as a build would.
    pub(crate) async fn deployed_app(&self, name: &str, process_types: &[(&str, &str)]) -> Value {
        let app = self.app(name).await;
        self.deploy(name, process_types).await;
        app
    }

    /// Releases a new slug of the app; the release.
    pub(crate) async fn deploy(&self, name: &str, process_types: &[(&str, &str)]) -> Value {
        let slug = self.slug(name, process_types).await;
        let order = json!({ "slug": slug, "description": "Deploy 12345678" });
        self.post(&format!("/apps/{name}/releases")).json(order).send().await.expect(201).clone()
    }

    /// Has the app's attachments say this, all of it.
    pub(crate) async fn attach(&self, app: &str, vars: &[(&str, &str)]) {
        let app = self.store.app_by_name(app).await.unwrap().unwrap();
        let vars = vars.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut tx = self.store.begin_for_app(app.id, self.control.now(), "test").await.unwrap();
        tx.set_attached(app.id, &vars).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Stores an add-on that is provisioned, with one attachment, as its reconciler would; the ids of both.
    pub(crate) async fn addon(
        &self,
        app: &str,
        plan: (&str, &str),
        name: &str,
        attachment: &str,
    ) -> (String, String) {
        let app = self.store.app_by_name(app).await.unwrap().unwrap();
        let id = AddonId::from_uuid(Uuid::now_v7());
        let mut tx = self.store.begin_for_app(app.id, self.control.now(), "test").await.unwrap();
        let server = NewDataServer {
            id: DataServerId::from_uuid(Uuid::now_v7()),
            service: plan.0.to_owned(),
            version: "15".to_owned(),
            shared: true,
            plan: None,
            volume_id: VolumeId::from_uuid(Uuid::now_v7()),
            password: "p".to_owned(),
        };
        tx.create_data_server(&server).await.unwrap();
        let new = NewAddon {
            id,
            name: name.to_owned(),
            app_id: app.id,
            service: plan.0.to_owned(),
            plan: plan.1.to_owned(),
            options: Default::default(),
            secrets: [("database", "d1"), ("role", "u1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            provision_message: None,
        };
        tx.create_addon(&new).await.unwrap();
        tx.place_addon(id, Some(server.id)).await.unwrap();
        let credential = NewCredential {
            id: CredentialId::from_uuid(Uuid::now_v7()),
            addon_id: id,
            name: "default".to_owned(),
            login: format!("u{}", name.len()),
            password: "p".to_owned(),
        };
        tx.create_credential(&credential).await.unwrap();
        let attached = NewAttachment {
            id: AttachmentId::from_uuid(Uuid::now_v7()),
            app_id: app.id,
            addon_id: id,
            name: attachment.to_owned(),
            namespace: None,
            vars: [(format!("{attachment}_URL"), format!("fake://{name}"))].into(),
        };
        tx.create_attachment(&attached).await.unwrap();
        tx.set_addon_state(id, AddonState::Provisioned).await.unwrap();
        tx.commit().await.unwrap();
        (id.to_string(), attached.id.to_string())
    }

    /// Stores an attachment; its id.
    pub(crate) async fn attachment(
        &self,
        addon: &str,
        app: &str,
        name: &str,
        namespace: Option<&str>,
    ) -> String {
        let addon = self.store.addons().await.unwrap().into_iter().find(|row| row.name == addon).unwrap();
        let app = self.store.app_by_name(app).await.unwrap().unwrap();
        let new = NewAttachment {
            id: AttachmentId::from_uuid(Uuid::now_v7()),
            app_id: app.id,
            addon_id: addon.id,
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            vars: [(format!("{name}_URL"), "fake://reader".to_owned())].into(),
        };
        let mut tx = self.store.begin_for_app(app.id, self.control.now(), "test").await.unwrap();
        tx.create_attachment(&new).await.unwrap();
        tx.commit().await.unwrap();
        new.id.to_string()
    }

    /// Stores a slug; its id.
    pub(crate) async fn slug(&self, app: &str, process_types: &[(&str, &str)]) -> String {
        let app = self.store.app_by_name(app).await.unwrap().unwrap();
        let id = SlugId::from_uuid(Uuid::now_v7());
        let types =
            process_types.iter().map(|(name, command)| (name.parse().unwrap(), (*command).to_owned()));
        let new = NewSlug {
            id,
            app_id: app.id,
            layer: format!("sha256:{}", "0".repeat(64)),
            put_secret_sha256: None,
            size_bytes: 2048,
            checksum: Some(format!("SHA256:{}", "0".repeat(64))),
            commit_id: Some("1234567890abcdef".to_owned()),
            commit_description: Some("first".to_owned()),
            process_types: types.collect(),
            buildpack_description: Some("Procfile".to_owned()),
            stack: Stack::HOST,
            stack_version: "test".to_owned(),
            images: Default::default(),
        };
        let mut tx = self.store.begin_for_app(app.id, self.control.now(), "test").await.unwrap();
        tx.create_slug(&new).await.unwrap();
        tx.commit().await.unwrap();
        id.to_string()
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    pub(crate) fn put(&self, path: &str) -> Call<'_> {
        self.call("PUT", path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call<'_> {
        self.call("PATCH", path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call<'_> {
        self.call("DELETE", path)
    }

    /// A call with the owner's token and the version that clients ask for.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call<'_> {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static(VERSION_3));
        headers.insert("host", HeaderValue::from_static("localhost:5000"));
        let method = method.parse().unwrap();
        let call =
            Call { paddock: self, method, path: path.to_owned(), headers, body: Bytes::new(), tls: false };
        call.token(&self.token.clone())
    }

    /// The files that hold the database, if it is in files of ours.
    pub(crate) fn database_files(&self) -> Vec<PathBuf> {
        match self.place.database {
            Some(_) => Vec::new(),
            None => {
                let folder = std::fs::read_dir(self.place.folder.path().join("db")).unwrap();
                folder.map(|entry| entry.unwrap().path()).collect()
            }
        }
    }

    /// Ends the server and waits for its end.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        self.server.take().unwrap().await.unwrap();
    }

    /// A raw connection of the router, after its header.
    pub(crate) async fn connection(&self) -> UnixStream {
        connect(&self.socket, false).await
    }

    /// A raw connection without the router's header.
    pub(crate) async fn bare_connection(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// A raw connection of a rendezvous client.
    pub(crate) async fn rendezvous(&self) -> UnixStream {
        connect(&self.rendezvous, false).await
    }

    /// Waits until `look` finds something; fails naming `what` when it does not in time.
    pub(crate) async fn eventually<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut changes = self.control.kernel.wakes.changes.listen();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < deadline, "did not happen in time: {what}");
            changes.heard(Duration::from_millis(20)).await;
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a list of parts")]
fn parts(
    data: &Path,
    store: Store,
    runtime: Arc<FakeRuntime>,
    outputs: Arc<OutputLogs>,
    clock: Arc<TestClock>,
) -> Parts {
    let layers = layer_store(data.join("layers")).unwrap();
    let builder = BuilderConfig {
        folder: data.join("builds"),
        caches: data.join("caches"),
        archives: data.join("buildpacks"),
        site_env: Default::default(),
        buildpack_urls: BuildpackUrls::HttpsOnly,
        buildpack_folder: None,
        host_stack: StackVersion { stack: Stack::HOST, version: "test".to_owned() },
        libraries: None,
        slug_bytes_max: 1 << 20,
    };
    let git = GitConfig {
        folder: data.join("git"),
        hooks: data.join("git-hooks"),
        program: PathBuf::from("/usr/bin/git"),
        uid: rustix::process::geteuid().as_raw(),
        hook_program: PathBuf::from("/bin/true"),
        hook_socket: data.join("hook.sock"),
        repository_bytes_max: 1 << 30,
        archive_bytes_max: 1 << 30,
        confine: Arc::new(|program, _| tokio::process::Command::new(program)),
    };
    let postgres = Arc::new(Postgres::new([(15, "/usr/lib/postgresql/15/bin".to_owned())]));
    Parts {
        config: ControlConfig {
            data_dir: data.to_owned(),
            domain: "paddock.example".to_owned(),
            listen: "127.0.0.1:5000".parse().unwrap(),
            program: "test".to_owned(),
            host_stack_version: "test".to_owned(),
            resolvers: Vec::new(),
            trusted_proxies: Vec::new(),
            concurrent_builds: 2,
            build_disk: paddock_core::build::BuildDisk::Unlimited,
            layer_cache_bytes: u64::MAX,
            dyno_disk: paddock_core::dyno::DynoDisk::BySize,
            dyno_trial: Duration::ZERO,
            data_memory_percent: 100,
            data_storage_grace: Duration::from_secs(60),
            buildpack_age: Duration::ZERO,
            machine: Machine { millicores: 2000, memory_bytes: 4 << 30 },
            registry_bytes: REGISTRY_BYTES,
            buildpack_urls: BuildpackUrls::HttpsOnly,
        },
        store,
        builder: Arc::new(Builder::new(builder, runtime.clone(), layers.clone())),
        volumes: runtime.clone(),
        runtime,
        layers,
        blobs: Arc::new(Blobs::open(data.join("blobs")).unwrap()),
        repositories: Arc::new(Repositories::open(git).unwrap()),
        logs: Arc::new(
            LogPlane::open(
                data.join("logs"),
                Retention { lines_min: 1500, age_min: Duration::from_secs(60), bytes_max: 1 << 24 },
            )
            .unwrap(),
        ),
        outputs,
        backups: None,
        // Tests name servers of their own on loopback as what is elsewhere.
        outbound: Outbound::new(vec!["127.0.0.0/8".parse().unwrap()], Roots::of_system().unwrap()),
        router: None,
        clock,
        // One that is all there, and the real one without a server that answers.
        catalogue: Catalogue::new(vec![Arc::new(FakeService::default()), postgres.clone()]),
        postgres,
        certificates: data.join("ca"),
    }
}

/// Plays the apps: a container that was told a port listens on it.
async fn let_web_dynos_listen(runtime: FakeRuntime, control: Arc<Control>, stop: CancellationToken) {
    loop {
        for spec in runtime.specs() {
            let port = spec.env.iter().find(|(name, _)| name == "PORT").map(|(_, value)| value.clone());
            let port = port.and_then(|value| String::from_utf8(value).ok()?.parse::<u16>().ok());
            if let Some(port) = port {
                let address = std::net::SocketAddr::from(([0, 0, 0, 0], port));
                if runtime.listening(spec.id).await.is_ok_and(|listening| listening.is_empty()) {
                    runtime.listen(spec.id, vec![address]);
                }
            }
        }
        control.kernel.wakes.dynos.wake();
        control.kernel.wakes.output.wake();
        tokio::select! {
            () = stop.cancelled() => return,
            () = runtime.changed() => {}
        }
    }
}

/// A call that is being put together.
pub(crate) struct Call<'a> {
    paddock: &'a TestPaddock,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    tls: bool,
}

impl Call<'_> {
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn stranger(self) -> Self {
        let token = self.paddock.stranger.clone();
        self.token(&token)
    }

    pub(crate) fn anonymous(mut self) -> Self {
        self.headers.remove("authorization");
        self
    }

    pub(crate) fn basic(self, user: &str, password: &str) -> Self {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.header("authorization", &format!("Basic {pair}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        self
    }

    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn range(self, range: &str) -> Self {
        self.header("range", range)
    }

    pub(crate) fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    pub(crate) fn json(mut self, body: Value) -> Self {
        self.body = body.to_string().into();
        self.header("content-type", "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the call and reads the head of the answer; the body follows.
    pub(crate) async fn open(self) -> http::Response<Incoming> {
        let stream = connect(&self.paddock.socket, self.tls).await;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(self.method).uri(&self.path);
        *request.headers_mut().unwrap() = self.headers;
        sender.send_request(request.body(Full::new(self.body)).unwrap()).await.unwrap()
    }

    /// Sends the call and reads the whole answer.
    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        let response = tokio::time::timeout(PATIENCE, self.open()).await;
        let (parts, body) = response.unwrap_or_else(|_| panic!("{what} was not answered")).into_parts();
        let bytes = tokio::time::timeout(PATIENCE, body.collect()).await;
        let bytes = bytes.unwrap_or_else(|_| panic!("{what} was not answered in full")).unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { what, status: parts.status, headers: parts.headers, bytes, body }
    }
}

async fn connect(socket: &Path, tls: bool) -> UnixStream {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    let mut body = vec![192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x34, 0x13, 0x88];
    if tls {
        body.extend([0x20, 0, 5, 1, 0, 0, 0, 0]);
    }
    header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    header.extend(body);
    stream.write_all(&header).await.unwrap();
    stream
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    what: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) body: Value,
}

impl Answer {
    /// The body, if the status is as expected.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> &Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status.as_u16(), status, "{} answered {text}", self.what);
        &self.body
    }

    /// Status and error id of a refusal, whose body must be one.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, &str) {
        let text = String::from_utf8_lossy(&self.bytes);
        let id = self.body["id"].as_str();
        assert!(self.body["message"].as_str().is_some_and(|m| !m.is_empty()), "{}: {text}", self.what);
        (self.status.as_u16(), id.unwrap_or_else(|| panic!("{} has no error id: {text}", self.what)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
