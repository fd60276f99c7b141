//! Stacks, as the operator adds, deprecates and removes them.

use e2e::Root;
use serde_json::{Value, json};

use super::{Kind, Verb, kind};
use crate::client::{Client, Told};

pub(super) fn verbs() -> Vec<Kind> {
    vec![
        kind("stack added", || Add { root: Root::of_stack() }),
        kind("stack deprecated", || Deprecate { root: Root::of_stack() }),
        kind("stack removed", || Remove { root: Root::of_stack() }),
    ]
}

fn add(client: &Client, name: &str, root: &Root) -> Told {
    let folder = root.path().display().to_string();
    Told::by_exit(&client.operator(&["stack", "add", name, "--folder", &folder]))
}

fn listed(client: &Client, name: &str) -> Vec<Value> {
    let list = client.operator(&["stack", "list", "--json"]).succeeded().stdout;
    let mut list: Vec<Value> = serde_json::from_str(&list).unwrap();
    list.retain(|stack| stack["name"] == name);
    list
}

/// `paddockd stack add`.
struct Add {
    root: Root,
}

impl Verb for Add {
    fn attempt(&self, client: &Client, number: usize) -> Told {
        add(client, &format!("added-{number}"), &self.root)
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let name = format!("added-{number}");
        let stacks = listed(client, &name);
        assert_eq!(stacks.len(), 1, "{stacks:?}");
        assert!(stacks[0]["version"].is_string() && stacks[0]["kept_versions"] == 0, "{stacks:?}");
        // What it is made of is there: it can be tried again, as the same version.
        let again =
            client.operator(&["stack", "add", &name, "--folder", &self.root.path().display().to_string()]);
        let _ = again.succeeded().saying("was there already");
        client.operator(&["stack", "remove", &name]).succeeded();
    }
}

/// `paddockd stack deprecate`.
struct Deprecate {
    root: Root,
}

impl Verb for Deprecate {
    fn prepare(&mut self, client: &Client, number: usize) {
        let told = add(client, &format!("old-{number}"), &self.root);
        assert!(matches!(told, Told::Yes), "{told:?}");
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        let name = format!("old-{number}");
        Told::by_exit(&client.operator(&["stack", "deprecate", &name, "--on", "2026-01-01"]))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        let name = format!("old-{number}");
        assert_eq!(listed(client, &name)[0]["state"], "deprecated");
        client.http.api_json("POST", "/apps", &json!({ "stack": name })).with_status(422);
        client.operator(&["stack", "remove", &name]).succeeded();
    }
}

/// `paddockd stack remove`.
struct Remove {
    root: Root,
}

impl Verb for Remove {
    fn prepare(&mut self, client: &Client, number: usize) {
        let told = add(client, &format!("gone-{number}"), &self.root);
        assert!(matches!(told, Told::Yes), "{told:?}");
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by_exit(&client.operator(&["stack", "remove", &format!("gone-{number}")]))
    }

    /// What is gone cannot be removed.
    fn again(&self, client: &Client, number: usize) -> Told {
        match self.attempt(client, number) {
            Told::No(reason) if reason.contains("No stack") => Told::Yes,
            told => told,
        }
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        assert!(listed(client, &format!("gone-{number}")).is_empty());
    }
}
