//! What the operator does with the accounts and apps of others, on the server's machine.
#![expect(clippy::unwrap_used, reason = "a journey ends where it stands")]

use std::time::Duration;

use e2e::{Cli, Outcome, Server, may_run, run};
use serde_json::Value;

const COLLEAGUE: &str = "colleague@example.com";
const APP: &str = "owned";

fn operator(server: &Server, arguments: &[&str]) -> Outcome {
    let data = server.data().display().to_string();
    run(server.program(&[arguments, &["--data", &data]].concat()), b"", Duration::from_secs(60))
}

fn account(server: &Server, verb: &str) -> Outcome {
    operator(server, &["account", verb, COLLEAGUE])
}

/// The colleague as the operator sees it.
fn listed(server: &Server) -> Option<Value> {
    let told = operator(server, &["account", "list", "--json"]).succeeded().stdout;
    let accounts: Vec<Value> = serde_json::from_str(&told).unwrap();
    accounts.into_iter().find(|account| account["email"] == COLLEAGUE)
}

#[test]
fn the_operator_lists_logs_out_disables_and_deletes_accounts() {
    if !may_run("accounts") {
        return;
    }
    let server = Server::start();
    let http = server.http();
    let password = account(&server, "create").succeeded().stdout.trim().to_owned();
    let log_in = |password: &str| -> String {
        let login = http.log_in(COLLEAGUE, password).with_status(201).json();
        login["access_token"]["token"].as_str().unwrap().to_owned()
    };
    let status = |token: &str| http.with_token(token).api("GET", "/account").status;

    // Whose token a shell gets is the operator's choice; each account's stays the same.
    let variables = server.variables(&["--account", COLLEAGUE]);
    assert_eq!(variables, server.variables(&["--account", COLLEAGUE]));
    let cli = Cli::with_environment(variables);
    let _ = cli.heroku(&["auth:whoami"]).succeeded().saying(COLLEAGUE);
    cli.heroku(&["create", APP]).succeeded();
    operator(&server, &["env", "--account", "nobody@example.com"]).failed_saying("There is no account");
    let apps = operator(&server, &["apps"]).succeeded();
    let line = apps.stdout.lines().find(|line| line.starts_with(APP)).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[..3], [APP, COLLEAGUE, "-"], "{line}");
    let apps: Value =
        serde_json::from_str(&operator(&server, &["apps", "--json"]).succeeded().stdout).unwrap();
    assert_eq!((&apps[0]["name"], &apps[0]["owner"]), (&APP.into(), &COLLEAGUE.into()));
    account(&server, "delete").failed_saying(APP);

    // A log out ends what the password let in, and the password goes on.
    let token = log_in(&password);
    assert_eq!((status(&token), listed(&server).unwrap()["tokens"].as_u64()), (200, Some(2)));
    account(&server, "logout").succeeded().saying("2 tokens ended");
    assert_eq!((status(&token), status(cli.variable("HEROKU_API_KEY"))), (401, 401));
    let renewed = server.variables(&["--account", COLLEAGUE])["HEROKU_API_KEY"].clone();
    assert_eq!(status(&renewed), 200);
    let token = log_in(&password);
    let new_password = account(&server, "reset-password").succeeded().saying("tokens ended").stdout;
    assert_eq!(status(&token), 401);
    assert_eq!(http.log_in(COLLEAGUE, &password).status, 401);
    let token = log_in(new_password.trim());

    account(&server, "disable").succeeded().saying("is disabled");
    assert_eq!(status(&token), 401);
    assert_eq!(http.log_in(COLLEAGUE, new_password.trim()).status, 403);
    assert_eq!(listed(&server).unwrap()["enabled"], false);
    operator(&server, &["env", "--account", COLLEAGUE]).failed_saying("disabled");
    let own = format!("admin@{}", server.domain());
    operator(&server, &["account", "disable", &own]).failed_saying("last account");
    account(&server, "enable").succeeded();
    let token = log_in(new_password.trim());
    http.with_token(&token).api("DELETE", &format!("/apps/{APP}")).with_status(200);

    account(&server, "delete").succeeded().saying("is deleted");
    assert_eq!((status(&token), listed(&server)), (401, None));
    operator(&server, &["account", "delete", &own]).failed_saying("was made with");
    let table = operator(&server, &["account", "list"]).succeeded().stdout;
    assert!(table.lines().any(|line| line.starts_with(&own) && line.contains("operator")), "{table}");
}
