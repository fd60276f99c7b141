//! What the host writes into a build's record, and what of the runner's words gets there.

use std::time::Duration;

use paddock_core::LayerDigest;
use paddock_core::build_record::{BuildRecord, FactKind, ToldBy};
use tokio::time::Instant;

use super::BuildFailure;
use crate::plan::Notes;

/// Measures the parts of a build, one after the other.
pub(super) struct Watch(Instant);

impl Watch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Notes that a part has ended; the next one begins.
    pub(super) fn note(&mut self, record: &mut BuildRecord, step: &str) {
        record.took(ToldBy::Server, step, self.0.elapsed());
        self.0 = Instant::now();
    }
}

/// What the runner noted.
pub(super) fn add(record: &mut BuildRecord, notes: &Notes) {
    for (kind, name, value) in &notes.facts {
        match FactKind::parse(kind) {
            Some(kind) => record.note(ToldBy::Build, kind, name, value),
            None => record.left_out += 1,
        }
    }
    for (step, millis) in &notes.took {
        record.took(ToldBy::Build, step, Duration::from_millis(*millis));
    }
    for (what, reused, why) in &notes.reuse {
        record.reuse(ToldBy::Build, what, *reused, why);
    }
}

/// Whether the build began with a cache.
pub(super) fn cache(record: &mut BuildRecord, has_cache: bool) {
    let why = if has_cache {
        "the last build that succeeded on this stack left it"
    } else {
        "no build of the app on this stack has left one, or it was purged"
    };
    record.reuse(ToldBy::Server, "build cache", has_cache, why);
}

/// A layer that the build made or used again.
pub(super) fn layer(record: &mut BuildRecord, name: &str, layer: &LayerDigest, size_bytes: u64) {
    record.note(ToldBy::Server, FactKind::Made, &format!("layer of {name}"), &layer.to_string());
    record.note(ToldBy::Server, FactKind::Made, &format!("bytes of {name}"), &size_bytes.to_string());
}

/// A build's end with its record, whichever end that is.
pub(super) fn kept<T>(
    result: Result<T, BuildFailure>,
    record: BuildRecord,
    of: impl FnOnce(&mut T) -> &mut BuildRecord,
) -> Result<T, BuildFailure> {
    match result {
        Ok(mut outcome) => {
            *of(&mut outcome) = record;
            Ok(outcome)
        }
        Err(failure) => Err(BuildFailure { record: Box::new(record), ..failure }),
    }
}
