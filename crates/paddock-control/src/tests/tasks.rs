//! What runs beside the use cases.

use super::Still;

#[tokio::test]
async fn every_reconciler_is_in_the_list_under_a_name_of_its_own() {
    let t = Still::new().await;
    let names: Vec<_> = t.control.reconcilers(None).iter().map(|task| task.name).collect();
    // Those of the router come with one.
    assert_eq!(
        names,
        [
            "formation",
            "output",
            "addons",
            "database_fills",
            "database_limits",
            "database_logs",
            "daily_backups",
            "garbage",
            "network",
            "rate_limits"
        ]
    );
}
