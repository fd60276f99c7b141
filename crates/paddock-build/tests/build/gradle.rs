//! The built-in Gradle buildpack. The wrapper of these apps runs the machine's own Gradle, which reaches no index.

use crate::support::build::{App, with_farm, write_tree};
use crate::support::java::{MAIN, java_says};
use paddock_build::FailureKind;

const WRAPPER: &str = "#!/bin/sh\nexec gradle --offline \"$@\"\n";
const SCRIPT: &str =
    "apply plugin: 'java'\njar { archiveName = 'shop.jar' }\ntask stage(dependsOn: ['clean', 'jar'])\n";
const VERSION: (&str, &str) = ("system.properties", "java.runtime.version=17\n");

#[tokio::test(flavor = "multi_thread")]
async fn a_gradle_app_is_staged_by_its_wrapper() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        write_tree(
            tree.path(),
            &[("build.gradle", SCRIPT), ("gradlew", WRAPPER), VERSION, ("src/main/java/Main.java", MAIN)],
        );
        let app = App::new();
        let first = farm.build_folder(&app, tree.path()).await;
        first
            .says("-----> Gradle app detected\n-----> Using the stack's OpenJDK 17.")
            .says(" !     Warning: Unsupported Gradle version detected.\n")
            .says("-----> Executing Gradle\n       $ ./gradlew stage\n")
            .says("BUILD SUCCESSFUL");
        let slug = farm.unpack(&first);
        let words = ["-cp", "build/libs/shop.jar", "Main", "word"];
        assert_eq!(java_says(&slug.path().join("app"), &words), "hello word\n");
        let files = farm.slug_files(&first);
        assert!(files.iter().any(|name| name == "app/.profile.d/jvmcommon.sh"), "{files:?}");
        assert!(
            !files.iter().any(|name| name.contains("/daemon/") || name.contains("/caches/")),
            "{files:?}"
        );
        farm.build_folder(&app, tree.path())
            .await
            .says("BUILD SUCCESSFUL")
            .never_says("-----> Caching")
            .outcome();

        let named = SCRIPT.replace("task stage", "task ship");
        write_tree(tree.path(), &[("build.gradle", &named)]);
        let built = farm.build_folder(&app, tree.path()).await;
        built
            .failed(FailureKind::Compile)
            .says(" !     Error: Gradle task 'stage' not found.\n")
            .says(" !     Push rejected, failed to compile Gradle app.\n");
        let mut own = App::new();
        own.config_vars.insert("GRADLE_TASK".into(), "ship  -x test".into());
        farm.build_folder(&own, tree.path()).await.says("       $ ./gradlew ship  -x test\n").outcome();
        write_tree(tree.path(), &[("src/main/java/Main.java", "class Main { nothing }")]);
        farm.build_folder(&own, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says(" !     Error: Gradle build failed.\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_framework_says_its_task_and_what_runs_and_what_is_fetched_is_kept() {
    with_farm(|farm| async move {
        let wrapper = "#!/bin/sh\nexport fetched=$GRADLE_USER_HOME/caches/modules-2/files-2.1/a/a.jar\n\
            case \"$*\" in\n--version) echo 'Gradle 9.1' ;;\n\
            heroku-list*) echo '\\--- org.springframework.boot:spring-boot:3.1' ;;\n\
            tasks*) echo 'build - Assembles' ;;\n\
            *) grep -c list-all \"$GRADLE_USER_HOME/init.gradle\"; cat \"$fetched\" 2>/dev/null\n\
            mkdir -p \"${fetched%/*}\" build/libs; echo kept from before > \"$fetched\"; echo > build/libs/shop-plain.jar; echo > build/libs/shop.jar ;;\nesac\n";
        let files = [("build.gradle.kts", ""), ("gradlew*", wrapper), VERSION];
        let app = App::new();
        let first = farm.build(&app, &files).await;
        first.says("       spring-boot\n").says("       $ ./gradlew build -x check\n       1\n-----> Caching what was downloaded\n");
        let types: Vec<_> = first.outcome().process_types.values().collect();
        assert_eq!(types, ["java -Dserver.port=$PORT $JAVA_OPTS -jar ./build/libs/shop.jar"]);
        farm.build(&app, &files).await.says("kept from before\n").never_says("-----> Caching").outcome();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_that_cannot_run_is_named() {
    with_farm(|farm| async move {
        for (files, said) in [
            (&[][..], " !     Error: Gradle Wrapper is missing.\n"),
            (
                &[("gradlew", "#!/bin/sh\r\nexit\r\n")][..],
                " !     Error: gradlew has the line ends of Windows",
            ),
            (
                &[("gradlew", "#!/bin/sh\nexec java -cp gradle/wrapper/gradle-wrapper.jar x\n")][..],
                " !     Error: gradle/wrapper/gradle-wrapper.jar is missing",
            ),
            (
                &[("gradlew", "#!/bin/sh\necho no network; exit 1\n")][..],
                "       no network\n !     Error: Failed to start Gradle.\n",
            ),
        ] {
            let all = [&[VERSION, ("build.gradle", "")], files].concat();
            farm.build(&App::new(), &all).await.failed(FailureKind::Compile).says(said);
        }
    })
    .await;
}
