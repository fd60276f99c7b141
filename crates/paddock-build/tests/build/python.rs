//! Poetry and Pipenv as they are, with packages from the registry that this machine reaches, and what a Python app is
//! refused for.
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::path::Path;
use std::process::Command;

use paddock_build::FailureKind;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::build::{App, Built, package_hosts, with_farm, write_tree};

const INICONFIG: [(&str, &str, &str); 2] = [
    (
        "b6a85871a79d2e3b22d2d1b94ac2824226a63c6b741c88f7ae975f18b6778374",
        "2d91e135bf72d31a410b17c16da610a82cb55f6b0477d1a902134b24a455b8b3",
        "d7c8083f71bfa703d26c615d6832409f1e4beb145cf24bf3b64392429e674f4e",
    ),
    (
        "9deba5723312380e77435581c6bf4935c94cbfab9b1ed33ef8d238ea168eb760",
        "3abbd2e30b36733fee78f9c7f7308f2d0050e88f0087fd25c2645f63c773e1c7",
        "d552f559a39bd9cb709dbf6ad3d2e694b71bea2331ec9627760cb896656d017e",
    ),
];

/// A project for Poetry that needs iniconfig 2.0.0 or 2.1.0.
fn poetry_project(minor: usize) -> String {
    format!(
        "[project]\nname = \"shop\"\nversion = \"1\"\nrequires-python = \">=3.10\"\ndependencies = [\"iniconfig==2.{minor}.0\"]\n\n\
         [dependency-groups]\ndev = [\"six==1.16.0\"]\n"
    )
}

/// The lock that Poetry writes for it.
fn poetry_lock(minor: usize) -> String {
    let (wheel, source, content) = INICONFIG[minor];
    format!(
        r#"[[package]]
name = "iniconfig"
version = "2.{minor}.0"
description = ""
optional = false
python-versions = ">=3.8"
groups = ["main"]
files = [
    {{file = "iniconfig-2.{minor}.0-py3-none-any.whl", hash = "sha256:{wheel}"}},
    {{file = "iniconfig-2.{minor}.0.tar.gz", hash = "sha256:{source}"}},
]

[[package]]
name = "six"
version = "1.16.0"
description = ""
optional = false
python-versions = ">=2.7"
groups = ["dev"]
files = [
    {{file = "six-1.16.0-py2.py3-none-any.whl", hash = "sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"}},
]

[metadata]
lock-version = "2.1"
python-versions = ">=3.10"
content-hash = "{content}"
"#
    )
}

/// An app for Poetry that says after its build what it has.
fn write_poetry(tree: &Path, project: usize, lock: usize) {
    let hook = "#!/bin/sh\npoetry --version; cd /; python -B -c 'import shop; print(shop.__file__)'\n";
    write_tree(
        tree,
        &[
            (".python-version", "3.11\n"),
            ("pyproject.toml", &poetry_project(project)),
            ("poetry.lock", &poetry_lock(lock)),
            ("shop/__init__.py", "NAME = 'shop'\n"),
            ("bin/post_compile", hook),
        ],
    );
}

/// An app whose packages come from this machine's index, as an operator would name one.
fn app() -> App {
    let mut app = App::new();
    app.config_vars.insert("PIP_INDEX_URL".into(), format!("{}/", package_hosts().python_index));
    app
}

/// Everything in a slug but dates.
fn content(farm: &crate::support::build::BuildFarm, built: &Built) -> Vec<(String, String)> {
    farm.slug_entries(built).into_iter().map(|entry| (entry.path, entry.content)).collect()
}

/// What of a slug has this text in it.
fn files_with(slug: &Path, text: &str) -> String {
    let found = Command::new("grep").args(["-rl", text, "app"]).current_dir(slug).output().unwrap();
    String::from_utf8_lossy(&found.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poetry_app_is_installed_from_its_lock_and_installed_once() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        let write = |project: usize, lock: usize| write_poetry(tree.path(), project, lock);
        write(0, 0);
        let app = app();
        let first = farm.build_folder(&app, tree.path()).await;
        first
            .says("-----> Using Python 3.11 specified in .python-version\n")
            .says("-----> Installing Poetry 2.4.1\n")
            .says("-----> Installing dependencies using 'poetry sync --only main'\n")
            .says("         - Installing iniconfig (2.0.0)\n")
            .says("       Installing the current project: shop (1)\n")
            .says("       Poetry (version 2.4.1)\n       /tmp/build_")
            .never_says("six")
            .outcome();
        let slug = farm.unpack(&first);
        assert_eq!(
            files_with(slug.path(), "/tmp/build_"),
            "",
            "no file of the slug names the build's folder"
        );
        let packages = slug.path().join("app/.heroku/python/lib/python3.11/site-packages");
        assert_eq!(std::fs::read_to_string(packages.join("shop.pth")).unwrap().trim(), "/app");
        assert!(packages.join("iniconfig/__pycache__/__init__.cpython-311.pyc").is_file(), "compiled");
        assert!(!packages.join("poetry").exists(), "Poetry is not the app's");

        let second = farm.build_folder(&app, tree.path()).await;
        second
            .says("-----> No change in poetry.lock detected, using the installed packages\n")
            .says("-----> Using cached Poetry 2.4.1\n")
            .says("       Poetry (version 2.4.1)\n       /tmp/build_")
            .never_says("Installing");
        assert_eq!(content(&farm, &second), content(&farm, &first), "the same input is the same slug");

        write(1, 0);
        farm.build_folder(&app, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says("pyproject.toml changed significantly since poetry.lock was last generated.")
            .says(" !     Error: Unable to install dependencies using Poetry.\n");
        write(1, 1);
        let changed = farm.build_folder(&app, tree.path()).await;
        changed
            .says("-----> Discarding cache since:\n       - The contents of poetry.lock changed\n")
            .says("-----> Using cached Poetry 2.4.1\n")
            .says("         - Installing iniconfig (2.1.0)\n");
        write(0, 0);
        let fresh = App { config_vars: app.config_vars.clone(), ..App::new() };
        let fresh = farm.build_folder(&fresh, tree.path()).await;
        assert_eq!(content(&farm, &fresh), content(&farm, &first), "without a cache as well");
    })
    .await;
}

/// A Pipfile and the lock that Pipenv makes of it.
fn pipenv_files(minor: usize, hash_of: usize) -> (String, String) {
    let index = format!("{}/", package_hosts().python_index);
    let (wheel, source, _) = INICONFIG[minor];
    let sources = json!([{ "name": "index", "url": index, "verify_ssl": true }]);
    let hashed = |minor: usize| -> Value {
        json!({
            "_meta": { "sources": sources, "requires": { "python_version": "3.11" } },
            "default": { "iniconfig": format!("==2.{minor}.0") },
            "develop": {},
        })
    };
    // Keys of objects are in order, and there is no space between: what Pipenv takes the hash of.
    let hash = Sha256::digest(hashed(hash_of).to_string());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let lock = json!({
        "_meta": {
            "hash": { "sha256": hash },
            "pipfile-spec": 6,
            "requires": { "python_version": "3.11" },
            "sources": sources,
        },
        "default": { "iniconfig": {
            "hashes": [format!("sha256:{source}"), format!("sha256:{wheel}")],
            "index": "index",
            "version": format!("==2.{minor}.0"),
        } },
        "develop": {},
    });
    let pipfile = format!(
        "[[source]]\nname = \"index\"\nurl = \"{index}\"\nverify_ssl = true\n\n[packages]\niniconfig = \"==2.{minor}.0\"\n\n\
         [dev-packages]\n\n[requires]\npython_version = \"3.11\"\n"
    );
    (pipfile, lock.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipenv_app_is_installed_from_its_lock_and_has_pipenv_in_its_dynos() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        let write = |minor: usize, hash_of: usize| {
            let (pipfile, lock) = pipenv_files(minor, hash_of);
            write_tree(tree.path(), &[("Pipfile", &pipfile), ("Pipfile.lock", &lock)]);
        };
        write(0, 0);
        let app = App::new();
        let first = farm.build_folder(&app, tree.path()).await;
        first
            .says("-----> Using Python 3.11 specified in Pipfile.lock\n")
            .says("-----> Installing Pipenv 2026.7.1\n")
            .says("-----> Installing dependencies using 'pipenv install --deploy'\n")
            .outcome();
        let slug = farm.unpack(&first);
        assert_eq!(
            files_with(slug.path(), "/tmp/build_"),
            "",
            "no file of the slug names the build's folder"
        );
        let root = slug.path().join("app");
        let packages = root.join(".heroku/python/lib/python3.11/site-packages");
        assert!(packages.join("iniconfig-2.0.0.dist-info").is_dir());
        assert!(!packages.join("pipenv").exists(), "Pipenv is apart");
        let script = std::fs::read_to_string(root.join(".profile.d/python.sh")).unwrap();
        let dyno = format!("{script}\npipenv run python -c 'import iniconfig; print(iniconfig.__file__)'");
        let said = Command::new("/bin/bash")
            .args(["-c", &dyno])
            .current_dir(&root)
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("HOME", root.to_str().unwrap())])
            .output()
            .unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(
            said.contains("/app/.heroku/python/lib/python3.11/site-packages/iniconfig/__init__.py"),
            "{said}"
        );

        let second = farm.build_folder(&app, tree.path()).await;
        second
            .says("-----> No change in Pipfile.lock detected, using the installed packages\n")
            .never_says("Installing");
        assert_eq!(content(&farm, &second), content(&farm, &first), "the same input is the same slug");

        write(1, 0);
        farm.build_folder(&app, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says("Your Pipfile.lock")
            .says(" !     Error: Unable to install dependencies using Pipenv.\n");
        write(1, 1);
        let changed = farm.build_folder(&app, tree.path()).await;
        changed.says("       - The contents of Pipfile.lock changed\n").outcome();
        assert!(farm.slug_files(&changed).iter().any(|name| name.contains("/iniconfig-2.1.0.dist-info/")));
        let fresh = farm.build_folder(&App::new(), tree.path()).await;
        assert_eq!(content(&farm, &fresh), content(&farm, &changed), "without a cache as well");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_heroku_refuses_of_a_python_app_is_refused_in_its_words() {
    with_farm(|farm| async move {
        let requirements = ("requirements.txt", "");
        let project = ("pyproject.toml", "[project]\nname = \"x\"\nversion = \"1\"\n");
        let none = "Couldn't find any supported Python package manager files.\n";
        let old = "The requested Python version has reached end-of-life.\n";
        for (files, said) in [
            (vec![project], none),
            (vec![("Pipfile", "")], "No 'Pipfile.lock' found!\n"),
            (vec![requirements, project, ("poetry.lock", "")], "Multiple Python package manager files were found.\n"),
            (vec![requirements, (".python-version", "3.9\n")], old),
            (vec![requirements, ("runtime.txt", "python-2.7.18\n")], old),
            (vec![("Pipfile", ""), ("Pipfile.lock", r#"{"_meta":{"requires":{"python_version":"3.7"}}}"#)], old),
            (vec![requirements, (".python-version", "3.99\n")], "The requested Python version isn't recognised.\n"),
            (vec![requirements, (".venv/pyvenv.cfg", "")], "Existing '.venv/' directory found.\n"),
            (vec![requirements, (".heroku/python/x", "")], "Existing '.heroku/python/' directory found.\n"),
        ] {
            let built = farm.build(&App::new(), &files).await;
            built.failed(FailureKind::Compile).says(&format!(" !     Error: {said}"));
            built.says(" !     Push rejected, failed to compile Python app.\n");
        }
        let mut app = App::new();
        app.config_vars.insert("UV_PYTHON_INSTALL_MIRROR".into(), "file:///no/such/mirror".into());
        farm.build(&app, &[requirements, (".python-version", "3.10")])
            .await
            .failed(FailureKind::Compile)
            .says("/no/such/mirror/")
            .says(" !     Python 3.10 is not available on this stack and could not be downloaded.\n !     Available versions: 3.");
        farm.build(&App::new(), &[requirements, ("runtime.txt", "python-3.11\n"), ("nltk.txt", "punkt")])
            .await
            .says(" !     Warning: The runtime.txt file is deprecated.\n")
            .never_says("nltk")
            .outcome();
    })
    .await;
}
