//! Releases: a slug with a snapshot of config vars, numbered from 1 for each app.

use std::time::Duration;

/// So many of an app's newest releases never expire. Source: `docs/contract/platform-behaviour.md`, section 7.
pub const RELEASES_KEPT: i64 = 20;
/// No release expires before, nor does a slug that no release has. Source: as above.
pub const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The status of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseStatus {
    /// Its release phase runs or waits.
    Pending,
    /// It was, or may become, current.
    Succeeded,
    /// Its release phase failed; it was never current.
    Failed,
    /// Its slug was collected; it cannot be rolled back to.
    Expired,
}

impl ReleaseStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Succeeded, Self::Failed, Self::Expired];

    /// The text in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// The status with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether `next` may follow.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Succeeded | Self::Failed) | (Self::Succeeded, Self::Expired)
        )
    }
}

/// Description of a build's release: `Deploy 1a2b3c4d`. Source: `docs/contract/platform-behaviour.md`, section 7.
#[must_use]
pub fn deploy_description(commit: &str) -> String {
    // A client's own version may be any text.
    format!("Deploy {}", commit.get(..commit.floor_char_boundary(8)).unwrap_or(commit))
}

/// Description of a release made by a rollback.
#[must_use]
pub fn rollback_description(version: i64) -> String {
    format!("Rollback to v{version}")
}

#[cfg(test)]
mod tests {
    use super::deploy_description;

    #[test]
    fn a_commit_is_shortened_and_any_text_is_cut_at_a_character() {
        assert_eq!(deploy_description("0123456789abcdef"), "Deploy 01234567");
        assert_eq!(deploy_description("v1"), "Deploy v1");
        assert_eq!(deploy_description("sevensy\u{fc}nchronous"), "Deploy sevensy");
    }
}
