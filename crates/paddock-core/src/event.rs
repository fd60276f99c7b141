//! What happened: one event for each change that somebody may want to have seen, with who did it.
//!
//! An event is a type before it is text: webhooks, an audit and what a page shows of the past read the same words. The
//! store writes it as JSON (`kind`, particulars, who), in the transaction of the change itself.

use crate::{AccountId, AddonId, AppId, AppName, AuthorizationId, BuildId, SlugId};

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Somebody with an account, by the API, git or a token.
    Account(AccountId),
    /// Whoever owns the data directory, with the server's own program.
    Operator,
    /// The platform itself: nobody asked.
    Platform,
}

/// One particular of an event. No secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Particular {
    /// A name, an id, a sentence.
    Text(String),
    /// A count or a version.
    Number(i64),
    /// A yes or no.
    Flag(bool),
    /// Names.
    List(Vec<String>),
}

macro_rules! particulars_as_text {
    ($($ty:ty),*) => {$(
        impl From<&$ty> for Particular {
            fn from(value: &$ty) -> Self {
                Self::Text(value.to_string())
            }
        }
    )*};
}
particulars_as_text!(String, AccountId, AddonId, AppName, AuthorizationId, BuildId, SlugId);

impl From<&i64> for Particular {
    fn from(value: &i64) -> Self {
        Self::Number(*value)
    }
}

impl From<&bool> for Particular {
    fn from(value: &bool) -> Self {
        Self::Flag(*value)
    }
}

impl From<&Vec<String>> for Particular {
    fn from(value: &Vec<String>) -> Self {
        Self::List(value.clone())
    }
}

macro_rules! events {
    (
        of an app { $($(#[$doc:meta])* $app_event:ident = $app_kind:literal { $($app_field:ident: $app_ty:ty),* $(,)? })* }
        of the platform { $($(#[$other_doc:meta])* $event:ident = $kind:literal { $($field:ident: $ty:ty),* $(,)? })* }
    ) => {
        /// Something that happened.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are what the kind says")]
        pub enum Event {
            $($(#[$doc])* $app_event { app: AppId, $($app_field: $app_ty),* },)*
            $($(#[$other_doc])* $event { $($field: $ty),* },)*
        }

        impl Event {
            /// Every kind, as it is stored: `release.create`.
            pub const KINDS: &[&str] = &[$($app_kind,)* $($kind,)*];

            /// What happened, as it is stored: `release.create`.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$app_event { .. } => $app_kind,)*
                    $(Self::$event { .. } => $kind,)*
                }
            }

            /// The app, which may be gone; `None` for the platform.
            #[must_use]
            pub const fn app(&self) -> Option<AppId> {
                match self {
                    $(Self::$app_event { app, .. } => Some(*app),)*
                    $(Self::$event { .. } => None,)*
                }
            }

            /// The particulars by name, in the order that they are declared in.
            #[must_use]
            pub fn particulars(&self) -> Vec<(&'static str, Particular)> {
                match self {
                    $(Self::$app_event { app: _, $($app_field),* } => {
                        vec![$((stringify!($app_field), Particular::from($app_field))),*]
                    })*
                    $(Self::$event { $($field),* } => {
                        vec![$((stringify!($field), Particular::from($field))),*]
                    })*
                }
            }
        }
    };
}

events! {
    of an app {
        /// An add-on was ordered; it may not be there yet.
        AddonCreated = "addon.create" { addon: AddonId, plan: String }
        AddonUpdated = "addon.update" { addon: AddonId }
        AddonDestroyed = "addon.destroy" { addon: AddonId }
        /// A database was emptied, its connections ended, its credentials read.
        DatabaseTouched = "database.touch" { addon: AddonId, what: String }
        /// A backup, a restore or a copy was asked for: `b001`.
        TransferCreated = "transfer.create" { addon: AddonId, name: String }
        TransferCanceled = "transfer.cancel" { name: String }
        TransferDeleted = "transfer.delete" { name: String }
        /// Somebody was given the address that a backup can be downloaded at.
        TransferShared = "transfer.share" { name: String }
        BackupsScheduled = "transfer_schedule.create" { addon: AddonId, at: String }
        BackupsUnscheduled = "transfer_schedule.destroy" { addon: AddonId }
        AttachmentCreated = "addon_attachment.create" { addon: AddonId, name: String }
        AttachmentDestroyed = "addon_attachment.destroy" { addon: AddonId, name: String }
        AppCreated = "app.create" { name: AppName }
        AppUpdated = "app.update" { name: AppName }
        AppDestroyed = "app.destroy" { name: AppName }
        FeatureUpdated = "app_feature.update" { feature: String, enabled: bool }
        BuildCreated = "build.create" { build: BuildId }
        BuildSucceeded = "build.succeed" { build: BuildId }
        BuildFailed = "build.fail" { build: BuildId, why: String }
        BuildpacksUpdated = "buildpack_installations.update" { buildpacks: Vec<String> }
        CollaboratorCreated = "collaborator.create" { collaborator: AccountId }
        CollaboratorDestroyed = "collaborator.destroy" { collaborator: AccountId }
        /// Config vars changed, of which a release was made.
        ConfigUpdated = "config.update" { keys: Vec<String>, release: i64 }
        DomainCreated = "domain.create" { hostname: String }
        DomainDestroyed = "domain.destroy" { hostname: String }
        DynoCreated = "dyno.create" { dyno: String, command: String }
        /// Dynos were restarted or stopped.
        DynosStopped = "dyno.stop" { what: String }
        FormationUpdated = "formation.update" { scaled: String }
        /// A manifest was pushed into the app's registry, by a tag or by its digest.
        ImagePushed = "image.push" { repository: String, reference: String, digest: String }
        ImageDeleted = "image.delete" { repository: String, reference: String }
        ReleaseCreated = "release.create" { version: i64, description: String }
        SlugCreated = "slug.create" { slug: SlugId }
    }
    of the platform {
        AccountCreated = "account.create" { account: AccountId }
        AccountUpdated = "account.update" { account: AccountId }
        AccountPasswordReset = "account.reset_password" { account: AccountId }
        AccountLoggedOut = "account.logout" { account: AccountId }
        AccountDisabled = "account.disable" { account: AccountId }
        AccountEnabled = "account.enable" { account: AccountId }
        AccountDestroyed = "account.destroy" { account: AccountId }
        AuthorizationCreated = "authorization.create" { authorization: AuthorizationId }
        AuthorizationUpdated = "authorization.update" { authorization: AuthorizationId }
        AuthorizationDestroyed = "authorization.destroy" { authorization: AuthorizationId }
        KeyCreated = "key.create" { fingerprint: String }
        KeyDestroyed = "key.destroy" { fingerprint: String }
        /// A stack, or a further version of one.
        StackAdded = "stack.add" { stack: String, version: String }
        StackUpdated = "stack.update" { stack: String }
        StackRemoved = "stack.remove" { stack: String }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_of_one_event() {
        let mut kinds = Event::KINDS.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), Event::KINDS.len());
        assert!(kinds.iter().all(|kind| {
            kind.split_once('.').is_some_and(|(noun, verb)| !noun.is_empty() && !verb.is_empty())
        }));
    }

    #[test]
    fn an_event_tells_of_which_app_it_is_and_its_particulars_in_order() {
        let app = AppId::from_uuid(uuid::Uuid::from_u128(1));
        let event = Event::ConfigUpdated { app, keys: vec!["A".to_owned(), "B".to_owned()], release: 3 };
        assert_eq!((event.kind(), event.app()), ("config.update", Some(app)));
        let names = Particular::List(vec!["A".to_owned(), "B".to_owned()]);
        assert_eq!(event.particulars(), [("keys", names), ("release", Particular::Number(3))]);
        assert_eq!(Event::KeyCreated { fingerprint: "x".to_owned() }.app(), None);
    }
}
