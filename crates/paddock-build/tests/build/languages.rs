//! The built-in Python and Node.js buildpacks, with packages from the registries that this machine reaches.
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

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
            .says("-----> Installing pip 26.0 and setuptools 70.3.0\n")
            .says("-----> Installing dependencies using 'uv pip install -r requirements.txt'\n")
            .says("        + django==5.2\n")
            .says("-----> $ python manage.py collectstatic --noinput\n")
            .says("1 static file copied to");
        let slug = farm.unpack(&first);
        let read = |name: &str| std::fs::read_to_string(slug.path().join("app").join(name)).unwrap();
        assert!(read(".heroku/python/bin/gunicorn").starts_with("#!/app/.heroku/python/bin/python\n"));
        assert_eq!(read("staticfiles/shop.css"), "body {}");
        assert!(read(".profile.d/python.sh").contains("$HOME/.heroku/python/bin"));
        assert!(read(".profile.d/python.gunicorn.sh").contains("FORWARDED_ALLOW_IPS='*'"));
        assert!(read(".profile.d/WEB_CONCURRENCY.sh").contains("WEB_CONCURRENCY_SET_BY=heroku/python"));

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
            .says(" !     Error: The requested Python version has reached end-of-life.\n")
            .says(" !     Please upgrade to at least Python 3.10 by changing the version in your .python-version file.\n");
        write_tree(tree.path(), &[("pyproject.toml", &project.replace(">=3.11", ">=3.11,!=3.11.*")), (".python-version", "3.11")]);
        farm.build_folder(&app, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says(" !     pyproject.toml has requires-python = \">=3.11,!=3.11.*\", and .python-version asks for 3.11.\n");
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

// buildpacks.md 5.7
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
        write_tree(tree.path(), &[("package.json", &format!("\u{feff}{}", package("latest"))), ("index.js", "")]);
        let mut app = App::new();
        app.config_vars.insert("SHOP".into(), "config".into());
        let unlocked = farm.build_folder(&app, tree.path()).await;
        unlocked.says(" !     No package-lock.json found").says("       Using the stack's node ").outcome();
        write_tree(tree.path(), &[("package.json", &package(">=18"))]);

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
            .says(" !     Error: Multiple lockfiles found.\n !\n !     Several package managers (npm, Yarn) have lock files here");
    })
    .await;
}

/// What a program of a slug says, with the slug's own programs in its path as a dyno has them.
fn run(slug: &std::path::Path, folder: &str, command: &[&str]) -> String {
    let app = slug.join("app");
    let output = Command::new("/usr/bin/env")
        .args(command)
        .current_dir(&app)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", app.join(folder).display()))
        .env("HOME", slug)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn package(engines: &str, start: &str) -> String {
    format!(
        r#"{{"name":"old","version":"1.0.0","engines":{{{engines}}},"scripts":{{"start":"{start}",
        "heroku-postbuild":"npm run nested","nested":"left-pad || echo nested in npm $(npm --version)"}},
        "dependencies":{{"ms":"2.1.3"}},"devDependencies":{{"left-pad":"1.3.0"}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_node_has_the_npm_that_it_came_with() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        let start = "node -p process.version";
        write_tree(tree.path(), &[("package.json", &package(r#""node":"14.x""#, start))]);
        let lock = ["install", "--package-lock-only", "--silent", "--lockfile-version", "2"];
        assert!(Command::new("npm").args(lock).current_dir(tree.path()).status().unwrap().success());
        let app = App::new();
        let first = farm.build_folder(&app, tree.path()).await;
        first.says("       Using node 14.21.3 and npm 6.14.").says("       nested in npm 6.14.");
        let slug = farm.unpack(&first);
        let said = run(slug.path(), ".heroku/node/bin", &["npm", "start", "--silent"]);
        assert_eq!(said, "v14.21.3\n");
        let files = farm.slug_files(&first);
        assert!(files.iter().any(|name| name == "app/node_modules/ms/index.js"), "{files:?}");
        assert!(!files.iter().any(|name| name.starts_with("app/node_modules/left-pad/")), "pruned");
        let second = farm.build_folder(&app, tree.path()).await;
        second.says("       Using node 14.21.3 and npm 6.14.").never_says("Downloading and installing node");
        let content = |built: &Built| undated(farm.slug_entries(built));
        assert_eq!(content(&second), content(&first), "the same input is the same slug");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_npm_that_engines_ask_for_is_the_apps() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        write_tree(
            tree.path(),
            &[("package.json", &package(r#""node":">=18","npm":"9.x""#, "npm --version"))],
        );
        let built = farm.build_folder(&App::new(), tree.path()).await;
        built.says("       Bootstrapping npm 9.x...\n").says("       nested in npm 9.");
        let said = run(farm.unpack(&built).path(), ".heroku/node/bin", &["npm", "start", "--silent"]);
        assert!(said.starts_with("9."), "{said}");
        write_tree(
            tree.path(),
            &[("package.json", &package(r#""node":">=18","npm":"no-such-tag""#, "npm --version"))],
        );
        farm.build_folder(&App::new(), tree.path())
            .await
            .failed(FailureKind::Compile)
            .says(" !     npm no-such-tag could not be fetched from the npm registry; the stack has ");
    })
    .await;
}

const LIBRARY: &str = "[build-system]\nrequires = [\"setuptools==70.3.0\"]\nbuild-backend = \"setuptools.build_meta\"\n[project]\nname = \"NAME\"\nversion = \"1\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn packages_that_are_installed_in_place_are_found_by_dynos_and_by_later_buildpacks() {
    with_farm(|farm| async move {
        let fetched = LIBRARY.replace("NAME", "fetched") + "[tool.setuptools]\npy-modules = [\"fetched\"]\n";
        let library = farm.buildpack("fetched", &[("pyproject.toml", &fetched), ("fetched.py", "NAME = 'fetched'\n")]);
        let compile = "#!/bin/bash\ncd /; python -B -c 'import shop, fetched, tool; print(\"found\", shop.__file__, tool.NAME)'\n";
        let later = farm.buildpack("later", &[("bin/detect*", "#!/bin/sh\necho Later\n"), ("bin/compile*", compile)]);
        // One folder of packages, which a path says, and one that is given another name, which takes a finder.
        let odd = LIBRARY.replace("NAME", "tool") + "[tool.setuptools]\npackages = [\"tool\"]\npackage-dir = { tool = \"parts/tool\" }\n";
        let requirements = format!("-e .\n-e ./odd\n-e git+{library}@main#egg=fetched\n");
        let files = [
            ("requirements.txt", requirements.as_str()),
            (".python-version", "3.11"),
            ("pyproject.toml", &LIBRARY.replace("NAME", "shop")),
            ("src/shop/__init__.py", ""),
            ("odd/pyproject.toml", &odd),
            ("odd/parts/tool/__init__.py", "NAME = 'tool'\n"),
        ];
        let tree = tempfile::tempdir().unwrap();
        write_tree(tree.path(), &files);
        let mut app = App::with_buildpacks(&["heroku/python", &later]);
        // The repository belongs to somebody else than the build's user.
        let settings = farm.path("buildpacks/gitconfig");
        std::fs::write(&settings, "[safe]\n\tdirectory = *\n").unwrap();
        app.config_vars.insert("GIT_CONFIG_GLOBAL".into(), settings.display().to_string());
        let first = farm.build_folder(&app, tree.path()).await;
        first.says("found /tmp/build_").outcome();
        let slug = farm.unpack(&first);
        assert_eq!(std::fs::read_to_string(slug.path().join("app/requirements.txt")).unwrap(), requirements);
        let left = Command::new("grep").args(["-rl", "/tmp/build_", "app"]).current_dir(slug.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&left.stdout), "", "no file of the slug names the build's folder");
        let packages = slug.path().join("app/.heroku/python/lib/python3.11/site-packages");
        let read = |name: &str| std::fs::read_to_string(packages.join(name)).unwrap();
        assert_eq!(read("__editable__.shop-1.pth").trim(), "/app/src");
        assert!(read("__editable___tool_1_finder.py").contains("'/app/odd/parts/tool'"));
        assert!(packages.join("fetched.py").is_file());

        let second = farm.build_folder(&app, tree.path()).await;
        second.never_says("No change in requirements.txt");
        let content = |built: &Built| undated(farm.slug_entries(built));
        assert_eq!(content(&second), content(&first), "the same input is the same slug");
    })
    .await;
}

// buildpacks.md 5.7
#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_a_python_app_run_by_their_first_line_with_the_builds_folders() {
    with_farm(|farm| async move {
        let before = "#!/usr/bin/env python3\nimport os, pathlib\n\
            stamps = pathlib.Path(os.environ['CACHE_DIR'], 'stamps')\n\
            stamps.write_text(stamps.read_text() + '.' if stamps.exists() else '.')\n\
            print('built', len(stamps.read_text()), os.environ['BUILD_DIR'] == os.getcwd())\n\
            print('sees', pathlib.Path(os.environ['ENV_DIR'], 'WORD').read_text(), os.environ['WORD'])\n\
            pathlib.Path('requirements.txt').write_text('')\n";
        let files = [
            (".python-version", "3.11"),
            ("bin/pre_compile", before),
            ("bin/post_compile*", "# no first line that names a language\n[[ a == a ]] && pip --version\n"),
        ];
        let mut app = App::new();
        app.config_vars.insert("WORD".into(), "word".into());
        let built = farm.build(&app, &files).await;
        built
            .says("-----> Running bin/pre_compile hook\n       built 1 True\n       sees word word\n")
            .says("-----> Running bin/post_compile hook\n       pip 26.0 from /app/.heroku/python/lib/python3.11/")
            .outcome();
        farm.build(&app, &files).await.says("       built 2 True\n").outcome();
        let failing = [files[0], ("requirements.txt", ""), ("bin/post_compile", "#!/bin/false\n")];
        farm.build(&app, &failing)
            .await
            .failed(FailureKind::Compile)
            .says(" !     The app's bin/post_compile hook failed.\n");
        farm.build(&app, &files).await.says("       built 3 True\n").outcome();
    })
    .await;
}

/// A wheel that is in no public index, in a folder that is an index of its own.
fn private_index(folder: &std::path::Path) -> String {
    let package = folder.join("only-here");
    std::fs::create_dir_all(&package).unwrap();
    let wheel = "only_here-1.0-py3-none-any.whl";
    let script = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as wheel:\n\
        \x20   info = 'only_here-1.0.dist-info/'\n\
        \x20   wheel.writestr('only_here.py', '')\n\
        \x20   wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: only-here\\nVersion: 1.0\\n')\n\
        \x20   wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        \x20   wheel.writestr(info + 'RECORD', '')\n";
    let made =
        Command::new("/usr/bin/python3").args(["-c", script]).arg(package.join(wheel)).status().unwrap();
    assert!(made.success());
    std::fs::write(package.join("index.html"), format!("<a href=\"{wheel}\">{wheel}</a>")).unwrap();
    assert!(Command::new("chmod").args(["-R", "a+rX"]).arg(folder).status().unwrap().success());
    format!("file://{}", folder.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_pip_reach_what_installs() {
    with_farm(|farm| async move {
        let index = private_index(&farm.path("buildpacks/index"));
        let files = [(".python-version", "3.11"), ("requirements.txt", "only-here\nsix==1.16.0\n")];
        let mut app = App::new();
        farm.build(&app, &files).await.failed(FailureKind::Compile).says("only-here was not found");
        app.config_vars.insert("PIP_EXTRA_INDEX_URL".into(), index.clone());
        app.config_vars.insert("PIP_USER".into(), "1".into());
        let built = farm.build(&app, &files).await;
        built
            .says("       with PIP_EXTRA_INDEX_URL\n !     uv installs the packages, and has nothing that PIP_USER could be passed on as.\n")
            .says("        + only-here==1.0\n        + six==1.16.0\n")
            .never_says(&index);
        // Another setting is another installation, of what was not in the environment before as well.
        app.config_vars.insert("PIP_NO_BINARY".into(), "six,only-here".into());
        farm.build(&app, &files)
            .await
            .failed(FailureKind::Compile)
            .never_says("No change in requirements.txt")
            .says("only-here");
        app.config_vars.insert("PIP_NO_BINARY".into(), "six".into());
        farm.build(&app, &files).await.says("       with PIP_EXTRA_INDEX_URL, PIP_NO_BINARY\n").outcome();
        app.config_vars.insert("PIP_NO_INDEX".into(), "true".into());
        farm.build(&app, &files).await.failed(FailureKind::Compile);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_is_chosen_as_heroku_chooses_it() {
    with_farm(|farm| async move {
        let requirements = ("requirements.txt", "");
        farm.build(&App::new(), &[requirements, ("runtime.txt", "python-3.11.2\n"), (".python-version", "3.2")])
            .await
            .says("-----> Using Python 3.11.2 specified in runtime.txt\n")
            .outcome();
        for (file, text, said) in [
            (".python-version", "3.11\n3.12\n", "Multiple Python versions were found in .python-version: 3.11, 3.12\n"),
            (".python_version", "3.11", "The file \".python_version\" is not read: rename it to .python-version,"),
        ] {
            let built = farm.build(&App::new(), &[requirements, (file, text)]).await;
            built.failed(FailureKind::Compile).says(&format!(" !     {said}"));
        }
        // Without a wish: the newest that can be had. Whatever that is on this machine, it stays the app's.
        let app = App::new();
        let first = farm.build(&app, &[requirements]).await;
        first.says("-----> No Python version was specified. Using the buildpack default: Python 3.14\n").outcome();
        let got = ["       Installed Python 3.", "       Using the stack's Python 3."];
        let line = first.log.lines().find(|line| got.iter().any(|start| line.starts_with(start)));
        let line = line.unwrap_or_else(|| panic!("no Python was chosen in\n{}", first.log));
        assert!(line.contains("Installed") || line.contains(" could not be downloaded ("), "{line}");
        let minor: String = line.split("Python 3.").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
        farm.build(&app, &[requirements])
            .await
            .says(&format!("-----> No Python version was specified. Using the same major version as the last build: Python 3.{minor}\n"))
            .outcome();
        let project = "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \">=3.99\"\n";
        farm.build(&app, &[("pyproject.toml", project), ("uv.lock", "")])
            .await
            .failed(FailureKind::Compile)
            .says("       error: No download found for request: cpython->=3.99-")
            .says(" !     pyproject.toml has requires-python = \">=3.99\", which no Python of this stack is, and none could be downloaded.\n");
    })
    .await;
}
