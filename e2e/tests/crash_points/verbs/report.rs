//! Reports about databases.

use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::addon::{SHARED, app_of, url_of, with_rows};
use super::{Kind, Verb, kind};
use crate::client::{Client, Told};

pub(super) fn verbs() -> Vec<Kind> {
    vec![kind("report made", Report::default)]
}

/// `heroku pg:diagnose`.
#[derive(Default)]
struct Report {
    /// The database's, as the app has it. The server may die at any moment once the verb begins.
    url: Option<String>,
    /// The last one that a client was told of.
    made: Mutex<Option<String>>,
}

impl Verb for Report {
    fn prepare(&mut self, client: &Client, number: usize) {
        with_rows(client, number, SHARED);
        self.url = url_of(client, &app_of(number), "DATABASE_URL");
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let body = json!({ "app": app_of(number), "database": "DATABASE_URL", "url": self.url });
        let answer = client.http.api_json("POST", "/reports", &body);
        let told = Told::by(&answer);
        if matches!(told, Told::Yes) {
            let id = answer.json()["id"].as_str().map(str::to_owned);
            *self.made.lock().unwrap_or_else(PoisonError::into_inner) = id;
        }
        told
    }

    fn check(&self, client: &Client, _: usize, _: &Told) {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let report = client.get(&format!("/reports/{}", made.expect("a report was made")));
        assert_eq!(report["checks"].as_array().map(Vec::len), Some(15), "{report}");
    }
}
