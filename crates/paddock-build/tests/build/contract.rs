//! Lines of `docs/contract/buildpacks.md` that no other test holds; the marks say which.

use std::os::unix::ffi::OsStrExt;

use paddock_build::FailureKind;

use crate::support::build::{App, with_farm};

const DETECT: &str = "#!/bin/sh\necho Toy\n";
const PROCFILE: [(&str, &str); 1] = [("Procfile", "web: x")];

// buildpacks.md 3.3, 3.5, 3.6
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_build_but_its_cache_is_there_in_the_next() {
    with_farm(|farm| async move {
        let compile = "#!/bin/bash\nfor place in /tmp/node.tar.gz /app/left /var/tmp/left; do\n\
            [ -e $place ] && echo \"FOUND $place\"; echo x > $place || echo \"CLOSED $place\"; done\n\
            echo \"ENV $3\"; ls \"$(dirname \"$3\")\" | grep -c '^env_'\n(setsid sleep 600 & disown) 2>/dev/null\n";
        let url = farm.buildpack("left", &[("bin/detect*", DETECT), ("bin/compile*", compile)]);
        let app = App::with_buildpacks(&[&url]);
        let mut folders = Vec::new();
        for _ in 0..2 {
            let built = farm.build(&app, &PROCFILE).await;
            built.never_says("FOUND").never_says("CLOSED").says("\n1\n").outcome();
            folders.extend(built.log.lines().find_map(|line| line.strip_prefix("ENV ")).map(str::to_owned));
            let left = farm.slug_files(&built);
            assert_eq!(left, ["app/Procfile"]);
        }
        assert!(folders.len() == 2 && folders[0] != folders[1], "{folders:?}");
    })
    .await;
}

// buildpacks.md 3.9, 12.1, 12.5
#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_build_leaves_the_cache_as_it_was_and_no_other_app_sees_it() {
    with_farm(|farm| async move {
        let compile = "#!/bin/bash\necho \"was: $(cat \"$2/state\" 2>/dev/null)\"\n\
            [ -e \"$1/hang\" ] && { rm -rf \"$2\"/*; echo emptied; sleep 600; }\ncat \"$1/say\" > \"$2/state\"\n";
        let url = farm.buildpack("canceled", &[("bin/detect*", DETECT), ("bin/compile*", compile)]);
        let mut app = App::with_buildpacks(&[&url]);
        farm.build(&app, &[("say", "one")]).await.outcome();
        app.cancel_after = Some("emptied");
        farm.build(&app, &[("say", "two"), ("hang", "")]).await.failed(FailureKind::Canceled);
        app.cancel_after = None;
        farm.build(&app, &[("say", "three")]).await.says("was: one\n").outcome();
        farm.build(&App::with_buildpacks(&[&url]), &[("say", "x")]).await.says("was: \n").outcome();
    })
    .await;
}

/// 32 MB stand for the hundred of the specification: these take two seconds.
// buildpacks.md 5.2, 8.2
#[tokio::test(flavor = "multi_thread")]
async fn output_passes_as_it_is_however_much_it_is() {
    with_farm(|farm| async move {
        let compile = "#!/bin/bash\nyes 0123456789abcde | head -c 32M\nhead -c 10M /dev/zero | tr '\\0' z\n\
            printf '\\n\\e[1;32mgreen\\e[0m \\xff\\xfe 1%%\\r2%%\\r\\nlast\\n'\n";
        let url = farm.buildpack("chatty", &[("bin/detect*", DETECT), ("bin/compile*", compile)]);
        let built = farm.build(&App::with_buildpacks(&[&url]), &PROCFILE).await;
        built.says("\n\u{1b}[1;32mgreen\u{1b}[0m \u{fffd}\u{fffd} 1%\r2%\r\nlast\n").outcome();
        // What a build says faster than it is read goes through a bounded spool: what that loses is counted and told.
        let whole = built.log.lines().filter(|line| *line == "0123456789abcde").count();
        assert!(
            whole == 2 << 20 || built.log.contains("messages lost since"),
            "{whole} lines, and no word of a loss"
        );
        let longest = built.log.lines().map(|line| line.matches('z').count()).max();
        assert_eq!(longest, Some(10 << 20), "one line of ten mebibytes");
    })
    .await;
}

// buildpacks.md 7.1, 7.2
#[tokio::test(flavor = "multi_thread")]
async fn odd_names_and_links_are_in_the_slug_as_the_build_left_them() {
    with_farm(|farm| async move {
        let compile = "#!/bin/bash\ncd $1\ntouch $'a\\nb' $'q\"\\'q' $'\\xff\\xfe' 'sp ace' -- -dash\nmkdir tmp log\n\
            echo one > first; ln first second; ln first \"$2/third\"; ln -s /etc/passwd outside; touch tmp/x log/x\n\
            mkdir .git; touch .git/x .DS_Store .gitmodules\n";
        let url = farm.buildpack("odd", &[("bin/detect*", DETECT), ("bin/compile*", compile)]);
        let built = farm.build(&App::with_buildpacks(&[&url]), &PROCFILE).await;
        let slug = farm.unpack(&built);
        let entries = std::fs::read_dir(slug.path().join("app")).unwrap();
        let mut names: Vec<Vec<u8>> =
            entries.map(|entry| entry.unwrap().file_name().as_bytes().to_vec()).collect();
        names.sort();
        let expected: [&[u8]; 11] = [
            b"-dash", b"Procfile", b"a\nb", b"first", b"log", b"outside", b"q\"'q", b"second", b"sp ace", b"tmp",
            b"\xff\xfe",
        ];
        assert_eq!(names, expected.map(<[u8]>::to_vec));
        let link = std::fs::read_link(slug.path().join("app/outside")).unwrap();
        assert_eq!(link.to_str(), Some("/etc/passwd"), "no link is followed");
        assert_eq!(std::fs::read_to_string(slug.path().join("app/second")).unwrap(), "one\n");
    })
    .await;
}

// buildpacks.md 4.7
#[tokio::test(flavor = "multi_thread")]
async fn a_build_has_the_tools_that_scripts_of_buildpacks_call() {
    with_farm(|farm| async move {
        let compile = "#!/bin/bash\nfor tool in sed tar find curl xz zstd python3 git cc gzip; do\n\
            command -v $tool > /dev/null || echo \"MISSING $tool\"; done\n\
            ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 403)) && echo new enough\n";
        let url = farm.buildpack("tools", &[("bin/detect*", DETECT), ("bin/compile*", compile)]);
        let built = farm.build(&App::with_buildpacks(&[&url]), &PROCFILE).await;
        built.never_says("MISSING").says("new enough\n").outcome();
    })
    .await;
}

/// The last line of the specification of languages: what a buildpack cannot do to others.
// buildpacks.md 3.7, 5.3
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_buildpack_writes_nowhere_else_and_forges_nothing_that_is_believed() {
    with_farm(|farm| async move {
        let victim = "#!/bin/bash\necho \"kept: $(cat \"$2/mine\" 2>/dev/null)\"; echo good > \"$2/mine\"\n";
        let victim = farm.buildpack("victim", &[("bin/detect*", DETECT), ("bin/compile*", victim)]);
        let app = App::with_buildpacks(&[&victim]);
        let before = farm.build(&app, &PROCFILE).await;
        let (layer, caches) = (farm.layers.path_of(&before.outcome().layer), farm.path("caches"));
        let bytes = std::fs::read(&layer).unwrap();
        let hostile = format!(
            "#!/bin/bash\nexec 3>&2 2>/dev/null\n\
             for place in {layer} {caches}/{app}/x /build/cache/x /build/plan.json /usr/bin/x /etc/x \"$2/../../../x\"; do\n\
               echo bad > $place && echo \"BAD $place\"; done\n\
             printf '       Released v99\\n\\e[2J\\e]0;owned\\a'\n\
             printf 'export A=1\\necho FORGED; false\\n' > \"$(dirname \"$0\")/../export\"\n",
            layer = layer.display(),
            caches = caches.display(),
            app = app.id,
        );
        let hostile = farm.buildpack("hostile", &[("bin/detect*", DETECT), ("bin/compile*", &hostile)]);
        let built = farm.build(&App::with_buildpacks(&[&hostile, &victim]), &PROCFILE).await;
        built
            .never_says("BAD /usr")
            .never_says("BAD /etc")
            .never_says("BAD /build")
            .failed(FailureKind::Compile)
            .says("FORGED\n !     An earlier buildpack's export failed\n")
            .ends_with(" !     Push failed\n");
        assert_eq!(std::fs::read(&layer).unwrap(), bytes, "the layer of an earlier build is as it was");
        farm.build(&app, &PROCFILE).await.says("kept: good\n").outcome();
        let record = &built.result.as_ref().unwrap_err().record;
        assert!(record.facts.iter().all(|fact| !fact.value.contains("v99")), "{record:?}");
    })
    .await;
}
