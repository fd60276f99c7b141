//! What can go wrong with durable state.

use std::path::PathBuf;

use paddock_core::{AppId, AppName, BuildId, JobId, ServerId};

/// The result of every operation here.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A cause from below, whose type is nobody's business above.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the store did not do as asked. After any of these a transaction is to be dropped, not committed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The app does not exist, or no longer.
    #[error("app {0} does not exist")]
    AppGone(AppId),
    /// The row that was to be changed does not exist, or no longer.
    #[error("{noun} {id} does not exist")]
    Gone { noun: &'static str, id: String },
    /// Another app has the name.
    #[error("app name {0} is taken")]
    NameTaken(AppName),
    /// Another account has the address, in whatever case.
    #[error("email {0} is taken")]
    EmailTaken(String),
    /// Some app has the domain already.
    #[error("hostname {0} is taken")]
    HostnameTaken(String),
    /// Some account has the key already.
    #[error("key {0} is taken")]
    KeyTaken(String),
    /// The account is a collaborator of the app already.
    #[error("the account is already a collaborator of app {0}")]
    AlreadyCollaborator(AppId),
    /// Another add-on has the name.
    #[error("add-on name {0} is taken")]
    AddonNameTaken(String),
    /// Another attachment of the app has the name.
    #[error("attachment name {0} is taken")]
    AttachmentNameTaken(String),
    /// Another login of the add-on has the name.
    #[error("login {0} is taken")]
    LoginTaken(String),
    /// An app builds one thing at a time.
    #[error("build {id} of the app is still running")]
    BuildRunning { id: BuildId },
    /// A text holds the character NUL, which not every engine can store.
    #[error("a text cannot hold the character NUL")]
    NulInText,
    /// Somebody else has, or nobody has, the lease of the job: stop working on it.
    #[error("the lease of job {0} is lost")]
    LeaseLost(JobId),
    /// A later version of the program has written the database.
    #[error("the database is at version {found}, this program knows versions up to {known}")]
    NewerVersion {
        /// Version of the newest migration in the database.
        found: i64,
        /// Version of the newest migration in this program.
        known: i64,
    },
    /// The database could not be opened.
    #[error("could not open the database {database}")]
    Open {
        /// The database: its file, or its URL without the password.
        database: String,
        #[source]
        source: Cause,
    },
    /// The server's state is elsewhere: with none of its apps known it would clear away what belongs to them.
    #[error(
        "the database does not know this server ({0}): it is not the one that the data folder was used with"
    )]
    UnknownServer(ServerId),
    /// A copy would have mixed with what is there.
    #[error("the database {0} is not empty and holds something else; make an empty one")]
    CopyTarget(String),
    /// A copy stopped; nothing of it was kept.
    #[error("could not copy {what}")]
    Copy {
        what: String,
        #[source]
        source: Cause,
    },
    /// A migration failed; nothing of it was kept.
    #[error("could not migrate the database to version {version}")]
    Migrate {
        /// The version that was not reached.
        version: i64,
        #[source]
        source: Cause,
    },
    /// It is not ours to do where the database is on a server of its own.
    #[error("could not {doing}: the state is on a PostgreSQL server. {instead}")]
    OnServer {
        doing: &'static str,
        /// What the operator does instead.
        instead: &'static str,
    },
    /// The master key could not be read or made.
    #[error("could not read or make the master key {path}")]
    MasterKey {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The master key file is not 32 bytes.
    #[error("the master key {path} has {bytes} bytes instead of 32")]
    MasterKeyLength { path: PathBuf, bytes: usize },
    /// The database holds secrets, and the file with the key to them is not there.
    #[error(
        "the database holds secrets but the master key {path} is missing; restore it from a backup, or copy it from another server of this database"
    )]
    MasterKeyMissing { path: PathBuf },
    /// The file for a new master key is the file of the present one.
    #[error(
        "the present master key is in {path}: name another file, which is not there yet, for the new one"
    )]
    MasterKeySame { path: PathBuf },
    /// A secret was not sealed with this key, or not for this place, or was changed.
    #[error("could not unseal {place}: wrong master key, or the sealed bytes were changed or moved")]
    Unseal {
        /// Where the secret belongs.
        place: String,
    },
    /// The random number generator or the cipher failed.
    #[error("could not seal {place}")]
    Seal {
        /// Where the secret belongs.
        place: String,
    },
    /// The database did not answer, or not in time: it restarts, the connection broke, a lock was held too long. The same
    /// may work in a moment. Nothing of the transaction was kept, unless it was the commit whose answer did not come.
    #[error("the database does not answer")]
    Unavailable(#[source] Cause),
    /// A transaction failed at what it was for.
    #[error("could not {doing}")]
    During {
        doing: &'static str,
        #[source]
        source: Box<StoreError>,
    },
    #[error("could not run the statement `{statement}`")]
    Statement {
        /// Its text; values are not part of it.
        statement: &'static str,
        #[source]
        source: Cause,
    },
    /// The transaction could not be committed; nothing of it was kept.
    #[error("could not commit the transaction")]
    Commit(#[source] Cause),
    /// A column is missing or of another kind.
    #[error("could not read column {column}")]
    UnreadableColumn {
        column: &'static str,
        #[source]
        source: Cause,
    },
    /// A column holds a value that this version does not know.
    #[error("column {column} holds a value that this version does not know")]
    UnknownValue { column: &'static str },
}

impl StoreError {
    /// Says what a failure was in the way of. What is refused speaks for itself.
    pub(crate) fn during(self, doing: &'static str) -> Self {
        match self {
            Self::Unavailable(_)
            | Self::Statement { .. }
            | Self::Commit(_)
            | Self::UnreadableColumn { .. }
            | Self::UnknownValue { .. }
            | Self::Seal { .. }
            | Self::Unseal { .. } => Self::During { doing, source: Box::new(self) },
            other => other,
        }
    }

    /// Whether the database did not answer: the same may work in a moment.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self.why(), Self::Unavailable(_))
    }

    /// What went wrong, whatever it was in the way of.
    #[must_use]
    pub fn why(&self) -> &Self {
        match self {
            Self::During { source, .. } => source.why(),
            other => other,
        }
    }
}
