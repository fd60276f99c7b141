//! Accounts, and what the operator asks for on the server's machine.

use std::fs;
use std::sync::Mutex;

use serde_json::json;

use super::{Kind, Verb, kind};
use crate::client::{APP, Client, Told};

pub(super) fn verbs() -> Vec<Kind> {
    vec![
        kind("account made", || Make),
        kind("password reset", || ResetPassword { email: String::new(), password: Mutex::default() }),
        kind("account deleted", || Delete { token: String::new() }),
        kind("account logged out", || Ends { verb: "logout", token: String::new() }),
        kind("account disabled", || Ends { verb: "disable", token: String::new() }),
        kind("account enabled", || Enable { password: String::new() }),
        kind("account deleted by the operator", || Ends { verb: "delete", token: String::new() }),
        kind("proxy form offered", || OfferProxyForm),
    ]
}

fn email(number: usize) -> String {
    format!("person-{number}@example.com")
}

/// The account's new password.
fn reset(client: &Client, email: &str) -> String {
    client.operator(&["account", "reset-password", email]).succeeded().stdout.trim().to_owned()
}

/// `paddockd account create`.
struct Make;

impl Verb for Make {
    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by_exit(&client.operator(&["account", "create", &email(number)]))
    }

    /// The address is taken if it was made; its password went with the answer.
    fn again(&self, client: &Client, number: usize) -> Told {
        match self.attempt(client, number) {
            Told::No(reason) if reason.contains("already") => Told::Yes,
            told => told,
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let password = reset(client, &email(number));
        client.http.log_in(&email(number), &password).with_status(201);
    }
}

/// `paddockd account reset-password`.
struct ResetPassword {
    email: String,
    /// What the operator was told.
    password: Mutex<String>,
}

impl Verb for ResetPassword {
    fn prepare(&mut self, client: &Client, number: usize) {
        if self.email.is_empty() {
            self.email = email(number);
            client.operator(&["account", "create", &self.email]).succeeded();
        }
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        let outcome = client.operator(&["account", "reset-password", &self.email]);
        outcome.stdout.trim().clone_into(&mut self.password.lock().unwrap());
        Told::by_exit(&outcome)
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        client.http.log_in(&self.email, &self.password.lock().unwrap()).with_status(201);
    }
}

/// An account deletes itself.
struct Delete {
    token: String,
}

impl Verb for Delete {
    fn prepare(&mut self, client: &Client, number: usize) {
        let made = client.operator(&["account", "create", &email(number)]).succeeded();
        let login = client.http.log_in(&email(number), made.stdout.trim()).with_status(201).json();
        login["access_token"]["token"].as_str().unwrap_or_default().clone_into(&mut self.token);
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by(&client.http.with_token(&self.token).api("DELETE", "/account"))
    }

    /// Who is not there any more has no token.
    fn again(&self, client: &Client, _: usize) -> Told {
        let answer = client.http.with_token(&self.token).api("DELETE", "/account");
        if answer.status == 401 { Told::Yes } else { Told::by(&answer) }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        client.http.with_token(&self.token).api("GET", "/account").with_status(401);
        let unknown = client.operator(&["account", "reset-password", &email(number)]);
        assert_ne!(unknown.status, 0, "the account is gone");
    }
}

/// What the operator does to somebody's account that ends its tokens.
struct Ends {
    verb: &'static str,
    token: String,
}

impl Verb for Ends {
    fn prepare(&mut self, client: &Client, number: usize) {
        let made = client.operator(&["account", "create", &self.email(number)]).succeeded();
        let login = client.http.log_in(&self.email(number), made.stdout.trim()).with_status(201).json();
        login["access_token"]["token"].as_str().unwrap_or_default().clone_into(&mut self.token);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by_exit(&client.operator(&["account", self.verb, &self.email(number)]))
    }

    /// Who is deleted is not there.
    fn again(&self, client: &Client, number: usize) -> Told {
        match self.attempt(client, number) {
            Told::No(reason) if reason.contains("There is no account") => Told::Yes,
            told => told,
        }
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        client.http.with_token(&self.token).api("GET", "/account").with_status(401);
    }
}

impl Ends {
    fn email(&self, number: usize) -> String {
        format!("{}-{number}@example.com", self.verb)
    }
}

/// `paddockd account enable`.
struct Enable {
    password: String,
}

impl Enable {
    fn email(number: usize) -> String {
        format!("enabled-{number}@example.com")
    }
}

impl Verb for Enable {
    fn prepare(&mut self, client: &Client, number: usize) {
        let made = client.operator(&["account", "create", &Self::email(number)]).succeeded();
        made.stdout.trim().clone_into(&mut self.password);
        client.operator(&["account", "disable", &Self::email(number)]).succeeded();
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by_exit(&client.operator(&["account", "enable", &Self::email(number)]))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        client.http.log_in(&Self::email(number), &self.password).with_status(201);
    }
}

/// `paddockd env --proxy` where nobody asked for it before.
struct OfferProxyForm;

impl Verb for OfferProxyForm {
    fn prepare(&mut self, client: &Client, _: usize) {
        // Not there in the first round.
        drop(fs::remove_dir_all(client.data.join("ca/proxy-form")));
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by_exit(&client.operator(&["env", "--proxy"]))
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        let variables = client.operator(&["env", "--proxy"]).succeeded().stdout;
        let bundle = variables.lines().find_map(|line| line.strip_prefix("export SSL_CERT_FILE="));
        let bundle = fs::read_to_string(bundle.unwrap_or_default().trim_matches('\'')).unwrap();
        assert!(bundle.trim_end().ends_with("-----END CERTIFICATE-----"), "it is whole");
    }
}

/// `paddockd keys rotate --data-key`, while the server runs.
pub(crate) struct RotateKeys;

impl Verb for RotateKeys {
    fn prepare(&mut self, client: &Client, number: usize) {
        // Something of each kind that is sealed: a config var, and what a request that may come again was answered.
        let vars = json!({ "SECRET": number.to_string() });
        client.http.api_json("PATCH", &format!("/apps/{APP}/config-vars"), &vars).with_status(200);
        let headers = ["Content-Type: application/json", &format!("Request-Id: rotated-{number}")];
        let order = json!({ "description": "rotated" }).to_string();
        client.http.api_with("POST", "/oauth/authorizations", &headers, Some(&order)).with_status(201);
    }

    fn attempt(&self, client: &Client, _: usize) -> Told {
        Told::by_exit(&client.operator(&["keys", "rotate", "--data-key"]))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        assert_eq!(client.get(&format!("/apps/{APP}/config-vars"))["SECRET"], number.to_string());
    }
}
