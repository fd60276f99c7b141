//! What holds for every call: version, credentials, request ids, tags, ranges, errors.

use serde_json::json;

use super::support::{OWNER, PASSWORD, TestPaddock, VERSION_3};

#[tokio::test]
async fn only_version_3_is_served() {
    let t = TestPaddock::start().await;
    for accept in ["*/*", "application/json", "application/vnd.heroku+json; version=2", "text/html"] {
        let answer = t.get("/account").header("accept", accept).send().await;
        assert_eq!(answer.refusal(), (406, "not_acceptable"), "{accept}");
    }
    assert_eq!(t.get("/account").without_header("accept").send().await.refusal(), (406, "not_acceptable"));
    for accept in [
        VERSION_3,
        "application/vnd.heroku+json; version=3.sdk",
        "text/html, application/vnd.heroku+json; version=3",
    ] {
        t.get("/account").header("accept", accept).send().await.expect(200);
    }
}

#[tokio::test]
async fn credentials_come_in_every_form_that_clients_use() {
    let t = TestPaddock::start().await;
    for user in ["", "heroku", "_", OWNER] {
        t.get("/account").basic(user, &t.token).send().await.expect(200);
    }
    for refused in [
        t.get("/account").anonymous(),
        t.get("/account").token("undefined"),
        t.get("/account").basic("", ""),
        t.get("/account").basic(OWNER, PASSWORD),
        t.get("/account").header("authorization", "Digest x"),
    ] {
        assert_eq!(refused.send().await.refusal(), (401, "unauthorized"));
    }
}

#[tokio::test]
async fn request_ids_are_sent_back_with_one_of_ours() {
    let t = TestPaddock::start().await;
    let fresh = t.get("/account").send().await;
    assert!(fresh.header("request-id").unwrap().parse::<uuid::Uuid>().is_ok());
    let answer = t.get("/account").header("request-id", "a,b").send().await;
    let ids: Vec<_> = answer.header("request-id").unwrap().split(',').collect();
    assert_eq!(ids[..2], ["a", "b"]);
    assert!(ids.len() == 3 && ids[2].parse::<uuid::Uuid>().is_ok());
    let long = "x".repeat(9000);
    let answer = t.get("/account").header("request-id", &long).send().await;
    assert!(answer.header("request-id").unwrap().len() < 100);
}

#[tokio::test]
async fn a_known_body_is_not_sent_again() {
    let t = TestPaddock::start().await;
    t.app("tagged").await;
    let first = t.get("/apps/tagged").send().await;
    let tag = first.header("etag").unwrap();
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = t.get("/apps/tagged").header("if-none-match", &known).send().await;
        assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0), "{known}");
        assert_eq!(again.header("etag"), Some(tag));
    }
    t.patch("/apps/tagged").json(json!({ "maintenance": true })).send().await.expect(200);
    t.get("/apps/tagged").header("if-none-match", tag).send().await.expect(200);
}

#[tokio::test]
async fn a_change_with_a_condition_is_made_only_on_what_was_seen() {
    let t = TestPaddock::start().await;
    t.app("seen").await;
    let looked = t.get("/apps/seen").send().await;
    let (seen, id) = (looked.header("etag").unwrap().to_owned(), looked.body["id"].as_str().unwrap());
    let change_of = |app: &str, tag: String, on: bool| {
        let wanted = json!({ "maintenance": on });
        t.patch(&format!("/apps/{app}")).header("if-match", &tag).json(wanted).send()
    };
    let change = |tag, on| change_of("seen", tag, on);
    for other in ["\"x\"".to_owned(), format!("W/{seen}"), "nonsense".to_owned()] {
        let refused = change(other, true).await;
        assert_eq!(refused.refusal(), (412, "precondition_failed"));
        assert!(refused.header("request-id").is_some() && refused.header("ratelimit-remaining").is_some());
    }
    assert_eq!(t.get("/apps/seen").send().await.body["maintenance"], false);
    // Of two that saw the same, by whichever name, one comes first.
    t.clock.advance(std::time::Duration::from_secs(1));
    let (one, other) = tokio::join!(change(seen.clone(), true), change_of(id, seen.clone(), true));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    change("*".to_owned(), false).await.expect(200);
    assert_eq!(change(seen, true).await.refusal(), (412, "precondition_failed"));
    let encoded = change_of("%73een", "*".to_owned(), true).await;
    assert_eq!(encoded.refusal(), (400, "bad_request"));
    let nothing = t.delete("/apps/absent").header("if-match", "*").send().await;
    assert_eq!(nothing.refusal(), (412, "precondition_failed"), "nothing is not something");
    let anonymous = t.delete("/apps/seen").anonymous().header("if-match", "*").send().await;
    assert_eq!(anonymous.refusal(), (401, "unauthorized"));
}

#[tokio::test]
async fn a_method_may_come_in_a_header_of_a_post() {
    let t = TestPaddock::start().await;
    t.app("spoken").await;
    let said = |method: &str| t.post("/apps/spoken").header("x-http-method-override", method);
    said("PATCH").json(json!({ "maintenance": true })).send().await.expect(200);
    assert_eq!(said("get").send().await.expect(200)["maintenance"], true);
    assert_eq!(said("CONNECT").send().await.refusal(), (404, "not_found"));
    let not_from_get = t.get("/apps/spoken").header("x-http-method-override", "DELETE").send().await;
    not_from_get.expect(200);
    said("DELETE").send().await.expect(200);
    assert_eq!(t.get("/apps/spoken").send().await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn pages_of_other_origins_may_call() {
    let t = TestPaddock::start().await;
    for path in ["/apps", "/apps/x/dynos", "/no/such/path"] {
        let asked = t.call("OPTIONS", path).anonymous().without_header("accept");
        let asked = asked.header("origin", "https://page.example");
        let asked = asked.header("access-control-request-method", "PATCH").send().await;
        assert_eq!(asked.status, 204, "{path}");
        assert_eq!(asked.header("access-control-allow-origin"), Some("*"));
        assert!(asked.header("access-control-allow-methods").unwrap().contains("PATCH"));
        assert!(asked.header("access-control-allow-headers").unwrap().contains("Authorization"));
        assert_eq!(asked.header("access-control-allow-credentials"), None);
    }
    let answer = t.get("/account").header("origin", "https://page.example").send().await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("Next-Range"));
}

#[tokio::test]
async fn answers_tell_when_what_they_show_was_changed() {
    let t = TestPaddock::start().await;
    let app = t.app("dated").await;
    let shown = t.get("/apps/dated").send().await;
    let changed = shown.header("last-modified").unwrap().to_owned();
    let clock = app["updated_at"].as_str().unwrap()[11..19].to_owned();
    assert!(changed.ends_with(&format!("{clock} GMT")), "{changed} for {}", app["updated_at"]);
    assert_eq!(t.get("/apps").send().await.header("last-modified"), Some(changed.as_str()));
    assert_eq!(t.get("/apps/dated/config-vars").send().await.header("last-modified"), None);
}

#[tokio::test]
async fn the_api_describes_itself_and_tells_how_it_is() {
    let t = TestPaddock::start().await;
    let schema = t.get("/schema").anonymous().send().await;
    let links = &schema.expect(200)["definitions"]["apps"]["links"];
    assert!(
        links
            .as_array()
            .unwrap()
            .iter()
            .any(|link| link["href"] == "/apps/{app}" && link["method"] == "PATCH")
    );
    let tag = schema.header("etag").unwrap();
    assert_eq!(t.get("/schema").anonymous().header("if-none-match", tag).send().await.status, 304);
    let status = t.get("/api/v4/current-status").anonymous().without_header("accept").send().await;
    let expected = json!([{ "system": "Apps", "status": "green" }, { "system": "Tools", "status": "green" }]);
    assert_eq!((&status.expect(200)["status"], &status.body["incidents"]), (&expected, &json!([])));
    t.store.close().await;
    let status = t.get("/api/v4/current-status").anonymous().send().await;
    assert_eq!(status.expect(200)["status"][1], json!({ "system": "Tools", "status": "red" }));
    assert_eq!(status.body["incidents"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn lists_are_cut_into_pages_that_lead_on() {
    let t = TestPaddock::start().await;
    for name in ["paged-a", "paged-b", "paged-c"] {
        t.app(name).await;
    }
    let first = t.get("/apps").range("name ..; max=2").send().await;
    first.expect(206);
    assert_eq!(first.header("content-range"), Some("name paged-a..paged-b"));
    assert_eq!(first.header("accept-ranges"), Some("id, name, updated_at"));
    let next = first.header("next-range").unwrap().to_owned();
    let second = t.get("/apps").range(&next).send().await;
    assert_eq!(second.expect(200)[0]["name"], "paged-c");
    assert_eq!(second.header("next-range"), None);
    let descending = t.get("/apps").range("name ..; order=desc,max=1").send().await;
    assert_eq!(descending.expect(206)[0]["name"], "paged-c");
    assert_eq!(t.get("/apps").range("").send().await.expect(200).as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_named() {
    let t = TestPaddock::start().await;
    let malformed = t.post("/apps").body("{\"name\": ").send().await;
    assert_eq!(malformed.refusal(), (400, "bad_request"));
    let wrong = t.post("/apps").json(json!({ "name": 7 })).send().await;
    assert_eq!(wrong.refusal(), (422, "invalid_params"));
    let large = t.post("/apps").body(vec![b' '; 2 << 20]).send().await;
    assert_eq!(large.refusal(), (413, "payload_too_large"));
    let empty = t.post("/apps").send().await;
    assert!(
        empty.expect(201)["name"].as_str().unwrap().len() > 5,
        "an absent body is fine where all is optional"
    );
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    for (method, path, word) in [
        ("POST", "/pipelines", "Pipelines"),
        ("GET", "/pipelines/x", "Pipelines"),
        ("GET", "/apps/plain/pipeline-couplings", "Pipelines"),
        ("GET", "/teams/x/members", "Teams"),
        ("POST", "/addons/x/actions/provision", "Add-ons of others"),
        ("POST", "/apps/plain/webhooks", "Webhooks"),
        ("GET", "/apps/plain/log-drains/x", "Log drains"),
        ("GET", "/spaces/x", "Spaces"),
    ] {
        let answer = t.call(method, path).json(json!({})).send().await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{path}");
        assert!(answer.body["message"].as_str().unwrap().contains(word), "{path}: {}", answer.body);
    }
    assert_eq!(t.get("/no/such/path").send().await.refusal(), (404, "not_found"));
    assert_eq!(t.put("/apps").send().await.refusal(), (404, "not_found"), "a known path, another verb");
    assert_eq!(t.get("/no/such/path").anonymous().send().await.refusal(), (401, "unauthorized"));
}

/// What all there is of something is asked for by: clients that look at everything fail at a 404.
#[tokio::test]
async fn lists_of_what_is_not_built_are_empty() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    for path in paddock_api::EMPTY_LISTS {
        let path = path.replace("{app}", "plain").replace("{user}", "~").replace("{region}", "us");
        let list = t.get(&path).range("id ..; max=1000").send().await;
        assert_eq!(list.expect(200), &json!([]), "{path}");
    }
    for elsewhere in
        ["/apps/none/webhooks", "/users/nobody@example.com/addons", "/regions/none/addon-region-capabilities"]
    {
        assert_eq!(t.get(elsewhere).send().await.refusal(), (404, "not_found"), "{elsewhere}");
    }
    let deliveries =
        t.get("/apps/plain/webhook-deliveries").range("seq ..; order=desc,max=1000").send().await;
    assert_eq!(deliveries.expect(200), &json!([]));
}

#[tokio::test]
async fn the_rate_limit_is_told_and_asking_for_it_is_free() {
    let t = TestPaddock::start().await;
    for _ in 0..5 {
        t.get("/account").send().await.expect(200);
    }
    let answer = t.get("/account").send().await;
    let left: u64 = answer.header("ratelimit-remaining").unwrap().parse().unwrap();
    assert!((4000..4500).contains(&left), "{left}");
    let asked = t.get("/account/rate-limits").send().await;
    let told = asked.expect(200)["remaining"].as_u64().unwrap();
    assert!(told >= left, "asking took nothing: {left} then {told}");
}

#[tokio::test]
async fn who_has_used_up_the_limit_waits_also_after_a_restart() {
    let mut t = TestPaddock::start().await;
    t.clock.hold();
    let actor = t.control.people.authenticate_token(&t.token).await.unwrap();
    while t.control.kernel.count_request(&actor).await.unwrap().is_some() {}
    let refused = t.get("/account").send().await;
    assert_eq!(refused.refusal(), (429, "rate_limit"));
    assert_eq!(
        (refused.header("ratelimit-remaining"), refused.header("retry-after")),
        (Some("0"), Some("60"))
    );
    assert_eq!(t.get("/account/rate-limits").send().await.expect(200)["remaining"], 0);
    t.get("/account").stranger().send().await.expect(200);
    t.stop().await;
    t.control.close().await;
    let t = t.another_run().await;
    assert_eq!(t.get("/account").send().await.refusal(), (429, "rate_limit"));
    t.clock.advance(std::time::Duration::from_secs(60));
    let left: u32 = t.get("/account").send().await.header("ratelimit-remaining").unwrap().parse().unwrap();
    assert_eq!(left, 74, "75 a minute come back, and one was just taken");
}

/// Killed, a server forgives what was asked since the limits were last written.
#[tokio::test]
async fn the_limit_is_written_while_the_server_runs() {
    let t = TestPaddock::start_alive().await;
    let actor = t.control.people.authenticate_token(&t.token).await.unwrap();
    for _ in 0..1000 {
        t.control.kernel.count_request(&actor).await.unwrap();
    }
    t.eventually("the limit on disk", async || {
        t.control.kernel.wakes.rate_limits.wake();
        let written = t.store.rate_limit(actor.account_id()).await.unwrap();
        written.is_some_and(|written| written.left_requests < 3600).then_some(())
    })
    .await;
    let t = t.another_run().await;
    let left: u32 = t.get("/account").send().await.header("ratelimit-remaining").unwrap().parse().unwrap();
    assert!(left < 3700, "{left}");
}

#[tokio::test]
async fn the_front_page_tells_how_to_begin() {
    let t = TestPaddock::start().await;
    let text = t.get("/").anonymous().without_header("accept").send().await;
    assert_eq!(text.status, 200);
    let text = String::from_utf8(text.bytes.to_vec()).unwrap();
    assert!(text.contains("HEROKU_HOST=http://localhost:5000") && text.contains("paddock.example"), "{text}");
    let html =
        t.get("/").anonymous().header("accept", "text/html,*/*").header("host", "<script>").send().await;
    let html = String::from_utf8(html.bytes.to_vec()).unwrap();
    assert!(html.starts_with("<!doctype html>") && !html.contains("<script>"), "{html}");
}

#[tokio::test]
async fn the_first_page_tells_nobody_to_send_a_password_to_heroku() {
    let t = TestPaddock::start().await;
    for (host, is_known) in [
        ("localhost:5000", true),
        ("127.0.0.1:5000", true),
        ("paddock.example", false),
        ("paddock.localhost:5000", false),
        ("localhost.example:5000", false),
        ("127.0.0.2:5000", false),
        ("10.0.0.7:5000", false),
        ("[::1]:5000", false),
    ] {
        let page = t.get("/").anonymous().header("host", host).send().await;
        let page = String::from_utf8_lossy(&page.bytes).into_owned();
        assert_eq!(page.contains(&format!("export HEROKU_HOST=http://{host}\n")), is_known, "{page}");
        assert_eq!(page.contains("heroku login"), is_known, "{page}");
        assert_eq!(page.contains("paddockd env --data DIR --proxy"), !is_known, "{page}");
    }
}

#[tokio::test]
async fn addresses_are_given_back_as_the_client_reached_us() {
    let t = TestPaddock::start().await;
    let plain = t.post("/sources").send().await;
    let url = plain.expect(201)["source_blob"]["put_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://localhost:5000/sources/"), "{url}");
    let tls = t.post("/sources").over_tls().header("host", "api.paddock.example").send().await;
    let url = tls.expect(201)["source_blob"]["get_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://api.paddock.example/sources/"), "{url}");
}
