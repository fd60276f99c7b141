//! Config vars.

use serde_json::json;

use super::support::TestPaddock;

async fn newest(t: &TestPaddock, app: &str) -> (i64, String) {
    let list = t.get(&format!("/apps/{app}/releases")).range("version ..; max=1, order=desc").send().await;
    let release = list.body[0].clone();
    (release["version"].as_i64().unwrap(), release["description"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn one_change_is_one_release_finished_before_the_answer() {
    let t = TestPaddock::start().await;
    t.app("vars").await;
    let set = t.patch("/apps/vars/config-vars").json(json!({ "A": "1", "B": "two" })).send().await;
    assert_eq!(set.expect(200), &json!({ "A": "1", "B": "two" }));
    assert_eq!(newest(&t, "vars").await, (3, "Set A, B config vars".into()));
    let unset = t.patch("/apps/vars/config-vars").json(json!({ "A": null, "C": "" })).send().await;
    assert_eq!(unset.expect(200), &json!({ "B": "two", "C": "" }));
    assert_eq!(newest(&t, "vars").await, (4, "Set C and remove A config vars".into()));
    let of_release = t.get("/apps/vars/releases/v3/config-vars").send().await;
    assert_eq!(of_release.expect(200), &json!({ "A": "1", "B": "two" }));
    assert_eq!(t.get("/apps/vars/config-vars").send().await.body, json!({ "B": "two", "C": "" }));
}

#[tokio::test]
async fn what_changes_nothing_makes_no_release() {
    let t = TestPaddock::start().await;
    t.app("same").await;
    t.patch("/apps/same/config-vars").json(json!({ "A": "1" })).send().await.expect(200);
    for unchanged in [json!({ "A": "1" }), json!({ "B": null }), json!({})] {
        t.patch("/apps/same/config-vars").json(unchanged).send().await.expect(200);
    }
    assert_eq!(newest(&t, "same").await.0, 3);
    // Only what is new is named.
    t.patch("/apps/same/config-vars").json(json!({ "A": "1", "B": "2" })).send().await.expect(200);
    assert_eq!(newest(&t, "same").await, (4, "Set B config vars".into()));
}

#[tokio::test]
async fn what_no_environment_can_hold_is_refused_and_changes_nothing() {
    let t = TestPaddock::start().await;
    t.app("strict").await;
    for bad in [
        json!({ "A=B": "x" }),
        json!({ "A\nB": "x" }),
        json!({ "GOOD": "x", "": "x" }),
        json!({ "A": "x".repeat(70_000) }),
        json!({ "A": 1 }),
        json!(["A"]),
    ] {
        let answer = t.patch("/apps/strict/config-vars").json(bad.clone()).send().await;
        assert_eq!(answer.refusal(), (422, "invalid_params"), "{bad}");
    }
    assert_eq!(t.get("/apps/strict/config-vars").send().await.body, json!({}));
    assert_eq!(newest(&t, "strict").await.0, 2);
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_kept() {
    let t = TestPaddock::start().await;
    t.app("busy").await;
    let change = |index: usize| {
        let t = &t;
        async move {
            let body = json!({ format!("K{index}"): index.to_string() });
            t.patch("/apps/busy/config-vars").json(body).send().await.expect(200).clone()
        }
    };
    futures_util::future::join_all((0..12).map(change)).await;
    assert_eq!(t.get("/apps/busy/config-vars").send().await.body.as_object().unwrap().len(), 12);
    assert_eq!(newest(&t, "busy").await.0, 14, "one release each");
}

#[tokio::test]
async fn what_an_attachment_says_is_shown_with_the_rest_and_is_not_the_users_to_change() {
    let t = TestPaddock::start().await;
    t.app("attached").await;
    t.patch("/apps/attached/config-vars").json(json!({ "A": "1" })).send().await.expect(200);
    t.attach("attached", &[("DATABASE_URL", "postgres://one"), ("REDIS_URL", "rediss://two")]).await;
    let all = json!({ "A": "1", "DATABASE_URL": "postgres://one", "REDIS_URL": "rediss://two" });
    assert_eq!(t.get("/apps/attached/config-vars").send().await.expect(200), &all);
    for change in [
        json!({ "A": "2", "DATABASE_URL": "postgres://mine", "REDIS_URL": null }),
        json!({ "DATABASE_URL": "postgres://one", "REDIS_URL": "" }),
    ] {
        let refused = t.patch("/apps/attached/config-vars").json(change.clone()).send().await;
        assert_eq!(refused.refusal(), (422, "invalid_params"), "{change}");
        let named = if change["A"].is_null() { "REDIS_URL" } else { "DATABASE_URL, REDIS_URL" };
        assert_eq!(refused.body["message"], format!("Cannot overwrite attachment values {named}."));
    }
    // The value that it has is no change.
    t.patch("/apps/attached/config-vars")
        .json(json!({ "REDIS_URL": "rediss://two" }))
        .send()
        .await
        .expect(200);
    assert_eq!(newest(&t, "attached").await.0, 3);
    assert_eq!(t.get("/apps/attached/config-vars").send().await.body, all, "nothing was changed");

    let set = t.patch("/apps/attached/config-vars").json(json!({ "A": null, "B": "2" })).send().await;
    let all = json!({ "B": "2", "DATABASE_URL": "postgres://one", "REDIS_URL": "rediss://two" });
    assert_eq!(set.expect(200), &all);
    assert_eq!(t.get("/apps/attached/releases/v4/config-vars").send().await.expect(200), &all);
    assert_eq!(
        t.get("/apps/attached/releases/v3/config-vars").send().await.expect(200),
        &json!({ "A": "1" })
    );
}
