//! The Gradle buildpack: the app's own wrapper runs the task that stages it. Variables, tasks and messages: Heroku's
//! Gradle buildpack. Without a daemon, which no build would find again.

mod frameworks;

use std::fs;
use std::path::Path;
use std::process::Command;

use self::frameworks::Framework;
use super::jvm::{self, Jdk, Store};
use super::{BuiltinBuild, PLAIN, Row};
use crate::runner::screen;
use crate::runner::session::{self, Captured};
use crate::runner::stop::Stop;
use crate::source::remove_any;

pub(super) const ROW: Row = Row {
    detect: is_gradle,
    looks_for: "Error: Your app is configured to use the Gradle buildpack,\n\
                but we couldn't find any supported Gradle project files.\n\n\
                The Gradle buildpack requires at least one of the following files\n\
                in the root directory of your source code:\n\n\
                Supported Gradle files: gradlew, build.gradle, build.gradle.kts, settings.gradle, settings.gradle.kts\n\n\
                IMPORTANT: If your project uses a different build tool:\n\
                - For Maven projects, use the heroku/java buildpack instead\n\
                - For sbt projects, use the heroku/scala buildpack instead",
    compile,
    default_process_types: frameworks::default_process_types,
    ..PLAIN
};

const FILES: [&str; 5] =
    ["gradlew", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"];
const WRAPPER: &str = "gradlew";
const WRAPPER_JAR: &str = "gradle/wrapper/gradle-wrapper.jar";
/// Where Gradle keeps what it fetched, in its user's home.
const FETCHED: [&str; 2] = ["caches/modules-2/files-2.1", "wrapper/dists"];
/// What is of one build alone.
const OF_ONE_BUILD: [&str; 3] = ["daemon", "nodejs", "caches/journal-1/file-access.bin"];
/// The task by which Heroku's buildpack lists dependencies.
const LIST: &str = "heroku-list-all-dependencies";
/// Adds that task to every project that has dependencies. Not the newer way of writing it: older Gradles read it too.
const INIT: &str = "allprojects {\n  afterEvaluate {\n    if (configurations.findByName('compileClasspath') != null) {\n\
    \x20     task('heroku-list-all-dependencies', type: DependencyReportTask)\n    }\n  }\n}\n";

fn is_gradle(app: &Path) -> bool {
    FILES.iter().any(|name| app.join(name).is_file())
}

/// One build of a Gradle app.
struct GradleBuild<'a> {
    build: &'a BuiltinBuild<'a>,
    jdk: Jdk,
    store: Store<'a>,
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let Some(jdk) = jvm::prepare(build)? else { return Ok(false) };
    if !has_wrapper(build)? {
        return Ok(false);
    }
    let store = Store::restore(build, "gradle/home", build.build.home.join(".gradle"), &FETCHED)?;
    let gradle = GradleBuild { build, jdk, store };
    gradle.configure()?;
    gradle.run()
}

/// Whether there is one that runs; else the user has been told.
fn has_wrapper(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let script = build.build_dir().join(WRAPPER);
    if !script.is_file() {
        screen::warning(
            "Error: Gradle Wrapper is missing.\n\n\
             The Gradle Wrapper (gradlew) is required to build your application on Heroku.\n\
             This ensures that your application builds with the same version of Gradle\n\
             that you use during development. Projects are required to include\n\
             their own Wrapper for reliable, reproducible builds.\n\n\
             To fix this issue, run this command in your project directory\n\
             locally and commit the generated files:\n$ gradle wrapper",
        );
        return Ok(false);
    }
    let wants_jar = jvm::head(&script).is_some_and(|text| text.contains("gradle-wrapper.jar"));
    if wants_jar && !build.build_dir().join(WRAPPER_JAR).is_file() {
        screen::warning(&format!(
            "Error: {WRAPPER_JAR} is missing, without which gradlew does nothing.\n\n\
             A line '*.jar' in .gitignore often leaves it out. Add it in spite of that, and push again:\n\
             $ git add --force {WRAPPER_JAR}\n$ git commit -m 'Gradle Wrapper'"
        ));
        return Ok(false);
    }
    jvm::make_runnable(build, WRAPPER)
}

impl GradleBuild<'_> {
    /// Gradle's settings for this build, which count before the app's own.
    fn configure(&self) -> Result<(), Stop> {
        let home = self.store.folder();
        let project_cache = self.build.build.home.join(".gradle-project");
        let properties = format!(
            "org.gradle.welcome=never\norg.gradle.caching=true\norg.gradle.daemon=false\norg.gradle.vfs.watch=false\n\
             org.gradle.projectcachedir={}\n",
            project_cache.display()
        );
        let write = || {
            for name in OF_ONE_BUILD {
                remove_any(&home.join(name))?;
            }
            fs::write(home.join("gradle.properties"), properties)?;
            fs::write(home.join("init.gradle"), INIT)
        };
        write().map_err(Stop::io("could not write Gradle's settings"))
    }

    fn run(&self) -> Result<bool, Stop> {
        let version = self.capture(&["--version"])?;
        if !version.status.success() {
            self.refuse_wrapper(&version);
            return Ok(false);
        }
        warn_of_version(&String::from_utf8_lossy(&version.stdout));
        let framework = self.framework()?;
        let task = self.task(framework)?;
        screen::step("Executing Gradle");
        screen::detail(&format!("$ ./gradlew {task}"));
        let mut gradle = self.gradle();
        gradle.args(task.split_whitespace());
        if !session::show_indented(gradle).map_err(Stop::io("could not run gradlew"))?.success() {
            self.refuse_task(&task);
            return Ok(false);
        }
        for name in OF_ONE_BUILD {
            remove_any(&self.store.folder().join(name)).map_err(Stop::io("could not tidy Gradle's home"))?;
        }
        self.store.save()?;
        Ok(true)
    }

    fn gradle(&self) -> Command {
        let mut gradle = self.jdk.program(self.build, Path::new("./gradlew"));
        gradle.env("GRADLE_USER_HOME", self.store.folder());
        gradle
    }

    fn capture(&self, arguments: &[&str]) -> Result<Captured, Stop> {
        let mut gradle = self.gradle();
        gradle.args(arguments);
        session::capture(gradle).map_err(Stop::io("could not run gradlew"))
    }

    /// Asked for only where it decides something, because Gradle takes its time; and written down.
    fn framework(&self) -> Result<Option<Framework>, Stop> {
        let app = self.build.build_dir();
        if self.own_task().is_some() && app.join("Procfile").is_file() {
            return Ok(None);
        }
        screen::step("Looking for the app's framework");
        let listed = self.capture(&[LIST, "--quiet"])?;
        let framework = Framework::of(&String::from_utf8_lossy(&listed.stdout));
        let name = framework.map_or("", Framework::name);
        fs::create_dir_all(app.join(".heroku"))
            .and_then(|()| fs::write(app.join(frameworks::FILE), format!("{name}\n")))
            .map_err(Stop::io("could not write down the framework"))?;
        if !name.is_empty() {
            screen::detail(name);
        }
        Ok(framework)
    }

    fn own_task(&self) -> Option<&str> {
        self.build.config_var("GRADLE_TASK").map(str::trim).filter(|task| !task.is_empty())
    }

    fn task(&self, framework: Option<Framework>) -> Result<String, Stop> {
        if let Some(task) = self.own_task() {
            return Ok(task.to_owned());
        }
        // Only a framework's app may do without a task of its own.
        let Some(framework) = framework else { return Ok("stage".to_owned()) };
        let tasks = self.capture(&["tasks", "--all"])?;
        let tasks = String::from_utf8_lossy(&tasks.stdout).into_owned();
        let has_stage = tasks.lines().any(|line| line == "stage" || line.starts_with("stage "));
        Ok(if has_stage { "stage" } else { framework.task() }.to_owned())
    }

    fn refuse_wrapper(&self, said: &Captured) {
        screen::detail(&String::from_utf8_lossy(&said.stdout));
        screen::detail(&String::from_utf8_lossy(&said.stderr));
        screen::warning(
            "Error: Failed to start Gradle.\n\n\
             An error occurred while starting Gradle. This usually\n\
             indicates an issue with the Gradle wrapper, build configuration,\nor system resources.\n\n\
             Check the output above for specific error messages from Gradle.\nCommon causes include:\n\n\
             - Corrupted or missing Gradle wrapper files\n\
             - Network connectivity issues downloading Gradle (see distributionUrl in\n  gradle/wrapper/gradle-wrapper.properties)\n\
             - Incompatible Gradle version with the current Java runtime",
        );
    }

    /// Says why a task failed; a task that is not there is told from one that went wrong by asking for its help.
    fn refuse_task(&self, task: &str) {
        let name = task.split_whitespace().next().unwrap_or_default();
        let help = self.capture(&["--quiet", "help", "--task", name]);
        let is_missing = help.is_ok_and(|help| {
            !help.status.success() && String::from_utf8_lossy(&help.stderr).contains(" not found in ")
        });
        if is_missing && !name.starts_with('-') {
            screen::warning(&format!(
                "Error: Gradle task '{name}' not found.\n\n\
                 The specified Gradle task '{name}' does not exist in your project.\n\n\
                 To see all available tasks in your project, run locally:\n$ ./gradlew tasks --all\n\n\
                 Add a task 'stage' to your build.gradle, or name the one that builds your app:\n\
                 $ heroku config:set GRADLE_TASK=\"build -x test\""
            ));
            return;
        }
        screen::warning(
            "Error: Gradle build failed.\n\n\
             An error occurred during the Gradle build process. This usually\n\
             indicates an issue with your application's dependencies, configuration,\nor source code.\n\n\
             First, check the build output above for specific error messages\n\
             from Gradle that might indicate what went wrong. Common issues include:\n\n\
             - Missing or incompatible dependencies in your build.gradle(.kts)\n\
             - Compilation errors in your application source code\n\
             - Test failures (if tests are enabled during the build)\n\
             - Invalid Gradle configuration or settings\n\
             - Using an incompatible OpenJDK version for your project",
        );
    }
}

/// From a line `Gradle 8.5` of what it says of itself.
fn warn_of_version(said: &str) {
    let version = said.lines().find_map(|line| line.strip_prefix("Gradle ")).unwrap_or_default().trim();
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    match major {
        1..=7 => screen::warning(&format!(
            "Warning: Unsupported Gradle version detected.\n\n\
             You are using Gradle {version}, which is end-of-life and no longer\nreceives security updates or bug fixes.\n\n\
             Please upgrade to Gradle 9 (current) for active support, or at minimum\nGradle 8 for security fixes only."
        )),
        8 => screen::warning(&format!(
            "Warning: Gradle version approaching end-of-life.\n\n\
             You are using Gradle {version}, which is in maintenance mode and only\n\
             receives security fixes. It will become end-of-life when Gradle 10 is released."
        )),
        _ => {}
    }
}
