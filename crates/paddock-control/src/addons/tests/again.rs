//! What does not work at once: tried again at growing distances, told as seldom, and given up in the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use paddock_core::addon::{AddonState, PROVISIONING_MAX};
use paddock_core::log::LogFilter;
use paddock_core::{AddonId, AppId, AttachmentId, DataServerId, VolumeId};
use paddock_runtime::RuntimeError;
use paddock_store::{Addon, NewAddon, NewAttachment, NewDataServer};
use uuid::Uuid;

use super::login;
use crate::addons::reconcile::AddonReconciler;
use crate::kernel::reconcile::{PassReport, Reconciler as _};
use crate::tests::{SetClock, Still};

const MINUTE: Duration = Duration::from_secs(60);

/// A control plane whose data servers are looked after when a test says so.
struct Data {
    t: Still,
    clock: Arc<SetClock>,
    reconciler: AddonReconciler,
    app: AppId,
}

impl Data {
    async fn new() -> Self {
        let clock = Arc::new(SetClock::now());
        let t = Still::with_clock(clock.clone()).await;
        let app = t.deployed_app("shop", "web", "serve").await.app_id;
        let reconciler = AddonReconciler::new(t.control.addons.clone());
        Self { t, clock, reconciler, app }
    }

    async fn server(&self, shared: bool) -> DataServerId {
        let id = DataServerId::from_uuid(Uuid::now_v7());
        let mut tx = self.t.control.kernel.change_platform("test").await.unwrap();
        let server = NewDataServer {
            id,
            service: "heroku-fake".to_owned(),
            version: "1".to_owned(),
            shared,
            plan: (!shared).then(|| "large".to_owned()),
            volume_id: VolumeId::from_uuid(Uuid::now_v7()),
            password: "p".to_owned(),
        };
        tx.create_data_server(&server).await.unwrap();
        tx.commit_quietly("test.server").await.unwrap();
        id
    }

    /// Orders an add-on as its verb does; its database is called as it is.
    async fn order(&self, server: DataServerId, name: &str, plan: &str) -> AddonId {
        let id = AddonId::from_uuid(Uuid::now_v7());
        let mut tx = self.t.control.kernel.change_platform("test").await.unwrap();
        tx.also_for_app(self.app).await.unwrap();
        let new = NewAddon {
            id,
            name: name.to_owned(),
            app_id: self.app,
            service: "heroku-fake".to_owned(),
            plan: plan.to_owned(),
            options: Default::default(),
            secrets: [("database".to_owned(), name.to_owned())].into(),
            provision_message: None,
        };
        tx.create_addon(&new).await.unwrap();
        tx.place_addon(id, Some(server)).await.unwrap();
        tx.create_credential(&login(id, &format!("u-{name}"))).await.unwrap();
        let attachment = NewAttachment {
            id: AttachmentId::from_uuid(Uuid::now_v7()),
            app_id: self.app,
            addon_id: id,
            name: name.to_ascii_uppercase(),
            namespace: None,
            vars: Default::default(),
        };
        tx.create_attachment(&attachment).await.unwrap();
        tx.commit_quietly("test.order").await.unwrap();
        id
    }

    async fn pass(&mut self) -> PassReport {
        self.reconciler.pass().await.unwrap()
    }

    /// Passes, each when the one before it wants the next one, for so long.
    async fn passes_for(&mut self, time: Duration) {
        let mut left = time;
        loop {
            let wait = self.pass().await.again_in.unwrap_or(MINUTE);
            if wait > left {
                return self.clock.advance(left);
            }
            left -= wait;
            self.clock.advance(wait);
        }
    }

    async fn addon(&self, id: AddonId) -> Option<Addon> {
        self.t.control.kernel.store.addon(id).await.unwrap()
    }

    async fn state(&self, id: AddonId) -> Option<AddonState> {
        self.addon(id).await.map(|addon| addon.state)
    }

    /// The address that a server was given by its first start.
    async fn address(&self, server: DataServerId) -> SocketAddr {
        let row = self.t.control.kernel.store.data_server(server).await.unwrap().unwrap();
        SocketAddr::new(row.address.unwrap(), 5432)
    }

    async fn releases(&self) -> i64 {
        self.t.control.kernel.store.current_release(self.app).await.unwrap().unwrap().version
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_asked_less_and_less() {
    let mut d = Data::new().await;
    let server = d.server(true).await;
    let addon = d.order(server, "one", "small").await;
    assert_eq!(d.pass().await.again_in, Some(Duration::from_millis(50)), "it is started");
    let address = d.address(server).await;
    d.t.fake.set_away(address, true);
    let end = d.t.control.now() + 10 * MINUTE;
    while d.t.control.now() < end {
        // The clock has microseconds.
        let wait = d.pass().await.again_in.unwrap().as_micros();
        let [wait, half] = [wait + 1, wait / 2].map(|us| Duration::from_micros(u64::try_from(us).unwrap()));
        // Woken by something else meanwhile, it is not asked.
        d.clock.advance(half);
        let asked = d.t.fake.asked(address);
        assert!(d.pass().await.again_in.unwrap() <= wait);
        assert_eq!(d.t.fake.asked(address), asked);
        d.clock.advance(wait - half);
    }
    // Each 50 ms for five seconds, in the end each ten seconds.
    let asked = d.t.fake.asked(address);
    assert!((150..220).contains(&asked), "{asked}");
    d.t.fake.set_away(address, false);
    d.pass().await;
    assert_eq!(d.state(addon).await, Some(AddonState::Provisioned));
}

#[tokio::test]
async fn a_start_that_fails_is_put_off_longer_and_longer() {
    let mut d = Data::new().await;
    let server = d.server(true).await;
    let addon = d.order(server, "one", "small").await;
    let fail = |d: &Data| {
        let source = std::io::Error::other("no memory").into();
        d.t.runtime.fail_next_start(RuntimeError::Host { doing: "start it".to_owned(), source });
    };
    let end = d.t.control.now() + 10 * MINUTE;
    while d.t.control.now() < end {
        fail(&d);
        let report = d.pass().await;
        d.clock.advance(report.again_in.unwrap());
    }
    let row = d.t.control.kernel.store.data_server(server).await.unwrap().unwrap();
    // At once, after 1, 2, 4 seconds and so on, in the end each minute.
    assert!((14..19).contains(&row.failed_starts), "{}", row.failed_starts);
    // Another process of the server goes on with that.
    d.reconciler = AddonReconciler::new(d.t.control.addons.clone());
    fail(&d);
    d.pass().await;
    let again = d.t.control.kernel.store.data_server(server).await.unwrap().unwrap();
    assert!(again.failed_starts <= row.failed_starts + 1);
    d.passes_for(2 * MINUTE).await;
    d.passes_for(2 * MINUTE).await;
    assert_eq!(d.state(addon).await, Some(AddonState::Provisioned));
}

#[tokio::test]
async fn an_add_on_that_cannot_be_made_holds_up_no_other() {
    let mut d = Data::new().await;
    let server = d.server(true).await;
    d.t.fake.refuse("bad", true);
    let (bad, good) = (d.order(server, "bad", "small").await, d.order(server, "good", "small").await);
    d.passes_for(MINUTE).await;
    assert_eq!(
        [d.state(bad).await, d.state(good).await],
        [Some(AddonState::Provisioning), Some(AddonState::Provisioned)]
    );
    let tried = d.t.fake.asked(d.address(server).await);
    assert!(tried < 20, "{tried}");
    // What comes now does not wait for it either.
    let new = d.order(server, "new", "small").await;
    d.pass().await;
    assert_eq!(d.state(new).await, Some(AddonState::Provisioned));
    d.t.fake.refuse("bad", false);
    d.passes_for(MINUTE).await;
    assert_eq!(d.state(bad).await, Some(AddonState::Provisioned));
}

/// On a server that never answers: the add-on is nobody's any more, and its app is told.
#[tokio::test]
async fn what_cannot_be_made_in_time_is_given_up() {
    for plan in ["small", "large"] {
        let mut d = Data::new().await;
        let server = d.server(plan == "small").await;
        let addon = d.order(server, "one", plan).await;
        let releases = d.releases().await;
        d.pass().await;
        let address = d.address(server).await;
        d.t.fake.set_away(address, true);
        d.pass().await;
        d.clock.advance(PROVISIONING_MAX - MINUTE);
        d.pass().await;
        assert_eq!(d.state(addon).await, Some(AddonState::Provisioning));
        d.clock.advance(MINUTE);
        d.pass().await;
        assert_eq!(d.state(addon).await, Some(AddonState::Deprovisioned), "{plan}");
        assert_eq!(d.t.control.kernel.store.attachments_of_app(d.app).await.unwrap(), []);
        assert_eq!(d.releases().await, releases, "no app had anything of it");
        let log = d.t.control.kernel.logs.read(d.app, LogFilter::default(), usize::MAX).await.unwrap();
        let told = format!(
            "one could not be made within 12 hours and is given up. Order it again: heroku addons:create heroku-fake:{plan}"
        );
        assert_eq!(log.lines.iter().filter(|(_, line)| line.text == told).count(), 1, "{plan}");
        // Its own server goes with it. A shared one takes it off when it answers.
        d.t.fake.set_away(address, plan == "large");
        d.passes_for(2 * MINUTE).await;
        assert_eq!(d.state(addon).await, None, "{plan}");
        let servers = d.t.control.kernel.store.data_servers().await.unwrap().len();
        assert_eq!(servers, usize::from(plan == "small"));
    }
}
