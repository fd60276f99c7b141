//! `/client/v11/…/transfers`: backups, restores and copies of databases, and the file of a backup.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use paddock_control::addon::backup::{CopyOrder, LoggedTransfer, ShownTransfer};
use paddock_core::transfer::TransferKind;
use paddock_core::{AppRef, UnixMicros};
use paddock_wire::transfer as wire;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::time::time;
use super::{Access, AppPath, Endpoint, Segments, delete, get, post, post_once};
use crate::Api;
use crate::answer::{Reply, created, ok};
use crate::authentication::By;
use crate::body::Json;
use crate::client::Origin;
use crate::problem::Problem;

/// A stored backup, as Heroku calls what keeps it.
const STORE: &str = "gof3r";
/// How much of a file is read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post_once(Access::Token, "/client/v11/databases/{database}/backups", capture),
        post_once(Access::Token, "/client/v11/databases/{database}/restores", restore),
        post_once(Access::Token, "/client/v11/databases/{database}/transfers", copy),
        get(Access::Token, "/client/v11/apps/{app}/transfers", list),
        get(Access::Token, "/client/v11/apps/{app}/transfers/{transfer}", info),
        delete(Access::Token, "/client/v11/apps/{app}/transfers/{transfer}", remove),
        post(Access::Token, "/client/v11/apps/{app}/transfers/{transfer}/actions/cancel", cancel),
        post(Access::Token, "/client/v11/apps/{app}/transfers/{transfer}/actions/public-url", share),
    ]
}

/// The addresses of backups.
pub(super) fn downloads() -> Vec<Endpoint> {
    vec![get(Access::Secret, "/backups/{secret}", download)]
}

/// What may be asked of one transfer.
#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default)]
    verbose: Option<String>,
}

async fn capture(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
) -> Reply<wire::Transfer> {
    Ok(created(view(api.control.addons.capture_backup(&actor, &database).await?)))
}

async fn restore(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
    Json(body): Json<wire::NewRestore>,
) -> Reply<wire::Transfer> {
    let extensions = body.extensions.unwrap_or_default();
    let made = api.control.addons.restore_backup(&actor, &database, &body.backup_url, extensions).await?;
    Ok(created(view(made)))
}

async fn copy(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(database): Segments<String>,
    Json(body): Json<wire::NewCopy>,
) -> Reply<wire::Transfer> {
    let order = CopyOrder {
        from_name: body.from_name.unwrap_or_else(|| "DATABASE".to_owned()),
        from_url: body.from_url,
        to_name: body.to_name.unwrap_or_else(|| "DATABASE".to_owned()),
        to_url: body.to_url,
    };
    Ok(created(view(api.control.addons.copy_database(&actor, &database, order).await?)))
}

async fn list(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments(AppPath(app)): Segments<AppPath>,
) -> Reply<Vec<wire::Transfer>> {
    let all = api.control.addons.list_transfers(&actor, &app).await?;
    Ok(ok(all.into_iter().map(view).collect()))
}

async fn info(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((app, transfer)): Segments<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Reply<wire::Transfer> {
    let LoggedTransfer { transfer, logs } =
        api.control.addons.transfer(&actor, &AppRef::from(app), &transfer).await?;
    let log = |log: paddock_control::addon::backup::TransferLog| wire::Log {
        created_at: Some(time(log.at)),
        message: log.message,
    };
    let logs = (wanted.verbose.as_deref() == Some("true")).then(|| logs.into_iter().map(log).collect());
    Ok(ok(wire::Transfer { logs, ..view(transfer) }))
}

async fn remove(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((app, transfer)): Segments<(String, String)>,
) -> Reply<wire::Transfer> {
    Ok(ok(view(api.control.addons.delete_transfer(&actor, &AppRef::from(app), &transfer).await?)))
}

async fn cancel(
    By(actor): By,
    State(api): State<Arc<Api>>,
    Segments((app, transfer)): Segments<(String, String)>,
) -> Reply<wire::Transfer> {
    Ok(created(view(api.control.addons.cancel_transfer(&actor, &AppRef::from(app), &transfer).await?)))
}

async fn share(
    By(actor): By,
    origin: Origin,
    State(api): State<Arc<Api>>,
    Segments((app, transfer)): Segments<(String, String)>,
) -> Reply<wire::PublicUrl> {
    let shared = api.control.addons.share_backup(&actor, &AppRef::from(app), &transfer).await?;
    let url = origin.https_url(&format!("/backups/{}", shared.secret), api.control.config());
    Ok(ok(wire::PublicUrl { url, expires_at: Some(time(shared.expires_at)) }))
}

async fn download(
    State(api): State<Arc<Api>>,
    Segments(secret): Segments<String>,
) -> Result<Response, Problem> {
    let (name, dump, bytes) = api.control.addons.open_backup(&secret).await?;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, bytes.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    let stream = ReaderStream::with_capacity(dump, CHUNK_BYTES);
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn view(transfer: ShownTransfer) -> wire::Transfer {
    let ShownTransfer { row, to_url } = transfer;
    let (from_type, to_type) = match row.kind {
        TransferKind::Backup => ("pg_dump", STORE),
        TransferKind::Restore => (STORE, "pg_restore"),
        TransferKind::Copy => ("pg_dump", "pg_restore"),
    };
    let at = |at: Option<UnixMicros>| at.map(time);
    wire::Transfer {
        uuid: row.id.to_string(),
        num: row.num,
        from_type,
        to_type,
        from_name: row.from_name,
        from_url: None,
        to_name: row.to_name,
        to_url,
        options: Default::default(),
        source_bytes: row.source_bytes,
        processed_bytes: row.processed_bytes,
        succeeded: row.finished_at.map(|_| row.succeeded),
        warnings: row.warnings,
        created_at: at(Some(row.created_at)),
        started_at: at(row.started_at),
        finished_at: at(row.finished_at),
        canceled_at: at(row.canceled_at),
        updated_at: at(Some(row.updated_at)),
        deleted_at: None,
        purged_at: None,
        schedule: row.schedule_id.map(|id| wire::ScheduleRef { uuid: id.to_string() }),
        logs: None,
    }
}
