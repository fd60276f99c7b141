//! What runs inside the containers of a Dockerfile's steps, as root of the image: everything that touches its files.
//!
//! A container has the layers so far as its root, and below `/dev/paddock` the program, its C library, the task and what the task
//! needs. What it writes to the root becomes a layer; what it finds out goes into its result. Files that a COPY names are looked
//! for in the folder that is built ([`Root::context`](sources::Root)), which nothing leads out of.
#![expect(
    clippy::disallowed_methods,
    reason = "a process inside the container of a build, which goes with what it has made"
)]

mod copy;
mod fetch;
mod look;
mod mode;
mod pack;
mod pick;
mod put;
mod run;
mod sources;
pub mod task;
mod unpack;
mod users;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use self::copy::Places;
pub use self::mode::Mode;
use self::task::{StepResult, Task};
use self::users::users_of;

/// The program of a step, `paddockd image-step`. `environment` is the whole environment of the process, which only `paddockd`
/// reads.
pub fn image_step_main(environment: impl IntoIterator<Item = (String, String)>) -> ExitCode {
    let task = match read_task() {
        Ok(task) => task,
        Err(error) => return fail(&format!("the task of a step cannot be read: {error}")),
    };
    if let Task::Run(task) = &task {
        let Err(not_run) = run::run(task, variables(environment));
        fail(&not_run.problem);
        return ExitCode::from(not_run.status);
    }
    let mut result = StepResult::default();
    if let Err(problem) = perform(&task, &mut result) {
        result.problem = Some(problem);
    }
    match write_result(&result) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("the result of a step cannot be written: {error}")),
    }
}

fn perform(task: &Task, result: &mut StepResult) -> Result<(), String> {
    let places = Places::container();
    match task {
        Task::Look(look) => {
            result.looked = pick::look(&places.context, look);
            Ok(())
        }
        Task::Pick(pick) => pick::pick(&places, pick),
        Task::Fetch(fetch) => fetch::fetch(&places.bundle, fetch),
        Task::Copy(copy) => {
            result.left_out = copy::copy(&places, copy)?.sentences();
            Ok(())
        }
        Task::Folders(folders) => copy::make_folders(&places.root, folders, &users_of(&places.root)),
        Task::Pack => pack::pack(result),
        Task::Run(_) => Ok(()),
    }
}

fn variables(environment: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let own = |(name, value): (String, String)| {
        name.strip_prefix(task::VARIABLE_PREFIX).map(|name| (name.to_owned(), value))
    };
    environment.into_iter().filter_map(own).collect()
}

fn read_task() -> io::Result<Task> {
    Ok(serde_json::from_slice(&fs::read(task::TASK_FILE)?)?)
}

fn write_result(result: &StepResult) -> io::Result<()> {
    let folder = Path::new(task::RESULT_FOLDER);
    let next = folder.join("result.next");
    fs::write(&next, serde_json::to_vec(result)?)?;
    fs::rename(next, folder.join(task::RESULT_NAME))
}

#[expect(clippy::print_stderr, reason = "who pushes sees it in the build's output")]
fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests;
