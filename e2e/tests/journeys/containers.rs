//! Images by the official CLI: login, push, release, rm, pull, logout, and what a port says that is not the right one.

use std::time::Duration;

use e2e::{Cli, Docker, Image, Repo, Root, Server, Transcript, may_run, wait_until};
use serde_json::json;

const SERVE: &str = "import http.server, os, sys
port = int(sys.argv[1] if len(sys.argv) > 1 else os.environ['PORT'])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f\"{os.environ['GREETING']} {os.getuid()} {os.getcwd()}\\n\".encode())
http.server.HTTPServer(('0.0.0.0', port), Handler).serve_forever()
";

/// An image whose web process answers with what it is started with.
fn image(greeting: &str, port: &str) -> Image {
    let root = Root::with_python();
    root.write("srv/serve.py", SERVE);
    let command: Vec<_> = ["python3", "serve.py", port].into_iter().filter(|word| !word.is_empty()).collect();
    root.image(&json!({
        "Entrypoint": ["/usr/bin/env"], "Cmd": command, "WorkingDir": "/srv", "User": "root",
        "Env": ["PATH=/usr/bin:/bin", format!("GREETING={greeting}")], "ExposedPorts": { "5000/tcp": {} },
    }))
}

#[test]
fn images_are_pushed_released_rolled_back_and_removed() {
    if !may_run("container commands") {
        return;
    }
    let server = Server::start();
    let docker = Docker::new(&server);
    let cli = Cli::through_proxy(&server).starting_anew().with_programs(docker.folder());
    let repo = Repo::of_app("journey");
    repo.write("Dockerfile", "FROM scratch\n");
    repo.write("Dockerfile.worker", "FROM scratch\n");
    let mut transcript = Transcript::begin("container", &server, &cli);
    let (first, second) = (image("first", ""), image("second", ""));
    transcript.name(&repo.path().display().to_string(), "REPO");
    transcript.name(&first.id()["sha256:".len()..][..12], "FIRST");
    transcript.name(&second.id()["sha256:".len()..][..12], "SECOND");
    let mut say = |arguments: &[&str]| transcript.say(cli.heroku_in(repo.path(), arguments));
    let _ = say(&["create", "boxes"]).succeeded();
    // A slug first, to roll back to.
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    server.answers("boxes", "/");
    let _ = say(&["container:push", "web"]).failed_saying("heroku stack:set container");
    let _ = say(&["stack:set", "container"]).succeeded();
    let _ = say(&["container:login"]).succeeded();
    docker.builds(first);
    let _ = say(&["container:push", "web"]).succeeded();
    let _ = say(&["container:release", "web"]).succeeded();
    let answered = || server.answers("boxes", "/").body;
    wait_until("the image to answer", Duration::from_secs(60), || {
        answered().contains("first 31000 /srv").then_some(())
    });

    docker.builds(second);
    let _ = say(&["container:push", "worker", "--recursive", "--arg", "A=b,C=d"]).succeeded();
    let _ = say(&["container:release", "worker"]).succeeded();
    let _ = say(&["ps:scale", "worker=1"]).succeeded();
    server.wait_for_dynos("boxes", &["web.1", "worker.1"]);
    let _ = say(&["container:release", "nothing"]).failed_saying("Nothing was pushed to boxes/nothing yet");
    let _ = say(&["releases"]).succeeded();
    let _ = say(&["container:rm", "worker"]).succeeded();
    server.wait_for_dynos("boxes", &["web.1"]);
    let _ = say(&["run", "--no-tty", "--exit-code", "--", "echo", "$GREETING;", "id", "-u"]).succeeded();
    let _ = say(&["container:pull", "web"]).succeeded();
    assert!(docker.pulled().join("index.json").exists());
    let _ = say(&["container:run", "web"]).succeeded();
    let _ = say(&["rollback", "v3"]).succeeded();
    wait_until("the slug to answer", Duration::from_secs(60), || {
        (!answered().contains("first")).then_some(())
    });
    let _ = say(&["rollback", "v4"]).succeeded();
    wait_until("the image to answer again", Duration::from_secs(60), || {
        answered().contains("first").then_some(())
    });
    let _ = say(&["container:logout"]).succeeded();
    transcript.finish();
    for call in
        ["docker login --username=_ --password-stdin registry.paddock.herokudev.com", "--build-arg A=b"]
    {
        assert!(docker.calls().contains(call), "{}", docker.calls());
    }
    let held = server.paddockd("storage", &[]).succeeded().stdout;
    assert!(held.contains("boxes") && held.contains("blobs of registries"), "{held}");
}

#[test]
fn an_image_that_listens_elsewhere_is_told_where() {
    if !may_run("an image on another port") {
        return;
    }
    let server = Server::start();
    let docker = Docker::new(&server);
    let cli = Cli::through_proxy(&server).starting_anew().with_programs(docker.folder());
    let repo = Repo::of_files(&[("app/Dockerfile", "FROM scratch\n")]);
    let folder = repo.path().join("app");
    let heroku = |arguments: &[&str]| cli.heroku_in(&folder, arguments);
    heroku(&["create", "elsewhere", "--stack", "container"]).succeeded();
    heroku(&["container:login"]).succeeded();
    docker.builds(image("late", "5000"));
    heroku(&["container:push", "web", "--app", "elsewhere"]).succeeded();
    heroku(&["container:release", "web", "--app", "elsewhere"]).succeeded();
    let said = wait_until("ps to say where it listens", Duration::from_secs(60), || {
        let said = heroku(&["ps", "--app", "elsewhere"]).succeeded().text();
        said.contains("listens on").then_some(said)
    });
    assert!(said.contains("0.0.0.0:5000, not on 0.0.0.0:$PORT"), "{said}");
    let log = heroku(&["logs", "--app", "elsewhere"]).succeeded().text();
    assert!(log.contains("The process listens on 0.0.0.0:5000: it must listen on 0.0.0.0:$PORT"), "{log}");
    docker.builds(image("late", ""));
    heroku(&["container:push", "web", "--app", "elsewhere"]).succeeded();
    heroku(&["container:release", "web", "--app", "elsewhere"]).succeeded();
    wait_until("the image to answer", Duration::from_secs(60), || {
        server.answers("elsewhere", "/").body.contains("late").then_some(())
    });
}

const MANIFEST: &str = "\
setup:
  addons:
    - plan: heroku-postgresql:essential-0
      as: DATABASE
  config:
    GREETING: hello
build:
  docker:
    web: web/Dockerfile
    worker:
      dockerfile: web/Dockerfile
      target: worker
  config:
    VERSION: \"1.2\"
release:
  image: web
  command:
    - echo \"$GREETING from the release\" && test -n \"$DATABASE_URL\"
run:
  web: python3 -m http.server $PORT
  worker:
    image: worker
    command:
      - python3
      - work.py
";

const STAGES: &str = "\
FROM host AS base
ARG VERSION
WORKDIR /srv
RUN echo \"version $VERSION, ${GREETING:-no greeting} while it is built\" > index.html
FROM base AS worker
COPY work.py .
FROM base
COPY . files
";

#[test]
fn an_app_of_a_manifest_is_made_built_and_released() {
    if !may_run("heroku.yml") {
        return;
    }
    let server = Server::start();
    let cli = Cli::new(&server);
    let repo = Repo::of_files(&[
        ("heroku.yml", MANIFEST),
        ("Procfile", "web: this means nothing here\n"),
        ("web/Dockerfile", STAGES),
        ("web/.dockerignore", "*.secret\n"),
        ("web/key.secret", "hidden\n"),
        ("web/work.py", "import os, time\nprint('works on', os.getcwd(), flush=True)\ntime.sleep(3600)\n"),
    ]);
    let mut transcript = Transcript::begin("manifest", &server, &cli);
    let _ = transcript.say(cli.heroku_in(repo.path(), &["apps:create", "stages", "--manifest"])).succeeded();
    let _ = transcript.note(cli.heroku_in(repo.path(), &["pg:wait", "--app", "stages"])).succeeded();
    let pushed = transcript.note(cli.git(repo.path(), &["push", "heroku", "main"])).succeeded().text();
    for words in [
        "=== Building web (web/Dockerfile)",
        "=== Building worker (web/Dockerfile)",
        "Step 4/",
        "hello from the release",
    ] {
        assert!(pushed.contains(words), "{words} is missing in:\n{pushed}");
    }
    let _ = transcript.say(cli.heroku_in(repo.path(), &["stack", "--app", "stages"])).succeeded();
    transcript.finish();
    let page = server.answers("stages", "/").body;
    assert_eq!(page, "version 1.2, no greeting while it is built\n");
    let files = server.get("stages", "/files/").body;
    assert!(files.contains("work.py") && !files.contains("secret"), "{files}");
    cli.heroku_in(repo.path(), &["ps:scale", "worker=1", "--app", "stages"]).succeeded();
    wait_until("the worker's line", Duration::from_secs(60), || {
        let log = cli.heroku_in(repo.path(), &["logs", "--app", "stages", "--dyno-name", "worker.1"]);
        log.succeeded().stdout.contains("works on /srv").then_some(())
    });
    repo.write("README", "Nothing that a Dockerfile sees\n");
    repo.commit("Beside the context");
    let pushed = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().text();
    assert!(pushed.contains("Using cache") && !pushed.contains("Running in"), "{pushed}");
}

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n\n@app.get('/')\ndef hello():\n    return 'Hello from Flask'\n";
const FLASK_FILE: &str = "\
FROM registry.paddock.localhost/bases/python
WORKDIR /app
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip python3 -m pip install --quiet --root-user-action=ignore -r requirements.txt
COPY . .
EXPOSE 5000
CMD [\"python3\", \"-m\", \"flask\", \"run\", \"--host=0.0.0.0\"]
";

#[test]
fn a_flask_app_on_its_own_port_is_told_what_to_change_and_then_answers() {
    if !may_run("Flask by its Dockerfile") {
        return;
    }
    let server = Server::start();
    let docker = Docker::new(&server);
    let cli = Cli::through_proxy(&server).starting_anew().with_programs(docker.folder());
    let repo = Repo::of_files(&[
        ("heroku.yml", "build:\n  docker:\n    web: app/Dockerfile\n"),
        ("app/Dockerfile", FLASK_FILE),
        ("app/requirements.txt", "flask==3.0.3\n"),
        ("app/app.py", FLASK),
    ]);
    let heroku = |arguments: &[&str]| cli.heroku_in(repo.path(), arguments);
    heroku(&["create", "bases", "--stack", "container", "--no-remote"]).succeeded();
    heroku(&["container:login"]).succeeded();
    docker.builds(Root::with_python().image(&json!({ "Cmd": ["python3"], "Env": ["PATH=/usr/bin:/bin"] })));
    cli.run(push_to(&cli, "registry.paddock.herokudev.com/bases/python"), b"", Duration::from_secs(120))
        .succeeded();
    heroku(&["create", "flask", "--stack", "container"]).succeeded();
    let pushed = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().text();
    assert!(pushed.contains("0.0.0.0:5000") && pushed.contains("$PORT"), "{pushed}");
    let listed = heroku(&["ps", "--app", "flask"]).succeeded().text();
    assert!(listed.contains("listens on 0.0.0.0:5000"), "{listed}");
    let log = heroku(&["logs", "--app", "flask"]).succeeded().text();
    assert!(log.contains("The process listens on 0.0.0.0:5000: it must listen on 0.0.0.0:$PORT"), "{log}");
    let right = FLASK_FILE.replace(
        "[\"python3\", \"-m\", \"flask\", \"run\", \"--host=0.0.0.0\"]",
        "python3 -m flask run --host=0.0.0.0 --port=$PORT",
    );
    repo.write("app/Dockerfile", &right);
    repo.commit("Listen where the platform says");
    let pushed = cli.git(repo.path(), &["push", "heroku", "main"]).succeeded().text();
    assert!(pushed.contains("Using cache") && !pushed.contains("0.0.0.0:5000"), "{pushed}");
    assert_eq!(server.answers("flask", "/").body, "Hello from Flask");
}

/// `docker push`, by whoever is in front of it.
fn push_to(cli: &Cli, name: &str) -> std::process::Command {
    let mut push = cli.program("docker", cli.home());
    push.args(["push", name]);
    push
}
