//! Logging in, tokens, and the limits on guessing.

use std::time::Duration;

use serde_json::json;

use super::support::{OWNER, PASSWORD, STRANGER, TestPaddock};

#[tokio::test]
async fn whoami_tells_the_account() {
    let t = TestPaddock::start().await;
    assert_eq!(t.get("/account").send().await.expect(200)["email"], OWNER);
    assert_eq!(t.get("/users/~").send().await.expect(200)["email"], OWNER);
    assert_eq!(t.get(&format!("/users/{STRANGER}")).send().await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_is_revoked() {
    let t = TestPaddock::start().await;
    let made = t
        .post("/oauth/authorizations")
        .json(json!({ "description": "ci", "expires_in": "3600", "scope": ["global"] }))
        .send()
        .await;
    let made = made.expect(201).clone();
    let (id, token) = (made["id"].as_str().unwrap(), made["access_token"]["token"].as_str().unwrap());
    assert!(token.starts_with("HRKU-"), "{token}");
    assert!((3590..=3600).contains(&made["access_token"]["expires_in"].as_i64().unwrap()));
    t.get("/account").token(token).send().await.expect(200);

    let list = t.get("/oauth/authorizations").send().await;
    let listed = list.expect(200).as_array().unwrap().iter().find(|one| one["id"] == id).unwrap();
    let shown = listed["access_token"]["token"].as_str().unwrap();
    let (start, end) = shown.split_once("**********").unwrap();
    assert!(
        token.starts_with(start)
            && token.ends_with(end)
            && !list.bytes.windows(token.len()).any(|w| w == token.as_bytes())
    );

    t.patch(&format!("/oauth/authorizations/{id}"))
        .json(json!({ "description": "other" }))
        .send()
        .await
        .expect(200);
    let info = t.get(&format!("/oauth/authorizations/{id}")).send().await;
    assert_eq!(info.expect(200)["description"], "other");
    t.delete(&format!("/oauth/authorizations/{id}")).send().await.expect(200);
    assert_eq!(t.get("/account").token(token).send().await.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn a_token_ends_when_its_time_is_over() {
    let t = TestPaddock::start().await;
    let order = json!({ "expires_in": 60, "scope": ["global"] });
    let made = t.post("/oauth/authorizations").json(order).send().await;
    let token = made.expect(201)["access_token"]["token"].as_str().unwrap().to_owned();
    t.get("/account").token(&token).send().await.expect(200);
    t.clock.advance(Duration::from_secs(61));
    assert_eq!(t.get("/account").token(&token).send().await.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn regenerating_gives_a_new_token_and_ends_the_old() {
    let t = TestPaddock::start().await;
    let made = t.post("/oauth/authorizations").json(json!({ "scope": ["global"] })).send().await;
    let made = made.expect(201).clone();
    let path = format!("/oauth/authorizations/{}/actions/regenerate-tokens", made["id"].as_str().unwrap());
    let renewed = t.post(&path).send().await.expect(200).clone();
    let token = |value: &serde_json::Value| value["access_token"]["token"].as_str().unwrap().to_owned();
    t.get("/account").token(&token(&renewed)).send().await.expect(200);
    assert_eq!(t.get("/account").token(&token(&made)).send().await.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn logging_out_finds_no_session_and_no_default_authorization() {
    let t = TestPaddock::start().await;
    let session = t.delete("/oauth/sessions/~").send().await;
    assert_eq!(session.refusal(), (404, "not_found"));
    assert_eq!(session.body["resource"], "session");
    let authorization = t.get("/oauth/authorizations/~").send().await;
    assert_eq!(authorization.refusal(), (404, "not_found"));
    assert_eq!(authorization.body["resource"], "authorization");
}

#[tokio::test]
async fn scopes_that_are_not_built_are_refused() {
    let t = TestPaddock::start().await;
    let answer = t.post("/oauth/authorizations").json(json!({ "scope": ["read"] })).send().await;
    assert_eq!(answer.refusal(), (422, "invalid_params"));
}

#[tokio::test]
async fn guessing_passwords_is_stopped_for_the_right_one_too() {
    let t = TestPaddock::start().await;
    let log_in = |email: &'static str, password: &'static str| {
        let call = t.post("/oauth/authorizations").basic(email, password);
        call.json(json!({ "scope": ["global"] })).send()
    };
    for _ in 0..10 {
        assert_eq!(log_in(OWNER, "wrong").await.refusal(), (401, "unauthorized"));
    }
    assert_eq!(log_in(OWNER, PASSWORD).await.refusal(), (429, "rate_limit"));
    log_in(STRANGER, PASSWORD).await.expect(201);
    assert_eq!(log_in("nobody@example.com", "x").await.refusal(), (401, "unauthorized"));
    t.clock.advance(Duration::from_secs(16 * 60));
    log_in(OWNER, PASSWORD).await.expect(201);
}

#[tokio::test]
async fn logging_in_by_browser_is_told_how_else() {
    let t = TestPaddock::start().await;
    let answer =
        t.post("/auth").anonymous().without_header("accept").json(json!({ "description": "x" })).send().await;
    assert_eq!(answer.refusal(), (404, "not_found"));
    assert!(answer.body["message"].as_str().unwrap().contains("--interactive"), "{}", answer.body);
}

#[tokio::test]
async fn an_account_changes_its_name_address_and_password() {
    let t = TestPaddock::start().await;
    let change = |body: serde_json::Value| t.patch("/account").json(body).send();
    assert_eq!(change(json!({ "name": " Tina " })).await.expect(200)["name"], "Tina");
    assert_eq!(change(json!({ "allow_tracking": true, "beta": false })).await.expect(200)["name"], "Tina");
    assert_eq!(
        t.patch("/users/~").json(json!({ "name": null })).send().await.expect(200)["name"],
        json!(null)
    );
    let others = t.patch(&format!("/users/{STRANGER}")).json(json!({ "name": "x" })).send().await;
    assert_eq!(others.refusal(), (404, "not_found"));
    for (refused, word) in [
        (json!({ "allow_tracking": false }), "allow_tracking"),
        (json!({ "email": "new@example.com" }), "password"),
        (json!({ "email": "new@example.com", "password": "wrong" }), "wrong"),
        (json!({ "email": STRANGER, "password": PASSWORD }), "taken"),
        (json!({ "email": "nobody", "password": PASSWORD }), "invalid"),
        (json!({ "new_password": "another one" }), "password"),
        (json!({ "new_password": "short", "password": PASSWORD }), "8 characters"),
        (json!({ "name": "x".repeat(300) }), "255"),
        (json!({ "name": "two\nlines" }), "line"),
    ] {
        let answer = change(refused.clone()).await;
        assert_eq!(answer.refusal(), (422, "invalid_params"), "{refused}");
        assert!(answer.body["message"].as_str().unwrap().contains(word), "{refused}: {}", answer.body);
    }
    change(json!({ "email": "New@example.com", "new_password": "another one", "password": PASSWORD }))
        .await
        .expect(200);
    assert_eq!(t.get("/account").send().await.expect(200)["email"], "New@example.com", "tokens stay valid");
    let log_in = |email: &'static str, password: &'static str| {
        t.post("/oauth/authorizations").basic(email, password).json(json!({ "scope": ["global"] })).send()
    };
    log_in("new@example.com", "another one").await.expect(201);
    assert_eq!(log_in("new@example.com", PASSWORD).await.refusal(), (401, "unauthorized"));
    assert_eq!(log_in(OWNER, "another one").await.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn guessing_the_password_with_a_token_is_stopped_as_well() {
    let t = TestPaddock::start().await;
    let guess = |password: &'static str| {
        t.patch("/account").json(json!({ "new_password": "another one", "password": password })).send()
    };
    for _ in 0..10 {
        assert_eq!(guess("wrong").await.refusal(), (422, "invalid_params"));
    }
    assert_eq!(guess(PASSWORD).await.refusal(), (429, "rate_limit"));
}

#[tokio::test]
async fn an_account_without_apps_is_deleted_and_leaves_its_name_on_what_it_did() {
    let t = TestPaddock::start().await;
    t.app("shared").await;
    let delete = || t.delete("/account").stranger().send();
    t.post("/apps/shared/collaborators").json(json!({ "user": STRANGER })).send().await.expect(201);
    t.patch("/apps/shared/config-vars").stranger().json(json!({ "A": "1" })).send().await.expect(200);
    t.post("/apps").stranger().json(json!({ "name": "in-the-way" })).send().await.expect(201);
    let refused = delete().await;
    assert_eq!(refused.refusal(), (422, "invalid_params"));
    assert!(refused.body["message"].as_str().unwrap().contains("in-the-way"), "{}", refused.body);
    t.delete("/apps/in-the-way").stranger().send().await.expect(200);
    assert_eq!(delete().await.expect(200)["email"], STRANGER);

    assert_eq!(t.get("/account").stranger().send().await.refusal(), (401, "unauthorized"));
    let log_in = t.post("/oauth/authorizations").basic(STRANGER, PASSWORD).json(json!({})).send().await;
    assert_eq!(log_in.refusal(), (401, "unauthorized"));
    let release = t.get("/apps/shared/releases/v3").send().await;
    assert_eq!(release.expect(200)["user"]["email"], STRANGER, "what was done stays done");
    assert_eq!(t.get("/apps/shared/collaborators").send().await.body.as_array().unwrap().len(), 1);
    t.control.people.create_account(STRANGER, None, PASSWORD).await.unwrap();
    let again = t.log_in(STRANGER).await;
    assert_eq!(t.get("/apps/shared").token(&again).send().await.refusal(), (404, "not_found"));

    t.delete("/apps/shared").send().await.expect(200);
    t.delete("/account").token(&again).send().await.expect(200);
    let last = t.delete("/users/~").send().await;
    assert_eq!(last.refusal(), (422, "invalid_params"));
    assert!(last.body["message"].as_str().unwrap().contains("the server's operator"), "{}", last.body);
}

#[tokio::test]
async fn the_operator_makes_accounts_and_resets_passwords() {
    let t = TestPaddock::start().await;
    let log_in = |password: String| {
        let call = t.post("/oauth/authorizations").basic("third@example.com", &password);
        call.json(json!({ "scope": ["global"] })).send()
    };
    let first = t
        .control
        .people
        .create_account_with_random_password("third@example.com", Some("Third".into()))
        .await
        .unwrap();
    let token = log_in(first.clone()).await.expect(201)["access_token"]["token"].as_str().unwrap().to_owned();
    t.get("/account").token(&token).send().await.expect(200);
    let (second, ended) = t.control.people.reset_password("THIRD@example.com").await.unwrap();
    assert_eq!(ended, 1);
    assert_eq!(t.get("/account").token(&token).send().await.refusal(), (401, "unauthorized"));
    assert_ne!(first, second);
    assert_eq!(log_in(first).await.refusal(), (401, "unauthorized"));
    log_in(second).await.expect(201);
    for refused in ["third@example.com", "no address", "a:b@c"] {
        assert!(
            t.control.people.create_account_with_random_password(refused, None).await.is_err(),
            "{refused}"
        );
    }
    assert!(t.control.people.reset_password("nobody@example.com").await.is_err());
}

#[tokio::test]
async fn a_disabled_account_lets_nobody_in_and_its_apps_go_on() {
    let t = TestPaddock::start().await;
    t.post("/apps").stranger().json(json!({ "name": "theirs" })).send().await.expect(201);
    let log_in = || t.post("/oauth/authorizations").basic(STRANGER, PASSWORD).json(json!({})).send();
    assert_eq!(t.control.people.disable_account(STRANGER).await.unwrap(), 1);
    assert_eq!(t.get("/account").stranger().send().await.refusal(), (401, "unauthorized"));
    let refused = log_in().await;
    assert_eq!(refused.refusal(), (403, "forbidden"));
    assert!(refused.body["message"].as_str().unwrap().contains("disabled"), "{}", refused.body);
    let guessed = t.post("/oauth/authorizations").basic(STRANGER, "guessed").json(json!({})).send().await;
    assert_eq!(guessed.refusal(), (401, "unauthorized"), "only who knows the password is told");
    let apps = t.control.people.known_apps().await.unwrap();
    assert_eq!(
        apps.iter().map(|app| (app.name.as_str(), app.owner.as_str())).collect::<Vec<_>>(),
        [("theirs", STRANGER)]
    );
    let token =
        t.control.people.command_line_token(Some(STRANGER), "/nowhere".as_ref(), "/nowhere".as_ref()).await;
    assert!(token.unwrap_err().message.contains("disabled"));

    let last = t.control.people.disable_account(OWNER).await.unwrap_err();
    assert!(last.message.contains("last account"), "{}", last.message);
    t.control.people.enable_account(STRANGER).await.unwrap();
    log_in().await.expect(201);
    t.control.people.disable_account(OWNER).await.unwrap();
    let last = t.control.people.disable_account(STRANGER).await.unwrap_err();
    assert!(last.message.contains("last account"), "{}", last.message);
    let known = t.control.people.known_accounts().await.unwrap();
    let states: Vec<_> =
        known.iter().map(|known| (known.email.as_str(), known.disabled_at.is_some(), known.apps)).collect();
    assert_eq!(states, [(OWNER, true, 0), (STRANGER, false, 1)]);
}

#[tokio::test]
async fn the_operator_deletes_accounts_that_own_nothing() {
    let t = TestPaddock::start().await;
    t.post("/apps").stranger().json(json!({ "name": "in-the-way" })).send().await.expect(201);
    let refused = t.control.people.remove_account(STRANGER).await.unwrap_err();
    assert!(refused.message.contains("in-the-way"), "{}", refused.message);
    t.delete("/apps/in-the-way").stranger().send().await.expect(200);
    // Also one that is disabled, and not the one that is the last then.
    t.control.people.disable_account(OWNER).await.unwrap();
    assert!(t.control.people.remove_account(STRANGER).await.unwrap_err().message.contains("last account"));
    t.control.people.enable_account(OWNER).await.unwrap();
    t.control.people.disable_account(STRANGER).await.unwrap();
    t.control.people.remove_account(STRANGER).await.unwrap();
    assert!(t.control.people.remove_account(STRANGER).await.unwrap_err().message.contains("account list"));
    let first = t.control.people.remove_account(OWNER).await.unwrap_err();
    assert!(first.message.contains("was made with"), "{}", first.message);
}
