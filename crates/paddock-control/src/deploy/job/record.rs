//! What the server knows of a build by itself, for its record: source, stack, config keys, what was asked for.

use paddock_build::BuildFailure;
use paddock_core::build_record::{BuildRecord, FactKind, ToldBy};
use paddock_core::config::ConfigVars;
use paddock_core::hex;
use paddock_store::{Build, Slug, SourceKind};

use crate::deploy::Deploy;
use crate::deploy::job::again::Before;

/// Bytes of a keyed digest that tell one value of a config var from another.
const DIGEST_BYTES: usize = 8;

/// What is known before a build begins.
pub(super) fn begun(deploy: &Deploy, build: &Build) -> BuildRecord {
    let mut record = BuildRecord::default();
    let mut note = |kind, name: &str, value: &str| record.note(ToldBy::Server, kind, name, value);
    note(FactKind::Source, "kind", build.source_kind.as_str());
    match build.source_kind {
        SourceKind::Git => note(FactKind::Source, "commit", &build.source),
        SourceKind::Archive => {
            note(FactKind::Source, "archive", &build.source);
            note(FactKind::Source, "version", build.source_version.as_deref().unwrap_or_default());
        }
    }
    if let Some(checksum) = &build.source_checksum {
        note(FactKind::Source, "checksum", checksum);
    }
    note(FactKind::Server, "paddock", &deploy.kernel.config.program);
    let stack = deploy.kernel.version_of_build(build);
    note(FactKind::Stack, stack.stack.as_str(), &stack.version);
    note(FactKind::Argument, "purpose", if build.stack.is_container() { "image" } else { "slug" });
    let buildpacks = match &build.buildpacks[..] {
        [] => "to be detected".to_owned(),
        named => named.join(", "),
    };
    if !build.stack.is_container() {
        note(FactKind::Argument, "buildpacks", &buildpacks);
    }
    for name in deploy.builder.site_variables() {
        note(FactKind::Argument, &format!("variable {name}"), "set by the operator");
    }
    record
}

/// Adds the config vars that a build sees: their names, and of each value a digest that nobody without the server's key makes.
pub(super) async fn add_config(
    deploy: &Deploy,
    record: &mut BuildRecord,
    build: &Build,
    config: &ConfigVars,
) {
    let key = match deploy.stream_key().await {
        Ok(key) => Some(key),
        Err(error) => {
            tracing::warn!(build.id = %build.id, error = crate::kernel::error::chain(&error), "could not tell values of config vars apart");
            None
        }
    };
    let app = build.app_id.to_string();
    for (name, value) in config {
        // The same value of another app or name has another digest.
        let parts = [b"config", app.as_bytes(), name.as_bytes(), value.as_bytes()];
        let length = |part: &&[u8]| (part.len() as u64).to_be_bytes().to_vec();
        let signed: Vec<u8> = parts.iter().flat_map(|part| [length(part), part.to_vec()].concat()).collect();
        let digest =
            key.as_ref().map(|key| hex(&aws_lc_rs::hmac::sign(key, &signed).as_ref()[..DIGEST_BYTES]));
        record.note(ToldBy::Server, FactKind::Config, name, &digest.unwrap_or_else(|| "unknown".to_owned()));
    }
}

/// Adds that an earlier build had made the same.
pub(super) fn add_again(record: &mut BuildRecord, before: &Before) {
    let release = before.version.map(|version| format!(" for v{version}")).unwrap_or_default();
    let why = format!("this commit was built before{release}, of the same buildpacks, stack and config vars");
    record.reuse(ToldBy::Server, "the whole build", true, &why);
    add_layer(record, &before.slug);
}

/// A build's end with all that is known of it: what the server knew before, then what the build came to.
pub(super) fn whole<T>(
    built: std::result::Result<T, BuildFailure>,
    mut about: BuildRecord,
    of: impl FnOnce(&mut T) -> &mut BuildRecord,
) -> std::result::Result<T, BuildFailure> {
    match built {
        Ok(mut outcome) => {
            let record = of(&mut outcome);
            about.append(std::mem::take(record));
            *record = about;
            Ok(outcome)
        }
        Err(mut failure) => {
            about.append(std::mem::take(&mut failure.record));
            Err(BuildFailure { record: Box::new(about), ..failure })
        }
    }
}

fn add_layer(record: &mut BuildRecord, slug: &Slug) {
    record.note(ToldBy::Server, FactKind::Made, "layer of slug", &slug.layer);
    record.note(ToldBy::Server, FactKind::Made, "bytes of slug", &slug.size_bytes.to_string());
}
