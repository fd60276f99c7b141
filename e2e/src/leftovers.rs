//! What a server has in the kernel: nothing of it may be left when it is stopped.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::outcome::run;

/// Everything found that carries an instance's letters or its data folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    pub links: Vec<String>,
    /// nftables tables.
    pub tables: Vec<String>,
    pub cgroups: Vec<String>,
    pub mounts: Vec<String>,
    /// Files of the data folder behind loop devices.
    pub disks: Vec<String>,
    /// Processes that name the data folder, with their command lines.
    pub processes: Vec<String>,
}

impl Leftovers {
    /// Looks for what an instance has on this machine now.
    #[must_use]
    pub fn of(letters: &str, data: &Path) -> Leftovers {
        let data = data.to_string_lossy();
        Leftovers {
            links: matching(&output("ip", &["-oneline", "link", "show"]), letters),
            tables: matching(&output("nft", &["list", "tables"]), letters),
            cgroups: cgroups(Path::new("/sys/fs/cgroup"), letters, 3),
            mounts: matching(&fs::read_to_string("/proc/mounts").unwrap_or_default(), &data),
            disks: disks(&data),
            processes: processes(&data),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Leftovers::default()
    }
}

/// The network interfaces of an instance, as they are named: what [`Leftovers`] has of them, without a process.
#[must_use]
pub fn links(letters: &str) -> Vec<String> {
    let all = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = all.map(|link| link.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(letters)).collect()
}

/// The six letters that everything of a server carries in the kernel, derived from its data folder as `paddockd` does.
/// Written out a second time here on purpose: if the derivation changes, this check must not go blind unnoticed.
#[must_use]
pub fn instance_letters(data: &Path) -> String {
    let data = fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = data.to_string_lossy().bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let mut letters = String::new();
    for _ in 0..6 {
        letters.push(char::from(b'a' + u8::try_from(hash % 26).unwrap_or(0)));
        hash /= 26;
    }
    letters
}

/// The files below a data folder that have these words in them, one a line. The templates of empty disks, ten gigabytes of
/// holes before any tenant has them, are left out.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn files_with(data: &Path, words: &str) -> String {
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--files-with-matches", "--text", "--devices=skip", "--exclude-dir=disks"]);
    grep.arg(words).arg(data);
    let found = run(grep, b"", Duration::from_secs(120));
    // What goes while it is read is no fault.
    assert!(found.status < 2 || found.stderr.contains("No such file"), "{}", found.text());
    found.stdout
}

fn matching(text: &str, part: &str) -> Vec<String> {
    text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    run(command, b"", Duration::from_secs(20)).succeeded().stdout
}

fn cgroups(folder: &Path, letters: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() || path.is_symlink() {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(letters) {
            found.push(path.display().to_string());
        } else if depth > 0 {
            found.extend(cgroups(&path, letters, depth - 1));
        }
    }
    found
}

fn disks(data: &str) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let files = devices.map(|device| device.path().join("loop/backing_file"));
    files.filter_map(|file| fs::read_to_string(file).ok()).filter(|file| file.contains(data)).collect()
}

fn processes(data: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid.parse::<u32>().is_ok_and(|pid| pid != std::process::id()) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(data) {
                found.push(format!("{pid} {line}"));
            }
        }
    }
    found
}
