//! `/reports`: what `pg:diagnose` asks its host, and what it asks the data host before.

use std::sync::Arc;

use axum::extract::State;
use paddock_control::addon::report::{Report, ReportCheck, ReportOrder, ReportValue};
use paddock_wire::{Empty, report as wire};

use super::time::time;
use super::{Access, Endpoint, Segments, get, post_once};
use crate::Api;
use crate::answer::{Reply, created, ok};
use crate::authentication::By;
use crate::body::Json;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post_once(Access::Token, "/reports", create),
        get(Access::Token, "/reports/{report}", info),
        get(Access::Token, "/client/v11/databases/{database}/metrics", metrics),
        get(Access::Token, "/client/v11/databases/{database}/burst_status", burst_status),
    ]
}

async fn create(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Json(body): Json<wire::NewReport>,
) -> Reply<wire::Report> {
    let order = ReportOrder { app: body.app, database: body.database, url: body.url };
    Ok(created(view(api.control.addons.report_on(&actor, order).await?)))
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(report): Segments<String>,
) -> Reply<wire::Report> {
    Ok(ok(view(api.control.addons.report(&actor, &report).await?)))
}

async fn metrics(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<Vec<wire::MachineSample>> {
    api.control.addons.check_postgres(&actor, &database).await?;
    Ok(ok(Vec::new()))
}

async fn burst_status(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<Empty> {
    api.control.addons.check_postgres(&actor, &database).await?;
    // What a machine was lent in bursts: clients take nothing for that.
    Ok(ok(Empty {}))
}

fn view(report: Report) -> wire::Report {
    wire::Report {
        id: report.id.to_string(),
        app: report.app,
        database: report.database,
        created_at: time(report.created_at),
        checks: report.checks.into_iter().map(check).collect(),
    }
}

fn check(check: ReportCheck) -> wire::Check {
    let value = |value| match value {
        ReportValue::Integer(number) => wire::Value::Integer(number),
        ReportValue::Number(number) => wire::Value::Number(number),
        ReportValue::Text(text) => wire::Value::Text(text),
    };
    let rows = check.rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect();
    let results = match check.reason {
        Some(reason) => wire::Results::Error(reason),
        None => wire::Results::Rows { columns: check.columns, rows },
    };
    wire::Check { name: check.name, status: check.status, results }
}
