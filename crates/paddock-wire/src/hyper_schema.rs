//! The API's description of itself: a JSON hyper-schema of its links, made from what is really served.

use std::collections::BTreeMap;

use serde::Serialize;

/// Body of `GET /schema`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HyperSchema {
    #[serde(rename = "$schema")]
    pub dialect: String,
    pub title: String,
    /// The same in a sentence.
    pub description: String,
    /// Always `["object"]`.
    #[serde(rename = "type")]
    pub kind: Vec<String>,
    /// By noun.
    pub definitions: BTreeMap<String, Definition>,
    /// Where each noun is defined.
    pub properties: BTreeMap<String, Reference>,
    /// Links that belong to no noun.
    pub links: Vec<Link>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Definition {
    pub title: String,
    /// `["object"]`: the shape of bodies is Heroku's and is not repeated here.
    #[serde(rename = "type")]
    pub kind: Vec<String>,
    pub links: Vec<Link>,
}

/// A pointer into the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// `#/definitions/NOUN`.
    #[serde(rename = "$ref")]
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its path; `{app}` stands for an id or a name.
    pub href: String,
    /// `GET`, `POST` …
    pub method: String,
    /// `instances`, `self`, `create`, `update`, `destroy`.
    pub rel: String,
    /// A name for it, unique within its noun.
    pub title: String,
}
