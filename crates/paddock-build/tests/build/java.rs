//! The built-in Java buildpack, with the machine's own Maven and what Debian has of Maven's plugins.

use crate::support::build::{App, BuildFarm, Built, Entry, with_farm, write_tree};
use crate::support::java::{MAIN, POM, SETTINGS, java_says};
use paddock_build::FailureKind;

/// Whatever of a slug does not tell when it was built.
fn undated(entries: Vec<Entry>) -> Vec<(String, String)> {
    entries.into_iter().map(|entry| (entry.path, entry.content)).collect()
}

fn files<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [
        ("pom.xml", POM),
        ("settings.xml", SETTINGS),
        ("system.properties", "java.runtime.version=17\r\n"),
        ("src/main/java/Main.java", MAIN),
    ];
    [&own, more].concat()
}

async fn refused(farm: &BuildFarm, more: &[(&str, &str)], said: &str) {
    farm.build(&App::new(), &files(more)).await.failed(FailureKind::Compile).says(said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maven_app_is_built_and_its_plugins_are_fetched_once() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        write_tree(tree.path(), &files(&[]));
        let app = App::new();
        let first = farm.build_folder(&app, tree.path()).await;
        first
            .says("-----> Java app detected\n-----> Using the stack's OpenJDK 17.")
            .says(", which dynos of this stack have as well\n-----> Using the stack's Maven 3.")
            .says("-----> Using settings.xml from project directory\n-----> Executing Maven\n       $ mvn -DskipTests clean dependency:list install\n")
            .says("Downloading from debian: ")
            .says("BUILD SUCCESS")
            .says("-----> Caching what was downloaded\n");
        let slug = farm.unpack(&first);
        let root = slug.path().join("app");
        assert_eq!(java_says(&root, &["-cp", "target/shop-1.0.jar", "Main", "word"]), "hello word\n");
        assert!(std::fs::read_link(root.join(".jdk")).unwrap().starts_with("/usr/lib/jvm"));
        let files_of = farm.slug_files(&first);
        for name in ["jvmcommon", "jdbc", "jvm-spring-configuration", "default-proc-warning"] {
            assert!(files_of.contains(&format!("app/.profile.d/{name}.sh")), "{files_of:?}");
        }
        assert!(!files_of.iter().any(|name| name.starts_with("app/.m2")), "{files_of:?}");
        assert!(first.outcome().process_types.is_empty(), "no framework is known");

        let second = farm.build_folder(&app, tree.path()).await;
        second.says("BUILD SUCCESS").never_says("Downloading from").never_says("-----> Caching");
        let jars = |built: &Built| -> Vec<_> {
            let all = undated(farm.slug_entries(built)).into_iter();
            all.filter(|(path, _)| path.ends_with(".jar") || path.contains(".profile.d")).collect()
        };
        assert_eq!(jars(&second), jars(&first), "the same source is the same archive");

        // Something new in the POM is fetched, and kept with the rest.
        let dependency = "<dependencies><dependency><groupId>org.jsoup</groupId><artifactId>jsoup</artifactId><version>debian</version></dependency></dependencies></project>";
        write_tree(tree.path(), &[("pom.xml", &POM.replace("</project>", dependency))]);
        let third = farm.build_folder(&app, tree.path()).await;
        third.says("jsoup-debian.jar").says("-----> Caching").never_says("maven-jar-plugin-3");
        let slug = farm.unpack(&third);
        assert!(std::fs::read_to_string(slug.path().join("app/target/mvn-dependency-list.log")).unwrap().contains("org.jsoup:jsoup:jar:debian"));
        farm.build_folder(&app, tree.path()).await.never_says("Downloading from").never_says("-----> Caching").outcome();

        write_tree(tree.path(), &[("src/main/java/Main.java", "class Main { nothing }")]);
        farm.build_folder(&app, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says("COMPILATION ERROR")
            .says(" !     Error: Maven build failed.\n")
            .says(" !     Push rejected, failed to compile Java app.\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maven_app_says_how_it_is_built() {
    with_farm(|farm| async move {
        let wrapper = "#!/bin/sh\necho wrapped in $JAVA_HOME with ${JAVA_TOOL_OPTIONS-no} options: \"$@\"\n\
            [ -L .m2/settings.xml ] && echo settings: $(cat .m2/settings.xml)\n\
            cat \"$MAVEN_USER_HOME/wrapper/fetched\" .m2/wrapper/fetched 2>/dev/null\n\
            echo \"the wrapper's own\" > .m2/wrapper/fetched; mkdir target; echo x > target/b-c.jar; echo > target/a.jar\n";
        let spring = "<groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-parent</artifactId>";
        let wrapped = [
            ("pom.xml", spring),
            ("mvnw", wrapper),
            (".mvn/wrapper/maven-wrapper.properties", ""),
            ("conf/maven.xml", "of the app"),
            ("system.properties", "java.runtime.version = zulu-17.0.1"),
        ];
        let mut app = App::new();
        for (name, value) in [
            ("MAVEN_CUSTOM_GOALS", "package  site"),
            ("MAVEN_CUSTOM_OPTS", "-Pproduction --quiet"),
            ("MAVEN_SETTINGS_PATH", "conf/maven.xml"),
            ("JAVA_TOOL_OPTIONS", "-Xmx1m"),
        ] {
            app.config_vars.insert(name.into(), value.into());
        }
        let built = farm.build(&app, &wrapped).await;
        built
            .says(" !     This stack has no OpenJDK 17.0.1, but 17.")
            .says("-----> Using settings.xml from conf/maven.xml\n-----> Executing Maven\n       $ ./mvnw -Pproduction --quiet package  site\n")
            .says("       wrapped in /usr/lib/jvm/java-17-")
            .says(" with no options: -DoutputFile=target/mvn-dependency-list.log -B ")
            .says(" -Pproduction --quiet package site\n       settings: of the app\n")
            .never_says("the wrapper's own");
        let types: Vec<_> = built.outcome().process_types.iter().map(|(name, line)| format!("{name}: {line}")).collect();
        assert_eq!(types, ["web: java -Dserver.port=$PORT $JAVA_OPTS -jar target/b-c.jar"]);
        let files_of = farm.slug_files(&built);
        assert!(!files_of.iter().any(|name| name.starts_with("app/.m2")), "{files_of:?}");
        let again = farm.build(&app, &wrapped).await;
        again.says("       the wrapper's own\n       the wrapper's own\n").outcome();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_maven_app_asks_for_and_is_not_there_is_named() {
    with_farm(|farm| async move {
        for (text, said) in [
            ("java.runtime.version=99", " !     Error: Unsupported Java version: 99\n !\n !     This stack has OpenJDK "),
            ("java.runtime.version=99", "the operator install it: apt-get install openjdk-99-jdk-headless\n"),
            ("java.runtime.version=16", ". Ask for the nearest in system.properties:\n !\n !     java.runtime.version = 17\n"),
            ("java.runtime.version=17.0.999", " !     java.runtime.version = 17\n"),
            ("java.runtime.version=latest", " !     Error: Unsupported Java version: latest\n"),
            ("java.runtime.version=heroku-17", " !     Error: Heroku OpenJDK distribution has been discontinued\n"),
            ("java.runtime.version=graal-17", " !     Error: Unsupported Java distribution: graal\n"),
            (
                "java.runtime.version=17\nmaven.version=3.0.1",
                " !     Your app's system.properties file specifies a Maven version\n !     of 3.0.1, and this stack has 3.",
            ),
        ] {
            refused(&farm, &[("system.properties", text)], said).await;
        }
        let wrapper = (".mvn/wrapper/maven-wrapper.properties", "");
        let windows = [wrapper, ("mvnw", "#!/bin/sh\r\nexec mvn\r\n")];
        refused(&farm, &windows, " !     Error: mvnw has the line ends of Windows").await;
        refused(&farm, &[(".jdk-overlay/lib/x", "")], " !     Error: .jdk-overlay cannot be applied.\n").await;
        let mut app = App::new();
        app.config_vars.insert("MAVEN_SETTINGS_PATH".into(), "no/such.xml".into());
        let built = farm.build(&app, &files(&[])).await;
        built.failed(FailureKind::Compile).says(" !     Error: MAVEN_SETTINGS_PATH names no/such.xml, which is no file");
        app.config_vars.remove("MAVEN_SETTINGS_PATH");
        app.config_vars.insert("MAVEN_SETTINGS_URL".into(), "http://u:secret@127.0.0.1:1/s.xml?token=secret".into());
        let built = farm.build(&app, &files(&[])).await;
        built
            .failed(FailureKind::Compile)
            .says("-----> Using settings.xml from http://127.0.0.1:1/s.xml\n !     Error: Unable to download Maven settings.xml.\n")
            .never_says("secret");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_maven_apps_end_with_their_reason() {
    with_farm(|farm| async move {
        // Entities that would be a billion: Maven reads the file, and nothing here does.
        let entities: String =
            (1..12).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
        let bomb = format!("<!DOCTYPE p [<!ENTITY l0 \"lol\">{entities}]><project>&l11;</project>");
        let built = farm.build(&App::new(), &files(&[("pom.xml", &bomb)])).await;
        built
            .failed(FailureKind::Compile)
            .says("Non-parseable POM")
            .says(" !     Error: Maven build failed.\n");
        // Ten megabytes before the line that counts, which therefore does not.
        let long = format!("{}java.runtime.version=99\n", "# nothing\n".repeat(1024 * 1024));
        let built =
            farm.build(&App::new(), &files(&[("system.properties", &long), ("pom.xml", "<x>")])).await;
        built
            .failed(FailureKind::Compile)
            .says(" !     system.properties is longer than 1 MiB: only its beginning is read.\n")
            .says(" !     Warning: No OpenJDK version specified\n");
        // Bytes that are no text, and folders and links where files should be.
        let odd = tempfile::tempdir().unwrap();
        write_tree(odd.path(), &files(&[("pom.xml/x", "")]).into_iter().skip(1).collect::<Vec<_>>());
        write_tree(odd.path(), &[("pom.yml", "\u{0}\u{1}")]);
        std::fs::write(odd.path().join("system.properties"), b"\xff\xfej\0\xff\xff").unwrap();
        std::os::unix::fs::symlink("/etc/shadow", odd.path().join(".jdk")).unwrap();
        let built = farm.build_folder(&App::new(), odd.path()).await;
        built
            .failed(FailureKind::Compile)
            .says("No OpenJDK version specified")
            .says("-----> Using the stack's OpenJDK ");
        // A wrapper that is half there is said to be, and does without.
        let built = farm.build(&App::new(), &files(&[("mvnw", "#!/bin/false\n")])).await;
        built
            .says(" !     Warning: Maven Wrapper script found without properties file.\n")
            .says("BUILD SUCCESS")
            .outcome();
        // A JDK of the app's own.
        let own = files(&[(".jdk/bin/java*", "#!/bin/sh\necho my own Java\n")]);
        let built = farm.build(&App::new(), &own).await;
        built.says("-----> Using provided JDK\n").failed(FailureKind::Compile).says("my own Java");
    })
    .await;
}
