//! What the operator asks about buildpacks.

use std::fs::File;

use paddock_control::Control;
use paddock_control::import::{ImportFrom, Imported};
use paddock_ipc::admin::{AdminAnswer, BuildpackLine};
use paddock_store::BuildpackArchive;

use super::accounts::shown;
use super::stacks::refused;

pub(super) async fn import(
    control: &Control,
    name: &str,
    url: Option<String>,
    file: Option<File>,
) -> AdminAnswer {
    let from = match (url, file) {
        (Some(url), None) => ImportFrom::Address(url),
        (None, Some(file)) => ImportFrom::File(file),
        _ => {
            return AdminAnswer::Refused {
                reason: "neither a file nor an address came with the request".into(),
            };
        }
    };
    match control.deploy.import_buildpack(name, from).await {
        Ok(Imported { archive, was_there }) => {
            tracing::info!(archive.digest, "the buildpack {name} was imported");
            AdminAnswer::BuildpackImported { buildpack: line(archive), was_there }
        }
        Err(error) => refused(error),
    }
}

pub(super) async fn list(control: &Control) -> AdminAnswer {
    match control.deploy.mirrored_buildpacks().await {
        Ok(archives) => AdminAnswer::Buildpacks { buildpacks: archives.into_iter().map(line).collect() },
        Err(error) => refused(error),
    }
}

fn line(archive: BuildpackArchive) -> BuildpackLine {
    let BuildpackArchive { name, number, digest, size_bytes, created_at } = archive;
    BuildpackLine { name, version: number, sha256: digest, size_bytes, added_at: shown(created_at) }
}
