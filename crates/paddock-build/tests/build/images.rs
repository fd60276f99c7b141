//! Dockerfiles and `heroku.yml`, built in real containers.

use std::os::unix::fs::symlink;
use std::process::Command;

use paddock_build::FailureKind;
use paddock_core::image::ImageCommand;

use crate::support::build::{App, with_farm, write_tree};
use crate::support::images::Steps;

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_becomes_an_image_step_by_step() {
    const DOCKERFILE: &str = "\
FROM busybox
ARG VERSION=1
ENV GREETING=hello
WORKDIR /srv
COPY --chown=app:app . .
RUN echo \"$GREETING $VERSION $(id -u) $HOME $PWD\" > built && chmod 640 built && chown app built
USER app
RUN id -u > /srv/who 2> /dev/null || id -u > /tmp/who && ls -l /srv
EXPOSE 5000
ENTRYPOINT [\"/bin/busybox\"]
CMD [\"cat\", \"built\"]
";
    with_farm(|farm| async move {
        let files = [("Dockerfile", DOCKERFILE), ("app/run*", "#!/bin/sh\necho $GREETING\n"), ("notes", "x")];
        let steps = Steps::default();
        let built = farm.build_images(&App::new(), &steps, &files).await;
        let image = built.web();
        built.says("=== Fetching app code\n\n=== Building web (Dockerfile)\nresolving busybox\nStep 1/11 : FROM busybox\n ---> ");
        built.says("Step 6/11 : RUN echo \"$GREETING $VERSION $(id -u) $HOME $PWD\" > built");
        built.says(" ---> Running in ");
        assert!(built.log.ends_with(&format!("Successfully built {}\n", &image.id.hex()[..12])), "{}", built.log);
        assert_eq!(image.layers.len(), 4, "base, files, and what each RUN wrote");
        assert_eq!(built.process("web").command, ImageCommand::OfImage);
        let config = &image.config;
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv", "app"));
        assert_eq!((&config.exposed_ports, &config.entrypoint), (&vec![5000], &vec!["/bin/busybox".to_owned()]));
        let found = farm.files_of(image, &["/srv", "built", "app/run", "notes", "/tmp/who"]).await;
        let expected = [
            "755 0:0 /srv",
            "640 1000:0 built",
            "755 1000:1000 app/run",
            "644 1000:1000 notes",
            "644 1000:1000 /tmp/who",
        ];
        assert_eq!(found, expected);
        assert_eq!(farm.run_in(image, &["cat", "built"]).await, "hello 1 0 /root /srv\n");
        assert_eq!(farm.run_in(image, &["/srv/app/run"]).await, "hello\n");

        let again = farm.build_images(&App::new(), &steps, &files).await;
        again.never_says("Running in").says(" ---> Using cache\n");
        assert_eq!(again.outcome().processes, built.outcome().processes, "nothing was done again");
        let changed = [files[0], files[1], ("notes", "y")];
        let third = farm.build_images(&App::new(), &steps, &changed).await;
        third.says("Running in");
        assert_ne!(third.web().id, image.id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_are_built_that_are_needed_and_files_are_copied_between_them() {
    const DOCKERFILE: &str = "\
FROM busybox AS tools
RUN mkdir -p /out/lib && echo tool > /out/tool && ln -s tool /out/link && chown -Rh 7:8 /out && chmod 700 /out/lib
FROM busybox AS never
RUN exit 1
FROM scratch AS web
COPY --from=tools /out /opt
COPY --from=0 /out/t* /etc/pass* /etc/
COPY --from=busybox /bin/busybox /bin/sh
COPY --from=tools --chown=3:4 --chmod=u=rwx,go= /out/tool /bin/own
COPY etc /bin
ENTRYPOINT [\"/bin/sh\"]
";
    with_farm(|farm| async move {
        let steps = Steps::default();
        let files = [("Dockerfile", DOCKERFILE), ("etc/motd", "hi")];
        let built = farm.build_images(&App::new(), &steps, &files).await;
        built
            .never_says("exit 1")
            .says("Step 1/9 : FROM busybox AS tools")
            .says("Step 3/9 : FROM scratch AS web");
        let image = built.web();
        assert!(image.base.is_none() && image.layers.len() == 5, "{image:?}");
        let look = "echo /opt/* /etc/* /bin/*; read x < /opt/link; echo $x";
        let printed = farm.run_in(image, &["/bin/sh", "-c", look]).await;
        let etc = "/etc/group /etc/hostname /etc/hosts /etc/passwd /etc/resolv.conf /etc/tool";
        assert_eq!(printed, format!("/opt/lib /opt/link /opt/tool {etc} /bin/motd /bin/own /bin/sh\ntool\n"));
        let debug = farm
            .build_images(
                &App::new(),
                &steps,
                &[
                    (
                        "Dockerfile",
                        &DOCKERFILE.replace(
                            "ENTRYPOINT [\"/bin/sh\"]",
                            "COPY --from=busybox /bin/busybox /bin/busybox\nCMD [\"sh\"]",
                        ),
                    ),
                    files[1],
                ],
            )
            .await;
        let found = farm.files_of(debug.web(), &["/opt/lib", "/opt/link", "/bin/own", "/etc/tool"]).await;
        assert_eq!(
            found,
            ["700 7:8 /opt/lib", "777 7:8 /opt/link -> tool", "700 3:4 /bin/own", "644 7:8 /etc/tool"]
        );
        assert_eq!(debug.log.matches(" ---> Using cache\n").count(), 6, "{}", debug.log);
        let again = farm.build_images(&App::new(), &steps, &files).await;
        again.never_says("Running in");
        assert_eq!(again.web(), image);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_manifest_says_what_is_built_of_which_folder_and_what_runs() {
    const MANIFEST: &str = "\
setup:
  addons:
    - plan: heroku-postgresql
build:
  docker:
    web: web/Dockerfile
    worker: {dockerfile: web/Dockerfile, target: base}
    again: web/Dockerfile
  config:
    COLOUR: blue
    UNUSED: x
release:
  command: [./migrate.sh]
run:
  web: serve $PORT
  worker:
    image: worker
    command: [work, --all]
  clock:
    image: again
";
    const DOCKERFILE: &str = "\
FROM busybox AS base
ARG COLOUR
ARG SOURCE_VERSION
RUN echo $COLOUR $SOURCE_VERSION $SECRET > /said
FROM base
COPY . /files
";
    with_farm(|farm| async move {
        let mut app = App::new();
        app.config_vars.insert("SECRET".into(), "of the app".into());
        let files = [
            ("heroku.yml", MANIFEST),
            ("outside", ""),
            ("Procfile", "web: this counts for nothing"),
            ("web/Dockerfile", DOCKERFILE),
            ("web/.dockerignore", "*.log\n!keep.log\nDockerfile\n.dockerignore\n"),
            ("web/a.log", ""),
            ("web/keep.log", ""),
            ("web/in/b.txt", ""),
        ];
        let built = farm.build_images(&app, &Steps::default(), &files).await;
        built.says("=== Building web (web/Dockerfile)\n").says("=== Building worker (web/Dockerfile)\n");
        built.says("[Warning] One or more build-args [UNUSED] were not consumed\n");
        let outcome = built.outcome();
        let names: Vec<_> = outcome.processes.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["clock", "release", "web", "worker"]);
        assert_eq!(outcome.setup.addons[0].plan, "heroku-postgresql");
        assert_eq!(built.process("web").command, ImageCommand::Line("serve $PORT".into()));
        assert_eq!(built.process("worker").command, ImageCommand::Words(vec!["work".into(), "--all".into()]));
        assert_eq!(built.process("release").command, ImageCommand::Words(vec!["./migrate.sh".into()]));
        assert_eq!(built.process("clock").image, *built.web());
        assert_eq!(built.process("worker").image.layers.len() + 1, built.web().layers.len());
        let printed =
            farm.run_in(built.web(), &["sh", "-c", "cat /said; cd /files; find . -type f | sort"]).await;
        assert_eq!(
            printed, "blue 0123abc\n./in/b.txt\n./keep.log\n",
            "config vars are not seen while it is built"
        );
    })
    .await;
}

const TEXTS: &str = "\
# syntax=docker/dockerfile:1
FROM busybox AS other
RUN mkdir /shared && echo other > /shared/file
FROM busybox
WORKDIR /w
COPY <<hello.txt <<-\"raw\" /texts/
hello $PATH
hello.txt
\t$PATH
raw
ADD files.tgz /unpacked/
COPY files.tgz /packed.tgz
RUN <<EOF
set -e
mkdir sub
echo one > sub/a
EOF
RUN <<EOF
#!/bin/sh -e
echo \"script $0\" > script
EOF
RUN --mount=type=bind,source=lock,target=lock --mount=type=bind,from=other,source=/shared,target=/shared \\
    --mount=type=cache,target=/root/.cache --mount=type=tmpfs,target=/scratch --mount=type=secret,id=none \\
    --network=none cat lock /shared/file > mounted && echo kept > /root/.cache/x && touch /scratch/y && ! touch /shared/z
RUN --mount=type=bind,source=lock,target=lock,rw echo more >> lock && cat lock > changed
USER app
RUN --mount=type=cache,target=/root/.cache,id=mine touch /root/.cache/mine && ls /root/.cache > /tmp/cached
SHELL [\"/bin/sh\", \"-e\", \"-c\"]
";

#[tokio::test(flavor = "multi_thread")]
async fn texts_archives_and_mounts_are_what_docker_makes_of_them() {
    with_farm(|farm| async move {
        let tree = tempfile::tempdir().unwrap();
        write_tree(tree.path(), &[("Dockerfile", TEXTS), ("lock", "locked\n"), ("in/f", "1")]);
        let mut tar = Command::new("tar");
        tar.args(["--owner=70000", "--group=7", "-czf"]).arg(tree.path().join("files.tgz")).arg("-C").arg(tree.path()).arg("in");
        assert!(tar.status().unwrap().success());
        let steps = Steps::default();
        let built = farm.build_image_folder(&App::new(), &steps, tree.path()).await;
        built.says("[Warning] line 11: owner above 65535: 2 made 0\n");
        built.says("[Warning] line 22: --mount=type=secret is not built, so nothing is mounted\n");
        let look = "cat /texts/hello.txt /texts/raw sub/a script mounted changed /tmp/cached; ls / /w; ls -A /root; \
                    wc -c < /packed.tgz | tr -d '0-9'; cat /unpacked/in/f";
        let printed = farm.run_in(built.web(), &["sh", "-c", look]).await;
        let root = "bin\ndev\netc\npacked.tgz\nproc\nroot\nsys\ntexts\ntmp\nunpacked\nusr\nw\n";
        let expected = format!(
            "hello /usr/bin:/bin\n$PATH\none\nscript /dev/paddock/script\nlocked\nother\nlocked\nmore\nmine\n/:\n{root}\n/w:\nchanged\nlock\nmounted\nscript\nsub\n\n1\n"
        );
        // The place of `lock` stays, as with docker, but nothing of what was mounted there.
        assert_eq!(printed, expected, "what is mounted is no part of the image");
        let failing = format!("{TEXTS}RUN false; echo not here\n");
        std::fs::write(tree.path().join("Dockerfile"), failing).unwrap();
        let failed = farm.build_image_folder(&App::new(), &steps, tree.path()).await;
        let problem = " !     The command '/bin/sh -e -c false; echo not here' returned a non-zero code: 1\n";
        failed.failed(FailureKind::Step, problem);
        assert_eq!(failed.log.matches("Using cache").count(), 9, "{}", failed.log);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_may_begin_from_the_stack_of_the_server() {
    with_farm(|farm| async move {
        let run = "RUN python3 -c 'print(40 + 2)' > /answer && touch /etc/mine";
        let built = farm.dockerfile(&App::new(), &format!("FROM host\n{run}\nCMD [\"sh\"]\n")).await;
        let image = built.web();
        assert_eq!(image.base.as_ref(), Some(&farm.stack));
        assert_eq!(
            farm.run_in(image, &["/bin/sh", "-c", "cat /answer; ls /etc/mine"]).await,
            "42\n/etc/mine\n"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_how_images_are_made_is_told_what_is_wrong_with_it() {
    with_farm(|farm| async move {
        let (app, steps) = (App::new(), Steps::default());
        farm.build_images(&app, &steps, &[("Procfile", "web: x")]).await.failed(
            FailureKind::Manifest,
            " !     This app is on the stack container, and its source has no heroku.yml and no Dockerfile.\n !\n !     Add a Dockerfile",
        );
        farm.build_images(&app, &steps, &[("heroku.yml", "build:\n\tdocker: x\n"), ("Dockerfile", "FROM busybox")])
            .await
            .failed(FailureKind::Manifest, " !     heroku.yml line 2: it is indented by a tab, and YAML is indented by spaces alone\n");
        farm.build_images(&app, &steps, &[("heroku.yml", "build: {docker: {web: x/Dockerfile}}")])
            .await
            .failed(FailureKind::Dockerfile, "There is no x/Dockerfile in the source, which is to be built\n");
        let tree = tempfile::tempdir().unwrap();
        let manifest = "build: {docker: {web: link/Dockerfile}}";
        write_tree(tree.path(), &[("real/Dockerfile", "FROM busybox\nCOPY . /x\n"), ("heroku.yml", manifest)]);
        symlink("real", tree.path().join("link")).unwrap();
        let built = farm.build_image_folder(&app, &steps, tree.path()).await;
        assert_eq!(farm.run_in(built.web(), &["ls", "/x"]).await, "Dockerfile\n", "a folder behind a link is one");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_step_that_cannot_be_done_says_why() {
    with_farm(|farm| async move {
        for (text, kind, problem) in [
            (
                "<html>",
                FailureKind::Dockerfile,
                "Dockerfile line 1: <HTML> is no instruction of a Dockerfile\n",
            ),
            (
                "FROM other/app:1",
                FailureKind::BaseImage,
                "Dockerfile line 1: FROM other/app:1: there is no image other/app:1 that this app may use\n",
            ),
            (
                "FROM busybox\n\nCOPY --from=biulder /x /x",
                FailureKind::BaseImage,
                "Dockerfile line 3: no stage before it is called biulder, and as an image: there is no image biulder",
            ),
            (
                "FROM scratch\nCOPY Dockerfile /",
                FailureKind::ProcessTypes,
                "No command specified for process type web: its image has neither CMD nor ENTRYPOINT.",
            ),
            (
                "FROM busybox\nRUN echo before; exit 7",
                FailureKind::Step,
                "before\n !     The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7\n",
            ),
            (
                "FROM scratch\nRUN echo",
                FailureKind::Step,
                "the image has no /bin/sh, which reads a RUN that is a line",
            ),
            (
                "FROM scratch\nCOPY Dockerfile /\nRUN [\"/Dockerfile\"]",
                FailureKind::Step,
                "/Dockerfile cannot be run: it is no program\n",
            ),
            (
                "FROM busybox\nCOPY nothing /x",
                FailureKind::Step,
                "Dockerfile line 2: COPY: there is no nothing in the folder that is built, the one with the Dockerfile",
            ),
            (
                "FROM busybox\nCOPY --from=busybox /nothing /x",
                FailureKind::Step,
                "Dockerfile line 2: COPY: there is no nothing in what it is copied from\n",
            ),
            (
                "FROM busybox\nCOPY --chown=node Dockerfile /x",
                FailureKind::Step,
                "Dockerfile line 2: there is no user node in the image's /etc/passwd\n",
            ),
            (
                "FROM busybox\nUSER node\nRUN x",
                FailureKind::Step,
                "there is no user node in the image's /etc/passwd\n",
            ),
        ] {
            farm.dockerfile(&App::new(), text).await.failed(kind, problem);
        }
    })
    .await;
}
