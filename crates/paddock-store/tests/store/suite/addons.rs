//! Add-ons, attachments, logins, and the data servers that they are on.

use std::collections::BTreeMap;
use std::time::Duration;

use paddock_core::addon::AddonState;
use paddock_core::config::ConfigVars;
use paddock_core::{
    AddonId, AppId, AttachmentId, CollaboratorId, ContainerId, CredentialId, DataServerId, VolumeId,
};
use paddock_store::{
    App, CollaboratorRole, Concerns, CredentialState, DataServer, DataServerState, NewAddon, NewAttachment,
    NewCredential, NewDataServer, OpenCredential, StorageState, Store, StoreError,
};
use uuid::Uuid;

use super::fixture::{Fixture, NOW, new_app, server, vars};

fn new_addon(app: &App, name: &str) -> NewAddon {
    NewAddon {
        id: AddonId::from_uuid(Uuid::now_v7()),
        name: name.into(),
        app_id: app.id,
        service: "heroku-postgresql".into(),
        plan: "essential-0".into(),
        options: [("version".to_owned(), "17".to_owned())].into(),
        secrets: vars(&[("database", "dabc"), ("role", "gabc")]),
        provision_message: None,
    }
}

fn new_attachment(app: &App, addon_id: AddonId, name: &str, vars: ConfigVars) -> NewAttachment {
    let id = AttachmentId::from_uuid(Uuid::now_v7());
    NewAttachment { id, app_id: app.id, addon_id, name: name.into(), namespace: None, vars }
}

fn new_credential(addon_id: AddonId, name: &str, login: &str) -> NewCredential {
    let id = CredentialId::from_uuid(Uuid::now_v7());
    NewCredential { id, addon_id, name: name.into(), login: login.into(), password: format!("p-of-{login}") }
}

fn new_data_server(shared: bool) -> NewDataServer {
    NewDataServer {
        id: DataServerId::from_uuid(Uuid::now_v7()),
        service: "heroku-postgresql".into(),
        version: "17".into(),
        shared,
        plan: (!shared).then(|| "standard-0".to_owned()),
        volume_id: VolumeId::from_uuid(Uuid::now_v7()),
        password: "of-the-superuser".into(),
    }
}

impl Fixture {
    async fn addon(&self, app: &App, name: &str) -> AddonId {
        let new = new_addon(app, name);
        let mut tx = self.store.begin_for_app(app.id, NOW, "test").await.unwrap();
        tx.create_addon(&new).await.unwrap();
        tx.commit().await.unwrap();
        new.id
    }

    async fn attach(&self, app: &App, addon: AddonId, name: &str, url: &str) -> AttachmentId {
        let vars = [(format!("{name}_URL"), url.to_owned())].into();
        let new = new_attachment(app, addon, name, vars);
        let mut tx = self.store.begin_for_app(app.id, NOW, "test").await.unwrap();
        tx.create_attachment(&new).await.unwrap();
        tx.commit().await.unwrap();
        new.id
    }

    async fn data_server(&self, shared: bool) -> DataServer {
        let mut tx = self.store.begin_platform(NOW, "test").await.unwrap();
        let made = tx.create_data_server(&new_data_server(shared)).await.unwrap();
        tx.commit().await.unwrap();
        made
    }
}

#[tokio::test]
async fn an_addon_is_made_changed_and_found() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let new =
        NewAddon { provision_message: Some("soon".into()), ..new_addon(&app, "postgresql-curly-12345") };
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let made = tx.create_addon(&new).await.unwrap();
    assert!(tx.concerns().include(Concerns::ADDONS | Concerns::CHANGES));
    tx.commit().await.unwrap();
    assert_eq!((made.app_id, Some(made.server_id)), (Some(app.id), app.server_id));
    assert_eq!((made.state, made.storage_state), (AddonState::Provisioning, StorageState::Available));
    assert_eq!((&made.options, made.provision_message.as_deref()), (&new.options, Some("soon")));
    assert_eq!(t.store.addon(new.id).await.unwrap(), Some(made.clone()));
    assert_eq!(t.store.addon_by_name(&new.name).await.unwrap(), Some(made.clone()));
    assert_eq!(t.store.addon_secrets(new.id).await.unwrap(), new.secrets);

    let on = t.data_server(true).await;
    let later = NOW + Duration::from_secs(1);
    let mut tx = t.store.begin_for_app(app.id, later, "test").await.unwrap();
    tx.place_addon(new.id, Some(on.id)).await.unwrap();
    tx.set_addon_state(new.id, AddonState::Provisioned).await.unwrap();
    tx.set_addon_plan(new.id, "essential-1").await.unwrap();
    tx.rename_addon(new.id, "orders").await.unwrap();
    tx.set_addon_secrets(new.id, &vars(&[("database", "other")])).await.unwrap();
    tx.set_provision_message(new.id, None).await.unwrap();
    tx.set_storage_state(new.id, StorageState::Over).await.unwrap();
    assert_eq!(tx.addon_secrets(new.id).await.unwrap(), vars(&[("database", "other")]));
    tx.commit().await.unwrap();
    let mut tx = t.store.begin_for_app(app.id, later + Duration::from_secs(1), "test").await.unwrap();
    tx.set_storage_state(new.id, StorageState::Over).await.unwrap();
    tx.commit().await.unwrap();
    let changed = t.store.addon(new.id).await.unwrap().unwrap();
    assert_eq!((changed.name.as_str(), changed.plan.as_str()), ("orders", "essential-1"));
    assert_eq!((changed.state, changed.data_server_id), (AddonState::Provisioned, Some(on.id)));
    assert_eq!(changed.provision_message, None);
    assert_eq!(
        (changed.storage_state, changed.storage_since),
        (StorageState::Over, later),
        "since the first time"
    );
    assert_eq!(t.store.addons_on(on.id).await.unwrap(), [changed]);

    let mut tx = t.store.begin_for_app(app.id, later, "test").await.unwrap();
    tx.delete_addon(new.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(t.store.addon_secrets(new.id).await, Err(StoreError::Gone { .. })));
    let mut tx = t.store.begin_for_app(app.id, later, "test").await.unwrap();
    assert!(matches!(tx.set_addon_plan(new.id, "x").await, Err(StoreError::Gone { .. })));
}

#[tokio::test]
async fn names_of_addons_attachments_and_logins_are_taken_once() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    let (one, two) = (t.addon(&app, "one").await, t.addon(&app, "two").await);
    t.attach(&app, one, "DATABASE", "postgres://one").await;
    t.attach(&other, one, "DATABASE", "postgres://one").await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.create_credential(&new_credential(one, "default", "uone")).await.unwrap();
    tx.create_credential(&new_credential(two, "default", "uone")).await.unwrap();
    tx.commit().await.unwrap();

    let begin = async || t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let taken = begin().await.create_addon(&new_addon(&other, "one")).await;
    assert!(matches!(taken, Err(StoreError::AddonNameTaken(name)) if name == "one"));
    let taken = begin().await.rename_addon(two, "one").await;
    assert!(matches!(taken, Err(StoreError::AddonNameTaken(name)) if name == "one"));
    let again = new_attachment(&app, two, "DATABASE", vars(&[]));
    let taken = begin().await.create_attachment(&again).await;
    assert!(matches!(taken, Err(StoreError::AttachmentNameTaken(name)) if name == "DATABASE"));
    let taken = begin().await.create_credential(&new_credential(one, "other", "uone")).await;
    assert!(matches!(taken, Err(StoreError::LoginTaken(login)) if login == "uone"));
    let nowhere = App { id: AppId::from_uuid(Uuid::now_v7()), ..app.clone() };
    let gone = begin().await.create_addon(&new_addon(&nowhere, "three")).await;
    assert!(matches!(gone, Err(StoreError::AppGone(_))));
}

#[tokio::test]
async fn all_addons_with_their_attachments_are_read_by_two_statements() {
    let t = Fixture::new().await;
    let mut apps = Vec::new();
    for name in ["one", "two", "three"] {
        apps.push(t.app(name).await);
    }
    let [one, two, three] = &apps[..] else { unreachable!() };
    let account = one.owner_id;
    let mut tx = t.store.begin_for_app(two.id, NOW, "test").await.unwrap();
    let id = CollaboratorId::from_uuid(Uuid::now_v7());
    tx.create_collaborator(id, two.id, account, CollaboratorRole::Collaborator).await.unwrap();
    tx.commit().await.unwrap();
    for (number, app) in apps.iter().enumerate() {
        for name in ["a", "b"] {
            let addon = t.addon(app, &format!("{}-{name}", app.name)).await;
            t.attach(app, addon, &format!("DB_{}", name.to_uppercase()), &format!("postgres://{number}"))
                .await;
        }
    }
    let shared = t.store.addon_by_name("three-a").await.unwrap().unwrap();
    t.attach(one, shared.id, "SHARED", "postgres://shared").await;

    let before = t.store.statistics().reads;
    let addons = t.store.addons_of(account).await.unwrap();
    let attachments = t.store.attachments_of(account).await.unwrap();
    assert_eq!(t.store.statistics().reads - before, 2, "however many there are");
    let found: Vec<_> = addons.iter().map(|listed| listed.addon.name.as_str()).collect();
    assert_eq!(found, ["one-a", "one-b", "two-a", "two-b"], "own ones, and those worked on");
    assert_eq!(addons[2].app_name.as_ref(), Some(&two.name));
    let found: Vec<_> = attachments
        .iter()
        .map(|listed| (listed.app_name.as_str(), listed.attachment.name.as_str(), listed.addon_name.as_str()))
        .collect();
    let expected = [
        ("one", "DB_A", "one-a"),
        ("one", "DB_B", "one-b"),
        ("one", "SHARED", "three-a"),
        ("two", "DB_A", "two-a"),
        ("two", "DB_B", "two-b"),
    ];
    assert_eq!(found, expected);
    let shared = &attachments[2];
    assert_eq!((shared.billed_app_id, shared.billed_app_name.as_ref()), (Some(three.id), Some(&three.name)));
    assert_eq!((shared.service.as_str(), shared.plan.as_str()), ("heroku-postgresql", "essential-0"));
    assert_eq!(shared.attachment.var_names, ["SHARED_URL"]);

    let of_app = t.store.addons_of_app(three.id).await.unwrap();
    assert_eq!(
        of_app.iter().map(|listed| listed.addon.name.as_str()).collect::<Vec<_>>(),
        ["three-a", "three-b"]
    );
    assert_eq!(t.store.listed_addon(of_app[0].addon.id).await.unwrap().as_ref(), Some(&of_app[0]));
    let of_addon = t.store.attachments_of_addon(of_app[0].addon.id).await.unwrap();
    assert_eq!(of_addon.iter().map(|listed| listed.app_name.as_str()).collect::<Vec<_>>(), ["one", "three"]);
    assert_eq!(t.store.attachments_of_app(one.id).await.unwrap(), attachments[..3]);
    assert_eq!(t.store.attachment_by_name(one.id, "SHARED").await.unwrap().as_ref(), Some(shared));
    assert_eq!(t.store.attachment(shared.attachment.id).await.unwrap().as_ref(), Some(shared));
    assert_eq!((t.store.addons().await.unwrap().len(), t.store.attachments().await.unwrap().len()), (6, 7));
}

#[tokio::test]
async fn what_the_attachments_of_an_app_say_comes_together() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    let addon = t.addon(&app, "one").await;
    let database = t.attach(&app, addon, "DATABASE", "postgres://one").await;
    let cyan = t.attach(&app, addon, "CYAN", "postgres://two").await;
    t.attach(&other, addon, "DATABASE", "postgres://others").await;
    let touched = t.store.touched_apps();
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let said = tx.attachment_vars_of_app(app.id).await.unwrap();
    assert_eq!(said, vars(&[("CYAN_URL", "postgres://two"), ("DATABASE_URL", "postgres://one")]));
    tx.set_attachment_vars(database, &vars(&[("DATABASE_URL", "postgres://new")])).await.unwrap();
    tx.delete_attachment(cyan).await.unwrap();
    assert!(matches!(tx.delete_attachment(cyan).await, Err(StoreError::Gone { .. })));
    let said = tx.attachment_vars_of_app(app.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(said, vars(&[("DATABASE_URL", "postgres://new")]));
    assert_eq!(t.store.attachment_vars(database).await.unwrap(), said);
    assert!(matches!(t.store.attachment_vars(cyan).await, Err(StoreError::Gone { .. })));
    assert_eq!(touched.take(), [app.id].into());
}

#[tokio::test]
async fn an_app_goes_after_its_addons_were_given_up_and_its_attachments_with_it() {
    let t = Fixture::new().await;
    let (app, other) = (t.app("first").await, t.app("second").await);
    let (own, foreign) = (t.addon(&app, "own").await, t.addon(&other, "foreign").await);
    t.attach(&app, own, "DATABASE", "postgres://own").await;
    t.attach(&app, foreign, "FOREIGN", "postgres://foreign").await;
    t.attach(&other, own, "OWN", "postgres://own").await;
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.create_credential(&new_credential(own, "default", "uown")).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    assert!(tx.delete_app(app.id).await.is_err(), "nobody would know what is to be removed");
    drop(tx);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    assert_eq!(tx.abandon_addons(app.id).await.unwrap(), 1);
    tx.delete_app(app.id).await.unwrap();
    tx.commit().await.unwrap();

    let left = t.store.addon(own).await.unwrap().unwrap();
    assert_eq!((left.app_id, left.state), (None, AddonState::Deprovisioning));
    assert_eq!(t.store.listed_addon(own).await.unwrap().unwrap().app_name, None);
    assert!(t.store.addons().await.unwrap().contains(&left), "its server still looks after it");
    let attachments = t.store.attachments_of_addon(own).await.unwrap();
    assert_eq!(attachments.len(), 1, "other apps' attachments are theirs to take off");
    assert_eq!((&attachments[0].app_name, &attachments[0].billed_app_name), (&other.name, &None));
    assert_eq!(t.store.attachments_of_addon(foreign).await.unwrap(), []);
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.delete_addon(own).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.attachments().await.unwrap(), []);
    assert_eq!(t.store.credentials().await.unwrap(), []);
}

#[tokio::test]
async fn a_credential_has_two_logins_while_it_is_rotated() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let addon = t.addon(&app, "one").await;
    let (old, new) = (new_credential(addon, "default", "uold"), new_credential(addon, "default", "unew"));
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    tx.create_credential(&old).await.unwrap();
    tx.enable_credential(old.id).await.unwrap();
    tx.create_credential(&new_credential(addon, "analyst", "uanalyst")).await.unwrap();
    let passwords = self::passwords(tx.open_credentials_of_addon(addon).await.unwrap());
    assert_eq!(passwords, ["uanalyst p-of-uanalyst", "uold p-of-uold"]);
    tx.commit().await.unwrap();
    let later = NOW + Duration::from_secs(1);
    let revoke_at = later + Duration::from_secs(1800);
    let mut tx = t.store.begin_for_app(app.id, later, "test").await.unwrap();
    tx.create_credential(&new).await.unwrap();
    tx.enable_credential(new.id).await.unwrap();
    tx.revoke_credential(old.id, revoke_at).await.unwrap();
    assert!(tx.concerns().include(Concerns::ADDONS));
    tx.commit().await.unwrap();

    let logins = t.store.credentials_named(addon, "default").await.unwrap();
    let found: Vec<_> =
        logins.iter().map(|login| (login.login.as_str(), login.state, login.revoke_at)).collect();
    let expected =
        [("uold", CredentialState::Revoking, Some(revoke_at)), ("unew", CredentialState::Active, None)];
    assert_eq!(found, expected);
    let all = t.store.credentials_of_addon(addon).await.unwrap();
    let names: Vec<_> = all.iter().map(|login| (login.name.as_str(), login.state)).collect();
    assert_eq!(names[0], ("analyst", CredentialState::Enabling));
    assert_eq!((all[1..].to_vec(), t.store.credentials().await.unwrap()), (logins, all));
    let mut tx = t.store.begin_for_app(app.id, later, "test").await.unwrap();
    tx.delete_credential(old.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(t.store.credential(old.id).await.unwrap(), None);
    let passwords = self::passwords(t.store.open_credentials_of_addon(addon).await.unwrap());
    assert_eq!(passwords, ["uanalyst p-of-uanalyst", "unew p-of-unew"]);
}

fn passwords(logins: Vec<OpenCredential>) -> Vec<String> {
    logins.into_iter().map(|one| format!("{} {}", one.credential.login, one.password)).collect()
}

#[tokio::test]
async fn a_data_server_has_user_ids_and_secrets_of_its_own() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let (one, two) = (t.data_server(true).await, t.data_server(false).await);
    let after = t.app("second").await;
    assert_eq!(
        [app.id_range, one.id_range, two.id_range, after.id_range],
        [0, 1, 2, 3],
        "none is given twice"
    );
    assert_eq!((one.state, one.shared, &one.plan), (DataServerState::Starting, true, &None));
    assert_eq!((two.shared, two.plan.as_deref(), two.tenant().0), (false, Some("standard-0"), 2));
    assert_eq!(t.store.data_servers().await.unwrap(), [one.clone(), two.clone()]);
    assert_eq!(t.store.data_server_password(one.id).await.unwrap(), "of-the-superuser");

    let address = "10.1.2.3".parse().unwrap();
    let (container, again) = (ContainerId::from_uuid(Uuid::now_v7()), NOW + Duration::from_secs(4));
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.set_data_server_address(one.id, address).await.unwrap();
    tx.set_data_server_container(one.id, Some(container)).await.unwrap();
    tx.data_server_crashed(one.id, 1, NOW).await.unwrap();
    tx.data_server_crashed(one.id, 2, again).await.unwrap();
    tx.set_data_server_plan(two.id, "standard-2").await.unwrap();
    assert!(tx.concerns().include(Concerns::ADDONS));
    tx.commit().await.unwrap();
    let found = t.store.data_server(one.id).await.unwrap().unwrap();
    assert_eq!((found.address, found.container_id), (Some(address), Some(container)));
    assert_eq!(
        (found.state, found.failed_starts, found.next_start_at),
        (DataServerState::Crashed, 2, Some(again))
    );

    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.data_server_answers(one.id).await.unwrap();
    let found = tx.data_server(one.id).await.unwrap().unwrap();
    assert_eq!(
        (found.state, found.failed_starts, found.next_start_at),
        (DataServerState::Available, 2, Some(again))
    );
    tx.set_data_server_state(two.id, DataServerState::Removing).await.unwrap();
    assert!(
        matches!(tx.data_server_answers(two.id).await, Err(StoreError::Gone { .. })),
        "it stays on its way out"
    );
    assert!(matches!(tx.data_server_crashed(two.id, 1, NOW).await, Err(StoreError::Gone { .. })));
    tx.delete_data_server(two.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(t.store.data_server_password(two.id).await, Err(StoreError::Gone { .. })));
}

#[tokio::test]
async fn a_shared_data_server_is_filled_before_the_next() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let room = async |version: &str, max| {
        let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
        let found = tx.data_server_with_room("heroku-postgresql", version, max).await.unwrap();
        found.map(|found| found.id)
    };
    t.data_server(false).await;
    assert_eq!(room("17", 2).await, None, "one add-on's own has no room");
    let (one, two) = (t.data_server(true).await, t.data_server(true).await);
    assert_eq!((room("17", 2).await, room("15", 2).await), (Some(one.id), None));
    for name in ["a", "b"] {
        let addon = t.addon(&app, name).await;
        let mut tx = t.store.begin_platform(NOW, "test").await.unwrap();
        tx.place_addon(addon, Some(one.id)).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!((room("17", 2).await, room("17", 3).await), (Some(two.id), Some(one.id)));
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    assert!(tx.delete_data_server(one.id).await.is_err(), "it has add-ons");
    drop(tx);
    let mut tx = t.store.begin_record(NOW, "test").await.unwrap();
    tx.set_data_server_state(two.id, DataServerState::Removing).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(room("17", 2).await, None, "nothing is placed on what is being removed");
}

#[tokio::test]
async fn another_servers_addons_are_not_ours_to_look_after() {
    let t = Fixture::new().await;
    let app = t.app("first").await;
    let ours = t.addon(&app, "ours").await;
    let config = paddock_store::StoreConfig { server: server(2), ..t.config() };
    let other = Store::open(&config).await.unwrap();
    let mut tx = other.begin_platform(NOW, "test").await.unwrap();
    let elsewhere = tx.create_app(&new_app("elsewhere", app.owner_id)).await.unwrap();
    tx.create_data_server(&new_data_server(true)).await.unwrap();
    tx.commit().await.unwrap();
    // Made through us, for the server of its app.
    let theirs = t.addon(&elsewhere, "theirs").await;
    t.attach(&elsewhere, theirs, "DATABASE", "postgres://theirs").await;
    let ids =
        async |store: &Store| store.addons().await.unwrap().iter().map(|addon| addon.id).collect::<Vec<_>>();
    assert_eq!((ids(&t.store).await, ids(&other).await), (vec![ours], vec![theirs]));
    assert_eq!(
        (t.store.attachments().await.unwrap().len(), other.attachments().await.unwrap().len()),
        (0, 1)
    );
    assert_eq!(
        (t.store.data_servers().await.unwrap().len(), other.data_servers().await.unwrap().len()),
        (0, 1)
    );
    other.close().await;
}

/// Whatever of this is sealed.
async fn with_secrets(t: &Fixture, secret: &str) -> (AddonId, AttachmentId, CredentialId, DataServerId) {
    let app = t.app("secretive").await;
    let map = |name: &str| BTreeMap::from([(name.to_owned(), secret.to_owned())]);
    let mut tx = t.store.begin_for_app(app.id, NOW, "test").await.unwrap();
    let addon = NewAddon { secrets: map("database"), ..new_addon(&app, "sealed") };
    tx.create_addon(&addon).await.unwrap();
    let attachment = new_attachment(&app, addon.id, "DATABASE", map("DATABASE_URL"));
    tx.create_attachment(&attachment).await.unwrap();
    let credential =
        NewCredential { password: secret.to_owned(), ..new_credential(addon.id, "default", "uone") };
    tx.create_credential(&credential).await.unwrap();
    let data_server = NewDataServer { password: secret.to_owned(), ..new_data_server(true) };
    tx.create_data_server(&data_server).await.unwrap();
    tx.set_data_server_address(data_server.id, "10.1.2.3".parse().unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    (addon.id, attachment.id, credential.id, data_server.id)
}

#[tokio::test]
async fn a_new_data_key_seals_the_secrets_of_addons_again() {
    let t = Fixture::new().await;
    let secret = "s3cr3t-91aa0c";
    let (addon, attachment, credential, data_server) = with_secrets(&t, secret).await;
    t.dump();
    let holding = super::seal::files_holding(t.folder.path(), secret.as_bytes());
    assert_eq!(holding, [""; 0], "nothing is in clear");
    let master = t.config().master_key_file;
    assert_eq!(t.store.rotate_data_key(&master).await.unwrap(), 4);
    t.store.close().await;
    let again = Store::open(&t.config()).await.unwrap();
    assert_eq!(again.addon_secrets(addon).await.unwrap()["database"], secret);
    assert_eq!(again.attachment_vars(attachment).await.unwrap()["DATABASE_URL"], secret);
    let logins = again.open_credentials_of_addon(addon).await.unwrap();
    assert_eq!((logins[0].credential.id, logins[0].password.as_str()), (credential, secret));
    assert_eq!(again.data_server_password(data_server).await.unwrap(), secret);
    assert_eq!(again.rotate_data_key(&master).await.unwrap(), 4, "and again");
}
