//! Ids: distinct types over UUIDs, so that an app's id cannot stand where a dyno's is meant.
//!
//! New ids are made at the edge (`from_uuid(Uuid::now_v7())`); core only carries and parses them.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A text was not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID: {0}")]
pub struct InvalidId(pub String);

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that was made for this kind of thing.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            /// Accepts the hyphenated form only, as Heroku prints it.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.len() != 36 {
                    return Err(InvalidId(text.to_owned()));
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId(text.to_owned()))
            }
        }
    )*};
}

id! {
    /// An account: somebody who can log in.
    AccountId;
    /// An OAuth authorization with its access token.
    AuthorizationId;
    /// An app.
    AppId;
    /// One build of an app.
    BuildId;
    /// One release of an app.
    ReleaseId;
    /// A slug: the packed result of a build.
    SlugId;
    /// A source: an upload place for a build's source blob.
    SourceId;
    /// One process type's row in an app's formation.
    FormationId;
    /// One run of one dyno; a restarted `web.1` has a new id.
    DynoId;
    /// A domain of an app.
    DomainId;
    /// An account's mark on an app that it wants at hand.
    FavoriteId;
    /// A log session: a one-purpose URL to read an app's log.
    LogSessionId;
    /// A collaborator of an app.
    CollaboratorId;
    /// A server: a data folder, whichever process serves it.
    ServerId;
    /// An SSH key of an account.
    KeyId;
    /// A job: work that ends.
    JobId;
    /// An add-on: a database, say, that apps are attached to.
    AddonId;
    /// An app's attachment to an add-on, under a name of the app's.
    AttachmentId;
    /// A data server: what runs one or many databases.
    DataServerId;
    /// A login to an add-on.
    CredentialId;
    /// A transfer of a database: a backup, a restore, a copy.
    TransferId;
    /// A report about a database. Random: who has it may read the report.
    ReportId;
    /// A schedule of backups.
    TransferScheduleId;
    /// An upload of a blob into an app's registry.
    UploadId;
    /// A container of the runtime: it runs a dyno, a build step or a conversion.
    ContainerId;
    /// A volume of the runtime: a disk that several containers use, one after the other.
    VolumeId;
    /// A service of the runtime: what answers at an address of its own, whichever container does so at the time.
    ServiceId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        assert!("01234567-0123-7123-8123-0123456789ab".parse::<AppId>().is_ok());
        assert!("01234567012371238123".parse::<AppId>().is_err());
        assert!("0123456701237123812301234567890a".parse::<AppId>().is_err());
    }
}
