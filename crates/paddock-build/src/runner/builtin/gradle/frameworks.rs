//! Which framework a Gradle app is of, which says its task and what it runs. Heroku's buildpack asks Gradle for all
//! dependencies, and so does this.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::runner::builtin::jvm;

/// Where it is written down for the release, which has no Gradle.
pub(super) const FILE: &str = ".heroku/gradle_buildpack_detected_app_framework";
/// Jars beside the one that runs.
const NOT_RUN: [&str; 3] = ["plain.jar", "sources.jar", "javadoc.jar"];
/// The most folders and files that are looked through.
const LOOKED_AT_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framework {
    SpringBootWebappRunner,
    SpringBoot,
    Micronaut,
    Quarkus,
    Ratpack,
}

impl Framework {
    const ALL: [Self; 5] =
        [Self::SpringBootWebappRunner, Self::SpringBoot, Self::Micronaut, Self::Quarkus, Self::Ratpack];

    /// From what Gradle says of all dependencies.
    pub(super) fn of(dependencies: &str) -> Option<Self> {
        let has = |words: &str| dependencies.contains(words);
        if has("org.springframework.boot:") {
            return Some(if has("webapp-runner") { Self::SpringBootWebappRunner } else { Self::SpringBoot });
        }
        [("io.micronaut:", Self::Micronaut), ("io.quarkus:", Self::Quarkus), ("io.ratpack:", Self::Ratpack)]
            .into_iter()
            .find_map(|(group, framework)| has(group).then_some(framework))
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SpringBootWebappRunner => "spring-boot-webapp-runner",
            Self::SpringBoot => "spring-boot",
            Self::Micronaut => "micronaut",
            Self::Quarkus => "quarkus",
            Self::Ratpack => "ratpack",
        }
    }

    /// What is run where there is no task `stage`.
    pub(super) const fn task(self) -> &'static str {
        match self {
            Self::SpringBootWebappRunner | Self::SpringBoot | Self::Quarkus => "build -x check",
            Self::Micronaut => "shadowJar -x check",
            Self::Ratpack => "installDist -x check",
        }
    }

    fn web(self, app: &Path) -> Option<String> {
        let main_jar = || {
            let jars = found(app, "build/libs", |path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.ends_with(".jar") && !NOT_RUN.iter().any(|ending| name.ends_with(ending))
            });
            jars.map(|jar| jvm::quoted(&format!("./{jar}")))
        };
        match self {
            Self::SpringBootWebappRunner => {
                let runner = found(&app.join("build"), "", |path| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    name.starts_with("webapp-runner-") && name.ends_with(".jar")
                })?;
                let runner = jvm::quoted(&format!("./{runner}"));
                Some(format!("cd build ; java $JAVA_OPTS -jar {runner} --expand-war --port $PORT libs/*.war"))
            }
            Self::SpringBoot => {
                main_jar().map(|jar| format!("java -Dserver.port=$PORT $JAVA_OPTS -jar {jar}"))
            }
            Self::Micronaut => {
                main_jar().map(|jar| format!("java -Dmicronaut.server.port=$PORT $JAVA_OPTS -jar {jar}"))
            }
            Self::Quarkus => app.join("build/quarkus-app/quarkus-run.jar").is_file().then(|| {
                "java -Dquarkus.http.port=$PORT $JAVA_OPTS -jar build/quarkus-app/quarkus-run.jar".to_owned()
            }),
            Self::Ratpack => {
                let script = found(app, "", |path| {
                    let text = path.to_string_lossy();
                    let is_there = text.contains("/build/install/") && text.contains("/bin/");
                    let mode = || fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
                    is_there && !text.ends_with(".bat") && mode() & 0o111 != 0
                })?;
                Some(jvm::quoted(&format!("./{script}")))
            }
        }
    }
}

pub(super) fn default_process_types(app: &Path) -> BTreeMap<String, String> {
    if app.join("Procfile").is_file() {
        return BTreeMap::new();
    }
    let name = jvm::head(&app.join(FILE)).unwrap_or_default();
    let framework = Framework::ALL.into_iter().find(|framework| framework.name() == name.trim());
    let web = framework.and_then(|framework| framework.web(app));
    web.map(|line| ("web".to_owned(), line)).into_iter().collect()
}

/// The first file below a folder of the app that is wanted, as a path in the app. Links are not followed.
fn found(app: &Path, folder: &str, is_wanted: impl Fn(&Path) -> bool) -> Option<String> {
    let mut open: Vec<PathBuf> = vec![app.join(folder)];
    let mut looked_at = 0;
    let mut wanted = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            looked_at += 1;
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() && looked_at < LOOKED_AT_MAX {
                open.push(path);
            } else if kind.is_file() && is_wanted(&path) {
                wanted.push(path);
            }
        }
    }
    wanted.sort();
    let first = wanted.first()?.strip_prefix(app).ok()?;
    first.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framework_is_known_by_what_the_app_depends_on() {
        for (dependencies, framework) in [
            (
                "+--- org.springframework.boot:spring-boot:3.1\n\\--- com.heroku:webapp-runner:9",
                Some(Framework::SpringBootWebappRunner),
            ),
            ("\\--- org.springframework.boot:spring-boot:3.1", Some(Framework::SpringBoot)),
            ("\\--- io.micronaut:micronaut-http:4", Some(Framework::Micronaut)),
            ("\\--- io.quarkus:quarkus-core:3", Some(Framework::Quarkus)),
            ("\\--- io.ratpack:ratpack-core:2", Some(Framework::Ratpack)),
            ("No dependencies", None),
        ] {
            assert_eq!(Framework::of(dependencies), framework, "{dependencies}");
        }
    }

    #[test]
    fn what_a_framework_runs_is_found_in_what_was_built() {
        let app = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = app.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let of = |name: &str| {
            write(FILE, &format!("{name}\n"));
            default_process_types(app.path()).remove("web")
        };
        for framework in Framework::ALL {
            assert_eq!(of(framework.name()), None, "nothing was built");
        }
        for name in ["shop-1.0.jar", "shop-1.0-plain.jar", "shop-1.0-sources.jar"] {
            write(&format!("build/libs/{name}"), "");
        }
        write("build/server/webapp-runner-9.0.jar", "");
        write("build/quarkus-app/quarkus-run.jar", "");
        write("web/build/install/shop/bin/shop", "");
        write("web/build/install/shop/bin/shop.bat", "");
        for name in ["shop", "shop.bat"] {
            let path = app.path().join("web/build/install/shop/bin").join(name);
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let java = |port: &str, jar: &str| Some(format!("java {port} $JAVA_OPTS -jar {jar}"));
        assert_eq!(of("spring-boot"), java("-Dserver.port=$PORT", "./build/libs/shop-1.0.jar"));
        assert_eq!(of("micronaut"), java("-Dmicronaut.server.port=$PORT", "./build/libs/shop-1.0.jar"));
        assert_eq!(of("quarkus"), java("-Dquarkus.http.port=$PORT", "build/quarkus-app/quarkus-run.jar"));
        assert_eq!(of("ratpack").as_deref(), Some("./web/build/install/shop/bin/shop"));
        let runner = "cd build ; java $JAVA_OPTS -jar ./server/webapp-runner-9.0.jar --expand-war --port $PORT libs/*.war";
        assert_eq!(of("spring-boot-webapp-runner").as_deref(), Some(runner));
        assert_eq!(of(""), None);
        assert_eq!(of("elsewhere"), None);
        write("Procfile", "");
        assert_eq!(of("quarkus"), None, "what runs is said there");
    }
}
