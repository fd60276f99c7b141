//! Where backups of apps' databases go: whether it takes them.

use std::time::Duration;

use paddock_core::error::chain;
use paddock_outbound::Roots;
use paddock_outbound::s3::Bucket;

use super::Finding;
use crate::backups::BackupsArgs;

const NAME: &str = "backups of databases";
const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing where they go into the data folder.
pub(super) fn check(args: &BackupsArgs, environment: impl Fn(&str) -> Option<String>) -> Option<Finding> {
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

fn ask(bucket: &Bucket) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("could not start: {error}"))?;
    runtime.block_on(bucket.check()).map_err(|error| chain(&error))
}
