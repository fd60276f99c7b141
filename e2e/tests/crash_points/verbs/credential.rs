//! Credentials of a database: made, rotated, destroyed, repaired.

use serde_json::json;

use super::addon::{OWN, SHARED, SOON, app_of, name_of, psql, psql_at, url_of, with_rows};
use super::{Kind, Verb, kind};
use crate::client::{Client, Told};
use e2e::wait_until;

pub(super) fn verbs() -> Vec<Kind> {
    vec![
        kind("credential rotated", || Rotate),
        kind("credential created", || Create),
        kind("credential destroyed", || Destroy),
        kind("credentials repaired", || Repair),
    ]
}

const NAME: &str = "analytics";

fn path(number: usize, rest: &str) -> String {
    format!("/postgres/v0/databases/{}/{rest}", name_of(number))
}

/// Who logs in by a credential, as clients are told.
fn logins(client: &Client, number: usize, name: &str) -> Vec<String> {
    let answer = client.http.api("GET", &path(number, &format!("credentials/{name}")));
    if answer.status == 404 {
        return Vec::new();
    }
    let credential = answer.with_status(200).json();
    let logins = credential["credentials"].as_array().cloned().unwrap_or_default();
    logins.iter().filter_map(|login| login["user"].as_str().map(str::to_owned)).collect()
}

fn create(client: &Client, number: usize) -> Told {
    Told::by(&client.http.api_json("POST", &path(number, "credentials"), &json!({ "name": NAME })))
}

/// `heroku pg:credentials:rotate --force`.
struct Rotate;

impl Verb for Rotate {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, SHARED);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let path = path(number, "credentials/default/credentials_rotation");
        Told::by(&client.http.api_json("POST", &path, &json!({ "forced": true })))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        // It goes on by itself where it was begun.
        wait_until("the rotation to be over", SOON, || {
            (logins(client, number, "default").len() == 1).then_some(())
        });
        self.attempt(client, number)
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        wait_until("one login, which the app has", SOON, || {
            let url = url_of(client, &app_of(number), "DATABASE_URL")?;
            let logins = logins(client, number, "default");
            (logins.len() == 1 && url.contains(&logins[0])).then_some(())
        });
        assert_eq!(psql(client, number, "SELECT n FROM kept"), "42");
        let roles = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^u[a-z0-9]{13}$' AND pg_has_role(rolname, current_user, 'MEMBER')";
        assert_eq!(psql(client, number, roles), "1", "no role is left over");
    }
}

/// `heroku pg:credentials:create`.
struct Create;

impl Verb for Create {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, OWN);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        create(client, number)
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        match logins(client, number, NAME).is_empty() {
            true => self.attempt(client, number),
            false => Told::Yes,
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        wait_until("the credential to log in", SOON, || {
            let credential = client.get(&path(number, &format!("credentials/{NAME}")));
            let login = &credential["credentials"][0];
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let url = format!(
                "postgres://{}:{}@{}:{}/{}",
                text(&login["user"]),
                text(&login["password"]),
                text(&credential["host"]),
                credential["port"],
                text(&credential["database"])
            );
            (psql_at(&url, "SELECT 1").as_deref() == Ok("1")).then_some(())
        });
    }
}

/// `heroku pg:credentials:destroy`.
struct Destroy;

impl Verb for Destroy {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, OWN);
        assert!(matches!(create(client, number), Told::Yes));
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.api("DELETE", &path(number, &format!("credentials/{NAME}"))))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        match logins(client, number, NAME).is_empty() {
            true => Told::Yes,
            false => self.attempt(client, number),
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        assert_eq!(logins(client, number, NAME), Vec::<String>::new());
        assert_eq!(psql(client, number, "SELECT n FROM kept"), "42");
    }
}

/// `heroku pg:credentials:repair-default`.
struct Repair;

impl Verb for Repair {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, OWN);
        assert!(matches!(create(client, number), Told::Yes));
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.api("POST", &path(number, "repair-default")))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        assert_eq!(psql(client, number, "SELECT n FROM kept"), "42");
    }
}
