//! What `pg:*` asks the data host, of a database whose server does not answer: what is in rows is told, and what needs the server
//! is refused with a sentence. On servers that answer the journeys ask.

use std::time::Duration;

use paddock_core::{CredentialId, ReportId};
use paddock_store::{NewCredential, Report};
use paddock_testkit::schema::Schema;
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::TestPaddock;

async fn with_database() -> (TestPaddock, String) {
    let t = TestPaddock::start().await;
    t.app("shop").await;
    let (id, _) = t.addon("shop", ("heroku-postgresql", "essential-0"), "shop-db", "DATABASE").await;
    (t, id)
}

#[tokio::test]
async fn a_database_is_told_of_by_name_and_id() {
    let (t, id) = with_database().await;
    for named in ["shop-db", &id] {
        let told = t.get(&format!("/client/v11/databases/{named}")).send().await.expect(200).clone();
        assert_eq!((&told["addon_id"], &told["name"]), (&json!(id), &json!("shop-db")));
        assert_eq!((&told["plan"], &told["database_name"]), (&json!("essential-0"), &json!("d1")));
        assert_eq!(told["database_password"], "", "who wants it asks for the credential");
        let rows: Vec<_> =
            told["info"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(
            rows,
            ["Plan", "Status", "Created", "Fork/Follow", "Rollback", "Continuous Protection", "Region"]
        );
        assert!(told["info"][1]["values"][0].as_str().unwrap().starts_with("Unavailable"), "{told}");
        let status = t.get(&format!("/client/v11/databases/{named}/wait_status")).send().await;
        assert_eq!(
            status.expect(200),
            &json!({ "waiting?": true, "error?": false, "message": "starting again" })
        );
    }
}

#[tokio::test]
async fn credentials_are_read_by_token_and_by_password_header() {
    let (t, _) = with_database().await;
    let path = "/postgres/v0/databases/shop-db/credentials";
    let all = t.get(path).send().await.expect(200).clone();
    assert_eq!((&all[0]["name"], &all[0]["database"]), (&json!("default"), &json!("d1")));
    assert_eq!(all[0]["credentials"][0]["password"], "p");
    // As `pg:credentials` does.
    let token = t.token.clone();
    assert_eq!(t.get(path).basic("", &token).send().await.expect(200), &all);
    assert_eq!(t.get(&format!("{path}/default")).send().await.expect(200), &all[0]);
    assert_eq!(t.get(&format!("{path}/none")).send().await.refusal(), (404, "not_found"));
    assert_eq!(t.get(path).stranger().send().await.refusal(), (404, "not_found"));
    assert_eq!(t.get(path).anonymous().send().await.status, 401);
}

/// `GRANT … TO reader` is what people write next: a credential's role has its name, so it is none that a role cannot have.
#[tokio::test]
async fn a_credential_is_called_as_a_role_can_be() {
    let t = TestPaddock::start().await;
    t.app("shop").await;
    t.addon("shop", ("heroku-postgresql", "standard-0"), "shop-db", "DATABASE").await;
    let path = "/postgres/v0/databases/shop-db/credentials";
    let make = |name: &str| t.post(path).json(json!({ "name": name })).send();
    let user = t.get(path).send().await.expect(200)[0]["credentials"][0]["user"].as_str().unwrap().to_owned();
    for name in ["postgres", "public", "none", "pg_monitor", "a b", "default", &user, "u1"] {
        assert_eq!(make(name).await.refusal(), (422, "invalid_params"), "{name}");
    }
    assert_eq!(t.get(path).send().await.expect(200).as_array().unwrap().len(), 1);
}

/// Clients are made from what others saw of the data hosts: what we say there is of the same type, and nothing of it is missing
/// but what is no field of every answer.
#[tokio::test]
async fn bodies_have_the_shapes_that_clients_know() {
    let Some(known) = Schema::of_data_hosts() else {
        eprintln!("not run: no contract folder (PADDOCK_CONTRACT_DIR)");
        return;
    };
    let (t, _) = with_database().await;
    let mut breaches = Vec::new();
    for (template, path) in [
        ("/client/v11/databases/{name}", "/client/v11/databases/shop-db"),
        ("/client/v11/databases/{name}/wait_status", "/client/v11/databases/shop-db/wait_status"),
        ("/postgres/v0/databases/{name}/credentials", "/postgres/v0/databases/shop-db/credentials"),
        ("/client/v11/databases/{name}/metrics", "/client/v11/databases/shop-db/metrics"),
        (
            "/postgres/v0/databases/{name}/credentials/{c}",
            "/postgres/v0/databases/shop-db/credentials/default",
        ),
    ] {
        let body = t.get(path).send().await.expect(200).clone();
        let shape =
            known.shape_of_answer("GET", template).unwrap_or_else(|| panic!("nobody knows {template}"));
        let found = known.breaches(shape, &body).into_iter();
        // `valid` was seen of some; the CLI reads more of ours than was seen.
        let told = found.filter(|one| one.at != "/valid" && one.problem != "is not in the schema");
        breaches.extend(told.map(|one| format!("{template}{}: {}", one.at, one.problem)));
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[tokio::test]
async fn what_needs_the_server_says_that_it_is_away() {
    let (t, _) = with_database().await;
    for (method, path) in [("PUT", "reset"), ("POST", "connection_reset"), ("PUT", "stats_reset")] {
        let answer =
            t.call(method, &format!("/client/v11/databases/shop-db/{path}")).json(json!({})).send().await;
        assert_eq!(answer.refusal(), (503, "service_unavailable"), "{path}");
        assert!(answer.body["message"].as_str().unwrap().contains("pg:wait"), "{}", answer.body);
    }
}

/// What is no database has no route here, and what is not built says so.
#[tokio::test]
async fn an_add_on_of_another_service_is_no_database() {
    let (t, _) = with_database().await;
    t.addon("shop", ("heroku-fake", "small"), "shop-fake", "FAKE").await;
    for path in ["", "/wait_status"] {
        let answer = t.get(&format!("/client/v11/databases/shop-fake{path}")).send().await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{path}");
    }
    for path in
        ["/client/v11/databases/shop-db/links", "/data/postgres/v1/shop-db/info", "/redis/v0/databases/x"]
    {
        let answer = t.get(path).send().await;
        let message = answer.body["message"].as_str().unwrap_or_default().to_owned();
        assert!(answer.refusal() == (404, "not_found") && message.contains("not built"), "{path}: {message}");
    }
    assert_eq!(t.get("/client/v11/databases").send().await.body["id"], Value::from("not_found"));
}

/// What is asked for by `POST /reports`.
fn asked(url: &str) -> Value {
    json!({ "app": "shop", "database": "DATABASE_URL", "plan": "essential-0", "url": url })
}

#[tokio::test]
async fn a_report_is_made_for_who_has_the_login_that_owns_the_database() {
    let (t, _) = with_database().await;
    let away = t.post("/reports").json(asked("postgres://u7:p@10.0.0.1:5432/d1")).send().await;
    assert_eq!(away.refusal(), (503, "service_unavailable"), "its server is away");
    // What an address leads to is nothing to us: it is not the address that is looked at.
    let elsewhere = t.post("/reports").json(asked("postgres://u7:p@localhost:1/d1?x=y")).send().await;
    assert_eq!(elsewhere.refusal(), (503, "service_unavailable"));
    for wrong in [
        "postgres://u7:q@10.0.0.1:5432/d1",
        "postgres://u7:@10.0.0.1:5432/d1",
        "postgres://u8:p@10.0.0.1:5432/d1",
        "postgres://u7:p@10.0.0.1:5432/d2",
        "postgres://u7:p@10.0.0.1:5432",
        "https://u7:p@10.0.0.1:5432/d1",
        "",
    ] {
        let answer = t.post("/reports").json(asked(wrong)).send().await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{wrong}");
    }
    // To have the password is not enough, nor is an account.
    let right = || asked("postgres://u7:p@10.0.0.1:5432/d1");
    assert_eq!(t.post("/reports").stranger().json(right()).send().await.refusal(), (404, "not_found"));
    assert_eq!(t.post("/reports").anonymous().json(right()).send().await.status, 401);
    for (name, value) in [("app", json!("No App")), ("database", json!("\u{1b}[2J")), ("url", json!(7))] {
        let mut body = right();
        body[name] = value;
        assert_eq!(t.post("/reports").json(body).send().await.refusal(), (422, "invalid_params"), "{name}");
    }
}

#[tokio::test]
async fn a_credential_for_a_part_of_a_database_gets_no_report_about_all_of_it() {
    let (t, id) = with_database().await;
    let login = NewCredential {
        id: CredentialId::from_uuid(Uuid::now_v7()),
        addon_id: id.parse().unwrap(),
        name: "reporting".to_owned(),
        login: "u9".to_owned(),
        password: "q".to_owned(),
    };
    let mut tx = t.store.begin_record(t.control.now(), "test").await.unwrap();
    tx.create_credential(&login).await.unwrap();
    tx.commit().await.unwrap();
    let answer = t.post("/reports").json(asked("postgres://u9:q@10.0.0.1:5432/d1")).send().await;
    assert_eq!(answer.refusal(), (403, "forbidden"));
    assert!(answer.body["message"].as_str().unwrap().contains("default credential"), "{}", answer.body);
}

#[tokio::test]
async fn a_report_is_read_by_its_id_for_a_month() {
    let (t, addon) = with_database().await;
    let checks = r#"[{"name":"Bloat","status":"red","columns":["object","bloat"],"rows":[["public.t",12.5]],"reason":null},
        {"name":"Load","status":"skipped","columns":[],"rows":[],"reason":"not measured"}]"#;
    let day = Duration::from_secs(24 * 60 * 60);
    let report = |age: u32| Report {
        id: ReportId::from_uuid(Uuid::new_v4()),
        addon_id: addon.parse().unwrap(),
        app_name: "shop".to_owned(),
        database_name: "DATABASE_URL".to_owned(),
        checks: checks.to_owned(),
        created_at: t.control.now() - day * age,
    };
    let (fresh, old) = (report(29), report(30));
    let mut tx = t.store.begin_record(t.control.now(), "test").await.unwrap();
    tx.create_report(&fresh, 10).await.unwrap();
    tx.create_report(&old, 10).await.unwrap();
    tx.commit().await.unwrap();
    let path = format!("/reports/{}", fresh.id);
    let told = t.get(&path).send().await.expect(200).clone();
    assert_eq!((&told["app"], &told["database"]), (&json!("shop"), &json!("DATABASE_URL")));
    assert_eq!(told["checks"][0]["results"], json!([{ "object": "public.t", "bloat": 12.5 }]));
    assert_eq!(told["checks"][1]["results"], json!({ "error": "not measured" }));
    // Somebody of the team was sent its id.
    assert_eq!(t.get(&path).stranger().send().await.expect(200), &told);
    assert_eq!(t.get(&path).anonymous().send().await.status, 401);
    for none in [old.id.to_string(), "nonsense".to_owned()] {
        assert_eq!(t.get(&format!("/reports/{none}")).send().await.refusal(), (404, "not_found"), "{none}");
    }
}

#[tokio::test]
async fn what_is_not_measured_of_a_machine_is_told_as_nothing() {
    let (t, _) = with_database().await;
    for (path, nothing) in [("metrics", json!([])), ("burst_status", json!({}))] {
        let path = format!("/client/v11/databases/shop-db/{path}");
        assert_eq!(t.get(&path).send().await.expect(200), &nothing);
        assert_eq!(t.get(&path).stranger().send().await.refusal(), (404, "not_found"));
    }
}
