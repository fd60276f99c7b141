//! A database of its own for each test, and the rows that most tests need.

use paddock_core::config::{ConfigVars, OwnedConfig};
use paddock_core::dyno::{DynoKind, DynoSize, DynoState};
use paddock_core::release::ReleaseStatus;
use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, BuildId, DomainId, DynoId, ReleaseId, ServerId, SlugId, UnixMicros};
use paddock_store::{
    App, Database, DatabaseUrl, DesiredDynoState, DomainKind, Dyno, NewAccount, NewApp, NewBuild, NewDomain,
    NewRelease, NewSlug, Release, ServerIdentity, SourceKind, Store, StoreConfig,
};
use paddock_testkit::postgres::{PostgresServer, TestDatabase};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const NOW: UnixMicros = UnixMicros(1_800_000_000_000_000);

/// Takes back what the migrations after the ninth made, so that they are done again: a new migration has a word here.
pub(crate) const BACK_AT_VERSION_9: &str = "\
    DROP TABLE build_records; DROP TABLE buildpack_pins; DROP TABLE buildpack_archives; ALTER TABLE builds DROP COLUMN ran; \
    DROP INDEX builds_by_what_they_are_made_of; ALTER TABLE builds DROP COLUMN made_of; \
    DROP TABLE pulled_blobs; \
    DROP TABLE stacks; DROP TABLE stack_versions; DROP INDEX slugs_by_stack; ALTER TABLE builds DROP COLUMN stack_version; \
    DROP TABLE registry_blobs; DROP TABLE registry_manifests; DROP TABLE registry_references; DROP TABLE registry_tags; \
    DROP TABLE registry_uploads; DROP TABLE images; DROP TABLE converted_layers; DROP TABLE layer_blobs; DROP TABLE build_steps; \
    ALTER TABLE slugs DROP COLUMN images; ALTER TABLE dynos DROP COLUMN remark; ALTER TABLE apps DROP COLUMN build_stack; \
    DROP TABLE reports; DROP TABLE transfer_logs; DROP TABLE transfers; DROP TABLE transfer_schedules; DROP TABLE transfer_numbers; \
    DROP TABLE credentials; DROP TABLE attachments; DROP TABLE addons; DROP TABLE data_servers; \
    ALTER TABLE config DROP COLUMN attached; ALTER TABLE releases DROP COLUMN attached; \
    ALTER TABLE releases DROP COLUMN laid_on; DROP INDEX releases_with_slug; DROP INDEX domains_from_end; \
    ALTER TABLE domains DROP COLUMN from_end; DELETE FROM schema_migrations WHERE version > 9;";

/// The same of those after the seventeenth, for which a new migration has a word here, too.
pub(crate) const BACK_AT_VERSION_17: &str = "\
    DROP TABLE build_records; DROP TABLE buildpack_pins; DROP TABLE buildpack_archives; ALTER TABLE builds DROP COLUMN ran; \
    DROP INDEX builds_by_what_they_are_made_of; ALTER TABLE builds DROP COLUMN made_of; \
    DROP INDEX registry_manifests_about; ALTER TABLE registry_manifests DROP COLUMN subject; \
    ALTER TABLE registry_manifests DROP COLUMN untagged_at; \
    DELETE FROM schema_migrations WHERE version > 17;";

/// Whether this is the suite on PostgreSQL: it is included once for each engine, as a module of that name.
fn on_postgres() -> bool {
    match module_path!() {
        "store::postgres::fixture" => true,
        "store::sqlite::fixture" => false,
        other => unreachable!("{other} names no engine"),
    }
}

/// A store with its database and folder, which go with it.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
    database: Option<TestDatabase>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new_in(paddock_testkit::place::in_memory()).unwrap();
        let server = if on_postgres() { PostgresServer::shared() } else { None };
        let database = server.map(|server| server.database());
        let store = Store::open(&config(&folder, database.as_ref())).await.unwrap();
        Self { store, folder, database }
    }

    pub(crate) fn config(&self) -> StoreConfig {
        config(&self.folder, self.database.as_ref())
    }

    pub(crate) async fn account(&self, email: &str) -> AccountId {
        let id = AccountId::from_uuid(Uuid::now_v7());
        let mut tx = self.store.begin_platform(NOW, "test").await.unwrap();
        let new = NewAccount { id, email: email.into(), name: None, password_hash: None };
        tx.create_account(&new).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub(crate) async fn app(&self, name: &str) -> App {
        let owner_id = self.account(&format!("{name}@example.test")).await;
        let mut tx = self.store.begin_platform(NOW, "test").await.unwrap();
        let app = tx.create_app(&new_app(name, owner_id)).await.unwrap();
        tx.commit().await.unwrap();
        app
    }

    pub(crate) async fn slug(&self, app_id: AppId, layer: &str) -> SlugId {
        let id = SlugId::from_uuid(Uuid::now_v7());
        let mut tx = self.store.begin_for_app(app_id, NOW, "test").await.unwrap();
        tx.create_slug(&new_slug(id, app_id, layer)).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub(crate) async fn release(&self, app: &App, slug_id: Option<SlugId>, config: ConfigVars) -> Release {
        let mut tx = self.store.begin_for_app(app.id, NOW, "test").await.unwrap();
        let release = tx.create_release(&new_release(app, slug_id, config)).await.unwrap();
        tx.set_current_release(app.id, release.id).await.unwrap();
        tx.commit().await.unwrap();
        release
    }

    /// Puts all that a server's database holds into a file of the folder, bytes as they are; SQLite's are there already.
    pub(crate) fn dump(&self) {
        let Some(database) = &self.database else { return };
        let tables = database.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
        let rows = tables.lines().flat_map(|table| {
            let bytes =
                database.sql(&format!("SELECT encode(convert_to(t::text, 'UTF8'), 'escape') FROM {table} t"));
            let decoded: Vec<_> = bytes.split("\\\\x").map(unhex).collect();
            decoded.concat()
        });
        std::fs::write(self.folder.path().join("dump"), rows.collect::<Vec<u8>>()).unwrap();
    }

    /// Runs a statement behind the store's back.
    pub(crate) async fn sabotage(&self, sql: &'static str) {
        let Database::Sqlite(file) = self.config().database else {
            self.database.as_ref().unwrap().sql(sql);
            return;
        };
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
    }
}

/// One of the servers that share a database.
pub(crate) fn server(number: u128) -> ServerIdentity {
    let incarnation = Uuid::new_v4().to_string();
    ServerIdentity { id: ServerId::from_uuid(Uuid::from_u128(number)), incarnation, known: false }
}

fn config(folder: &TempDir, database: Option<&TestDatabase>) -> StoreConfig {
    let database = match database {
        Some(database) => Database::Postgres(DatabaseUrl::new(database.url())),
        None => Database::Sqlite(folder.path().join("db/paddock.sqlite")),
    };
    StoreConfig::new(database, folder.path().join("keys/master"), server(1))
}

/// A piece of a dump: the bytes that it begins with, where they are written as hexadecimal digits, then the rest.
fn unhex(text: &str) -> Vec<u8> {
    let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count() / 2 * 2;
    let bytes = (0..digits).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap());
    bytes.chain(text.bytes().skip(digits)).collect()
}

pub(crate) fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn new_domain(app_id: AppId, hostname: &str) -> NewDomain {
    NewDomain {
        id: DomainId::from_uuid(Uuid::now_v7()),
        app_id,
        hostname: hostname.into(),
        kind: DomainKind::Custom,
        cname: Some("x.example.test".into()),
        status: "pending".into(),
    }
}

pub(crate) fn new_app(name: &str, owner_id: AccountId) -> NewApp {
    NewApp { id: AppId::from_uuid(Uuid::now_v7()), name: name.parse().unwrap(), owner_id, stack: Stack::HOST }
}

pub(crate) fn new_slug(id: SlugId, app_id: AppId, layer: &str) -> NewSlug {
    NewSlug {
        id,
        app_id,
        layer: layer.into(),
        put_secret_sha256: None,
        size_bytes: 4096,
        checksum: Some("SHA256:00".into()),
        commit_id: Some("1a2b3c4d".into()),
        commit_description: None,
        process_types: [("web".parse().unwrap(), "serve \"x\" --port=$PORT".to_owned())].into(),
        buildpack_description: Some("Python".into()),
        stack: Stack::HOST,
        stack_version: "1".into(),
        images: Default::default(),
    }
}

pub(crate) fn new_release(app: &App, slug_id: Option<SlugId>, config: ConfigVars) -> NewRelease {
    NewRelease {
        id: ReleaseId::from_uuid(Uuid::now_v7()),
        app_id: app.id,
        description: "Deploy 1a2b3c4d".into(),
        account_id: app.owner_id,
        slug_id,
        status: ReleaseStatus::Succeeded,
        rollback_of: None,
        laid_on: None,
        release_command: None,
        output: None,
        config: OwnedConfig::of_user(config),
    }
}

pub(crate) fn new_build(app: &App) -> NewBuild {
    NewBuild {
        id: BuildId::from_uuid(Uuid::now_v7()),
        app_id: app.id,
        source_kind: SourceKind::Git,
        source: "1a2b3c4d".into(),
        source_version: Some("1a2b3c4d".into()),
        source_description: None,
        source_checksum: None,
        account_id: app.owner_id,
        buildpacks: vec!["https://example.test/a".into(), "urn:buildpack:heroku/python".into()],
        stack: Stack::HOST,
        stack_version: String::new(),
        branch: Some("main".into()),
        old_head: None,
    }
}

pub(crate) fn dyno(app_id: AppId, name: &str, release: &Release) -> Dyno {
    let name: paddock_core::dyno::DynoName = name.parse().unwrap();
    Dyno {
        id: DynoId::from_uuid(Uuid::now_v7()),
        app_id,
        process_type: name.process_type.clone(),
        name,
        kind: DynoKind::Formation,
        command: "serve".into(),
        size: DynoSize::Basic,
        release_id: release.id,
        release_version: release.version,
        generation: 1,
        state: DynoState::Starting,
        desired: DesiredDynoState::Running,
        container_id: None,
        address: None,
        port: None,
        attach_secret_sha256: None,
        terminal_rows: None,
        terminal_columns: None,
        time_to_live_seconds: None,
        crash_count: 0,
        exit_status: None,
        created_at: NOW,
        state_changed_at: NOW,
        updated_at: NOW,
        retry_at: None,
        hang_ups: 0,
        hung_up_at: None,
        remark: String::new(),
    }
}
