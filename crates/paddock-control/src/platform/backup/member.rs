//! The names that may occur in a backup. Anything else is refused, so an archive cannot name a place of its choice.

use paddock_build::git::is_object_file;
use paddock_core::{AddonId, BlobDigest, LayerDigest};
use paddock_images::Blobs;
use uuid::Uuid;

use crate::kernel::dump_databases::{DUMPS, TO_FILL};

pub(super) const DATABASE: &str = "db/paddock.sqlite";
pub(super) const MASTER_KEY: &str = "keys/master";
/// Which server the apps belong to: what is restored is that server.
pub(super) const SERVER_ID: &str = "server-id";
/// Secrets that lie in clear in a data directory, with the certificates that go with them.
pub(super) const CLEAR_SECRETS: [&str; 8] = [
    "ca/ca.key",
    "ca/ca.pem",
    "ca/domain",
    "ca/proxy-form/ca.key",
    "ca/proxy-form/own.pem",
    "ca/proxy-form/addresses",
    "admin-password",
    "cli-token",
];
/// The folder of the store of blobs.
const BLOBS: &str = "blobs";
/// Every name at the top of a restored data directory.
pub(super) const TOP: [&str; 12] = [
    "server-id",
    "keys",
    "ca",
    "admin-password",
    "cli-token",
    "layers",
    BLOBS,
    "git",
    "logs",
    "outputs",
    DUMPS,
    "db",
];

/// Who owns a file, and who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ours alone.
    Private,
    /// Ours, for everybody to read: certificates.
    Public,
    /// A layer, or a blob of a registry: never changed.
    Layer,
    /// The git user's.
    Git,
}

impl Kind {
    pub(super) fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public | Self::Git => 0o644,
            Self::Layer => 0o444,
        }
    }
}

/// What a member of an archive is; `None` for a name that no backup has.
pub(super) fn kind_of(name: &str) -> Option<Kind> {
    match name {
        DATABASE
        | MASTER_KEY
        | SERVER_ID
        | "ca/ca.key"
        | "ca/proxy-form/ca.key"
        | "admin-password"
        | "cli-token" => {
            return Some(Kind::Private);
        }
        name if CLEAR_SECRETS.contains(&name) => return Some(Kind::Public),
        _ => {}
    }
    let (folder, rest) = name.split_once('/')?;
    match folder {
        "layers" => layer_of(name).map(|_| Kind::Layer),
        BLOBS => blob_of(name).map(|_| Kind::Layer),
        "git" => {
            let (repository, file) = rest.split_once('/')?;
            repository.strip_suffix(".git").filter(|id| is_id(id))?;
            (file == "packed-refs" || is_object_file(file)).then_some(Kind::Git)
        }
        "logs" => {
            let (app, segment) = rest.split_once('/')?;
            let number = segment.strip_suffix(".seg")?;
            let digits = number.len() == 20 && number.bytes().all(|c| c.is_ascii_digit());
            (is_id(app) && digits).then_some(Kind::Private)
        }
        "outputs" => {
            let (id, kind) = rest.split_once('.')?;
            (is_id(id) && matches!(kind, "txt" | "end")).then_some(Kind::Private)
        }
        DUMPS => addon_of(name).map(|_| Kind::Private),
        _ => None,
    }
}

/// The digest that a layer's name promises.
pub(super) fn layer_of(name: &str) -> Option<LayerDigest> {
    let hex = name.strip_prefix("layers/")?.strip_suffix(".erofs")?;
    format!("sha256:{hex}").parse().ok()
}

pub(super) fn layer_name(digest: &LayerDigest) -> String {
    format!("layers/{}.erofs", digest.hex())
}

/// The digest that a blob's name promises.
pub(super) fn blob_of(name: &str) -> Option<BlobDigest> {
    let digest: BlobDigest = format!("sha256:{}", name.rsplit('/').next()?).parse().ok()?;
    (blob_name(&digest) == name).then_some(digest)
}

pub(super) fn blob_name(digest: &BlobDigest) -> String {
    format!("{BLOBS}/{}", Blobs::place_of(digest))
}

/// The digits of the digest that a name promises, where it promises one.
pub(super) fn promised(name: &str) -> Option<String> {
    let layer = || layer_of(name).map(|digest| digest.hex().to_owned());
    layer().or_else(|| blob_of(name).map(|digest| digest.hex().to_owned()))
}

/// The add-on whose database this is a dump of.
pub(super) fn addon_of(name: &str) -> Option<AddonId> {
    let id = name.strip_prefix(DUMPS)?.strip_prefix('/')?.strip_suffix(TO_FILL)?.strip_suffix('.')?;
    is_id(id).then(|| id.parse().ok()).flatten()
}

pub(super) fn dump_name(addon: AddonId) -> String {
    format!("{DUMPS}/{addon}.{TO_FILL}")
}

/// The one spelling that we give to ids.
fn is_id(text: &str) -> bool {
    text.parse::<Uuid>().is_ok_and(|id| id.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0192f0a1-0000-7000-8000-000000000001";

    #[test]
    fn only_names_of_a_data_directory_have_a_place() {
        let (object, hex) = ("a".repeat(38), "b".repeat(64));
        for (name, kind) in [
            ("db/paddock.sqlite".to_owned(), Kind::Private),
            ("ca/proxy-form/ca.key".to_owned(), Kind::Private),
            ("ca/proxy-form/addresses".to_owned(), Kind::Public),
            (format!("layers/{hex}.erofs"), Kind::Layer),
            (format!("blobs/sha256/bb/{hex}"), Kind::Layer),
            (format!("git/{ID}.git/packed-refs"), Kind::Git),
            (format!("git/{ID}.git/objects/ab/{object}"), Kind::Git),
            (format!("git/{ID}.git/objects/pack/pack-{}.idx", "c".repeat(40)), Kind::Git),
            (format!("logs/{ID}/00000000000000000001.seg"), Kind::Private),
            (format!("outputs/{ID}.end"), Kind::Private),
            (format!("databases/{ID}.dump"), Kind::Private),
        ] {
            assert_eq!(kind_of(&name), Some(kind), "{name}");
        }
        for name in [
            "",
            "db",
            "/etc/passwd",
            "../db/paddock.sqlite",
            "db/../db/paddock.sqlite",
            "db/other",
            "ca/proxy-form/bundle.pem",
            "layers/../x.erofs",
            "layers/abc.erofs",
            &format!("blobs/sha256/aa/{hex}"),
            &format!("blobs/sha256/{hex}"),
            &format!("blobs/uploads/{ID}"),
            "router/tls/key.pem",
            &format!("git/{ID}.git/config"),
            &format!("git/{ID}.git/hooks/post-receive"),
            &format!("git/{ID}.git/objects/info/alternates"),
            &format!("git/../{ID}.git/packed-refs"),
            &format!("logs/{ID}/1.seg"),
            &format!("logs/{}/00000000000000000001.seg", ID.to_uppercase()),
            &format!("outputs/{ID}.txt/x"),
            &format!("databases/{ID}.failed"),
            &format!("databases/../{ID}.dump"),
        ] {
            assert_eq!(kind_of(name), None, "{name}");
        }
    }
}
