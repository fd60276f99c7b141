//! SSH keys.

use serde_json::json;

use super::support::{OWNER, TestPaddock};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

#[tokio::test]
async fn keys_are_added_listed_and_removed() {
    let t = TestPaddock::start().await;
    assert_eq!(t.get("/account/keys").send().await.expect(200), &json!([]));
    let line = format!("{KEY} me@home\n");
    let added = t.post("/account/keys").json(json!({ "public_key": line })).send().await;
    let added = added.expect(201).clone();
    assert_eq!((&added["comment"], &added["email"]), (&json!("me@home"), &json!(OWNER)));
    assert_eq!(added["public_key"], format!("{KEY} me@home"));
    let fingerprint = added["fingerprint"].as_str().unwrap();
    assert!(fingerprint.starts_with("SHA256:") && fingerprint.len() == 50, "{fingerprint}");
    assert_eq!(t.get("/account/keys").send().await.expect(200), &json!([added]));
    let id = added["id"].as_str().unwrap();
    assert_eq!(t.get(&format!("/account/keys/{id}")).send().await.expect(200), &added);
    let by_fingerprint = format!("/account/keys/{}", fingerprint.replace('/', "%2F").replace('+', "%2B"));
    assert_eq!(t.get(&by_fingerprint).send().await.expect(200), &added);

    // A key tells who somebody is: it cannot be two.
    let taken = t.post("/account/keys").stranger().json(json!({ "public_key": KEY })).send().await;
    assert_eq!(taken.refusal(), (422, "invalid_params"));
    assert!(taken.body["message"].as_str().unwrap().contains("already taken"), "{}", taken.body);
    let foreign = t.delete(&format!("/account/keys/{id}")).stranger().send().await;
    assert_eq!(foreign.refusal(), (404, "not_found"));

    t.delete(&format!("/account/keys/{id}")).send().await.expect(200);
    assert_eq!(t.get(&format!("/account/keys/{id}")).send().await.refusal(), (404, "not_found"));
    t.post("/account/keys").stranger().json(json!({ "public_key": KEY })).send().await.expect(201);
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let t = TestPaddock::start().await;
    for bad in ["", "ssh-rsa", "ssh-rsa AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----\nx", &KEY[..40]] {
        let answer = t.post("/account/keys").json(json!({ "public_key": bad })).send().await;
        assert_eq!(answer.refusal(), (422, "invalid_params"), "{bad}");
    }
    assert_eq!(t.get("/account/keys").send().await.expect(200), &json!([]));
}
