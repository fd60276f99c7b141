//! The built-in Go and Rust buildpacks, with compilers from the registries that this machine reaches or its own.
#![expect(clippy::unwrap_used, reason = "a step that fails fails its test")]

use std::path::Path;
use std::process::Command;

use crate::support::build::{App, Built, Entry, with_farm, write_tree};
use paddock_build::FailureKind;

/// Whatever of a slug does not tell when it was built.
fn undated(entries: Vec<Entry>) -> Vec<(String, String)> {
    entries.into_iter().map(|entry| (entry.path, entry.content)).collect()
}

fn says(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env_clear().output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn web(built: &Built) -> Option<&str> {
    let types = &built.outcome().process_types;
    types.iter().find(|(name, _)| name.to_string() == "web").map(|(_, line)| line.as_str())
}

const GO_MAIN: &str = "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/greet\"\n)\n\nvar version = \"none\"\n\n\
    func main() { fmt.Println(greet.Hello(), version) }\n";
const GREET: &str = "package greet\n\nfunc Hello() string { return \"hello from a vendored module\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_go_module_is_installed_with_a_go_of_its_own_and_again_with_what_was_kept() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        let module = "module example.com/shop\n\ngo 1.25\n\nrequire example.com/greet v1.0.0\n";
        write_tree(
            tree.path(),
            &[
                ("go.mod", module),
                ("main.go", GO_MAIN),
                ("vendor/modules.txt", "# example.com/greet v1.0.0\n## explicit\nexample.com/greet\n"),
                ("vendor/example.com/greet/greet.go", GREET),
                ("bin/go-pre-compile", "#!/bin/sh\necho before with $(go env GOVERSION)\n"),
                ("bin/go-post-compile*", "#!/bin/sh\necho after\n"),
            ],
        );
        let mut app = App::new();
        app.config_vars.insert("GO_LINKER_SYMBOL".into(), "main.version".into());
        let first = farm.build_folder(&app, tree.path()).await;
        first
            .says("-----> Go app detected\n-----> Detected go modules via go.mod\n-----> Detected Module Name: example.com/shop\n")
            .says("-----> Installing go1.25\n       Installed go1.25.")
            .says("-----> Detected the following main packages to install:\n       example.com/shop\n")
            .says("-----> Running bin/go-pre-compile hook\n       before with go1.25.")
            .says("-----> Running: go install -v -trimpath -tags heroku -ldflags -X main.version=abc -mod=vendor example.com/shop\n")
            .says("-----> Running bin/go-post-compile hook\n       after\n")
            .says("-----> Installed the following binaries:\n       ./bin/shop\n")
            .says("-----> Created a Procfile with the following entries:\n       web: bin/shop\n");
        assert_eq!(web(&first), Some("bin/shop"));
        let slug = farm.unpack(&first);
        assert_eq!(says(&slug.path().join("app/bin/shop"), &[]), "hello from a vendored module abc\n");
        let files = farm.slug_files(&first);
        assert!(files.iter().any(|name| name == "app/.profile.d/go.sh"), "{files:?}");
        assert!(!files.iter().any(|name| name.contains("toolchain") || name.contains("go-build")), "{files:?}");

        let second = farm.build_folder(&app, tree.path()).await;
        second.says("-----> Using go1.25.").never_says("-----> Caching").never_says("       internal/runtime/sys\n");
        let content = |built: &Built| undated(farm.slug_entries(built));
        assert_eq!(content(&second), content(&first), "the same input is the same slug");

        // Several main packages are what they are called; one that a comment names is installed alone.
        let several = module.replace("go 1.25", "// +heroku install ./cmd/worker\ngo 1.25");
        write_tree(tree.path(), &[("go.mod", &several), ("cmd/worker/main.go", "package main\n\nfunc main() {}\n")]);
        let third = farm.build_folder(&app, tree.path()).await;
        third.says("-----> Installed the following binaries:\n       ./bin/worker\n");
        let types: Vec<_> = third.outcome().process_types.keys().map(ToString::to_string).collect();
        assert_eq!(types, ["shop", "worker"]);
        write_tree(tree.path(), &[("main.go", "package main\n\nfunc main() { nothing }\n"), ("go.mod", module)]);
        farm.build_folder(&app, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says("undefined: nothing\n")
            .says(" !     Push rejected, failed to compile Go app.\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_go_that_is_not_to_be_had_is_named_with_the_nearest() {
    with_farm(|farm| async move {
        let main = ("main.go", "package main\n\nfunc main() {}\n");
        let firm = ("go.mod", "module x\n\n// +heroku goVersion go1.99\ngo 1.25\n");
        farm.build(&App::new(), &[firm, main])
            .await
            .failed(FailureKind::Compile)
            .says(" !     go1.99 cannot be had. The nearest that can is go1.")
            .says("ask for that in the comment // +heroku goVersion of go.mod");
        farm.build(&App::new(), &[("vendor/vendor.json", "{}")])
            .await
            .failed(FailureKind::Compile)
            .says(" !     Error: Your app appears to use 'govendor' for dependency management,\n !     but support for govendor has been removed.\n");
    })
    .await;
}

const RUST_MAIN: &str =
    "fn main() {\n    println!(\"{} {}\", itoa::Buffer::new().format(42), env!(\"CARGO_PKG_NAME\"));\n}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_package_is_built_from_its_lock_and_its_dependencies_only_once() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        let package = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\nitoa = \"=1.0.11\"\n";
        write_tree(tree.path(), &[("Cargo.toml", package), ("src/main.rs", RUST_MAIN)]);
        let lock = Command::new("cargo").args(["generate-lockfile", "--quiet"]).current_dir(tree.path()).status();
        assert!(lock.unwrap().success());
        let app = App::new();
        let first = farm.build_folder(&app, tree.path()).await;
        first
            .says("-----> Rust app detected\n-----> Downloading rustup\n !     rustup and Rust stable could not be fetched: the stack's Rust 1.")
            .says("-----> Building application using Cargo\n")
            .says("Compiling itoa v1.0.11\n")
            .says("       target/release/shop\n-----> Caching built dependencies\n");
        assert_eq!(web(&first), Some("./target/release/shop"));
        let slug = farm.unpack(&first);
        assert_eq!(says(&slug.path().join("app/target/release/shop"), &[]), "42 shop\n");
        let files = farm.slug_files(&first);
        let built: Vec<_> = files.iter().filter(|name| name.starts_with("app/target/")).collect();
        assert_eq!(built, ["app/target/release/shop"]);
        assert!(!files.iter().any(|name| name.contains(".rust/")), "{files:?}");

        // Dates of files say nothing: the source is the older one, and what is built is what was pushed.
        write_tree(tree.path(), &[("src/main.rs", &RUST_MAIN.replace("42", "43"))]);
        let second = farm.build_folder(&app, tree.path()).await;
        second
            .says(", as in the last build\n")
            .says("Compiling shop v0.1.0")
            .never_says("Downloading")
            .never_says("Compiling itoa")
            .never_says("Caching");
        let slug = farm.unpack(&second);
        assert_eq!(says(&slug.path().join("app/target/release/shop"), &[]), "43 shop\n");

        // As emk's does, it builds what does not fit; and says so.
        write_tree(tree.path(), &[("Cargo.toml", &package.replace("1.0.11", "1.0.10"))]);
        farm.build_folder(&app, tree.path())
            .await
            .says(" !     Cargo.lock does not fit Cargo.toml: building with what cargo makes of both")
            .says("Compiling itoa v1.0.10")
            .outcome();
        write_tree(tree.path(), &[("Cargo.toml", package), ("src/main.rs", "fn main() { nothing }\n")]);
        farm.build_folder(&app, tree.path())
            .await
            .failed(FailureKind::Compile)
            .says("cannot find value `nothing`")
            .never_says("does not fit")
            .says(" !     Push rejected, failed to compile Rust app.\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_app_says_how_it_is_built() {
    with_farm(|farm| async move {
        let member =
            |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        let files = [
            (
                "RustConfig",
                "BUILD_PATH=\"backend\"\nRUST_CARGO_BUILD_FLAGS=\"--release -p one\"\nif [ x ]; then\n",
            ),
            ("backend/Cargo.toml", "[workspace]\nmembers = [\"one\", \"two\"]\nresolver = \"2\"\n"),
            ("backend/one/Cargo.toml", &member("one")),
            ("backend/one/src/main.rs", "fn main() {}\n"),
            ("backend/two/Cargo.toml", &member("two")),
            ("backend/two/src/main.rs", "fn main() {}\n"),
        ];
        let built = farm.build(&App::new(), &files).await;
        built
            .says(" !     RustConfig line 3 is not of the form NAME=value and was skipped\n")
            .says(" !     No Cargo.lock found: every build may take other versions.\n");
        assert_eq!(web(&built), Some("./backend/target/release/one"));
        let both = [files[1], files[2], files[3], files[4], files[5], ("RustConfig", "BUILD_PATH=backend\n")];
        assert_eq!(web(&farm.build(&App::new(), &both).await), None, "of two binaries the Procfile chooses");
        for (file, text, said) in [
            (
                "rust-toolchain",
                "1.2000.0\n",
                " !     rust-toolchain asks for Rust 1.2000.0, which could not be fetched; the stack has 1.",
            ),
            (
                "RustConfig",
                "RUST_INSTALL_DIESEL=1\n",
                " !     RUST_INSTALL_DIESEL in RustConfig is not supported here",
            ),
            (
                "rust-toolchain.toml",
                "[toolchain]\nchannel = \"--x\"\n",
                " !     The version of Rust in rust-toolchain.toml cannot be read",
            ),
        ] {
            let built = farm.build(&App::new(), &[("Cargo.toml", &member("shop")), (file, text)]).await;
            built.failed(FailureKind::Compile).says(said);
        }
    })
    .await;
}
