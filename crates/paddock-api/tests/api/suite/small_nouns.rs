//! Features, buildpacks, stacks, regions, sizes, collaborators, slugs: small nouns, one test each.

use serde_json::{Value, json};

use super::support::{OWNER, TestPaddock};

#[tokio::test]
async fn features_are_switched() {
    let t = TestPaddock::start().await;
    t.app("switched").await;
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect()
    };
    let list = t.get("/apps/switched/features").send().await;
    assert!(names(list.expect(200)).contains(&"preboot".to_owned()));
    assert_eq!(t.get("/apps/switched/features/preboot").send().await.expect(200)["enabled"], false);
    t.patch("/apps/switched/features/preboot").json(json!({ "enabled": true })).send().await.expect(200);
    assert_eq!(t.get("/apps/switched/features/preboot").send().await.expect(200)["enabled"], true);
    assert_eq!(t.get("/apps/switched/features/nope").send().await.refusal(), (404, "not_found"));
    assert_eq!(t.get("/account/features/preboot").send().await.refusal(), (404, "not_found"), "exactly 404");
    assert_eq!(t.get("/account/features").send().await.expect(200), &json!([]));
}

/// Clients of loosely typed languages send 0 and 1, or text, for false and true.
#[tokio::test]
async fn switches_come_in_every_form() {
    let t = TestPaddock::start().await;
    t.app("switched").await;
    for (sent, shown) in [
        (json!(1), true),
        (json!(0), false),
        (json!("true"), true),
        (json!("0"), false),
        (json!(true), true),
        (json!("false"), false),
    ] {
        let app = t.patch("/apps/switched").json(json!({ "maintenance": sent })).send().await;
        assert_eq!(app.expect(200)["maintenance"], shown, "{sent}");
        let feature =
            t.patch("/apps/switched/features/preboot").json(json!({ "enabled": sent })).send().await;
        assert_eq!(feature.expect(200)["enabled"], shown, "{sent}");
        t.post("/apps/switched/log-sessions").json(json!({ "tail": sent })).send().await.expect(201);
    }
    for bad in [json!(2), json!("yes please"), json!([]), json!(0.5)] {
        let app = t.patch("/apps/switched").json(json!({ "maintenance": bad })).send().await;
        assert_eq!(app.refusal(), (422, "invalid_params"), "{bad}");
        let feature = t.patch("/apps/switched/features/preboot").json(json!({ "enabled": bad })).send().await;
        assert_eq!(feature.refusal(), (422, "invalid_params"), "{bad}");
    }
    t.patch("/apps/switched").json(json!({ "maintenance": null })).send().await.expect(200);
}

#[tokio::test]
async fn buildpacks_are_replaced_in_order() {
    let t = TestPaddock::start().await;
    t.app("packed").await;
    let put = |list: Value| {
        t.put("/apps/packed/buildpack-installations").range("").json(json!({ "updates": list })).send()
    };
    let set =
        put(json!([{ "buildpack": "heroku/nodejs" }, { "buildpack": "https://github.com/a/b.git#main" }]))
            .await;
    let shown: Vec<_> = set
        .expect(200)
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["ordinal"].as_i64().unwrap(), one["buildpack"]["name"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(shown, [(0, "heroku/nodejs".into()), (1, "https://github.com/a/b.git#main".into())]);
    for bad in
        ["", "git@github.com:a/b", "http://example.com/b.git", "file:///etc", "https://u:p@example.com/b"]
    {
        assert_eq!(put(json!([{ "buildpack": bad }])).await.refusal(), (422, "invalid_params"), "{bad}");
    }
    assert_eq!(t.get("/apps/packed/buildpack-installations").send().await.body.as_array().unwrap().len(), 2);
    // What the client sends for a name that the registry does not know.
    let unknown = put(json!([{ "buildpack": "heroku/nodejs" }, {}])).await;
    assert_eq!(unknown.refusal(), (422, "invalid_params"));
    let said = unknown.body["message"].as_str().unwrap();
    assert!(said.contains("heroku/python") && said.contains("git repository"), "{said}");
    assert_eq!(put(json!([])).await.expect(200), &json!([]));
}

#[tokio::test]
async fn the_buildpack_registry_knows_what_is_built_in() {
    let t = TestPaddock::start().await;
    let found = t.get("/buildpacks/heroku%2Fpython").anonymous().send().await;
    assert_eq!(found.expect(200)["blob_url"], "urn:buildpack:heroku/python");
    for of_it in ["revisions", "readme"] {
        t.get(&format!("/buildpacks/heroku%2Fpython/{of_it}")).anonymous().send().await.expect(200);
        let none = t.get(&format!("/buildpacks/heroku%2Fcobol/{of_it}")).anonymous().send().await;
        assert_eq!(none.refusal(), (404, "not_found"));
    }
    assert_eq!(t.get("/buildpacks/heroku%2Fcobol").anonymous().send().await.refusal(), (404, "not_found"));
    for (asked, count) in [
        ("", 10),
        ("?in[namespace][]=heroku", 8),
        ("?in[name][]=python&in[name][]=nodejs", 2),
        ("?in[name][]=python&in[namespace][]=other", 0),
        ("?like[description]=node.JS", 1),
        ("?like[description]=cobol", 0),
    ] {
        let found = t.get(&format!("/buildpacks{asked}")).anonymous().send().await;
        assert_eq!(found.expect(200).as_array().unwrap().len(), count, "{asked}");
    }
}

#[tokio::test]
async fn fixed_things_are_found_by_name_and_id() {
    let t = TestPaddock::start().await;
    for (list, name) in
        [("/stacks", "host"), ("/regions", "us"), ("/dyno-sizes", "Standard-1X"), ("/generations", "cedar")]
    {
        let all = t.get(list).send().await;
        let one = all.expect(200).as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
        for identity in [name, one["id"].as_str().unwrap()] {
            assert_eq!(t.get(&format!("{list}/{identity}")).send().await.expect(200), &one);
        }
        assert_eq!(t.get(&format!("{list}/nope")).send().await.refusal(), (404, "not_found"));
    }
    assert_eq!(t.get("/dyno-sizes/standard-1x").send().await.expect(200)["memory"], 0.5);
}

#[tokio::test]
async fn the_owner_is_a_collaborator() {
    let t = TestPaddock::start().await;
    t.app("shared").await;
    let list = t.get("/apps/shared/collaborators").send().await;
    assert_eq!(
        (&list.expect(200)[0]["user"]["email"], &list.body[0]["role"]),
        (&json!(OWNER), &json!("owner"))
    );
    let may = |one: &Value| -> Vec<String> {
        let list = one["permissions"].as_array().unwrap().iter();
        list.map(|permission| permission["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(may(&list.body[0]), ["manage", "deploy", "operate", "view"]);
    let order = json!({ "user": super::support::STRANGER });
    let added = t.post("/apps/shared/collaborators").json(order).send().await;
    assert_eq!(may(added.expect(201)), ["deploy", "operate", "view"]);
    t.get(&format!("/apps/shared/collaborators/{OWNER}")).send().await.expect(200);
}

#[tokio::test]
async fn what_an_app_cannot_have_yet_is_an_empty_list() {
    let t = TestPaddock::start().await;
    t.app("alone").await;
    for path in ["sni-endpoints", "webhooks"] {
        assert_eq!(t.get(&format!("/apps/alone/{path}")).send().await.expect(200), &json!([]), "{path}");
        assert_eq!(
            t.post(&format!("/apps/alone/{path}")).json(json!({})).send().await.refusal(),
            (404, "not_found")
        );
    }
}

#[tokio::test]
async fn a_slug_tells_what_it_runs() {
    let t = TestPaddock::start().await;
    t.deployed_app("packed", &[("web", "serve")]).await;
    let slug = t.get("/apps/packed/releases/v3").send().await.body["slug"]["id"].as_str().unwrap().to_owned();
    let info = t.get(&format!("/apps/packed/slugs/{slug}")).send().await;
    assert_eq!(info.expect(200)["process_types"], json!({ "web": "serve" }));
    t.app("other").await;
    assert_eq!(t.get(&format!("/apps/other/slugs/{slug}")).send().await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_slug_is_released_only_after_its_upload() {
    let t = TestPaddock::start().await;
    t.app("packed").await;
    let create = |order: Value| t.post("/apps/packed/slugs").json(order).send();
    let digest = format!("sha256:{}", "AB".repeat(32));
    let made =
        create(json!({ "process_types": { "web": "serve" }, "checksum": digest, "commit": "abc" })).await;
    let slug = made.expect(201).clone();
    assert_eq!((&slug["size"], &slug["blob"]["method"]), (&json!(null), &json!("put")));
    assert_eq!(slug["checksum"], format!("SHA256:{}", "ab".repeat(32)));
    let released = t.post("/apps/packed/releases").json(json!({ "slug": slug["id"] })).send().await;
    assert_eq!(released.refusal(), (422, "invalid_params"));
    assert!(released.body["message"].as_str().unwrap().contains("not been uploaded"), "{}", released.body);
    let put = slug["blob"]["url"].as_str().unwrap().strip_prefix("http://localhost:5000").unwrap().to_owned();
    let other = t.put(&put).anonymous().body("x").send().await;
    assert_eq!(other.refusal(), (422, "invalid_params"));
    assert!(other.body["message"].as_str().unwrap().contains("checksum"), "{}", other.body);
    assert_eq!(t.put("/slugs/nonsense").anonymous().body("x").send().await.refusal(), (404, "not_found"));
    for bad in [
        json!({}),
        json!({ "process_types": {} }),
        json!({ "process_types": { "a b": "x" } }),
        json!({ "process_types": { "web": "x" }, "checksum": "MD5:0" }),
        json!({ "process_types": { "web": "x" }, "stack": "heroku-10" }),
        json!({ "process_types": { "web": "x" }, "commit": "x".repeat(2000) }),
    ] {
        assert_eq!(create(bad.clone()).await.refusal(), (422, "invalid_params"), "{bad}");
    }
    let any = create(json!({ "process_types": { "web": "serve" } })).await.expect(201).clone();
    let put = any["blob"]["url"].as_str().unwrap().strip_prefix("http://localhost:5000").unwrap().to_owned();
    let nonsense = t.put(&put).anonymous().body("x").send().await;
    assert!(nonsense.body["message"].as_str().unwrap().contains("no whole tar"), "{}", nonsense.body);
}
