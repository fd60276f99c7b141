//! Verbs that are one call: the change is stored or it is not.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use e2e::{Answer, wait_until};
use serde_json::{Value, json};

use super::{Kind, Verb, kind};
use crate::client::{APP, Client, Told};

pub(super) fn verbs() -> Vec<Kind> {
    let calls = [
        call("config change", nothing_first, set_config, has_config),
        call("domain added", nothing_first, add_domain, has_domain),
        call("domain removed", have_domain, remove_domain, lacks_domain),
        call("app feature", nothing_first, set_app_feature, has_app_feature),
        call("maintenance", nothing_first, set_maintenance, has_maintenance),
        call("buildpacks", nothing_first, set_buildpacks, has_buildpacks),
        call("authorization made", nothing_first, authorize, is_authorized),
        call("authorization revoked", have_authorization, revoke, is_revoked),
        call("account change", nothing_first, rename_account, has_account_name),
        call("key added", have_no_key, add_key, has_key),
        call("key removed", have_key, remove_key, has_no_key),
        call("collaborator added", have_no_collaborator, add_collaborator, has_collaborator),
        call("collaborator removed", have_collaborator, remove_collaborator, has_no_collaborator),
        call("request sent twice", nothing_first, make_once, is_made_once),
        call("slug packed elsewhere", nothing_first, pack_slug, nothing_more),
        call("log session", nothing_first, open_log, nothing_more),
        call("favorite made", have_no_favorite, add_favorite, has_favorite),
        call("favorite removed", have_favorite, remove_favorite, has_no_favorite),
        call("upload that breaks off", nothing_first, break_off, nothing_more),
        call("authorization renamed", have_authorization, rename_authorization, is_renamed),
        call("authorization used", nothing_first, use_authorization, nothing_more),
        call("login", nothing_first, log_in, nothing_more),
        call("login refused", nothing_first, log_in_badly, nothing_more),
    ];
    calls.into()
}

/// One call of the API, what must be there for it, and what is so afterwards.
struct Call {
    prepare: fn(&Client, usize),
    call: fn(&Client, usize) -> Answer,
    check: fn(&Client, usize),
}

fn call(
    name: &'static str,
    prepare: fn(&Client, usize),
    call: fn(&Client, usize) -> Answer,
    check: fn(&Client, usize),
) -> Kind {
    kind(name, move || Call { prepare, call, check })
}

fn nothing_first(_: &Client, _: usize) {}

impl Verb for Call {
    fn prepare(&mut self, client: &Client, number: usize) {
        (self.prepare)(client, number);
    }

    fn attempt(&self, client: &Client, number: usize) -> Told {
        Told::by(&(self.call)(client, number))
    }

    fn check(&self, client: &Client, number: usize, _: &Told) {
        (self.check)(client, number);
    }
}

fn set_config(client: &Client, number: usize) -> Answer {
    let vars = json!({ "GREETING": number.to_string() });
    client.http.api_json("PATCH", &format!("/apps/{APP}/config-vars"), &vars)
}

fn has_config(client: &Client, number: usize) {
    assert_eq!(client.get(&format!("/apps/{APP}/config-vars"))["GREETING"], number.to_string());
    let wanted = json!(number.to_string());
    wait_until("the new config in the app", Duration::from_secs(60), || {
        (client.page(APP)["greeting"] == wanted).then_some(())
    });
}

const DOMAIN: &str = "walker.example.com";

fn domains(client: &Client) -> Vec<Value> {
    let mut domains = client.list(&format!("/apps/{APP}/domains"));
    domains.retain(|domain| domain["kind"] == "custom");
    domains
}

/// A name of its own in each round; one that a client was cut off with is there or is made.
fn add_domain(client: &Client, number: usize) -> Answer {
    let name = format!("{number}.{DOMAIN}");
    let there = client.http.api("GET", &format!("/apps/{APP}/domains/{name}"));
    if there.status == 200 {
        return there;
    }
    let wanted = json!({ "hostname": name, "sni_endpoint": null });
    client.http.api_json("POST", &format!("/apps/{APP}/domains"), &wanted)
}

fn has_domain(client: &Client, number: usize) {
    let page = client.page_at(&format!("{number}.{DOMAIN}"));
    assert!(page["dyno"].as_str().is_some_and(|dyno| dyno.starts_with("web.")), "{page}");
    if number.is_multiple_of(8) {
        for domain in domains(client) {
            let id = domain["id"].as_str().unwrap_or_default();
            client.http.api("DELETE", &format!("/apps/{APP}/domains/{id}")).with_status(200);
        }
    }
}

fn have_domain(client: &Client, number: usize) {
    add_domain(client, number).with_status(201);
}

/// One that a client was cut off with is there or is gone.
fn remove_domain(client: &Client, number: usize) -> Answer {
    gone(client.http.api("DELETE", &format!("/apps/{APP}/domains/{number}.{DOMAIN}")))
}

/// What is not there any more was removed.
fn gone(mut answer: Answer) -> Answer {
    if answer.status == 404 {
        answer.status = 200;
    }
    answer
}

fn lacks_domain(client: &Client, number: usize) {
    let name = format!("{number}.{DOMAIN}");
    assert!(domains(client).iter().all(|domain| domain["hostname"] != name.as_str()));
}

fn set_app_feature(client: &Client, number: usize) -> Answer {
    let wanted = json!({ "enabled": number.is_multiple_of(2) });
    client.http.api_json("PATCH", &format!("/apps/{APP}/features/runtime-dyno-metadata"), &wanted)
}

fn has_app_feature(client: &Client, number: usize) {
    let feature = client.get(&format!("/apps/{APP}/features/runtime-dyno-metadata"));
    assert_eq!(feature["enabled"], number.is_multiple_of(2));
}

/// On, and off again by the check: an app in maintenance has no page.
fn set_maintenance(client: &Client, _: usize) -> Answer {
    client.http.api_json("PATCH", &format!("/apps/{APP}"), &json!({ "maintenance": true }))
}

fn has_maintenance(client: &Client, _: usize) {
    let path = format!("/apps/{APP}");
    assert_eq!(client.get(&path)["maintenance"], true);
    client.http.api_json("PATCH", &path, &json!({ "maintenance": false })).with_status(200);
}

fn set_buildpacks(client: &Client, _: usize) -> Answer {
    let updates = json!({ "updates": [{ "buildpack": "heroku/procfile" }] });
    client.http.api_json("PUT", &format!("/apps/{APP}/buildpack-installations"), &updates)
}

fn has_buildpacks(client: &Client, _: usize) {
    assert_eq!(client.list(&format!("/apps/{APP}/buildpack-installations")).len(), 1);
}

fn authorize(client: &Client, number: usize) -> Answer {
    client.http.api_json("POST", "/oauth/authorizations", &json!({ "description": format!("walk {number}") }))
}

fn authorizations(client: &Client) -> Vec<Value> {
    let answer = client.http.api("GET", "/oauth/authorizations");
    // Asked within an attempt, too, when the server may be gone.
    let mut found =
        if answer.status == 200 { answer.json().as_array().cloned().unwrap_or_default() } else { Vec::new() };
    found.retain(|row| row["description"].as_str().is_some_and(|text| text.starts_with("walk ")));
    found
}

fn is_authorized(client: &Client, number: usize) {
    let wanted = format!("walk {number}");
    assert!(authorizations(client).iter().any(|row| row["description"] == wanted.as_str()));
}

fn have_authorization(client: &Client, number: usize) {
    authorize(client, number).with_status(201);
}

/// The path of this round's authorization; of none when it is gone.
fn authorization(client: &Client, number: usize) -> String {
    let wanted = format!("walk {number}");
    let found = authorizations(client).into_iter().find(|row| row["description"] == wanted.as_str());
    let id = found.as_ref().and_then(|row| row["id"].as_str()).unwrap_or("none");
    format!("/oauth/authorizations/{id}")
}

fn revoke(client: &Client, number: usize) -> Answer {
    gone(client.http.api("DELETE", &authorization(client, number)))
}

fn is_revoked(client: &Client, number: usize) {
    assert!(authorization(client, number).ends_with("/none"));
}

fn rename_authorization(client: &Client, number: usize) -> Answer {
    let path = authorization(client, number);
    let renamed = json!({ "description": format!("walk renamed {number}") });
    gone(client.http.api_json("PATCH", &path, &renamed))
}

fn is_renamed(client: &Client, number: usize) {
    let wanted = format!("walk renamed {number}");
    assert!(authorizations(client).iter().any(|row| row["description"] == wanted.as_str()));
}

/// When a token was last used is kept.
fn use_authorization(client: &Client, number: usize) -> Answer {
    let made = authorize(client, number);
    if made.status != 201 {
        return made;
    }
    let token = made.json()["access_token"]["token"].as_str().unwrap_or_default().to_owned();
    let url = format!("http://localhost:{}/account", client.http.port());
    let headers =
        ["Accept: application/vnd.heroku+json; version=3", &format!("Authorization: Bearer {token}")];
    client.http.request("GET", &url, &headers, None)
}

fn log_in(client: &Client, _: usize) -> Answer {
    client.http.log_in(&client.email, &client.password)
}

fn rename_account(client: &Client, number: usize) -> Answer {
    client.http.api_json("PATCH", "/account", &json!({ "name": format!("Ada {number}") }))
}

fn has_account_name(client: &Client, number: usize) {
    assert_eq!(client.get("/account")["name"], format!("Ada {number}"));
}

fn have_no_key(client: &Client, _: usize) {
    for key in client.list("/account/keys") {
        let id = key["id"].as_str().unwrap_or_default();
        client.http.api("DELETE", &format!("/account/keys/{id}")).with_status(200);
    }
}

fn have_key(client: &Client, number: usize) {
    have_no_key(client, number);
    add_key(client, number).with_status(201);
}

/// One that a client was cut off with is there or is made.
fn add_key(client: &Client, _: usize) -> Answer {
    let there = client.http.api("GET", "/account/keys");
    if there.status == 200 && there.json().as_array().is_some_and(|keys| !keys.is_empty()) {
        return there;
    }
    client.http.api_json("POST", "/account/keys", &json!({ "public_key": client.public_key }))
}

fn has_key(client: &Client, _: usize) {
    assert_eq!(client.list("/account/keys").len(), 1);
}

fn remove_key(client: &Client, _: usize) -> Answer {
    let there = client.http.api("GET", "/account/keys");
    if there.status != 200 {
        return there;
    }
    match there.json()[0]["id"].as_str() {
        Some(id) => gone(client.http.api("DELETE", &format!("/account/keys/{id}"))),
        None => there,
    }
}

fn has_no_key(client: &Client, _: usize) {
    assert_eq!(client.list("/account/keys"), Vec::<Value>::new());
}

fn collaborators(client: &Client) -> usize {
    client.list(&format!("/apps/{APP}/collaborators")).len()
}

fn have_no_collaborator(client: &Client, number: usize) {
    remove_collaborator(client, number).with_status(200);
}

fn have_collaborator(client: &Client, number: usize) {
    have_no_collaborator(client, number);
    add_collaborator(client, number).with_status(201);
}

fn add_collaborator(client: &Client, _: usize) -> Answer {
    let there = client.http.api("GET", &format!("/apps/{APP}/collaborators/{}", client.colleague));
    if there.status == 200 {
        return there;
    }
    let wanted = json!({ "user": client.colleague });
    client.http.api_json("POST", &format!("/apps/{APP}/collaborators"), &wanted)
}

fn has_collaborator(client: &Client, _: usize) {
    assert_eq!(collaborators(client), 2);
}

fn remove_collaborator(client: &Client, _: usize) -> Answer {
    gone(client.http.api("DELETE", &format!("/apps/{APP}/collaborators/{}", client.colleague)))
}

fn has_no_collaborator(client: &Client, _: usize) {
    assert_eq!(collaborators(client), 1);
}

/// The dashboard's links; clients know them by the proxy form, but they are the server's at any name.
fn favorites(client: &Client) -> Vec<Value> {
    client.list("/favorites?type=app")
}

fn have_no_favorite(client: &Client, number: usize) {
    remove_favorite(client, number).with_status(200);
}

fn have_favorite(client: &Client, number: usize) {
    add_favorite(client, number).with_status(201);
}

fn add_favorite(client: &Client, _: usize) -> Answer {
    client.http.api_json("POST", "/favorites", &json!({ "resource_id": APP, "type": "app" }))
}

fn has_favorite(client: &Client, _: usize) {
    assert_eq!(favorites(client).len(), 1);
}

/// One that a client was cut off with is there or is gone.
fn remove_favorite(client: &Client, _: usize) -> Answer {
    let there = client.http.api("GET", "/favorites?type=app");
    if there.status != 200 {
        return there;
    }
    match there.json()[0]["id"].as_str() {
        Some(id) => gone(client.http.api("DELETE", &format!("/favorites/{id}"))),
        None => there,
    }
}

fn has_no_favorite(client: &Client, _: usize) {
    assert_eq!(favorites(client), Vec::<Value>::new());
}

/// The archive of a source, of which the client sends half and goes. What came is removed, or is after a day.
fn break_off(client: &Client, _: usize) -> Answer {
    let source = client.http.api("POST", "/sources");
    if source.status != 201 {
        return source;
    }
    let url = source.json()["source_blob"]["put_url"].as_str().unwrap_or_default().to_owned();
    let (_, path) = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap_or_default();
    let mut stream = TcpStream::connect(("127.0.0.1", client.http.port())).unwrap();
    let head = format!("PUT /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nhalf");
    stream.write_all(head.as_bytes()).unwrap();
    wait_until("what came", Duration::from_secs(10), || {
        let files = fs::read_dir(client.data.join("sources")).ok()?;
        files.flatten().any(|file| file.path().extension().is_some_and(|part| part == "part")).then_some(())
    });
    source
}

/// A creation with a Request-Id, sent again with the same one by a client that was cut off. It is made, or the client
/// hears that nobody knows, and looks; never is it made twice.
fn make_once(client: &Client, number: usize) -> Answer {
    let headers = ["Content-Type: application/json".to_owned(), format!("Request-Id: walk-{number}")];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let body = json!({ "description": format!("walk once {number}") }).to_string();
    let mut answer = client.http.api_with("POST", "/oauth/authorizations", &headers, Some(&body));
    if answer.status == 409 {
        answer.status = 200;
    }
    answer
}

fn is_made_once(client: &Client, number: usize) {
    let wanted = format!("walk once {number}");
    let made = authorizations(client).iter().filter(|row| row["description"] == wanted.as_str()).count();
    assert!(made <= 1, "invariant: a request that is sent again is not carried out twice");
}

/// A slug that the client packs: made, and its archive put.
fn pack_slug(client: &Client, _: usize) -> Answer {
    let order = json!({ "process_types": { "web": "python3 web.py" } });
    let slug = client.http.api_json("POST", &format!("/apps/{APP}/slugs"), &order);
    if slug.status != 201 {
        return slug;
    }
    let slug = slug.json();
    client.http.upload(slug["blob"]["url"].as_str().unwrap_or_default(), &client.slug_archive)
}

fn open_log(client: &Client, _: usize) -> Answer {
    client.http.api_json("POST", &format!("/apps/{APP}/log-sessions"), &json!({ "lines": 1 }))
}

/// A password that is wrong is refused; that it was tried is kept.
fn log_in_badly(client: &Client, number: usize) -> Answer {
    let mut answer = client.http.log_in(&format!("walker-{number}@example.com"), "wrong");
    if answer.status == 401 || answer.status == 429 {
        answer.status = 200;
    }
    answer
}

fn nothing_more(_: &Client, _: usize) {}
