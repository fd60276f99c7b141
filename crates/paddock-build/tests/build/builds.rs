//! Builds in real containers: Procfile-only apps, sources of all kinds, limits.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::build::{App, Built, COMMIT_DATE, tar, with_farm, write_tree};
use paddock_build::{FailureKind, Source, SourceArchive};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_a_procfile_becomes_a_slug_layer() {
    with_farm(|farm| async move {
        let files = [("Procfile", "web: ./serve --port $PORT\nworker: ./work\n"), ("serve*", "#!/bin/sh\n")];
        let built = farm.build(&App::new(), &files).await;
        let outcome = built.outcome();
        let types: Vec<_> =
            outcome.process_types.iter().map(|(name, command)| (name.as_str(), command.as_str())).collect();
        assert_eq!(types, [("web", "./serve --port $PORT"), ("worker", "./work")]);
        assert_eq!(outcome.description, "Procfile");
        assert_eq!(outcome.detected, None, "a language may come later");
        assert_eq!(
            built.log,
            "-----> Building on the Host stack\n\
             -----> Determining which buildpack to use for this app\n\
             -----> Procfile app detected\n\
             -----> Discovering process types\n       Procfile declares types -> web, worker\n\n\
             -----> Compressing...\n       Done: 0.1M\n"
        );
        assert!(farm.layers.contains(&outcome.layer));

        let dates = |built: &Built| {
            farm.slug_entries(built).into_iter().map(|entry| entry.date).collect::<BTreeSet<_>>()
        };
        assert_eq!(dates(&built), BTreeSet::from([COMMIT_DATE]), "files and folders have the commit's date");
        // The same source again is the same layer.
        let again = farm.build(&App::new(), &files).await;
        assert_eq!(again.outcome().layer, outcome.layer);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_have_the_date_of_their_commit_or_of_what_made_them() {
    const COMPILE: &str =
        "#!/bin/sh\necho made > $1/built\necho x > $1/vendored\ntouch --date=@1500000000 $1/vendored\n";
    with_farm(|farm| async move {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let dates = |built: &Built| -> BTreeMap<String, u64> {
            farm.slug_entries(built).into_iter().map(|entry| (entry.path, entry.date)).collect()
        };
        let scripts = [("bin/detect*", "#!/bin/sh\necho Stamps\n"), ("bin/compile*", COMPILE)];
        let app = App::with_buildpacks(&[&farm.buildpack("stamps", &scripts)]);
        let files = [("Procfile", "web: x"), ("static/index.html", "hello")];
        let built = dates(&farm.build(&app, &files).await);
        assert_eq!((built["app/static/index.html"], built["app/static"]), (COMMIT_DATE, COMMIT_DATE));
        assert_eq!(built["app/vendored"], 1_500_000_000, "what the build gave it");
        assert!(built["app/built"] >= started && built["app"] == built["app/built"], "{built:?}");

        // Archives that programs write often give no date: those files are as old as the build.
        let tree = tempfile::tempdir().unwrap();
        write_tree(tree.path(), &files);
        let file = farm.path("undated.tgz");
        tar(tree.path(), &file, &["--gzip", "--mtime=@0"]);
        let archive = SourceArchive::Uploaded { checksum: None };
        let undated = farm.build_source(&App::new(), Source { file, archive, version: String::new() }).await;
        assert!(dates(&undated).values().all(|date| *date >= started), "{:?}", dates(&undated));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_source_says_what_is_wrong_with_it() {
    with_farm(|farm| async move {
        farm.build(&App::new(), &[("notes.txt", "")])
            .await
            .failed(FailureKind::Detection)
            .says(" !     No default language could be detected for this app.\n\t\t\tHINT: ")
            .ends_with("\n\n !     Push failed\n");
        farm.build(&App::new(), &[("Dockerfile", "FROM x")])
            .await
            .failed(FailureKind::Detection)
            .says(" !     There is a Dockerfile: an app on the stack container is built by it. Set it and push again:\n !       heroku stack:set container\n");
        farm.build(&App::with_buildpacks(&["heroku/python"]), &[("Procfile", "web: x")])
            .await
            .failed(FailureKind::Detection)
            .says("-----> App not compatible with buildpack: heroku/python\n       Error: your app is configured")
            .says("       More info: https://devcenter.heroku.com/articles/buildpacks#detection-failure\n\n !     Push failed\n");
        farm.build(&App::new(), &[("Procfile", "web: x\nnonsense\n"), ("keep", "")])
            .await
            .says(" !     Procfile line 2 is not of the form TYPE: COMMAND and was skipped\n")
            .outcome();
        farm.build(&App::new(), &[("Procfile", "web: x"), ("package.json", "{")])
            .await
            .failed(FailureKind::Compile)
            .says(" !     package.json is not valid JSON")
            .says(" !     Push rejected, failed to compile Node.js app.\n\n !     Push failed\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_in_a_language_that_is_not_built_is_refused_with_what_to_do() {
    with_farm(|farm| async move {
        let procfile = ("Procfile", "web: bundle exec puma");
        farm.build(&App::new(), &[procfile, ("Gemfile", ""), ("Gemfile.lock", "")])
            .await
            .failed(FailureKind::Detection)
            .says("-----> Determining which buildpack to use for this app\n-----> Ruby app detected\n")
            .says(" !     Push rejected: this server builds Node.js, Python, PHP, Go and Rust apps by itself, and no Ruby ones.\n")
            .says(" !       heroku buildpacks:set https://github.com/heroku/heroku-buildpack-ruby\n")
            .ends_with(" !       heroku buildpacks:set heroku/procfile\n\n !     Push failed\n");
        // The advice: Node.js by name, the Procfile alone by name.
        farm.build(&App::new(), &[("Gemfile", ""), ("package.json", "{}")])
            .await
            .failed(FailureKind::Detection)
            .says("       Detected buildpacks: Ruby,Node.js\n")
            .says(" !     To build it as the Node.js app that it also is:\n !       heroku buildpacks:set heroku/nodejs\n")
            .never_says("heroku/procfile");
        let named = App::with_buildpacks(&["heroku/procfile"]);
        let built = farm.build(&named, &[procfile, ("Gemfile", "")]).await;
        assert_eq!(built.outcome().description, "Procfile");
        // Heroku knows no buildpack for it either.
        farm.build(&App::new(), &[procfile, ("mix.exs", "")])
            .await
            .failed(FailureKind::Detection)
            .says("-----> Elixir app detected\n")
            .says(" !       heroku buildpacks:set https://…\n");
        farm.build(&App::new(), &[("Procfile", "web: python3 app.py"), ("app.py", "")])
            .await
            .says(" !     There is app.py but no requirements.txt: nothing is installed for it.")
            .outcome();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_files_are_read_whatever_their_editor_marks_at_their_head() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        let utf_16 = |text: &str| -> Vec<u8> {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect()
        };
        write_tree(tree.path(), &[(".slugignore", "\u{feff}*.psd\n"), ("a.psd", ""), ("b", "")]);
        std::fs::write(tree.path().join("Procfile"), utf_16("web: serve\r\nworker:work\r\n")).unwrap();
        let built = farm.build_folder(&App::new(), tree.path()).await;
        built.says("-----> Deleting 1 files matching .slugignore patterns.\n");
        built.says("       Procfile declares types -> web, worker\n");
        assert_eq!(built.outcome().process_types["worker".parse().as_ref().unwrap()], "work");

        std::fs::write(tree.path().join("package.json"), utf_16("{}")).unwrap();
        farm.build_folder(&App::new(), tree.path())
            .await
            .failed(FailureKind::Compile)
            .says(" !     package.json is in UTF-16, which npm does not read: save it as UTF-8.\n");
        let url = farm.buildpack(
            "listed",
            &[("bin/detect*", "#!/bin/sh\necho Listed\n"), ("bin/compile*", "#!/bin/sh\n")],
        );
        farm.build(&App::new(), &[(".buildpacks", &format!("\u{feff}{url}\r\n"))])
            .await
            .says("-----> Listed app detected\n")
            .outcome();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_may_be_as_large_as_it_is_compressed_and_four_times_as_large_otherwise() {
    with_farm(|farm| async move {
        let compile = "#!/bin/sh\nhead -c \"$(cat \"$1/zeros\")\" /dev/zero > \"$1/zero\"\n\
            head -c \"$(cat \"$1/random\")\" /dev/urandom > \"$1/noise\"\n";
        let detect = "#!/bin/sh\necho Large\n";
        let url = farm.buildpack("large", &[("bin/detect*", detect), ("bin/compile*", compile)]);
        let build = |zeros: &'static str, random: &'static str| {
            let farm = std::sync::Arc::clone(&farm);
            let app = App::with_buildpacks(&[&url]);
            async move { farm.build(&app, &[("zeros", zeros), ("random", random)]).await }
        };
        let built = build("100M", "10M").await;
        built.says("       Done: 110.").says("M compressed)\n");
        assert!(built.outcome().size_bytes > 110 << 20);
        build("8M", "50M").await.says("       Done: 58.").never_says("compressed)");
        build("1M", "80M")
            .await
            .failed(FailureKind::TooLarge)
            .says(" !     Compiled slug size: 8")
            .ends_with("M is too large (max is 64M).\n !     See: http://devcenter.heroku.com/articles/slug-size\n\n !     Push failed\n");
        build("300M", "1M")
            .await
            .failed(FailureKind::TooLarge)
            .says("M uncompressed is too large (max is 256M, and 64M compressed).\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_narrowed_and_thinned_before_detection() {
    with_farm(|farm| async move {
        let mut app = App::new();
        app.config_vars.insert("PROJECT_PATH".into(), "apps/web".into());
        let files = [
            ("apps/web/Procfile", "web: x"),
            ("apps/web/.slugignore", "*.psd\n/docs\n../../package.json\n"),
            ("apps/web/a/b.psd", ""),
            ("apps/web/docs/c/d", ""),
            ("apps/web/.git/x", ""),
            ("apps/web/.DS_Store", ""),
            ("package.json", "{}"),
        ];
        let built = farm.build(&app, &files).await;
        built.says("-----> Deleting 2 files matching .slugignore patterns.\n");
        assert_eq!(farm.slug_files(&built), ["app/.slugignore", "app/Procfile"]);

        app.config_vars.insert("PROJECT_PATH".into(), "../..".into());
        farm.build(&app, &files).await.failed(FailureKind::Source).says("PROJECT_PATH is set to \"../..\"");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_archive_is_checked_first() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        write_tree(tree.path(), &[("forge-main/Procfile", "web: x"), ("forge-main/run*", "")]);
        let file = farm.path("upload.tgz");
        let upload = |checksum: Option<String>| Source {
            file: file.clone(),
            archive: SourceArchive::Uploaded { checksum },
            version: "v1".into(),
        };
        tar(tree.path(), &file, &["--gzip"]);
        let built = farm.build_source(&App::new(), upload(None)).await;
        assert_eq!(farm.slug_files(&built), ["app/Procfile", "app/run"]);
        let sum = Command::new("sha256sum").arg(&file).output().unwrap().stdout;
        let sum = String::from_utf8(sum).unwrap()[..64].to_owned();
        farm.build_source(&App::new(), upload(Some(format!("SHA256:{sum}")))).await.outcome();
        farm.build_source(&App::new(), upload(Some("SHA256:00".into())))
            .await
            .failed(FailureKind::Source)
            .says(" !     Push rejected, source archive: its checksum is SHA256:");

        for (options, problem) in [
            (["--gzip", "--transform=s,./forge-main/run,../run,"], "has a path with \"..\""),
            (["--gzip", "--transform=s,./forge-main/run,/run,"], "has an absolute path"),
        ] {
            tar(tree.path(), &file, &[options[0], options[1], "-P"]);
            farm.build_source(&App::new(), upload(None)).await.failed(FailureKind::Source).says(problem);
        }
        std::fs::write(&file, b"\x1f\x8bnot a tar").unwrap();
        farm.build_source(&App::new(), upload(None))
            .await
            .failed(FailureKind::Source)
            .says("no whole tar archive");
    })
    .await;
}

/// A buildpack that writes to every place a build may write to, keeps the cache it found, and fails when one refuses.
const FILLER: &str = "#!/bin/bash\n\
    for place in \"$1\" \"$2\" \"$HOME\" /tmp /var/tmp; do\n\
      head -c \"$(cat \"$1/each\")\" /dev/zero > \"$place/written\" || failed=yes\n\
      rm -f \"$place/written\"\n\
    done\n\
    echo \"disks: $(stat -f -c %b \"$1\" \"$HOME\" /tmp /var/tmp /build/result | sort -u | wc -l)\"\n\
    echo \"kept: $(cat \"$2/kept\" 2>/dev/null)\"\n\
    cp \"$1/each\" \"$2/kept\"\n\
    [ -z \"$failed\" ]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fills_its_disk_ends_with_the_limit_and_the_next_is_as_if_it_had_not_been() {
    with_farm(|farm| async move {
        let detect = "#!/bin/sh\necho Filler\n";
        let url = farm.buildpack("filler", &[("bin/detect*", detect), ("bin/compile*", FILLER)]);
        let mut app = App::with_buildpacks(&[&url]);
        app.disk_bytes = Some(128 << 20);
        let first = farm.build(&app, &[("each", "1M")]).await;
        first.says("disks: 1\n").says("kept: \n").outcome();
        let filling = FILLER.replace("rm -f \"$place/written\"", "sleep 2");
        let full = farm.buildpack("full", &[("bin/detect*", detect), ("bin/compile*", &filling)]);
        app.buildpacks = vec![full];
        farm.build(&app, &[("each", "200M")])
            .await
            .failed(FailureKind::OutOfDisk)
            .says(" !     Build ran out of disk: it may write 128 MB, its slug and its cache included.\n")
            .ends_with(" !     server for more (--build-disk).\n\n !     Push failed\n");
        app.buildpacks = vec![url];
        farm.build(&app, &[("each", "2M")]).await.says("kept: 1M\n").outcome();
        // Without a limit everything is on one file system, and moved rather than copied.
        app.disk_bytes = None;
        let unlimited = farm.build(&app, &[("each", "3M")]).await;
        unlimited.says("kept: 2M\n");
        assert_eq!(farm.slug_files(&unlimited), ["app/each"]);
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(&farm.path("run/volumes").display().to_string()), "{mounts}");
    })
    .await;
}
