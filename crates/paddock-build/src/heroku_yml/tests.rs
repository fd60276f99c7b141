use proptest::prelude::*;

use super::*;

fn read(text: &str) -> HerokuYml {
    HerokuYml::read(text.as_bytes()).unwrap()
}

fn problem(text: &str) -> String {
    HerokuYml::read(text.as_bytes()).unwrap_err().to_string()
}

fn name(text: &str) -> ProcessType {
    text.parse().unwrap()
}

fn line(text: &str) -> Option<Command> {
    Some(Command::Line(text.to_owned()))
}

fn words(words: &[&str]) -> Option<Command> {
    Some(Command::Words(words.iter().map(|word| (*word).to_owned()).collect()))
}

#[test]
fn a_manifest_with_everything_is_read() {
    let manifest = read(
        "# ours\nsetup:\n  addons:\n    - plan: heroku-postgresql\n      as: DATABASE\n    - heroku-redis:mini\n  config: &main\n    \
         S3_BUCKET: my-bucket\n    WORKERS: 3\n    DEBUG: true\n    EMPTY:\n\
         build:\n  docker:\n    web: ./Dockerfile\n    worker:\n      dockerfile: worker/Dockerfile.prod\n      target: run\n  \
         config:\n    <<: *main\n    DEBUG: \"false\"\n\
         release:\n  command:\n    - ./tasks.sh\n  image: worker\n\
         run:\n  web: bundle exec puma -C config/puma.rb\n  worker:\n    command: [python, worker.py]\n  asset-syncer:\n    \
         command:\n      - python sync.py\n    image: worker\n  bare:\n    image: web\n",
    );
    let addons: Vec<_> = manifest
        .setup
        .addons
        .iter()
        .map(|addon| (addon.plan.as_str(), addon.attached_as.as_deref()))
        .collect();
    assert_eq!(addons, [("heroku-postgresql", Some("DATABASE")), ("heroku-redis:mini", None)]);
    let config: Vec<_> = manifest.setup.config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(config, ["DEBUG=true", "EMPTY=", "S3_BUCKET=my-bucket", "WORKERS=3"]);
    assert_eq!(
        (manifest.arguments["DEBUG"].as_str(), manifest.arguments["WORKERS"].as_str()),
        ("false", "3")
    );
    let image = |dockerfile: &str, target: Option<&str>| ImageBuild {
        dockerfile: dockerfile.into(),
        target: target.map(Into::into),
    };
    let images = [
        (name("web"), image("Dockerfile", None)),
        (name("worker"), image("worker/Dockerfile.prod", Some("run"))),
    ];
    assert_eq!(manifest.images, images);
    let release = manifest.release.as_ref().unwrap();
    assert_eq!((&release.command, &release.image), (&words(&["./tasks.sh"]), &Some(name("worker"))));
    let run = manifest.run.as_ref().unwrap();
    assert_eq!(run[&name("web")].command, line("bundle exec puma -C config/puma.rb"));
    assert_eq!(run[&name("worker")].command, words(&["python", "worker.py"]));
    assert_eq!(run[&name("asset-syncer")].command, line("python sync.py"));
    assert_eq!(run[&name("bare")].command, None);
    assert_eq!(manifest.image_of(Some(&name("worker")), None), Some(&name("worker")));
    assert_eq!(manifest.image_of(Some(&name("clock")), None), Some(&name("web")));
}

#[test]
fn commands_are_lines_or_words() {
    let command = |text: &str| {
        let manifest = read(&format!("build: {{docker: {{web: D}}}}\nrun:\n  web:\n    command: {text}\n"));
        manifest.run.unwrap()[&name("web")].command.clone()
    };
    assert_eq!(command("a b"), line("a b"));
    assert_eq!(command("['a b']"), line("a b"));
    assert_eq!(command("[run.sh]"), words(&["run.sh"]));
    assert_eq!(command("['$RUN']"), line("$RUN"));
    assert_eq!(command("[a, b c]"), words(&["a", "b c"]));
    assert_eq!(command("[migrate all, 'collect > log']"), line("migrate all && collect > log"));
    assert_eq!(command("|\n      a\n      b\n"), line("a\nb"));
    assert_eq!(command("8080"), line("8080"));
}

#[test]
fn a_source_with_a_dockerfile_alone_is_a_web_process() {
    let manifest = HerokuYml::of_dockerfile();
    assert_eq!(manifest.images[0].0, name("web"));
    assert_eq!(manifest.images[0].1.dockerfile, "Dockerfile");
    assert_eq!(manifest.image_of(None, None), Some(&name("web")));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_is_one_sentence_with_its_line() {
    let build = "build:\n  docker:\n    web: Dockerfile\n";
    let with = |text: &str| format!("{build}{text}");
    for (text, expected) in [
        (String::new(), "heroku.yml: it is empty: build.docker says what is built"),
        (
            "run: {web: x}".into(),
            "heroku.yml: build.docker has to say what is built, such as web: Dockerfile",
        ),
        ("- a".into(), "heroku.yml line 1: it has to be a mapping, KEY: VALUE on lines of their own"),
        (
            "build:\n\tdocker:\n\t\tweb: x".into(),
            "heroku.yml line 2: it is indented by a tab, and YAML is indented by spaces alone",
        ),
        (
            with("test:\n  x: y\n"),
            "heroku.yml line 4: test is no key that is known here: there are setup, build, release and run",
        ),
        (
            "build:\n  dockre: x".into(),
            "heroku.yml line 2: build.dockre is no key that is known here: there are docker and config",
        ),
        (
            "build:\n  languages:\n  - ruby".into(),
            "heroku.yml line 2: build.languages is not built: list what is built below build.docker",
        ),
        (
            "build:\n  docker:\n    web:\n      context: .".into(),
            "heroku.yml line 4: build.docker.web.context is no key that is known here: there are dockerfile and target",
        ),
        (
            "build:\n  docker:\n    web: ../x".into(),
            "heroku.yml line 3: build.docker.web has to be a Dockerfile below the root of the source",
        ),
        ("build:\n  docker:\n    web: [x]".into(), "heroku.yml line 3: build.docker.web has to be a text"),
        ("build:\n  docker:\n    web:\n  config: x".into(), "heroku.yml line 3: build.docker.web is empty"),
        (
            "build:\n  docker:\n    my web: x".into(),
            "heroku.yml line 3: build.docker.my web is no process type: it has letters, digits, - and _, up to 128",
        ),
        (
            "build:\n  docker: Dockerfile".into(),
            "heroku.yml line 2: build.docker has to be a mapping, KEY: VALUE on lines of their own",
        ),
        (
            with("  config:\n    - A=b"),
            "heroku.yml line 5: build.config has to be a mapping, KEY: VALUE on lines of their own",
        ),
        (with("  config:\n    A: [b]"), "heroku.yml line 5: build.config.A has to be a text"),
        (with("release:\n  image: web"), "heroku.yml line 5: release needs a command: command: …"),
        (
            with("release:\n  command: x\n  image: worker"),
            "heroku.yml line 4: release runs on the image worker, which build.docker does not have",
        ),
        (with("run:\n  web: []"), "heroku.yml line 5: run.web is empty"),
        (with("run:\n  web:\n    command: ['']"), "heroku.yml line 6: run.web.command is empty"),
        (
            with("run:\n  web:\n    cmd: x"),
            "heroku.yml line 6: run.web.cmd is no key that is known here: there are command and image",
        ),
        (with("run:\n  a: x\n  a: y"), "heroku.yml line 6: a stands there twice"),
        (with("run:\n  ? [a]\n  : x"), "heroku.yml line 5: a key has to be a text"),
        (
            with("setup:\n  addons:\n    plan: x"),
            "heroku.yml line 6: setup.addons has to be a list, - plan: … on lines of their own",
        ),
        (with("setup:\n  addons:\n    - as: X"), "heroku.yml line 6: an add-on needs a plan: - plan: …"),
        (with("run: &a\n  web: *a"), "heroku.yml line 5: it is a part of itself"),
        (with("---\nbuild: x"), "heroku.yml line 4: a second document begins here, and there may be one"),
        (
            with("run:\n  web: \"x"),
            "heroku.yml line 5: it is no YAML: while scanning a quoted scalar, found unexpected end of stream",
        ),
        (
            "build: {docker: {a: x, b: x}}\nrun: {clock: y}".into(),
            "heroku.yml line 2: run.clock has to say on which image it runs: image: …",
        ),
    ] {
        assert_eq!(problem(&text), expected, "{text}");
    }
}

#[test]
fn no_file_is_a_bomb() {
    let doubling: String = (1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)).collect();
    let said = problem(&format!("a0: &a0 x\n{doubling}"));
    assert!(said.ends_with("more than 5000 values, those that aliases repeat included"), "{said}");
    let said = problem(&("a: ".to_owned() + &"[".repeat(40)));
    assert!(said.ends_with("more than 16 lists and mappings lie in each other"), "{said}");
    assert!(HerokuYml::read(("a: ".to_owned() + &"[".repeat(30_000)).as_bytes()).is_err());
    let deep: String = (1..40).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    let said = problem(&format!("a0: &a0 x\n{deep}"));
    assert!(said.ends_with("more than 16 lists and mappings lie in each other"), "{said}");
    assert_eq!(problem(&"#".repeat(100_000)), "heroku.yml: it may have 64 KB, and has more");
}

proptest! {
    #[test]
    fn no_file_panics(text in "(build|docker|run|web|release|command|image|:|- | |\n|\t|&a|\\*a|\\[|\\]|\\{|\\}|\"|'|\\||<<|,){0,60}") {
        let _ = HerokuYml::read(text.as_bytes());
    }
}
