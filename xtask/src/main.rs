//! Tasks of the workspace that are not tests: `cargo xtask NAME`.
#![expect(clippy::disallowed_methods, reason = "tasks of the workspace run cargo and write what they make")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program talks to its terminal"
)]

mod arch;
mod breach;
mod cargo;
mod check_arch;
mod check_sql;
mod circles;
mod contract;
mod coverage;
mod docs;
mod durable_names;
mod long;
mod modules;
mod rust_files;
mod tokens;

use std::path::Path;
use std::process::ExitCode;

use coverage::Mode;

const USAGE: &str = "usage: cargo xtask TASK

  check-arch          which crate, area and file may use which, the rules on source files, and names of durable steps
  check-sql           every statement and both engines' migrations, prepared and compared on SQLite and PostgreSQL
  coverage            what is built of the published API, and which commands of the official CLI pass
  coverage --write    the same, written to docs/reference
  coverage --check    whether anything those tables call built or passed is gone
  docs [FOLDER]       the documentation as a site of plain files (default: target/docs)
  docs --write        the page of commands, from the server's own definition of them, and that of the buildpack
                      contract, from the marks of tests
  docs --check        whether its links lead somewhere, every page is in the index, the files are there that the
                      guides and the comments name, and every line of the buildpack contract has a test
  soak [NAME]         the crash journeys with thirty kills and a million lines; crash-points: every verb at every
                      point (as root)
  bench deploy        git push to the first 200, beside the same steps by hand (as root)
  bench scale         what 5,000 apps that have nothing to do cost beside one, and whether it is within bounds (as root)
  bench data          what a database costs beside initdb, a start and the server on its loopback (as root)
  bench build         what builds cost beside pip, npm and mkfs.erofs by hand (as root)
  bench images        what images cost beside docker-registry, mkfs.erofs and buildah (as root)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    let outcome = match words.as_slice() {
        ["check-arch"] => check_arch::run(root),
        ["check-sql"] => check_sql::run(root),
        ["coverage"] => coverage::run(root, Mode::Print),
        ["coverage", "--write"] => coverage::run(root, Mode::Write),
        ["coverage", "--check"] => coverage::run(root, Mode::Check),
        ["docs", "--check"] => docs::check(root),
        ["docs", "--write"] => contract::write(root).and_then(|()| docs::write_commands(root)),
        ["docs"] => docs::build(root, None),
        ["docs", folder] => docs::build(root, Some(Path::new(folder))),
        ["soak"] => long::soak(root, None),
        ["soak", name] => long::soak(root, Some(name)),
        ["bench", "deploy"] => long::bench_deploy(root),
        ["bench", "scale"] => long::bench_scale(root),
        ["bench", "data"] => long::bench_data(root),
        ["bench", "build"] => long::bench_build(root),
        ["bench", "images"] => long::bench_images(root),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
