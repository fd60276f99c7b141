//! Dockerfiles that want more than they may have: each ends with its reason, and leaves nothing behind.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use paddock_build::FailureKind;

use crate::support::build::{App, with_farm, write_tree};
use crate::support::images::Steps;

/// An app with little of everything.
fn small() -> App {
    App { disk_bytes: Some(128 << 20), memory_bytes: 96 << 20, pids: 64, ..App::new() }
}

fn run(line: &str) -> String {
    format!("FROM busybox\nRUN {line}\n")
}

const FULL: &str = " !     Build ran out of disk: it may write 128 MB, what each step writes included.\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_step_has_so_much_memory() {
    with_farm(|farm| async move {
        farm.dockerfile(&small(), &run("head -c 300m /dev/zero | tail"))
            .await
            .failed(FailureKind::OutOfMemory, " !     Build ran out of memory: it may use 96 MB\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_has_so_much_disk_and_so_many_files() {
    with_farm(|farm| async move {
        let large = farm.dockerfile(&small(), &run("dd if=/dev/zero of=/large bs=1M")).await;
        large.failed(FailureKind::OutOfDisk, FULL);
        let many = run("i=0; while echo > /f$i; do i=$((i+1)); done; exit 1");
        farm.dockerfile(&small(), &many).await.failed(FailureKind::OutOfDisk, FULL);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_has_so_many_processes() {
    const REFUSED: &str = "can't fork: Resource temporarily unavailable";
    with_farm(|farm| async move {
        let many = run("i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; wait");
        farm.dockerfile(&small(), &many)
            .await
            .failed(FailureKind::Step, REFUSED)
            .says(" returned a non-zero code: 2\n");
        let brief = App { time_limit: Duration::from_secs(5), ..small() };
        let bomb = farm.dockerfile(&brief, &run("f() { f | f & }; f; sleep 1000")).await;
        bomb.failed(FailureKind::TimedOut, REFUSED);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_ends_with_its_time_its_cancellation_and_its_program() {
    with_farm(|farm| async move {
        let began = Instant::now();
        let brief = || App { time_limit: Duration::from_secs(3), ..small() };
        farm.dockerfile(&brief(), &run("sleep 1000"))
            .await
            .failed(FailureKind::TimedOut, " !     Build timed out (1 minutes)\n");
        farm.dockerfile(&brief(), &run("yes"))
            .await
            .failed(FailureKind::TimedOut, " !     Build timed out (1 minutes)\n");
        let cancelled = App { cancel_after: Some("now"), ..small() };
        farm.dockerfile(&cancelled, &run("trap '' TERM; echo now; sleep 1000 & sleep 1000; sleep 1000"))
            .await
            .failed(FailureKind::Canceled, " !     Build canceled\n");
        // What outlives its program is killed, and the build goes on.
        let line = "(setsid sleep 1000 &) && (trap '' TERM HUP; sleep 1000) & echo left";
        farm.dockerfile(&small(), &run(line)).await.says("left\n").outcome();
        assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_inside_of_the_network_is_added() {
    with_farm(|farm| async move {
        let bridge = farm.runtime.bridge_address();
        for address in [
            "169.254.169.254/latest/meta-data",
            "127.0.0.1:22/",
            "10.0.0.1/",
            "[::1]/",
            "0x7f000001/",
            &format!("{bridge}:5080/"),
        ] {
            // What a proxy of the operator's may reach is its matter.
            let text = format!("FROM busybox\nADD http://{address} /x\n");
            let app = App { time_limit: Duration::from_secs(60), ..small() };
            let failed = farm.dockerfile(&app, &text).await;
            failed.failed(FailureKind::Step, &format!("ADD http://{address} could not be fetched: "));
        }
        farm.dockerfile(&small(), "FROM busybox\nADD file:///etc/passwd /x\n").await.failed(
            FailureKind::Step,
            "Dockerfile line 2: ADD: there is no file:/etc/passwd in the folder that is built",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_sees_its_image_and_nothing_else() {
    const LOOK: &str = "\
FROM busybox
RUN ls -A /dev/paddock && ! cat /proc/1/environ && ! cat /dev/paddock/context/Dockerfile && ! ls /dev/paddock/result
RUN ! mount -t tmpfs none /mnt; ! mknod /dev/sda b 8 0; ! chroot /bin /busybox; ! hostname x; ! ls /proc/1/root/
RUN env | sort && touch /root/own && chmod 4755 /root/own && mkdir /s && chmod 3777 /s
COPY --from=busybox /proc/1/environ /x
";
    with_farm(|farm| async move {
        let app = small();
        let seen = farm.dockerfile(&app, LOOK).await;
        seen.failed(
            FailureKind::Step,
            "Dockerfile line 5: COPY: there is no proc/1/environ in what it is copied from",
        );
        seen.says("lib\npaddockd\ntask.json\n").says("HOME=/root\nPATH=/usr/bin:/bin\nPWD=/\n");
        seen.says("[Warning] line 4: setuid or setgid bit: 2 cleared\n").never_says("PADDOCK");
        let tree = tempfile::tempdir().unwrap();
        let outside = farm.path("outside");
        std::fs::write(&outside, "of the server").unwrap();
        symlink(&outside, tree.path().join("absolute")).unwrap();
        symlink("../../../../../../../../etc/passwd", tree.path().join("climbing")).unwrap();
        for name in ["absolute", "climbing"] {
            write_tree(tree.path(), &[("Dockerfile", &format!("FROM busybox\nCOPY {name} /x\n"))]);
            let failed = farm.build_image_folder(&app, &Steps::default(), tree.path()).await;
            failed
                .failed(FailureKind::Step, &format!("COPY: there is no {name} in the folder that is built"));
        }
        // In a folder they are links, which lead where the image has something.
        write_tree(
            tree.path(),
            &[("Dockerfile", "FROM busybox\nCOPY . /in/\nRUN ! cat /in/absolute && cat /in/climbing\n")],
        );
        farm.build_image_folder(&app, &Steps::default(), tree.path())
            .await
            .says("root:x:0:0::/root:/bin/sh")
            .outcome();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_image_has_in_the_place_of_a_tool_is_not_run() {
    const TRAPS: &str = "\
FROM busybox
RUN rm -rf /bin/sh /etc/passwd /lib /lib64; mkdir -p /etc/passwd /lib /lib64 && ln -s /dev/paddock/result /trap \\
    && echo 'not a library' > /lib64/ld-linux-x86-64.so.2 && echo /tmp/evil.so > /etc/ld.so.preload
ENV LD_PRELOAD=/tmp/evil.so LD_LIBRARY_PATH=/lib PADDOCK_STEP_VARIABLE_X=1
COPY Dockerfile /trap/result.json
COPY Dockerfile /after
RUN [\"/bin/busybox\", \"cat\", \"/after\"]
";
    with_farm(|farm| async move {
        let built = farm.dockerfile(&small(), TRAPS).await;
        built.says("FROM busybox\nRUN rm -rf").outcome();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_has_so_many_layers() {
    with_farm(|farm| async move {
        let many: String = (0..125).map(|n| format!("COPY <<a /f{n}\n{n}\na\n")).collect();
        let failed = farm.dockerfile(&App::new(), &format!("FROM busybox\n{many}")).await;
        failed.failed(
            FailureKind::Step,
            "Dockerfile line 374: an image has 125 layers at most, and this would be one more",
        );
    })
    .await;
}
