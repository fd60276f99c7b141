//! Where backups of apps' databases go: whether it takes them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use paddock_control::addon::backup::UnnamedDumps;
use paddock_core::error::chain;
use paddock_outbound::Roots;
use paddock_outbound::s3::Bucket;

use super::Finding;
use crate::backups::BackupsArgs;

const NAME: &str = "backups of databases";
const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing where they go into the data folder.
pub(super) fn check(
    args: &BackupsArgs,
    environment: impl Fn(&str) -> Option<String>,
    data: Option<&Path>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = bucket(args, environment).into_iter().collect();
    if !findings.is_empty() {
        findings.extend(args.key_file().and_then(key_file));
        findings.extend(data.and_then(unnamed));
    }
    findings
}

fn bucket(args: &BackupsArgs, environment: impl Fn(&str) -> Option<String>) -> Option<Finding> {
    let remedy = "Backups fail until this is right; they are tried again each time";
    let settings = match args.read(&environment) {
        Ok(settings) => settings?,
        Err(problem) => return Some(Finding::problem(NAME, problem, remedy)),
    };
    let roots = match environment("SSL_CERT_FILE") {
        Some(file) => Roots::of_file(file.as_ref()),
        None => Roots::of_system(),
    };
    let bucket = match roots.map_err(|error| error.to_string()) {
        Ok(roots) => settings.bucket(roots).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    Some(match bucket.and_then(|bucket| ask(&bucket.with_patience(PATIENCE)).map(|()| bucket_is_well())) {
        Ok(finding) => finding,
        Err(problem) => Finding::problem(NAME, problem, remedy),
    })
}

fn bucket_is_well() -> Finding {
    Finding::ok(NAME, "the bucket takes them")
}

/// Whether others may read it; that it is there is known by then.
fn key_file(path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    let shown = path.display();
    (mode & 0o077 != 0).then(|| {
        let detail = format!("{shown} has mode {mode:04o}: others may read the access key of the bucket");
        let remedy = format!("chmod 600 {shown}; if somebody may have read it, make another key");
        Finding::problem("key of the bucket", detail, remedy)
    })
}

fn unnamed(data: &Path) -> Option<Finding> {
    let UnnamedDumps { count, stay_until } = UnnamedDumps::of(data).ok().flatten()?;
    let until = jiff::Timestamp::from_microsecond(stay_until.0).ok()?.strftime("%Y-%m-%d %H:%M UTC");
    let detail =
        format!("{count} dumps in the bucket have no backup that names them; none goes before {until}");
    let remedy = "Copy those that you want to have: each is removed when it has had no name for a week";
    Some(Finding::note(NAME, detail, remedy))
}

fn ask(bucket: &Bucket) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("could not start: {error}"))?;
    runtime.block_on(bucket.check()).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "").unwrap();
        for (mode, is_told) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            let found = key_file(&file);
            assert_eq!(found.is_some(), is_told, "{mode:o}");
            assert!(found.is_none_or(|found| found.remedy.starts_with("chmod 600")));
        }
    }
}
