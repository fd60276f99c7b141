//! What no honest client sends: each gets an error with an id and a sentence, and changes nothing.

use serde_json::json;

use super::support::{Answer, TestPaddock};

/// The longest sentence of an error, in characters, with some room for the mark that it was cut.
const MESSAGE_CHARS_MAX: usize = 1010;

fn message(answer: &Answer) -> &str {
    answer.body["message"].as_str().unwrap()
}

#[tokio::test]
async fn names_in_other_scripts_are_refused_and_named() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    let names = [
        "日本語アプリ",
        "аррlе",
        "مرحبا",
        "😀😀😀",
        "a\u{202e}bc",
        "a\0bc",
        "Abc",
        "abc\n",
        " abc",
        "e\u{301}te",
    ];
    for name in names {
        let answer = t.post("/apps").json(json!({ "name": name })).send().await;
        assert_eq!(answer.refusal(), (422, "invalid_params"), "{name:?}");
        let answer = t.patch("/apps/plain").json(json!({ "name": name })).send().await;
        assert_eq!(answer.refusal(), (422, "invalid_params"), "{name:?}");
        let answer = t.patch("/apps/plain/config-vars").json(json!({ name: "x" })).send().await;
        // An environment holds names in all scripts.
        match name.contains(char::is_control) {
            true => assert_eq!(answer.refusal(), (422, "invalid_params"), "{name:?}"),
            false => assert_eq!(answer.expect(200)[name], "x"),
        }
        let update = json!({ "updates": [{ "type": name, "quantity": 1 }] });
        let answer = t.patch("/apps/plain/formation").json(update).send().await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{name:?}");
        let domain = json!({ "hostname": format!("{name}.example"), "sni_endpoint": null });
        let answer = t.post("/apps/plain/domains").json(domain).send().await;
        // Capitals and blanks around a host name are put right, as they mean nothing there.
        if !matches!(name, "Abc" | " abc") {
            assert_eq!(answer.refusal(), (422, "invalid_params"), "{name:?}");
        }
    }
    let apps = t.get("/apps").send().await;
    assert_eq!(apps.expect(200).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn json_that_is_no_object_of_the_right_shape_is_refused_in_words() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    let deep = "[".repeat(200_000);
    for (body, status) in [
        (&b"[null,null,null,null]"[..], 422),
        (b"[]", 422),
        (b"\"x\"", 422),
        (b"null", 422),
        (b"5", 422),
        (b"1e400", 400),
        (b"{\"name\":\"\\ud800abc\"}", 400),
        (b"{\"name\":\"\xff\xfe\"}", 400),
        (b"{\"name\":\"abc\",\"name\":\"abd\"}", 422),
        (b"\xef\xbb\xbf{}", 400),
        (deep.as_bytes(), 422),
        (b"{\"stack\":[[[]]]}", 422),
    ] {
        let answer = t.post("/apps").body(body.to_vec()).send().await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(answer.refusal().0, status, "{shown}");
        for ours in ["struct", "enum", "variant", "elements"] {
            assert!(!message(&answer).contains(ours), "{shown}: {}", message(&answer));
        }
    }
    let nothing = t.patch("/apps/plain").send().await;
    assert_eq!(nothing.refusal(), (400, "bad_request"));
    assert!(message(&nothing).contains("must have a body"), "{}", message(&nothing));
    // Depth in a field that nobody reads costs nothing and is not an error.
    let unread = format!("{{\"unread\":{}1{}}}", "{\"a\":".repeat(100), "}".repeat(100));
    t.post("/apps").body(unread).send().await.expect(201);
}

#[tokio::test]
async fn numbers_at_the_edges_are_refused_or_mean_what_they_say() {
    let t = TestPaddock::start().await;
    t.deployed_app("counted", &[("web", "x")]).await;
    let numbers = [
        "-1",
        "101",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "1e400",
        "1e2",
        "2.5",
        "\"\"",
        "\"1e3\"",
        "\"２\"",
        "\"+9223372036854775807\"",
        "\"99999999999999999999\"",
        "[]",
        "{}",
        "true",
        "NaN",
        "0x10",
        "-9223372036854775808",
    ];
    for number in numbers {
        let body = format!("{{\"updates\":[{{\"type\":\"web\",\"quantity\":{number}}}]}}");
        let answer = t.patch("/apps/counted/formation").body(body).send().await;
        assert!(matches!(answer.refusal(), (422, "invalid_params") | (400, "bad_request")), "{number}");
    }
    for number in
        ["-1", "0", "9223372036854775807", "9223372036854775808", "1e400", "1.5", "10000000001", "[]"]
    {
        let body = format!("{{\"expires_in\":{number}}}");
        let answer = t.post("/oauth/authorizations").body(body).send().await;
        assert!(matches!(answer.refusal(), (422, "invalid_params") | (400, "bad_request")), "{number}");
    }
    let formation = t.get("/apps/counted/formation").send().await;
    assert_eq!(formation.expect(200)[0]["quantity"], 1, "nothing was scaled");
}

#[tokio::test]
async fn config_vars_have_a_limit_and_their_release_a_short_name() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    let large = t.patch("/apps/plain/config-vars").body(vec![b'x'; 40_000_000]).send().await;
    assert_eq!(large.refusal(), (413, "payload_too_large"));
    let many: serde_json::Map<_, _> = (0..10_000).map(|n| (format!("VAR_{n:06}"), json!("value"))).collect();
    let refused = t.patch("/apps/plain/config-vars").json(many.into()).send().await;
    assert_eq!(refused.refusal(), (422, "invalid_params"));
    assert!(message(&refused).contains("65536"), "{}", message(&refused));
    let small: serde_json::Map<_, _> = (0..10_000).map(|n| (format!("V{n}"), json!(""))).collect();
    let taken = t.patch("/apps/plain/config-vars").json(small.into()).send().await;
    assert_eq!(taken.expect(200).as_object().unwrap().len(), 10_000);
    let newest = t.get("/apps/plain/releases").range("version ..; order=desc,max=1").send().await;
    let description = newest.body[0]["description"].as_str().unwrap().to_owned();
    assert!(description.ends_with("and 9980 more config vars") && description.len() < 300, "{description}");
    let removed: serde_json::Map<_, _> = (0..10_000).map(|n| (format!("V{n}"), json!(null))).collect();
    let left = t.patch("/apps/plain/config-vars").json(removed.into()).send().await;
    assert_eq!(left.expect(200), &json!({}));
}

#[tokio::test]
async fn a_sentence_does_not_repeat_a_megabyte() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    let long = "é".repeat(200_000);
    for answer in [
        t.post("/apps/plain/domains").json(json!({ "hostname": long, "sni_endpoint": null })).send().await,
        t.patch("/apps/plain/config-vars").json(json!({ &long: "x" })).send().await,
        t.post("/apps").json(json!({ "stack": long })).send().await,
        t.patch("/apps/plain/formation").json(json!({ "updates": [{ "type": long }] })).send().await,
        t.post("/apps").json(json!({ "name": [long] })).send().await,
    ] {
        answer.refusal();
        assert!(message(&answer).chars().count() <= MESSAGE_CHARS_MAX, "{}", message(&answer).len());
    }
}

#[tokio::test]
async fn a_head_of_many_headers_is_read() {
    let t = TestPaddock::start().await;
    // What the official client may send, and all that the router lets through.
    for (count, bytes) in [(16, 1000), (990, 10), (120, 8000)] {
        let mut call = t.get("/account");
        for number in 0..count {
            call = call.header(&format!("x-{number}"), &"y".repeat(bytes));
        }
        call.send().await.expect(200);
    }
}

#[tokio::test]
async fn ranges_of_every_nasty_form_are_refused_or_harmless() {
    let t = TestPaddock::start().await;
    t.app("plain").await;
    for (range, status) in [
        ("id ..; max=99999999999999999999999", 416),
        ("id ..; max=-1", 416),
        ("id ..; max=0", 416),
        ("id ..; max=1e3", 416),
        ("id ..; order=ASC", 416),
        ("id ]..", 416),
        ("bytes=0-1", 416),
        ("version ..", 416),
        ("id a..b..c", 200),
        ("id ]]x..", 200),
        ("id ..;;;;", 200),
        ("id ..; max=99999", 200),
    ] {
        let answer = t.get("/apps").range(range).send().await;
        assert_eq!(answer.status.as_u16(), status, "{range}");
    }
    for (range, status) in
        [("version 99999999999999999999..", 416), ("version 1.5..", 416), ("version -1..", 200)]
    {
        let answer = t.get("/apps/plain/releases").range(range).send().await;
        assert_eq!(answer.status.as_u16(), status, "{range}");
    }
    let long = format!("id {}..", "x".repeat(100_000));
    t.get("/apps").range(&long).send().await.expect(200);
}
