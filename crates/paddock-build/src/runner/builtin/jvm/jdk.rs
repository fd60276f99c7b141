//! Which JDK builds and runs an app: one that it brings, else one of the stack's, which dynos of the stack have too.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::BuiltinBuild;
use super::properties;
use super::version::{Fit, JavaVersion, Wanted, wanted};
use crate::runner::screen;
use crate::runner::stop::Stop;
use crate::source::remove_any;

/// Where Debian's JDKs are, and those of everybody who packages for Debian.
const JDKS: &str = "/usr/lib/jvm";
/// Where an app's JDK is, for the app.
pub(super) const OF_APP: &str = ".jdk";
/// Files that Heroku copies over the app's JDK.
const OVERLAY: &str = ".jdk-overlay";
/// What `system.properties` says it with.
const KEY: &str = "java.runtime.version";
/// The longest text of a wish that is repeated.
const SAID_CHARS_MAX: usize = 60;

/// A JDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Jdk {
    /// JAVA_HOME.
    pub(in super::super) root: PathBuf,
    /// Whether the app came with it: then it has its own settings as well.
    pub(super) is_provided: bool,
}

/// Chooses; `None` when there is none that fits, which the user has been told.
pub(super) fn choose(build: &BuiltinBuild<'_>) -> Result<Option<Jdk>, Stop> {
    let of_app = build.build_dir().join(OF_APP);
    if fs::symlink_metadata(&of_app).is_ok_and(|metadata| metadata.is_dir()) {
        screen::step("Using provided JDK");
        return Ok(Some(Jdk { root: of_app, is_provided: true }));
    }
    properties::warn_of_length(build.build_dir());
    let installed = installed(Path::new(JDKS));
    let wish = properties::system_property(build.build_dir(), KEY);
    let Some((version, root)) = fitting(wish.as_deref(), &installed) else { return Ok(None) };
    if build.build_dir().join(OVERLAY).exists() {
        screen::warning(&format!(
            "Error: {OVERLAY} cannot be applied.\n\nThe JDK is the stack's, and the same for all apps. Keep a store of certificates as a file of the\n\
             app and name it:\n  heroku config:set JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/app/FILE"
        ));
        return Ok(None);
    }
    screen::step(&format!("Using the stack's OpenJDK {version}"));
    screen::detail(&format!("{}, which dynos of this stack have as well", root.display()));
    remove_any(&of_app)
        .and_then(|()| symlink(root, &of_app))
        .map_err(Stop::io(format!("could not make {OF_APP}")))?;
    Ok(Some(Jdk { root: root.clone(), is_provided: false }))
}

/// What is installed and does for a wish. When nothing does, says so.
fn fitting<'a>(
    wish: Option<&str>,
    installed: &'a BTreeMap<JavaVersion, PathBuf>,
) -> Option<(&'a JavaVersion, &'a PathBuf)> {
    let versions: Vec<_> = installed.keys().cloned().collect();
    let Some(default) = JavaVersion::default_of(&versions) else {
        screen::warning(
            "Error: This stack has no JDK.\n\nIts operator has to install one: apt-get install default-jdk-headless",
        );
        return None;
    };
    let Some(wish) = wish else {
        warn_of_default(default.major());
        return installed.get_key_value(default);
    };
    let said: String = wish.chars().take(SAID_CHARS_MAX).collect();
    let version = match wanted(wish) {
        Wanted::Version(version) => version,
        Wanted::Distribution { name, version } => {
            refuse_distribution(&name, &version, &said);
            return None;
        }
        Wanted::Unreadable => {
            refuse(&said, None, &versions, default);
            return None;
        }
    };
    let of_fit = |fit: Fit| installed.iter().rev().find(|(one, _)| version.fit_of(one) == fit);
    if let Some(found) = of_fit(Fit::Same) {
        return Some(found);
    }
    if let Some(found) = of_fit(Fit::Newer) {
        screen::warning(&format!(
            "This stack has no OpenJDK {version}, but {}, which has the same interfaces with more faults mended.",
            found.0
        ));
        return Some(found);
    }
    refuse(&said, Some(&version), &versions, default);
    None
}

fn warn_of_default(major: u32) {
    screen::warning(&format!(
        "Warning: No OpenJDK version specified\n\n\
         Your application does not explicitly specify an OpenJDK\nversion. The latest long-term support (LTS) version of this\n\
         stack will be used. This currently is OpenJDK {major}.\n\n\
         This default version will change when a new one is installed.\nYour application might fail to build with the new\n\
         version. We recommend explicitly setting the required OpenJDK\nversion for your application.\n\n\
         To set the OpenJDK version, add or edit the system.properties\nfile in the root directory of your application to contain:\n\n\
         {KEY} = {major}"
    ));
}

fn refuse_distribution(name: &str, version: &str, said: &str) {
    if name == "heroku" {
        screen::warning(&format!(
            "Error: Heroku OpenJDK distribution has been discontinued\n\n\
             The Heroku OpenJDK distribution is no longer available. Your\napplication requested '{said}' in system.properties.\n\n\
             To fix this, update the {KEY} in your\nsystem.properties file to:\n\n{KEY} = {version}"
        ));
        return;
    }
    screen::warning(&format!(
        "Error: Unsupported Java distribution: {name}\n\n\
         The '{name}' distribution is not available for\nJava {version}. To use the\ndefault distribution, remove the \"{name}-\"\n\
         prefix from {KEY} in your system.properties file."
    ));
}

fn refuse(said: &str, version: Option<&JavaVersion>, versions: &[JavaVersion], default: &JavaVersion) {
    let nearest = version.and_then(|version| version.nearest_of(versions)).unwrap_or(default);
    let all: Vec<_> = versions.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "Error: Unsupported Java version: {said}\n\n\
         This stack has OpenJDK {}. Ask for the nearest in system.properties:\n\n{KEY} = {}",
        all.join(" and "),
        nearest.major()
    );
    if let Some(version) = version.filter(|version| version.major() != nearest.major()) {
        text += &format!(
            "\n\nor have the operator install it: apt-get install openjdk-{}-jdk-headless",
            version.major()
        );
    }
    screen::warning(&text);
}

/// The JDKs below a folder by their versions. One that only runs programs is none.
fn installed(folder: &Path) -> BTreeMap<JavaVersion, PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut found = BTreeMap::new();
    for path in paths {
        // A link is another name of what lies beside it.
        let Ok(root) = path.canonicalize() else { continue };
        let is_whole = ["java", "javac"].iter().all(|name| root.join("bin").join(name).is_file());
        let version = properties::head(&root.join("release")).as_deref().and_then(version_of);
        if let Some(version) = version.filter(|_| is_whole) {
            found.entry(version).or_insert(root);
        }
    }
    found
}

/// From `JAVA_VERSION="17.0.15"` of a JDK's file `release`.
fn version_of(release: &str) -> Option<JavaVersion> {
    let value = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    JavaVersion::parse(value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compiles_is_found_by_its_file_release() {
        let folder = tempfile::tempdir().unwrap();
        let jdk = |name: &str, version: &str, programs: &[&str]| {
            let bin = folder.path().join(name).join("bin");
            fs::create_dir_all(&bin).unwrap();
            fs::write(bin.parent().unwrap().join("release"), format!("X=1\nJAVA_VERSION=\"{version}\"\n"))
                .unwrap();
            for program in programs {
                fs::write(bin.join(program), "").unwrap();
            }
        };
        jdk("java-17-openjdk-amd64", "17.0.15", &["java", "javac"]);
        jdk("java-8-openjdk-amd64", "1.8.0_362", &["java", "javac"]);
        jdk("java-21-openjdk-amd64", "21.0.1", &["java"]);
        jdk("odd", "twenty", &["java", "javac"]);
        symlink("java-17-openjdk-amd64", folder.path().join("default-java")).unwrap();
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        let found: Vec<_> = installed(folder.path())
            .into_iter()
            .map(|(version, root)| format!("{version} {}", root.file_name().unwrap().display()))
            .collect();
        assert_eq!(found, ["8.0.362 java-8-openjdk-amd64", "17.0.15 java-17-openjdk-amd64"]);
        assert!(installed(Path::new("/nonexistent")).is_empty());
    }
}
