//! Add-ons of a control plane of which nothing runs by itself.

use std::net::IpAddr;

use paddock_core::addon::AddonState;
use paddock_core::config::ConfigVars;
use paddock_core::{AddonId, AppId, AppRef, AttachmentId, CredentialId, DataServerId, ErrorId, VolumeId};
use paddock_store::{NewAddon, NewAttachment, NewCredential, NewDataServer};
use uuid::Uuid;

use super::{AttachmentOrder, DEFAULT};
use crate::Actor;
use crate::tests::Still;

mod again;
mod set_aside;

const ADDRESS: [u8; 4] = [10, 1, 2, 3];

impl Still {
    pub(crate) fn actor(&self) -> Actor {
        Actor { account_id: self.owner, email: "owner@example.com".to_owned(), authorization_id: None }
    }

    /// A provisioned add-on that nothing is attached to, with its first login `u1`.
    pub(crate) async fn addon(&self, app: AppId, name: &str) -> AddonId {
        let id = AddonId::from_uuid(Uuid::now_v7());
        let mut tx = self.control.kernel.change_platform("test").await.unwrap();
        let server = NewDataServer {
            id: DataServerId::from_uuid(Uuid::now_v7()),
            service: "heroku-fake".to_owned(),
            version: "1".to_owned(),
            shared: true,
            plan: None,
            volume_id: VolumeId::from_uuid(Uuid::now_v7()),
            password: "p".to_owned(),
        };
        tx.create_data_server(&server).await.unwrap();
        tx.set_data_server_address(server.id, IpAddr::from(ADDRESS)).await.unwrap();
        let new = NewAddon {
            id,
            name: name.to_owned(),
            app_id: app,
            service: "heroku-fake".to_owned(),
            plan: "small".to_owned(),
            options: Default::default(),
            secrets: [("database".to_owned(), "d1".to_owned())].into(),
            provision_message: None,
        };
        tx.create_addon(&new).await.unwrap();
        tx.place_addon(id, Some(server.id)).await.unwrap();
        tx.set_addon_state(id, AddonState::Provisioned).await.unwrap();
        tx.create_credential(&login(id, "u1")).await.unwrap();
        tx.commit_quietly("test.addon").await.unwrap();
        self.control.addons.record_enabled(id, DEFAULT).await.unwrap();
        id
    }

    async fn url_of(&self, app: AppId) -> String {
        let vars = self.control.kernel.store.config_vars(app).await.unwrap();
        vars.get("FAKE_URL").cloned().unwrap_or_default()
    }
}

fn login(addon: AddonId, user: &str) -> NewCredential {
    NewCredential {
        id: CredentialId::from_uuid(Uuid::now_v7()),
        addon_id: addon,
        name: DEFAULT.to_owned(),
        login: user.to_owned(),
        password: "secret".to_owned(),
    }
}

fn url(user: &str) -> String {
    format!("fake://{user}:secret@10.1.2.3:5432/d1")
}

/// Lets `waiting` come to where it waits for the turn that the caller has: it reads what it reads before it.
async fn until_it_waits<T>(t: &Still, waiting: &mut (impl Future<Output = T> + Unpin)) {
    let mut reads = 0;
    for _ in 0..3 {
        // As long as it goes on reading it is not there yet.
        loop {
            let polled = tokio::time::timeout(std::time::Duration::from_millis(100), &mut *waiting);
            assert!(polled.await.is_err(), "it does not wait for its turn");
            let now = t.control.kernel.store.statistics().reads;
            if now == reads {
                break;
            }
            reads = now;
        }
    }
}

/// A rotation that waits for its turn sees what was attached by whoever had it before: the old login ends.
#[tokio::test]
async fn what_is_attached_while_a_login_is_enabled_gets_it_too() {
    let t = Still::new().await;
    let app = t.deployed_app("shop", "web", "serve").await.app_id;
    let addon = t.addon(app, "shop-fake").await;
    let mut tx = t.control.kernel.record("test").await.unwrap();
    tx.create_credential(&login(addon, "u2")).await.unwrap();
    tx.commit_quietly("test.rotation").await.unwrap();

    let mut turn = t.control.kernel.change_platform("test").await.unwrap();
    let mut enabling = Box::pin(t.control.addons.record_enabled(addon, DEFAULT));
    until_it_waits(&t, &mut enabling).await;
    let attached: ConfigVars = [("FAKE_URL".to_owned(), url("u1"))].into();
    let new = NewAttachment {
        id: AttachmentId::from_uuid(Uuid::now_v7()),
        app_id: app,
        addon_id: addon,
        name: "FAKE".to_owned(),
        namespace: None,
        vars: attached.clone(),
    };
    turn.also_for_app(app).await.unwrap();
    turn.create_attachment(&new).await.unwrap();
    turn.set_attached(app, &attached).await.unwrap();
    turn.commit_quietly("test.attachment").await.unwrap();
    assert_eq!(t.url_of(app).await, url("u1"));
    enabling.await.unwrap();
    assert_eq!(t.url_of(app).await, url("u2"));
}

/// An attachment that waits for its turn says what is so when it has it.
#[tokio::test]
async fn who_attaches_while_a_login_is_enabled_gets_that_one() {
    let t = Still::new().await;
    let app = t.deployed_app("shop", "web", "serve").await.app_id;
    let addon = t.addon(app, "shop-fake").await;

    let mut turn = t.control.kernel.change_platform("test").await.unwrap();
    let (actor, shop) = (t.actor(), AppRef::Id(app));
    let order = AttachmentOrder { addon: "shop-fake".to_owned(), ..AttachmentOrder::default() };
    let mut attaching = Box::pin(t.control.addons.attach(&actor, &shop, order));
    until_it_waits(&t, &mut attaching).await;
    let new = login(addon, "u2");
    turn.create_credential(&new).await.unwrap();
    turn.enable_credential(new.id).await.unwrap();
    turn.commit_quietly("test.rotated").await.unwrap();
    attaching.await.unwrap();
    assert_eq!(t.url_of(app).await, url("u2"));
}

/// What goes between somebody's look and his change is a thing that is not there, and no failure of the platform's.
#[tokio::test]
async fn who_destroys_what_is_just_gone_hears_that_it_is_not_there() {
    let t = Still::new().await;
    let app = t.deployed_app("shop", "web", "serve").await.app_id;
    let addon = t.addon(app, "shop-fake").await;

    let mut turn = t.control.kernel.change_platform("test").await.unwrap();
    let (actor, shop) = (t.actor(), AppRef::Id(app));
    let mut destroying = Box::pin(t.control.addons.destroy_addon(&actor, &shop, "shop-fake", true));
    until_it_waits(&t, &mut destroying).await;
    turn.delete_addon(addon).await.unwrap();
    turn.commit_quietly("test.forgotten").await.unwrap();
    let error = destroying.await.unwrap_err();
    assert_eq!((error.id, error.message.as_str()), (ErrorId::NotFound, "Couldn't find that add-on."));
}
