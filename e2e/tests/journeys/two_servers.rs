//! Two servers on one machine do not meet.

use e2e::{Cli, Leftovers, Repo, Server, instance_letters, may_run};

#[test]
fn two_servers_deploy_at_the_same_time_and_one_stops_without_the_other() {
    if !may_run("two servers") {
        return;
    }
    let first = Server::start();
    let second = Server::start();
    assert_ne!(instance_letters(&first.data()), instance_letters(&second.data()));

    std::thread::scope(|scope| {
        for (server, text) in [(&first, "first\n"), (&second, "second\n")] {
            scope.spawn(move || {
                let cli = Cli::new(server);
                let repo = Repo::of_app("journey");
                repo.write("version.txt", text);
                repo.commit("Mine");
                cli.heroku_in(repo.path(), &["create", "twin"]).succeeded();
                cli.git(repo.path(), &["push", "heroku", "main"]).succeeded();
                assert_eq!(server.answers("twin", "/").json()["version"], text.trim());
            });
        }
    });

    // The first ends, with the check that nothing of it is left; the second goes on.
    drop(first);
    assert_eq!(second.get("twin", "/").with_status(200).json()["version"], "second");
}

#[test]
fn a_second_server_on_the_same_data_folder_or_port_says_so() {
    if !may_run("start-up errors") {
        return;
    }
    let server = Server::start();
    let taken = format!("127.0.0.1:{}", server.port());
    server.paddockd("serve", &["--listen", "127.0.0.1:0"]).failed_saying("another server");

    let folder = tempfile::TempDir::with_prefix("paddock-e2e-").unwrap();
    let other = folder.path().join("data");
    let program = server.program(&["serve", "--listen", &taken, "--data", &other.display().to_string()]);
    e2e::run(program, b"", std::time::Duration::from_secs(60)).failed_saying("is taken by");
    let left = Leftovers::of(&instance_letters(&other), &other);
    assert!(left.is_empty(), "a server that did not start has left {left:#?}");
}
