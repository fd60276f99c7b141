//! The one app that has a dyno.

use std::time::{Duration, Instant};

use e2e::{Repo, Server, pause};
use serde_json::json;

use crate::processes::Processes;

pub(crate) const NAME: &str = "busy";

/// As quick to start as a program of an interpreter is.
const WEB: &str = r#"import os, socket
answer = os.environ.get("ROUND", "none").encode()
listener = socket.create_server(("0.0.0.0", int(os.environ["PORT"])))
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer)
    connection.sendall(head + answer)
    connection.close()
"#;

/// How long a restarted dyno gets until it is up, its predecessor gone and what was said of both in the log.
const RESTART: Duration = Duration::from_secs(3);

pub(crate) struct App {
    /// Counts the changes.
    round: std::cell::Cell<u32>,
}

impl App {
    pub(crate) fn deploy(server: &Server) -> Self {
        let made = server.http().api_json("POST", "/apps", &json!({ "name": NAME }));
        made.with_status(201);
        let repo = Repo::of_files(&[("Procfile", "web: python3 web.py\n"), ("web.py", WEB)]);
        let token = &server.environment()["HEROKU_API_KEY"];
        let url = format!("http://heroku:{token}@localhost:{}/{NAME}.git", server.port());
        repo.git(&["push", "--quiet", &url, "main"]);
        server.answers(NAME, "/");
        Self { round: std::cell::Cell::new(0) }
    }

    /// Changes a config var: how long until a dyno answers that has the new value.
    pub(crate) fn change_config(&self, server: &Server) -> Duration {
        let round = self.round.get() + 1;
        self.round.set(round);
        let (http, value) = (server.http().bare(), round.to_string());
        let begun = Instant::now();
        http.api_json("PATCH", &format!("/apps/{NAME}/config-vars"), &json!({ "ROUND": value }))
            .with_status(200);
        let deadline = begun + Duration::from_secs(60);
        while http.app(&server.host(NAME), "/").body != value {
            assert!(Instant::now() < deadline, "no dyno answers with the config of round {value}");
            pause(Duration::from_millis(2));
        }
        begun.elapsed()
    }

    /// Restarts the dyno `times` times: processor time for one, beyond what the platform takes at rest.
    pub(crate) fn restart_cost(&self, server: &Server, times: u32, rest: f64) -> Duration {
        let processes = Processes::of(server);
        let http = server.http().bare();
        let (begun, before) = (Instant::now(), processes.time());
        for _ in 0..times {
            http.api("DELETE", &format!("/apps/{NAME}/dynos")).with_status(202);
            pause(RESTART);
        }
        let at_rest = begun.elapsed().mul_f64(rest);
        (processes.time() - before).saturating_sub(at_rest) / times
    }
}
