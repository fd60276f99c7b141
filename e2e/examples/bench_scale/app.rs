//! The one app that has a dyno.

use std::time::{Duration, Instant};

use e2e::{Repo, Server, pause};
use serde_json::json;

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

pub(crate) struct App {
    /// Counts the changes.
    round: u32,
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
        Self { round: 0 }
    }

    /// Changes a config var: how long until a dyno answers that has the new value.
    pub(crate) fn change_config(&mut self, server: &Server) -> Duration {
        self.round += 1;
        let (http, value) = (server.http().bare(), self.round.to_string());
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
}
