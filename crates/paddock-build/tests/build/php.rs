//! The built-in PHP buildpack, with the stack's PHP and Composer and packages that lie in the app.
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::path::Path;
use std::process::Command;

use crate::support::build::{App, Built, with_farm, write_tree};
use paddock_build::FailureKind;

/// A `composer.json` that asks for `acme/greet` in a version, from an archive in the app.
fn composer_json(version: &str, more: &str) -> String {
    format!(
        r#"{{"require":{{"php":"^8.0","ext-ctype":"*","acme/greet":"{version}"}},"autoload":{{"psr-4":{{"Shop\\":"src"}}}},{more}
        "repositories":[{{"packagist.org":false}},{{"type":"package","package":{{"name":"acme/greet","version":"{version}",
        "dist":{{"type":"tar","url":"packages/greet-{version}.tar"}},"autoload":{{"psr-4":{{"Acme\\":""}}}}}}}}]}}"#
    )
}

/// Packs `acme/greet` in a version and has Composer lock it.
fn lock(tree: &Path, version: &str, more: &str) {
    let made = tempfile::tempdir().unwrap();
    let class = format!("<?php namespace Acme; class Greet {{ const SAYS = 'hello {version}'; }}\n");
    write_tree(made.path(), &[("greet/Greet.php", &class)]);
    std::fs::create_dir_all(tree.join("packages")).unwrap();
    let archive = tree.join(format!("packages/greet-{version}.tar"));
    let tar = Command::new("tar").arg("-cf").arg(archive).arg("-C").arg(made.path()).arg("greet").status();
    assert!(tar.unwrap().success());
    write_tree(tree, &[("composer.json", &composer_json(version, more))]);
    let composer = Command::new("composer")
        .args(["update", "--no-install", "--no-interaction", "--quiet"])
        .env("COMPOSER_HOME", made.path())
        .env("COMPOSER_ALLOW_SUPERUSER", "1")
        .current_dir(tree)
        .output()
        .expect("composer is installed");
    assert!(composer.status.success(), "{composer:?}");
}

fn web(built: &Built) -> Option<&str> {
    let types = &built.outcome().process_types;
    types.iter().find(|(name, _)| name.to_string() == "web").map(|(_, line)| line.as_str())
}

const INDEX: &str = "<?php require 'vendor/autoload.php'; echo Acme\\Greet::SAYS, Shop\\Page::MARK;\n";

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_installed_once_for_each_lock() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        let page = |mark: &str| format!("<?php namespace Shop; class Page {{ const MARK = '{mark}'; }}\n");
        write_tree(tree.path(), &[("index.php", INDEX), ("src/Page.php", &page("."))]);
        lock(tree.path(), "1.0.0", "");
        let runs = |built: &Built| {
            let slug = farm.unpack(built);
            let said = Command::new("php").arg("index.php").current_dir(slug.path().join("app")).output().unwrap();
            String::from_utf8(said.stdout).unwrap()
        };
        let app = App::new();
        let first = farm.build_folder(&app, tree.path()).await;
        first
            .says("-----> PHP app detected\n-----> Preparing platform package installation...\n       - php (8.")
            .says("-----> Installing dependencies...\n")
            .says("  - Installing acme/greet (1.0.0)")
            .says("Generating optimized autoload files\n")
            .says("       NOTICE: No Procfile, using 'web: heroku-php-apache2'.\n");
        assert_eq!(web(&first), Some("heroku-php-apache2"));
        assert_eq!(runs(&first), "hello 1.0.0.");
        let files = farm.slug_files(&first);
        for name in ["app/vendor/bin/heroku-php-apache2", "app/vendor/bin/heroku-php-nginx", "app/.profile.d/100-composer.sh"] {
            assert!(files.iter().any(|file| file == name), "{name} in {files:?}");
        }
        assert!(!files.iter().any(|name| name.contains(".composer")), "{files:?}");

        let again = farm.build_folder(&app, tree.path()).await;
        again
            .says("       No change in composer.lock detected: packages are those of the last build\n")
            .says("Nothing to install, update or remove\n")
            .never_says("acme/greet");
        let content = |built: &Built| -> Vec<_> {
            farm.slug_entries(built).into_iter().map(|entry| (entry.path, entry.content)).collect()
        };
        assert_eq!(content(&again), content(&first), "the same input is the same slug");

        // The app's own classes are what was pushed, whatever is kept of its packages.
        write_tree(tree.path(), &[("src/Page.php", &page("!")), ("src/More.php", "<?php namespace Shop; class More {}\n")]);
        let code = farm.build_folder(&app, tree.path()).await;
        code.says("No change in composer.lock detected").never_says("acme/greet");
        assert_eq!(runs(&code), "hello 1.0.0!");
        let slug = farm.unpack(&code);
        let map = std::fs::read_to_string(slug.path().join("app/vendor/composer/autoload_classmap.php")).unwrap();
        assert!(map.contains("Shop\\\\More"), "the autoloader is optimized anew: {map}");

        lock(tree.path(), "2.0.0", r#""scripts":{"compile":"echo compiled > built.txt"},"#);
        let other = farm.build_folder(&app, tree.path()).await;
        other
            .never_says("No change in composer.lock")
            .says("  - Installing acme/greet (2.0.0)")
            .says("-----> Running 'composer compile'...\n");
        assert_eq!(runs(&other), "hello 2.0.0!");
        assert!(farm.slug_files(&other).iter().any(|name| name == "app/built.txt"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_composer_has_nothing_to_do_for_is_built_without_it() {
    with_farm(|farm| async move {
        let index = ("index.php", "<?php echo 1;");
        let built = farm.build(&App::new(), &[index]).await;
        built
            .says("-----> PHP app detected\n !     No 'composer.json' found!\n")
            .says("       There is nothing to install\n");
        assert_eq!(web(&built), Some("heroku-php-apache2"));
        farm.build(&App::new(), &[index, ("composer.json", "")])
            .await
            .says(" !     Your 'composer.json' is completely empty!\n")
            .outcome();
        let procfile = ("Procfile", "web: heroku-php-nginx -C nginx.conf public/\n");
        let built = farm.build(&App::new(), &[index, ("composer.json", "{}"), procfile]).await;
        built.never_says("NOTICE");
        assert_eq!(web(&built), Some("heroku-php-nginx -C nginx.conf public/"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_stack_cannot_run_is_refused_with_what_to_do() {
    with_farm(|farm| async move {
        let refused = |files: Vec<(&'static str, &'static str)>, said: &'static str| {
            let farm = farm.clone();
            async move {
                farm.build(&App::new(), &files)
                    .await
                    .failed(FailureKind::Compile)
                    .says(said)
                    .says(" !     Push rejected, failed to compile PHP app.\n")
                    .never_says("s3cret");
            }
        };
        let json = "composer.json";
        let empty_lock = ("composer.lock", r#"{"packages-dev":[],"packages":[],"platform":{}}"#);
        refused(vec![(json, r#"{"require":{"a/b":"1"}}"#)], " !     No 'composer.lock' found!\n").await;
        refused(vec![(json, "<?php // s3cret")], " !     Basic validation for 'composer.json' failed!\n").await;
        refused(vec![(json, "{}"), ("composer.lock", "<<<<<<< s3cret")], " !     Failed to parse 'composer.lock'!\n").await;
        refused(
            vec![(json, "{}"), ("composer.lock", r#"{"packages":[{"name":"a/b","require":{"php":"^9.9 || 5.3.*"}}]}"#)],
            " !     > a/b requires php ^9.9 || 5.3.*\n",
        )
        .await;
        refused(
            vec![(json, "{}"), ("composer.lock", r#"{"packages-dev":[],"packages":[],"platform":{"ext-nothing":"*","ext-x\n !     Released":"*"}}"#)],
            " !     > ext-nothing (required by composer.json)\n !     > ext-x !     released (required by composer.json)\n",
        )
        .await;
        refused(vec![(json, "{}"), ("composer.lock", r#"{"platform":{"ext-nothing":"*"}}"#)], " !       apt-get install php-nothing\n").await;
        refused(vec![(json, r#"{"config":{"vendor-dir":"/tmp/x"}}"#)], " !     vendor-dir is \"/tmp/x\", which is no folder of the app").await;
        refused(vec![(json, "{}"), (".heroku/php/x", "")], " !     Your app source code contains artifacts from a previous build!\n").await;
        refused(
            vec![(json, r#"{"scripts":{"compile":"exit 7","x\ny":"z"}}"#), empty_lock],
            " !     Compile step failed! Look at what the script said above.\n",
        )
        .await;
        // Composer's own refusal is shown: a lock that names what its archive is not.
        let gone = r#"{"packages-dev":[],"packages":[{"name":"a/b","version":"1.0.0","type":"library","dist":{"type":"tar","url":"gone.tar"}}]}"#;
        refused(vec![(json, r#"{"require":{"a/b":"1.0.0"}}"#), ("composer.lock", gone)], " !     Dependency installation failed!\n").await;
        let mut app = App::new();
        app.config_vars.insert("COMPOSER".into(), "../../etc/x.json".into());
        farm.build(&app, &[(json, "{}")]).await.failed(FailureKind::Compile).says("The config var COMPOSER has to name a file of the app");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_files_of_php_apps_are_no_trouble() {
    with_farm(|farm| async move {
        // Ten megabytes of packages that ask for nothing that is not here.
        let package = r#"{"name":"a/b","version":"1.0.0","type":"metapackage","require":{"php":">=7"},"description":"xxxxxxxxxxxxxxxx"}"#;
        let big = format!(r#"{{"packages-dev":[],"packages":[{package}],"aliases":[],"platform":[],"_":"{}"}}"#, "x".repeat(10 << 20));
        let json = ("composer.json", r#"{"require":{"a/b":"1.0.0"},"scripts":{"a\nb":"c"}}"#);
        farm.build(&App::new(), &[json, ("composer.lock", &big)]).await.says("a/b (1.0.0)").outcome();
        // A stability or a branch that is not ours to judge is Composer's business.
        let odd = r#"{"packages-dev":[],"packages":[],"platform":{"php":"dev-main"}}"#;
        farm.build(&App::new(), &[("composer.json", "{}"), ("composer.lock", odd), ("index.php", "")]).await.outcome();
        // Credentials go to Composer and are not shown.
        let mut app = App::new();
        app.config_vars.insert("COMPOSER_GITHUB_OAUTH_TOKEN".into(), "tok-s3cret".into());
        app.config_vars.insert("COMPOSER_AUTH".into(), "{not json s3cret".into());
        let name = ("composer.json", r#"{"name":"a/shop"}"#);
        farm.build(&app, &[name, ("index.php", "")])
            .await
            .says("       Using $COMPOSER_GITHUB_OAUTH_TOKEN for GitHub OAuth.\n")
            .says(" !     The config var COMPOSER_AUTH is not valid JSON")
            .never_says("s3cret")
            .outcome();
        // Another file by name, with other folders.
        app = App::new();
        app.config_vars.insert("COMPOSER".into(), "shop.json".into());
        let other = ("shop.json", r#"{"name":"a/shop","config":{"vendor-dir":"lib","bin-dir":"{$vendor-dir}/run"}}"#);
        let built = farm.build(&app, &[other, ("index.php", "")]).await;
        let files = farm.slug_files(&built);
        assert!(files.iter().any(|name| name == "app/lib/run/heroku-php-apache2"), "{files:?}");
    })
    .await;
}
