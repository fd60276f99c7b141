//! Every route: without a token, with a stranger's, with a bad Range. A new route is walked without being named here.

use paddock_api::{Access, Route, routes};
use serde_json::{Value, json};

use super::support::TestPaddock;

/// Things of the owner's, by which paths are filled. Asked for once: a walk may remove them.
struct Things {
    slug: String,
    authorization: String,
    key: String,
    build: String,
    favorite: String,
    addon: String,
    attachment: String,
    database: String,
    transfer: String,
    schedule: String,
}

async fn things(t: &TestPaddock) -> Things {
    let id = |body: &Value| body["id"].as_str().unwrap().to_owned();
    let release = t.get("/apps/walked/releases/v3").send().await.body;
    // Not the one that the walk itself is made with.
    let authorization = t.post("/oauth/authorizations").json(json!({})).send().await.body;
    let order = json!({ "resource_id": "walked", "type": "app" });
    let addon = |name: &str| t.get(&format!("/addons/{name}")).send();
    let of_database = |rest: &str| format!("/client/v11/databases/walked-database/{rest}");
    let uuid = |body: &Value| body["uuid"].as_str().unwrap().to_owned();
    let daily = json!({ "hour": "02", "timezone": "UTC", "schedule_name": "DATABASE_URL" });
    Things {
        addon: id(&addon("walked-fake").await.body),
        attachment: id(&t.get("/apps/walked/addon-attachments/FAKE").send().await.body),
        database: id(&addon("walked-database").await.body),
        transfer: uuid(t.post(&of_database("backups")).send().await.expect(201)),
        schedule: uuid(t.post(&of_database("transfer-schedules")).json(daily).send().await.expect(201)),
        slug: id(&release["slug"]),
        authorization: id(&authorization),
        key: id(&t.get("/account/keys").send().await.body[0]),
        build: id(&t.get("/apps/walked/builds").send().await.body[0]),
        favorite: id(&t.post("/favorites").json(order).send().await.body),
    }
}

/// A route's path with a thing for each segment that stands for one.
fn filled(things: &Things, route: &Route) -> String {
    let segment = |segment: &str| match segment {
        "{addon}" => things.addon.clone(),
        "{app}" => "walked".to_owned(),
        "{attachment}" => things.attachment.clone(),
        "{credential}" => "default".to_owned(),
        "{database}" => things.database.clone(),
        "{transfer}" => things.transfer.clone(),
        "{schedule}" => things.schedule.clone(),
        // Whoever has an account and the id may read one: this is of none.
        "{report}" => "01234567-0123-4123-8123-0123456789ab".to_owned(),
        "{namespace}" => "credential:default".to_owned(),
        "{plan}" => "heroku-fake:small".to_owned(),
        "{service}" => "heroku-fake".to_owned(),
        "{authorization}" => things.authorization.clone(),
        "{build}" => things.build.clone(),
        "{collaborator}" | "{user}" => super::support::OWNER.to_owned(),
        "{domain}" => "walked.paddock.example".to_owned(),
        "{dyno}" => "web.1".to_owned(),
        "{feature}" => "preboot".to_owned(),
        "{formation}" | "{type}" => "web".to_owned(),
        "{generation}" => "cedar".to_owned(),
        "{key}" => things.key.clone(),
        "{region}" => "us".to_owned(),
        "{release}" => "v3".to_owned(),
        "{session}" => "~".to_owned(),
        "{size}" => "Basic".to_owned(),
        "{slug}" => things.slug.clone(),
        "{stack}" => "host".to_owned(),
        "{repository}" => "walked.git".to_owned(),
        "{favorite}" => things.favorite.clone(),
        "{digest}" => format!("sha256:{}", "0".repeat(64)),
        "{reference}" => "latest".to_owned(),
        "{upload}" => "01234567-0123-4123-8123-0123456789ab".to_owned(),
        "{secret}" | "{buildpack}" => "nonsense".to_owned(),
        other if other.starts_with('{') => {
            panic!("{} has a segment the walker does not know: {other}", route.path)
        }
        other => other.to_owned(),
    };
    route.path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// A body that each call would take.
fn body_for(route: &Route) -> Value {
    match (route.method, route.path) {
        ("PATCH", "/apps/{app}/formation") => json!({ "updates": [] }),
        ("PUT", "/apps/{app}/buildpack-installations") => json!({ "updates": [] }),
        ("POST", "/apps/{app}/dynos") => json!({ "command": "ls" }),
        ("PATCH", "/apps/{app}/domains/{domain}") => json!({ "sni_endpoint": null }),
        ("POST", "/apps/{app}/domains") => json!({ "hostname": "walk.example.org", "sni_endpoint": null }),
        ("POST", "/apps/{app}/builds") => json!({ "source_blob": { "url": "x" } }),
        ("POST", "/apps/{app}/slugs") => json!({ "process_types": { "web": "serve" } }),
        ("POST", "/account/keys") => json!({ "public_key": "ssh-ed25519 x" }),
        ("POST", "/apps/{app}/collaborators") => json!({ "user": super::support::STRANGER }),
        // Nobody makes it here, and the answer would wait for it.
        ("POST", "/apps/{app}/addons") => json!({ "plan": "heroku-fake:none" }),
        ("POST", "/postgres/v0/databases/{database}/credentials") => json!({ "name": "walked" }),
        ("POST", "/client/v11/databases/{database}/restores") => {
            json!({ "backup_url": "https://x.example/" })
        }
        ("POST", "/client/v11/databases/{database}/transfers") => {
            json!({ "from_url": "postgres://a@x.example/a", "to_url": "postgres://b@x.example/b" })
        }
        ("POST", "/reports") => {
            let url = "postgres://u15:p@10.0.0.1:5432/d1";
            json!({ "app": "walked", "database": "DATABASE_URL", "url": url })
        }
        ("POST", "/client/v11/databases/{database}/transfer-schedules") => {
            json!({ "hour": "03", "timezone": "UTC", "schedule_name": "DATABASE_URL" })
        }
        ("PATCH", path) if path.contains("/features/") => json!({ "enabled": true }),
        _ => json!({}),
    }
}

async fn walked_app() -> TestPaddock {
    let t = TestPaddock::start().await;
    t.deployed_app("walked", &[("web", "serve")]).await;
    t.addon("walked", ("heroku-fake", "small"), "walked-fake", "FAKE").await;
    t.addon("walked", ("heroku-postgresql", "essential-0"), "walked-database", "DATABASE").await;
    let source = t.post("/sources").send().await.expect(201)["source_blob"].clone();
    let put = source["put_url"].as_str().unwrap().strip_prefix("http://localhost:5000").unwrap().to_owned();
    t.put(&put).anonymous().body("x").send().await;
    let order = json!({ "source_blob": { "url": source["get_url"] } });
    t.post("/apps/walked/builds").json(order).send().await.expect(201);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    t.post("/account/keys").json(json!({ "public_key": key })).send().await.expect(201);
    t
}

#[tokio::test]
async fn without_a_token_nothing_is_answered() {
    let t = walked_app().await;
    let things = things(&t).await;
    let mut walked = 0;
    for route in routes() {
        let path = filled(&things, &route);
        let answer = t.call(route.method, &path).anonymous().json(body_for(&route)).send().await;
        let expected = match route.access {
            Access::Token | Access::Challenge => 401,
            Access::Secret => 404,
            Access::Public
                if ["/", "/buildpacks", "/schema", "/api/v4/current-status"].contains(&route.path) =>
            {
                200
            }
            Access::Public => 404,
        };
        assert_eq!(answer.status.as_u16(), expected, "{} {}", route.method, route.path);
        walked += 1;
    }
    assert!(walked > 60, "only {walked} routes were walked");
}

#[tokio::test]
async fn a_stranger_finds_nothing_of_somebody_elses() {
    let t = walked_app().await;
    let things = things(&t).await;
    let before = t.get("/apps/walked").send().await.body;
    for route in routes().iter().filter(|route| route.path.contains('{')) {
        let fixed = ["/stacks/", "/regions/", "/dyno-sizes/", "/generations/", "/addon-services/", "/plans/"];
        if fixed.iter().any(|prefix| route.path.starts_with(prefix)) || !matches!(route.access, Access::Token)
        {
            continue;
        }
        let path = filled(&things, route);
        let answer = t.call(route.method, &path).stranger().json(body_for(route)).send().await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{} {}", route.method, route.path);
    }
    let after = t.get("/apps/walked").send().await.body;
    assert_eq!(before, after, "nothing was changed");
}

/// Who waits for a change hears of every one, whatever the route: nobody wakes by hand.
#[tokio::test]
async fn whoever_waits_for_changes_hears_of_each_request_that_makes_one() {
    let t = walked_app().await;
    let things = things(&t).await;
    let (mut heard, mut unheard) = (0, Vec::new());
    let last =
        |route: &&Route| (route.path == "/apps/{app}", route.method == "DELETE", route.path == "/account");
    let mut changing: Vec<_> = routes();
    changing.sort_by_key(|route| last(&route));
    changing.retain(|route| route.method != "GET" && matches!(route.access, Access::Token));
    // It waits for the build's end, and nothing runs builds here.
    changing.retain(|route| (route.method, route.path) != ("DELETE", "/apps/{app}/builds/{build}"));
    for route in &changing {
        let path = filled(&things, route);
        let before = (t.control.kernel.wakes.changes.count(), t.store.statistics().committed);
        let answer = t.call(route.method, &path).json(body_for(route)).send().await;
        let after = (t.control.kernel.wakes.changes.count(), t.store.statistics().committed);
        // These requests have no Request-Id, so nothing is claimed for them: what was committed is the change itself.
        if answer.status.is_success() && after.1 > before.1 {
            if after.0 > before.0 {
                heard += 1;
            } else {
                unheard.push(format!("{} {}", route.method, route.path));
            }
        }
    }
    // Its rows are nobody's to wait for.
    let of_nobody = ["POST /apps/{app}/log-sessions"];
    assert_eq!(unheard, of_nobody, "these committed and woke nobody");
    assert!(heard > 15, "only {heard} routes changed something");
}

/// What a list is asked for by: GET, but for the one whose question does not fit into an address.
fn is_list(route: &Route) -> bool {
    route.method == "GET" || route.path == "/filters/apps"
}

#[tokio::test]
async fn every_list_is_cut_by_every_form_of_range() {
    let t = walked_app().await;
    let things = things(&t).await;
    let mut lists = 0;
    // The data host cuts nothing, and has orders of its own.
    let of_data = |path: &str| path.starts_with("/postgres/") || path.starts_with("/client/");
    let is_cut = |route: &&Route| is_list(route) && !of_data(route.path);
    for route in routes().iter().filter(is_cut).filter(|route| matches!(route.access, Access::Token)) {
        let path = filled(&things, route);
        let ask = |range: &str| t.call(route.method, &path).range(range).json(json!({})).send();
        let whole = ask("").await;
        let Some(items) = whole.body.as_array() else { continue };
        lists += 1;
        assert_eq!(ask("id ..; max=1000").await.expect(200).as_array().unwrap().len(), items.len(), "{path}");
        let names =
            whole.header("accept-ranges").unwrap_or_else(|| panic!("{path} is a list and has no ranges"));
        for bad in [
            "bytes=0-9",
            "nope ..",
            "id",
            "id ..; max=0",
            "id ..; order=sideways",
            "..",
            "id ]..",
            "id ..; x=1",
        ] {
            assert_eq!(ask(bad).await.refusal(), (416, "requested_range_not_satisfiable"), "{path}: {bad}");
        }
        for name in names.split(", ") {
            let ascending = ask(&format!("{name} ..; order=asc,max=1000")).await;
            let descending = ask(&format!("{name} ..; max=1000, order=desc;")).await;
            assert_eq!(ascending.expect(200).as_array().unwrap().len(), items.len(), "{path} by {name}");
            let mut reversed = descending.expect(200).as_array().unwrap().clone();
            reversed.reverse();
            if name != "updated_at" && name != "started_at" {
                assert_eq!(&reversed, ascending.body.as_array().unwrap(), "{path} by {name}");
            }
            // One after the other, each page leading on by an exclusive start, is the whole.
            let mut joined = Vec::new();
            let mut next = Some(format!("{name} ..; max=1"));
            while let Some(range) = next {
                let page = ask(&range).await;
                next = page.header("next-range").map(str::to_owned);
                assert_eq!(page.status.as_u16(), if next.is_some() { 206 } else { 200 }, "{path}: {range}");
                assert!(
                    next.as_ref().is_none_or(|next| next.starts_with(&format!("{name} ]"))),
                    "{path}: {next:?}"
                );
                assert_eq!(page.header("content-range").is_some(), !items.is_empty(), "{path}: {range}");
                joined.extend(page.body.as_array().unwrap().iter().cloned());
            }
            assert_eq!(&joined, ascending.body.as_array().unwrap(), "{path} by {name}");
        }
    }
    assert!(lists >= 18, "only {lists} lists were found");
}

/// The published schema says by what some lists can be sorted.
#[tokio::test]
async fn lists_are_sorted_by_all_that_the_schema_names() {
    let Some(schema) = paddock_testkit::schema::Schema::published() else {
        eprintln!("not run: no contract folder (PADDOCK_CONTRACT_DIR)");
        return;
    };
    let t = walked_app().await;
    let things = things(&t).await;
    let mut compared = 0;
    for route in routes().iter().filter(|route| is_list(route)) {
        let wanted = schema.ranges_of(route.method, route.path);
        if wanted.is_empty() {
            continue;
        }
        compared += 1;
        let answer = t.call(route.method, &filled(&things, route)).json(json!({})).send().await;
        let names: Vec<_> = answer.header("accept-ranges").unwrap_or_default().split(", ").collect();
        assert!(
            wanted.iter().all(|name| names.contains(&name.as_str())),
            "{}: {wanted:?} and {names:?}",
            route.path
        );
    }
    assert!(compared >= 4, "only {compared} lists were compared");
}

#[tokio::test]
async fn everything_that_can_be_looked_at_has_a_tag_and_is_not_sent_twice() {
    let t = walked_app().await;
    let things = things(&t).await;
    let mut walked = 0;
    for route in routes().iter().filter(|r| r.method == "GET" && matches!(r.access, Access::Token)) {
        let path = filled(&things, route);
        let first = t.get(&path).send().await;
        if !first.status.is_success() {
            assert_eq!(first.refusal(), (404, "not_found"), "{path}");
            continue;
        }
        walked += 1;
        let tag = first.header("etag").unwrap_or_else(|| panic!("{path} has no tag")).to_owned();
        for name in ["request-id", "ratelimit-remaining", "access-control-allow-origin"] {
            assert!(first.header(name).is_some(), "{path} has no {name}");
        }
        // What is left of the rate limit is another number each time.
        if path != "/account/rate-limits" {
            let again = t.get(&path).header("if-none-match", &tag).send().await;
            assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0), "{path}");
            assert_eq!(again.header("etag"), Some(tag.as_str()), "{path}");
        }
        let text = String::from_utf8(first.bytes.to_vec()).unwrap();
        let pretty = serde_json::to_string_pretty(&first.body).unwrap();
        assert!(text.lines().count() == pretty.lines().count(), "{path} is not printed for people: {text}");
    }
    assert!(walked >= 40, "only {walked} were looked at");
}
