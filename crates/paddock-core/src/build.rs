//! Builds: from source to slug.

/// How much a build may write to its disk, its slug and its cache included: the operator's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildDisk {
    /// So many bytes.
    Limited(u64),
    /// Until the machine's disk is full.
    Unlimited,
}

impl BuildDisk {
    /// The limit in bytes.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Limited(bytes) => Some(bytes),
            Self::Unlimited => None,
        }
    }
}

/// The status of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuildStatus {
    /// Accepted, or running.
    Pending,
    /// Its slug was released.
    Succeeded,
    /// It failed, was cancelled, or was interrupted.
    Failed,
}

impl BuildStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Succeeded, Self::Failed];

    /// The text in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// The status with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}
