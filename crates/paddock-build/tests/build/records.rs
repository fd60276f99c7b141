//! What is written down of a build: what it used, how long its parts took, what was used again.

use paddock_build::FailureKind;
use paddock_core::build_record::{BuildRecord, FactKind, ToldBy};
use sha2::{Digest, Sha256};

use crate::support::build::{App, Built, with_farm};
use crate::support::images::Steps;

const DETECT: &str = "#!/bin/sh\necho Toy\n";

fn record(built: &Built) -> &BuildRecord {
    match &built.result {
        Ok(outcome) => &outcome.record,
        Err(failure) => &failure.record,
    }
}

/// The value of a fact, and who told it.
fn fact<'a>(record: &'a BuildRecord, kind: FactKind, name: &str) -> Option<(&'a str, ToldBy)> {
    let found = record.facts.iter().find(|fact| fact.kind == kind && fact.name == name);
    found.map(|fact| (fact.value.as_str(), fact.told_by))
}

fn took(record: &BuildRecord) -> Vec<&str> {
    record.took.iter().map(|one| one.step.as_str()).collect()
}

fn reused(record: &BuildRecord, what: &str) -> Option<bool> {
    record.reuse.iter().find(|one| one.what == what).map(|one| one.reused)
}

// buildpacks.md 5.5
#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_what_was_used_and_what_the_reports_said_after_success_and_failure() {
    with_farm(|farm| async move {
        let compile = "#!/bin/sh\necho kept > $2/kept\n[ ! -e $1/fail ]\n";
        let report = "#!/bin/sh\ncat <<E\n---\nruby_version: '3.3'\nforged: \"a\u{1b}[2Jb\"\nE\n";
        let scripts = [("bin/detect*", DETECT), ("bin/compile*", compile), ("bin/report*", report)];
        let url = farm.buildpack("reported", &scripts);
        let app = App::with_buildpacks(&[&url, "heroku/procfile"]);
        let files = [("Procfile", "web: x"), ("Gemfile.lock", "GEM\n")];
        let built = farm.build(&app, &files).await;
        built.outcome();
        let first = record(&built);
        let (version, told_by) = fact(first, FactKind::Buildpack, &format!("1. {url}")).unwrap();
        assert!(version.starts_with("git ") && version.len() == 44, "{version}");
        assert_eq!(told_by, ToldBy::Build);
        let (version, _) = fact(first, FactKind::Buildpack, "2. heroku/procfile").unwrap();
        assert_eq!(version, format!("built-in {}", env!("CARGO_PKG_VERSION")));
        let digest = format!("sha256:{}", paddock_core::hex(&Sha256::digest("GEM\n")));
        let (found, _) = fact(first, FactKind::LockFile, "Gemfile.lock").unwrap();
        assert_eq!(found, digest);
        let said = |name: &str| fact(first, FactKind::Report, &format!("{url} {name}")).unwrap().0;
        assert_eq!((said("ruby_version"), said("forged")), ("3.3", "a\u{fffd}[2Jb"));
        let (layer, told_by) = fact(first, FactKind::Made, "layer of slug").unwrap();
        assert_eq!((layer, told_by), (built.outcome().layer.to_string().as_str(), ToldBy::Server));
        let steps = took(first);
        for step in ["unpack the source", "settle", "release", "run buildpacks", "pack the slug"] {
            assert!(steps.contains(&step), "{step} is not in {steps:?}");
        }
        for step in ["fetch", "detect", "compile", "report"] {
            assert!(steps.contains(&format!("{step} {url}").as_str()), "{step} is not in {steps:?}");
        }
        assert_eq!(reused(first, "build cache"), Some(false));

        let failed = farm.build(&app, &[files[0], ("fail", "")]).await;
        failed.failed(FailureKind::Compile);
        let second = record(&failed);
        assert_eq!(reused(second, "build cache"), Some(true));
        assert!(fact(second, FactKind::Report, &format!("{url} ruby_version")).is_some());
        assert_eq!(fact(second, FactKind::Made, "layer of slug"), None);
        assert_eq!(fact(second, FactKind::LockFile, "Gemfile.lock"), None);
    })
    .await;
}

/// The result is the tenant's word: who forges it is not heard on what the server knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_forges_its_result_is_heard_on_nothing_that_the_server_knows() {
    with_farm(|farm| async move {
        let forged = r#"{"process_types":{},"buildpacks":[],"languages":["\u001b[2JReleased v99"],"addons":[],"config_vars":{},"new_cache":false,"commits":{},"texts":{},"contexts":{},"notes":{"facts":[["source","commit","1"],["made","layer of slug","sha256:0"],["stack","host","x"],["nonsense","a","b"],["tool","node","9\nReleased v99"]],"took":[["run buildpacks",0]],"reuse":[["build cache",true,"it says"]]}}"#;
        // It ends the runner, whose own result then never comes.
        let compile = format!("#!/bin/sh\ncat > /build/result/result.json <<'E'\n{forged}\nE\nkill -9 $PPID\n");
        let url = farm.buildpack("forger", &[("bin/detect*", DETECT), ("bin/compile*", &compile)]);
        let built = farm.build(&App::with_buildpacks(&[&url]), &[("Procfile", "web: x")]).await;
        assert!(built.result.is_err(), "{}", built.log);
        let record = record(&built);
        let told: Vec<_> = record.facts.iter().filter(|fact| fact.told_by == ToldBy::Build).collect();
        let told: Vec<_> = told.iter().map(|fact| (fact.name.as_str(), fact.value.as_str())).collect();
        assert_eq!(told, [("node", "9\u{fffd}Released v99")]);
        assert_eq!(record.left_out, 4);
        let cache: Vec<_> = record.reuse.iter().map(|one| (one.reused, one.told_by)).collect();
        assert_eq!(cache, [(false, ToldBy::Server), (true, ToldBy::Build)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_an_image_says_which_steps_were_found_and_which_were_done() {
    with_farm(|farm| async move {
        let files = |note: &'static str| {
            [
                ("Dockerfile", "FROM busybox\nRUN echo a > /a\nCOPY note /note\nRUN cat /note\n"),
                ("note", note),
            ]
        };
        let (app, steps) = (App::new(), Steps::default());
        let of = |built: &crate::support::images::BuiltImages| built.outcome().record.clone();
        let first = of(&farm.build_images(&app, &steps, &files("x")).await);
        let again = of(&farm.build_images(&app, &steps, &files("x")).await);
        let third = of(&farm.build_images(&app, &steps, &files("y")).await);
        let reuse =
            |record: &BuildRecord| [2, 3, 4].map(|line| reused(record, &format!("Dockerfile line {line}")));
        assert_eq!(reuse(&first), [Some(false); 3]);
        assert_eq!(reuse(&again), [Some(true); 3]);
        assert_eq!(reuse(&third), [Some(true), Some(false), Some(false)], "from the file that changed on");
        let base = |record: &BuildRecord| fact(record, FactKind::Base, "busybox").unwrap().0.to_owned();
        assert!(base(&first).starts_with("sha256:") && base(&first) == base(&third), "{}", base(&first));
        let image = |record: &BuildRecord| fact(record, FactKind::Made, "image web").unwrap().0.to_owned();
        assert_eq!(image(&first), image(&again));
        assert_ne!(image(&first), image(&third));
        assert!(took(&third).contains(&"Dockerfile line 3") && !took(&again).contains(&"Dockerfile line 3"));
    })
    .await;
}
