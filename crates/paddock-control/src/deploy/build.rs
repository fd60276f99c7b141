//! Builds from archives, and what is to be known of every build.

use std::time::Duration;

use paddock_core::build::BuildStatus;
use paddock_core::buildpack_meaning::Ran;
use paddock_core::stack::Stack;
use paddock_core::{AccountId, AppId, AppRef, BuildId, ErrorId, ReleaseId, SlugId, SourceId, UnixMicros};
use paddock_store::{App, Build as Row, NewBuild, SourceKind};
use uuid::Uuid;

use crate::deploy::Deploy;
use crate::deploy::stream_secret::Stream;
use crate::kernel::checked::{buildpack_name, parse_buildpack};
use crate::kernel::emails::Emails;
use crate::kernel::{checked, secret};
use crate::{Actor, Error, Result};

/// How long a cancelled build gets to end before the answer is that it has not yet.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(20);

/// What stands in the place of a source's address once a build has it: the address itself was a secret.
const OWN_SOURCE: &str = "source:";

/// A build, as shown to those who may see its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub id: BuildId,
    pub app_id: AppId,
    /// The buildpacks it uses; `None` while they are to be detected.
    pub buildpacks: Option<Vec<BuildBuildpack>>,
    /// What opens its output.
    pub output_secret: String,
    pub release_id: Option<ReleaseId>,
    pub slug_id: Option<SlugId>,
    /// What it was built from, without secrets.
    pub source_url: String,
    /// The checksum that was asked for.
    pub source_checksum: Option<String>,
    /// The commit, or what the client called the source.
    pub source_version: Option<String>,
    /// What the client said of it.
    pub source_description: Option<String>,
    /// What it is laid upon.
    pub stack: Stack,
    pub status: BuildStatus,
    pub user_id: AccountId,
    /// The e-mail address of the account that started it.
    pub user_email: String,
    pub created_at: UnixMicros,
    pub updated_at: UnixMicros,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildBuildpack {
    /// Name, address or URN, as it was given.
    pub url: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOrder {
    /// The `get_url` of a source of this server, or an address elsewhere.
    pub url: String,
    /// `SHA256:` and the digest that the archive must have.
    pub checksum: Option<String>,
    /// What the client calls the source.
    pub version: Option<String>,
    /// What the client says of it.
    pub version_description: Option<String>,
    /// Buildpacks for this build alone.
    pub buildpacks: Option<Vec<String>>,
}

impl Deploy {
    /// The builds of an app, oldest first.
    pub async fn list_builds(&self, actor: &Actor, app: &AppRef) -> Result<Vec<Build>> {
        let app = self.kernel.visible_app(actor, app).await?;
        let rows = self.kernel.store.builds(app.id).await?;
        let mut emails = Emails::new(&self.kernel);
        let mut builds = Vec::with_capacity(rows.len());
        for row in rows {
            builds.push(self.build_view(row, &mut emails).await?);
        }
        Ok(builds)
    }

    pub async fn build(&self, actor: &Actor, app: &AppRef, build: &str) -> Result<Build> {
        let app = self.kernel.visible_app(actor, app).await?;
        let row = self.build_row(&app, build).await?;
        self.build_view(row, &mut Emails::new(&self.kernel)).await
    }

    /// Starts a build of an archive.
    ///
    /// # Errors
    /// `not_found`; `conflict` while another build of the app runs; `invalid_params` for an address that is neither an
    /// uploaded source of the actor's nor one that could be fetched, a bad checksum, version or buildpack.
    pub async fn create_build(&self, actor: &Actor, app: &AppRef, order: BuildOrder) -> Result<Build> {
        let app = self.kernel.visible_app(actor, app).await?;
        let id = BuildId::from_uuid(Uuid::now_v7());
        let (source, secret) = match self.own_source(actor, &order.url).await? {
            Some(source) => (source.to_string(), None),
            None => (source_elsewhere(&order.url)?, Some(order.url)),
        };
        let checksum = order.checksum.map(|text| checked::checksum(&text)).transpose()?;
        let buildpacks = match order.buildpacks {
            Some(given) => given.iter().map(|text| self.parsed(text)).collect::<Result<Vec<_>>>()?,
            None => self.buildpacks_for_build(&app).await?,
        };
        let new = NewBuild {
            id,
            app_id: app.id,
            source_kind: SourceKind::Archive,
            source,
            source_version: checked::text("version", order.version)?,
            source_description: checked::text("version_description", order.version_description)?,
            source_checksum: checksum,
            account_id: actor.account_id,
            buildpacks,
            stack: app.build_stack.clone(),
            stack_version: String::new(),
            branch: None,
            old_head: None,
        };
        self.enqueue_build(&new, secret).await?;
        let row = self.kernel.store.build(app.id, id).await?.ok_or_else(|| Error::not_found("build"))?;
        self.build_view(row, &mut Emails::new(&self.kernel)).await
    }

    /// Ends a running build badly and waits for its end.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it has ended already.
    pub async fn cancel_build(&self, actor: &Actor, app: &AppRef, build: &str) -> Result<Build> {
        let app = self.kernel.visible_app(actor, app).await?;
        let mut row = self.build_row(&app, build).await?;
        if row.status != BuildStatus::Pending {
            let text = format!("Build {} has ended already: it {}.", row.id, row.status.as_str());
            return Err(Error::new(ErrorId::Conflict, text));
        }
        let mut changes = self.kernel.wakes.changes.listen();
        self.cancels.cancel(row.id);
        self.kernel.log_api(app.id, format!("Build cancelled by user {}", actor.email)).await;
        let deadline = tokio::time::Instant::now() + CANCEL_TIME_MAX;
        while row.status == BuildStatus::Pending && tokio::time::Instant::now() < deadline {
            changes.heard(Duration::from_millis(250)).await;
            row = self.build_row(&app, build).await?;
        }
        self.build_view(row, &mut Emails::new(&self.kernel)).await
    }

    /// Empties the app's build cache.
    pub async fn purge_build_cache(&self, actor: &Actor, app: &AppRef) -> Result<()> {
        let app = self.kernel.visible_app(actor, app).await?;
        let purged = self.builder.purge_cache(app.id).await;
        purged.map_err(|error| Error::internal("empty a build cache", error))?;
        let mut tx = self.kernel.record("forget what steps came to").await?;
        tx.forget_build_steps(app.id).await?;
        tx.forget_what_builds_are_made_of(app.id).await?;
        tx.look_for_newer_buildpacks(app.id).await?;
        tx.commit_quietly("build.steps_forgotten").await?;
        self.kernel.log_api(app.id, format!("Purge build cache by user {}", actor.email)).await;
        Ok(())
    }

    pub(super) async fn build_row(&self, app: &App, build: &str) -> Result<Row> {
        let missing = || Error::not_found("build");
        let id: BuildId = build.parse().map_err(|_| missing())?;
        self.kernel.store.build(app.id, id).await?.ok_or_else(missing)
    }

    /// The id of the actor's own uploaded source behind an address of ours. The secret in it is what counts: the
    /// host may be any name of this server. `None` for an address that is none of ours.
    async fn own_source(&self, actor: &Actor, url: &str) -> Result<Option<SourceId>> {
        let Some((_, rest)) = url.split_once("://") else { return Ok(None) };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let secret = path.strip_prefix("sources/").filter(|secret| !secret.is_empty());
        let found = match secret {
            Some(secret) => self.kernel.store.source_by_get_secret(&secret::sha256(secret)).await,
            None => Ok(None),
        };
        let found = found?;
        if found.is_none() && !self.kernel.config.is_platform(authority) {
            return Ok(None);
        }
        let own =
            found.filter(|row| row.account_id == actor.account_id && row.expires_at > self.kernel.now());
        let row = own
            .ok_or_else(|| Error::invalid("The source's url names no source of yours, or an expired one."))?;
        match row.size_bytes {
            Some(_) => Ok(Some(row.id)),
            None => Err(Error::invalid(
                "Nothing was put into this source yet: PUT the archive to its put_url first.",
            )),
        }
    }

    fn parsed(&self, text: &str) -> Result<String> {
        parse_buildpack(text, &self.kernel.config).map(|buildpack| buildpack.as_str().to_owned())
    }

    /// What ran with its version, once that is known; before, what is to run.
    fn buildpacks_of_build(&self, wanted: Vec<String>, ran: &[String]) -> Option<Vec<BuildBuildpack>> {
        let named = |url: &str, shown: String| BuildBuildpack {
            name: buildpack_name(url, &self.kernel.config),
            url: shown,
        };
        let of_ran = |text: &String| {
            let (url, ran) = text.split_once(' ')?;
            Some(match ran.parse().ok()? {
                Ran::Builtin => named(url, url.to_owned()),
                Ran::Archive(_) => named(url, format!("{url}#{ran}")),
                Ran::Commit(commit) => {
                    let repository = url.split_once('#').map_or(url, |(repository, _)| repository);
                    named(url, format!("{repository}#{commit}"))
                }
            })
        };
        let list: Vec<_> = match ran.is_empty() {
            true => wanted.iter().map(|url| named(url, url.clone())).collect(),
            false => ran.iter().filter_map(of_ran).collect(),
        };
        (!list.is_empty()).then_some(list)
    }

    async fn build_view(&self, row: Row, emails: &mut Emails<'_>) -> Result<Build> {
        let (source_url, commit) = match row.source_kind {
            SourceKind::Archive if row.source.contains("://") => (row.source.clone(), None),
            SourceKind::Archive => (format!("{OWN_SOURCE}{}", row.source), None),
            SourceKind::Git => (format!("git:{}", row.source), Some(row.source.clone())),
        };
        Ok(Build {
            id: row.id,
            app_id: row.app_id,
            buildpacks: self.buildpacks_of_build(row.buildpacks, &row.ran),
            output_secret: self.stream_secret(Stream::Build, row.id.uuid()).await?,
            release_id: row.release_id,
            slug_id: row.slug_id,
            source_url,
            source_checksum: row.source_checksum,
            source_version: row.source_version.or(commit),
            source_description: row.source_description,
            stack: row.stack,
            status: row.status,
            user_email: emails.of(row.account_id).await?,
            user_id: row.account_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// What is shown of an address elsewhere; the whole of it is a secret of the job that fetches it.
fn source_elsewhere(url: &str) -> Result<String> {
    paddock_outbound::shown(url).ok_or_else(|| {
        let text = "The source's url must be the get_url of a source of this server (POST /sources), or begin \
                    with https:// or http:// and name a host.";
        Error::invalid(text)
    })
}
