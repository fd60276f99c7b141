//! `paddockd doctor`: what this machine has, and what to do about what it lacks.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::instance::Instance;
use crate::paths::Paths;

/// Free space below which builds begin to fail, in bytes.
const DISK_LOW: u64 = 5 * 1024 * 1024 * 1024;

/// Checks kernel, programs, network and disk, and prints what runs as whom
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Data folder of the server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DoctorArgs {
    pub(crate) fn run(self) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let mut failed = 0;
        let mut line = |ok: bool, name: &str, detail: &str, remedy: &str| {
            let mark = if ok { "ok  " } else { "FAIL" };
            let _ = writeln!(out, "{mark} {name}: {detail}");
            if !ok {
                failed += 1;
                let _ = writeln!(out, "     {remedy}");
            }
        };
        for check in paddock_runtime_linux::check_host() {
            line(check.ok, check.name, &check.detail, check.remedy);
        }
        for program in ["git", "mkfs.erofs", "tar"] {
            let found = which(program);
            let detail =
                found.as_ref().map_or_else(|| "not found".to_owned(), |path| path.display().to_string());
            line(found.is_some(), program, &detail, "Install it: apt-get install git erofs-utils tar");
        }
        let paths = self.data.map(Paths::new);
        if let Some(paths) = &paths {
            let free = free_bytes(&paths.data).unwrap_or(0);
            line(
                free >= DISK_LOW,
                "disk",
                &format!("{} MB free at {}", free / 1_000_000, paths.data.display()),
                "Free some space, or move the data folder to a larger disk",
            );
        }
        drop(out);
        if let Some(paths) = paths {
            print_users(&Instance::of(&paths.data));
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Who runs as what: only `serve`, while it launches, and shims hold privilege.
fn print_users(instance: &Instance) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\nInstance {}:", instance.letters);
    for (what, who) in [
        ("paddockd serve, shims", "root".to_owned()),
        ("router", format!("uid {}, no capabilities", instance.router_uid())),
        ("git", format!("uid {}, no capabilities", instance.git_uid())),
        ("mkfs", format!("uid {}, no capabilities", instance.helper_uid())),
        (
            "dynos and builds of app N",
            format!("uids {} + 65536 * N and on, no capabilities", instance.first_app_id()),
        ),
    ] {
        let _ = writeln!(out, "  {what:<28} {who}");
    }
}

fn which(program: &str) -> Option<PathBuf> {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|folder| PathBuf::from(folder).join(program))
        .find(|path| path.is_file())
}

fn free_bytes(path: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}
