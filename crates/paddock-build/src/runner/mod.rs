//! The build runner: the program of a build container. It runs as the build's own unprivileged user, next to the
//! tenant's code, and prints what people see. Everything that touches a tenant's bytes happens here.
#![expect(
    clippy::disallowed_methods,
    reason = "a process inside the container of a build, which goes with what it has made"
)]

mod build;
mod builtin;
mod cache;
mod checkout;
mod choice;
mod fetch;
pub(crate) mod image_source;
mod languages;
mod lock_files;
mod notes;
mod phases;
mod places;
mod process_types;
mod release;
mod report;
mod screen;
mod session;
mod stack;
mod stop;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use paddock_core::build_record::FactKind;
use paddock_core::config::ConfigVars;

pub use places::Places;

use self::build::{Build, Fetched};
use self::cache::Cache;
use self::fetch::{Git, Shelf};
use self::notes::Notebook;
use self::release::Release;
use self::session::Session;
use self::stop::Stop;
use crate::plan::{self, BuildPlan, BuildResult, Purpose, RunnerFailure};
use crate::source::remove_leftovers;

/// The runner's program, `paddockd build-runner`. `environment` is the whole environment of the process, which only
/// `paddockd` reads.
pub fn build_runner_main(environment: impl IntoIterator<Item = (String, String)>) -> ExitCode {
    run_build(&Places::container(), environment)
}

/// Runs the build that the plan in `places` describes and writes its result there.
pub fn run_build(places: &Places, environment: impl IntoIterator<Item = (String, String)>) -> ExitCode {
    let config_vars = config_vars(environment);
    let mut result = BuildResult::default();
    let notes = Notebook::default();
    let ended = read_plan(places).and_then(|plan| build(places, &plan, &config_vars, &notes, &mut result));
    result.notes = notes.into_notes();
    if let Err(stop) = &ended {
        result.failure = Some(stop.say());
    }
    match write_result(places, &result) {
        Ok(()) if ended.is_ok() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            screen::warning(&format!("Build error: could not write the result: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn config_vars(environment: impl IntoIterator<Item = (String, String)>) -> ConfigVars {
    let own = |(name, value): (String, String)| {
        name.strip_prefix(plan::CONFIG_VAR_PREFIX).map(|name| (name.to_owned(), value))
    };
    environment.into_iter().filter_map(own).collect()
}

fn read_plan(places: &Places) -> Result<BuildPlan, Stop> {
    fs::read(&places.plan_file)
        .and_then(|json| Ok(serde_json::from_slice(&json)?))
        .map_err(Stop::io("could not read the plan"))
}

fn write_result(places: &Places, result: &BuildResult) -> io::Result<()> {
    let next = places.result_folder.join("result.next");
    fs::write(&next, serde_json::to_vec(result)?)?;
    fs::rename(next, places.result_folder.join(plan::RESULT_NAME))
}

fn build(
    places: &Places,
    plan: &BuildPlan,
    config_vars: &ConfigVars,
    notes: &Notebook,
    result: &mut BuildResult,
) -> Result<(), Stop> {
    if plan.purpose == Purpose::Image {
        return image_source::prepare(places, plan, config_vars, result);
    }
    screen::step(&format!("Building on the {} stack", capitalised(&plan.stack)));
    let session = Session::new(plan, places);
    let (git, build_dir) = notes.time("unpack the source", || {
        let (git, build_dir) = check_out(places, plan, config_vars, &session)?;
        checkout::ignore(&build_dir)?;
        checkout::warn_of_pointers(&build_dir)?;
        Ok((git, build_dir))
    })?;
    lock_files::note(notes, &build_dir);
    let cache = Cache::new(places, plan.has_cache);
    let env_dir = write_env_dir(places, &plan.build_name, config_vars)?;
    let home = places.home.clone();
    let mut build =
        Build { plan, config_vars, session, build_dir, cache, env_dir: env_dir.clone(), home, notes };
    let ended = run_buildpacks(places, &git, &mut build, result);
    // Config vars are secrets: they go before anything else can fail.
    fs::remove_dir_all(&env_dir).map_err(Stop::io("could not remove the config vars"))?;
    ended?;
    result.new_cache = build.cache.is_opened();
    remove_leftovers(&build.build_dir).map_err(Stop::io("could not clean up the build folder"))
}

/// Unpacks the source.
fn check_out(
    places: &Places,
    plan: &BuildPlan,
    config_vars: &ConfigVars,
    session: &Session,
) -> Result<(Git, PathBuf), Stop> {
    let git = Git::prepare(&buildpacks_folder(places), plan.insecure_buildpack_urls)
        .map_err(Stop::io("could not make the folder of the buildpacks"))?;
    let build_dir = places.tmp.join(format!("build_{}", plan.build_name));
    let project_path = config_vars.get("PROJECT_PATH").map(String::as_str);
    checkout::check_out(session, &git, plan, &places.source_file, project_path, &build_dir)?;
    Ok((git, build_dir))
}

fn run_buildpacks(
    places: &Places,
    git: &Git,
    build: &mut Build<'_>,
    result: &mut BuildResult,
) -> Result<(), Stop> {
    let choice = choice::choose(build.plan, build.config_vars, &build.build_dir)?;
    result.detected = choice.detected.map(|builtin| builtin.name().to_owned());
    let session = build.session.clone();
    let folder = buildpacks_folder(places);
    let archives = places.archives.clone();
    let shelf =
        Shelf { git, session: &session, cache: &build.cache, archives, prepared: &build.plan.prepared };
    let mut fetched = Vec::new();
    for (index, buildpack) in choice.buildpacks.into_iter().enumerate() {
        let folder = folder.join(index.to_string());
        let commit = build.notes.time(&format!("fetch {buildpack}"), || shelf.fetch(&buildpack, &folder))?;
        if let Some(commit) = commit {
            result.commits.insert(buildpack.as_str().to_owned(), commit);
        }
        let version = shelf.version(&buildpack).unwrap_or_else(|| "unknown".to_owned());
        build.notes.fact(FactKind::Buildpack, &format!("{}. {buildpack}", index + 1), &version);
        result.buildpacks.push(buildpack.name().to_owned());
        fetched.push(Fetched { buildpack, folder });
    }
    let mut ended = Ok(());
    for (index, one) in fetched.iter().enumerate() {
        ended = build.run(one, result.detected.is_some()).map(|language| result.languages.push(language));
        if ended.is_err() {
            fetched.truncate(index + 1);
            break;
        }
    }
    let ended = ended.and_then(|()| {
        build.notes.time("settle", || fetched.iter().try_for_each(|one| one.settle(build)))?;
        build.notes.time("release", || release(build, &fetched, result))
    });
    for one in &fetched {
        build.report(one);
    }
    ended
}

fn release(build: &Build<'_>, fetched: &[Fetched], result: &mut BuildResult) -> Result<(), Stop> {
    if fetched.is_empty() {
        return Err(Stop::told(RunnerFailure::Detect, "There is no buildpack to build this app with."));
    }
    let mut ran = fetched.iter().zip(&result.languages);
    let release = match ran.rfind(|(one, _)| one.releases()) {
        Some((last, language)) => build.release(last, language)?,
        None => Release::default(),
    };
    result.process_types = process_types::discover(&build.build_dir, &release.default_process_types)?;
    result.addons = release.addons;
    result.config_vars = release.config_vars;
    Ok(())
}

/// Where buildpacks are, one folder each.
fn buildpacks_folder(places: &Places) -> PathBuf {
    places.tmp.join("buildpacks")
}

/// The longest name of a file.
const FILE_NAME_BYTES_MAX: usize = 255;

/// ENV_DIR: one file a config var, its value byte for byte, for nobody else to read. A config var may have a name that no
/// file can have; a build has no use for it.
fn write_env_dir(places: &Places, name: &str, config_vars: &ConfigVars) -> Result<PathBuf, Stop> {
    let folder = places.env_parent.join(format!("env_{name}"));
    let write = |folder: &Path| -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(folder)?;
        for (name, value) in config_vars.iter().filter(|(name, _)| is_file_name(name)) {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(folder.join(name))?;
            file.write_all(value.as_bytes())?;
        }
        Ok(())
    };
    write(&folder).map_err(Stop::io("could not write the config vars"))?;
    Ok(folder)
}

fn is_file_name(name: &str) -> bool {
    !name.contains('/') && !matches!(name, "" | "." | "..") && name.len() <= FILE_NAME_BYTES_MAX
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
