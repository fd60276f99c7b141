//! A PostgreSQL server elsewhere: encrypted, with its name proved by a certificate, and with a password.

use paddock_core::error::chain;
use paddock_core::{ServerId, UnixMicros};
use paddock_store::{Database, DatabaseUrl, ServerIdentity, Store, StoreConfig, StoreError};
use paddock_testkit::postgres::PostgresServer;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use uuid::Uuid;

const PASSWORD: &str = "p%40ss:w%2Frd";

struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for loopback, and its key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn file(&self, folder: &TempDir, name: &str) -> String {
        let path = folder.path().join(name);
        std::fs::write(&path, &self.certificate).unwrap();
        path.display().to_string()
    }
}

async fn open(folder: &TempDir, url: &str) -> Result<Store, StoreError> {
    let server = ServerIdentity {
        id: ServerId::from_uuid(Uuid::from_u128(1)),
        incarnation: Uuid::new_v4().to_string(),
        known: false,
    };
    let database = Database::Postgres(DatabaseUrl::new(url));
    Store::open(&StoreConfig::new(database, folder.path().join("keys/master"), server)).await
}

#[tokio::test]
async fn a_server_elsewhere_proves_its_name_and_takes_a_password() {
    let (ours, theirs, folder) = (Authority::new(), Authority::new(), TempDir::new().unwrap());
    let (certificate, key) = ours.issue();
    let Some(server) = PostgresServer::start_secured(&certificate, &key) else { return };
    server.sql("postgres", "CREATE ROLE keeper LOGIN PASSWORD 'p@ss:w/rd'");
    server.sql("postgres", "CREATE DATABASE platform OWNER keeper");
    let (right, wrong) = (ours.file(&folder, "ours.pem"), theirs.file(&folder, "theirs.pem"));
    let url = |password: &str, parameters: &str| {
        format!("postgres://keeper:{password}@127.0.0.1:{}/platform?{parameters}", server.port())
    };
    let verified = |root: &str| format!("sslmode=verify-full&sslrootcert={root}");

    let store = open(&folder, &url(PASSWORD, &verified(&right))).await.unwrap();
    store.begin_platform(UnixMicros(1), "test").await.unwrap().commit().await.unwrap();
    let encrypted = "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE usename = 'keeper'";
    let counted = server.sql("postgres", encrypted);
    let (all, by_tls) = counted.trim().split_once('|').unwrap();
    assert!(all == by_tls && all != "0", "every connection is encrypted: {counted}");
    store.close().await;
    // Encrypted whoever it is, which is what a URL without sslmode gets over a network.
    open(&folder, &url(PASSWORD, "sslmode=require")).await.unwrap().close().await;

    for (password, parameters, word) in [
        ("wr0ng-s3cret", verified(&right), "password"),
        (PASSWORD, verified(&wrong), "certificate"),
        (PASSWORD, "sslmode=disable".to_owned(), "no encryption"),
    ] {
        let refused = open(&folder, &url(password, &parameters)).await.unwrap_err();
        let text = chain(&refused);
        assert!(text.to_lowercase().contains(word), "{parameters}: {text}");
        assert!(!format!("{text} {refused:?}").contains(password), "{text}");
    }
}
