use std::collections::BTreeMap;

use paddock_core::image::ImageConfig;
use proptest::prelude::*;

use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn plan_with(file: &str, target: Option<&str>, arguments: &[(&str, &str)]) -> Result<Plan, DockerfileError> {
    Dockerfile::read(file.as_bytes())?.plan(target, &map(arguments), &BTreeMap::new())
}

fn plan(file: &str) -> Plan {
    plan_with(file, None, &[]).unwrap()
}

fn problem(file: &str) -> String {
    plan_with(file, None, &[]).unwrap_err().to_string()
}

fn runs(plan: &Plan) -> Vec<&RunStep> {
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    steps.filter_map(|step| if let Action::Run(run) = &step.action { Some(run) } else { None }).collect()
}

fn copies(plan: &Plan) -> Vec<&CopyStep> {
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    steps.filter_map(|step| if let Action::Copy(copy) = &step.action { Some(copy) } else { None }).collect()
}

fn shell(line: &str) -> Body {
    Body::Words(strings(&["/bin/sh", "-c", line]))
}

#[test]
fn a_usual_file_becomes_steps_and_a_config() {
    let plan = plan(
        "FROM python:3.12-slim\nLABEL a=b c=\"d e\"\nENV A=1 B=$A C=\"x y\"\nENV D $A and more\nWORKDIR /srv\nWORKDIR app\n\
         COPY requirements.txt ./\nRUN pip install -r requirements.txt\nCOPY --chown=app:app . .\nUSER app\nEXPOSE 8000 53/udp\n\
         HEALTHCHECK --interval=5s CMD curl localhost\nVOLUME /data\nSTOPSIGNAL SIGINT\nMAINTAINER me\n\
         ENTRYPOINT [\"/start\"]\nCMD gunicorn -b :$PORT\n",
    );
    let [stage] = &plan.stages[..] else { panic!("{plan:?}") };
    assert_eq!(stage.base, Base::Image("python:3.12-slim".to_owned()));
    assert_eq!(stage.steps.len(), 17);
    assert_eq!(stage.steps[7].text, "RUN pip install -r requirements.txt");
    let config = &stage.config;
    assert_eq!(config.env, map(&[("A", "1"), ("B", ""), ("C", "x y"), ("D", "1 and more")]));
    assert_eq!(config.working_dir, "/srv/app");
    assert_eq!(config.user, "app");
    assert_eq!(config.entrypoint, ["/start"]);
    assert_eq!(config.command, ["/bin/sh", "-c", "gunicorn -b :$PORT"]);
    assert_eq!(config.exposed_ports, [8000]);
    let run = runs(&plan)[0];
    assert_eq!(run.body, shell("pip install -r requirements.txt"));
    assert_eq!((run.working_dir.as_str(), run.user.as_str()), ("/srv/app", ""));
    let [first, second] = copies(&plan)[..] else { panic!() };
    assert_eq!((first.sources.as_slice(), first.to.as_str()), (&[path("requirements.txt")][..], "/srv/app/"));
    assert_eq!((second.sources.as_slice(), second.to.as_str()), (&[path("")][..], "/srv/app/"));
    assert_eq!(second.owner.as_deref(), Some("app:app"));
    assert_eq!(stage.steps[4].action, Action::Folder { path: "/srv".into(), user: String::new() });
}

fn path(text: &str) -> PlannedSource {
    PlannedSource::Path(text.to_owned())
}

#[test]
fn arguments_have_the_scope_of_their_stage() {
    let file = "ARG TAG=1.0\nARG BASE=app:$TAG\nFROM $BASE AS one\nARG TAG\nARG OWN=o-$TAG\nENV SET=e\nARG SET=a\n\
                RUN a\nFROM ${BASE}-slim\nRUN b\nFROM one\nRUN c\nCOPY --from=1 /x /y\n";
    let plan_of = |arguments: &[(&str, &str)]| plan_with(file, None, arguments).unwrap();
    let plan = plan_of(&[]);
    assert_eq!(plan.stages[0].base, Base::Image("app:1.0".into()));
    assert_eq!(plan.stages[1].base, Base::Image("app:1.0-slim".into()));
    assert_eq!(plan.stages[2].base, Base::Stage(0));
    let [a, b, c] = runs(&plan)[..] else { panic!() };
    let seen = map(&[("TAG", "1.0"), ("OWN", "o-1.0"), ("SET", "e")]);
    assert_eq!((&a.env, &b.env, &c.env), (&seen, &map(&[]), &seen));
    assert_eq!(plan.stages[0].config.env, map(&[("SET", "e")]), "arguments are no part of the image");
    let plan = plan_of(&[("TAG", "2"), ("OWN", "x"), ("MISSPELT", "")]);
    assert_eq!(plan.stages[0].base, Base::Image("app:2".into()));
    assert_eq!(runs(&plan)[0].env, map(&[("TAG", "2"), ("OWN", "x"), ("SET", "e")]));
    assert_eq!(plan.warnings, ["One or more build-args [MISSPELT] were not consumed"]);
}

#[test]
fn every_build_has_arguments_for_its_platform() {
    let plan = plan("FROM --platform=$BUILDPLATFORM a\nARG TARGETARCH\nARG TARGETOS TARGETPLATFORM\nRUN x\n");
    let arch = &runs(&plan)[0].env["TARGETARCH"];
    assert_eq!(runs(&plan)[0].env["TARGETPLATFORM"], format!("linux/{arch}"));
    for platform in ["linux/arm", "windows/amd64", "windows"] {
        let said = problem(&format!("FROM --platform={platform} a"));
        assert!(said.starts_with(&format!("line 1: the platform \"{platform}\" is not built")), "{said}");
    }
}

#[test]
fn only_what_a_target_needs_is_built() {
    let file = "FROM a AS base\nFROM base AS build\nRUN make\nFROM x AS tests\nRUN test\nFROM scratch AS web\n\
                COPY --from=build /o /\nCOPY --from=nginx:1 /etc/x /\nFROM web AS worker\nRUN --mount=from=base,target=/m y\n";
    let stages = |target: Option<&str>| {
        let plan = plan_with(file, target, &[]).unwrap();
        plan.stages.iter().map(|stage| stage.number).collect::<Vec<_>>()
    };
    assert_eq!(stages(Some("build")), [0, 1]);
    assert_eq!(stages(Some("WEB")), [0, 1, 3]);
    assert_eq!(stages(Some("2")), [2]);
    assert_eq!(stages(None), [0, 1, 3, 4]);
    let needed = Dockerfile::read(file.as_bytes()).unwrap().needed(Some("web"), &map(&[])).unwrap();
    assert_eq!(needed.images.into_keys().collect::<Vec<_>>(), ["a", "nginx:1"]);
    let said = plan_with(file, Some("deploy"), &[]).unwrap_err().to_string();
    assert_eq!(said, "it has no stage deploy, which is to be built");
}

#[test]
fn a_stage_that_begins_from_another_has_what_that_says() {
    let file = "FROM base AS one\nENV A=1\nWORKDIR /w\nUSER u\nSHELL [\"/bin/bash\", \"-c\"]\nCMD [\"c\"]\nENTRYPOINT [\"e\"]\n\
                ONBUILD RUN triggered\nFROM one\nRUN x\nENTRYPOINT [\"f\"]\n";
    let plan = plan(file);
    let [triggered, x] = runs(&plan)[..] else { panic!() };
    assert_eq!(triggered.body, Body::Words(strings(&["/bin/bash", "-c", "triggered"])));
    assert_eq!((x.env["A"].as_str(), x.working_dir.as_str(), x.user.as_str()), ("1", "/w", "u"));
    assert_eq!(plan.stages[0].config.command, ["c"]);
    assert_eq!(plan.stages[1].config.command, [""; 0], "an entrypoint takes away the command of its base");
    let base =
        ImageConfig { command: strings(&["old"]), env: map(&[("PATH", "/p")]), ..ImageConfig::default() };
    let file = Dockerfile::read(b"FROM base\nENV PATH=/q:$PATH\n").unwrap();
    let plan = file.plan(None, &map(&[]), &[("base".to_owned(), base)].into()).unwrap();
    assert_eq!(plan.stages[0].config.env["PATH"], "/q:/p");
    assert_eq!(plan.stages[0].config.command, ["old"]);
}

#[test]
fn texts_that_follow_are_scripts_or_files() {
    let plan = plan(
        "FROM a\nENV N=you\nRUN <<EOF\necho 1\necho $N\nEOF\nRUN <<-X\n\t#!/bin/python\n\tprint(1)\nX\n\
         RUN cat <<A > /x && cat <<-'B'\na\nA\n\tb\n\tB\nCOPY <<hello.txt <<'raw' file /dir/\nHello, $N \\$N\nhello.txt\n$N\nraw\n",
    );
    let bodies: Vec<_> = runs(&plan).into_iter().map(|run| run.body.clone()).collect();
    assert_eq!(bodies[0], shell("echo 1\necho $N\n"));
    assert_eq!(bodies[1], Body::Script("#!/bin/python\nprint(1)\n".to_owned()));
    assert_eq!(bodies[2], shell("cat <<A > /x && cat <<-'B'\na\nA\n\tb\nB"));
    let text = |name: &str, text: &str| PlannedSource::Text { name: name.into(), text: text.into() };
    let expected = [text("hello.txt", "Hello, you $N\n"), text("raw", "$N\n"), path("file")];
    assert_eq!(copies(&plan)[0].sources, expected);
}

#[test]
fn copies_say_where_from_and_where_to() {
    let plan = plan(
        "FROM a AS one\nFROM b\nWORKDIR /w\nARG D=dir\nCOPY [\"a b\", \"c\", \"$D/\"]\nCOPY ./x/../y* /z/../q\n\
         COPY --from=one /abs/./p /n\nCOPY --from=0 --chmod=u+x --exclude=*.$D p ..\nADD https://example.com/f.tgz /f\n\
         ADD --checksum=sha256:0 http://example.com/g g\nADD --unpack=false t.tar /t/\nADD t.tar .\n",
    );
    let copies = copies(&plan);
    let places: Vec<_> = copies.iter().map(|copy| (copy.sources.clone(), copy.to.as_str())).collect();
    let url = |text: &str| PlannedSource::Url(text.to_owned());
    assert_eq!(places[0], (vec![path("a b"), path("c")], "/w/dir/"));
    assert_eq!(places[1], (vec![path("y*")], "/q"));
    assert_eq!(places[2], (vec![path("abs/p")], "/n"));
    assert_eq!(places[3], (vec![path("p")], "/"));
    assert_eq!(places[4], (vec![url("https://example.com/f.tgz")], "/f"));
    assert_eq!(places[5], (vec![url("http://example.com/g")], "/w/g"));
    assert_eq!(
        (copies[3].mode.as_deref(), copies[3].excludes.as_slice()),
        (Some("u+x"), &["*.dir".to_owned()][..])
    );
    assert_eq!(copies[3].from, Some(Base::Stage(0)));
    assert_eq!(copies.iter().map(|copy| copy.unpacks).collect::<Vec<_>>()[4..], [false, false, false, true]);
}

#[test]
fn mounts_of_a_run_are_planned() {
    let plan = plan(
        "FROM a AS one\nFROM b\nWORKDIR /w\nRUN --mount=type=cache,target=/root/.cache --mount=target=. \
         --mount=type=bind,from=one,source=/o/,target=/in,rw --mount=type=tmpfs,target=/t --mount=type=secret,id=k \
         --network=none make\n",
    );
    let run = runs(&plan)[0];
    let bind = |from, source: &str, is_writable, target: &str| PlannedMount::Bind {
        from,
        source: source.into(),
        is_writable,
        target: target.into(),
    };
    let expected = [
        PlannedMount::Cache { id: "/root/.cache".into(), target: "/root/.cache".into() },
        bind(None, "", false, "/w"),
        bind(Some(Base::Stage(0)), "o/", true, "/in"),
        PlannedMount::Memory { target: "/t".into() },
    ];
    assert_eq!((run.mounts.as_slice(), run.network), (&expected[..], RunNetwork::None));
    assert_eq!(run.body, shell("make"));
    let [cache, secret] = &plan.warnings[..] else { panic!("{:?}", plan.warnings) };
    assert!(cache.starts_with("line 4: --mount=type=cache is an empty folder at the start of each build"));
    assert_eq!(secret, "line 4: --mount=type=secret is not built, so nothing is mounted");
}

#[test]
fn a_base_says_what_runs_lines_and_what_comes_first() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let base = |on_build: &[&str]| {
        let config = ImageConfig {
            shell: words(&["/bin/bash", "-c"]),
            on_build: words(on_build),
            ..ImageConfig::default()
        };
        BTreeMap::from([("base".to_owned(), config)])
    };
    let file = Dockerfile::read(b"FROM base AS first\nRUN b\nFROM first\nRUN c").unwrap();
    let plan = |images| file.plan(None, &BTreeMap::new(), &images);
    let made = plan(base(&["ENV A=1", "RUN a $A"])).unwrap();
    let said: Vec<_> = made.stages.iter().flat_map(|stage| &stage.steps).map(|step| &step.text[..]).collect();
    assert_eq!(said, ["FROM base AS first", "ENV A=1", "RUN a $A", "RUN b", "FROM first", "RUN c"]);
    for (run, line) in runs(&made).into_iter().zip(["a $A", "b", "c"]) {
        let Body::Words(words) = &run.body else { panic!("{:?}", run.body) };
        assert_eq!(words[..], ["/bin/bash", "-c", line]);
    }
    assert!(
        made.stages.iter().all(|stage| stage.config.on_build.is_empty() && stage.config.shell.is_empty())
    );
    for (trigger, why) in [
        ("FROM x", "that cannot stand in an ONBUILD"),
        ("COPY --from=x /a /b", "--from is not built there"),
        ("RUN a\nRUN b", "it is not one instruction"),
        ("FORM x", "FORM is no instruction of a Dockerfile"),
    ] {
        let error = plan(base(&[trigger])).unwrap_err().to_string();
        assert!(error.starts_with("line 1: base has ONBUILD ") && error.ends_with(why), "{error}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_cannot_be_built_is_one_sentence_with_its_line() {
    for (file, expected) in [
        ("", "it has no FROM, which says what image it begins from"),
        ("# nothing\nARG A\n", "it has no FROM, which says what image it begins from"),
        ("RUN x\nFROM a", "line 1: RUN stands before the first FROM, where only ARG may"),
        ("FROM a\n\nFORM b", "line 3: FORM is no instruction of a Dockerfile"),
        ("<html>\n", "line 1: <HTML> is no instruction of a Dockerfile"),
        ("FROM", "line 1: FROM needs an image, and after it nothing or AS and a name"),
        ("FROM a b", "line 1: FROM needs an image, and after it nothing or AS and a name"),
        (
            "FROM a AS 1b",
            "line 1: 1b cannot name a stage: it begins with a letter and has letters, digits, -, _ and . alone",
        ),
        ("FROM $NONE", "line 1: FROM $NONE names nothing: an ARG before it needs a value"),
        ("FROM a\nRUN", "line 2: RUN needs a command"),
        ("FROM a\nRUN []", "line 2: RUN needs a command"),
        ("FROM a\nRUN [\"a\", 1]", "line 2: the list of RUN may hold strings alone"),
        ("FROM a\nRUN --frob x", "line 2: RUN knows no flag --frob"),
        (
            "FROM a\nRUN --network=host x",
            "line 2: --network=host is not built: a build has a network of its own",
        ),
        (
            "FROM a\nRUN --security=insecure x",
            "line 2: --security takes sandbox alone: no build has more rights",
        ),
        (
            "FROM a\nRUN --mount=type=secret,id=x,required x",
            "line 2: --mount=type=secret with required is not built: no build has one here",
        ),
        ("FROM a\nRUN --mount=type=cache,target=/proc/x x", "line 2: --mount cannot lie over /proc/x"),
        ("FROM a\nRUN --mount=type=cache,target=/ x", "line 2: --mount cannot lie over /"),
        ("FROM a\nCOPY x", "line 2: COPY needs what to copy, and where to"),
        (
            "FROM a\nCOPY ../x /y",
            "line 2: COPY ../x leads out of the folder that is built, the one with the Dockerfile",
        ),
        ("FROM a\nCOPY --from=b=c --from=d x y", "line 2: COPY takes --from once"),
        ("FROM a\nCOPY --from x y", "line 2: --from needs a value: --from=…"),
        ("FROM a\nCOPY --from=0 x y", "line 2: there is no stage 0 before this one, which is stage 0"),
        ("FROM a\nCOPY --from=$X x y", "line 2: --from takes no variable: name a stage FROM it"),
        (
            "FROM a\nCOPY --from=b x y\nFROM c AS b\nCOPY --from=0 x y",
            "line 2: the stage b has to come before the one that takes something of it",
        ),
        (
            "FROM a AS b\nCOPY --from=b x y",
            "line 2: the stage b has to come before the one that takes something of it",
        ),
        ("FROM a\nCOPY --chmod=rwx x y", "line 2: --chmod takes a mode such as 755 or u=rwX,go=rX, not rwx"),
        (
            "FROM a\nCOPY --parents a/b c",
            "line 2: COPY --parents is not built: copy each folder to its place",
        ),
        ("FROM a\nCOPY http://x/y z", "line 2: COPY takes files alone; ADD fetches an address"),
        (
            "FROM a\nADD https://x/y.git#main z",
            "line 2: ADD of a git repository is not built: fetch it with RUN git clone",
        ),
        (
            "FROM a\nADD --checksum=sha256:0 x y",
            "line 2: ADD --checksum is for one address, and nothing else to add",
        ),
        ("FROM a\nENV A", "line 2: ENV needs a value for A: ENV NAME=VALUE"),
        ("FROM a\nENV A=1 B", "line 2: ENV takes NAME=VALUE, and B has no ="),
        ("FROM a\nENV =1", "line 2: ENV needs a name before the ="),
        ("FROM a\nENV A=${B", "line 2: a ${…} in it has no }"),
        ("FROM a\nARG =1", "line 2: ARG needs a name before the ="),
        ("FROM a\nWORKDIR C:\\app", "line 2: C:app is a path of Windows: images are built for Linux alone"),
        (
            "# escape=`\nFROM a\nCOPY x C:\\app\\",
            "line 3: C:\\app\\ is a path of Windows: images are built for Linux alone",
        ),
        ("FROM a\nWORKDIR $NONE", "line 2: WORKDIR needs a folder, and its variables name none"),
        ("FROM a\nUSER", "line 2: USER needs a name or a number"),
        ("FROM a\nSHELL bash -c", "line 2: SHELL needs a list of strings: SHELL [\"/bin/bash\", \"-c\"]"),
        ("FROM a\nEXPOSE http", "line 2: EXPOSE takes a port such as 8080 or 53/udp, not http"),
        ("FROM a\nONBUILD ONBUILD RUN x", "line 2: ONBUILD cannot stand in another ONBUILD"),
        ("FROM a\nONBUILD FROM x", "line 2: FROM cannot stand in an ONBUILD"),
        ("FROM a\nRUN <<EOF\nx", "line 2: the text that begins with <<EOF has no end: a line with EOF alone"),
    ] {
        assert_eq!(problem(file), expected, "{file}");
    }
}

#[test]
fn variables_cannot_be_made_to_grow_without_end() {
    let grow = (0..60).map(|n| format!("ENV V{}=$V{n}$V{n}\n", n + 1)).collect::<String>();
    let said = problem(&format!("FROM a\nENV V0={}\n{grow}", "x".repeat(100)));
    assert_eq!(said, "line 12: with its variables put in it has more than 64 KB");
    let many = (1..10).map(|n| format!("ENV V{n}=$V0\n")).collect::<String>();
    let said = problem(&format!("FROM a\nENV V0={}\n{many}", "x".repeat(60_000)));
    assert_eq!(said, "line 10: all variables together may have 512 KB, and these have more");
}

proptest! {
    #[test]
    fn no_file_panics(file in "(FROM|RUN|COPY|ADD|ENV|ARG|<<EOF|EOF|\\$|\\{|\\}|\\[|\\]|\"|'|a|/| |\n|\\\\|--from=|--mount=|,|=|AS){0,60}") {
        let _ = plan_with(&format!("FROM a\n{file}"), None, &[]);
        let _ = plan_with(&file, None, &[]);
    }
}
