//! Bodies against the published schema, where the contract is at hand; a bare clone counts them as not run. Every link
//! of it that is built has a body here.

use std::collections::BTreeSet;

use paddock_testkit::schema::{Breach, Schema};
use serde_json::{Value, json};

use super::support::{Answer, TestPaddock};

/// What a server of one's own cannot say: the schema's patterns name Heroku's hosts, and its format for host names
/// is that of URLs.
const OTHER_HOSTS: [&str; 2] = ["/git_url", "/web_url"];

/// Where Heroku answers otherwise than its schema says, and what its clients read there.
const OTHERWISE: [(&str, &str); 2] = [
    // The schema has text.
    ("/definitions/app/definitions/generation", "/definitions/dyno-size/definitions/generation"),
    // Who filters apps reads what every list of apps has.
    ("/definitions/filter-apps/links/0/targetSchema/items", "/definitions/app"),
];

/// What is null, for there is no such thing here: caches and repositories are not handed out as archives.
const NOT_HERE: [&str; 4] = ["/cache_get_url", "/cache_put_url", "/repo_delete_url", "/repo_put_url"];

/// Links whose bodies are not looked at.
const WITHOUT_BODY: [(&str, &str); 4] = [
    // The schema says "empty" of it, and no shape.
    ("DELETE", "/apps/{}/build-cache"),
    // Whether a build can still be cancelled is a matter of moments; its body is the one that GET has.
    ("DELETE", "/apps/{}/builds/{}"),
    // There is no feature of accounts yet, and what is not there is not found.
    ("GET", "/account/features/{}"),
    ("PATCH", "/account/features/{}"),
];

struct Checker<'a> {
    t: &'a TestPaddock,
    schema: Schema,
    checked: BTreeSet<(String, String)>,
    breaches: Vec<String>,
}

fn shape(path: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

impl Checker<'_> {
    fn check(&mut self, method: &str, template: &str, answer: &Answer) -> Value {
        assert!(answer.status.is_success(), "{method} {template}: {}", answer.body);
        let schema = self.schema.answer_to(method, template);
        let schema = schema.unwrap_or_else(|| panic!("the schema has no {method} {template}"));
        let excused =
            |breach: &Breach| OTHER_HOSTS.iter().chain(&NOT_HERE).any(|field| breach.at.ends_with(field));
        let found = self.schema.breaches(schema, &answer.body).into_iter().filter(|breach| !excused(breach));
        self.breaches
            .extend(found.map(|breach| format!("{method} {template}{}: {}", breach.at, breach.problem)));
        self.checked.insert((method.to_owned(), shape(template)));
        answer.body.clone()
    }

    async fn get(&mut self, template: &str, path: &str) -> Value {
        let answer = self.t.get(path).send().await;
        self.check("GET", template, &answer)
    }

    async fn send(&mut self, method: &str, template: &str, path: &str, body: Value) -> Value {
        let answer = self.t.call(method, path).json(body).send().await;
        self.check(method, template, &answer)
    }
}

#[tokio::test]
async fn bodies_keep_to_the_published_schema() {
    let Some(schema) = Schema::published() else {
        eprintln!("not run: no contract folder (PADDOCK_CONTRACT_DIR)");
        return;
    };
    let t = TestPaddock::start_alive().await;
    let schema = OTHERWISE.iter().fold(schema, |schema, (wrong, right)| schema.with(wrong, right));
    let mut checker = Checker { t: &t, schema, checked: BTreeSet::new(), breaches: Vec::new() };
    of_accounts(&mut checker).await;
    of_apps(&mut checker).await;
    of_deployed_apps(&mut checker).await;
    of_addons(&mut checker).await;
    of_fixed_things(&mut checker).await;
    of_endings(&mut checker).await;
    assert!(checker.breaches.is_empty(), "bodies leave the published schema: {:#?}", checker.breaches);
    let published: BTreeSet<_> = checker.schema.links().into_iter().collect();
    let excused = |(method, path): &(String, String)| {
        WITHOUT_BODY.iter().any(|(excused, at)| excused == method && at == path)
    };
    let built = paddock_api::routes().into_iter().map(|route| (route.method.to_owned(), shape(route.path)));
    let unchecked: Vec<_> = built
        .filter(|link| published.contains(link) && !checker.checked.contains(link) && !excused(link))
        .collect();
    assert!(unchecked.is_empty(), "built, and no body of it is checked: {unchecked:#?}");
    assert!(checker.checked.len() >= 70, "only {} bodies were checked", checker.checked.len());
}

async fn of_accounts(c: &mut Checker<'_>) {
    c.get("/account", "/account").await;
    c.get("/account/rate-limits", "/account/rate-limits").await;
    c.get("/account/features", "/account/features").await;
    c.get("/users/{u}", "/users/~").await;
    c.send("PATCH", "/account", "/account", json!({ "name": "Somebody" })).await;
    c.send("PATCH", "/users/{u}", "/users/~", json!({ "name": null })).await;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@home";
    let key = c.t.post("/account/keys").json(json!({ "public_key": key })).send().await.expect(201).clone();
    c.get("/account/keys", "/account/keys").await;
    c.get("/account/keys/{k}", &format!("/account/keys/{}", key["id"].as_str().unwrap())).await;
    let order = json!({ "description": "x", "scope": ["global"], "expires_in": 60 });
    let made = c.send("POST", "/oauth/authorizations", "/oauth/authorizations", order).await;
    c.get("/oauth/authorizations", "/oauth/authorizations").await;
    let one = format!("/oauth/authorizations/{}", made["id"].as_str().unwrap());
    c.get("/oauth/authorizations/{a}", &one).await;
    c.send("PATCH", "/oauth/authorizations/{a}", &one, json!({ "description": "y" })).await;
    let renew = format!("{one}/actions/regenerate-tokens");
    let template = "/oauth/authorizations/{a}/actions/regenerate-tokens";
    let renewed = c.send("POST", template, &renew, Value::Null).await;
    let one = format!("/oauth/authorizations/{}", renewed["id"].as_str().unwrap());
    c.send("DELETE", "/oauth/authorizations/{a}", &one, Value::Null).await;
}

async fn of_apps(c: &mut Checker<'_>) {
    c.send("POST", "/apps", "/apps", json!({ "name": "shaped" })).await;
    c.get("/apps", "/apps").await;
    c.send("POST", "/filters/apps", "/filters/apps", json!({})).await;
    c.get("/users/{u}/apps", "/users/~/apps").await;
    c.get("/apps/{a}", "/apps/shaped").await;
    c.send("PATCH", "/apps/{a}", "/apps/shaped", json!({ "maintenance": true })).await;
    c.send("PATCH", "/apps/{a}/config-vars", "/apps/shaped/config-vars", json!({ "A": "1" })).await;
    c.get("/apps/{a}/config-vars", "/apps/shaped/config-vars").await;
    let shared = json!({ "user": super::support::STRANGER });
    c.send("POST", "/apps/{a}/collaborators", "/apps/shaped/collaborators", shared).await;
    c.get("/apps/{a}/collaborators", "/apps/shaped/collaborators").await;
    let one = format!("/apps/shaped/collaborators/{}", super::support::STRANGER);
    c.get("/apps/{a}/collaborators/{c}", &one).await;
    c.send("DELETE", "/apps/{a}/collaborators/{c}", &one, Value::Null).await;
    c.get("/apps/{a}/domains", "/apps/shaped/domains").await;
    let domain = json!({ "hostname": "www.example.com", "sni_endpoint": null });
    c.send("POST", "/apps/{a}/domains", "/apps/shaped/domains", domain).await;
    c.get("/apps/{a}/domains/{d}", "/apps/shaped/domains/www.example.com").await;
    let update = json!({ "sni_endpoint": null });
    c.send("PATCH", "/apps/{a}/domains/{d}", "/apps/shaped/domains/www.example.com", update).await;
    c.get("/apps/{a}/features", "/apps/shaped/features").await;
    c.send("PATCH", "/apps/{a}/features/{f}", "/apps/shaped/features/preboot", json!({ "enabled": true }))
        .await;
    c.send("POST", "/apps/{a}/log-sessions", "/apps/shaped/log-sessions", json!({})).await;
    let buildpacks = json!({ "updates": [{ "buildpack": "heroku/python" }] });
    c.send("PUT", "/apps/{a}/buildpack-installations", "/apps/shaped/buildpack-installations", buildpacks)
        .await;
    c.get("/apps/{a}/buildpack-installations", "/apps/shaped/buildpack-installations").await;
    c.send("POST", "/sources", "/sources", json!({})).await;
    c.send("POST", "/apps/{a}/sources", "/apps/shaped/sources", json!({})).await;
    for list in ["available-stacks", "available-dyno-sizes"] {
        c.get(&format!("/apps/{{a}}/{list}"), &format!("/apps/shaped/{list}")).await;
    }
    for list in paddock_api::EMPTY_LISTS {
        if c.schema.answer_to("GET", list).is_some() {
            let path = list.replace("{app}", "shaped").replace("{user}", "~").replace("{region}", "us");
            c.get(list, &path).await;
        }
    }
    c.get("/apps/{a}/features/{f}", "/apps/shaped/features/preboot").await;
    c.send("DELETE", "/apps/{a}/domains/{d}", "/apps/shaped/domains/www.example.com", Value::Null).await;
}

async fn of_addons(c: &mut Checker<'_>) {
    let order = json!({ "plan": "heroku-fake:small", "name": "shaped-fake", "config": { } });
    let made = c.send("POST", "/apps/{a}/addons", "/apps/shaped/addons", order).await;
    assert_eq!(made["state"], "provisioned");
    for (template, path) in [
        ("/addons", "/addons"),
        ("/addons/{o}", "/addons/shaped-fake"),
        ("/addons/{o}/config", "/addons/shaped-fake/config"),
        ("/addons/{o}/addon-attachments", "/addons/shaped-fake/addon-attachments"),
        ("/apps/{a}/addons", "/apps/shaped/addons"),
        ("/apps/{a}/addons/{o}", "/apps/shaped/addons/shaped-fake"),
        ("/users/{u}/addons", "/users/~/addons"),
        ("/addon-attachments", "/addon-attachments"),
        ("/apps/{a}/addon-attachments", "/apps/shaped/addon-attachments"),
        ("/apps/{a}/addon-attachments/{n}", "/apps/shaped/addon-attachments/FAKE"),
        ("/addon-services", "/addon-services"),
        ("/addon-services/{s}", "/addon-services/heroku-fake"),
        ("/addon-services/{s}/plans", "/addon-services/heroku-fake/plans"),
        ("/addon-services/{s}/plans/{p}", "/addon-services/heroku-fake/plans/small"),
        ("/plans/{p}", "/plans/heroku-fake:small"),
    ] {
        let body = c.get(template, path).await;
        assert!(body.as_array().is_none_or(|list| !list.is_empty()), "nothing in {path}");
    }
    let attach = json!({ "addon": "shaped-fake", "app": "shaped", "name": "AGAIN" });
    let attached = c.send("POST", "/addon-attachments", "/addon-attachments", attach).await;
    let one = format!("/addon-attachments/{}", attached["id"].as_str().unwrap());
    c.get("/addon-attachments/{n}", &one).await;
    c.send("DELETE", "/addon-attachments/{n}", &one, Value::Null).await;
    let which = json!({ "addon": "shaped-fake", "app": "shaped" });
    c.send("POST", "/actions/addons/resolve", "/actions/addons/resolve", which).await;
    let which = json!({ "addon_attachment": "FAKE_URL", "app": "shaped" });
    c.send("POST", "/actions/addon-attachments/resolve", "/actions/addon-attachments/resolve", which).await;
    let plan = json!({ "plan": "heroku-fake:small" });
    c.send("PATCH", "/apps/{a}/addons/{o}", "/apps/shaped/addons/shaped-fake", plan).await;
    c.send("DELETE", "/apps/{a}/addons/{o}", "/apps/shaped/addons/shaped-fake", json!({})).await;
}

async fn of_deployed_apps(c: &mut Checker<'_>) {
    let t = c.t;
    t.deploy("shaped", &[("web", "serve")]).await;
    c.get("/apps/{a}/releases", "/apps/shaped/releases").await;
    let release = c.get("/apps/{a}/releases/{r}", "/apps/shaped/releases/v4").await;
    c.get("/apps/{a}/releases/{r}/config-vars", "/apps/shaped/releases/v4/config-vars").await;
    c.get("/apps/{a}/slugs/{s}", &format!("/apps/shaped/slugs/{}", release["slug"]["id"].as_str().unwrap()))
        .await;
    let slug = json!({ "process_types": { "web": "serve" } });
    c.send("POST", "/apps/{a}/slugs", "/apps/shaped/slugs", slug).await;
    c.get("/apps/{a}/formation", "/apps/shaped/formation").await;
    c.get("/apps/{a}/formation/{f}", "/apps/shaped/formation/web").await;
    let scale = json!({ "updates": [{ "type": "web", "quantity": 2 }] });
    c.send("PATCH", "/apps/{a}/formation", "/apps/shaped/formation", scale).await;
    c.send("PATCH", "/apps/{a}/formation/{f}", "/apps/shaped/formation/web", json!({ "quantity": 1 })).await;
    t.eventually("web.1", async || {
        (t.get("/apps/shaped/dynos/web.1").send().await.status == 200).then_some(())
    })
    .await;
    c.get("/apps/{a}/dynos", "/apps/shaped/dynos").await;
    c.get("/apps/{a}/dynos/{d}", "/apps/shaped/dynos/web.1").await;
    c.send("POST", "/apps/{a}/dynos", "/apps/shaped/dynos", json!({ "command": "ls", "attach": true })).await;
    let source = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    let put = source["put_url"].as_str().unwrap().strip_prefix("http://localhost:5000").unwrap().to_owned();
    t.put(&put).anonymous().body("x").send().await;
    let build = json!({ "source_blob": { "url": source["get_url"] } });
    let made = c.send("POST", "/apps/{a}/builds", "/apps/shaped/builds", build).await;
    c.get("/apps/{a}/build-metadata", "/apps/shaped/build-metadata").await;
    c.get("/apps/{a}/builds", "/apps/shaped/builds").await;
    c.get("/apps/{a}/builds/{b}", &format!("/apps/shaped/builds/{}", made["id"].as_str().unwrap())).await;
    let back = json!({ "release": release["id"] });
    c.send("POST", "/apps/{a}/releases", "/apps/shaped/releases", back).await;
}

/// Each begins with web.1 there: a stop or restart before it takes a moment.
async fn of_endings(c: &mut Checker<'_>) {
    let web = "/apps/shaped/dynos/web.1";
    let formation = "/apps/shaped/formations/web";
    for (method, template, path) in [
        ("POST", "/apps/{a}/dynos/{d}/actions/stop", format!("{web}/actions/stop")),
        ("DELETE", "/apps/{a}/dynos/{d}", web.to_owned()),
        ("POST", "/apps/{a}/formations/{t}/actions/stop", format!("{formation}/actions/stop")),
        ("DELETE", "/apps/{a}/formations/{t}", formation.to_owned()),
        ("DELETE", "/apps/{a}/dynos", "/apps/shaped/dynos".to_owned()),
    ] {
        let is_up = async || (c.t.get(web).send().await.body["state"] == "up").then_some(());
        c.t.eventually("web.1 to be up", is_up).await;
        c.send(method, template, &path, Value::Null).await;
    }
    c.send("DELETE", "/apps/{a}", "/apps/shaped", Value::Null).await;
    for (path, template) in [("/users/~", "/users/{u}"), ("/account", "/account")] {
        let leaver = format!("leaver{}@example.com", path.len());
        c.t.control.people.create_account(&leaver, None, super::support::PASSWORD).await.unwrap();
        let token = c.t.log_in(&leaver).await;
        let gone = c.t.delete(path).token(&token).send().await;
        c.check("DELETE", template, &gone);
    }
}

async fn of_fixed_things(c: &mut Checker<'_>) {
    for list in ["/stacks", "/regions", "/dyno-sizes", "/generations"] {
        let all = c.get(list, list).await;
        let name = all[0]["name"].as_str().unwrap().to_owned();
        c.get(&format!("{list}/{{x}}"), &format!("{list}/{name}")).await;
    }
}
