//! The built-in Python and Node.js buildpacks, with packages from the registries that this machine reaches.

use std::process::Command;

use crate::support::build::{App, Built, Entry, package_hosts, with_farm, write_tree};
use paddock_build::FailureKind;

const MANAGE: &str = "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'\n\
    from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n";
const SETTINGS: &str = "import os\nSECRET_KEY = os.environ['SECRET_KEY']\nINSTALLED_APPS = ['django.contrib.staticfiles', 'shop']\n\
    STATIC_URL = '/static/'\nSTATIC_ROOT = os.path.join(os.path.dirname(os.path.dirname(__file__)), 'staticfiles')\n";

/// Whatever of a slug does not tell when it was built.
fn undated(entries: Vec<Entry>) -> Vec<(String, String)> {
    entries.into_iter().map(|entry| (entry.path, entry.content)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_django_app_is_installed_once_and_collects_its_static_files() {
    with_farm(|farm| async move {
        let content = |built: &Built| undated(farm.slug_entries(built));
        let mut app = App::new();
        app.config_vars.insert("SECRET_KEY".into(), "only-for-static-files".into());
        let files = |requirements: &'static str| {
            [
                ("requirements.txt", requirements),
                (".python-version", "3.11\n"),
                ("Procfile", "web: gunicorn shop.wsgi"),
                ("manage.py", MANAGE),
                ("shop/__init__.py", ""),
                ("shop/settings.py", SETTINGS),
                ("shop/static/shop.css", "body {}"),
            ]
        };
        let pinned = "Django==5.2\ngunicorn==23.0.0\n";
        let first = farm.build(&app, &files(pinned)).await;
        first
            .says("-----> Python app detected\n-----> Using Python 3.11 specified in .python-version\n")
            .says("-----> Installing dependencies using 'uv pip install -r requirements.txt'\n")
            .says("        + django==5.2\n")
            .says("-----> $ python manage.py collectstatic --noinput\n")
            .says("1 static file copied to");
        let slug = farm.unpack(&first);
        let read = |name: &str| std::fs::read_to_string(slug.path().join("app").join(name)).unwrap();
        assert!(read(".heroku/python/bin/gunicorn").starts_with("#!/app/.heroku/python/bin/python\n"));
        assert_eq!(read("staticfiles/shop.css"), "body {}");
        assert!(read(".profile.d/python.sh").contains("$HOME/.heroku/python/bin"));

        let second = farm.build(&app, &files(pinned)).await;
        second
            .says("-----> No change in requirements.txt detected, using the installed packages\n")
            .never_says("+ django==5.2");
        assert_eq!(content(&second), content(&first), "the same input is the same slug");
        // Not from the cache either: a fresh app with the same source.
        let fresh = App { config_vars: app.config_vars.clone(), ..App::new() };
        assert_eq!(content(&farm.build(&fresh, &files(pinned)).await), content(&first));

        farm.build(&app, &files("Django==5.2\nno-such-package-of-anybody==1\n"))
            .await
            .failed(FailureKind::Compile)
            .says(" !     Unable to install the packages of requirements.txt.\n")
            .says(" !     Push rejected, failed to compile Python app.\n");
        app.config_vars.remove("SECRET_KEY");
        farm.build(&app, &files(pinned))
            .await
            .failed(FailureKind::Compile)
            .says("KeyError: 'SECRET_KEY'")
            .says(" !        $ heroku config:set DISABLE_COLLECTSTATIC=1\n");
        app.config_vars.insert("DISABLE_COLLECTSTATIC".into(), "1".into());
        farm.build(&app, &files(pinned))
            .await
            .says("-----> Skipping Django collectstatic since the env var")
            .outcome();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uv_project_is_installed_from_its_lock() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        let project = "[project]\nname = \"shop\"\nversion = \"1\"\nrequires-python = \">=3.11\"\ndependencies = [\"iniconfig==2.0.0\"]\n";
        write_tree(tree.path(), &[("pyproject.toml", project), ("uv.lock", ""), ("Procfile", "web: python -m iniconfig")]);
        farm.build_folder(&App::new(), tree.path())
            .await
            .failed(FailureKind::Compile)
            .says("-----> Installing dependencies using 'uv sync --locked --no-default-groups'\n")
            .says(" !     Unable to install the packages of uv.lock.\n");
        write_lock(tree.path());
        let app = App::new();
        farm.build_folder(&app, tree.path()).await.says("        + iniconfig==2.0.0\n").outcome();
        farm.build_folder(&app, tree.path()).await.says("-----> No change in uv.lock detected").outcome();
        write_tree(tree.path(), &[(".python-version", "3.2")]);
        farm.build_folder(&app, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says(" !     Python 3.2 is not available on this stack and could not be downloaded.\n !     Available versions: 3.");
    })
    .await;
}

/// The lock that uv writes for the project above; its registry is the one that the client is told at build time.
fn write_lock(folder: &std::path::Path) {
    let lock = r#"version = 1
requires-python = ">=3.11"

[[package]]
name = "iniconfig"
version = "2.0.0"
source = { registry = "INDEX" }
sdist = { url = "https://FILES/packages/d7/4b/cbd8e699e64a6f16ca3a8220661b5f83792b3017d0f79807cb8708d33913/iniconfig-2.0.0.tar.gz", hash = "sha256:2d91e135bf72d31a410b17c16da610a82cb55f6b0477d1a902134b24a455b8b3", size = 4646 }
wheels = [
    { url = "https://FILES/packages/ef/a6/62565a6e1cf69e10f5727360368e451d4b7f58beeac6173dc9db836a5b46/iniconfig-2.0.0-py3-none-any.whl", hash = "sha256:b6a85871a79d2e3b22d2d1b94ac2824226a63c6b741c88f7ae975f18b6778374", size = 5892 },
]

[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
dependencies = [
    { name = "iniconfig" },
]

[package.metadata]
requires-dist = [{ name = "iniconfig", specifier = "==2.0.0" }]
"#;
    let hosts = package_hosts();
    let lock = lock.replace("INDEX", &hosts.python_index).replace("FILES", &hosts.python_files);
    write_tree(folder, &[("uv.lock", &lock)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_app_is_installed_once_built_and_pruned() {
    with_farm(|farm| async move {
        let content = |built: &Built| undated(farm.slug_entries(built));
        let tree = tempfile::tempdir().unwrap();
        let package = |engines: &str| {
            format!(
                r#"{{"name":"shop","version":"1.0.0","engines":{{"node":"{engines}"}},
                "scripts":{{"start":"node index.js","heroku-prebuild":"echo before","build":"is-odd || echo built as $NODE_ENV with $SHOP","heroku-cleanup":"echo cleaned"}},
                "dependencies":{{"ms":"2.1.3"}},"devDependencies":{{"left-pad":"1.3.0"}}}}"#
            )
        };
        write_tree(tree.path(), &[("package.json", &package(">=18")), ("index.js", "")]);
        let mut app = App::new();
        app.config_vars.insert("SHOP".into(), "config".into());
        let unlocked = farm.build_folder(&app, tree.path()).await;
        unlocked.says(" !     No package-lock.json found").outcome();

        let npm = Command::new("npm").args(["install", "--package-lock-only", "--silent"]).current_dir(tree.path()).status();
        assert!(npm.expect("npm is installed").success());
        let first = farm.build_folder(&app, tree.path()).await;
        first
            .says("-----> Node.js app detected\n-----> Creating runtime environment\n")
            .says("       engines.node (package.json):   >=18\n")
            .says("       before\n-----> Installing dependencies\n       Installing node modules (package-lock.json)\n")
            .says("       built as production with config\n-----> Pruning devDependencies\n")
            .says("-----> Build succeeded!\n");
        assert_eq!(first.outcome().detected.as_ref().map(|chosen| chosen.as_str()), Some("heroku/nodejs"));
        let files = farm.slug_files(&first);
        assert!(files.iter().any(|name| name == "app/node_modules/ms/index.js"), "{files:?}");
        assert!(!files.iter().any(|name| name.starts_with("app/node_modules/left-pad/")), "pruned");
        assert_eq!(first.outcome().process_types["web".parse().as_ref().unwrap()], "npm start");

        let second = farm.build_folder(&app, tree.path()).await;
        second
            .says("       No change in package-lock.json detected: node_modules is not installed again\n")
            .never_says("Installing node modules");
        assert_eq!(content(&second), content(&first), "the same input is the same slug");

        write_tree(tree.path(), &[("package.json", &package("lts/*"))]);
        farm.build_folder(&app, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says(" !     engines.node in package.json cannot be read: \"lts/*\"\n");
        write_tree(tree.path(), &[("package.json", &package(">=18")), ("yarn.lock", "")]);
        farm.build_folder(&app, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says(" !     Two different lock files found: package-lock.json and yarn.lock.");
    })
    .await;
}
