//! Who the registry lets in, and with what.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::registry::{OCI, digest_of};
use super::support::TestPaddock;

#[tokio::test]
async fn a_token_lets_in_by_whichever_name_and_scheme() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    let token = t.token.clone();
    for user in ["_", "", "owner@example.com", "anybody"] {
        t.get("/v2/").basic(user, &token).send().await.expect(200);
    }
    t.get("/v2/").token(&token).send().await.expect(200);
    for refused in [t.get("/v2/").anonymous(), t.get("/v2/").basic("_", "nonsense")] {
        let refused = refused.send().await;
        assert_eq!(refused.code(), (401, "UNAUTHORIZED"));
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"Paddock\""));
    }
    // By whichever of its hosts it is reached.
    for host in
        ["registry.paddock.example", "registry.paddock.herokudev.com", "localhost:5000", "paddock.example"]
    {
        t.registry("GET", "/v2/").header("host", host).send().await.expect(200);
    }
    let page = t.registry("GET", "/apps").header("host", "registry.paddock.herokudev.com").send().await;
    assert_eq!(page.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_stranger_finds_no_app_and_pushes_to_none() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    let manifest = t.push_image("boxed/web", "latest", b"files").await;
    let blob = format!("/v2/boxed/web/blobs/{}", digest_of(b"files"));
    for (method, place, expected) in [
        ("GET", "/v2/boxed/web/manifests/latest", (404, "NAME_UNKNOWN")),
        ("GET", blob.as_str(), (404, "NAME_UNKNOWN")),
        ("GET", "/v2/boxed/web/tags/list", (404, "NAME_UNKNOWN")),
        ("POST", "/v2/boxed/web/blobs/uploads/", (403, "DENIED")),
        ("DELETE", blob.as_str(), (403, "DENIED")),
        ("DELETE", "/v2/boxed/web/manifests/latest", (403, "DENIED")),
    ] {
        let answer = t.registry(method, place).stranger().send().await;
        assert_eq!(answer.code(), expected, "{method} {place}");
        // What is not there is answered alike.
        let other = t.registry(method, &place.replace("boxed", "nobodys")).stranger().send().await;
        let words = other.bytes.clone();
        assert_eq!(
            String::from_utf8_lossy(&words).replace("nobodys", "boxed"),
            String::from_utf8_lossy(&answer.bytes)
        );
    }
    let put = t.registry("PUT", "/v2/boxed/web/manifests/latest").stranger().header("content-type", OCI);
    assert_eq!(put.body(manifest).send().await.code(), (403, "DENIED"));
    let user = serde_json::json!({ "user": super::support::STRANGER });
    t.post("/apps/boxed/collaborators").json(user).send().await.expect(201);
    t.registry("GET", &blob).stranger().send().await.expect(200);
    t.registry("POST", "/v2/boxed/web/blobs/uploads/").stranger().send().await.expect(202);
}

#[tokio::test]
async fn a_token_of_the_registrys_is_good_for_what_it_says_and_for_a_while() {
    let t = TestPaddock::start().await;
    for app in ["boxed", "other"] {
        t.app(app).await;
    }
    t.push_image("boxed/web", "latest", b"files").await;
    t.push_image("other/web", "latest", b"files").await;
    let ask = async |scopes: &str| {
        let made = t.registry("GET", &format!("/v2/token?service=paddock{scopes}")).send().await;
        assert_eq!(made.expect(200)["token"], made.body["access_token"]);
        assert_eq!(made.body["expires_in"], 900);
        made.body["token"].as_str().unwrap().to_owned()
    };
    let pull = ask("&scope=repository:boxed/web:pull").await;
    let get = |app: &str, token: &str| t.get(&format!("/v2/{app}/web/manifests/latest")).token(token).send();
    get("boxed", &pull).await.expect(200);
    let push = t.post("/v2/boxed/web/blobs/uploads/").token(&pull).send().await;
    assert_eq!(push.code(), (401, "UNAUTHORIZED"));
    let challenge = push.header("www-authenticate").unwrap();
    assert_eq!(
        challenge,
        "Bearer realm=\"http://localhost:5000/v2/token\",service=\"paddock\",scope=\"repository:boxed/web:pull,push\""
    );
    assert_eq!(get("other", &pull).await.code(), (401, "UNAUTHORIZED"));
    let both = ask("&scope=repository:boxed/web:pull,push&scope=repository:other/web:pull").await;
    get("other", &both).await.expect(200);
    t.post("/v2/boxed/web/blobs/uploads/").token(&both).send().await.expect(202);
    // For nothing else, and not for more of its kind.
    t.get("/apps").token(&both).send().await.expect(401);
    assert_eq!(t.get("/v2/token").token(&both).send().await.code(), (401, "UNAUTHORIZED"));

    // What an account may not, its token may not either.
    let strangers = t.registry("GET", "/v2/token?scope=repository:boxed/web:pull").stranger().send().await;
    let strangers = strangers.expect(200)["token"].as_str().unwrap().to_owned();
    assert_eq!(get("boxed", &strangers).await.code(), (401, "UNAUTHORIZED"));

    let forged = forged(&pull);
    assert_eq!(get("boxed", &forged).await.code(), (401, "UNAUTHORIZED"));
    t.clock.advance(Duration::from_secs(901));
    let expired = get("boxed", &pull).await;
    assert_eq!(expired.code(), (401, "UNAUTHORIZED"));
    assert!(expired.header("www-authenticate").unwrap().starts_with("Bearer realm="));
}

/// The same token for another repository.
fn forged(token: &str) -> String {
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let content = String::from_utf8(URL_SAFE_NO_PAD.decode(&parts[1]).unwrap()).unwrap();
    parts[1] = URL_SAFE_NO_PAD.encode(content.replace("pull", "push"));
    parts.join(".")
}

#[tokio::test]
async fn a_token_of_the_registrys_ends_with_the_one_it_was_made_from() {
    let t = TestPaddock::start().await;
    t.app("boxed").await;
    t.push_image("boxed/web", "latest", b"files").await;
    let order = serde_json::json!({ "description": "for a while" });
    let made = t.post("/oauth/authorizations").json(order).send().await.expect(201).clone();
    let own = made["access_token"]["token"].as_str().unwrap();
    let asked = t.get("/v2/token?scope=repository:boxed/web:pull").basic("_", own).send().await;
    let token = asked.expect(200)["token"].as_str().unwrap().to_owned();
    let get = || t.get("/v2/boxed/web/manifests/latest").token(&token).send();
    get().await.expect(200);
    t.delete(&format!("/oauth/authorizations/{}", made["id"].as_str().unwrap())).send().await.expect(200);
    assert_eq!(get().await.code(), (401, "UNAUTHORIZED"));
}
