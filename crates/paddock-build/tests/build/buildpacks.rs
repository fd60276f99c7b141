//! Buildpacks by URL, as `docs/contract/buildpacks.md` has them; each test names its section.

use std::process::Command;
use std::time::Duration;

use crate::support::build::{App, tar, with_farm, write_tree};
use paddock_build::git::Submodule;
use paddock_build::{FailureKind, Source, SourceArchive};

const DETECT: &str = "#!/bin/sh\necho Toy\n";

/// Heroku's newest stack whose programs run with this machine's C library.
#[expect(clippy::unwrap_used, reason = "a step that fails fails its test")]
fn stack_of_buildpacks() -> &'static str {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let minor: u32 = said.trim().strip_prefix("glibc 2.").unwrap().parse().unwrap();
    match minor {
        43.. => "heroku-26",
        39.. => "heroku-24",
        _ => "heroku-22",
    }
}

/// Section 4 and 3: exactly this environment, these folders, this user.
// buildpacks.md 3.1, 3.2, 3.3, 3.4, 3.5, 3.7, 4.1, 4.2, 4.4, 5.2
#[tokio::test(flavor = "multi_thread")]
async fn a_buildpack_sees_the_documented_environment() {
    with_farm(|farm| async move {
        let compile = "#!/bin/bash\nenv | sort | sed 's/^/E /'\nid -u | sed 's/^/U /'\npwd | sed 's/^/P /'\n\
            [ \"$(stat -c %m \"$1\")\" = \"$(stat -c %m \"$2\")\" ] && echo same mount\n\
            stat -c 'M %a' \"$3\" \"$3\"/*\necho \"B $1\"\nsha256sum < \"$3/ODD\"\ntouch /app/x && echo writable\n\
            read -r line || echo no input\ntest -t 1 || echo no terminal\n";
        let url = farm.buildpack("env", &[("bin/detect*", DETECT), ("bin/compile*", compile)]);
        let mut app = App::with_buildpacks(&[&url]);
        let odd = format!("a\n'\"\u{80}{}", "x".repeat(60_000));
        app.config_vars.insert("ODD".into(), odd.clone());
        let built = farm.build(&app, &[("Procfile", "web: x")]).await;
        built.outcome();
        let lines = |prefix: &str| -> Vec<String> {
            built.log.lines().filter_map(|line| line.strip_prefix(prefix)).map(Into::into).collect()
        };
        let site = ["CA", "CERT", "proxy", "INDEX", "REGISTRY", "RUSTUP"];
        let env: Vec<_> = lines("E ")
            .into_iter()
            .filter(|line| !site.iter().any(|part| line.split('=').next().unwrap().contains(part)))
            .collect();
        let build_dir = lines("B ").remove(0);
        assert!(build_dir.starts_with("/tmp/build_"), "{build_dir}");
        assert_eq!(
            env,
            [
                "BUILDPACK_LOG_FILE=/dev/null".to_owned(),
                "DYNO=build.1".to_owned(),
                "HOME=/app".to_owned(),
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
                format!("PWD={build_dir}"),
                "REQUEST_ID=00000000-0000-4000-8000-000000000000".to_owned(),
                "SHLVL=1".to_owned(),
                "SOURCE_VERSION=abc".to_owned(),
                format!("STACK={}", stack_of_buildpacks()),
                "_=/usr/bin/env".to_owned(),
            ]
        );
        assert_eq!((lines("U "), lines("P ")), (vec!["1000".into()], vec![build_dir]));
        assert_eq!(lines("M "), ["700", "600"]);
        let mut sum = Command::new("sha256sum").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut sum.stdin.take().unwrap(), odd.as_bytes()).unwrap();
        let sum = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
        built.says(&sum).says("same mount").says("writable").says("no input").says("no terminal");
    })
    .await;
}

/// Section 5.3, 5.4 and 6: exports accumulate, the last buildpack's defaults survive, the Procfile wins.
// buildpacks.md 5.3, 5.4, 5.6, 6.2, 6.4
#[tokio::test(flavor = "multi_thread")]
async fn several_buildpacks_build_on_one_another() {
    with_farm(|farm| async move {
        let toy = |name: &str, compile: &str, release: &str| {
            farm.buildpack(name, &[
                ("bin/detect*", &format!("#!/bin/sh\necho {name}\n")),
                ("bin/compile*", &format!("#!/bin/bash\n{compile}\n")),
                ("bin/release*", &format!("#!/bin/bash\necho '{release}'\n")),
            ])
        };
        let export = |letter: &str| format!("echo 'export FOO=${{FOO:-}}{letter}' > \"$(dirname \"$0\")/../export\"");
        let a = toy("Ah", &export("a"), "default_process_types:\n  gone: x");
        let b = toy("Be", &export("b"), "--- {}");
        let profile = "echo FOO is $FOO; mkdir -p $1/.profile.d; echo 'export X=1' > $1/.profile.d/x.sh";
        let release = "---\ndefault_process_types:\n  web: not this\n  console: bin/console\n  rake: \"rake a\"\naddons:\n  - heroku-postgresql\nconfig_vars:\n  LANG: C";
        let c = toy("Ce", profile, release);
        let app = App::with_buildpacks(&[&a, &b, &c]);
        let built = farm.build(&app, &[("Procfile", "web: ours\nrelease ./migrate\n")]).await;
        let outcome = built.outcome();
        built
            .says(&format!("-----> Using buildpacks:\n       1. {a}\n       2. {b}\n       3. {c}\n-----> Ah app detected\n"))
            .says("-----> Ce app detected\nFOO is ab\n")
            .says("-----> Discovering process types\n       Procfile declares types     -> release, web\n       Default types for buildpack -> console, rake\n");
        let types: Vec<_> = outcome.process_types.iter().map(|(name, command)| format!("{name}={command}")).collect();
        assert_eq!(types, ["console=bin/console", "rake=rake a", "release=./migrate", "web=ours"]);
        assert_eq!(outcome.addons, ["heroku-postgresql"]);
        assert_eq!(outcome.config_vars["LANG"], "C");
        assert_eq!(outcome.description, "Ah, Be, Ce");
        assert_eq!(farm.slug_files(&built), ["app/.profile.d/x.sh", "app/Procfile"]);

        let failing = toy("Ex", "echo false > \"$(dirname \"$0\")/../export\"", "");
        farm.build(&App::with_buildpacks(&[&failing, &c]), &[("Procfile", "web: x")])
            .await
            .failed(FailureKind::Compile)
            .says(" !     An earlier buildpack's export failed\n")
            .says("failed to compile Ce app.");
    })
    .await;
}

/// The last buildpack that says anything of the release counts, an empty word included.
#[tokio::test(flavor = "multi_thread")]
async fn a_buildpack_without_a_release_hides_nobodys() {
    with_farm(|farm| async move {
        let toy = |name: &str, release: Option<&str>| {
            let detect = format!("#!/bin/sh\necho {name}\n");
            let compile = "#!/bin/sh\nexit 0\n";
            let mut files = vec![("bin/detect*", detect.as_str()), ("bin/compile*", compile)];
            let release = release.map(|release| format!("#!/bin/sh\ncat <<'END'\n{release}\nEND\n"));
            files.extend(release.as_deref().map(|release| ("bin/release*", release)));
            farm.buildpack(name, &files)
        };
        let first = toy("First", Some("default_process_types:\n  web: serve\naddons:\n  - some:plan"));
        let agent = toy("Agent", None);
        let empty = toy("Empty", Some("--- {}"));
        let app = App::with_buildpacks(&[&first, &agent, "heroku/procfile", &agent]);
        let built = farm.build(&app, &[("Procfile", "worker: work")]).await;
        built.says("       Default types for buildpack -> web\n");
        assert_eq!(built.outcome().process_types["web".parse().as_ref().unwrap()], "serve");
        assert_eq!(built.outcome().addons, ["some:plan"]);
        let app = App::with_buildpacks(&[&first, &empty, &agent]);
        let built = farm.build(&app, &[("x", "")]).await;
        built.says("       Procfile declares types -> (none)\n");
        assert!(built.outcome().process_types.is_empty() && built.outcome().addons.is_empty());
        let app = App::with_buildpacks(&[&agent]);
        assert!(farm.build(&app, &[("x", "")]).await.outcome().process_types.is_empty());
    })
    .await;
}

/// Section 5: what is said when a phase fails.
// buildpacks.md 5.1, 5.2, 5.4, 5.5
#[tokio::test(flavor = "multi_thread")]
async fn each_phase_fails_with_its_own_words() {
    with_farm(|farm| async move {
        let ok = "#!/bin/sh\nexit 0\n";
        let procfile = [("Procfile", "web: x")];
        let url = farm.buildpack("nodetect", &[("bin/detect*", "#!/bin/sh\necho not mine >&2\nexit 1\n"), ("bin/compile*", ok)]);
        farm.build(&App::with_buildpacks(&[&url]), &procfile).await.failed(FailureKind::Detection).ends_with(&format!(
            "-----> App not compatible with buildpack: {url}\n       not mine\n       More info: https://devcenter.heroku.com/articles/buildpacks#detection-failure\n\n !     Push failed\n"
        ));

        let compile = "#!/bin/sh\necho one\necho two >&2\nprintf half\nexit 3\n";
        let report = "#!/bin/sh\necho reported: yes\n";
        let url = farm.buildpack("nocompile", &[("bin/detect*", DETECT), ("bin/compile*", compile), ("bin/report*", report)]);
        farm.build(&App::with_buildpacks(&[&url]), &procfile).await.failed(FailureKind::Compile).says("one\ntwo\nhalf").ends_with(
            " !     Push rejected, failed to compile Toy app.\n\n !     Push failed\n",
        );

        let url = farm.buildpack("norelease", &[("bin/detect*", DETECT), ("bin/compile*", ok), ("bin/release*", "#!/bin/sh\nexit 1\n")]);
        farm.build(&App::with_buildpacks(&[&url]), &procfile).await.failed(FailureKind::Compile).says("failed to release Toy app");

        let crash = "#!/bin/sh\necho noise >&2\nkill -9 $$\n";
        let url = farm.buildpack("noreport", &[("bin/detect*", DETECT), ("bin/compile*", ok), ("bin/report*", crash), ("bin/release*", "#!/bin/sh\necho '--- {}'\n")]);
        let built = farm.build(&App::with_buildpacks(&[&url]), &procfile).await;
        built.never_says("noise").outcome();
    })
    .await;
}

/// Section 12 and 7.2: the cache is kept by success only, and a slug never changes with it.
// buildpacks.md 3.8, 7.2, 12.1, 12.2
#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_kept_by_successful_builds_only() {
    with_farm(|farm| async move {
        let compile = "#!/bin/bash\necho \"was: $(cat \"$2/state\" 2>/dev/null)\"\necho \"$(cat \"$1/say\")\" > \"$2/state\"\n\
            [ -e \"$2/linked\" ] && echo changed >> \"$2/linked\"\ncp \"$1/say\" \"$1/linked\"; ln -f \"$1/linked\" \"$2/linked\"\n\
            [ ! -e \"$1/fail\" ]\n";
        let url = farm.buildpack("cache", &[("bin/detect*", DETECT), ("bin/compile*", compile)]);
        let app = App::with_buildpacks(&[&url]);
        let one = farm.build(&app, &[("say", "one")]).await;
        one.says("was: \n");
        farm.build(&app, &[("say", "junk"), ("fail", "")]).await.failed(FailureKind::Compile).says("was: one\n");
        let two = farm.build(&app, &[("say", "two")]).await;
        two.says("was: one\n").outcome();
        let slug = farm.unpack(&one);
        assert_eq!(std::fs::read_to_string(slug.path().join("app/linked")).unwrap(), "one");
        farm.builder.purge_cache(app.id).await.unwrap();
        farm.build(&app, &[("say", "three")]).await.says("was: \n").outcome();
    })
    .await;
}

/// Section 2: how a buildpack's URL names what is fetched.
#[tokio::test(flavor = "multi_thread")]
async fn buildpacks_come_from_branches_tags_commits_and_archives() {
    with_farm(|farm| async move {
        let url = farm.buildpack(
            "refs",
            &[("bin/detect*", "#!/bin/sh\necho First\n"), ("bin/compile*", "#!/bin/sh\n")],
        );
        let folder = farm.path("buildpacks/refs");
        let git = |arguments: &[&str]| {
            let output = Command::new("git")
                .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-C"])
                .arg(&folder)
                .args(arguments)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["tag", "v1"]);
        let first = git(&["rev-parse", "HEAD"]);
        git(&["checkout", "-q", "-b", "next/one"]);
        std::fs::write(folder.join("bin/detect"), "#!/bin/sh\necho Second\n").unwrap();
        git(&["commit", "-qam", "x"]);
        git(&["checkout", "-q", "main"]);
        let app = App::with_buildpacks(&[&url]);
        for (reference, name) in [
            ("", "First"),
            ("#next/one", "Second"),
            ("#v1", "First"),
            (&format!("#{first}"), "First"),
            (&format!("#{}", &first[..8]), "First"),
        ] {
            let app = App { buildpacks: vec![format!("{url}{reference}")], ..App::new() };
            farm.build(&app, &[("x", "")]).await.says(&format!("-----> {name} app detected\n")).outcome();
        }
        let missing = App { buildpacks: vec![format!("{url}#nothing")], ..App::new() };
        farm.build(&missing, &[("x", "")])
            .await
            .failed(FailureKind::Fetch)
            .says("-----> Failed to fetch buildpack: ")
            .says("no branch, tag or commit named nothing");

        // What was fetched once serves when the repository is away, with a word about it.
        farm.build(&app, &[("x", "")]).await.outcome();
        std::fs::rename(&folder, farm.path("buildpacks/away")).unwrap();
        farm.build(&app, &[("x", "")])
            .await
            .says(&format!(
                " !     {url} could not be fetched; using what an earlier build fetched: {}.\n",
                &first[..12]
            ))
            .outcome();
        farm.build(&App::with_buildpacks(&[&url]), &[("x", "")])
            .await
            .failed(FailureKind::Fetch)
            .ends_with("\n\n !     Push failed\n");
    })
    .await;
}

/// Section 2: an archive, whose single top folder is stripped.
#[tokio::test(flavor = "multi_thread")]
async fn buildpacks_come_from_archives() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        write_tree(
            tree.path(),
            &[("pack-1.0/bin/detect*", "#!/bin/sh\necho Packed\n"), ("pack-1.0/bin/compile", "#!/bin/sh\n")],
        );
        let archive = farm.path("buildpacks/pack.tgz");
        tar(tree.path(), &archive, &["--gzip"]);
        let app = App { buildpacks: vec![format!("file://{}", archive.display())], ..App::new() };
        farm.build(&app, &[("x", "")]).await.says("-----> Packed app detected\n").outcome();
        write_tree(tree.path(), &[("other/x", "")]);
        std::fs::remove_dir_all(tree.path().join("pack-1.0")).unwrap();
        tar(tree.path(), &archive, &["--gzip"]);
        let app = App { buildpacks: vec![format!("file://{}", archive.display())], ..App::new() };
        farm.build(&app, &[("x", "")])
            .await
            .failed(FailureKind::Fetch)
            .says(" !     This is not a buildpack: it has no bin/detect\n");
    })
    .await;
}

/// Section 12 and 13: time, cancel, memory, daemons, endless lines, and a build that forges what it leaves.
// buildpacks.md 12.3, 12.4, 12.5, 8.2
#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_held_within_its_limits() {
    with_farm(|farm| async move {
        let toy = |name: &str, compile: &str| {
            farm.buildpack(
                name,
                &[("bin/detect*", DETECT), ("bin/compile*", &format!("#!/bin/bash\n{compile}\n"))],
            )
        };
        let procfile = [("Procfile", "web: x")];
        let slow = toy("slow", "printf waiting; sleep 600");
        let app = App { time_limit: Duration::from_secs(2), ..App::with_buildpacks(&[&slow]) };
        farm.build(&app, &procfile)
            .await
            .failed(FailureKind::TimedOut)
            .ends_with("waiting\n !     Build timed out (1 minutes)\n\n !     Push failed\n");

        let app = App { cancel_after: Some("waiting"), ..App::with_buildpacks(&[&slow]) };
        farm.build(&app, &procfile)
            .await
            .failed(FailureKind::Canceled)
            .ends_with("waiting\n !     Build canceled\n\n !     Push failed\n");

        let hungry = toy("hungry", "set -o pipefail; head -c 3G /dev/zero | tail -c 3G | wc -c");
        let app = App { memory_bytes: 192 << 20, ..App::with_buildpacks(&[&hungry]) };
        farm.build(&app, &procfile)
            .await
            .failed(FailureKind::OutOfMemory)
            .says(" !     Build ran out of memory: it may use 192 MB\n");

        let daemon = toy("daemon", "setsid sleep 600 & disown; echo started");
        let started = std::time::Instant::now();
        farm.build(&App::with_buildpacks(&[&daemon]), &procfile).await.says("started").outcome();
        assert!(started.elapsed() < Duration::from_secs(60), "nobody waits for a daemon");

        let long =
            toy("long", "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf 'a\\0b\\e[31mred\\r\\n'");
        let built = farm.build(&App::with_buildpacks(&[&long]), &procfile).await;
        built.says("a\0b\u{1b}[31mred").outcome();
        assert!(built.log.matches('x').count() >= 3_000_000, "{} bytes", built.log.len());

        let forger =
            toy("forger", "cd /tmp; rm -rf \"$1\" codon; ln -s / \"$1\"; ln -s /etc codon; sleep 0.1");
        let built = farm.build(&App::with_buildpacks(&[&forger]), &procfile).await;
        built.failed(FailureKind::Compile).says(" !     The build folder is gone");
        let linker = toy("linker", "rm -rf /tmp/codon; ln -s /etc /tmp/codon");
        farm.build(&App::with_buildpacks(&[&linker]), &procfile).await.outcome();
    })
    .await;
}

/// What a build cannot do, and what is left of its secrets.
// buildpacks.md 3.3, 4.2
#[tokio::test(flavor = "multi_thread")]
async fn a_build_reaches_nothing_of_the_host() {
    with_farm(|farm| async move {
        let port = tokio::net::TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
        let compile = format!(
            "#!/bin/bash\nexec 2>/dev/null\n\
             ls {folder}/layers {folder}/run && echo BAD folder\n\
             ls /root /home/* && echo BAD home\n\
             mount -t tmpfs none /mnt && echo BAD mount\n\
             unshare -U true && echo BAD namespace\n\
             [ \"$(ls -d /proc/[0-9]* | wc -l)\" -lt 20 ] || echo BAD processes\n\
             timeout 3 bash -c 'exec 3<>/dev/tcp/{gateway}/{port}' && echo BAD port\n\
             timeout 3 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' && echo BAD metadata\n\
             touch /usr/x /build/x /build/plan.json && echo BAD writing\n\
             grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t' ' '\n\
             echo the secret has $(cat $3/SECRET | wc -c) bytes; echo done\n",
            folder = farm.folder.path().display(),
            gateway = farm.runtime.bridge_address(),
            port = port.local_addr().unwrap().port(),
        );
        let url = farm.buildpack("prober", &[("bin/detect*", DETECT), ("bin/compile*", &compile)]);
        let mut app = App::with_buildpacks(&[&url]);
        let secret = uuid::Uuid::new_v4().simple().to_string();
        app.config_vars.insert("SECRET".into(), secret.clone());
        let built = farm.build(&app, &[("Procfile", "web: x")]).await;
        built
            .never_says("BAD")
            .says("CapBnd: 0000000000000000\n")
            .says("CapEff: 0000000000000000\n")
            .says("NoNewPrivs: 1\n")
            .says("Seccomp: 2\n")
            .says("the secret has 32 bytes\ndone\n")
            .outcome();
        let found = Command::new("grep").args(["-rl", &secret]).arg(farm.folder.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "no file holds the secret");
        // What is removed in the background may go while it is looked through.
        let complaints = String::from_utf8_lossy(&found.stderr);
        assert!(complaints.lines().all(|line| line.ends_with("No such file or directory")), "{complaints}");
    })
    .await;
}

/// Section 1.4: submodules are fetched at their commits, or the build fails.
// buildpacks.md 7.1
#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_part_of_the_source() {
    with_farm(|farm| async move {
        let url = farm.buildpack("library", &[("lib.txt", "old")]);
        let head = |name: &str| {
            let folder = farm.path("buildpacks").join(name);
            let output =
                Command::new("git").arg("-C").arg(folder).args(["rev-parse", "HEAD"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let commit = head("library");
        let build = |url: String, commit: String| {
            let farm = std::sync::Arc::clone(&farm);
            async move {
                let tree = tempfile::tempdir().unwrap();
                let modules = format!("[submodule \"any name\"]\n\tpath = vendor/lib\n\turl = {url}\n");
                write_tree(
                    tree.path(),
                    &[(".gitmodules", &modules), ("Procfile", "web: x"), ("vendor/lib/.x", "")],
                );
                let file = farm.path(&format!("{}.tar", uuid::Uuid::new_v4()));
                tar(tree.path(), &file, &[]);
                let submodules = vec![Submodule { path: "vendor/lib".into(), commit }];
                let archive = SourceArchive::Git { submodules };
                farm.build_source(&App::new(), Source { file, archive, version: String::new() }).await
            }
        };
        let built = build(url.clone(), commit).await;
        built.says("-----> Fetching submodules\n       vendor/lib\n");
        assert_eq!(farm.slug_files(&built), ["app/Procfile", "app/vendor/lib/lib.txt"]);
        build(url, "1".repeat(40))
            .await
            .failed(FailureKind::Source)
            .says(" !     Submodule vendor/lib could not be fetched at 111");
        build("ssh://git@example.com/x".into(), "1".repeat(40)).await.failed(FailureKind::Source);
    })
    .await;
}
