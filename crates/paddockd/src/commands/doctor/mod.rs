//! `paddockd doctor`: what is wrong with this machine, a data folder and what runs on it, and what to do about it.
//!
//! It looks and changes nothing. Each file asks about one thing: the machine, the languages and databases of apps, the data
//! folder, the processes.

mod backups;
mod certificate;
mod data_folder;
mod databases;
mod languages;
mod machine;
mod processes;
mod routers;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use paddock_runtime_linux::HostCheck;

use crate::instance::Instance;
use crate::paths::Paths;

/// Checks kernel, programs, network, disk, data folder and processes, and says what to do about each problem
///
/// Ends with status 0 when nothing is wrong, with 1 when something is.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Data folder of the server; without it the machine alone is checked
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the server keeps its master key [default: DIR/keys/master]
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    /// Address and port that the server listens on, or is to
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5080")]
    listen: SocketAddr,
    #[command(flatten)]
    backups: crate::backups::BackupsArgs,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// Nothing is broken; the operator should know.
    Note,
    /// Something does not work, or is not safe.
    Problem,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    name: String,
    verdict: Verdict,
    detail: String,
    /// What to do; empty where there is nothing to do.
    remedy: String,
}

impl Finding {
    fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Ok, detail: detail.into(), remedy: String::new() }
    }

    fn note(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (name, detail, remedy) = (name.into(), detail.into(), remedy.into());
        Self { name, verdict: Verdict::Note, detail, remedy }
    }

    fn problem(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (name, detail, remedy) = (name.into(), detail.into(), remedy.into());
        Self { name, verdict: Verdict::Problem, detail, remedy }
    }
}

impl From<HostCheck> for Finding {
    fn from(check: HostCheck) -> Self {
        match check.ok {
            true => Self::ok(check.name, check.detail),
            false => Self::problem(check.name, check.detail, check.remedy),
        }
    }
}

impl DoctorArgs {
    pub(crate) fn run(self) -> ExitCode {
        let mut findings = machine::check();
        findings.extend(languages::check());
        findings.push(databases::check(crate::wiring::postgres_programs()));
        findings.extend(backups::check(&self.backups, crate::wiring::environment, self.data.as_deref()));
        let paths = self.data.as_ref().map(|data| Paths::new(data.clone()));
        if let Some(paths) = &paths {
            let key = self.master_key_file.clone().unwrap_or_else(|| paths.master_key());
            let instance = Instance::of(&paths.data);
            findings.extend(data_folder::check(paths, &key));
            findings.extend(processes::check(paths, &instance, self.listen));
        } else {
            findings.extend(machine::disk(Path::new("/var/lib")));
        }
        let letters = paths.as_ref().map(|paths| Instance::of(&paths.data).letters);
        findings.extend(processes::other_instances(letters.as_deref()));
        findings.extend(routers::orphans());
        if self.json {
            print_json(&findings);
        } else {
            print_text(&findings);
            if let Some(paths) = &paths {
                print_users(&Instance::of(&paths.data));
            }
        }
        let is_well = findings.iter().all(|finding| finding.verdict != Verdict::Problem);
        if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn print_text(findings: &[Finding]) {
    let mut out = std::io::stdout().lock();
    for Finding { name, verdict, detail, remedy } in findings {
        let mark = if *verdict == Verdict::Problem { "FAIL" } else { verdict.word() };
        let _ = writeln!(out, "{mark:<4} {name}: {detail}");
        if !remedy.is_empty() {
            let _ = writeln!(out, "     {remedy}");
        }
    }
}

fn print_json(findings: &[Finding]) {
    let findings: Vec<_> = findings
        .iter()
        .map(|Finding { name, verdict, detail, remedy }| {
            let remedy = (!remedy.is_empty()).then_some(remedy);
            serde_json::json!({ "name": name, "verdict": verdict.word(), "detail": detail, "remedy": remedy })
        })
        .collect();
    let _ = writeln!(std::io::stdout(), "{}", serde_json::Value::Array(findings));
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
