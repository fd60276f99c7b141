//! HTTP by the `curl` program: the second door.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::outcome::run;
use crate::socket::exchange;

/// A client of one server: names are resolved to loopback, proxies are not used.
#[derive(Debug, Clone)]
pub struct Http {
    port: u16,
    token: String,
    /// Whether requests go without `curl`.
    is_bare: bool,
}

#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status; 0 when there was no answer.
    pub status: u16,
    /// Header lines as received, the last response's only.
    pub headers: Vec<(String, String)>,
    /// The body, lossily as text.
    pub body: String,
    /// Why there was no answer, in curl's words.
    pub error: String,
}

impl Answer {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }

    /// The same answer if it has this status.
    ///
    /// # Panics
    /// Otherwise, with the body.
    pub fn with_status(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}{}", self.body, self.error);
        self
    }
}

impl Http {
    pub(crate) fn new(port: u16, token: String) -> Http {
        Http { port, token, is_bare: false }
    }

    /// The same without a process for each request, as far as it is not about files and passwords.
    #[must_use]
    pub fn bare(self) -> Http {
        Http { is_bare: true, ..self }
    }

    /// The same as the account of another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Http {
        Http { token: token.to_owned(), ..self.clone() }
    }

    /// Logs in with `EMAIL:PASSWORD`.
    #[must_use]
    pub fn password_login(&self, user: &str) -> Answer {
        let mut command = self.curl("POST");
        command.args(["--header", "Accept: application/vnd.heroku+json; version=3", "--config", "-"]);
        command.arg(format!("http://localhost:{}/oauth/authorizations", self.port));
        let outcome = run(command, format!("user = \"{user}\"\n").as_bytes(), Duration::from_secs(70));
        parse(&outcome.stdout, outcome.stderr)
    }

    /// The API: `GET /apps/x` as the account of the server's own token.
    #[must_use]
    pub fn api(&self, method: &str, path: &str) -> Answer {
        self.api_with(method, path, &[], None)
    }

    #[must_use]
    pub fn api_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.api_with(method, path, &["Content-Type: application/json"], Some(&body.to_string()))
    }

    /// The API with headers and any body.
    #[must_use]
    pub fn api_with(&self, method: &str, path: &str, headers: &[&str], body: Option<&str>) -> Answer {
        let authorization = format!("Authorization: Bearer {}", self.token);
        let mut all = vec!["Accept: application/vnd.heroku+json; version=3", authorization.as_str()];
        all.extend(headers);
        self.request(method, &format!("http://localhost:{}{path}", self.port), &all, body)
    }

    /// The port that everything answers on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An app by its host name.
    #[must_use]
    pub fn app(&self, host: &str, path: &str) -> Answer {
        self.request("GET", &format!("http://{host}:{}{path}", self.port), &[], None)
    }

    /// The same over TLS, whoever signed the certificate.
    #[must_use]
    pub fn app_over_tls(&self, host: &str, path: &str) -> Answer {
        let mut command = self.curl("GET");
        command.arg("--insecure").arg(format!("https://{host}:{}{path}", self.port));
        let outcome = run(command, b"", Duration::from_secs(70));
        parse(&outcome.stdout, outcome.stderr)
    }

    /// Uploads a file to a URL that the server handed out.
    #[must_use]
    pub fn upload(&self, url: &str, file: &str) -> Answer {
        let mut command = self.curl("PUT");
        command.args(["--data-binary", &format!("@{file}"), "--header", "Content-Type:", url]);
        let outcome = run(command, b"", Duration::from_secs(70));
        parse(&outcome.stdout, outcome.stderr)
    }

    /// A call of the container registry, as the account of the server's own token; `path` begins with `/v2`.
    #[must_use]
    pub fn registry(&self, method: &str, path: &str, headers: &[&str], body: Option<&str>) -> Answer {
        let authorization = format!("Authorization: Bearer {}", self.token);
        let mut all = vec![authorization.as_str()];
        all.extend(headers);
        self.request(method, &format!("http://localhost:{}{path}", self.port), &all, body)
    }

    /// Sends a file as the body of git's receive-pack request, as the account of the server's own token.
    #[must_use]
    pub fn git_receive_pack(&self, app: &str, file: &str) -> Answer {
        let mut command = self.curl("POST");
        command.args(["--data-binary", &format!("@{file}"), "--config", "-"]);
        command.args(["--header", "Content-Type: application/x-git-receive-pack-request"]);
        command.arg(format!("http://localhost:{}/{app}.git/git-receive-pack", self.port));
        let user = format!("user = \"heroku:{}\"\n", self.token);
        let outcome = run(command, user.as_bytes(), Duration::from_secs(70));
        parse(&outcome.stdout, outcome.stderr)
    }

    /// Makes an authorization with an account's address and password, as `heroku login` does.
    #[must_use]
    pub fn log_in(&self, email: &str, password: &str) -> Answer {
        let mut command = self.curl("POST");
        command.args(["--config", "-", "--data-binary", "{\"description\":\"login\"}"]);
        command.args(["--header", "Accept: application/vnd.heroku+json; version=3"]);
        command.args(["--header", "Content-Type: application/json"]);
        command.arg(format!("http://localhost:{}/oauth/authorizations", self.port));
        // By standard input: a password is never on a command line.
        let user = format!("user = \"{email}:{password}\"\n");
        let outcome = run(command, user.as_bytes(), Duration::from_secs(70));
        parse(&outcome.stdout, outcome.stderr)
    }

    /// curl with what every request needs.
    fn curl(&self, method: &str) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", "60"]);
        command.args(["--connect-to", &format!("::127.0.0.1:{}", self.port), "--request", method]);
        command.args(["--header", "Expect:"]);
        command
    }

    /// A page of the server that is for git, as the account of the server's own token.
    #[must_use]
    pub fn git(&self, path: &str) -> Answer {
        let authorization = format!("Authorization: Bearer {}", self.token);
        self.request("GET", &format!("http://localhost:{}{path}", self.port), &[&authorization], None)
    }

    /// Any request; the answer's body is read to its end.
    #[must_use]
    pub fn request(&self, method: &str, url: &str, headers: &[&str], body: Option<&str>) -> Answer {
        if self.is_bare && method != "HEAD" {
            let (answer, error) = exchange(self.port, method, url, headers, body);
            return parse(&String::from_utf8_lossy(&answer), error);
        }
        let mut command = self.curl(method);
        // Headers go by standard input: a token is never on a command line.
        command.args(["--header", "@-"]);
        if let Some(body) = body {
            command.args(["--data-binary", body]);
        }
        if method == "HEAD" {
            command.arg("--head");
        }
        command.arg(url);
        let outcome = run(command, format!("{}\n", headers.join("\n")).as_bytes(), Duration::from_secs(70));
        parse(&outcome.stdout, outcome.stderr)
    }
}

/// Takes `curl --include` output apart; interim responses are skipped.
fn parse(text: &str, error: String) -> Answer {
    let mut rest = text;
    loop {
        let Some((head, body)) = rest.split_once("\r\n\r\n") else {
            return Answer { status: 0, headers: Vec::new(), body: rest.to_owned(), error };
        };
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let status: u16 = status.unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            rest = body;
            continue;
        }
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        return Answer { status, headers: lines.filter_map(header).collect(), body: body.to_owned(), error };
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn interim_responses_are_skipped() {
        let answer = parse(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nETag: \"a\"\r\n\r\nbody\r\n\r\n",
            String::new(),
        );
        assert_eq!(
            (answer.status, answer.header("etag"), answer.body.as_str()),
            (201, Some("\"a\""), "body\r\n\r\n")
        );
    }

    #[test]
    fn no_answer_is_status_zero() {
        assert_eq!(parse("", "curl: (7) refused".into()).status, 0);
    }
}
