//! Archives and their way back, on data directories made by hand. Journeys do the same with a real server.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use paddock_core::addon::AddonState;
use paddock_core::config::OwnedConfig;
use paddock_core::hex;
use paddock_core::release::ReleaseStatus;
use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, BlobDigest, ReleaseId, SlugId, UnixMicros};
use paddock_store::{NewAccount, NewAddon, NewApp, NewRelease, NewSlug};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

const NOW: UnixMicros = UnixMicros(1_800_000_000_000_000);
const COMMIT: &str = "1111111111111111111111111111111111111111";

/// A blob of the app's registry.
const BLOB: &[u8] = b"pushed";

fn blob() -> BlobDigest {
    BlobDigest::of_sha256(Sha256::digest(BLOB).into())
}

/// A data directory with one app: a release with config, its layer, its repository, its log.
struct Data {
    folder: TempDir,
    store: Store,
    app: AppId,
    release: ReleaseId,
    layer: PathBuf,
}

impl Data {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = open(&data).await;
        let content = vec![7; 300_000];
        let digest: paddock_core::LayerDigest =
            format!("sha256:{}", hex(&Sha256::digest(&content))).parse().unwrap();
        let (app, release) = rows(&store, &digest.to_string()).await;
        let layer = data.join(member::layer_name(&digest));
        put(&layer, &content);
        put(&data.join(member::blob_name(&blob())), BLOB);
        let repository = data.join(format!("git/{app}.git"));
        put(&repository.join("refs/heads/main"), format!("{COMMIT}\n").as_bytes());
        put(&repository.join("objects/ab").join(&COMMIT[2..]), b"an object");
        put(&data.join(format!("logs/{app}/00000000000000000001.seg")), b"lines");
        put(&data.join("cli-token"), b"HRKU-token\n");
        Self { folder, store, app, release, layer }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    async fn back_up(&self, secrets: ClearSecrets) -> Result<PathBuf, BackupError> {
        let to = self.folder.path().join(format!("{}.backup", Uuid::new_v4()));
        let key = self.data().join(member::MASTER_KEY);
        let databases = Databases::Dumped;
        let wanted = Wanted { master_key_file: &key, version: "1.2.3", secrets, databases };
        let out = File::create(&to).unwrap();
        back_up(&self.data(), &self.store, wanted, out, &mut |_| true).await.map(|_| to)
    }

    /// A database that can be used.
    async fn database(&self, name: &str) -> AddonId {
        let id = AddonId::from_uuid(Uuid::now_v7());
        let mut tx = self.store.begin_platform(NOW, "test").await.unwrap();
        tx.create_addon(&NewAddon {
            id,
            name: name.to_owned(),
            app_id: self.app,
            service: "heroku-postgresql".to_owned(),
            plan: "essential-0".to_owned(),
            options: Default::default(),
            secrets: Default::default(),
            provision_message: None,
        })
        .await
        .unwrap();
        tx.set_addon_state(id, AddonState::Provisioned).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// As of a running server that has these dumps, or these reasons.
    async fn back_up_with(
        &self,
        dumps: BTreeMap<AddonId, Result<&'static str, &'static str>>,
    ) -> (PathBuf, Summary) {
        let to = self.folder.path().join(format!("{}.backup", Uuid::new_v4()));
        let key = self.data().join(member::MASTER_KEY);
        let (secrets, databases) = (ClearSecrets::Included, Databases::Dumped);
        let wanted = Wanted { master_key_file: &key, version: "1.2.3", secrets, databases };
        let out = File::create(&to).unwrap();
        let mut told = Vec::new();
        let mut tell = |progress: Progress| {
            told.extend(progress.database);
            true
        };
        let mut begun = Begun::with_files(&self.data(), &self.store, wanted, out, &mut tell).await.unwrap();
        begun.dump(&Dumps(dumps), &mut tell).await.unwrap();
        let summary = begun.finish().unwrap();
        assert!(told.iter().any(|told| told.number == told.of && told.bytes == 5), "{told:?}");
        (to, summary)
    }

    /// A new folder to restore into.
    fn target(&self) -> PathBuf {
        let target = self.folder.path().join(Uuid::new_v4().to_string());
        std::fs::create_dir(&target).unwrap();
        target
    }
}

/// Dumps that are there already; of what it does not know it says that it is gone.
struct Dumps(BTreeMap<AddonId, Result<&'static str, &'static str>>);

#[async_trait::async_trait]
impl DumpDatabases for Dumps {
    async fn dump_database(&self, addon: AddonId, told: &mut (dyn FnMut(u64) -> bool + Send)) -> Dumped {
        assert!(told(5));
        match self.0.get(&addon) {
            None => Dumped::Gone,
            Some(Err(reason)) => Dumped::Failed((*reason).to_owned()),
            Some(Ok(text)) => {
                let mut file = tempfile::tempfile().unwrap();
                std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
                std::io::Seek::rewind(&mut file).unwrap();
                Dumped::Dump(file, text.len() as u64)
            }
        }
    }
}

async fn open(data: &Path) -> Store {
    let server = ServerId::from_uuid(Uuid::from_u128(7));
    let config = store_config(&data.join(member::DATABASE), &data.join(member::MASTER_KEY), server);
    Store::open(&config).await.unwrap()
}

async fn rows(store: &Store, layer: &str) -> (AppId, ReleaseId) {
    let account = AccountId::from_uuid(Uuid::now_v7());
    let app = AppId::from_uuid(Uuid::now_v7());
    let (slug, release) = (SlugId::from_uuid(Uuid::now_v7()), ReleaseId::from_uuid(Uuid::now_v7()));
    let mut tx = store.begin_platform(NOW, "test").await.unwrap();
    let (email, name) = ("a@example.test".to_owned(), None);
    tx.create_account(&NewAccount { id: account, email, name, password_hash: None }).await.unwrap();
    let name = "kept".parse().unwrap();
    tx.create_app(&NewApp { id: app, name, owner_id: account, stack: Stack::HOST }).await.unwrap();
    let new = NewSlug {
        id: slug,
        app_id: app,
        layer: layer.to_owned(),
        size_bytes: 1,
        checksum: None,
        commit_id: None,
        commit_description: None,
        process_types: Default::default(),
        buildpack_description: None,
        stack: Stack::HOST,
        stack_version: "1".into(),
        images: Default::default(),
        put_secret_sha256: None,
    };
    tx.create_slug(&new).await.unwrap();
    let new = NewRelease {
        id: release,
        app_id: app,
        description: "Deploy".into(),
        account_id: account,
        slug_id: Some(slug),
        status: ReleaseStatus::Succeeded,
        rollback_of: None,
        laid_on: None,
        release_command: None,
        output: None,
        config: config(),
    };
    tx.create_release(&new).await.unwrap();
    tx.add_registry_blob(app, &blob(), 6).await.unwrap();
    tx.commit().await.unwrap();
    (app, release)
}

fn config() -> OwnedConfig {
    let vars = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    OwnedConfig {
        user: vars("SECRET", "s3cr3t"),
        attached: vars("DATABASE_URL", "postgres://u:p@10.1.2.3/d"),
    }
}

fn put(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn unpacked(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(archive), &mut content)?;
    Ok(content)
}

async fn restore_into(file: &Path, data: &Path, key: Option<&Path>) -> Result<Restored, RestoreError> {
    // Who runs the tests is git's user here: giving files away needs root.
    let git_uid = rustix::process::geteuid().as_raw();
    restore(Restore { file, data, master_key_file: key, git_uid }, &mut |_| ()).await
}

fn names_in(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A backup like ours with members of a stranger's choice.
fn forged(folder: &Path, members: &[(tar::EntryType, &str, &[u8])]) -> PathBuf {
    let path = folder.join(format!("{}.forged", Uuid::new_v4()));
    let gzip = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (kind, name, content) in members {
        let mut header = tar::Header::new_gnu();
        // As they are: the library would refuse some of them.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if *kind == tar::EntryType::Symlink {
            header.set_link_name("/etc").unwrap();
        }
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    path
}

fn header(bytes: u64, format: u32) -> Vec<u8> {
    let header = Header {
        format,
        version: "9.9.9".into(),
        created_at: "2030-01-01T00:00:00Z".into(),
        bytes,
        apps: 1,
        clear_secrets: true,
    };
    serde_json::to_vec(&header).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_comes_back() {
    let t = Data::new().await;
    let backup = t.back_up(ClearSecrets::Included).await.unwrap();
    let left: Vec<_> = names_in(&t.data().join("db"));
    assert!(left.iter().all(|name| name.starts_with("paddock.sqlite")), "no copy is left: {left:?}");

    let target = t.target();
    let restored = restore_into(&backup, &target, None).await.unwrap();
    assert_eq!((restored.header.apps, restored.header.version.as_str()), (1, "1.2.3"));
    assert!(!is_unfinished(&target));
    let store = open(&target).await;
    assert_eq!(store.config_vars_of_release(t.app, t.release).await.unwrap(), config().merged());
    let layer = target.join(t.layer.strip_prefix(t.data()).unwrap());
    assert_eq!(std::fs::read(&layer).unwrap(), std::fs::read(&t.layer).unwrap());
    assert_eq!(std::fs::metadata(&layer).unwrap().mode() & 0o777, 0o444);
    assert_eq!(std::fs::read(target.join(member::blob_name(&blob()))).unwrap(), BLOB);
    let key = target.join(member::MASTER_KEY);
    assert_eq!(std::fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    let repository = target.join(format!("git/{}.git", t.app));
    assert_eq!(std::fs::read(repository.join("objects/ab").join(&COMMIT[2..])).unwrap(), b"an object");
    let refs = std::fs::read_to_string(repository.join("packed-refs")).unwrap();
    assert!(refs.contains(&format!("{COMMIT} refs/heads/main\n")), "{refs}");
    assert_eq!(std::fs::read_to_string(repository.join("HEAD")).unwrap(), "ref: refs/heads/main\n");
    let log = target.join(format!("logs/{}/00000000000000000001.seg", t.app));
    assert_eq!(std::fs::read(log).unwrap(), b"lines");
    assert_eq!(std::fs::read(target.join("cli-token")).unwrap(), b"HRKU-token\n");

    let again = restore_into(&backup, &target, None).await;
    assert!(matches!(again, Err(RestoreError::NotEmpty { .. })), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_come_back_as_dumps_and_those_without_one_are_named() {
    let t = Data::new().await;
    let one = t.database("dumped").await;
    let other = t.database("locked").await;
    t.database("destroyed-meanwhile").await;
    let (backup, summary) = t.back_up_with([(one, Ok("PGDMP…")), (other, Err("It is locked."))].into()).await;
    assert_eq!((summary.databases, summary.databases_left_out), (1, 0));
    let lost = LostDatabase { name: "locked".to_owned(), reason: "It is locked.".to_owned() };
    assert_eq!(summary.databases_lost, [lost]);

    let target = t.target();
    let restored = restore_into(&backup, &target, None).await.unwrap();
    assert_eq!((restored.header.format, restored.databases), (FORMAT, 1));
    assert_eq!(restored.empty, ["destroyed-meanwhile", "locked"]);
    let dump = target.join(member::dump_name(one));
    assert_eq!(std::fs::read_to_string(&dump).unwrap(), "PGDMP…");
    assert_eq!(std::fs::metadata(&dump).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(target.join("databases")).unwrap().mode() & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_are_left_out_by_name_only_where_nobody_can_dump_them() {
    let t = Data::new().await;
    t.database("at-rest").await;
    let refused = t.back_up(ClearSecrets::Included).await.unwrap_err();
    assert!(matches!(refused, BackupError::DatabasesAtRest { number: 1 }), "{refused}");
    let key = t.data().join(member::MASTER_KEY);
    let (secrets, databases) = (ClearSecrets::Included, Databases::LeftOut);
    let wanted = Wanted { master_key_file: &key, version: "1.2.3", secrets, databases };
    let backup = t.folder.path().join("without");
    let out = File::create(&backup).unwrap();
    let summary = back_up(&t.data(), &t.store, wanted, out, &mut |_| true).await.unwrap();
    assert_eq!((summary.databases, summary.databases_left_out), (0, 1));
    // As of a version that knew of no dumps.
    let restored = restore_into(&backup, &t.target(), None).await.unwrap();
    assert_eq!((restored.header.format, restored.databases), (1, 0));
    assert_eq!(restored.empty, ["at-rest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_the_key_needs_it() {
    let t = Data::new().await;
    let backup = t.back_up(ClearSecrets::LeftOut).await.unwrap();
    let key = t.data().join(member::MASTER_KEY);
    let target = t.target();
    assert!(matches!(restore_into(&backup, &target, None).await, Err(RestoreError::KeyNeeded)));
    let other = t.folder.path().join("other-key");
    std::fs::write(&other, [1; 32]).unwrap();
    let refused = restore_into(&backup, &target, Some(&other)).await;
    assert!(matches!(refused, Err(RestoreError::WrongKey { .. })), "{refused:?}");
    assert!(names_in(&target).is_empty(), "nothing is left of what was refused");
    restore_into(&backup, &target, Some(&key)).await.unwrap();
    assert!(!target.join("keys").exists() && !target.join("cli-token").exists(), "no secret lies in clear");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_could_not_be_restored_is_not_made() {
    let t = Data::new().await;
    std::fs::remove_file(&t.layer).unwrap();
    match t.back_up(ClearSecrets::Included).await {
        Err(BackupError::Missing { path }) => assert_eq!(path, t.layer),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_or_changed_backup_is_refused_and_leaves_nothing() {
    let t = Data::new().await;
    let backup = t.back_up(ClearSecrets::Included).await.unwrap();
    let whole = std::fs::read(&backup).unwrap();
    let target = t.target();
    let bad = t.folder.path().join("bad");
    let mut changes = 0;
    for part in 0..24 {
        let at = whole.len() * part / 24;
        std::fs::write(&bad, &whole[..at]).unwrap();
        let refused = restore_into(&bad, &target, None).await;
        assert!(refused.is_err(), "cut at {at} of {}", whole.len());
        let mut changed = whole.clone();
        // The gzip header has bytes that mean nothing; what they are is checked by nobody.
        let at = at.max(10);
        changed[at] ^= 0x10;
        // A run of equal bytes can be compressed in more than one way: what is the same was not changed.
        if unpacked(&changed).is_ok_and(|content| content == unpacked(&whole).unwrap()) {
            continue;
        }
        changes += 1;
        std::fs::write(&bad, &changed).unwrap();
        let refused = restore_into(&bad, &target, None).await;
        assert!(refused.is_err(), "changed at {at} of {}", whole.len());
        assert!(names_in(&target).is_empty(), "{:?}", names_in(&target));
    }
    assert!(changes > 12, "only {changes} changes were tried");
    std::fs::write(&bad, "hello").unwrap();
    let refused = restore_into(&bad, &target, None).await.unwrap_err();
    assert_eq!(refused.to_string(), "this file is no backup of paddockd");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_cannot_name_a_place_of_its_choice() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("data");
    std::fs::create_dir(&target).unwrap();
    let regular = tar::EntryType::Regular;
    let begin = header(100, FORMAT);
    let database: (tar::EntryType, &str, &[u8]) = (regular, "db/paddock.sqlite", b"x");
    for (member, reason) in [
        ((regular, "../outside", &b"x"[..]), "is no file of a data directory"),
        ((regular, "/etc/paddock-outside", b"x"), "is no file of a data directory"),
        ((regular, "db/../../outside", b"x"), "is no file of a data directory"),
        ((tar::EntryType::Symlink, "git", b""), "is no plain file"),
        ((tar::EntryType::Link, "db/paddock.sqlite", b""), "is no plain file"),
        ((tar::EntryType::Directory, "db", b""), "is no plain file"),
        ((tar::EntryType::Fifo, "keys/master", b""), "is no plain file"),
        ((regular, "keys/master", &[0; 200]), "is larger than was announced"),
        (database, "is in it twice"),
    ] {
        let archive = forged(folder.path(), &[(regular, "header.json", &begin), database, member]);
        let refused = restore_into(&archive, &target, None).await.unwrap_err().to_string();
        assert!(refused.contains(reason), "{}: {refused}", member.1);
        assert!(names_in(&target).is_empty());
        assert!(!folder.path().join("outside").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_backup_and_one_that_is_too_large_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("data");
    std::fs::create_dir(&target).unwrap();
    let newer = forged(folder.path(), &[(tar::EntryType::Regular, "header.json", &header(1, FORMAT + 1))]);
    let refused = restore_into(&newer, &target, None).await.unwrap_err();
    assert!(refused.to_string().contains("written by paddockd 9.9.9"), "{refused}");
    let large = forged(folder.path(), &[(tar::EntryType::Regular, "header.json", &header(1 << 60, FORMAT))]);
    let refused = restore_into(&large, &target, None).await.unwrap_err();
    assert!(matches!(refused, RestoreError::NoRoom { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_right_checksums_and_another_seal_is_refused() {
    let t = Data::new().await;
    let other = Data::new().await;
    let (one, two) = (
        t.back_up(ClearSecrets::LeftOut).await.unwrap(),
        other.back_up(ClearSecrets::LeftOut).await.unwrap(),
    );
    // All of the one, with the seal of the other.
    let read = |path: &Path| {
        let file = flate2::read::GzDecoder::new(File::open(path).unwrap());
        let mut members = Vec::new();
        for entry in tar::Archive::new(file).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            members.push((entry.path().unwrap().display().to_string(), content));
        }
        members
    };
    let (mut members, seal) = (read(&one), read(&two).pop().unwrap());
    members.pop();
    members.push(seal);
    let members: Vec<_> = members
        .iter()
        .filter(|(name, _)| name.len() <= 100)
        .map(|(name, content)| (tar::EntryType::Regular, name.as_str(), content.as_slice()))
        .collect();
    let forged = forged(t.folder.path(), &members);
    let key = t.data().join(member::MASTER_KEY);
    let refused = restore_into(&forged, &t.target(), Some(&key)).await;
    assert!(matches!(refused, Err(RestoreError::Seal)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_restore_is_begun_anew() {
    let t = Data::new().await;
    let backup = t.back_up(ClearSecrets::Included).await.unwrap();
    let target = t.target();
    // As a kill between two moves leaves it.
    put(&target.join(STAGING).join("db/paddock.sqlite"), b"half");
    put(&target.join("keys/master"), b"moved already");
    put(&target.join("serve.lock"), b"");
    assert!(is_unfinished(&target));
    restore_into(&backup, &target, None).await.unwrap();
    assert!(!is_unfinished(&target));
    assert_eq!(std::fs::read(target.join("keys/master")).unwrap().len(), 32);
}
