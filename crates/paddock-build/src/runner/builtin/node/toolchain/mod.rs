//! Which Node.js builds and runs an app, and which npm, Yarn or pnpm: the stack's own, or what npm fetches when the app
//! asks for another. What is fetched lies in the slug from the beginning, as a Node.js of one's own is laid out:
//! `.heroku/node/bin` and `.heroku/node/lib/node_modules`.

mod download;
mod fetch;
mod wanted;
mod yarn_or_pnpm;

use std::path::{Path, PathBuf};

use self::download::Fetch;
pub(super) use self::wanted::Wanted;
use super::super::BuiltinBuild;
use super::super::semver::{Version, satisfies};
use super::declared::Name;
use super::lock::{Lock, Manager};
use super::package::Package;
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

/// Where it lies, below BUILD_DIR.
const FOLDER: &str = ".heroku/node";
/// The newest Node.js with long-term support: what an app gets that does not ask for one.
const LTS: &str = "26.x";

/// Node.js, npm, and what the app is installed with.
pub(super) struct Toolchain {
    pub(super) node: Version,
    pub(super) npm: Version,
    /// The app's Yarn or pnpm.
    pub(super) manager: Option<Version>,
    /// Its Node.js is not the stack's.
    own_node: bool,
    /// Its npm is not the stack's.
    own_npm: bool,
    /// The programs of what was fetched.
    programs: PathBuf,
    pub(super) stacks: Stacks,
}

/// The Node.js and npm of the stack.
#[derive(Debug, Clone)]
pub(super) struct Stacks {
    node: Version,
    npm: Version,
    pub(super) node_program: PathBuf,
    pub(super) npm_program: PathBuf,
}

/// What an app asks for.
struct Asked<'a> {
    package: &'a Package,
    lock: Option<&'a Lock>,
    wanted: Option<&'a Wanted>,
}

impl Toolchain {
    /// Folders to put before the usual path at build time.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let is_used = self.own_node || self.own_npm || self.manager.is_some();
        if is_used { vec![self.programs.clone()] } else { Vec::new() }
    }
}

/// Chooses; `None` when there is none that fits, which the user has been told.
pub(super) fn choose(
    build: &BuiltinBuild<'_>,
    package: &Package,
    lock: Option<&Lock>,
    wanted: Option<&Wanted>,
) -> Result<Option<Toolchain>, Stop> {
    let asked = Asked { package, lock, wanted };
    screen::step("Installing binaries");
    asked.say();
    let Some(stacks) = Stacks::find(build) else { return Ok(None) };
    let (node, npm) = (stacks.node, stacks.npm);
    match &package.node {
        Some(range) if satisfies(node, range).is_none() => {
            screen::warning(&format!(
                "engines.node in package.json cannot be read: {range:?}\nUse a version or a range such as \"{LTS}\"."
            ));
            return Ok(None);
        }
        Some(range) => screen::detail(&format!("Resolving node version {range}...")),
        None => screen::detail("No Node.js version specified, resolving current LTS version..."),
    }
    // A range of npm that is none may be a tag of its releases: the registry knows.
    let lacks = |version, range: &&str| satisfies(version, range) != Some(true);
    let node_range = Some(package.node.as_deref().unwrap_or(LTS)).filter(|range| lacks(node, range));
    let npm_range = asked.npm().filter(|range| lacks(npm, range));
    let folder = build.build_dir().join(FOLDER);
    if node_range.is_none() && npm_range.is_none() && wanted.is_none_or(Wanted::is_own) {
        screen::detail(&format!("Using the stack's node {node} and npm {npm}"));
        let fetch = Fetch { build, folder, stacks };
        return fetch.stacks_alone(&asked).map(Some);
    }
    Fetch { build, folder, stacks }.run(node_range, &asked)
}

impl Asked<'_> {
    /// The npm that is asked for.
    fn npm(&self) -> Option<&str> {
        let declared = self.package.declared.as_ref().filter(|declared| declared.name == Name::Npm);
        declared.map(|declared| declared.version.as_str()).or(self.package.npm.as_deref())
    }

    fn say(&self) {
        let package = self.package;
        let manager = self.lock.map(|lock| lock.manager);
        let say = |name: &str, range: Option<&String>, default: &str| {
            let range = range.map_or(default, String::as_str);
            screen::detail(&format!("{:30} {range}", format!("{name} (package.json):")));
        };
        let default = "unspecified (use default)";
        say("engines.node", package.node.as_ref(), "unspecified");
        say("engines.npm", package.npm.as_ref(), default);
        if matches!(manager, Some(Manager::Yarn | Manager::Berry)) || package.yarn.is_some() {
            say("engines.yarn", package.yarn.as_ref(), default);
        }
        if manager == Some(Manager::Pnpm) || package.pnpm.is_some() {
            say("engines.pnpm", package.pnpm.as_ref(), default);
        }
        if let Some(declared) = &package.declared {
            say("packageManager", Some(&declared.to_string()), "");
        }
        screen::detail(" ");
        self.warn_of_two_versions();
    }

    fn warn_of_two_versions(&self) {
        let Some(declared) = &self.package.declared else { return };
        let (name, field, engine) = match declared.name {
            Name::Npm => ("npm", "engines.npm", &self.package.npm),
            Name::Yarn => ("Yarn", "engines.yarn", &self.package.yarn),
            Name::Pnpm => ("pnpm", "engines.pnpm", &self.package.pnpm),
        };
        if engine.is_some() {
            screen::warning(&format!(
                "Multiple {name} versions declared\n\n\
                 package.json names a version in \"packageManager\" and in \"{field}\". The first counts:\n\
                 {declared} is installed. Remove one of the two."
            ));
        }
        if declared.name == Name::Yarn && self.wanted.is_some_and(Wanted::is_own) {
            screen::warning(&format!(
                "Yarn release script may conflict with \"packageManager\"\n\n\
                 package.json names {declared}, but yarnPath in .yarnrc.yml names a Yarn of the repository: that one\n\
                 runs. Remove one of the two."
            ));
        }
    }
}

impl Stacks {
    /// Finds them; `None` when one is missing, which the user has been told.
    fn find(build: &BuiltinBuild<'_>) -> Option<Self> {
        let find = |name: &str| {
            let mut folders = build.build.session.path().split(':');
            let program = folders
                .find_map(|folder| Some(Path::new(folder).join(name)).filter(|path| path.is_file()))?;
            Some((version_of(build, &program)?, program))
        };
        let Some((node, node_program)) = find("node") else {
            screen::warning(
                "This stack has no Node.js: its operator has to install the packages nodejs and npm.",
            );
            return None;
        };
        let Some((npm, npm_program)) = find("npm") else {
            screen::warning("This stack has no npm: its operator has to install the package npm.");
            return None;
        };
        Some(Self { node, npm, node_program, npm_program })
    }
}

fn version_of(build: &BuiltinBuild<'_>, program: &Path) -> Option<Version> {
    version_in(build, program, build.build.session.path())
}

/// The version that a program says it has; npm runs on the first Node.js of the path.
fn version_in(build: &BuiltinBuild<'_>, program: &Path, path: &str) -> Option<Version> {
    let mut command = build.program(&program.display().to_string());
    command.env("PATH", path).arg("--version");
    let captured = session::capture(command).ok().filter(|captured| captured.status.success())?;
    Version::parse(String::from_utf8_lossy(&captured.stdout).trim())
}
