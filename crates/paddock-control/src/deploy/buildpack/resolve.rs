//! What a build is given for each of its buildpacks, by the rule of `paddock_core::buildpack_meaning`: decided and fetched before its
//! container starts. Repositories are fetched in the container, which is told what ran before.

use std::collections::BTreeMap;

use paddock_build::plan::{PreparedBuildpack, Told};
use paddock_core::UnixMicros;
use paddock_core::buildpack::{BuildpackRef, legacy_reference};
use paddock_core::buildpack_meaning::{Meaning, Ran, meaning};
use paddock_core::config::ConfigVars;
use paddock_store::{Build, BuildpackArchive, BuildpackPin};

use crate::Result;
use crate::deploy::Deploy;
use crate::deploy::buildpack::mirror::Mirrored;

/// What is known of the buildpacks of a build before it begins.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// What its container is told, by reference.
    pub(crate) prepared: BTreeMap<String, PreparedBuildpack>,
    /// References in order; none where detection, or a file of the source, is to say.
    pub(crate) references: Vec<String>,
    /// What runs for a reference, where that is known already.
    ran: BTreeMap<String, Ran>,
    /// When it was looked for a newer one, and whether detection chose it.
    looked: BTreeMap<String, (UnixMicros, bool)>,
}

/// What one reference came to.
#[derive(Default)]
struct One {
    ran: Option<Ran>,
    looked_at: UnixMicros,
    is_detected: bool,
    prepared: PreparedBuildpack,
}

impl Resolved {
    /// What runs, or ran, for each buildpack; `None` where of one it is not known.
    pub(crate) fn ran(&self, commits: &BTreeMap<String, String>) -> Option<Vec<(String, Ran)>> {
        let of = |reference: &String| {
            let committed = || format!("commit:{}", commits.get(reference)?).parse().ok();
            Some((reference.clone(), self.ran.get(reference).cloned().or_else(committed)?))
        };
        self.references.iter().map(of).collect::<Option<Vec<_>>>().filter(|ran| !ran.is_empty())
    }

    /// The pin of a buildpack that ran; of one that nobody named, detection chose it.
    pub(crate) fn pin(&self, reference: &str, ran: Ran, now: UnixMicros) -> BuildpackPin {
        let (looked_at, detected) = self.looked.get(reference).copied().unwrap_or((now, true));
        BuildpackPin { reference: reference.to_owned(), ran, looked_at, detected }
    }

    /// What people are told, where no container tells it.
    pub(crate) fn told(&self) -> String {
        let told = self.prepared.values().flat_map(|one| &one.told);
        told.map(|told| match told {
            Told::Detail(text) => format!("       {text}\n"),
            Told::Warning(text) => format!(" !     {text}\n"),
        })
        .collect()
    }
}

/// Texts of buildpacks with what ran for them: what a build is made of, and what its row says.
pub(crate) fn texts(ran: &[(String, Ran)]) -> Vec<String> {
    ran.iter().map(|(reference, ran)| format!("{reference} {ran}")).collect()
}

/// Decides, and fetches what is to be fetched by the server.
pub(crate) async fn resolve(deploy: &Deploy, build: &Build, config: &ConfigVars) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    if build.stack.is_container() {
        return Ok(resolved);
    }
    resolved.references = match (build.buildpacks.is_empty(), legacy_reference(config)) {
        (true, Some(named)) => vec![named.to_owned()],
        _ => build.buildpacks.clone(),
    };
    let pins = deploy.kernel.store.buildpack_pins(build.app_id).await?;
    let pins: BTreeMap<_, _> = pins.into_iter().map(|pin| (pin.reference.clone(), pin)).collect();
    for reference in resolved.references.clone() {
        let Ok(buildpack) = BuildpackRef::parse(&reference, deploy.kernel.config.buildpack_urls) else {
            // The build says what is wrong with it.
            continue;
        };
        let pin = pins.get(&reference);
        let mut one = Resolving { deploy, build, pin, name: buildpack.name() }.one(&buildpack).await?;
        one.prepared.before = pin.map(|pin| pin.ran.to_string());
        let before = pin.map(|pin| &pin.ran);
        if let Some(text) = one.ran.as_ref().and_then(|ran| ran.change(buildpack.name(), before))
            && !matches!(one.ran, Some(Ran::Commit(_)))
        {
            one.prepared.told.push(Told::Detail(text));
        }
        if let Some(ran) = one.ran {
            resolved.ran.insert(reference.clone(), ran);
        }
        resolved.looked.insert(reference.clone(), (one.looked_at, one.is_detected));
        resolved.prepared.insert(reference, one.prepared);
    }
    Ok(resolved)
}

/// One reference of a build.
struct Resolving<'a> {
    deploy: &'a Deploy,
    build: &'a Build,
    pin: Option<&'a BuildpackPin>,
    name: &'a str,
}

impl Resolving<'_> {
    async fn one(&self, buildpack: &BuildpackRef) -> Result<One> {
        let name = buildpack.registry_name();
        match meaning(buildpack, &self.build.stack) {
            Meaning::Builtin(_) => Ok(self.builtin(None)),
            // What detection chose stays ours until somebody names it.
            Meaning::Official { .. } if self.pin.is_some_and(|pin| pin.detected) => Ok(self.builtin(None)),
            Meaning::Official { url, .. } => {
                Ok(self.archive(name, url.as_deref()).await?.unwrap_or_else(|why| self.builtin(why)))
            }
            // In a folder that the operator shows to builds: they read it there.
            Meaning::Archive { url } if url.starts_with("file:") => Ok(self.in_the_container()),
            Meaning::Archive { url } => {
                let found = self.archive(name, Some(&url)).await?;
                Ok(found.unwrap_or_else(|why| self.not_fetched(why)))
            }
            Meaning::Git { reference, .. } => Ok(self.repository(reference)),
        }
    }

    /// Our own, and why Heroku's is not there where it should be.
    fn builtin(&self, why: Option<String>) -> One {
        let told = why.map(|why| {
            let name = self.name;
            Told::Warning(format!(
                "{name} is the one that is built into this server, because Heroku's cannot be had: {why}."
            ))
        });
        let prepared = PreparedBuildpack { told: told.into_iter().collect(), ..Default::default() };
        let is_detected = self.pin.is_some_and(|pin| pin.detected);
        One { ran: Some(Ran::Builtin), looked_at: self.now(), is_detected, prepared }
    }

    fn in_the_container(&self) -> One {
        One { looked_at: self.now(), ..One::default() }
    }

    /// Where there is a proxy for builds, they may reach what the server does not.
    fn not_fetched(&self, why: Option<String>) -> One {
        let mut one = self.in_the_container();
        if !self.deploy.builder.has_proxy() {
            one.prepared.missing = why;
        }
        one
    }

    fn repository(&self, reference: Option<String>) -> One {
        let named = reference.and_then(|text| format!("commit:{text}").parse().ok());
        let recent = self.recent();
        let looked_at = recent.map_or_else(|| self.now(), |pin| pin.looked_at);
        let prepared = PreparedBuildpack { is_recent: recent.is_some(), ..Default::default() };
        One { ran: named, looked_at, prepared, ..One::default() }
    }

    /// What is newest within reach: the operator's, what was looked for lately, what is at the address, what was there before. Else why
    /// there is nothing, if there is a reason.
    async fn archive(
        &self,
        name: Option<&str>,
        url: Option<&str>,
    ) -> Result<std::result::Result<One, Option<String>>> {
        let rows = match name {
            Some(name) => self.deploy.kernel.store.buildpack_archives_of(name).await?,
            None => Vec::new(),
        };
        for row in rows.iter().filter(|row| row.number > 0) {
            if self.deploy.mirror.has(&row.digest).await {
                return Ok(Ok(self.runs(row.digest.clone(), self.now())));
            }
        }
        if let Some((pin, digest)) = self.recent().and_then(archived)
            && self.deploy.mirror.has(digest).await
        {
            return Ok(Ok(self.runs(digest.to_owned(), pin.looked_at)));
        }
        let Some(url) = url else { return Ok(Err(None)) };
        match self.deploy.mirror.fetch(url).await {
            Ok(found) => {
                if let Some(name) = name.filter(|_| rows.iter().all(|row| row.digest != found.digest)) {
                    self.keep(name, &found).await?;
                }
                Ok(Ok(self.runs(found.digest, self.now())))
            }
            Err(why) => Ok(self.before(&rows, url, &why).await.ok_or(Some(why))),
        }
    }

    /// What ran before, or was fetched for another app by the same name.
    async fn before(&self, rows: &[BuildpackArchive], url: &str, why: &str) -> Option<One> {
        let pinned = self.pin.and_then(archived).map(|(_, digest)| digest);
        for digest in pinned.into_iter().chain(rows.iter().map(|row| row.digest.as_str())) {
            if !self.deploy.mirror.has(digest).await {
                continue;
            }
            let shown = paddock_outbound::shown(url).unwrap_or_default();
            let ran = Ran::Archive(digest.to_owned()).shown();
            let mut one = self.runs(digest.to_owned(), self.now());
            let text = format!("{shown} could not be fetched: {why}.\nUsing what was there before, {ran}.");
            one.prepared.told.push(Told::Warning(text));
            return Some(one);
        }
        None
    }

    fn runs(&self, digest: String, looked_at: UnixMicros) -> One {
        let ran = Ran::Archive(digest.clone());
        let told = vec![Told::Detail(format!("{}: {ran}", self.name))];
        let prepared = PreparedBuildpack { archive: Some(digest), told, ..Default::default() };
        One { ran: Some(ran), looked_at, prepared, is_detected: false }
    }

    /// Writes down which archive a name has.
    async fn keep(&self, name: &str, found: &Mirrored) -> Result<()> {
        let mut tx = self.deploy.kernel.record("keep where a buildpack is").await?;
        tx.keep_buildpack_archive(&BuildpackArchive {
            name: name.to_owned(),
            number: 0,
            digest: found.digest.clone(),
            size_bytes: i64::try_from(found.size_bytes).unwrap_or(i64::MAX),
            created_at: self.now(),
        })
        .await?;
        tx.commit_quietly("buildpack.fetched").await
    }

    /// What ran before, if that was looked for lately.
    fn recent(&self) -> Option<&BuildpackPin> {
        let age = self.deploy.kernel.config.buildpack_age;
        self.pin.filter(|pin| pin.looked_at != UnixMicros::default() && pin.looked_at + age > self.now())
    }

    fn now(&self) -> UnixMicros {
        self.deploy.kernel.now()
    }
}

fn archived(pin: &BuildpackPin) -> Option<(&BuildpackPin, &str)> {
    match &pin.ran {
        Ran::Archive(digest) => Some((pin, digest)),
        Ran::Builtin | Ran::Commit(_) => None,
    }
}
