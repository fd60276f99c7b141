//! Checks bodies against the published schema of the Platform API, as far as that uses JSON schema: `$ref` into
//! definitions, `type`, `properties`, `required`, `additionalProperties`, `patternProperties`, `pattern`, `format`, `enum`,
//! `anyOf`, `oneOf`, `items`, `minimum`, `maxLength`. An object with properties has all of them and no other.
//!
//! The schema is not ours to ship: tests read it from `PADDOCK_CONTRACT_DIR` and count what they could not check.

use std::path::PathBuf;

use regex_automata::nfa::thompson::pikevm::PikeVM;
use serde_json::{Map, Value};

#[derive(Debug, Clone)]
pub struct Schema(Value);

/// Where a body leaves the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Where in the body: `/owner/email`, with `/0` for the first of a list.
    pub at: String,
    pub problem: String,
}

impl Schema {
    /// The schema in the contract folder: `PADDOCK_CONTRACT_DIR`, or `../shared/contract` beside the workspace.
    /// `None` where there is no such folder: a bare clone.
    ///
    /// # Panics
    /// When the folder is there and its schema cannot be read.
    #[must_use]
    pub fn published() -> Option<Self> {
        Self::of_file("platform-api-schema.json")
    }

    /// What the hosts of data services answer, as their clients know it: shapes by method and path.
    ///
    /// # Panics
    /// When the folder is there and the shapes cannot be read.
    #[must_use]
    pub fn of_data_hosts() -> Option<Self> {
        Self::of_file("data-api-schema.json")
    }

    fn of_file(name: &str) -> Option<Self> {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/contract");
        #[expect(
            clippy::disallowed_methods,
            reason = "tests are told by the environment where the contract is"
        )]
        let folder =
            std::env::var("PADDOCK_CONTRACT_DIR").map_or_else(|_| PathBuf::from(beside), PathBuf::from);
        let file = folder.join(name);
        if !file.exists() {
            return None;
        }
        let text = std::fs::read(&file).expect("the contract's schema can be read");
        Some(Self(serde_json::from_slice(&text).expect("the contract's schema is JSON")))
    }

    /// A schema from a value, for tests of this module.
    #[must_use]
    pub fn of(value: Value) -> Self {
        Self(value)
    }

    /// The schema with a reference to `right` in the place of `wrong`; both are JSON pointers.
    ///
    /// # Panics
    /// When it has no `wrong`.
    #[must_use]
    pub fn with(mut self, wrong: &str, right: &str) -> Self {
        *self.0.pointer_mut(wrong).expect("a place of the schema") =
            serde_json::json!({ "$ref": format!("#{right}") });
        self
    }

    /// The schema of the answer to this call; `path` may have `{app}`-like segments, which stand for any one.
    #[must_use]
    pub fn answer_to(&self, method: &str, path: &str) -> Option<&Value> {
        let definitions = self.0.get("definitions")?.as_object()?;
        definitions.values().find_map(|definition| {
            let links = definition.get("links")?.as_array()?;
            let link = links.iter().find(|link| is_link(link, method, path))?;
            Some(link.get("targetSchema").unwrap_or(definition))
        })
    }

    /// The shape of a data host's answer to a call: `:name` and `{name}` stand for one segment alike.
    #[must_use]
    pub fn shape_of_answer(&self, method: &str, path: &str) -> Option<&Value> {
        let braced = |path: &str| {
            let segment =
                |segment: &str| if segment.starts_with(':') { "{}".to_owned() } else { segment.to_owned() };
            plain(&path.split('/').map(segment).collect::<Vec<_>>().join("/"))
        };
        let is_meant = |call: &str| {
            call.split_once(' ').is_some_and(|(m, href)| m == method && braced(href) == plain(path))
        };
        let (_, call) = self.0.as_object()?.iter().find(|(call, _)| is_meant(call))?;
        call.get("responses")?.get("200")
    }

    /// What the list behind this link can be sorted by, as far as the schema says.
    #[must_use]
    pub fn ranges_of(&self, method: &str, path: &str) -> Vec<String> {
        let definitions =
            self.0.get("definitions").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let links = definitions.filter_map(|definition| definition.get("links")?.as_array()).flatten();
        let ranges = links.filter(|link| is_link(link, method, path)).filter_map(|link| link.get("ranges"));
        ranges.filter_map(Value::as_array).flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Every method and path of the schema, with `{}` for segments that stand for something.
    #[must_use]
    pub fn links(&self) -> Vec<(String, String)> {
        let definitions =
            self.0.get("definitions").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let links = definitions.filter_map(|definition| definition.get("links")?.as_array()).flatten();
        links
            .filter_map(|link| Some((text(link, "method")?.to_ascii_uppercase(), plain(text(link, "href")?))))
            .collect()
    }

    /// Where `body` leaves `schema`; empty when it keeps to it.
    #[must_use]
    pub fn breaches(&self, schema: &Value, body: &Value) -> Vec<Breach> {
        let mut breaches = Vec::new();
        self.check(schema, body, "", &mut breaches);
        breaches
    }

    fn check(&self, schema: &Value, body: &Value, at: &str, breaches: &mut Vec<Breach>) {
        if let Some(reference) = text(schema, "$ref") {
            let target = reference.strip_prefix('#').and_then(|pointer| self.0.pointer(pointer));
            let target =
                target.unwrap_or_else(|| panic!("the schema refers to {reference}, which it does not have"));
            return self.check(target, body, at, breaches);
        }
        let mut breach = |problem: String| breaches.push(Breach { at: at.to_owned(), problem });
        if let Some(problem) = wrong_type(schema, body) {
            return breach(problem);
        }
        if schema.get("enum").and_then(Value::as_array).is_some_and(|allowed| !allowed.contains(body)) {
            breach(format!("{body} is none of {}", schema["enum"]));
        }
        for word in ["anyOf", "oneOf"] {
            let choices = schema.get(word).and_then(Value::as_array);
            if choices
                .is_some_and(|choices| !choices.iter().any(|choice| self.breaches(choice, body).is_empty()))
            {
                breach(format!("{body} fits none of {word}"));
            }
        }
        match body {
            Value::String(value) => wrong_text(schema, value).into_iter().for_each(breach),
            Value::Number(number) => {
                let minimum = schema.get("minimum").and_then(Value::as_f64);
                if minimum.zip(number.as_f64()).is_some_and(|(minimum, number)| number < minimum) {
                    breach(format!("{number} is too small"));
                }
            }
            Value::Array(items) => {
                let Some(schema) = schema.get("items") else { return };
                for (index, item) in items.iter().enumerate() {
                    self.check(schema, item, &format!("{at}/{index}"), breaches);
                }
            }
            Value::Object(fields) => self.check_fields(schema, fields, at, breaches),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn check_fields(
        &self,
        schema: &Value,
        fields: &Map<String, Value>,
        at: &str,
        breaches: &mut Vec<Breach>,
    ) {
        let none = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let patterns = schema.get("patternProperties").and_then(Value::as_object).unwrap_or(&none);
        // Every property is there and no other is, also where the schema does not call itself strict: clients made from
        // it have a field for each.
        let is_strict = !known.is_empty();
        let is_closed = is_strict || schema.get("additionalProperties") == Some(&Value::Bool(false));
        let required = schema.get("required").and_then(Value::as_array);
        let mut wanted: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
        if is_strict {
            wanted.extend(known.keys().map(String::as_str));
        }
        for name in wanted {
            if !fields.contains_key(name) {
                breaches.push(Breach { at: format!("{at}/{name}"), problem: "is missing".to_owned() });
            }
        }
        for (name, value) in fields {
            let at = format!("{at}/{name}");
            let pattern =
                patterns.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, schema)| schema);
            match known.get(name).or(pattern) {
                Some(schema) => self.check(schema, value, &at, breaches),
                // A definition without any properties, as that of config vars, says nothing about them.
                None if is_closed && !(known.is_empty() && patterns.is_empty()) => {
                    breaches.push(Breach { at, problem: "is not in the schema".to_owned() });
                }
                None => {}
            }
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

fn is_link(link: &Value, method: &str, path: &str) -> bool {
    let found = text(link, "method").zip(text(link, "href"));
    found.is_some_and(|(m, href)| m.eq_ignore_ascii_case(method) && plain(href) == plain(path))
}

/// A path with `{}` for every segment in braces.
fn plain(path: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn wrong_type(schema: &Value, body: &Value) -> Option<String> {
    let types: Vec<&str> = match schema.get("type")? {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let actual: &[&str] = match body {
        Value::Null => &["null"],
        Value::Bool(_) => &["boolean"],
        Value::Number(number) if number.is_f64() => &["number"],
        Value::Number(_) => &["integer", "number"],
        Value::String(_) => &["string"],
        Value::Array(_) => &["array"],
        Value::Object(_) => &["object"],
    };
    (!actual.iter().any(|name| types.contains(name))).then(|| format!("{body} is none of {types:?}"))
}

fn wrong_text(schema: &Value, value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(pattern) = text(schema, "pattern").filter(|pattern| !matches(pattern, value)) {
        problems.push(format!("{value:?} does not match {pattern}"));
    }
    let longest = schema.get("maxLength").and_then(Value::as_u64);
    if longest.is_some_and(|longest| value.chars().count() as u64 > longest) {
        problems.push(format!("{value:?} is too long"));
    }
    let pattern = match text(schema, "format") {
        Some("uuid") => "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        Some("date-time") => r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
        Some("email") => "^[^@ ]+@[^@ ]+$",
        // The schema also gives this format to host names.
        Some("uri") => r"^[^ ]+$",
        _ => return problems,
    };
    if !matches(pattern, value) {
        problems.push(format!("{value:?} is no {}", text(schema, "format").unwrap_or_default()));
    }
    problems
}

fn matches(pattern: &str, value: &str) -> bool {
    let regex =
        PikeVM::new(pattern).unwrap_or_else(|error| panic!("the schema's pattern {pattern}: {error}"));
    regex.is_match(&mut regex.create_cache(), value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::of(json!({ "definitions": { "thing": {
            "type": ["object"],
            "definitions": { "id": { "type": ["string"], "format": "uuid" } },
            "properties": {
                "id": { "$ref": "#/definitions/thing/definitions/id" },
                "name": { "type": ["string", "null"], "pattern": "^[-\\w]{1,5}$" },
                "kind": { "enum": ["a", "b"] },
                "owner": { "type": ["object"], "properties": { "email": { "type": ["string"] } } },
                "sizes": { "type": ["array"], "items": { "type": ["integer"], "minimum": 1 } },
            },
            "links": [{
                "method": "Get",
                "href": "/things/{(%23%2Fdefinitions%2Fthing%2Fdefinitions%2Fid)}",
                "targetSchema": { "$ref": "#/definitions/thing" },
            }],
        } } }))
    }

    fn problems(body: Value) -> Vec<String> {
        let schema = schema();
        let target = schema.answer_to("GET", "/things/{thing}").unwrap();
        schema.breaches(target, &body).into_iter().map(|breach| breach.at).collect()
    }

    const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn a_body_that_keeps_to_the_schema_has_no_breach() {
        assert_eq!(
            problems(
                json!({ "id": ID, "name": null, "kind": "a", "sizes": [1, 2], "owner": { "email": "" } })
            ),
            [""; 0]
        );
    }

    #[test]
    fn each_way_to_leave_it_is_found() {
        let good = json!({ "id": ID, "name": "x", "kind": "a", "sizes": [], "owner": { "email": "" } });
        let with = |name: &str, value: Value| {
            let mut body = good.clone();
            body[name] = value;
            problems(body)
        };
        assert_eq!(with("id", json!("x")), ["/id"]);
        assert_eq!(with("name", json!(1)), ["/name"]);
        assert_eq!(with("name", json!("too long")), ["/name"]);
        assert_eq!(with("kind", json!("c")), ["/kind"]);
        assert_eq!(with("sizes", json!([1, 0, "x"])), ["/sizes/1", "/sizes/2"]);
        assert_eq!(with("more", json!(1)), ["/more"]);
        assert_eq!(with("owner", json!({})), ["/owner/email"]);
        assert_eq!(problems(json!({ "id": ID })).len(), 4, "what is missing");
        assert_eq!(problems(json!([])), [""]);
    }
}
