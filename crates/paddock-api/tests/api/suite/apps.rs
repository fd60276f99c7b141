//! Apps.

use serde_json::json;

use super::support::{OWNER, TestPaddock};

#[tokio::test]
async fn a_new_app_has_a_url_two_releases_and_every_field_the_client_reads() {
    let t = TestPaddock::start().await;
    let app = t.app("my-app").await;
    assert_eq!(app["web_url"], "http://my-app.paddock.example:5000/");
    assert_eq!(app["git_url"], "https://localhost:5000/my-app.git");
    assert_eq!(
        (&app["owner"]["email"], &app["region"]["name"], &app["stack"]["name"]),
        (&json!(OWNER), &json!("us"), &json!("host"))
    );
    for present in ["repo_size", "slug_size", "space", "team", "archived_at"] {
        assert!(app.get(present).is_some_and(serde_json::Value::is_null), "{present}");
    }
    let releases = t.get("/apps/my-app/releases").range("version ..; order=desc").send().await;
    let releases = releases.expect(200).as_array().unwrap().clone();
    let told: Vec<_> = releases
        .iter()
        .map(|r| (r["version"].as_i64().unwrap(), r["description"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(2, "Enable Logplex"), (1, "Initial release")]);
    assert_eq!(releases[0]["current"], true);
    assert_eq!(releases[1]["current"], false);
}

#[tokio::test]
async fn names_are_checked() {
    let t = TestPaddock::start().await;
    t.app("taken").await;
    for (name, word) in [
        ("taken", "taken"),
        ("api", "reserved"),
        ("A", "between"),
        ("UPPER", "lowercase"),
        ("a_b_c", "lowercase"),
    ] {
        let answer = t.post("/apps").json(json!({ "name": name })).send().await;
        assert_eq!(answer.refusal(), (422, "invalid_params"), "{name}");
        assert!(answer.body["message"].as_str().unwrap().contains(word), "{}", answer.body);
    }
    for (field, value) in [("region", "eu"), ("stack", "heroku-10"), ("feature_flags", "x")] {
        let value = if field == "feature_flags" { json!([value]) } else { json!(value) };
        let answer = t.post("/apps").json(json!({ field: value })).send().await;
        assert_eq!(answer.refusal(), (422, "invalid_params"), "{field}");
    }
}

#[tokio::test]
async fn apps_are_found_by_name_and_id_and_listed_for_their_owner_alone() {
    let t = TestPaddock::start().await;
    let app = t.app("findable").await;
    let by_id = t.get(&format!("/apps/{}", app["id"].as_str().unwrap())).send().await;
    assert_eq!(by_id.expect(200), &app);
    for list in ["/apps", "/users/~/apps"] {
        assert_eq!(t.get(list).send().await.expect(200).as_array().unwrap().len(), 1, "{list}");
        assert_eq!(t.get(list).stranger().send().await.expect(200).as_array().unwrap().len(), 0, "{list}");
    }
    let foreign = t.get("/apps/findable").stranger().send().await;
    assert_eq!(foreign.refusal(), (404, "not_found"));
    let missing = t.get("/apps/nope").stranger().send().await;
    assert_eq!(foreign.body["message"], missing.body["message"], "what one may not see does not exist");
}

#[tokio::test]
async fn a_list_takes_as_many_statements_however_many_apps_it_has() {
    let t = TestPaddock::start().await;
    let mut counts = Vec::new();
    for (begun, apps) in [(0, 1), (1, 100_usize)] {
        for number in begun..apps {
            match number % 10 {
                0 => drop(t.deployed_app(&format!("app-{number}"), &[("web", "serve")]).await),
                _ => drop(t.app(&format!("app-{number}")).await),
            }
        }
        let before = t.store.statistics().reads;
        let answer = t.get("/apps").send().await;
        counts.push(t.store.statistics().reads - before);
        let described = |app: &&serde_json::Value| app["slug_size"].is_number();
        let listed = answer.expect(200).as_array().unwrap();
        assert_eq!((listed.len(), listed.iter().filter(described).count()), (apps, apps.div_ceil(10)));
    }
    assert_eq!(counts, [3, 3], "two of them to know who asks");
}

#[tokio::test]
async fn renaming_moves_the_url_and_frees_the_name() {
    let t = TestPaddock::start().await;
    t.app("before").await;
    let renamed = t.patch("/apps/before").json(json!({ "name": "after" })).send().await;
    assert_eq!(renamed.expect(200)["web_url"], "http://after.paddock.example:5000/");
    assert_eq!(t.get("/apps/before").send().await.refusal(), (404, "not_found"));
    let domains = t.get("/apps/after/domains").send().await;
    assert_eq!(domains.expect(200)[0]["hostname"], "after.paddock.example");
    t.app("before").await;
    let clash = t.patch("/apps/before").json(json!({ "name": "after" })).send().await;
    assert_eq!(clash.refusal(), (422, "invalid_params"));
}

#[tokio::test]
async fn maintenance_goes_on_and_off_without_a_release() {
    let t = TestPaddock::start().await;
    t.app("fixed").await;
    for on in [true, false] {
        let answer = t.patch("/apps/fixed").json(json!({ "maintenance": on })).send().await;
        assert_eq!(answer.expect(200)["maintenance"], on);
    }
    assert_eq!(t.get("/apps/fixed/releases").send().await.expect(200).as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_destroyed_app_is_gone_and_its_name_is_free() {
    let t = TestPaddock::start().await;
    t.app("doomed").await;
    assert_eq!(t.delete("/apps/doomed").stranger().send().await.refusal(), (404, "not_found"));
    assert_eq!(t.delete("/apps/doomed").send().await.expect(200)["name"], "doomed");
    assert_eq!(t.get("/apps/doomed").send().await.refusal(), (404, "not_found"));
    t.app("doomed").await;
}

#[tokio::test]
async fn apps_are_filtered_by_id() {
    let t = TestPaddock::start().await;
    let (one, other) = (t.app("filtered-a").await, t.app("filtered-b").await);
    let filter =
        |filter: serde_json::Value| t.post("/filters/apps").range("id ..; max=1000;").json(filter).send();
    let found = filter(json!({ "in": { "id": [one["id"], "01234567-89ab-cdef-0123-456789abcdef"] } })).await;
    assert_eq!(found.expect(200), &json!([one]));
    assert_eq!(filter(json!({})).await.expect(200).as_array().unwrap().len(), 2);
    let first = t.post("/filters/apps").range("name ..; max=1").json(json!({})).send().await;
    assert_eq!(
        (first.expect(206), first.header("next-range")),
        (&json!([one]), Some("name ]filtered-a..; max=1"))
    );
    let foreign =
        t.post("/filters/apps").stranger().json(json!({ "in": { "id": [other["id"]] } })).send().await;
    assert_eq!(foreign.expect(200), &json!([]));
}
