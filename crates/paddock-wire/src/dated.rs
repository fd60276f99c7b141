//! When what an answer shows was changed: its `Last-Modified` header.

use std::collections::BTreeMap;

use crate::time::Time;
use crate::{
    Account, Addon, AddonAttachment, AddonService, App, Authorization, Build, BuildpackInstallation,
    Collaborator, Domain, Dyno, DynoSize, Empty, Favorite, Feature, Formation, Generation, IdOnly, Key,
    LogSession, Plan, RateLimit, Region, Release, Slug, Source, Stack, addon, build_record, postgres, report,
    transfer,
};

/// What every answered shape says of itself.
pub trait Dated {
    /// When it was last changed; `None` for what keeps no such time.
    fn changed_at(&self) -> Option<Time>;
}

/// The newest of the list.
impl<T: Dated> Dated for Vec<T> {
    fn changed_at(&self) -> Option<Time> {
        self.iter().filter_map(Dated::changed_at).max()
    }
}

/// Config vars keep no time of their own.
impl Dated for BTreeMap<String, String> {
    fn changed_at(&self) -> Option<Time> {
        None
    }
}

macro_rules! by_updated_at {
    ($($shape:ty),* $(,)?) => {$(
        impl Dated for $shape {
            fn changed_at(&self) -> Option<Time> {
                Some(self.updated_at)
            }
        }
    )*};
}
by_updated_at!(
    Account,
    Addon,
    AddonAttachment,
    AddonService,
    App,
    Authorization,
    Build,
    Collaborator,
    Domain,
    Dyno,
    Feature,
    Formation,
    Generation,
    Key,
    LogSession,
    Plan,
    Region,
    Release,
    Slug,
    Stack,
);

macro_rules! undated {
    ($($shape:ty),* $(,)?) => {$(
        impl Dated for $shape {
            fn changed_at(&self) -> Option<Time> {
                None
            }
        }
    )*};
}
undated!(
    postgres::Credential,
    postgres::Database,
    postgres::Message,
    postgres::WaitStatus,
    report::MachineSample,
    report::Report,
    transfer::PublicUrl,
    transfer::Schedule,
    transfer::Transfer,
    addon::Config,
    build_record::BuildExplanation,
    build_record::BuildMetadata,
    build_record::BuildRecord,
    BuildpackInstallation,
    DynoSize,
    Empty,
    Favorite,
    IdOnly,
    RateLimit,
    Source
);
