//! The Go buildpack: modules, `go install` of the main packages into `bin`, a Procfile for an app that has none.
//! Variables, comments, hooks and messages: Heroku's Go buildpack.

mod credentials;
mod module;
mod packages;
mod toolchain;
mod version;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use self::module::{Module, Origin};
use self::packages::Binaries;
use self::toolchain::Toolchain;
use super::{BuiltinBuild, PLAIN, Row, cache_key};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

pub(super) const ROW: Row = Row {
    detect: module::is_go,
    looks_for: "Error: Your app is configured to use the Go buildpack,\nbut we couldn't find a go.mod file.\n\n\
                A Go app on Heroku must have a 'go.mod' file in the root\ndirectory of its source code.",
    compile,
    ..PLAIN
};

/// The names of what is saved in the cache: what was compiled, and the modules.
const COMPILED: &str = "go/compiled";
const MODULES: &str = "go/modules";
/// What they were saved for.
const SAVED_FOR: &str = "go/saved.for";
/// A build that took longer than this is worth saving again though no dependency changed.
const LONG: Duration = Duration::from_secs(20);
/// Becomes a hook. A shell does that also for one without a first line that names its language.
const RUN: &str = r#"exec "$1""#;
/// Variables whose values may name the build's folder.
const WITH_BUILD_DIR: [&str; 9] = [
    "CGO_CFLAGS",
    "CGO_CPPFLAGS",
    "CGO_CXXFLAGS",
    "CGO_LDFLAGS",
    "GOFLAGS",
    "GOPROXY",
    "GOPRIVATE",
    "GONOPROXY",
    "GO_LINKER_VALUE",
];

/// One build of a Go app.
struct GoBuild<'a> {
    build: &'a BuiltinBuild<'a>,
    module: Module,
    toolchain: Toolchain,
    flags: Vec<String>,
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let variable = build.config_var("GOVERSION").filter(|version| !version.trim().is_empty());
    let module = match module::read(build.build_dir(), variable) {
        Ok(module) => module,
        Err(problem) => {
            screen::warning(&problem);
            return Ok(false);
        }
    };
    screen::step("Detected go modules via go.mod");
    screen::step(&format!("Detected Module Name: {}", module.name));
    if let Some(version) = variable {
        say_override("GOVERSION", version);
    }
    if module.wanted.origin == Origin::Default {
        screen::warning(&format!(
            "The go.mod file for this project does not specify a Go version.\n\nDefaulting to {}",
            module.wanted.version
        ));
    }
    let bin = build.build_dir().join("bin");
    if bin.exists() && !bin.is_dir() {
        screen::warning("Error: File bin exists and is not a directory.");
        return Ok(false);
    }
    fs::create_dir_all(&bin).map_err(Stop::io("could not make the folder bin"))?;
    let Some(toolchain) = toolchain::choose(build, &module.wanted)? else { return Ok(false) };
    build.used("go", &toolchain.version);
    let flags = flags(build);
    GoBuild { build, module, toolchain, flags }.run()
}

fn say_override(name: &str, value: &str) {
    screen::warning(&format!(
        "Using ${name} override.\n${name} = {value}\n\nIf this isn't what you want please run:\nheroku config:unset {name} -a <app>"
    ));
}

fn flags(build: &BuiltinBuild<'_>) -> Vec<String> {
    // Without the paths of this build: a binary of the same source is the same, and what was compiled can be used again.
    let mut flags = vec!["-trimpath".to_owned(), "-tags".to_owned(), "heroku".to_owned()];
    let symbol = build.config_var("GO_LINKER_SYMBOL").filter(|symbol| !symbol.is_empty());
    let version = build.build.plan.source_version.as_str();
    let value = build.config_var("GO_LINKER_VALUE").unwrap_or(version);
    if let Some(symbol) = symbol.filter(|_| !value.is_empty()) {
        flags.extend(["-ldflags".to_owned(), format!("-X {symbol}={}", with_build_dir(build, value))]);
    }
    let vendor = build.build_dir().join("vendor");
    let has_sums = fs::metadata(build.build_dir().join("go.sum")).is_ok_and(|metadata| metadata.len() > 0);
    if vendor.join("modules.txt").is_file() || (vendor.is_dir() && has_sums) {
        flags.push("-mod=vendor".to_owned());
    }
    flags
}

fn with_build_dir(build: &BuiltinBuild<'_>, value: &str) -> String {
    value.replace("${build_dir}", &build.build_dir().display().to_string())
}

impl GoBuild<'_> {
    fn run(&self) -> Result<bool, Stop> {
        let begun = Instant::now();
        self.restore()?;
        screen::step("Determining packages to install");
        let Some(mains) = self.main_packages()? else { return Ok(false) };
        let spec = self.spec(&mains);
        let before = Binaries::of(self.build.build_dir());
        if !self.hook("go-pre-compile")? || !self.install(&spec)? || !self.hook("go-post-compile")? {
            return Ok(false);
        }
        screen::step("Installed the following binaries:");
        for name in Binaries::of(self.build.build_dir()).not_in(&before) {
            screen::detail(&format!("./bin/{name}"));
        }
        packages::write_procfile(self.build.build_dir(), &mains)?;
        self.build.profile("go.sh", "PATH=$PATH:$HOME/bin\n")?;
        self.leave_tools()?;
        self.save(begun.elapsed() > LONG)?;
        Ok(true)
    }

    /// Where modules are: in the slug if the app wants that.
    fn modules(&self) -> PathBuf {
        if self.build.config_var("GO_SETUP_GOPATH_FOR_MODULE_CACHE") == Some("true") {
            return self.build.build_dir().join(".heroku/go-path/pkg/mod");
        }
        self.build.build.home.join("go/pkg/mod")
    }

    fn compiled(&self) -> PathBuf {
        self.build.build.home.join(".cache/go-build")
    }

    /// A program with Go in its path.
    fn program(&self, name: &str) -> Command {
        let mut command = self.build.program(name);
        for name in WITH_BUILD_DIR {
            if let Some(value) = self.build.config_var(name) {
                command.env(name, with_build_dir(self.build, value));
            }
        }
        let own = self.build.config_var("GOFLAGS").unwrap_or_default();
        let flags = format!("{} -modcacherw", with_build_dir(self.build, own));
        let modules = self.modules();
        let path = modules.parent().and_then(|pkg| pkg.parent()).unwrap_or(&modules);
        command
            .env("PATH", self.build.path(&[self.toolchain.root.join("bin")]))
            .env("GOROOT", &self.toolchain.root)
            .env("GOFLAGS", flags.trim_start())
            .env("GOPATH", path)
            .env("GOMODCACHE", &modules)
            .env("GOCACHE", self.compiled())
            .env("GOBIN", self.build.build_dir().join("bin"));
        credentials::apply(self.build, &mut command);
        command
    }

    fn go(&self) -> Command {
        self.program(&self.toolchain.root.join("bin/go").display().to_string())
    }

    /// The main packages of the module; `None` when it cannot be read, which the user has been told.
    fn main_packages(&self) -> Result<Option<Vec<packages::Main>>, Stop> {
        let mut go = self.go();
        go.args(["list", "-find"]).args(&self.flags).args(["-f", packages::FORMAT, "./..."]);
        let captured = session::capture(go).map_err(Stop::io("could not run go"))?;
        if !captured.status.success() {
            screen::detail(&String::from_utf8_lossy(&captured.stderr));
            screen::warning("The packages of the module could not be listed: see the messages of go above.");
            return Ok(None);
        }
        Ok(Some(packages::parse(&String::from_utf8_lossy(&captured.stdout))))
    }

    /// What is installed: words as `go install` takes them.
    fn spec(&self, mains: &[packages::Main]) -> Vec<String> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if let Some(spec) =
            self.build.config_var("GO_INSTALL_PACKAGE_SPEC").filter(|spec| !spec.trim().is_empty())
        {
            say_override("GO_INSTALL_PACKAGE_SPEC", spec);
            return words(spec);
        }
        if let Some(install) = &self.module.install {
            return words(install);
        }
        if mains.is_empty() {
            screen::warning(&format!(
                "No main packages found in module {}\n\nUnsure what package(s) to install, defaulting to '.'\n\n\
                 To install a different package spec add a comment in the\nfollowing form to your go.mod file:\n// +heroku install ./cmd/...",
                self.module.name
            ));
            return words(".");
        }
        screen::step("Detected the following main packages to install:");
        for main in mains {
            screen::detail(&main.path);
        }
        mains.iter().map(|main| main.path.clone()).collect()
    }

    fn install(&self, spec: &[String]) -> Result<bool, Stop> {
        screen::step(&format!("Running: go install -v {} {}", self.flags.join(" "), spec.join(" ")));
        let mut go = self.go();
        go.args(["install", "-v"]).args(&self.flags).args(spec);
        let succeeded = session::show_indented(go).map_err(Stop::io("could not run go"))?.success();
        if !succeeded {
            screen::warning("go install failed: see its messages above.");
        }
        Ok(succeeded)
    }

    fn hook(&self, name: &str) -> Result<bool, Stop> {
        let path = self.build.build_dir().join("bin").join(name);
        let Ok(metadata) = fs::metadata(&path) else { return Ok(true) };
        screen::step(&format!("Running bin/{name} hook"));
        fs::set_permissions(&path, PermissionsExt::from_mode(metadata.permissions().mode() | 0o111))
            .map_err(Stop::io(format!("could not make bin/{name} executable")))?;
        let mut hook = self.program("/bin/bash");
        hook.args(["-c", RUN, "bash", &format!("bin/{name}")])
            .env("BUILD_DIR", self.build.build_dir())
            .env("ENV_DIR", &self.build.build.env_dir);
        let succeeded = session::show_indented(hook).map_err(Stop::io("could not run a hook"))?.success();
        if !succeeded {
            screen::warning(&format!("The app's bin/{name} hook failed."));
        }
        Ok(succeeded)
    }

    fn leave_tools(&self) -> Result<(), Stop> {
        if self.build.config_var("GO_INSTALL_TOOLS_IN_IMAGE") != Some("true") {
            return Ok(());
        }
        screen::step("Copying go tool chain to $GOROOT=$HOME/.heroku/go");
        let to = self.build.build_dir().join(".heroku/go");
        session::copy_folder(&self.build.build.session, &self.toolchain.root, &to)
            .map_err(Stop::io("could not copy Go into the slug"))?;
        self.build.profile("goroot.sh", "export GOROOT=$HOME/.heroku/go\nPATH=$PATH:$GOROOT/bin\n")
    }

    /// What compiled packages may be used again for.
    fn key(&self) -> String {
        let stack = &self.build.build.plan.stack_version;
        cache_key(&[self.toolchain.version.to_string().as_bytes(), stack.as_bytes()])
    }

    /// What says that there is something new to save.
    fn saved_for(&self) -> String {
        let sums = fs::read(self.build.build_dir().join("go.sum")).unwrap_or_default();
        let flags = self.flags.iter().filter(|flag| !flag.starts_with("-X ")).cloned().collect::<Vec<_>>();
        cache_key(&[self.key().as_bytes(), &Sha256::digest(&sums), flags.join(" ").as_bytes()])
    }

    fn restore(&self) -> Result<(), Stop> {
        let key = self.key();
        for (name, folder) in [(COMPILED, self.compiled()), (MODULES, self.modules())] {
            if let Some(saved) = self.build.saved(name, &key) {
                self.build.unpack(&saved, &folder)?;
            }
        }
        Ok(())
    }

    /// Saves what was compiled, when that will spare much: at changes of dependencies, and after long builds.
    fn save(&self, was_long: bool) -> Result<(), Stop> {
        let saved_for = self.saved_for();
        if self.build.word(SAVED_FOR).as_deref() == Some(saved_for.as_str()) && !was_long {
            return Ok(());
        }
        screen::step("Caching modules and compiled packages");
        let key = self.key();
        for (name, folder) in [(COMPILED, self.compiled()), (MODULES, self.modules())] {
            if folder.is_dir() {
                self.build.save(&folder, name, &key)?;
            }
        }
        self.build.keep_word(SAVED_FOR, &saved_for)
    }
}
