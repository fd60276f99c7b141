//! Collaborators.

use serde_json::json;

use super::support::{OWNER, STRANGER, TestPaddock};

#[tokio::test]
async fn a_collaborator_operates_the_app_and_does_not_own_it() {
    let t = TestPaddock::start().await;
    t.deployed_app("shared", &[("web", "serve")]).await;
    assert_eq!(t.get("/apps/shared").stranger().send().await.refusal(), (404, "not_found"));
    let added =
        t.post("/apps/shared/collaborators").json(json!({ "user": STRANGER, "silent": true })).send().await;
    assert_eq!(
        (&added.expect(201)["user"]["email"], &added.body["role"]),
        (&json!(STRANGER), &json!("collaborator"))
    );
    t.get("/apps/shared").stranger().send().await.expect(200);
    assert_eq!(t.get("/apps").stranger().send().await.expect(200)[0]["name"], "shared");
    t.patch("/apps/shared/config-vars").stranger().json(json!({ "A": "1" })).send().await.expect(200);
    let scale = json!({ "updates": [{ "type": "web", "quantity": 2 }] });
    t.patch("/apps/shared/formation").stranger().json(scale).send().await.expect(200);
    for refused in [
        t.delete("/apps/shared").stranger(),
        t.patch("/apps/shared").stranger().json(json!({ "name": "mine" })),
        t.post("/apps/shared/collaborators").stranger().json(json!({ "user": STRANGER })),
    ] {
        assert_eq!(refused.send().await.refusal(), (403, "forbidden"));
    }
    let again =
        t.post("/apps/shared/collaborators").json(json!({ "user": { "email": STRANGER } })).send().await;
    assert_eq!(again.refusal(), (422, "invalid_params"));
    let removed = t.delete(&format!("/apps/shared/collaborators/{STRANGER}")).send().await;
    assert_eq!(removed.expect(200)["user"]["email"], STRANGER);
    assert_eq!(t.get("/apps/shared").stranger().send().await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn everybody_may_leave_but_the_owner() {
    let t = TestPaddock::start().await;
    t.app("left").await;
    let add = || t.post("/apps/left/collaborators").json(json!({ "user": STRANGER })).send();
    add().await.expect(201);
    let owner = t.delete(&format!("/apps/left/collaborators/{OWNER}"));
    assert_eq!(owner.send().await.refusal(), (422, "invalid_params"));
    let owner_by_other = t.delete(&format!("/apps/left/collaborators/{OWNER}")).stranger();
    assert_eq!(owner_by_other.send().await.refusal(), (422, "invalid_params"));
    t.delete(&format!("/apps/left/collaborators/{STRANGER}")).stranger().send().await.expect(200);
    assert_eq!(t.get("/apps/left").stranger().send().await.refusal(), (404, "not_found"));
    add().await.expect(201);
}

#[tokio::test]
async fn who_has_no_account_is_told_how_to_get_one() {
    let t = TestPaddock::start().await;
    t.app("closed").await;
    let answer = t.post("/apps/closed/collaborators").json(json!({ "user": "new@example.com" })).send().await;
    assert_eq!(answer.refusal(), (422, "invalid_params"));
    assert!(answer.body["message"].as_str().unwrap().contains("paddockd account create"), "{}", answer.body);
}
