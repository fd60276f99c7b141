//! The operator's numbers: for the operator alone, in a form that monitoring reads.

use super::support::TestPaddock;

#[tokio::test]
async fn the_operator_reads_numbers_and_nobody_else_does() {
    let t = TestPaddock::start().await;
    t.deployed_app("counted", &[("web", "serve")]).await;
    let answer = t.get("/paddock/metrics").header("accept", "text/plain").send().await;
    answer.expect(200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
    let value = |sample: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in:\n{text}")).parse().unwrap()
    };
    assert_eq!(value("paddock_control_apps{apps=\"all\"}"), 1.0);
    assert!(value("paddock_store_transactions_total{outcome=\"committed\"}") >= 3.0);
    assert!(value("paddock_control_data_free_bytes") > 0.0);
    // Every sample has a help and a type before it, and a name of ours.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(name.starts_with("paddock_") && text.contains(&format!("# TYPE {name} ")), "{line}");
    }
    assert!(!text.contains("counted"), "no names of apps");

    assert_eq!(t.get("/paddock/metrics").stranger().send().await.refusal(), (404, "not_found"));
    assert_eq!(t.get("/paddock/metrics").anonymous().send().await.status, 401);
}
