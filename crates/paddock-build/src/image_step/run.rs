//! RUN: becomes the program that it names, as the user of the image that it runs as.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use paddock_core::image_users::User;
use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::copy::make_folders;
use super::task::{Body, Run, SCRIPT_FILE};
use super::users::users_of;

/// What a program without an environment of its own is looked for in.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// As a shell says it.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

/// Why a program was not run: what a shell ends with, and a sentence.
pub(super) struct NotRun {
    pub(super) status: u8,
    pub(super) problem: String,
}

impl From<String> for NotRun {
    fn from(problem: String) -> Self {
        Self { status: NOT_RUNNABLE, problem }
    }
}

/// Becomes the program; returns only when that failed. `variables` are the image's.
pub(super) fn run(run: &Run, mut variables: BTreeMap<String, String>) -> Result<Infallible, NotRun> {
    let root = Path::new("/");
    let users = users_of(root);
    make_folders(root, &run.before, &users)?;
    let user = users.program(&run.user)?;
    for folder in &run.own {
        chown(folder, Some(user.uid), Some(user.gid))
            .map_err(|error| format!("{folder} cannot be given away: {error}"))?;
    }
    variables.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    if let Some(home) = user.home.clone() {
        variables.entry("HOME".to_owned()).or_insert(home);
    } else {
        variables.entry("HOME".to_owned()).or_insert_with(|| "/".to_owned());
    }
    let folder = if run.working_dir.is_empty() { "/" } else { &run.working_dir };
    let words = words(&run.body)?;
    become_user(&user)?;
    std::env::set_current_dir(folder)
        .map_err(|error| format!("the folder {folder} cannot be entered: {error}"))?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().envs(&variables);
    let error = command.exec();
    Err(not_run(&words[0], &error))
}

/// Program and arguments. A script is read by what its first line names.
fn words(body: &Body) -> Result<Vec<String>, NotRun> {
    let reader = match body {
        Body::Words(words) if words.first().is_some_and(|word| !word.is_empty()) => return Ok(words.clone()),
        Body::Words(_) => return Err("RUN names no program".to_owned().into()),
        Body::Script(reader) => reader.trim(),
    };
    let (program, argument) = reader.split_once(char::is_whitespace).unwrap_or((reader, ""));
    if program.is_empty() {
        return Err("the first line of a RUN's text names no program after its #!".to_owned().into());
    }
    let argument = Some(argument.trim()).filter(|argument| !argument.is_empty());
    Ok([Some(program), argument, Some(SCRIPT_FILE)].into_iter().flatten().map(str::to_owned).collect())
}

fn become_user(user: &User) -> Result<(), NotRun> {
    if user.uid == 0 && user.gid == 0 && user.groups.is_empty() {
        return Ok(());
    }
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let change = || {
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    };
    change()
        .map_err(|error: rustix::io::Errno| format!("the user {} cannot be taken: {error}", user.uid).into())
}

fn not_run(program: &str, error: &io::Error) -> NotRun {
    let is_shell = program == "/bin/sh";
    let (status, problem) = match error.kind() {
        io::ErrorKind::NotFound if is_shell => {
            let how = "write it as a list: RUN [\"program\", \"argument\"]";
            (NOT_FOUND, format!("the image has no /bin/sh, which reads a RUN that is a line: {how}"))
        }
        io::ErrorKind::NotFound => {
            (NOT_FOUND, format!("{program}: there is no such program in the image, or none that reads it"))
        }
        io::ErrorKind::PermissionDenied => {
            (NOT_RUNNABLE, format!("{program} cannot be run: it is no program"))
        }
        _ => (NOT_RUNNABLE, format!("{program} cannot be run: {error}")),
    };
    NotRun { status, problem }
}
