//! Which buildpacks build an app. Source: `docs/contract/buildpacks.md`, section 2.

use std::path::Path;

use paddock_core::buildpack::{BuildpackRef, BuildpackUrls, BuiltinBuildpack, legacy_reference};
use paddock_core::config::ConfigVars;
use paddock_core::procfile;
use paddock_static::CONFIGURATION;

use super::builtin::BOOT;
use super::languages::{self, Builder, Language};
use super::stop::Stop;
use super::{builtin, screen};
use crate::heroku_yml::{DEFAULT_DOCKERFILE, FILE_NAME};
use crate::plan::{BuildPlan, PreparedBuildpack, RunnerFailure, Told};
use crate::source::text;

/// Files that Heroku takes for a Python app too. One that needs no packages runs here without a list of them.
const MAY_BE_PYTHON: [&str; 2] = ["app.py", "main.py"];

/// The buildpacks of a build, and how they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) buildpacks: Vec<BuildpackRef>,
    /// Detection chose it: its own detection need not run again.
    pub(super) detected: Option<BuiltinBuildpack>,
}

/// The first that applies: what is set on the app, `BUILDPACK_URL`, `.buildpacks`, detection.
pub(super) fn choose(plan: &BuildPlan, config_vars: &ConfigVars, build_dir: &Path) -> Result<Choice, Stop> {
    let named: Vec<String> = if !plan.buildpacks.is_empty() {
        plan.buildpacks.clone()
    } else if let Some(url) = legacy_reference(config_vars) {
        vec![url.to_owned()]
    } else {
        listed(build_dir)
    };
    if named.is_empty() {
        screen::step("Determining which buildpack to use for this app");
        let detected = detect(build_dir)?;
        return Ok(Choice { buildpacks: vec![BuildpackRef::builtin(detected)], detected: Some(detected) });
    }
    let urls = if plan.insecure_buildpack_urls { BuildpackUrls::Insecure } else { BuildpackUrls::HttpsOnly };
    let buildpacks = named
        .iter()
        .map(|text| BuildpackRef::parse(text, urls))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Stop::told(RunnerFailure::Fetch, &error.to_string()))?;
    let buildpacks = buildpacks.into_iter().map(|one| as_prepared(plan, one)).collect::<Vec<_>>();
    announce(plan, &buildpacks);
    Ok(Choice { buildpacks, detected: None })
}

/// The name of a built-in one may mean an archive on this stack.
fn as_prepared(plan: &BuildPlan, buildpack: BuildpackRef) -> BuildpackRef {
    match plan.prepared.get(buildpack.as_str()) {
        Some(PreparedBuildpack { archive: Some(_), .. }) => buildpack.as_archive(),
        _ => buildpack,
    }
}

fn announce(plan: &BuildPlan, buildpacks: &[BuildpackRef]) {
    if let [one] = buildpacks {
        screen::step(&format!("Using buildpack: {one}"));
    } else {
        screen::step("Using buildpacks:");
        for (index, buildpack) in buildpacks.iter().enumerate() {
            screen::detail(&format!("{}. {buildpack}", index + 1));
        }
    }
    for told in buildpacks.iter().filter_map(|one| plan.prepared.get(one.as_str())).flat_map(|one| &one.told)
    {
        match told {
            Told::Detail(text) => screen::detail(text),
            Told::Warning(text) => screen::warning(text),
        }
    }
}

/// The lines of a `.buildpacks` file.
fn listed(build_dir: &Path) -> Vec<String> {
    let text = text::read(&build_dir.join(".buildpacks")).unwrap_or_default();
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(Into::into)
        .collect()
}

fn detect(build_dir: &Path) -> Result<BuiltinBuildpack, Stop> {
    let known = languages::known_by(build_dir);
    let Some(first) = known.first() else { return without_language(build_dir) };
    if known.len() > 1 {
        screen::step(
            "Warning: Multiple default buildpacks reported the ability to handle this app. The first buildpack in the list below will be used.",
        );
        let names: Vec<_> = known.iter().map(|language| language.name).collect();
        screen::detail(&format!("Detected buildpacks: {}", names.join(",")));
        screen::detail("See https://devcenter.heroku.com/articles/buildpacks#buildpack-detect-order");
    }
    match first.builder {
        Builder::Builtin(builtin) => {
            hint_at_static(build_dir);
            Ok(builtin)
        }
        Builder::Classic(_) | Builder::Named => Err(refuse(first, &known, build_dir)),
    }
}

/// A site that a program makes needs two buildpacks, which detection never chooses.
fn hint_at_static(build_dir: &Path) {
    if build_dir.join(CONFIGURATION).is_file() && web_line(build_dir).is_none_or(|line| line == BOOT) {
        screen::warning(&format!(
            "There is a {CONFIGURATION}. To have the site served that this build makes, add the buildpack and push again:\n  \
             heroku buildpacks:add {}",
            BuiltinBuildpack::Static.name()
        ));
    }
}

fn web_line(build_dir: &Path) -> Option<String> {
    let text = text::read(&build_dir.join("Procfile")).ok()?;
    let procfile = procfile::parse(&text);
    let mut lines = procfile.process_types.into_iter();
    lines.find(|(name, _)| name.to_string() == "web").map(|(_, line)| line)
}

/// Whether an app in no language is a site: its Procfile may have other processes, but none that is the site.
fn is_static(build_dir: &Path) -> bool {
    (builtin::row(BuiltinBuildpack::Static).detect)(build_dir)
        && web_line(build_dir).is_none_or(|line| line == BOOT && build_dir.join(CONFIGURATION).is_file())
}

/// An app in no language: a site, or one with a Procfile, which runs as it is.
fn without_language(build_dir: &Path) -> Result<BuiltinBuildpack, Stop> {
    if is_static(build_dir) {
        return Ok(BuiltinBuildpack::Static);
    }
    if !(builtin::row(BuiltinBuildpack::Procfile).detect)(build_dir) {
        screen::warning("No default language could be detected for this app.");
        screen::write(
            "\t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.\n\
             \t\t\tSee https://devcenter.heroku.com/articles/buildpacks\n",
        );
        if let Some(name) = [FILE_NAME, DEFAULT_DOCKERFILE].iter().find(|name| build_dir.join(name).is_file())
        {
            screen::warning(&format!(
                "There is a {name}: an app on the stack container is built by it. Set it and push again:\n  heroku stack:set container"
            ));
        }
        return Err(Stop::Told(RunnerFailure::Detect));
    }
    if let Some(name) = MAY_BE_PYTHON.iter().find(|name| build_dir.join(name).is_file()) {
        screen::warning(&format!(
            "There is {name} but no requirements.txt: nothing is installed for it. If it needs packages,\n\
             list them in a requirements.txt and push again."
        ));
    }
    Ok(BuiltinBuildpack::Procfile)
}

/// An app in a language that is not built: says what to do instead. Deployed with its Procfile alone it would take the
/// place of what runs, and crash.
fn refuse(language: &Language, known: &[Language], build_dir: &Path) -> Stop {
    screen::step(&format!("{} app detected", language.name));
    let mut text = format!(
        "Push rejected: this server builds {} apps by itself, and no {} ones.\n\n",
        languages::built_here(),
        language.name
    );
    text += &match language.builder {
        Builder::Classic(address) => format!(
            "To have Heroku's own buildpack build it, which fetches what it needs from the internet:\n  \
             heroku buildpacks:set {address}\n"
        ),
        _ => {
            "To have a classic buildpack build it, give its git address:\n  heroku buildpacks:set https://…\n"
                .to_owned()
        }
    };
    for other in known {
        if let Builder::Builtin(builtin) = other.builder {
            text += &format!(
                "To build it as the {} app that it also is:\n  heroku buildpacks:set {}\n",
                other.name,
                builtin.name()
            );
        }
    }
    if (builtin::row(BuiltinBuildpack::Procfile).detect)(build_dir) {
        text += "To run what its Procfile says, with nothing installed for it:\n  heroku buildpacks:set heroku/procfile\n";
    }
    Stop::told(RunnerFailure::Detect, &text)
}
