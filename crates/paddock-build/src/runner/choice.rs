//! Which buildpacks build an app. Source: contract `buildpacks.md`, section 2.

use std::fs;
use std::path::Path;

use paddock_core::buildpack::{BuildpackRef, BuildpackUrls, BuiltinBuildpack};
use paddock_core::config::ConfigVars;

use super::stop::Stop;
use super::{builtin, screen};
use crate::plan::{BuildPlan, RunnerFailure};

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
    } else if let Some(url) = legacy_variable(config_vars) {
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
    announce(&buildpacks);
    Ok(Choice { buildpacks, detected: None })
}

fn announce(buildpacks: &[BuildpackRef]) {
    if let [one] = buildpacks {
        screen::step(&format!("Using buildpack: {one}"));
        return;
    }
    screen::step("Using buildpacks:");
    for (index, buildpack) in buildpacks.iter().enumerate() {
        screen::detail(&format!("{}. {buildpack}", index + 1));
    }
}

fn legacy_variable(config_vars: &ConfigVars) -> Option<&str> {
    ["BUILDPACK_URL", "LANGUAGE_PACK_URL"]
        .into_iter()
        .find_map(|name| config_vars.get(name).map(|url| url.trim()).filter(|url| !url.is_empty()))
}

/// The lines of a `.buildpacks` file.
fn listed(build_dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(build_dir.join(".buildpacks")).unwrap_or_default();
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(Into::into)
        .collect()
}

fn detect(build_dir: &Path) -> Result<BuiltinBuildpack, Stop> {
    let matching: Vec<_> = BuiltinBuildpack::DETECTION_ORDER
        .into_iter()
        .filter(|buildpack| builtin::detect(*buildpack, build_dir))
        .collect();
    let Some(first) = matching.first() else {
        screen::warning("No default language could be detected for this app.");
        screen::write(
            "\t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.\n\
             \t\t\tSee https://devcenter.heroku.com/articles/buildpacks\n",
        );
        return Err(Stop::Told(RunnerFailure::Detect));
    };
    // Every app may have a Procfile: that is no second language.
    let languages: Vec<_> = matching
        .iter()
        .filter(|buildpack| **buildpack != BuiltinBuildpack::Procfile)
        .map(|buildpack| buildpack.language())
        .collect();
    if languages.len() > 1 {
        screen::step(
            "Warning: Multiple default buildpacks reported the ability to handle this app. The first buildpack in the list below will be used.",
        );
        screen::detail(&format!("Detected buildpacks: {}", languages.join(",")));
        screen::detail("See https://devcenter.heroku.com/articles/buildpacks#buildpack-detect-order");
    }
    Ok(*first)
}
