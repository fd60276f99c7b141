//! What a dyno's container is made of besides what it runs: environment, limits. Pure; nothing is started here.
//!
//! Source: `docs/contract/buildpacks.md`, section 11, and `docs/contract/platform-behaviour.md`, section 3.

use std::time::Duration;

use paddock_core::artefact::Artefact;
use paddock_core::config::ConfigVars;
use paddock_core::dyno::{DynoDisk, DynoName, DynoSize};
use paddock_runtime::{Disk, Limits};
use paddock_store::{App, Dyno, Release, Slug};

/// The longest life of a one-off dyno that did not say how long it lives: a day.
const ONE_OFF_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a one-off dyno or a release phase's may live.
pub(crate) fn life_of(dyno: &Dyno) -> Duration {
    let seconds = dyno.time_to_live_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(ONE_OFF_LIFE, Duration::from_secs)
}

/// Time between SIGTERM and SIGKILL. Source: `docs/contract/platform-behaviour.md`, section 3.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(30);

/// The whole environment of a dyno. Config vars win over what it runs, what `heroku run --env` said (`extra`) wins over
/// config vars, and nothing wins over what the platform must say.
pub(crate) fn dyno_env(
    artefact: &Artefact,
    config: &ConfigVars,
    name: &DynoName,
    port: Option<u16>,
    extra: &ConfigVars,
) -> Vec<(String, Vec<u8>)> {
    let mut env = artefact.env.clone();
    env.extend(config.iter().map(|(key, value)| (key.clone(), value.clone())));
    env.extend(extra.iter().map(|(key, value)| (key.clone(), value.clone())));
    if let Some(home) = &artefact.home {
        env.insert("HOME".into(), home.clone());
    }
    env.insert("PWD".into(), artefact.working_dir.clone());
    env.insert("DYNO".into(), name.to_string());
    if let Some(port) = port {
        env.insert("PORT".into(), port.to_string());
    }
    env.into_iter().map(|(key, value)| (key, value.into_bytes())).collect()
}

/// What `runtime-dyno-metadata` tells a dyno of itself. Source: `docs/contract/platform-behaviour.md`, section 3.
pub(crate) fn dyno_metadata(
    app: &App,
    dyno: &Dyno,
    release: &Release,
    slug: &Slug,
    domain: &str,
) -> Vec<(String, Vec<u8>)> {
    let created_at = jiff::Timestamp::from_microsecond(release.created_at.0).unwrap_or_default();
    let commit = slug.commit_id.clone().unwrap_or_default();
    [
        ("HEROKU_APP_ID", app.id.to_string()),
        ("HEROKU_APP_NAME", app.name.to_string()),
        ("HEROKU_APP_DEFAULT_DOMAIN_NAME", format!("{}.{domain}", app.name)),
        ("HEROKU_DYNO_ID", dyno.id.to_string()),
        ("HEROKU_RELEASE_VERSION", format!("v{}", release.version)),
        ("HEROKU_RELEASE_CREATED_AT", created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ("HEROKU_SLUG_COMMIT", commit.clone()),
        ("HEROKU_SLUG_DESCRIPTION", release.description.clone()),
        ("HEROKU_BUILD_COMMIT", commit),
        ("HEROKU_BUILD_DESCRIPTION", slug.commit_description.clone().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.into_bytes()))
    .collect()
}

/// The disk of a dyno of this size.
pub(crate) fn dyno_disk(size: DynoSize, disk: DynoDisk) -> Disk {
    disk.bytes(size).map_or(Disk::Unlimited, Disk::Limited)
}

/// The limits of a dyno of this size.
pub(crate) fn dyno_limits(size: DynoSize) -> Limits {
    Limits {
        memory_bytes: size.memory_bytes(),
        cpu_millicores: size.cpu_millicores(),
        cpu_weight: size.cpu_weight(),
        pids: size.pids(),
    }
}

#[cfg(test)]
mod tests {
    use paddock_core::image::{Image, ImageCommand, ImageConfig, ProcessImage};
    use paddock_core::stack::{Stack, StackBase, StackVersion};
    use paddock_core::{BlobDigest, LayerDigest};

    use super::*;

    #[test]
    fn config_vars_win_over_path_but_not_over_the_platform() {
        let config = [("PATH", "/x"), ("PORT", "1"), ("DYNO", "evil"), ("A", "b")];
        let config = config.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let stack = StackVersion { stack: Stack::HOST, version: "1".to_owned() };
        let slug = Artefact::of_slug(LayerDigest::of_sha256([7; 32]), StackBase::Host(stack));
        let env = dyno_env(&slug, &config, &"web.1".parse().unwrap(), Some(5000), &ConfigVars::new());
        let value = |key: &str| {
            env.iter().find(|(k, _)| k == key).map(|(_, v)| String::from_utf8(v.clone()).unwrap())
        };
        assert_eq!(value("PATH").as_deref(), Some("/x"));
        assert_eq!(value("PORT").as_deref(), Some("5000"));
        assert_eq!(value("DYNO").as_deref(), Some("web.1"));
        assert_eq!(value("HOME").as_deref(), Some("/app"));
    }

    #[test]
    fn the_home_of_an_image_is_what_its_app_says_or_the_image() {
        let of_app = |value: Option<&str>| value.map(|value| ("HOME".to_owned(), value.to_owned()));
        for (of_image, config, expected) in [
            (Some("/of/image"), Some("/of/app"), Some("/of/app")),
            (Some("/of/image"), None, Some("/of/image")),
            (None, None, None),
        ] {
            let env = of_app(of_image).into_iter().collect();
            let config_of_image = ImageConfig { env, ..ImageConfig::default() };
            let id = BlobDigest::of_sha256([1; 32]);
            let image = Image { id, layers: Vec::new(), base: None, config: config_of_image };
            let artefact = Artefact::of_image(&ProcessImage { image, command: ImageCommand::OfImage });
            let config = of_app(config).into_iter().collect();
            let env = dyno_env(&artefact, &config, &"web.1".parse().unwrap(), None, &ConfigVars::new());
            let home = env.into_iter().find(|(name, _)| name == "HOME").map(|(_, value)| value);
            assert_eq!(home.as_deref(), expected.map(str::as_bytes));
        }
    }
}
