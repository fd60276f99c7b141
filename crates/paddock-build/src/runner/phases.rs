//! One buildpack after the other: detect, compile, export; then release of the last that has one, and reports.
//! Source: `docs/contract/buildpacks.md`, section 5.

use std::path::Path;

use paddock_core::build_record::FactKind;
use paddock_core::buildpack::{BuildpackLocation, BuildpackRef};

use super::build::{Build, Fetched};
use super::builtin::{self, BuiltinBuild};
use super::release::{self, Release};
use super::report;
use super::screen;
use super::session;
use super::stop::Stop;
use crate::plan::RunnerFailure;

/// The most bytes that are kept of one report.
const REPORT_BYTES_MAX: usize = 64 * 1024;

impl Fetched {
    /// What a built-in one still does when all have compiled.
    pub(super) fn settle(&self, build: &Build<'_>) -> Result<(), Stop> {
        match self.buildpack.location() {
            BuildpackLocation::Builtin(builtin) => (builtin::row(*builtin).settle)(build),
            _ => Ok(()),
        }
    }

    /// Whether it says anything about the release, if only that there is nothing to say: the last that does counts.
    pub(super) fn releases(&self) -> bool {
        match self.buildpack.location() {
            BuildpackLocation::Builtin(builtin) => builtin::row(*builtin).releases,
            _ => self.folder.join("bin/release").is_file(),
        }
    }
}

impl Build<'_> {
    /// Detects, compiles and exports; returns the name that detection gave.
    pub(super) fn run(&mut self, fetched: &Fetched, already_detected: bool) -> Result<String, Stop> {
        let name = &fetched.buildpack;
        let detected = self.notes.time(&format!("detect {name}"), || self.detect(fetched, already_detected));
        let language = detected?;
        screen::step(&format!("{language} app detected"));
        let succeeded = self.notes.time(&format!("compile {name}"), || match name.location() {
            BuildpackLocation::Builtin(builtin) => {
                let build = BuiltinBuild { build: self, folder: &fetched.folder };
                (builtin::row(*builtin).compile)(&build)
            }
            _ => self.compile(&fetched.folder),
        })?;
        if !succeeded {
            let problem = format!("Push rejected, failed to compile {language} app.");
            return Err(Stop::told(RunnerFailure::Compile, &problem));
        }
        let export = fetched.folder.join("export");
        if export.is_file() {
            self.session.add_export(export);
        }
        Ok(language)
    }

    fn detect(&self, fetched: &Fetched, already_detected: bool) -> Result<String, Stop> {
        if let BuildpackLocation::Builtin(builtin) = fetched.buildpack.location() {
            if already_detected || (builtin::row(*builtin).detect)(&self.build_dir) {
                return Ok(builtin.language().to_owned());
            }
            return Err(self.not_compatible(&fetched.buildpack, builtin::row(*builtin).looks_for.as_bytes()));
        }
        let mut detect = self.session.plain(fetched.folder.join("bin/detect"));
        detect.arg(&self.build_dir).current_dir(&self.build_dir);
        let captured = session::capture(detect).map_err(Stop::io("could not run bin/detect"))?;
        if !captured.status.success() {
            return Err(self.not_compatible(&fetched.buildpack, &captured.stderr));
        }
        let name = String::from_utf8_lossy(&captured.stdout);
        let name: String = name.trim().lines().next().unwrap_or_default().chars().take(100).collect();
        Ok(if name.is_empty() { fetched.buildpack.to_string() } else { name })
    }

    fn not_compatible(&self, buildpack: &BuildpackRef, said: &[u8]) -> Stop {
        screen::step(&format!("App not compatible with buildpack: {buildpack}"));
        screen::detail(&String::from_utf8_lossy(said));
        screen::detail("More info: https://devcenter.heroku.com/articles/buildpacks#detection-failure");
        Stop::Told(RunnerFailure::Detect)
    }

    fn compile(&self, folder: &Path) -> Result<bool, Stop> {
        self.cache.open(&self.session)?;
        let mut compile = self.session.exported(folder.join("bin/compile"));
        compile.args([&self.build_dir, &self.cache.cache_dir(), &self.env_dir]).current_dir(&self.build_dir);
        let status = session::show(compile).map_err(Stop::io("could not run bin/compile"))?;
        Ok(status.success())
    }

    /// What a buildpack that releases says.
    pub(super) fn release(&self, fetched: &Fetched, language: &str) -> Result<Release, Stop> {
        if let BuildpackLocation::Builtin(builtin) = fetched.buildpack.location() {
            let default_process_types = (builtin::row(*builtin).default_process_types)(&self.build_dir);
            return Ok(Release { default_process_types, ..Release::default() });
        }
        let mut command = self.session.plain(fetched.folder.join("bin/release"));
        command.arg(&self.build_dir).current_dir(&self.build_dir);
        let captured = session::capture(command).map_err(Stop::io("could not run bin/release"))?;
        if !captured.status.success() {
            screen::write_bytes(&captured.stderr);
            let problem = format!("Push rejected, failed to release {language} app.");
            return Err(Stop::told(RunnerFailure::Compile, &problem));
        }
        release::parse(&String::from_utf8_lossy(&captured.stdout)).map_err(|line| {
            let problem =
                format!("The buildpack's bin/release printed YAML that cannot be read (line {line})");
            Stop::told(RunnerFailure::Compile, &problem)
        })
    }

    /// Notes what `bin/report` says, after success and after failure. Its own failure is not the user's business.
    pub(super) fn report(&self, fetched: &Fetched) {
        let program = fetched.folder.join("bin/report");
        if !program.is_file() {
            return;
        }
        let mut command = self.session.plain(program);
        command.args([&self.build_dir, &self.cache.cache_dir(), &self.env_dir]).current_dir(&self.build_dir);
        let step = format!("report {}", fetched.buildpack);
        let captured = self.notes.time(&step, || session::capture(command));
        let Some(captured) = captured.ok().filter(|captured| captured.status.success()) else { return };
        let kept = &captured.stdout[..captured.stdout.len().min(REPORT_BYTES_MAX)];
        for (key, value) in report::parse(&String::from_utf8_lossy(kept)) {
            self.notes.fact(FactKind::Report, &format!("{} {key}", fetched.buildpack), &value);
        }
    }
}
