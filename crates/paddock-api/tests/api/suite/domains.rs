//! Domains.

use serde_json::json;

use super::support::TestPaddock;

#[tokio::test]
async fn an_app_has_its_default_domain_and_takes_others() {
    let t = TestPaddock::start().await;
    t.app("named").await;
    let list = t.get("/apps/named/domains").range("id ..; max=1000;").send().await;
    assert_eq!(
        (&list.expect(200)[0]["kind"], &list.body[0]["hostname"]),
        (&json!("heroku"), &json!("named.paddock.example"))
    );
    let add = |hostname: &str| {
        t.post("/apps/named/domains").json(json!({ "hostname": hostname, "sni_endpoint": null })).send()
    };
    let added = add("WWW.Example.com").await;
    assert_eq!(
        (&added.expect(201)["hostname"], &added.body["status"]),
        (&json!("www.example.com"), &json!("none"))
    );
    assert_eq!(added.body["cname"], "named.paddock.example");
    t.get("/apps/named/domains/www.example.com").send().await.expect(200);
    for bad in [
        "www.example.com",
        "localhost",
        "192.0.2.1",
        "paddock.example",
        "x.paddock.example",
        "*.example",
        "single",
    ] {
        assert_eq!(add(bad).await.refusal(), (422, "invalid_params"), "{bad}");
    }
    for of_platform in ["x.paddock.example", "a.b.Paddock.Example", "*.paddock.example"] {
        let refused = add(of_platform).await;
        let message = refused.body["message"].as_str().unwrap();
        assert!(message.contains("apps:rename"), "{message}");
    }
    t.delete("/apps/named/domains/www.example.com").send().await.expect(200);
    assert_eq!(t.get("/apps/named/domains/www.example.com").send().await.refusal(), (404, "not_found"));
    assert_eq!(
        t.delete("/apps/named/domains/named.paddock.example").send().await.refusal(),
        (422, "invalid_params")
    );
}

#[tokio::test]
async fn a_wildcard_does_not_cover_another_owners_name() {
    let t = TestPaddock::start().await;
    t.app("mine").await;
    t.post("/apps").stranger().json(json!({ "name": "theirs" })).send().await.expect(201);
    let body = |hostname: &str| json!({ "hostname": hostname, "sni_endpoint": null });
    t.post("/apps/theirs/domains").stranger().json(body("shop.example.com")).send().await.expect(201);
    let over = t.post("/apps/mine/domains").json(body("*.example.com")).send().await;
    assert_eq!(over.refusal(), (422, "invalid_params"));
    t.post("/apps/mine/domains").json(body("*.example.org")).send().await.expect(201);
    let below = t.post("/apps/theirs/domains").stranger().json(body("a.example.org")).send().await;
    assert_eq!(below.refusal(), (422, "invalid_params"));
    t.post("/apps/mine/domains").json(body("a.example.org")).send().await.expect(201);
}

#[tokio::test]
async fn a_domain_without_a_certificate_stays_without() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    let domain = json!({ "hostname": "www.example.com", "sni_endpoint": null });
    t.post("/apps/plain/domains").json(domain).send().await.expect(201);
    let update = |certificate: serde_json::Value| {
        t.patch("/apps/plain/domains/www.example.com").json(json!({ "sni_endpoint": certificate })).send()
    };
    assert_eq!(update(json!(null)).await.expect(200)["sni_endpoint"], json!(null));
    let refused = update(json!("tokyo-1050")).await;
    assert_eq!(refused.refusal(), (404, "not_found"));
    assert!(refused.body["message"].as_str().unwrap().contains("Certificates"), "{}", refused.body);
}
