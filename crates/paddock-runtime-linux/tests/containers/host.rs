//! Helper programs of the host, and the check of the host.

use paddock_runtime_linux::host_process::Confinement;
use paddock_runtime_linux::{check_folder, check_host};

fn confinement(group: &str) -> Confinement {
    let config = crate::support::config(std::path::Path::new("/nonexistent"));
    Confinement {
        program: config.program,
        instance: config.instance,
        uid: 64_999,
        group: group.to_owned(),
        memory_bytes: 64 << 20,
        pids: 16,
    }
}

async fn sh(confinement: &Confinement, script: &str) -> std::process::Output {
    confinement.command("sh").args(["-c", script]).output().await.unwrap()
}

#[tokio::test]
async fn a_helper_has_no_privilege_and_limits() {
    if !crate::support::may_run() {
        return;
    }
    let confinement = confinement("test");
    let seen = sh(
        &confinement,
        "id -u; id -g; id -G; grep -E 'CapPrm|CapBnd|NoNewPrivs' /proc/self/status; touch /etc/x 2>/dev/null || echo refused",
    )
    .await;
    let text = String::from_utf8(seen.stdout).unwrap();
    assert_eq!(
        text,
        "64999\n64999\n64999\nCapPrm:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nrefused\n"
    );
    let big = sh(&confinement, "python3 -c 'x = bytearray(200 << 20)'; echo $?").await;
    assert_eq!(String::from_utf8(big.stdout).unwrap(), "137\n", "memory is limited");
    let many = sh(&confinement, "for i in $(seq 30); do sleep 50 >/dev/null 2>&1 & done; echo all").await;
    assert!(!String::from_utf8(many.stdout).unwrap().contains("all"), "processes are limited");
    // What it left running goes with its group.
    confinement.end().unwrap();
    let group = format!("/sys/fs/cgroup/memory/paddock-{}/helper-test", confinement.instance);
    assert!(!std::path::Path::new(&group).exists());
    let parents = std::process::Command::new("sh")
        .args(["-c", &format!("rmdir /sys/fs/cgroup/*/paddock-{}", confinement.instance)])
        .status();
    assert!(parents.unwrap().success());
}

#[tokio::test]
async fn a_helper_says_why_it_cannot_run() {
    if !crate::support::may_run() {
        return;
    }
    let mut missing = confinement("missing");
    let output = missing.command("no-such-program").output().await.unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no-such-program"));
    missing.end().unwrap();
    let parents = std::process::Command::new("sh")
        .args(["-c", &format!("rmdir /sys/fs/cgroup/*/paddock-{}", missing.instance)])
        .status();
    assert!(parents.unwrap().success());
    missing.uid = 0;
    let output = missing.command("true").output().await.unwrap();
    assert_eq!(output.status.code(), Some(126), "root is refused");
    missing.uid = 64_999;
    missing.group = "../up".to_owned();
    assert_eq!(missing.command("true").output().await.unwrap().status.code(), Some(126));
    assert!(missing.end().is_err());
}

#[test]
fn a_folder_on_an_overlay_cannot_be_part_of_a_dyno() {
    if !crate::support::may_run() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let place = |name: &str| root.path().join(name);
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(place(name)).unwrap();
    }
    let plain = check_folder("data folder", &place("lower"));
    assert!(plain.ok, "{plain:?}");
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        place("lower").display(),
        place("upper").display(),
        place("work").display()
    );
    let mounted = std::process::Command::new("mount")
        .args(["-t", "overlay", "-o", &layers, "overlay"])
        .arg(place("merged"))
        .status();
    assert!(mounted.unwrap().success());
    std::fs::create_dir(place("merged/usr")).unwrap();
    let on_overlay = check_folder("/usr", &place("merged/usr"));
    rustix::mount::unmount(place("merged"), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(!on_overlay.ok && on_overlay.detail.contains("usr on overlay, whose ids"), "{on_overlay:?}");
}

#[test]
fn this_host_has_what_containers_need() {
    if !crate::support::may_run() {
        return;
    }
    for check in check_host() {
        assert!(check.ok, "{check:?}");
        assert!(!check.detail.is_empty() && !check.remedy.is_empty(), "{check:?}");
    }
}
