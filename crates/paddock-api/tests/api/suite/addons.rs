//! Add-ons of a service in memory, whose servers are containers of a runtime in memory.

use serde_json::{Value, json};

use super::support::{Answer, STRANGER, TestPaddock};

async fn create(t: &TestPaddock, app: &str, order: Value) -> Answer {
    t.post(&format!("/apps/{app}/addons")).json(order).send().await
}

/// Two apps of the owner's; the first has an add-on.
async fn with_addon() -> TestPaddock {
    let t = TestPaddock::start_alive().await;
    t.app("shop").await;
    t.app("reports").await;
    let made =
        create(&t, "shop", json!({ "plan": { "name": "heroku-fake:small" }, "name": "shop-fake" })).await;
    assert_eq!(made.expect(201)["state"], "provisioned");
    t
}

async fn config(t: &TestPaddock, app: &str) -> Value {
    t.get(&format!("/apps/{app}/config-vars")).send().await.expect(200).clone()
}

async fn descriptions(t: &TestPaddock, app: &str) -> Vec<String> {
    let releases = t.get(&format!("/apps/{app}/releases")).send().await.expect(200).clone();
    let text = |release: &Value| release["description"].as_str().unwrap().to_owned();
    releases.as_array().unwrap().iter().map(text).collect()
}

/// All that a refusal leaves as it is.
async fn everything(t: &TestPaddock) -> Value {
    let mut all = Vec::new();
    for path in [
        "/addons",
        "/addon-attachments",
        "/apps/shop/config-vars",
        "/apps/shop/releases",
        "/apps/reports/releases",
    ] {
        all.push(t.get(path).send().await.expect(200).clone());
    }
    Value::Array(all)
}

#[tokio::test]
async fn an_add_on_is_made_and_its_app_released_with_its_address() {
    let t = with_addon().await;
    let addon = t.get("/apps/shop/addons/shop-fake").send().await.expect(200).clone();
    assert_eq!(addon["config_vars"], json!(["FAKE_URL"]));
    assert_eq!(
        (&addon["plan"]["name"], &addon["billed_price"]["cents"]),
        (&json!("heroku-fake:small"), &json!(500))
    );
    let url = config(&t, "shop").await["FAKE_URL"].as_str().unwrap().to_owned();
    assert!(url.starts_with("fake://u") && url.contains(":5432/d"), "{url}");
    assert_eq!(descriptions(&t, "shop").await.last().unwrap(), "Attach FAKE (@ref:shop-fake)");
    // The second has a colour, and a name that nobody chose.
    let second = create(&t, "shop", json!({ "plan": "heroku-fake" })).await.expect(201).clone();
    assert_eq!(second["config_vars"], json!(["HEROKU_FAKE_AMBER_URL"]));
    let name: Vec<_> = second["name"].as_str().unwrap().split('-').collect();
    assert!(name.len() == 3 && name[0] == "fake" && name[2].parse::<u32>().is_ok(), "{name:?}");
    let third = json!({ "plan": "heroku-fake:large", "attachment": { "name": "BIG" }, "config": {} });
    assert_eq!(create(&t, "shop", third).await.expect(201)["config_vars"], json!(["BIG_URL"]));
    // Whole where it is asked for.
    let expanded = t.get("/addons/shop-fake").header("accept-expansion", "addon_service,plan").send().await;
    assert_eq!(expanded.expect(200)["plan"]["price"]["unit"], "month");
    assert_eq!(expanded.body["addon_service"]["human_name"], "Heroku Fake");
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let t = with_addon().await;
    t.patch("/apps/shop/config-vars").json(json!({ "MINE_URL": "x" })).send().await.expect(200);
    let before = everything(&t).await;
    for (order, words) in [
        (json!({ "plan": "heroku-fake:none" }), "Couldn't find either the add-on service or the add-on plan"),
        (json!({ "plan": "nothing" }), "Couldn't find either the add-on service or the add-on plan"),
        (json!({ "plan": "heroku-fake:premium-0" }), "not built yet"),
        (json!({ "plan": "heroku-fake", "name": "shop-fake" }), "already taken"),
        (json!({ "plan": "heroku-fake", "name": "Upper" }), "name"),
        (json!({ "plan": "heroku-fake", "attachment": { "name": "FAKE" } }), "already attached as FAKE"),
        (json!({ "plan": "heroku-fake", "attachment": { "name": "lower" } }), "upper"),
        (json!({ "plan": "heroku-fake", "attachment": { "name": "MINE" } }), "MINE_URL"),
        (json!({ "plan": "heroku-fake", "config": { "speed": true } }), "no option speed"),
    ] {
        let answer = create(&t, "shop", order.clone()).await;
        assert_eq!(answer.refusal(), (422, "invalid_params"), "{order}");
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.to_lowercase().contains(&words.to_lowercase()), "{order}: {message}");
    }
    for vars in [json!({ "FAKE_URL": "mine" }), json!({ "FAKE_URL": null })] {
        assert_eq!(t.patch("/apps/shop/config-vars").json(vars).send().await.refusal().0, 422);
    }
    for (change, status) in [
        (json!({ "plan": "heroku-fake:large" }), 422),
        (json!({ "plan": "large" }), 422),
        (json!({ "plan": "none" }), 422),
        (json!({ "name": "No Name" }), 422),
    ] {
        let answer = t.patch("/apps/shop/addons/shop-fake").json(change.clone()).send().await;
        assert_eq!(answer.refusal().0, status, "{change}");
    }
    let last = t.get("/apps/shop/addon-attachments/FAKE").send().await.expect(200)["id"].clone();
    let detached = t.delete(&format!("/addon-attachments/{}", last.as_str().unwrap())).send().await;
    assert_eq!(detached.refusal(), (422, "invalid_params"));
    assert_eq!(everything(&t).await, before);
}

#[tokio::test]
async fn an_add_on_is_shared_under_other_names() {
    let t = with_addon().await;
    let attach = |body: Value| t.post("/addon-attachments").json(body).send();
    let named = json!({ "addon": "shop-fake", "app": "reports", "name": "SHARED" });
    let attached = attach(named.clone()).await.expect(201).clone();
    assert_eq!(
        (&attached["addon"]["app"]["name"], &attached["app"]["name"]),
        (&json!("shop"), &json!("reports"))
    );
    assert_eq!(config(&t, "reports").await["SHARED_URL"], config(&t, "shop").await["FAKE_URL"]);
    assert_eq!(descriptions(&t, "reports").await.last().unwrap(), "Attach SHARED (@ref:shop-fake)");
    // Once more is the same one, and no release.
    let releases = descriptions(&t, "reports").await.len();
    assert_eq!(attach(named).await.expect(201)["id"], attached["id"]);
    assert_eq!(descriptions(&t, "reports").await.len(), releases);
    let nameless = attach(json!({ "addon": "shop-fake", "app": "reports" })).await;
    assert_eq!(nameless.expect(201)["name"], "FAKE");

    // A name that is another add-on's is taken over only by who says so: two releases, and never without a value.
    create(&t, "reports", json!({ "plan": "heroku-fake", "name": "own-fake" })).await.expect(201);
    let over = |confirm: Value| json!({ "addon": "own-fake", "app": "reports", "name": "SHARED", "confirm": confirm });
    assert_eq!(attach(over(Value::Null)).await.refusal(), (422, "confirmation_required"));
    assert_eq!(attach(over(json!("shop"))).await.refusal(), (422, "confirmation_required"));
    attach(over(json!("reports"))).await.expect(201);
    let told = descriptions(&t, "reports").await;
    assert!(
        told.ends_with(&[
            "Detach SHARED (@ref:shop-fake)".to_owned(),
            "Attach SHARED (@ref:own-fake)".to_owned()
        ]),
        "{told:?}"
    );

    let credential = json!({ "addon": "shop-fake", "app": "reports", "namespace": "credential:none" });
    assert_eq!(attach(credential).await.refusal(), (422, "invalid_params"));

    // What others have is not destroyed by the way; one that has it by two names is one.
    let twice = json!({ "addon": "shop-fake", "app": "reports", "name": "TWICE" });
    attach(twice).await.expect(201);
    let destroy = |body: Value| t.delete("/apps/shop/addons/shop-fake").json(body).send();
    let refused = destroy(json!({})).await;
    assert_eq!(refused.refusal(), (422, "confirmation_required"));
    assert!(
        refused.body["message"].as_str().unwrap().contains("attached to 1 other app,"),
        "{}",
        refused.body
    );
    assert_eq!(destroy(json!({ "force": true })).await.expect(200)["state"], "deprovisioned");
    assert_eq!(t.get("/addons/shop-fake").send().await.refusal(), (404, "not_found"));
    assert!(config(&t, "shop").await.get("FAKE_URL").is_none());
    assert!(config(&t, "reports").await.get("FAKE_URL").is_none());
    assert_eq!(descriptions(&t, "reports").await.last().unwrap(), "Detach TWICE (@ref:shop-fake)");
}

#[tokio::test]
async fn an_add_on_is_renamed_and_its_address_stays() {
    let t = with_addon().await;
    let before = config(&t, "shop").await;
    let renamed = t.patch("/addons/shop-fake").json(json!({ "name": "better" })).send().await;
    assert_eq!(renamed.expect(200)["name"], "better");
    assert_eq!(config(&t, "shop").await, before);
    assert_eq!(t.get("/addons/shop-fake").send().await.refusal(), (404, "not_found"));
    create(&t, "shop", json!({ "plan": "heroku-fake", "name": "shop-fake" })).await.expect(201);
    let taken = t.patch("/addons/better").json(json!({ "name": "shop-fake" })).send().await;
    assert_eq!(taken.refusal(), (422, "invalid_params"));
    let alias = t
        .patch("/apps/shop/addons/better")
        .json(json!({ "plan": { "name": "heroku-fake:tiny" } }))
        .send()
        .await;
    assert_eq!(alias.expect(200)["plan"]["name"], "heroku-fake:small");
}

#[tokio::test]
async fn what_is_meant_is_found_by_every_name_that_it_has() {
    let t = with_addon().await;
    let addon = t.get("/addons/shop-fake").send().await.expect(200).clone();
    let attach = json!({ "addon": "shop-fake", "app": "reports", "name": "SHARED" });
    let attachment = t.post("/addon-attachments").json(attach).send().await.expect(201).clone();
    let addons = |named: &str, app: Value| {
        t.post("/actions/addons/resolve").json(json!({ "addon": named, "app": app })).send()
    };
    let attachments = |named: &str, app: Value| {
        t.post("/actions/addon-attachments/resolve")
            .json(json!({ "addon_attachment": named, "app": app }))
            .send()
    };
    let id = addon["id"].as_str().unwrap();
    for (named, app) in [
        ("shop-fake", Value::Null),
        (id, Value::Null),
        ("FAKE", json!("shop")),
        ("FAKE_URL", json!("shop")),
        ("fake", json!("shop")),
        ("SHARED", json!("reports")),
        ("shop::FAKE", Value::Null),
        ("shop-fake", json!("reports")),
        ("heroku-fake", json!("shop")),
        ("heroku-fake:small", json!("shop")),
    ] {
        assert_eq!(addons(named, app.clone()).await.expect(200)[0]["id"], addon["id"], "{named} of {app}");
    }
    for (named, app) in [
        ("SHARED", json!("reports")),
        ("SHARED_URL", json!("reports")),
        ("shop-fake", json!("reports")),
        (id, json!("reports")),
        ("reports::SHARED", Value::Null),
        ("SHARED", Value::Null),
        (attachment["id"].as_str().unwrap(), Value::Null),
    ] {
        let answer = attachments(named, app.clone()).await;
        assert_eq!(answer.expect(200)[0]["id"], attachment["id"], "{named} of {app}");
    }
    for named in ["nothing", "SHARED", "shop::NOTHING", "nowhere::FAKE", ""] {
        assert_eq!(addons(named, json!("shop")).await.refusal(), (404, "not_found"), "{named}");
    }
    // Two of one service: which one?
    create(&t, "shop", json!({ "plan": "heroku-fake", "name": "second" })).await.expect(201);
    // By its colour alone, unless something is called so.
    for named in ["amber", "AMBER_URL", "shop::AMBER"] {
        assert_eq!(addons(named, json!("shop")).await.expect(200)[0]["name"], "second", "{named}");
        let found = attachments(named, json!("shop")).await.expect(200)[0].clone();
        assert_eq!(found["name"], "HEROKU_FAKE_AMBER", "{named}");
    }
    assert_eq!(attachments("FAKE_AMBER", json!("shop")).await.refusal(), (404, "not_found"));
    let called = json!({ "addon": "shop-fake", "app": "shop", "name": "AMBER" });
    t.post("/addon-attachments").json(called).send().await.expect(201);
    assert_eq!(attachments("amber", json!("shop")).await.expect(200)[0]["name"], "AMBER");
    assert_eq!(addons("heroku-fake", json!("shop")).await.refusal(), (422, "multiple_matches"));
    // Two names of one add-on are no question within an app, and are one without.
    assert_eq!(attachments("shop-fake", Value::Null).await.refusal(), (422, "multiple_matches"));
}

/// Who works on an app sees what it has; it is not given to apps of others.
#[tokio::test]
async fn an_add_on_is_not_attached_across_owners() {
    let t = with_addon().await;
    t.post("/apps").stranger().json(json!({ "name": "theirs" })).send().await.expect(201);
    let attach = |app: &str| {
        t.post("/addon-attachments").stranger().json(json!({ "addon": "shop-fake", "app": app })).send()
    };
    assert_eq!(attach("theirs").await.refusal(), (404, "not_found"));
    t.post("/apps/shop/collaborators")
        .json(json!({ "user": STRANGER, "silent": true }))
        .send()
        .await
        .expect(201);
    let seen = t.get("/addons").stranger().send().await.expect(200).clone();
    assert_eq!(seen[0]["name"], "shop-fake");
    let refused = attach("theirs").await;
    assert_eq!(refused.refusal(), (422, "invalid_params"));
    assert!(refused.body["message"].as_str().unwrap().contains("another owner"), "{}", refused.body);
}

/// Who works on an app that has something attached uses it by the credential that the app has, and changes nothing of it.
#[tokio::test]
async fn who_has_an_add_on_attached_does_not_manage_it() {
    let t = TestPaddock::start().await;
    t.app("shop").await;
    t.app("reports").await;
    t.addon("shop", ("heroku-postgresql", "essential-0"), "shop-db", "DATABASE").await;
    let reader = t.attachment("shop-db", "reports", "READER", Some("credential:reader")).await;
    let shared = json!({ "user": STRANGER, "silent": true });
    t.post("/apps/reports/collaborators").json(shared).send().await.expect(201);
    // Seen and found, as that app has it.
    let listed = t.get("/apps/reports/addons").stranger().send().await.expect(200).clone();
    assert_eq!((&listed[0]["name"], &listed[0]["app"]["name"]), (&json!("shop-db"), &json!("shop")));
    assert_eq!(t.get("/addons").stranger().send().await.expect(200), &json!([]));
    let which = json!({ "addon": "READER", "app": "reports" });
    let found = t.post("/actions/addons/resolve").stranger().json(which).send().await;
    assert_eq!(found.expect(200)[0]["name"], "shop-db");
    let told = t.get("/client/v11/databases/shop-db").stranger().send().await;
    assert_eq!(told.expect(200)["resource_url"], Value::Null, "it is the default credential's");
    for (method, path, body) in [
        ("GET", "/addons/shop-db/config", Value::Null),
        ("PATCH", "/addons/shop-db", json!({ "name": "mine" })),
        ("PATCH", "/apps/reports/addons/shop-db", json!({ "plan": "heroku-postgresql:essential-2" })),
        ("DELETE", "/apps/reports/addons/shop-db", json!({ "force": true })),
        ("POST", "/addon-attachments", json!({ "addon": "shop-db", "app": "reports", "name": "MORE" })),
        ("GET", "/postgres/v0/databases/shop-db/credentials", Value::Null),
        ("POST", "/postgres/v0/databases/shop-db/credentials_rotation", json!({})),
        ("PUT", "/client/v11/databases/shop-db/reset", json!({})),
        ("POST", "/client/v11/databases/shop-db/connection_reset", json!({})),
    ] {
        let answer = t.call(method, path).stranger().json(body).send().await;
        assert_eq!(answer.refusal(), (403, "forbidden"), "{method} {path}");
    }
    t.delete(&format!("/addon-attachments/{reader}")).stranger().send().await.expect(200);
    assert_eq!(t.get("/addons/shop-db").stranger().send().await.refusal(), (404, "not_found"));
    assert_eq!(t.get("/addons/shop-db").send().await.expect(200)["state"], "provisioned");
}

#[tokio::test]
async fn what_an_app_has_goes_with_it() {
    let t = with_addon().await;
    let attach = json!({ "addon": "shop-fake", "app": "reports", "name": "SHARED" });
    t.post("/addon-attachments").json(attach).send().await.expect(201);
    t.delete("/apps/shop").send().await.expect(200);
    assert_eq!(t.get("/addons").send().await.expect(200), &json!([]));
    assert_eq!(config(&t, "reports").await, json!({}));
    let gone = async || t.store.addons().await.unwrap().is_empty().then_some(());
    t.eventually("its rows to be gone", gone).await;
    // The name is free.
    create(&t, "reports", json!({ "plan": "heroku-fake", "name": "shop-fake" })).await.expect(201);
}

#[tokio::test]
async fn a_catalogue_is_shown_by_name_and_id() {
    let t = TestPaddock::start().await;
    let services = t.get("/addon-services").send().await.expect(200).clone();
    let services = services.as_array().unwrap();
    let named = |name: &str| services.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!((services.len(), &named("heroku-postgresql")["supports_sharing"]), (2, &json!(true)));
    let fake = named("heroku-fake");
    let id = fake["id"].as_str().unwrap();
    assert_eq!(t.get(&format!("/addon-services/{id}")).send().await.expect(200), fake);
    let plans = t.get(&format!("/addon-services/{id}/plans")).send().await.expect(200).clone();
    let small = plans.as_array().unwrap().iter().find(|plan| plan["name"] == "heroku-fake:small").unwrap();
    assert_eq!((&small["default"], &small["price"]["cents"]), (&json!(true), &json!(500)));
    for path in [
        format!("/plans/{}", small["id"].as_str().unwrap()),
        "/addon-services/heroku-fake/plans/small".to_owned(),
    ] {
        assert_eq!(t.get(&path).send().await.expect(200), small, "{path}");
    }
    for path in [
        "/addon-services/none",
        "/addon-services/none/plans",
        "/plans/none",
        "/addon-services/heroku-fake/plans/none",
    ] {
        assert_eq!(t.get(path).send().await.refusal(), (404, "not_found"), "{path}");
    }
}
