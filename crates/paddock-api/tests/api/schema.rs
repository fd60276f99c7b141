//! Bodies against the published schema, where the contract is at hand; a bare clone counts them as not run.

use paddock_testkit::schema::{Breach, Schema};
use serde_json::{Value, json};

use crate::support::{Answer, TestPaddock};

/// What a server of one's own cannot say: the schema's patterns name Heroku's hosts, and its format for host names
/// is that of URLs.
const OTHER_HOSTS: [&str; 2] = ["/git_url", "/web_url"];

struct Checker<'a> {
    t: &'a TestPaddock,
    schema: Schema,
    checked: usize,
}

impl Checker<'_> {
    fn check(&mut self, method: &str, template: &str, answer: &Answer) -> Value {
        assert!(answer.status.is_success(), "{method} {template}: {}", answer.body);
        let schema = self.schema.answer_to(method, template);
        let schema = schema.unwrap_or_else(|| panic!("the schema has no {method} {template}"));
        let excused = |breach: &Breach| OTHER_HOSTS.iter().any(|field| breach.at.ends_with(field));
        let breaches: Vec<_> = self
            .schema
            .breaches(schema, &answer.body)
            .into_iter()
            .filter(|breach| !excused(breach))
            .collect();
        assert_eq!(breaches, [], "{method} {template}: {}", answer.body);
        self.checked += 1;
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
    let mut checker = Checker { t: &t, schema, checked: 0 };
    of_accounts(&mut checker).await;
    of_apps(&mut checker).await;
    of_deployed_apps(&mut checker).await;
    of_fixed_things(&mut checker).await;
    assert!(checker.checked >= 40, "only {} bodies were checked", checker.checked);
}

async fn of_accounts(c: &mut Checker<'_>) {
    c.get("/account", "/account").await;
    c.get("/account/rate-limits", "/account/rate-limits").await;
    c.get("/account/features", "/account/features").await;
    c.get("/users/{u}", "/users/~").await;
    let order = json!({ "description": "x", "scope": ["global"], "expires_in": 60 });
    let made = c.send("POST", "/oauth/authorizations", "/oauth/authorizations", order).await;
    c.get("/oauth/authorizations", "/oauth/authorizations").await;
    let one = format!("/oauth/authorizations/{}", made["id"].as_str().unwrap());
    c.get("/oauth/authorizations/{a}", &one).await;
    c.send("PATCH", "/oauth/authorizations/{a}", &one, json!({ "description": "y" })).await;
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
    c.get("/apps/{a}/collaborators", "/apps/shaped/collaborators").await;
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
}

async fn of_deployed_apps(c: &mut Checker<'_>) {
    let t = c.t;
    t.deploy("shaped", &[("web", "serve")]).await;
    c.get("/apps/{a}/releases", "/apps/shaped/releases").await;
    let release = c.get("/apps/{a}/releases/{r}", "/apps/shaped/releases/v4").await;
    c.get("/apps/{a}/releases/{r}/config-vars", "/apps/shaped/releases/v4/config-vars").await;
    c.get("/apps/{a}/slugs/{s}", &format!("/apps/shaped/slugs/{}", release["slug"]["id"].as_str().unwrap()))
        .await;
    c.get("/apps/{a}/formation", "/apps/shaped/formation").await;
    c.get("/apps/{a}/formation/{f}", "/apps/shaped/formation/web").await;
    let scale = json!({ "updates": [{ "type": "web", "quantity": 2 }] });
    c.send("PATCH", "/apps/{a}/formation", "/apps/shaped/formation", scale).await;
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
    c.get("/apps/{a}/builds", "/apps/shaped/builds").await;
    c.get("/apps/{a}/builds/{b}", &format!("/apps/shaped/builds/{}", made["id"].as_str().unwrap())).await;
    let back = json!({ "release": release["id"] });
    c.send("POST", "/apps/{a}/releases", "/apps/shaped/releases", back).await;
    c.send("DELETE", "/apps/{a}", "/apps/shaped", Value::Null).await;
}

async fn of_fixed_things(c: &mut Checker<'_>) {
    for list in ["/stacks", "/regions", "/dyno-sizes", "/generations"] {
        let all = c.get(list, list).await;
        let name = all[0]["name"].as_str().unwrap().to_owned();
        c.get(&format!("{list}/{{x}}"), &format!("{list}/{name}")).await;
    }
}
