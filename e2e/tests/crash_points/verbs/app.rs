//! An app is made, and destroyed with all it has.

use e2e::Repo;
use serde_json::json;

use super::{Kind, Verb, kind};
use crate::client::{Client, Told};

pub(super) fn create() -> Kind {
    kind("create", || Create)
}

pub(super) fn destroy() -> Kind {
    kind("destroy", || Destroy { repo: Repo::of_app("journey") })
}

fn name_of(number: usize) -> String {
    format!("made-{number}")
}

/// `heroku create`.
struct Create;

impl Verb for Create {
    fn prepare(&mut self, client: &Client, _: usize) {
        destroy_made(client);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.api_json("POST", "/apps", &json!({ "name": name_of(number) })))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        // The name is taken if it was made: a client that was cut off looks first.
        match client.http.api("GET", &format!("/apps/{}", name_of(number))).status {
            200 => Told::Yes,
            _ => self.attempt(client, number),
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let releases = client.list(&format!("/apps/{}/releases", name_of(number)));
        assert_eq!(releases.len(), 2, "a new app has two releases: {releases:?}");
    }
}

pub(super) fn destroy_made(client: &Client) {
    for app in client.list("/apps") {
        let name = app["name"].as_str().unwrap_or_default();
        if name.starts_with("made-") {
            client.http.api("DELETE", &format!("/apps/{name}")).with_status(200);
        }
    }
}

/// `heroku apps:destroy` of an app that runs.
struct Destroy {
    repo: Repo,
}

impl Verb for Destroy {
    fn prepare(&mut self, client: &Client, number: usize) {
        destroy_made(client);
        let name = name_of(number);
        client.http.api_json("POST", "/apps", &json!({ "name": name })).with_status(201);
        client.push(&name, &self.repo).succeeded();
        client.page(&name);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&client.http.api("DELETE", &format!("/apps/{}", name_of(number))))
    }

    fn again(&self, client: &Client, number: usize) -> Told {
        let answer = client.http.api("DELETE", &format!("/apps/{}", name_of(number)));
        if answer.status == 404 { Told::Yes } else { Told::by(&answer) }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        client.http.api("GET", &format!("/apps/{}", name_of(number))).with_status(404);
    }
}
