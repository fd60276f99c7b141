//! A test run that was killed leaves servers behind: the next run ends them, and nobody else's.

use std::path::Path;
use std::time::Duration;

use e2e::{Cli, Leftovers, Repo, Server, end_killed_runs, instance_letters, may_run, paddockd, wait_until};

const APP: &str = "left";

fn left_of(data: &Path) -> Leftovers {
    Leftovers::of(&instance_letters(data), data)
}

#[test]
fn what_a_killed_run_left_is_ended_and_what_runs_is_not() {
    if !may_run("leftovers of killed runs") {
        return;
    }
    let living = Server::start();
    let mut killed = [Server::start(), Server::start()];
    let cli = Cli::new(&killed[0]);
    let repo = Repo::of_files(&[("Procfile", "web: python3 -m http.server $PORT\n")]);
    cli.heroku_in(repo.path(), &["create", APP]).succeeded();
    cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
    killed[0].answers(APP, "/");
    // One without a server, and one whose server goes on.
    killed[0].kill9_serve();
    let folders = killed.map(Server::leave_as_killed);
    let data = folders.clone().map(|folder| folder.join("data"));
    // The letters are those of the folder's true path, which is asked for while it is there.
    let letters = data.clone().map(|data| instance_letters(&data));
    assert!(data.iter().all(|data| !left_of(data).is_empty()), "there is something to end");

    end_killed_runs(&paddockd());

    // The first server of another test may be at it already.
    for ((folder, data), letters) in folders.iter().zip(&data).zip(&letters) {
        wait_until("the leftovers of a killed run to be gone", Duration::from_secs(60), || {
            (Leftovers::of(letters, data).is_empty() && !folder.exists()).then_some(())
        });
    }
    living.http().api("GET", "/apps").with_status(200);
}
