//! The Java buildpack: Maven, by the app's wrapper or of the stack. Variables, warnings and messages: Heroku's Java
//! buildpack.

mod frameworks;
mod settings;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use super::jvm::{self, Jdk, Store};
use super::{BuiltinBuild, PLAIN, Row};
use crate::runner::screen;
use crate::runner::session;
use crate::runner::stop::Stop;

pub(super) const ROW: Row = Row {
    detect: is_maven,
    looks_for: "Error: Your app is configured to use the Java buildpack,\n\
                but we couldn't find any supported Java project files.\n\n\
                The Java buildpack only supports Maven projects. It requires a pom.xml\n\
                file or other supported POM format in the root directory of your source code.\n\n\
                IMPORTANT: If your Java project uses a different build tool:\n\
                - For Gradle projects, use the heroku/gradle buildpack instead\n\
                - For sbt projects (including Play! Framework), use the heroku/scala buildpack instead",
    compile,
    default_process_types: frameworks::default_process_types,
    ..PLAIN
};

/// The formats of a POM.
const POMS: [&str; 8] = ["xml", "atom", "clj", "groovy", "rb", "scala", "yaml", "yml"];
const WRAPPER: &str = "mvnw";
const WRAPPER_PROPERTIES: &str = ".mvn/wrapper/maven-wrapper.properties";
/// What a wrapper fetches, in what it takes for the user's home.
const WRAPPERS_OWN: &str = ".m2/wrapper";
/// Dates that archives of Java's can have, in seconds.
const DATES: std::ops::Range<u64> = 315_619_200..4_070_908_800;

fn is_maven(app: &Path) -> bool {
    POMS.iter().any(|ending| app.join(format!("pom.{ending}")).is_file())
}

fn compile(build: &BuiltinBuild<'_>) -> Result<bool, Stop> {
    let Some(jdk) = jvm::prepare(build)? else { return Ok(false) };
    warn_of_wrapper(build.build_dir());
    let Some(program) = choose(build, &jdk)? else { return Ok(false) };
    let Some(settings) = settings::install(build)? else { return Ok(false) };
    let store =
        Store::restore(build, "maven/home", build.build.home.join(".m2"), &["repository", "wrapper"])?;
    let linked = link_wrapper(build.build_dir(), store.folder())?;
    let succeeded = execute(build, &jdk, &program, &store)?;
    if let Some(link) = linked {
        fs::remove_file(&link).map_err(Stop::io("could not remove the link to the wrapper's files"))?;
        let _ = link.parent().map(fs::remove_dir);
    }
    settings.remove()?;
    if succeeded {
        store.save()?;
    }
    Ok(succeeded)
}

fn warn_of_wrapper(app: &Path) {
    if app.join(WRAPPER).is_file() && !app.join(WRAPPER_PROPERTIES).is_file() {
        screen::warning(&format!(
            "Warning: Maven Wrapper script found without properties file.\n\n\
             Found mvnw script but missing {WRAPPER_PROPERTIES}.\n\
             The Maven Wrapper requires both files to function properly.\n\n\
             To fix this issue, run this command in your project directory\n\
             locally and commit the generated files:\n$ mvn wrapper:wrapper"
        ));
    }
}

/// The app's wrapper, or the stack's Maven; `None` when there is none that fits, which the user has been told.
fn choose(build: &BuiltinBuild<'_>, jdk: &Jdk) -> Result<Option<PathBuf>, Stop> {
    let wanted = jvm::system_property(build.build_dir(), "maven.version");
    let has_wrapper = [WRAPPER, WRAPPER_PROPERTIES].iter().all(|name| build.build_dir().join(name).is_file());
    if has_wrapper && wanted.is_none() {
        return Ok(jvm::make_runnable(build, WRAPPER)?.then(|| PathBuf::from("./mvnw")));
    }
    let Some(program) = jdk.find(build, "mvn") else {
        screen::warning(
            "Error: This stack has no Maven.\n\n\
             Commit a Maven Wrapper, which fetches the one that the app is written for:\n$ mvn wrapper:wrapper\n\n\
             or have the operator install one: apt-get install maven",
        );
        return Ok(None);
    };
    let Some(version) = version_of(build, jdk, &program)? else { return Ok(None) };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != version) {
        screen::warning(&format!(
            "Error: The requested Maven version isn't available.\n\n\
             Your app's system.properties file specifies a Maven version\nof {wanted}, and this stack has {version}.\n\n\
             Remove the maven.version property from your system.properties file\n\
             and set up Maven Wrapper in your project, which will automatically\ndownload and use the correct Maven version:\n\
             $ mvn wrapper:wrapper -Dmaven={wanted}"
        ));
        return Ok(None);
    }
    screen::step(&format!("Using the stack's Maven {version}"));
    Ok(Some(program))
}

/// From `Apache Maven 3.8.7`; `None` when it does not run, which the user has been told.
fn version_of(build: &BuiltinBuild<'_>, jdk: &Jdk, program: &Path) -> Result<Option<String>, Stop> {
    let mut ask = jdk.program(build, program);
    // Without colours, which it writes to no terminal as well.
    ask.args(["--version", "--batch-mode"]);
    let captured = session::capture(ask).map_err(Stop::io("could not run Maven"))?;
    let said = String::from_utf8_lossy(&captured.stdout);
    let version = said.split("Apache Maven ").nth(1).and_then(|rest| rest.split_whitespace().next());
    if let Some(version) = version.filter(|_| captured.status.success()) {
        let plain = |c: &char| c.is_ascii_alphanumeric() || ".-".contains(*c);
        return Ok(Some(version.chars().take_while(plain).collect()));
    }
    screen::detail(&said);
    screen::detail(&String::from_utf8_lossy(&captured.stderr));
    screen::warning(&format!("Error: {} does not run with this Java.", program.display()));
    Ok(None)
}

/// Has an older wrapper, which looks in the user's home, find what a newer one keeps elsewhere.
fn link_wrapper(app: &Path, store: &Path) -> Result<Option<PathBuf>, Stop> {
    let link = app.join(WRAPPERS_OWN);
    if fs::symlink_metadata(&link).is_ok() {
        return Ok(None);
    }
    let wrapper = store.join("wrapper");
    fs::create_dir_all(&wrapper)
        .and_then(|()| fs::create_dir_all(app.join(".m2")))
        .and_then(|()| symlink(&wrapper, &link))
        .map_err(Stop::io("could not place the wrapper's files"))?;
    Ok(Some(link))
}

fn execute(build: &BuiltinBuild<'_>, jdk: &Jdk, program: &Path, store: &Store<'_>) -> Result<bool, Stop> {
    let set = |name: &str, default: &'static str| {
        build.config_var(name).filter(|value| !value.trim().is_empty()).unwrap_or(default).to_owned()
    };
    let options = set("MAVEN_CUSTOM_OPTS", "-DskipTests");
    let goals = set("MAVEN_CUSTOM_GOALS", "clean dependency:list install");
    screen::step("Executing Maven");
    let name = if program.is_absolute() { "mvn" } else { "./mvnw" };
    screen::detail(&format!("$ {name} {options} {goals}"));
    let mut maven = jdk.program(build, program);
    environment(build, &mut maven, store);
    maven.args(["-DoutputFile=target/mvn-dependency-list.log", "-B"]);
    if let Some(date) = date_of_archives(build.build_dir()) {
        maven.arg(format!("-Dproject.build.outputTimestamp={date}"));
    }
    maven.args(options.split_whitespace()).args(goals.split_whitespace());
    let succeeded = session::show_indented(maven).map_err(Stop::io("could not run Maven"))?.success();
    if !succeeded {
        screen::warning(
            "Error: Maven build failed.\n\n\
             An error occurred during the Maven build process. This usually\n\
             indicates an issue with your application's dependencies, configuration,\nor source code.\n\n\
             First, check the build output above for specific error messages\n\
             from Maven that might indicate what went wrong. Common issues include:\n\n\
             - Missing or incompatible dependencies in your POM\n\
             - Compilation errors in your application source code\n\
             - Test failures (if tests are enabled during the build)\n\
             - Invalid Maven configuration or settings\n\
             - Using an incompatible OpenJDK version for your project",
        );
    }
    Ok(succeeded)
}

fn environment(build: &BuiltinBuild<'_>, maven: &mut Command, store: &Store<'_>) {
    let more = build.config_var("MAVEN_JAVA_OPTS").unwrap_or_default();
    let options = format!(
        "-Xmx1024m {more} -Duser.home={} -Dmaven.repo.local={}",
        build.build_dir().display(),
        store.folder().join("repository").display()
    );
    maven.env("MAVEN_OPTS", options).env("MAVEN_USER_HOME", store.folder());
}

/// The date that entries of archives get, so that the same source is the same archive: the POM's own, which is that of the
/// commit. A POM that says it counts.
fn date_of_archives(app: &Path) -> Option<u64> {
    let pom = app.join("pom.xml");
    if jvm::head(&pom)?.contains("project.build.outputTimestamp") {
        return None;
    }
    let date = fs::metadata(pom).and_then(|metadata| metadata.modified()).ok()?;
    let seconds = date.duration_since(UNIX_EPOCH).ok()?.as_secs();
    DATES.contains(&seconds).then_some(seconds)
}
