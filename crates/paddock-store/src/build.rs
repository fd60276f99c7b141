//! Builds: from source to slug. An app has at most one that is pending; a unique index holds that too.

use paddock_core::build::BuildStatus;
use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, BuildId, ReleaseId, SlugId, UnixMicros};

use crate::Tx;
use crate::engine::{reads, row, statements, values, word_columns};
use crate::error::{Result, StoreError};

/// Where the source of a build comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// A commit in the app's git repository.
    Git,
    /// An archive: one of our sources, or a URL.
    Archive,
}

impl SourceKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Archive => "archive",
        }
    }

    /// The kind with this stored text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Git, Self::Archive].into_iter().find(|kind| kind.as_str() == text)
    }
}

word_columns!(SourceKind = SourceKind::parse);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub id: BuildId,
    pub app_id: AppId,
    pub status: BuildStatus,
    pub source_kind: SourceKind,
    /// The commit, or the id or URL of the archive.
    pub source: String,
    /// What the client calls the version of the source.
    pub source_version: Option<String>,
    /// What the client says of the version.
    pub source_description: Option<String>,
    /// Checksum that the archive must have, as the client gave it.
    pub source_checksum: Option<String>,
    pub account_id: AccountId,
    /// URLs of its buildpacks, in order.
    pub buildpacks: Vec<String>,
    /// What ran for each: its reference, and what [`paddock_core::buildpack_meaning::Ran`] says. Empty until it is known.
    pub ran: Vec<String>,
    /// What it is laid upon.
    pub stack: Stack,
    /// The version of that; empty where the machine has but one.
    pub stack_version: String,
    pub slug_id: Option<SlugId>,
    /// The release of what it made.
    pub release_id: Option<ReleaseId>,
    /// The branch to move when it succeeds.
    pub branch: Option<String>,
    /// The commit the branch named when the push came; `None` when it did not exist.
    pub old_head: Option<String>,
    /// Why it failed, for the user.
    pub failure: Option<String>,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
    pub finished_at: Option<UnixMicros>,
}

row!(Build { id, app_id, status, source_kind, source, account_id, buildpacks, ran, stack, stack_version, created_at, updated_at }
    optional { source_version, source_description, source_checksum, slug_id, release_id, branch, old_head,
        failure, finished_at });

/// What a new build is made of; fields as in [`Build`].
#[derive(Debug, Clone)]
pub struct NewBuild {
    pub id: BuildId,
    pub app_id: AppId,
    pub source_kind: SourceKind,
    /// The commit, or the id or URL of the archive.
    pub source: String,
    /// What the client calls the version of the source.
    pub source_version: Option<String>,
    /// What the client says of the version.
    pub source_description: Option<String>,
    /// Checksum that the archive must have.
    pub source_checksum: Option<String>,
    pub account_id: AccountId,
    /// URLs of its buildpacks, in order.
    pub buildpacks: Vec<String>,
    /// What it is laid upon.
    pub stack: Stack,
    /// The version of that; empty where the machine has but one.
    pub stack_version: String,
    /// The branch to move when it succeeds.
    pub branch: Option<String>,
    /// The commit the branch named when the push came.
    pub old_head: Option<String>,
}

statements! {
    BY_ID = "SELECT * FROM builds WHERE app_id = $1 AND id = $2";
    ANY_BY_ID = "SELECT * FROM builds WHERE id = $1";
    OF_APP = "SELECT * FROM builds WHERE app_id = $1 ORDER BY created_at, id";
    RUNNING_OF_APP = "SELECT * FROM builds WHERE app_id = $1 AND status = 'pending'";
    CREATE = "INSERT INTO builds (id, app_id, status, source_kind, source, source_version, source_description, \
        source_checksum, account_id, buildpacks, stack, stack_version, branch, old_head, created_at, updated_at) \
        VALUES ($1, $2, 'pending', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)";
    SET_SLUG = "UPDATE builds SET slug_id = $2, updated_at = $3 WHERE id = $1 AND status = 'pending'";
    SET_RELEASE = "UPDATE builds SET release_id = $2, updated_at = $3 WHERE id = $1 AND status = 'pending'";
    SET_MADE_OF = "UPDATE builds SET made_of = $2, updated_at = $3 WHERE id = $1 AND status = 'pending'";
    SET_RAN = "UPDATE builds SET ran = $2, updated_at = $3 WHERE id = $1 AND status = 'pending'";
    FORGET_MADE_OF = "UPDATE builds SET made_of = '' WHERE app_id = $1 AND made_of <> ''";
    MADE_OF = "SELECT * FROM builds WHERE app_id = $1 AND made_of = $2 AND status = 'succeeded' \
        AND slug_id IN (SELECT id FROM slugs) ORDER BY created_at DESC, id DESC LIMIT 1";
    SUCCEED = "UPDATE builds SET status = 'succeeded', updated_at = $2, finished_at = $2 \
        WHERE id = $1 AND status = 'pending'";
    FAIL = "UPDATE builds SET status = 'failed', failure = $2, updated_at = $3, finished_at = $3 \
        WHERE id = $1 AND status = 'pending'";
}

reads! {
    /// The build of an app with this id.
    build(app_id: AppId, id: BuildId) -> one Build: BY_ID [app_id, id];
    /// The build with this id, of whatever app (for jobs, which know only the id).
    build_by_id(id: BuildId) -> one Build: ANY_BY_ID [id];
    /// The builds of an app, oldest first.
    builds(app_id: AppId) -> all Build: OF_APP [app_id];
    /// The build of an app that is pending.
    running_build(app_id: AppId) -> one Build: RUNNING_OF_APP [app_id];
    /// The newest build of the app with that key, if what it made is there.
    build_made_of(app_id: AppId, made_of: &str) -> one Build: MADE_OF [app_id, made_of];
}

impl Tx {
    /// Makes a pending build.
    ///
    /// # Errors
    /// `BuildRunning` when another build of the app is pending.
    pub async fn create_build(&mut self, new: &NewBuild) -> Result<Build> {
        if let Some(running) = self.running_build(new.app_id).await? {
            return Err(StoreError::BuildRunning { id: running.id });
        }
        let values = values![
            new.id,
            new.app_id,
            new.source_kind,
            new.source,
            new.source_version,
            new.source_description,
            new.source_checksum,
            new.account_id,
            new.buildpacks,
            new.stack,
            new.stack_version,
            new.branch,
            new.old_head,
            self.now
        ];
        self.execute(CREATE, values).await?;
        let made = self.build(new.app_id, new.id).await?;
        made.ok_or_else(|| StoreError::Gone { noun: "build", id: new.id.to_string() })
    }

    /// Notes the slug it made.
    ///
    /// # Errors
    /// `Gone` when there is no such build or it has ended.
    pub async fn set_build_slug(&mut self, id: BuildId, slug_id: SlugId) -> Result<()> {
        let values = values![id, slug_id, self.now];
        self.change("pending build", id, SET_SLUG, values).await
    }

    /// Notes a key of everything that it was made of.
    ///
    /// # Errors
    /// `Gone` when there is no such build or it has ended.
    pub async fn set_build_made_of(&mut self, id: BuildId, made_of: &str) -> Result<()> {
        let values = values![id, made_of, self.now];
        self.change("pending build", id, SET_MADE_OF, values).await
    }

    /// Notes what ran for each of its buildpacks.
    ///
    /// # Errors
    /// `Gone` when there is no such build or it has ended.
    pub async fn set_build_ran(&mut self, id: BuildId, ran: &[String]) -> Result<()> {
        let values = values![id, ran.to_vec(), self.now];
        self.change("pending build", id, SET_RAN, values).await
    }

    /// Has no later build of the app use what its builds made so far.
    pub async fn forget_what_builds_are_made_of(&mut self, app_id: AppId) -> Result<()> {
        self.execute(FORGET_MADE_OF, values![app_id]).await.map(drop)
    }

    /// Notes the release of what it made.
    ///
    /// # Errors
    /// `Gone` when there is no such build or it has ended.
    pub async fn set_build_release(&mut self, id: BuildId, release_id: ReleaseId) -> Result<()> {
        let values = values![id, release_id, self.now];
        self.change("pending build", id, SET_RELEASE, values).await
    }

    /// Ends a build well.
    ///
    /// # Errors
    /// `Gone` when there is no such build or it has ended: an end is never changed.
    pub async fn succeed_build(&mut self, id: BuildId) -> Result<()> {
        let values = values![id, self.now];
        self.change("pending build", id, SUCCEED, values).await
    }

    /// Ends a build badly; `failure` is for the user.
    ///
    /// # Errors
    /// `Gone` when there is no such build or it has ended: an end is never changed.
    pub async fn fail_build(&mut self, id: BuildId, failure: &str) -> Result<()> {
        let values = values![id, failure, self.now];
        self.change("pending build", id, FAIL, values).await
    }
}
