//! What a Maven app runs when it has no Procfile: that of the framework which its POM names. Text is looked for, as
//! Heroku's buildpack does; the file is never read as XML.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::runner::builtin::jvm;

/// What begins the name of a group of artefacts in a POM, and how the framework is told its port.
const FRAMEWORKS: [(&str, &str); 3] = [
    ("<groupId>org.springframework.boot", "-Dserver.port=$PORT"),
    ("<groupId>org.wildfly.swarm", "-Dswarm.http.port=$PORT"),
    ("<groupId>io.micronaut", "-Dmicronaut.server.port=$PORT"),
];
const QUARKUS: &str = "<groupId>io.quarkus";
/// What else the POM of a Spring Boot app has.
const SPRING_BOOT: &str = "<artifactId>spring-boot";

pub(super) fn default_process_types(app: &Path) -> BTreeMap<String, String> {
    let pom = jvm::head(&app.join("pom.xml")).unwrap_or_default();
    if app.join("Procfile").is_file() || !app.join("target").is_dir() {
        return BTreeMap::new();
    }
    web(&pom, || largest_jar(&app.join("target"))).map(|line| ("web".to_owned(), line)).into_iter().collect()
}

fn web(pom: &str, jar: impl FnOnce() -> Option<String>) -> Option<String> {
    if pom.contains(QUARKUS) {
        return Some(
            "java -Dquarkus.http.port=$PORT $JAVA_OPTS -jar target/quarkus-app/quarkus-run.jar".to_owned(),
        );
    }
    let is_one = |group: &str| pom.contains(group) && (group != FRAMEWORKS[0].0 || pom.contains(SPRING_BOOT));
    let (_, port) = FRAMEWORKS.into_iter().find(|(group, _)| is_one(group))?;
    Some(format!("java {port} $JAVA_OPTS -jar {}", jvm::quoted(&format!("target/{}", jar()?))))
}

/// The one with everything in it.
fn largest_jar(folder: &Path) -> Option<String> {
    let jars = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok().filter(|name| name.ends_with(".jar"))?;
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((metadata.len(), std::cmp::Reverse(name)))
    });
    jars.max().map(|(_, name)| name.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framework_is_known_by_its_group() {
        let app = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = app.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let of = |pom: &str| {
            write("pom.xml", pom);
            default_process_types(app.path()).remove("web")
        };
        let spring =
            "<groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter</artifactId>";
        assert_eq!(of(spring), None, "nothing was built");
        write("target/shop-1.0.jar", "with everything");
        write("target/shop-1.0.jar.original", "with everything, and longer");
        write("target/shop-sources.jar", "short");
        write("target/classes/big.jar", "with everything, and much longer");
        let line = |port: &str| Some(format!("java {port} $JAVA_OPTS -jar target/shop-1.0.jar"));
        assert_eq!(of(spring), line("-Dserver.port=$PORT"));
        assert_eq!(of("<groupId>org.springframework.boot</groupId>"), None, "a part of it alone is none");
        assert_eq!(of("<groupId>org.wildfly.swarm</groupId>"), line("-Dswarm.http.port=$PORT"));
        assert_eq!(of("<groupId>io.micronaut.x</groupId>"), line("-Dmicronaut.server.port=$PORT"));
        let quarkus = "java -Dquarkus.http.port=$PORT $JAVA_OPTS -jar target/quarkus-app/quarkus-run.jar";
        assert_eq!(of("<groupId>io.quarkus.platform</groupId>").as_deref(), Some(quarkus));
        assert_eq!(of("<groupId>com.example</groupId>"), None);
        let lol = "<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">".repeat(10_000);
        assert_eq!(of(&lol), None);
        write("Procfile", "worker: x");
        assert_eq!(of(spring), None, "what runs is said there");
    }
}
